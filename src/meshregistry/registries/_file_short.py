"""The short form: a ``services`` list (interfaces, section 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field, frozen
from attrs.validators import ge, le, min_len

from meshregistry.documents import (
    MappingNode,
    ScalarNode,
    Scalars,
    SequenceNode,
    attempt,
    suggestion,
)
from meshregistry.model import (
    Endpoint,
    Health,
    Hostname,
    Locality,
    Port,
    Protocol,
    RecordKey,
    Resolution,
    Service,
    ServiceRecord,
    canonical_address,
)
from meshregistry.registries._file_units import Flaw, ShortService, Unit, tried, unit_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshregistry.documents import AnyNode
    from meshregistry.errors import ConfigError

_SCALARS: Scalars = {
    Hostname: Hostname.parse,
    Protocol: Protocol.parse,
    Locality: Locality.parse,
}


@frozen(kw_only=True)
class _Port:
    port: int = field(validator=[ge(1), le(65535)])
    name: str | None = None
    protocol: Protocol | None = None


@frozen(kw_only=True)
class _Service:
    host: Hostname
    ports: tuple[_Port, ...] = field(validator=min_len(1))
    endpoints: tuple[Any, ...] = ()
    namespace: str | None = None
    addresses: tuple[str, ...] = ()
    labels: dict[str, str] = field(factory=dict)
    resolution: Resolution = Resolution.EDS
    external: bool = False
    alias_of: Hostname | None = None
    export_to: tuple[str, ...] = ("*",)


@frozen(kw_only=True)
class _Endpoint:
    address: str
    port: int | None = None
    ports: dict[str, int] = field(factory=dict)
    labels: dict[str, str] = field(factory=dict)
    locality: Locality | None = None
    region: str = ""
    zone: str = ""
    sub_zone: str = ""
    weight: int = field(default=1, validator=ge(0))
    health: Health = Health.HEALTHY
    network: str = ""
    cluster: str = ""
    workload_identity: str = ""


def short_units(root: MappingNode) -> Iterator[Unit | Flaw]:
    """The services of a document of the short form."""
    strange = root.unknown(["services"])
    if strange:
        yield Flaw(key=None, faults=tuple(strange), hides=False)
    services = root.get("services")
    if not isinstance(services, SequenceNode):
        kind = services.kind if services else "nothing"
        place = services or root
        remedy = "write - before each service, or [] for none"
        yield Flaw(key=None, faults=(place.fault(f"must be a list, not {kind}", remedy),))
        return
    for node in services:
        yield _unit(node)


def _unit(node: AnyNode) -> Unit | Flaw:
    faults: list[ConfigError] = []
    form = attempt(node, _Service, faults, scalars=_SCALARS)
    record = _record(node, form, faults) if form is not None else None
    if record is None or faults:
        return Flaw(key=_key(node), faults=tuple(faults))
    return Unit(key=record.key, value=ShortService(record), place=node)


def _key(node: AnyNode) -> str | None:
    """The key of a service whatever else is wrong with it."""
    if not isinstance(node, MappingNode):
        return None
    host, namespace = node.get("host"), node.get("namespace")
    if not isinstance(host, ScalarNode) or not isinstance(namespace, ScalarNode | None):
        return None
    try:
        name = Hostname(host.text)
    except ValueError:
        return None
    return unit_key(
        "service", namespace.text if namespace and not namespace.is_null else None, name
    )


def _record(node: AnyNode, form: _Service, faults: list[ConfigError]) -> ServiceRecord | None:
    ports = tuple(_port(one, len(form.ports) == 1) for one in form.ports)
    endpoints = [
        endpoint for below in form.endpoints for endpoint in _endpoints(below, ports, faults)
    ]
    resolution = Resolution.ALIAS if form.alias_of else form.resolution
    service = tried(
        node,
        faults,
        lambda: Service(
            form.host,
            ports=ports,
            resolution=resolution,
            addresses=form.addresses,
            labels=form.labels,
            namespace=form.namespace,
            is_external=form.external,
            alias_of=form.alias_of,
            export_to=form.export_to,
        ),
    )
    if service is None:
        return None
    key = RecordKey(unit_key("service", form.namespace, form.host))
    return tried(node, faults, lambda: ServiceRecord(service, endpoints, key=key))


def _port(form: _Port, is_only: bool) -> Port:
    protocol = form.protocol
    if protocol is None:
        protocol = Protocol.from_port_name(form.name) if form.name else Protocol.HTTP
    spoken = protocol.value.lower()
    return Port(form.name or (spoken if is_only else f"{spoken}-{form.port}"), form.port, protocol)


def _endpoints(
    node: AnyNode, ports: tuple[Port, ...], faults: list[ConfigError]
) -> Iterator[Endpoint]:
    if isinstance(node, ScalarNode):
        only = _only(node, ports, faults)
        if only is None:
            return
        short = tried(node, faults, lambda: Endpoint.parse(node.text, service_port=only))
        if short is not None:
            yield short
        return
    form = attempt(node, _Endpoint, faults, scalars=_SCALARS)
    if form is None or not isinstance(node, MappingNode):
        return
    place = node.get("address") or node
    address = tried(place, faults, lambda: canonical_address(form.address))
    if address is None:
        return
    locality = form.locality or Locality(form.region, form.zone, form.sub_zone)
    for service_port, number in _numbers(node, form, ports, faults):

        def make(service_port: str = service_port, number: int = number) -> Endpoint:
            return Endpoint(
                address=address,
                port=number,
                service_port=service_port,
                network=form.network,
                cluster=form.cluster,
                workload_identity=form.workload_identity,
                locality=locality,
                health=form.health,
                weight=form.weight,
                labels=form.labels,
            )

        made = tried(node, faults, make)
        if made is not None:
            yield made


def _numbers(
    node: MappingNode, form: _Endpoint, ports: tuple[Port, ...], faults: list[ConfigError]
) -> Iterator[tuple[str, int]]:
    """For each port of the service that the endpoint has, its number there."""
    names = [port.name for port in ports]
    if form.port is not None and form.ports:
        faults.append((node.get("ports") or node).fault("port and ports contradict", "keep one"))
    elif form.ports:
        given = node.get("ports")
        for name, number in form.ports.items():
            if name in names:
                yield name, number
            elif isinstance(given, MappingNode):
                place = given.get(name) or given
                faults.append(
                    place.fault(f"the service has no port {name}", suggestion(name, names))
                )
    elif form.port is None and not form.address.startswith("unix:"):
        faults.append(node.fault("the endpoint has no port", "add port: or ports: {name: number}"))
    elif only := _only(node.get("port") or node, ports, faults):
        yield only, form.port or 0


def _only(node: AnyNode, ports: tuple[Port, ...], faults: list[ConfigError]) -> str | None:
    if len(ports) == 1:
        return ports[0].name
    example = ", ".join(f"{port.name}: {port.number}" for port in ports)
    faults.append(
        node.fault(
            f"the service has {len(ports)} ports, so one number does not say which",
            f"write {{address: …, ports: {{{example}}}}}",
        )
    )
    return None
