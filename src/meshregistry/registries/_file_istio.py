"""Istio's ServiceEntry, WorkloadEntry and WorkloadGroup documents, as they are.

Fields and their meaning follow the reference of networking.istio.io; unknown fields are
faults like everywhere else. What a ServiceEntry becomes: `_file_entries`.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen
from attrs.validators import ge, le, min_len, optional

from meshregistry.documents import (
    AnyNode,
    MappingNode,
    ScalarNode,
    Scalars,
    SequenceNode,
    attempt,
)
from meshregistry.model import (
    Hostname,
    Labels,
    Locality,
    Protocol,
    Resolution,
    canonical_address,
)
from meshregistry.registries._file_entries import entry_records, misplaced
from meshregistry.registries._file_groups import GroupForm, group_of, read_probe
from meshregistry.registries._file_units import (
    EntryPort,
    Flaw,
    Group,
    ServiceEntry,
    Unit,
    Workload,
    tried,
    unit_key,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from meshregistry.errors import ConfigError

KINDS = ("ServiceEntry", "WorkloadEntry", "WorkloadGroup")
_VERSIONS = tuple(f"networking.istio.io/{version}" for version in ("v1", "v1beta1", "v1alpha3"))
_HIGHEST_PORT = 65535
_NETWORK_LABEL = "topology.istio.io/network"
_SCALARS: Scalars = {Hostname: Hostname.parse, Protocol: Protocol.parse, Locality: Locality.parse}


class _Resolution(enum.Enum):
    NONE = "NONE"
    STATIC = "STATIC"
    DNS = "DNS"
    DNS_ROUND_ROBIN = "DNS_ROUND_ROBIN"


class _Location(enum.Enum):
    MESH_EXTERNAL = "MESH_EXTERNAL"
    MESH_INTERNAL = "MESH_INTERNAL"


# Passing on, choosing from a list, and asking DNS are what the model knows; the proxy's way
# of balancing over the answers of DNS is a detail of the cluster.
_RESOLUTIONS = {
    _Resolution.NONE: Resolution.PASSTHROUGH,
    _Resolution.STATIC: Resolution.EDS,
    _Resolution.DNS: Resolution.DNS,
    _Resolution.DNS_ROUND_ROBIN: Resolution.DNS,
}


@frozen(kw_only=True)
class _Metadata:
    name: str = field(validator=min_len(1))
    namespace: str | None = None
    labels: dict[str, str] = field(factory=dict)


@frozen(kw_only=True)
class _Port:
    number: int = field(validator=[ge(1), le(_HIGHEST_PORT)])
    name: str = field(validator=min_len(1))
    protocol: Protocol | None = None
    target: int | None = field(
        default=None, alias="targetPort", validator=optional([ge(1), le(_HIGHEST_PORT)])
    )


@frozen(kw_only=True)
class _Selector:
    labels: dict[str, str] = field(validator=min_len(1))


def _are_ports(_form: object, _attribute: object, ports: dict[str, int]) -> None:
    for name, number in ports.items():
        if not 1 <= number <= _HIGHEST_PORT:
            msg = f"the port {name} is {number}: write a number from 1 to {_HIGHEST_PORT}"
            raise ValueError(msg)


@frozen(kw_only=True)
class _Template:
    ports: dict[str, int] = field(factory=dict, validator=_are_ports)
    labels: dict[str, str] = field(factory=dict)
    network: str = ""
    locality: Locality = Locality()
    weight: int = field(default=0, validator=ge(0))
    service_account: str = field(default="", alias="serviceAccount")


@frozen(kw_only=True)
class _Workload(_Template):
    address: str


@frozen(kw_only=True)
class _Entry:
    hosts: tuple[Hostname, ...] = field(validator=min_len(1))
    ports: tuple[_Port, ...] = field(validator=min_len(1))
    addresses: tuple[Any, ...] = ()
    location: _Location = _Location.MESH_EXTERNAL
    resolution: _Resolution = _Resolution.NONE
    endpoints: tuple[Any, ...] = ()
    selector: _Selector | None = field(default=None, alias="workloadSelector")
    export_to: tuple[str, ...] = field(default=("*",), alias="exportTo")
    subject_alt_names: tuple[str, ...] = field(default=(), alias="subjectAltNames")


def istio_unit(root: MappingNode, trust_domain: str) -> Unit | Flaw:
    """Read one document of one of `KINDS`."""
    faults: list[ConfigError] = []
    kind = root.get("kind")
    name = kind.text if isinstance(kind, ScalarNode) else ""
    version = root.get("apiVersion")
    if not isinstance(version, ScalarNode) or version.text not in _VERSIONS:
        faults.append(
            (version or root).fault("is not a version that we read", f"write {_VERSIONS[0]}")
        )
    faults += root.unknown(["apiVersion", "kind", "metadata", "spec", "status"])
    metadata = _metadata(root, faults)
    if metadata is None:
        return Flaw(key=None, faults=tuple(faults))
    key = unit_key(name, metadata.namespace, metadata.name)
    spec = root.get("spec")
    notes: list[ConfigError] = []
    value: ServiceEntry | Workload | Group | None = None
    if spec is None:
        faults.append(root.fault("the document has no spec", "add spec:"))
    elif name == "ServiceEntry":
        value = _entry(spec, metadata, trust_domain, faults, notes)
    elif name == "WorkloadGroup":
        value = _group(spec, metadata, trust_domain, faults)
    else:
        value = _workload(spec, metadata.namespace, metadata.labels, trust_domain, faults)
        if value is not None:
            value = evolve(value, group=group_of(root))
    if value is None or faults:
        return Flaw(key=key, faults=tuple(faults))
    return Unit(key=key, value=value, place=root, notes=tuple(notes))


def _metadata(root: MappingNode, faults: list[ConfigError]) -> _Metadata | None:
    node = root.get("metadata")
    if not isinstance(node, MappingNode):
        faults.append(
            (node or root).fault("the document has no metadata", "add metadata: {name: …}")
        )
        return None
    # What a cluster adds (uid, managedFields …) says nothing to us.
    return attempt(node.only(["name", "namespace", "labels"]), _Metadata, faults)


def _workload(
    node: AnyNode,
    namespace: str | None,
    labels: dict[str, str],
    trust_domain: str,
    faults: list[ConfigError],
) -> Workload | None:
    form = attempt(node, _Workload, faults, scalars=_SCALARS)
    if form is None or not isinstance(node, MappingNode):
        return None
    place = node.get("address") or node
    address = tried(place, faults, lambda: canonical_address(form.address))
    if address is None:
        return None
    return _made(
        node,
        form,
        address=address,
        namespace=namespace,
        labels=labels,
        trust_domain=trust_domain,
    )


def _made(
    node: MappingNode,
    form: _Template,
    *,
    address: str,
    namespace: str | None,
    labels: Mapping[str, str],
    trust_domain: str,
) -> Workload:
    own = Labels({**labels, **form.labels})
    account = form.service_account
    return Workload(
        namespace=namespace,
        address=address,
        ports=form.ports,
        labels=own,
        locality=form.locality,
        weight=form.weight,
        network=form.network or own.get(_NETWORK_LABEL, ""),
        identity=f"spiffe://{trust_domain}/ns/{namespace or 'default'}/sa/{account}"
        if account
        else "",
        place=node,
    )


def _group(
    node: AnyNode, metadata: _Metadata, trust_domain: str, faults: list[ConfigError]
) -> Group | None:
    form = attempt(node, GroupForm, faults)
    if form is None or not isinstance(node, MappingNode):
        return None
    template = attempt(form.template, _Template, faults, scalars=_SCALARS)
    probe = None if form.probe is None else read_probe(form.probe, faults)
    if template is None or not isinstance(form.template, MappingNode):
        return None
    made = _made(
        form.template,
        template,
        address="",
        namespace=metadata.namespace,
        labels=form.metadata.labels,
        trust_domain=trust_domain,
    )
    return Group(
        namespace=metadata.namespace, name=metadata.name, template=made, probe=probe, place=node
    )


def _entry(
    node: AnyNode,
    metadata: _Metadata,
    trust_domain: str,
    faults: list[ConfigError],
    notes: list[ConfigError],
) -> ServiceEntry | None:
    form = attempt(node, _Entry, faults, scalars=_SCALARS)
    if form is None or not isinstance(node, MappingNode):
        return None
    found = [
        _workload(below, metadata.namespace, {}, trust_domain, faults) for below in form.endpoints
    ]
    workloads = tuple(one for one in found if one is not None)
    entry = ServiceEntry(
        namespace=metadata.namespace,
        name=metadata.name,
        hosts=tuple(dict.fromkeys(str(host) for host in form.hosts)),
        addresses=tuple(_addresses(form.addresses, faults, notes)),
        ports=tuple(_port(port) for port in form.ports),
        resolution=_RESOLUTIONS[form.resolution],
        is_external=form.location is _Location.MESH_EXTERNAL,
        workloads=workloads,
        selector=Labels(form.selector.labels) if form.selector else None,
        export_to=form.export_to or ("*",),
        labels=Labels(metadata.labels),
        place=node,
    )
    faults += _contradictions(entry, node)
    if not faults:
        # What is wrong with the entry alone is a fault of this version of it, so that the
        # last good one is kept.
        list(entry_records(entry, (), faults, {}))
    if form.subject_alt_names:
        place = node.get("subjectAltNames") or node
        notes.append(place.fault("the names are not verified yet", "do not rely on them"))
    return entry


def _port(form: _Port) -> EntryPort:
    protocol = form.protocol or Protocol.from_port_name(form.name)
    return EntryPort(
        name=form.name, number=form.number, protocol=protocol, target=form.target or form.number
    )


def _addresses(
    nodes: Iterable[AnyNode], faults: list[ConfigError], notes: list[ConfigError]
) -> Iterator[str]:
    for node in nodes:
        if not isinstance(node, ScalarNode):
            faults.append(node.fault(f"must be an address, not {node.kind}", "write one value"))
            continue
        text, slash, length = node.text.partition("/")
        if slash and length != ("128" if ":" in text else "32"):
            notes.append(
                node.fault(
                    f"the range {node.text} is left out: a service has single addresses",
                    "list the addresses that callers use",
                )
            )
            continue
        address = tried(node, faults, lambda text=text: canonical_address(text))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        if address is not None:
            yield address


def _contradictions(entry: ServiceEntry, node: MappingNode) -> Iterator[ConfigError]:
    """What the reference of ServiceEntry forbids."""
    endpoints = node.get("endpoints") or node
    if entry.workloads and entry.selector is not None:
        yield endpoints.fault("endpoints and workloadSelector exclude each other", "keep one")
    if entry.resolution is Resolution.PASSTHROUGH and entry.workloads:
        yield endpoints.fault("resolution NONE has no endpoints", "write resolution: STATIC")
    for workload in entry.workloads:
        yield from misplaced(entry, workload)
    if entry.resolution is Resolution.DNS and not entry.workloads and entry.selector is None:
        for host in entry.hosts:
            if Hostname(host).is_wildcard:
                yield (node.get("hosts") or node).fault(
                    f"the wildcard {host} cannot be resolved by DNS",
                    "list endpoints, or write resolution: NONE",
                )


def listed(root: MappingNode) -> SequenceNode | None:
    """The items of a ``List``, as ``kubectl get -o yaml`` prints several objects."""
    kind, items = root.get("kind"), root.get("items")
    is_one = isinstance(kind, ScalarNode) and kind.text.endswith("List")
    return items if is_one and isinstance(items, SequenceNode) else None
