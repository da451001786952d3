"""Pieces of Envoy's messages as attributes hold them. Pure; what is malformed is left out."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from meshregistry.mixer import vocabulary as v
from meshregistry.mixer.client import FORWARDED_HEADER
from meshregistry.mixer.fronts._extra import json_format

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from meshregistry.mixer import BagBuilder

JWT: Final = "envoy.filters.http.jwt_authn"
EXT_AUTHZ: Final = "envoy.filters.http.ext_authz"
RBAC: Final = "envoy.filters.http.rbac"
INBOUND: Final = "inbound"
OUTBOUND: Final = "outbound"

_GRPC_TYPES = ("application/grpc", "application/grpc+proto", "application/grpc+json")
_NAMESPACE = re.compile(r"/ns/([^/]+)(?:/|$)")
_SPIFFE = "spiffe://"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INT64_MAX = (1 << 63) - 1
_HOST_PARTS = 4
_EXACT = 1 << 53


def socket_ip(address: Any) -> bytes | None:
    """The IP of an address, 4 or 16 bytes; None of pipes and the like."""
    try:
        return ip_address(address.socket_address.address.partition("%")[0]).packed
    except ValueError:
        return None


def socket_port(address: Any) -> int | None:
    """The port of an address, if it has one."""
    return address.socket_address.port_value or None


def time_of(stamp: Any) -> datetime | None:
    """A moment; None if the calendar does not have it, or nobody said one."""
    if not stamp.seconds and not stamp.nanos:
        return None
    try:
        return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1_000)
    except OverflowError:
        return None


def duration_of(duration: Any) -> timedelta | None:
    """A length of time; None if it is out of what a duration can be, or negative."""
    try:
        found = timedelta(seconds=duration.seconds, microseconds=duration.nanos // 1_000)
    except OverflowError:
        return None
    return found if timedelta(0) <= found <= timedelta(days=3_650_000) else None


def size_of(number: int) -> int | None:
    """A number of bytes as 64 bits with a sign hold it; None if it is not known (negative)."""
    return min(number, _INT64_MAX) if number >= 0 else None


def principal_of(uri: str) -> str | None:
    """An identity without the scheme of SPIFFE."""
    return uri.removeprefix(_SPIFFE) or None


def namespace_of(principal: str) -> str | None:
    """The namespace in an identity such as ``mesh.local/ns/shop/sa/web``."""
    found = _NAMESPACE.search(principal)
    return found[1] if found else None


def set_request(
    builder: BagBuilder, headers: Mapping[str, str], *, path: str, method: str, host: str
) -> None:
    """What follows from a request's head: headers in lower case, path with query, method, host.

    The header with forwarded attributes is not among the headers.
    """
    url_path, _, query = path.partition("?")
    # Of a parameter that is there twice, the first one counts, as in Envoy.
    parameters = dict(reversed(parse_qsl(query, keep_blank_values=True, errors="replace")))
    shown = {name: value for name, value in headers.items() if name != FORWARDED_HEADER}
    for name, value in (
        (v.REQUEST_HEADERS, shown),
        (v.REQUEST_PATH, path),
        (v.REQUEST_URL_PATH, url_path),
        (v.REQUEST_QUERY_PARAMS, parameters or None),
        (v.REQUEST_METHOD, method or None),
        (v.REQUEST_HOST, host),
        (v.REQUEST_ID, shown.get("x-request-id")),
        (v.REQUEST_REFERER, shown.get("referer")),
        (v.REQUEST_USERAGENT, shown.get("user-agent")),
        (v.CONTEXT_PROTOCOL, protocol_of(shown)),
    ):
        builder.set(name, value)


def protocol_of(headers: Mapping[str, str]) -> str:
    """``grpc`` or ``http``, by the type of the content."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return "grpc" if kind in _GRPC_TYPES else "http"


def set_service(builder: BagBuilder, host: str) -> None:
    """What the host name of a service says of it, where nothing else has said it.

    Only hosts such as ``reviews.shop.svc.mesh.local`` have a namespace in them; the short name
    of any other is the whole.
    """
    said = builder.build()
    builder.set(v.DESTINATION_SERVICE_HOST, host)
    if said.get(v.DESTINATION_SERVICE_HOST) == host and v.DESTINATION_SERVICE_NAME in said:
        return
    parts = host.split(".", _HOST_PARTS - 1)
    is_namespaced = len(parts) == _HOST_PARTS and parts[2] == "svc"
    builder.set(v.DESTINATION_SERVICE_NAME, parts[0] if is_namespaced else host)
    builder.unset(v.DESTINATION_SERVICE_NAMESPACE).unset(v.DESTINATION_SERVICE_UID)
    if is_namespaced:
        builder.set(v.DESTINATION_SERVICE_NAMESPACE, parts[1])


def struct_of(struct: Any) -> dict[str, Any]:
    """A ``Struct`` as plain JSON values; numbers that JSON does not have are left out."""
    return dict(_fields(struct))


def _fields(struct: Any) -> Iterator[tuple[str, Any]]:
    for name, value in struct.fields.items():
        try:
            yield name, _plain(json_format.MessageToDict(value))
        except (json_format.Error, ValueError, RecursionError):
            continue


def _plain(value: Any) -> Any:
    """A JSON value with whole numbers as such: a ``Struct`` knows doubles only."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return int(value)
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value


def texts(values: Mapping[str, Any]) -> dict[str, str]:
    """JSON values as texts: text as it is, all else as compact JSON."""
    return {name: text_of(value) for name, value in values.items()}


def text_of(value: Any) -> str:
    """One JSON value as text."""
    return value if isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def set_token(builder: BagBuilder, metadata: Mapping[str, Any]) -> None:
    """The claims that Envoy's filter for JSON web tokens has verified.

    The filter files them under a name of the operator's choice; the first that has an issuer
    or a subject counts.
    """
    claims = next(
        (
            one
            for _, one in sorted(metadata.items())
            if isinstance(one, dict) and ("iss" in one or "sub" in one)
        ),
        metadata if "iss" in metadata or "sub" in metadata else None,
    )
    if claims is None:
        return
    issuer, subject, audience = claims.get("iss"), claims.get("sub"), claims.get("aud")
    if isinstance(issuer, str) and isinstance(subject, str):
        builder.set(v.REQUEST_AUTH_PRINCIPAL, f"{issuer}/{subject}")
    if isinstance(audience, list):
        audience = ",".join(one for one in audience if isinstance(one, str))
    if isinstance(audience, str) and audience:
        builder.set(v.REQUEST_AUTH_AUDIENCES, audience)
    if isinstance(claims.get("azp"), str):
        builder.set(v.REQUEST_AUTH_PRESENTER, claims["azp"])
    builder.set(
        v.REQUEST_AUTH_CLAIMS,
        {name: value for name, value in claims.items() if isinstance(value, str)},
    )
    builder.set(v.REQUEST_AUTH_RAW_CLAIMS, _json(claims))
