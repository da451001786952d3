"""Attributes of a request and of its response, from what servers know of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from ipaddress import ip_address
from urllib.parse import parse_qsl

from attrs import field, frozen

from meshregistry.mixer import vocabulary as v
from meshregistry.mixer._attributes import AttributeBag, BagBuilder
from meshregistry.mixer._manifest import Manifest
from meshregistry.mixer.client._forwarded import FORWARDED_HEADER, read_forwarded
from meshregistry.mixer.services import Api
from meshregistry.mixer.vocabulary import STANDARD

QuotasOf = Mapping[str, int] | Callable[[AttributeBag], Mapping[str, int]]
"""Amounts of quotas: the same for every request, or by its attributes."""

_GRPC_TYPES = ("application/grpc", "application/grpc+proto", "application/grpc+json")
Headers = list[tuple[str, str]]


@frozen(kw_only=True)
class RequestFacts:
    """What a server knows of a request before it is handled.

    Attributes:
        method: of HTTP.
        path: with the query.
        scheme: `http` or `https`.
        host: the authority that was asked for.
        headers: names in lower case, and values, as they came.
        peer: address of the connection's other end, or empty.
        received: when it arrived.
        is_mutual_tls: whether the peer showed a certificate; None: not known.
        principal: identity in that certificate, without ``spiffe://``; empty: there is none.
    """

    method: str
    path: str
    scheme: str
    host: str
    headers: Headers
    peer: str
    received: datetime
    is_mutual_tls: bool | None = None
    principal: str = ""


@frozen(kw_only=True)
class ResponseFacts:
    """What a server knows once a request has been handled.

    Attributes:
        code: of HTTP; 0: none was sent.
        headers: of the response, with its trailers.
        request_size: bytes of the request's body.
        size: bytes of the response's body.
        ended: when it was complete.
        duration: since the request arrived.
    """

    code: int
    headers: Headers
    request_size: int
    size: int
    ended: datetime
    duration: timedelta


@frozen(kw_only=True)
class Describer:
    """Describes requests and responses by attributes.

    What comes later wins: static attributes, forwarded ones, those of the request.

    Attributes:
        static: attributes of every request, such as ``destination.service.host``.
        is_trusting: whether callers are believed what they forward. Anybody can write a
            header, so this is for callers that have been authenticated.
        manifest: types of the static attributes.
        api: which API requests are for; None: none that is known.

    Raises:
        TypeError, ValueError: if an attribute is not as the manifest declares it.
    """

    static: Mapping[str, object]
    is_trusting: bool = False
    manifest: Manifest = STANDARD
    api: Api | None = None
    _base: AttributeBag = field(init=False)

    def __attrs_post_init__(self) -> None:
        # Told now, not with the first request.
        object.__setattr__(self, "_base", self.manifest.bag(self.static))
        if self.api is not None:
            for attributes in (
                self.api.attributes,
                *(each.attributes for each in self.api.patterns),
            ):
                self.manifest.bag(attributes)

    def request(self, facts: RequestFacts) -> AttributeBag:
        """The attributes before a request is handled."""
        headers = joined(facts.headers)
        forwarded = headers.pop(FORWARDED_HEADER, "")
        builder = BagBuilder(self._base)
        if self.is_trusting and forwarded:
            for name, value in read_forwarded(forwarded).entries.items():
                builder.set(name, value)
        url_path, _, query = facts.path.partition("?")
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        # Of a parameter that is there twice, the first one counts, as in Envoy.
        parameters = dict(reversed(parse_qsl(query, keep_blank_values=True, errors="replace")))
        said: dict[str, object | None] = {
            v.REQUEST_HEADERS: {
                **headers,
                # Last: a header of such a name would be a claim.
                ":method": facts.method,
                ":path": facts.path,
                ":authority": facts.host,
                ":scheme": facts.scheme,
            },
            v.REQUEST_METHOD: facts.method,
            v.REQUEST_PATH: facts.path,
            v.REQUEST_URL_PATH: url_path,
            v.REQUEST_QUERY_PARAMS: parameters or None,
            v.REQUEST_HOST: facts.host,
            v.REQUEST_SCHEME: facts.scheme or "http",
            v.REQUEST_TIME: facts.received,
            v.REQUEST_ID: headers.get("x-request-id"),
            v.REQUEST_REFERER: headers.get("referer"),
            v.REQUEST_USERAGENT: headers.get("user-agent"),
            v.CONTEXT_PROTOCOL: "grpc" if kind in _GRPC_TYPES else "http",
            v.ORIGIN_IP: packed(facts.peer),
            v.CONNECTION_MTLS: facts.is_mutual_tls,
            v.SOURCE_PRINCIPAL: facts.principal or None,
            v.SOURCE_USER: facts.principal or None,
        }
        if self.api is not None:
            more = self.api.describe(facts.method, url_path, parameters, headers)
            said.update(self.manifest.bag(more).entries)
        for name, each in said.items():
            builder.set(name, each)
        return builder.build()

    def response(self, request: AttributeBag, facts: ResponseFacts) -> BagBuilder:
        """The attributes of a request and what came of it, for a report."""
        headers = joined(facts.headers)
        builder = BagBuilder(request)
        said: dict[str, object | None] = {
            # A proxy that has no code to tell says 500.
            v.RESPONSE_CODE: facts.code or 500,
            v.RESPONSE_HEADERS: headers,
            v.RESPONSE_SIZE: facts.size,
            v.RESPONSE_TOTAL_SIZE: facts.size + header_bytes(facts.headers),
            v.RESPONSE_TIME: facts.ended,
            v.RESPONSE_DURATION: facts.duration,
            v.RESPONSE_GRPC_STATUS: headers.get("grpc-status"),
            v.RESPONSE_GRPC_MESSAGE: headers.get("grpc-message"),
            v.REQUEST_SIZE: facts.request_size,
        }
        for name, each in said.items():
            builder.set(name, each)
        return builder


def amounts(quotas: QuotasOf, bag: AttributeBag) -> Mapping[str, int]:
    """The amounts that a request is charged."""
    return quotas(bag) if callable(quotas) else quotas


def joined(headers: Headers) -> dict[str, str]:
    """Headers by name; several of one name are one, with commas between their values.

    Cookies, which HTTP/2 may send one by one, have semicolons (RFC 9113, section 8.2.3).
    """
    found: dict[str, str] = {}
    for name, value in headers:
        between = "; " if name == "cookie" else ","
        found[name] = f"{found[name]}{between}{value}" if name in found else value
    return found


def header_bytes(headers: Iterable[tuple[str, str]]) -> int:
    """How many bytes headers have, names and values."""
    return sum(len(name) + len(value.encode()) for name, value in headers)


def packed(address: str) -> bytes | None:
    """An IP address as an attribute holds it; None if it is none."""
    try:
        return ip_address(address.partition("%")[0]).packed
    except ValueError:
        return None
