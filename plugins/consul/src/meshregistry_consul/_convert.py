"""From the answers of Consul to service records; pure, so most of the tests are here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from attrs import frozen

from meshregistry.errors import RecordError, RegistryProtocolError
from meshregistry.model import (
    Endpoint,
    EndpointKey,
    Health,
    Port,
    Protocol,
    RecordKey,
    Resolution,
    Service,
    ServiceRecord,
)
from meshregistry_consul._instance import Instance, external_name, instance_of

if TYPE_CHECKING:
    from meshregistry_consul._config import ConsulConfig

BUILT_IN = "consul"
"""The service that the servers themselves register."""

_RANK = {Health.HEALTHY: 0, Health.DRAINING: 1, Health.UNHEALTHY: 2}


@frozen
class Converted:
    """What an answer says of one service.

    Attributes:
        record: None if the service is not there, or no instance of it is of a kind asked for.
        notes: what in the answer could not be used, for people.
    """

    record: ServiceRecord | None = None
    notes: tuple[str, ...] = ()


def selected_names(listing: Any, config: ConsulConfig) -> dict[str, tuple[str, ...]]:
    """The services to follow, with their tags, from ``/v1/catalog/services``.

    Raises:
        RegistryProtocolError: if the answer is not a listing of services.
    """
    if not isinstance(listing, Mapping) or not all(
        isinstance(tags, list | None) for tags in listing.values()
    ):
        msg = "the listing of services is not an object of lists of tags; is this address Consul's?"
        raise RegistryProtocolError(msg)
    return {
        name: tuple(map(str, tags or ()))
        for name, tags in sorted(listing.items())
        if is_selected(name, config)
    }


def is_selected(name: str, config: ConsulConfig) -> bool:
    """Whether the settings ask for this service; Consul's own only by its name."""
    if not config.services:
        return name != BUILT_IN
    return any(
        fnmatchcase(name, pattern) and (name != BUILT_IN or pattern == BUILT_IN)
        for pattern in config.services
    )


def names_filter(config: ConsulConfig) -> str:
    """The filter for the listing of names, so that nobody asks for what is left out anyway."""
    kinds = ["", *(kind for kind in config.include if kind != "connect-native")]
    terms = ["(" + " or ".join(f'ServiceKind == "{kind}"' for kind in kinds) + ")"]
    if "connect-native" not in config.include:
        terms.append("ServiceConnect.Native == false")
    if config.catalog_filter:
        terms.append(f"({config.catalog_filter})")
    return " and ".join(terms)


def service_record(name: str, entries: Any, config: ConsulConfig) -> Converted:
    """One service from ``/v1/health/service/<name>``.

    An instance that cannot be used is left out and noted, so that it takes none of the
    others with it. If none can be used, nothing is known of the service.

    Raises:
        RecordError: if the answer, or every instance in it, is malformed.
    """
    if not isinstance(entries, list):
        msg = f"the answer for the service {name!r} is not a list of instances; is this address Consul's?"
        raise RecordError(msg, key=name)
    instances, notes = _instances(entries, config)
    if notes and not instances:
        raise RecordError(f"the service {name!r} has no usable instance: {notes[0]}", key=name)
    notes += [f"instance {one.id[1]!r}: {note}" for one in instances for note in one.notes]
    portless = [one for one in instances if not one.ports]
    notes += [
        f"instance {one.id[1]!r} has no port and is left out; register it with one"
        for one in portless
    ]
    instances = [one for one in instances if one.ports]
    if not instances:
        return Converted(None, tuple(notes))
    ports, port_notes = _service_ports(instances, config)
    try:
        record = _record(name, instances, ports, config)
    except ValueError as error:
        raise RecordError(f"the service {name!r} is malformed: {error}", key=name) from error
    return Converted(record, (*notes, *port_notes))


def _instances(entries: Iterable[Any], config: ConsulConfig) -> tuple[list[Instance], list[str]]:
    instances: list[Instance] = []
    notes: list[str] = []
    for entry in entries:
        try:
            instance = instance_of(entry, config)
            if instance is not None:
                # Made here to see whether its address can be one.
                for _, number, _ in instance.ports:
                    Endpoint(address=instance.address, port=number, weight=instance.weight)
        except ValueError as error:
            notes.append(f"an instance is left out: {error}; register it anew")
        else:
            instances += [instance] if instance is not None else []
    return sorted(instances, key=lambda one: one.id), notes


def _service_ports(
    instances: Iterable[Instance], config: ConsulConfig
) -> tuple[dict[int, Port], list[str]]:
    """The port of the service for each port of an instance (of a number, the first one counts)."""
    notes: list[str] = []
    wanted: dict[int, tuple[str, Protocol]] = {}
    for instance in instances:
        for name, number, protocol in instance.ports:
            served = config.service_port or number
            known = wanted.setdefault(served, (name, protocol))
            if known[1] is not protocol:
                notes.append(
                    f"instance {instance.id[1]!r} says {protocol} of port {served}, "
                    f"which is {known[1]}; the first one counts"
                )
    ports: dict[int, Port] = {}
    taken: set[str] = set()
    for number, (name, protocol) in sorted(wanted.items()):
        unique = name if name not in taken else f"{name}-{number}"
        taken.add(unique)
        ports[number] = Port(unique, number, protocol)
    return ports, notes


def _record(
    name: str, instances: list[Instance], ports: Mapping[int, Port], config: ConsulConfig
) -> ServiceRecord:
    first = instances[0]
    is_external = any(one.external for one in instances)
    host = config.hostname.format(
        service=name,
        dc=first.datacenter,
        ns=config.ns or "default",
        partition=config.partition or "default",
    )
    service = Service(
        host,
        ports=ports.values(),
        resolution=Resolution.DNS if any(map(external_name, instances)) else Resolution.EDS,
        addresses=sorted({one.virtual for one in instances if one.virtual}),
        namespace=config.ns or None,
        is_external=is_external,
    )
    endpoints: dict[EndpointKey, Endpoint] = {}
    for instance in instances:
        for endpoint in _endpoints(instance, ports, config):
            # Two registrations of one address: the healthier speaks for it, then the first.
            known = endpoints.setdefault(endpoint.key, endpoint)
            if _RANK[endpoint.health] < _RANK[known.health]:
                endpoints[endpoint.key] = endpoint
    return ServiceRecord(service, endpoints.values(), key=RecordKey(name))


def _endpoints(
    instance: Instance, ports: Mapping[int, Port], config: ConsulConfig
) -> Iterable[Endpoint]:
    if instance.health is None:
        return
    for _, number, _ in instance.ports:
        yield Endpoint(
            address=external_name(instance) or instance.address,
            port=number,
            service_port=ports[config.service_port or number].name,
            cluster=instance.datacenter,
            locality=instance.locality,
            health=instance.health,
            weight=instance.weight,
            labels=instance.labels,
        )
