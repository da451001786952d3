"""From instances to service records; pure, so most of the tests are here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from meshregistry.errors import RecordError
from meshregistry.model import (
    AddressKind,
    Endpoint,
    EndpointKey,
    Health,
    Hostname,
    Labels,
    Locality,
    Port,
    Protocol,
    RecordKey,
    Resolution,
    Service,
    ServiceRecord,
)
from meshregistry_eureka._instance import Instance
from meshregistry_eureka._mirror import names_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshregistry_eureka._config import EurekaConfig

_RANK = {Health.HEALTHY: 0, Health.DRAINING: 1, Health.UNHEALTHY: 2}
_NO_CENTER = "MyOwn"  # what every client says that has not been told its data center


@frozen
class Converted:
    """What is known of one name.

    Attributes:
        record: None if no instance has a port under this name.
        notes: what could not be used, for people.
    """

    record: ServiceRecord | None = None
    notes: tuple[str, ...] = ()


@frozen
class _Served:
    """A port of an instance: under which number, name and protocol the service has it."""

    instance: Instance
    number: int
    service_number: int
    name: str
    protocol: Protocol
    health: Health | None
    weight: int
    notes: tuple[str, ...] = ()


def service_record(name: str, instances: Iterable[Instance], config: EurekaConfig) -> Converted:
    """One service: those instances that have this name.

    One that cannot be used is left out and noted, so that it takes none of the others with
    it. If none can be used, nothing is known of the service.

    Raises:
        RecordError: if the name is no host name, or every instance is malformed.
    """
    try:
        host = Hostname(name)
    except ValueError as error:
        msg = f"the name {name!r} cannot be a host: {error}; register it under another VIP address"
        raise RecordError(msg, key=name) from error
    served: list[_Served] = []
    notes: list[str] = []
    is_any_usable = False
    for one in instances:
        try:
            found = _served_ports(one, names_of(one, config)[name], config)
            endpoints = [_endpoint(each, each.name, config) for each in found]
        except ValueError as error:
            notes.append(f"the instance {one.id!r} is left out: {error}; register it anew")
            continue
        is_any_usable = True
        served += found
        notes += dict.fromkeys(note for each in found for note in each.notes)
        if not endpoints and one.port is None and one.secure_port is None:
            notes.append(f"the instance {one.id!r} has no enabled port; register it with one")
    if notes and not is_any_usable:
        raise RecordError(f"the service {name!r} has no usable instance: {notes[0]}", key=name)
    if not served:
        return Converted(None, tuple(notes))
    ports, port_notes = _ports(served)
    return Converted(_record(host, served, ports, config), (*notes, *port_notes))


def _served_ports(one: Instance, wanted: Iterable[str], config: EurekaConfig) -> list[_Served]:
    """The ports of an instance under one of its names.

    Raises:
        ValueError: if the instance is malformed.
    """
    if one.fault:
        raise ValueError(one.fault)
    shown: str = getattr(config.health, one.state.lower())
    health = None if shown == "OMIT" else Health(shown)
    spoken = next((one.metadata[key] for key in config.protocol_meta if key in one.metadata), "")
    port_name = (spoken or config.protocol).lower()
    protocol = Protocol.from_port_name(port_name)
    weight = one.metadata.get(config.weight_meta, "1")
    notes: list[str] = []
    if protocol is Protocol.UNSUPPORTED:
        protocol = Protocol.TCP
        notes.append(f"the protocol {port_name!r} of {one.id!r} is not known, so it is TCP")
    if not weight.isdecimal():
        notes.append(f"the weight {weight!r} of {one.id!r} is no number, so it is 1")
        weight = "1"
    about = (health, int(weight), tuple(notes))
    served: list[_Served] = []
    if "plain" in wanted and one.port is not None:
        number = config.service_port or one.port
        served.append(_Served(one, one.port, number, port_name, protocol, *about))
    if "secure" in wanted and one.secure_port is not None:
        number = config.secure_service_port or one.secure_port
        secure = Protocol.HTTPS if protocol.is_http else Protocol.TLS
        served.append(_Served(one, one.secure_port, number, str(secure).lower(), secure, *about))
    return served


def _ports(served: Iterable[_Served]) -> tuple[dict[int, Port], list[str]]:
    """The ports of the service by number; of a number, the first protocol counts."""
    notes: list[str] = []
    wanted: dict[int, _Served] = {}
    for one in served:
        known = wanted.setdefault(one.service_number, one)
        if known.protocol is not one.protocol:
            notes.append(
                f"the instance {one.instance.id!r} says {one.protocol} of port "
                f"{one.service_number}, which is {known.protocol}; the first one counts"
            )
    ports: dict[int, Port] = {}
    taken: set[str] = set()
    for number, one in sorted(wanted.items()):
        unique = one.name if one.name not in taken else f"{one.name}-{number}"
        taken.add(unique)
        ports[number] = Port(unique, number, one.protocol)
    return ports, notes


def _record(
    host: Hostname, served: Iterable[_Served], ports: dict[int, Port], config: EurekaConfig
) -> ServiceRecord:
    endpoints: dict[EndpointKey, Endpoint] = {}
    kinds: set[AddressKind] = set()
    for one in served:
        if one.health is None:
            continue
        endpoint = _endpoint(one, ports[one.service_number].name, config)
        kinds.add(endpoint.kind)
        # Two registrations of one address: the healthier speaks for it, then the first.
        known = endpoints.setdefault(endpoint.key, endpoint)
        if _RANK[endpoint.health] < _RANK[known.health]:
            endpoints[endpoint.key] = endpoint
    is_named = AddressKind.DNS in kinds
    service = Service(
        host,
        ports=ports.values(),
        resolution=Resolution.DNS if is_named else Resolution.EDS,
    )
    return ServiceRecord(service, endpoints.values(), key=RecordKey(str(host)))


def _endpoint(one: _Served, service_port: str, config: EurekaConfig) -> Endpoint:
    """The endpoint of one port.

    Raises:
        ValueError: if its address or port cannot be one.
    """
    instance = one.instance
    own = (instance.ip_address, instance.host_name)
    first, second = own if config.prefer_ip_address else reversed(own)
    return Endpoint(
        address=first or second,
        port=one.number,
        service_port=service_port,
        locality=_locality(instance, config),
        health=one.health or Health.UNHEALTHY,
        weight=one.weight,
        labels=instance.metadata if config.metadata else Labels(),
    )


def _locality(instance: Instance, config: EurekaConfig) -> Locality:
    """Amazon's zone names contain the region: ``us-east-1a`` is in ``us-east-1``."""
    keys, metadata, zone = config.locality, instance.metadata, instance.availability_zone
    center = "" if instance.data_center == _NO_CENTER else instance.data_center
    return Locality(
        metadata.get(keys.region) or config.region or zone[:-1] or center,
        zone or metadata.get(keys.zone, ""),
        metadata.get(keys.sub_zone, ""),
    )
