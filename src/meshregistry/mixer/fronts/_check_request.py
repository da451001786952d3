"""Envoy's question (ext_authz v3) as the attributes of a check. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from meshregistry.mixer import AttributeBag, BagBuilder
from meshregistry.mixer import vocabulary as v
from meshregistry.mixer._header_text import header_text
from meshregistry.mixer.client import FORWARDED_HEADER, read_forwarded
from meshregistry.mixer.fronts._reading import (
    INBOUND,
    JWT,
    namespace_of,
    principal_of,
    set_request,
    set_token,
    size_of,
    socket_ip,
    socket_port,
    struct_of,
    time_of,
)
from meshregistry.mixer.fronts._statics import Statics, statics

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from meshregistry.mixer.fronts._trust import Trust


@frozen(kw_only=True)
class Asked:
    """What Envoy asks.

    Attributes:
        bag: the attributes of the request or connection.
        quotas: what it is charged, by the names of quotas.
        id: the same when Envoy asks once more; empty if there is none.
        is_http: whether it is a request; else it is a connection.
        has_forwarded: whether the request carries forwarded attributes.
        refused: stated attributes whose text does not fit their type.
    """

    bag: AttributeBag
    quotas: Mapping[str, int] = field(factory=dict)
    id: str = ""
    is_http: bool = True
    has_forwarded: bool = False
    refused: tuple[str, ...] = ()


def asked(
    attributes: Any,
    stated: Iterable[tuple[str, str]],
    trust: Trust,
    *,
    wall_time: datetime,
    new_id: Callable[[], str],
) -> Asked:
    """What an ``AttributeContext`` says. It never fails: what is malformed is left out.

    What comes later wins: stated attributes (of the filter, then of the route), forwarded
    ones, those of the request.

    Args:
        attributes: of the question.
        stated: by the metadata of the call.
        trust: whose forwarded attributes count.
        wall_time: the time of a connection.
        new_id: an id for a connection.
    """
    said = statics((*stated, *sorted(attributes.context_extensions.items())))
    builder = BagBuilder(said.bag)
    is_http = attributes.request.HasField("http")
    headers = _headers(attributes.request.http) if is_http else {}
    forwarded = headers.get(FORWARDED_HEADER, "")
    source = attributes.source
    if forwarded and trust.covers(principal_of(source.principal), socket_ip(source.address)):
        for name, value in read_forwarded(forwarded).entries.items():
            builder.set(name, value)
    if v.CONNECTION_MTLS not in said.bag:
        builder.set(v.CONNECTION_MTLS, False)
    _set_source(builder, source, is_http=is_http)
    _set_destination(
        builder, attributes, is_here=said.bag.get(v.CONTEXT_REPORTER_KIND, INBOUND) == INBOUND
    )
    known = attributes.metadata_context.filter_metadata
    if JWT in known:
        set_token(builder, struct_of(known[JWT]))
    if is_http:
        _set_http(builder, attributes.request, headers)
    else:
        builder.set(v.CONTEXT_PROTOCOL, "tcp").set(v.CONTEXT_TIME, wall_time)
        builder.set(v.CONNECTION_ID, new_id())
    return _finished(builder, said, attributes, is_http=is_http, has_forwarded=bool(forwarded))


def _finished(
    builder: BagBuilder, said: Statics, attributes: Any, *, is_http: bool, has_forwarded: bool
) -> Asked:
    found = Asked(
        bag=builder.build(),
        quotas=said.quotas,
        is_http=is_http,
        has_forwarded=has_forwarded,
        refused=said.refused,
    )
    # Envoy's own id of the stream. The request's id is the caller's to choose: by sending one
    # twice he would have the second request for nothing.
    return evolve(found, id=attributes.request.http.id) if is_http else found


def _set_source(builder: BagBuilder, source: Any, *, is_http: bool) -> None:
    address = socket_ip(source.address)
    principal = principal_of(source.principal)
    builder.set(v.ORIGIN_IP, address).set(v.SOURCE_PORT, socket_port(source.address))
    if not is_http:
        builder.set(v.SOURCE_IP, address)
    builder.set(v.SOURCE_SERVICE, source.service or None)
    builder.set(v.SOURCE_PRINCIPAL, principal).set(v.SOURCE_USER, principal)
    builder.set(v.SOURCE_LABELS, dict(source.labels) or None)
    if principal is not None:
        builder.set(v.SOURCE_NAMESPACE, namespace_of(principal)).set(v.CONNECTION_MTLS, True)


def _set_destination(builder: BagBuilder, attributes: Any, *, is_here: bool) -> None:
    """The listener is the destination only where the proxy stands before the service."""
    destination = attributes.destination
    builder.set(v.CONNECTION_REQUESTED_SERVER_NAME, attributes.tls_session.sni or None)
    if not is_here:
        return
    builder.set(v.DESTINATION_IP, socket_ip(destination.address))
    builder.set(v.DESTINATION_PORT, socket_port(destination.address))
    builder.set(v.DESTINATION_PRINCIPAL, principal_of(destination.principal))
    builder.set(v.DESTINATION_LABELS, dict(destination.labels) or None)


def _set_http(builder: BagBuilder, request: Any, headers: Mapping[str, str]) -> None:
    http = request.http
    set_request(builder, headers, path=http.path, method=http.method, host=http.host)
    builder.set(v.REQUEST_SCHEME, http.scheme or headers.get(":scheme") or "http")
    builder.set(v.REQUEST_SIZE, size_of(http.size)).set(v.REQUEST_TIME, time_of(request.time))


def _headers(http: Any) -> dict[str, str]:
    """Headers in lower case; several of one name are one, with commas between their values."""
    found = {name.lower(): value for name, value in http.headers.items()}
    raw: dict[str, str] = {}
    for one in http.header_map.headers:
        name = one.key.lower()
        value = header_text(one.raw_value) if one.raw_value else one.value
        raw[name] = f"{raw[name]},{value}" if name in raw else value
    return found | raw
