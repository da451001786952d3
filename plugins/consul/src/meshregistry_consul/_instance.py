"""One entry of ``/v1/health/service``, read; pure."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from meshregistry.model import AddressKind as Kind
from meshregistry.model import Health, Hostname, Labels, Locality, Protocol, address_kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from meshregistry_consul._config import ConsulConfig

_STATES = ("passing", "warning", "critical", "maintenance")


@frozen(kw_only=True)
class Instance:
    """What matters of one instance of a service.

    Attributes:
        id: node and service id; a service id is unique on its node only.
        address: where it answers, as Consul has it.
        ports: names, numbers and protocols.
        health: None if instances in its state are left out.
        weight: for its state.
        labels: of tags and metadata.
        locality: of metadata.
        datacenter: where its node is.
        virtual: the address of the service as a whole, if it is known.
        external: the name outside the mesh, by the convention of 2017; ``""`` without.
        notes: what of it was not understood.
    """

    id: tuple[str, str]
    address: str
    ports: tuple[tuple[str, int, Protocol], ...]
    health: Health | None
    weight: int
    labels: Labels = field(factory=Labels)
    locality: Locality = Locality()
    datacenter: str = ""
    virtual: str = ""
    external: str = ""
    notes: tuple[str, ...] = ()


def instance_of(entry: Any, config: ConsulConfig) -> Instance | None:
    """Read one entry; None if instances of its kind are not asked for.

    Raises:
        ValueError: if it is not what Consul sends.
    """
    node, service = _object(entry, "Node"), _object(entry, "Service")
    if not _is_included(service, config):
        return None
    state = worst_state(_list(entry, "Checks"))
    tags, notes = tag_labels(map(str, _list(service, "Tags")), config.tags)
    meta, node_meta = _texts(service, "Meta"), _texts(node, "Meta")
    chosen = {key: node_meta[key] for key in config.node_meta if key in node_meta}
    address, port = _address(node, service, config.tagged_address)
    ports, port_notes = _ports(service, port, meta, node_meta, config)
    # Consul's convention of 2017 marks whole nodes as outside the mesh.
    external = node_meta.get("external", "") if config.tags == "key|value" else ""
    shown: str = getattr(config.health, state)
    return Instance(
        id=(_text(node, "Node"), _text(service, "ID")),
        address=address,
        ports=ports,
        health=None if shown == "OMIT" else Health(shown),
        weight=_weight(service, state),
        labels=Labels({**tags, **chosen, **(meta if config.meta else {})}),
        locality=_locality(node, service, {**node_meta, **meta}, config),
        datacenter=_text(node, "Datacenter"),
        virtual=_tagged(service, config.virtual_address)[0],
        external=external,
        notes=(*notes, *port_notes),
    )


def worst_state(checks: Iterable[Any]) -> str:
    """The worst of the checks of an instance and of its node; without checks it passes.

    Maintenance mode is a critical check of a name that Consul reserves.
    """
    worst = "passing"
    for check in checks:
        status, check_id = _text(check, "Status"), _text(check, "CheckID")
        if check_id == "_node_maintenance" or check_id.startswith("_service_maintenance:"):
            status = "maintenance"
        elif status not in _STATES:
            status = "critical"
        worst = max(worst, status, key=_STATES.index)
    return worst


def tag_labels(tags: Iterable[str], convention: str) -> tuple[dict[str, str], list[str]]:
    """Labels of tags, and a note for each tag that the convention of 2017 does not know.

    ``key=value`` makes a bare tag a label without a value; ``key|value`` ignores it.
    """
    labels: dict[str, str] = {}
    notes: list[str] = []
    if convention == "none":
        return labels, notes
    separator = convention.removeprefix("key").removesuffix("value")
    for tag in tags:
        key, found, value = tag.partition(separator)
        if key and (found or separator == "="):
            labels.setdefault(key, value)
        elif separator == "|":
            notes.append(f"the tag {tag!r} is not of the form key|value and is ignored")
    return labels, notes


def _is_included(service: Mapping[str, Any], config: ConsulConfig) -> bool:
    kind = _text(service, "Kind")
    if kind and kind not in config.include:
        return False
    native = _object(service, "Connect", is_optional=True).get("Native")
    return not native or "connect-native" in config.include


def _address(
    node: Mapping[str, Any], service: Mapping[str, Any], preferred: Iterable[str]
) -> tuple[str, int]:
    """An instance without an address is at its node's (Consul's HTTP API, health endpoint)."""
    port = _number(service, "Port")
    for name in preferred:
        address, tagged_port = _tagged(service, name)
        if address:
            return address, tagged_port or port
    if own := _text(service, "Address"):
        return own, port
    addresses = _texts(node, "TaggedAddresses")
    tagged = next((addresses[name] for name in preferred if addresses.get(name)), "")
    return tagged or _text(node, "Address"), port


def _tagged(service: Mapping[str, Any], name: str) -> tuple[str, int]:
    every = _object(service, "TaggedAddresses", is_optional=True)
    if not name or every.get(name) is None:
        return "", 0
    return _text(_object(every, name), "Address"), _number(every[name], "Port")


def _ports(
    service: Mapping[str, Any],
    port: int,
    meta: Mapping[str, str],
    node_meta: Mapping[str, str],
    config: ConsulConfig,
) -> tuple[tuple[tuple[str, int, Protocol], ...], list[str]]:
    """The ports with their protocols: named by Consul itself, or by metadata, or not at all."""
    key = config.protocol_meta
    name = (meta.get(key) or node_meta.get(key) or config.protocol).lower()
    listed = [one for one in _list(service, "Ports") if _number(one, "Port")]
    if listed and config.service_port is None:
        named = [(_text(one, "Name").lower() or name, _number(one, "Port")) for one in listed]
    else:
        default = next((_number(one, "Port") for one in listed if one.get("Default")), port)
        named = [(name, default)] if default else []
    ports: list[tuple[str, int, Protocol]] = []
    notes: list[str] = []
    for one, number in named:
        protocol = Protocol.from_port_name(one)
        if protocol is Protocol.UNSUPPORTED:
            protocol = Protocol.parse(config.protocol) if listed else Protocol.TCP
            if not listed:
                notes.append(f"{one!r} does not begin with a protocol, so it is taken as TCP")
        ports.append((one, number, protocol))
    return tuple(ports), notes


def _weight(service: Mapping[str, Any], state: str) -> int:
    weights = _object(service, "Weights", is_optional=True)
    name = "Warning" if state == "warning" else "Passing"
    return _number(weights, name) if weights.get(name) is not None else 1


def _locality(
    node: Mapping[str, Any],
    service: Mapping[str, Any],
    meta: Mapping[str, str],
    config: ConsulConfig,
) -> Locality:
    own = _object(service, "Locality", is_optional=True)
    own = own or _object(node, "Locality", is_optional=True)
    keys = config.locality
    return Locality(
        meta.get(keys.region) or _text(own, "Region") or _text(node, "Datacenter"),
        meta.get(keys.zone) or _text(own, "Zone"),
        meta.get(keys.sub_zone, ""),
    )


def external_name(instance: Instance) -> str:
    """The DNS name that stands for an external service, if its node gives one."""
    with contextlib.suppress(ValueError):
        name = Hostname(instance.external)
        if "." in name and address_kind(name) is Kind.DNS:
            return name
    return ""


# --- Reading JSON: older servers send null where newer ones send an empty value ------


def _object(value: Any, key: str, *, is_optional: bool = False) -> Mapping[str, Any]:
    found = value.get(key) if isinstance(value, dict) else None
    if found is None and is_optional:
        return {}
    if not isinstance(found, dict):
        msg = f"{key} is {found!r} and not an object"
        raise ValueError(msg)  # noqa: TRY004 - a wrong answer, not a wrong argument
    return found


def _list(value: Mapping[str, Any], key: str) -> Iterator[Any]:
    found = value.get(key)
    if not isinstance(found, list | None):
        msg = f"{key} is {found!r} and not a list"
        raise ValueError(msg)  # noqa: TRY004 - a wrong answer, not a wrong argument
    return iter(found or ())


def _texts(value: Mapping[str, Any], key: str) -> dict[str, str]:
    return {name: str(text) for name, text in _object(value, key, is_optional=True).items()}


def _text(value: Any, key: str) -> str:
    found = value.get(key) if isinstance(value, dict) else value
    if not isinstance(value, dict) or not isinstance(found, str | None):
        msg = f"{key} is {found!r} and not a text"
        raise ValueError(msg)  # noqa: TRY004 - a wrong answer, not a wrong argument
    return found or ""


def _number(value: Any, key: str) -> int:
    found = value.get(key) if isinstance(value, dict) else value
    is_number = isinstance(found, int | None) and not isinstance(found, bool)
    if not isinstance(value, dict) or not is_number:
        msg = f"{key} is {found!r} and not a number"
        raise ValueError(msg)
    return found or 0
