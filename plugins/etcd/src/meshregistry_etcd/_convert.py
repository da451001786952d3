"""Our own documents in etcd: from and to service records; and several keys to one record. Pure."""

from __future__ import annotations

import hashlib
import json
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import evolve

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
    ServiceKey,
    ServiceRecord,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshregistry.model import EndpointKey

T = TypeVar("T")
E = TypeVar("E", bound=Enum)


def json_object(value: bytes) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ValueError: if the value is none.
    """
    try:
        document = json.loads(value)
    except RecursionError:
        msg = "the value is nested too deeply to be read"
        raise ValueError(msg) from None
    except ValueError as error:
        msg = f"the value is not JSON: {error}"
        raise ValueError(msg) from error
    if not isinstance(document, dict):
        msg = f"the value is not a JSON object but a {type(document).__name__}"
        raise ValueError(msg)  # noqa: TRY004 - of the value's content, not of an argument's type
    return document


def taken(document: dict[str, Any], name: str, kind: type[T], default: T) -> T:
    """A field of the document; null counts as absent.

    Raises:
        ValueError: if it is of another type.
    """
    value = document.get(name)
    if value is None:
        return default
    # True and False are integers to Python and not to anybody else.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        msg = f"{name} must be {_NAMES[kind]}, not {json.dumps(value)[:60]}"
        raise ValueError(msg)
    if isinstance(value, str):
        is_text(value)
    return value


def is_text(text: str) -> str:
    """The text, unless it has half a surrogate pair, which no proxy could be sent.

    Raises:
        ValueError: if it has.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        msg = f"{text!a} is not Unicode text: {error.reason}"
        raise ValueError(msg) from error
    return text


_NAMES: dict[type, str] = {
    str: "a text",
    int: "a whole number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
}


def text_labels(document: dict[str, Any], name: str) -> dict[str, str]:
    """A field with labels, whose values must be texts.

    Raises:
        ValueError: if one is not.
    """
    labels = taken(document, name, dict, {})
    return {is_text(key): taken(labels, key, str, "") for key in labels}


def _texts(document: dict[str, Any], name: str, default: tuple[str, ...]) -> tuple[str, ...]:
    texts = taken(document, name, list, list(default))
    if not all(isinstance(text, str) for text in texts):
        msg = f"{name} must be a list of texts"
        raise ValueError(msg)
    return tuple(texts)


def _objects(document: dict[str, Any], name: str) -> list[Any]:
    return taken(document, name, list, [])


# --- From a document ------------------------------------------------------------------


def service_record(key: ServiceKey, value: bytes) -> ServiceRecord:
    """What one key of our own layout says of a service.

    Raises:
        ValueError: saying what is wrong with the document.
    """
    document = json_object(value)
    ports = [_port(one) for one in _objects(document, "ports")]
    alias_of = taken(document, "alias_of", str, "") or None
    resolution = taken(document, "resolution", str, "ALIAS" if alias_of else "EDS")
    service = Service(
        key.host,
        ports=ports,
        resolution=_member(Resolution, resolution, "resolution"),
        addresses=_texts(document, "addresses", ()),
        labels=text_labels(document, "labels"),
        namespace=key.namespace or None,
        is_external=taken(document, "external", bool, False),
        alias_of=Hostname(alias_of) if alias_of else None,
        export_to=_texts(document, "export_to", ("*",)),
    )
    endpoints = [_endpoint(one, service) for one in _objects(document, "endpoints")]
    return ServiceRecord(service, endpoints, key=RecordKey(str(key)))


def _port(form: Any) -> Port:
    if isinstance(form, int) and not isinstance(form, bool):
        form = {"port": form}
    if not isinstance(form, dict):
        msg = f"a port must be a number or an object, not {json.dumps(form)[:60]}"
        raise ValueError(msg)  # noqa: TRY004 - of the value's content, not of an argument's type
    name, spoken = taken(form, "name", str, ""), taken(form, "protocol", str, "")
    if spoken:
        protocol = Protocol.parse(spoken)
    else:
        protocol = Protocol.from_port_name(name) if name else Protocol.HTTP
    return Port(name or protocol.value.lower(), taken(form, "port", int, 0), protocol)


def _endpoint(form: Any, service: Service) -> Endpoint:
    only = service.ports[0].name if len(service.ports) == 1 else ""
    if isinstance(form, str):
        if not only:
            msg = f"the endpoint {form!r} does not say which port of the service it is; write an object with service_port"
            raise ValueError(msg)
        return Endpoint.parse(form, service_port=only)
    if not isinstance(form, dict):
        msg = f"an endpoint must be a text or an object, not {json.dumps(form)[:60]}"
        raise ValueError(msg)  # noqa: TRY004 - of the value's content, not of an argument's type
    service_port = taken(form, "service_port", str, only)
    if service.port(service_port) is None:
        msg = f"service_port must be the name of a port, not {service_port!r}"
        raise ValueError(msg)
    return Endpoint(
        address=taken(form, "address", str, ""),
        port=taken(form, "port", int, 0),
        service_port=service_port,
        network=taken(form, "network", str, ""),
        cluster=taken(form, "cluster", str, ""),
        workload_identity=taken(form, "workload_identity", str, ""),
        locality=Locality.parse(taken(form, "locality", str, "")),
        health=_member(Health, taken(form, "health", str, "HEALTHY"), "health"),
        weight=taken(form, "weight", int, 1),
        labels=text_labels(form, "labels"),
    )


def _member(enumeration: type[E], value: str, name: str) -> E:
    try:
        return enumeration(value)
    except ValueError:
        members = ", ".join(str(one) for one in enumeration)
        msg = f"{name} must be one of {members}, not {value!r}"
        raise ValueError(msg) from None


# --- To a document --------------------------------------------------------------------


def document(record: ServiceRecord) -> bytes:
    """What a registrar writes of a record; `service_record` reads the same from it."""
    service = record.service
    form: dict[str, Any] = {
        "ports": [
            {"port": port.number, "name": port.name, "protocol": str(port.protocol)}
            for port in service.ports
        ],
        "endpoints": [_endpoint_form(endpoint) for endpoint in record.endpoints],
        "labels": dict(service.labels),
        "addresses": list(service.addresses),
        "resolution": "" if service.resolution is Resolution.EDS else str(service.resolution),
        "external": service.is_external,
        "alias_of": service.alias_of,
    }
    kept = {key: value for key, value in form.items() if value}
    if service.export_to != ("*",):
        kept["export_to"] = list(service.export_to)
    return json.dumps(kept).encode()


def _endpoint_form(endpoint: Endpoint) -> dict[str, Any]:
    form = {
        "address": endpoint.address,
        "port": endpoint.port,
        "service_port": endpoint.service_port,
        "network": endpoint.network,
        "cluster": endpoint.cluster,
        "workload_identity": endpoint.workload_identity,
        "locality": str(endpoint.locality),
        "health": "" if endpoint.health is Health.HEALTHY else str(endpoint.health),
        "labels": dict(endpoint.labels),
    }
    kept: dict[str, Any] = {key: value for key, value in form.items() if value}
    return kept if endpoint.weight == 1 else {**kept, "weight": endpoint.weight}


def instance_id(endpoints: Iterable[EndpointKey]) -> str:
    """The last segment of the key of a registration: equal for equal endpoints.

    So a process that is started again takes over the key that it left behind.
    """
    texts = {key: _text_of(key) for key in sorted(endpoints)}
    if len(texts) == 1 and "/" not in (only := next(iter(texts.values()))):
        return only
    names = [f"{text} {key.network} {key.service_port}" for key, text in texts.items()]
    return hashlib.blake2b("\n".join(names).encode(), digest_size=8).hexdigest()


def _text_of(key: EndpointKey) -> str:
    return str(Endpoint(address=key.address, port=key.port))


# --- Several keys, one record ---------------------------------------------------------


def united(records: Iterable[ServiceRecord]) -> tuple[ServiceRecord, list[str]]:
    """One record of what several keys say of a service, the oldest key first.

    The oldest defines the service; younger ones may add ports. Endpoints unite by
    identity, and there the youngest counts, since it replaces one that has died. A record
    whose port has another number under the same name is left out.

    Returns:
        The record, and why others were left out.
    """
    first, *others = records
    if not others:
        return first, []
    ports = {port.number: port for port in first.service.ports}
    endpoints: dict[EndpointKey, Endpoint] = {one.key: one for one in first.endpoints}
    faults: list[str] = []
    for record in others:
        numbers = {port.name: port.number for port in ports.values()}
        clash = next(
            (
                port
                for port in record.service.ports
                if numbers.get(port.name, port.number) != port.number and port.number not in ports
            ),
            None,
        )
        if clash is not None:
            faults.append(
                f"the port {clash.name} is {clash.number} in one key and {numbers[clash.name]} "
                "in an older one; give both the same number"
            )
            continue
        for port in record.service.ports:
            ports.setdefault(port.number, port)
        names = {port.name: ports[port.number].name for port in record.service.ports}
        for endpoint in record.endpoints:
            one = evolve(endpoint, service_port=names[endpoint.service_port])
            endpoints[one.key] = one
    service = evolve(first.service, ports=ports.values())
    return ServiceRecord(service, endpoints.values(), key=first.key), faults
