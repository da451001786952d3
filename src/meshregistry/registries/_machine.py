"""What an agent says when it registers its machine: a JSON document to records. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen
from attrs.validators import ge, le, matches_re, optional

from meshregistry.documents import (
    Document,
    MappingNode,
    ScalarNode,
    Scalars,
    Seconds,
    SequenceNode,
    attempt,
    decode,
    parse,
)
from meshregistry.errors import ConfigError
from meshregistry.model import (
    AddressKind,
    Endpoint,
    Health,
    Hostname,
    Labels,
    Locality,
    Port,
    Protocol,
    Service,
    ServiceRecord,
    address_kind,
    canonical_address,
)
from meshregistry.registries._file_entries import entry_records, is_selected
from meshregistry.registries._file_units import Workload, tried

if TYPE_CHECKING:
    from meshregistry.documents import AnyNode
    from meshregistry.registries._file_units import Group
    from meshregistry.registries._group_book import Groups

_FILE = "body"
_SCALARS: Scalars = {Hostname: Hostname.parse, Protocol: Protocol.parse, Locality: Locality.parse}
_IS_PORT = [ge(1), le(65535)]


@frozen(kw_only=True)
class _Port:
    port: int = field(validator=_IS_PORT)
    name: str | None = None
    protocol: Protocol | None = None
    target: int | None = field(default=None, validator=optional(_IS_PORT))


@frozen(kw_only=True)
class _Machine:
    address: str
    host: Hostname | None = None
    hosts: tuple[Hostname, ...] = ()
    group: str = ""
    namespace: str | None = field(default=None, validator=optional(matches_re(r"[A-Za-z0-9._-]+")))
    port: int | None = field(default=None, validator=optional(_IS_PORT))
    ports: Any = None
    labels: dict[str, str] = field(factory=dict)
    locality: Locality = Locality()
    network: str = ""
    weight: int | None = field(default=None, validator=optional(ge(1)))
    health: Health = Health.HEALTHY
    service_account: str = ""
    ttl: Seconds | None = None


@frozen
class _Called:
    """A port of a service, and where the machine listens for it."""

    port: Port
    target: int


@frozen
class Machine:
    """What is to be registered.

    Attributes:
        records: one for each service, with a namespace, and the endpoints of this machine.
        ttl: in seconds; None if the agent leaves it open.
    """

    records: tuple[ServiceRecord, ...]
    ttl: Seconds | None


def read_machine(content: bytes, groups: Groups, *, namespace: str, trust_domain: str) -> Machine:
    """Read the document of an agent.

    With `host` or `hosts`, a service of that name has the machine as an endpoint. With `group`
    it takes from a WorkloadGroup what it does not say itself; without hosts, the service
    entries that select the workloads of the group say which services it belongs to.

    Args:
        content: JSON.
        groups: what there is to be a member of.
        namespace: of what names none.
        trust_domain: of the identity that a service account stands for.

    Raises:
        ConfigError: for all faults, joined.
    """
    node = _node(content)
    faults: list[ConfigError] = []
    form = attempt(node, _Machine, faults, scalars=_SCALARS)
    if form is None or not isinstance(node, MappingNode):
        raise ConfigError.joined(faults)
    records = _Reader(node, form, groups, faults).records(namespace, trust_domain)
    if faults:
        raise ConfigError.joined(faults)
    return Machine(tuple(records), form.ttl)


def _node(content: bytes) -> AnyNode:
    text = decode(content, file=_FILE)
    try:
        # Read twice, so that what is taken is JSON and no more of YAML than that.
        json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"is not JSON: {error}", file=_FILE, remedy="send a JSON object"
        ) from None
    (document,) = parse(text, file=_FILE) or (None,)
    if isinstance(document, Document):
        return document.root
    if document is None:  # pragma: no cover - JSON is never empty
        raise ConfigError("is empty", file=_FILE, remedy="send a JSON object")
    raise document


class _Reader:
    def __init__(
        self, node: MappingNode, form: _Machine, groups: Groups, faults: list[ConfigError]
    ) -> None:
        self._node = node
        self._form = form
        self._groups = groups
        self._faults = faults

    def records(self, default: str, trust_domain: str) -> list[ServiceRecord]:
        """One for each service; none if something is wrong."""
        form = self._form
        hosts = dict.fromkeys((*form.hosts, *([form.host] if form.host else [])))
        namespace, group = self._group(default)
        workload = self._workload(namespace, trust_domain)
        if workload is None or self._faults:
            return []
        if group is not None:
            workload = evolve(group.completed(workload), probe=None)
        if hosts:
            called = self._called(workload)
            return [
                record
                for host in hosts
                if (record := self._record(host, namespace, workload, called)) is not None
            ]
        if group is None:
            self._wrong("host", "neither a host nor a group is named", "add host: or group:")
            return []
        return self._selected(namespace, workload)

    def _group(self, default: str) -> tuple[str, Group | None]:
        """The namespace, and the group if one is named."""
        form = self._form
        namespace = default if form.namespace is None else form.namespace
        if not form.group:
            return namespace, None
        own, slash, name = form.group.rpartition("/")
        if slash and form.namespace is not None and own != form.namespace:
            self._wrong("group", f"it is not of the namespace {namespace}", "leave one of them out")
        namespace = own if slash else namespace
        group = self._groups.groups.get((namespace, name))
        if group is None:
            known = ", ".join(f"{space}/{one}" for space, one in sorted(self._groups.groups))
            remedy = f"write one of {known}" if known else "add it to a source of the kind file"
            self._wrong("group", f"there is no WorkloadGroup {namespace}/{name}", remedy)
        return namespace, group

    def _workload(self, namespace: str, trust_domain: str) -> Workload | None:
        form = self._form
        place = self._node.get("address") or self._node
        address = tried(place, self._faults, lambda: canonical_address(form.address))
        if address is None:
            return None
        if address_kind(address) is not AddressKind.IP:
            self._wrong("address", f"{address} is no IP address", "write the one of the machine")
        account = form.service_account
        return Workload(
            namespace=namespace,
            address=address,
            ports={one.port.name: one.target for one in self._given()},
            labels=Labels(form.labels),
            locality=form.locality,
            weight=form.weight or 0,
            network=form.network,
            identity=f"spiffe://{trust_domain}/ns/{namespace or 'default'}/sa/{account}"
            if account
            else "",
            health=form.health,
            place=self._node,
        )

    def _given(self) -> list[_Called]:
        """The ports that the agent names itself."""
        node = self._form.ports
        if self._form.port is not None and node is not None:
            self._wrong("ports", "port and ports contradict", "keep one")
        elif self._form.port is not None:
            return [_called(_Port(port=self._form.port), is_only=True)]
        if isinstance(node, SequenceNode):
            forms = [attempt(one, _Port, self._faults, scalars=_SCALARS) for one in node.items]
            return [_called(one, is_only=len(forms) == 1) for one in forms if one is not None]
        if isinstance(node, MappingNode):
            numbers = [(key.text, self._number(below)) for key, below in node.entries]
            return [
                _called(_Port(port=number, name=name), is_only=False)
                for name, number in numbers
                if number
            ]
        if node is not None:
            remedy = "write {http: 8080}, or [{port: 80, name: http, target: 8080}]"
            self._wrong("ports", f"must be a mapping or a list, not {node.kind}", remedy)
        return []

    def _number(self, node: AnyNode) -> int:
        """A port; 0 and a fault if it is none."""
        number = node.as_int() if isinstance(node, ScalarNode) else None
        if number is None or not 1 <= number <= 65535:  # noqa: PLR2004 - the highest port
            self._faults.append(node.fault("must be a port", "write a number from 1 to 65535"))
            return 0
        return number

    def _called(self, workload: Workload) -> list[_Called]:
        """The ports of a service that the agent names: its own, else those of the group."""
        called = self._given() or [
            _called(_Port(port=number, name=name), is_only=False)
            for name, number in workload.ports.items()
        ]
        if not called and not self._faults:
            self._wrong("port", "the service has no port", "add port: or ports:")
        return called

    def _record(
        self, host: Hostname, namespace: str, workload: Workload, called: list[_Called]
    ) -> ServiceRecord | None:
        def make() -> ServiceRecord:
            service = Service(host, ports=[one.port for one in called], namespace=namespace)
            endpoints = [
                Endpoint(
                    address=workload.address,
                    port=one.target,
                    service_port=one.port.name,
                    network=workload.network,
                    workload_identity=workload.identity,
                    locality=workload.locality,
                    health=workload.health,
                    weight=workload.weight or 1,
                    labels=workload.labels,
                )
                for one in called
            ]
            return ServiceRecord(service, endpoints)

        return tried(self._node, self._faults, make) if called else None

    def _selected(self, namespace: str, workload: Workload) -> list[ServiceRecord]:
        """The services whose entries select a member of the group."""
        records: list[ServiceRecord] = []
        for space, entry in self._groups.entries:
            own = evolve(workload, namespace=entry.namespace)
            if space == namespace and is_selected(entry, own):
                for record in entry_records(entry, [own], self._faults, {}):
                    service = evolve(record.service, namespace=namespace)
                    records.append(ServiceRecord(service, record.endpoints))
        if not records and not self._faults:
            self._wrong(
                "group",
                "no ServiceEntry of its namespace selects its workloads",
                "add host:, or a ServiceEntry with a workloadSelector",
            )
        return records

    def _wrong(self, key: str, reason: str, remedy: str) -> None:
        place = self._node.get(key) or evolve(self._node, path=key)
        self._faults.append(place.fault(reason, remedy))


def _called(form: _Port, *, is_only: bool) -> _Called:
    protocol = form.protocol
    if protocol is None:
        protocol = Protocol.from_port_name(form.name) if form.name else Protocol.HTTP
    spoken = protocol.value.lower()
    name = form.name or (spoken if is_only else f"{spoken}-{form.port}")
    return _Called(Port(name, form.port, protocol), form.target or form.port)
