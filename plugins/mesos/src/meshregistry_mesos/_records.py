"""From the instances of one service to its records; pure, and the same for both kinds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from attrs import frozen

from meshregistry.errors import RecordError
from meshregistry.model import (
    Endpoint,
    EndpointKey,
    Health,
    Port,
    Protocol,
    RecordKey,
    Service,
    ServiceRecord,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshregistry_mesos._instance import Instance, InstancePort

_RANK = {Health.HEALTHY: 0, Health.DRAINING: 1, Health.UNHEALTHY: 2}
_SECURE = 443
_WEB = 80
_OTHER = 10_000
_NUMBERS = {
    Protocol.HTTPS: _SECURE,
    Protocol.TLS: _SECURE,
    Protocol.MONGO: 27_017,
    Protocol.REDIS: 6379,
    Protocol.MYSQL: 3306,
}


@frozen
class Converted:
    """What is to be published of one service.

    Attributes:
        records: of the service itself first, then of its virtual addresses; may be none.
        notes: what could not be used, for people.
    """

    records: tuple[ServiceRecord, ...] = ()
    notes: tuple[str, ...] = ()


@frozen(kw_only=True)
class Naming:
    """How the records of a service are named.

    Attributes:
        key: of the service's own record.
        host: of the service.
        vip_host: the host of a named virtual address; None if these are not published.
        service_ports: numbers by names, of the settings.
    """

    key: RecordKey
    host: str
    vip_host: Callable[[str], str] | None
    service_ports: Mapping[str, int]


def service_records(
    naming: Naming, instances: Iterable[Instance], faults: Iterable[str] = ()
) -> Converted:
    """The records of one service: whole, each instance that cannot be used left out with a note.

    Args:
        naming: of the service.
        instances: all that run; those without ports are not part of it.
        faults: of instances that could not even be read.

    Raises:
        RecordError: if no instance can be used although there are some, or if the service
            itself cannot be: what was last good is then kept.
    """
    notes = list(faults)
    usable: list[Instance] = []
    for instance in sorted(instances, key=lambda one: one.id):
        notes += [f"instance {instance.id!r}: {note}" for note in instance.notes]
        try:
            for port in instance.ports:
                # Made here to see whether its address and its port can be one.
                Endpoint(address=port.address, port=port.number)
        except ValueError as error:
            notes.append(f"the instance {instance.id!r} is left out: {error}")
        else:
            usable += [instance] if instance.ports else []
    if not usable:
        if notes:
            raise RecordError(
                f"the service {naming.key!r} has no usable instance: {notes[0]}", key=naming.key
            )
        return Converted()
    try:
        records = [_own(naming, usable, notes), *_virtual(naming, usable)]
    except ValueError as error:
        raise RecordError(
            f"the service {naming.key!r} is malformed: {error}", key=naming.key
        ) from error
    return Converted(tuple(records), tuple(notes))


def _own(naming: Naming, instances: list[Instance], notes: list[str]) -> ServiceRecord:
    declared: dict[str, InstancePort] = {}
    for instance in instances:
        for port in instance.ports:
            known = declared.setdefault(port.name, port)
            if known.protocol is not port.protocol:
                notes.append(
                    f"instance {instance.id!r} says {port.protocol} of the port {port.name!r}, "
                    f"which is {known.protocol}; the first one counts"
                )
            elif not known.service_number and port.service_number:
                declared[port.name] = port
    numbers = _numbers(declared, naming.service_ports)
    addresses = [vip.address for port in declared.values() for vip in port.vips if vip.address]
    service = Service(
        naming.host,
        ports=[Port(name, numbers[name], port.protocol) for name, port in declared.items()],
        addresses=sorted(set(addresses)),
    )
    return ServiceRecord(service, _endpoints(instances, lambda port: [port.name]), key=naming.key)


def _numbers(declared: Mapping[str, InstancePort], given: Mapping[str, int]) -> dict[str, int]:
    """The number of each port of the service: of the settings, of the backend, of the protocol.

    What nothing fixes gets the usual number of its protocol, or the next that is free: the
    ports of instances come and go with them, and a service must not change with each.
    """
    numbers = {name: given[name] for name in declared if name in given}
    for name, port in declared.items():
        if name not in numbers and port.service_number not in (0, *numbers.values()):
            numbers[name] = port.service_number
    for name, port in declared.items():
        if name not in numbers:
            usual = _WEB if port.protocol.is_http else _NUMBERS.get(port.protocol, _OTHER)
            while usual in numbers.values():
                usual += 1
            numbers[name] = usual
    return numbers


def _virtual(naming: Naming, instances: list[Instance]) -> Iterable[ServiceRecord]:
    """A record for each named virtual address that leads to some port of the service."""
    if naming.vip_host is None:
        return
    hosts: dict[str, dict[int, InstancePort]] = {}
    for instance in instances:
        for port in instance.ports:
            for vip in port.vips:
                if vip.name:
                    hosts.setdefault(vip.name, {}).setdefault(vip.port, port)
    for name, ports in sorted(hosts.items()):
        names = {number: _vip_port(number, port, ports) for number, port in ports.items()}

        def led(
            port: InstancePort, name: str = name, names: dict[int, str] = names
        ) -> Iterable[str]:
            return [names[vip.port] for vip in port.vips if vip.name == name]

        host = naming.vip_host(name)
        service = Service(
            host,
            ports=[Port(names[number], number, port.protocol) for number, port in ports.items()],
        )
        key = RecordKey(f"{naming.key}|{host}")
        yield ServiceRecord(service, _endpoints(instances, led), key=key)


def _vip_port(number: int, port: InstancePort, ports: Mapping[int, InstancePort]) -> str:
    is_alone = [one.name for one in ports.values()].count(port.name) == 1
    return port.name if is_alone else f"{port.name}-{number}"


def _endpoints(
    instances: Iterable[Instance], served: Callable[[InstancePort], Iterable[str]]
) -> Iterable[Endpoint]:
    endpoints: dict[EndpointKey, Endpoint] = {}
    for instance in instances:
        for port in instance.ports:
            for name in served(port):
                endpoint = Endpoint(
                    address=port.address,
                    port=port.number,
                    service_port=name,
                    health=instance.health,
                    labels=instance.labels,
                    locality=instance.locality,
                )
                # Two tasks at one address, of which one is ending: the healthier speaks for it.
                known = endpoints.setdefault(endpoint.key, endpoint)
                if _RANK[endpoint.health] < _RANK[known.health]:
                    endpoints[endpoint.key] = endpoint
    return endpoints.values()
