"""EgressRule of 2017 (config.istio.io/v1alpha2): a service outside of the mesh."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field, frozen
from attrs.validators import ge, le, min_len

from meshregistry.documents import MappingNode, ScalarNode, attempt
from meshregistry.model import Hostname, Labels, Protocol, Resolution
from meshregistry.registries._file_units import EntryPort, Flaw, ServiceEntry, Unit, unit_key

if TYPE_CHECKING:
    from meshregistry.documents import AnyNode
    from meshregistry.errors import ConfigError

KIND = "EgressRule"
_VERSION = "config.istio.io/v1alpha2"
_PROTOCOLS = ("http", "http2", "grpc", "tcp", "mongo", "redis")


@frozen(kw_only=True)
class _Metadata:
    name: str = field(validator=min_len(1))
    namespace: str | None = None
    labels: dict[str, str] = field(factory=dict)


@frozen(kw_only=True)
class _Destination:
    service: str = field(validator=min_len(1))


@frozen(kw_only=True)
class _Port:
    port: int = field(validator=[ge(1), le(65535)])
    protocol: str


@frozen(kw_only=True)
class _Rule:
    destination: _Destination
    ports: tuple[_Port, ...] = field(validator=min_len(1))
    proxy: Any = field(default=None, alias="useEgressProxy")


def egress_unit(root: MappingNode) -> Unit | Flaw:
    """Read one EgressRule: a service by its DNS name, with these ports."""
    faults: list[ConfigError] = []
    version = root.get("apiVersion")
    if not isinstance(version, ScalarNode) or version.text != _VERSION:
        faults.append((version or root).fault("is not a version that we read", f"write {_VERSION}"))
    faults += root.unknown(["apiVersion", "kind", "metadata", "spec", "status"])
    node = root.get("metadata")
    kept = node.only(["name", "namespace", "labels"]) if isinstance(node, MappingNode) else None
    metadata = None if kept is None else attempt(kept, _Metadata, faults)
    if metadata is None:
        if kept is None:
            faults.append(root.fault("the document has no metadata", "add metadata: {name: …}"))
        return Flaw(key=None, faults=tuple(faults))
    key = unit_key(KIND, metadata.namespace, metadata.name)
    spec = root.get("spec")
    if spec is None:
        faults.append(root.fault("the document has no spec", "add spec:"))
    entry = None if spec is None else _entry(spec, metadata, faults)
    if entry is None or faults:
        return Flaw(key=key, faults=tuple(faults))
    return Unit(key=key, value=entry, place=root)


def _entry(node: AnyNode, metadata: _Metadata, faults: list[ConfigError]) -> ServiceEntry | None:
    form = attempt(node, _Rule, faults)
    if form is None or not isinstance(node, MappingNode):
        return None
    place = node.get("destination") or node
    host = form.destination.service
    if form.proxy is not None:
        faults.append(
            (node.get("useEgressProxy") or node).fault(
                "there is no egress proxy", "take it out, or write a gateway and routes to it"
            )
        )
    try:
        whole = Hostname(host)
    except ValueError:
        whole = None
    if whole is None or "*" in host or "/" in host or host.replace(".", "").isdecimal():
        faults.append(
            place.fault(
                f"{host!r} is not the name of one host",
                "name each host; ranges and wildcards need interception",
            )
        )
    ports: dict[int, EntryPort] = {}
    for one in form.ports:
        protocol = one.protocol.lower()
        if one.port in ports:
            faults.append(node.fault(f"the port {one.port} is given twice", "keep one of them"))
        if protocol not in _PROTOCOLS:
            remedy = f"write one of {', '.join(_PROTOCOLS)}"
            if protocol == "https":
                remedy = "write http, and a DestinationRule with tls: {mode: SIMPLE}"
            faults.append(node.fault(f"{one.protocol!r} is not a protocol here", remedy))
            continue
        name = f"{protocol}-{one.port}"
        ports[one.port] = EntryPort(
            name=name, number=one.port, protocol=Protocol.parse(protocol), target=one.port
        )
    return ServiceEntry(
        namespace=metadata.namespace,
        name=metadata.name,
        hosts=(host.lower(),),
        addresses=(),
        ports=tuple(ports.values()),
        resolution=Resolution.DNS,
        is_external=True,
        workloads=(),
        selector=None,
        export_to=("*",),
        labels=Labels(metadata.labels),
        place=node,
    )
