"""ASGI middleware that checks before an application, and reports after it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from attrs import define, evolve, field

from meshregistry.mixer._directive import HeaderOperation, Operation
from meshregistry.mixer._header_text import header_text
from meshregistry.mixer._status import is_without_content
from meshregistry.mixer.client._forwarded import FORWARDED_HEADER
from meshregistry.mixer.client._request import (
    Describer,
    Headers,
    RequestFacts,
    ResponseFacts,
    amounts,
    header_bytes,
)
from meshregistry.mixer.vocabulary import REQUEST_TOTAL_SIZE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshregistry.mixer._attributes import AttributeBag
    from meshregistry.mixer.client._client import MixerClient
    from meshregistry.mixer.client._request import QuotasOf
    from meshregistry.mixer.client._result import CheckResult, FailPolicy
    from meshregistry.mixer.services import Api

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# A WebSocket that policy does not allow.
_POLICY_VIOLATION = 1008


def _utc_now() -> datetime:
    return datetime.now(UTC)


class MixerMiddleware:
    """Stands before an ASGI application: HTTP and WebSocket requests.

    Args:
        app: the application.
        client: an open client; it belongs to the loop that serves the application.
        attributes: said of every request, such as ``destination.service.host``.
        quotas: amounts by the names of quotas, or what gives them for a bag (`QuotaRules`).
        fail_policy: what happens if no server can be asked; None: as the client's options say.
        trust_forwarded: believe callers what they forward in ``x-istio-attributes``. The
            header never reaches the application.
        api: which API requests are for, by their paths, and where its keys are.
        wall_clock: the time of day.
        timer: seconds on a clock that never goes back.

    Raises:
        TypeError, ValueError: if an attribute is not as the client's manifest declares it.
    """

    def __init__(
        self,
        app: App,
        client: MixerClient,
        *,
        attributes: Mapping[str, object] | None = None,
        quotas: QuotasOf | None = None,
        fail_policy: FailPolicy | None = None,
        trust_forwarded: bool = False,
        api: Api | None = None,
        wall_clock: Callable[[], datetime] = _utc_now,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._client = client
        self._describer = Describer(
            static=attributes or {},
            is_trusting=trust_forwarded,
            manifest=client.manifest,
            api=api,
        )
        self._quotas = quotas or {}
        self._fail_policy = fail_policy
        self._wall_clock = wall_clock
        self._timer = timer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection scope."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        start = self._timer()
        headers = _texts(_decoded(scope["headers"]))
        bag = self._describer.request(_facts(scope, headers, self._wall_clock()))
        result = await self._client.check(
            bag, quotas=amounts(self._quotas, bag), fail_policy=self._fail_policy
        )
        exchange = _Exchange(receive, send, result.directive.response_headers)
        try:
            if result.is_direct:
                await _answer(scope, exchange, result)
            else:
                inner = _changed(scope, result.directive.request_headers)
                await self._app(inner, exchange.receive, exchange.send)
        finally:
            self._report(bag, result, exchange, headers, start)

    def _report(
        self,
        bag: AttributeBag,
        result: CheckResult,
        exchange: _Exchange,
        headers: Headers,
        start: float,
    ) -> None:
        facts = ResponseFacts(
            code=exchange.code,
            headers=_texts(exchange.headers),
            request_size=exchange.received,
            size=exchange.sent,
            ended=self._wall_clock(),
            duration=timedelta(seconds=self._timer() - start),
        )
        builder = self._describer.response(bag, facts)
        builder.set(REQUEST_TOTAL_SIZE, exchange.received + header_bytes(headers))
        for name, value in result.attributes.items():
            builder.set(name, value)
        self._client.report(builder.build())


@define
class _Exchange:
    """What passes between server and application, measured and changed."""

    _receive: Receive
    _send: Send
    _operations: tuple[HeaderOperation, ...]
    code: int = 0
    headers: Headers = field(factory=list)
    received: int = 0
    sent: int = 0

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self.received += len(message.get("body", b""))
        elif message["type"] == "websocket.receive":
            self.received += _websocket_size(message)
        return message

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind in {"http.response.start", "websocket.accept", "websocket.http.response.start"}:
            self.code = message.get("status", 101)
            self.headers = _applied(_decoded(message.get("headers", ())), self._operations)
            message = {**message, "headers": _encoded(self.headers)}
        elif kind in {"http.response.body", "websocket.http.response.body"}:
            self.sent += len(message.get("body", b""))
        elif kind == "http.response.trailers":
            self.headers += _decoded(message.get("headers", ()))
        elif kind == "websocket.send":
            self.sent += _websocket_size(message)
        elif kind == "websocket.close" and self.code == 0:
            # Closed before it was accepted, which servers make a 403 of.
            self.code = 403
        await self._send(message)


def _websocket_size(message: Message) -> int:
    data = message.get("bytes")
    return len(data) if data is not None else len((message.get("text") or "").encode())


async def _answer(scope: Scope, exchange: _Exchange, result: CheckResult) -> None:
    """Give the response that the check decided on."""
    prefix = "http"
    if scope["type"] == "websocket":
        await exchange.receive()
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            await exchange.send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return
        prefix = "websocket.http"
    code = result.http_code
    body, headers = b"", []
    if not is_without_content(code):
        body = result.body.encode()
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", str(len(body)).encode()),
        ]
    start = {"type": f"{prefix}.response.start", "status": code, "headers": headers}
    await exchange.send(start)
    await exchange.send({"type": f"{prefix}.response.body", "body": body})


def _decoded(headers: Any) -> Headers:
    """Headers to pass on: latin-1 has a letter for each byte, so none of them is changed."""
    return [
        (bytes(name).decode("latin-1").lower(), bytes(value).decode("latin-1"))
        for name, value in headers
    ]


def _encoded(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def _texts(headers: Headers) -> Headers:
    """The same headers for attributes, which say what the bytes mean."""
    return [
        (name, value if value.isascii() else header_text(value.encode("latin-1")))
        for name, value in headers
    ]


def _applied(headers: Headers, operations: tuple[HeaderOperation, ...]) -> Headers:
    for operation in operations:
        carried = operation.value.encode().decode("latin-1")
        headers = evolve(operation, value=carried).apply(headers)
    return headers


def _facts(scope: Scope, headers: Headers, received: datetime) -> RequestFacts:
    raw = scope.get("raw_path")
    path = header_text(bytes(raw).partition(b"?")[0]) if raw else scope["path"]
    query = header_text(bytes(scope.get("query_string", b"")))
    tls = (scope.get("extensions") or {}).get("tls")
    return RequestFacts(
        method=scope.get("method", "GET"),
        path=f"{path}?{query}" if query else path,
        scheme=scope.get("scheme", "http"),
        host=next((value for name, value in headers if name == "host"), ""),
        headers=headers,
        peer=(scope.get("client") or ("",))[0],
        received=received,
        is_mutual_tls=None if tls is None else bool(tls.get("client_cert_chain")),
    )


def _changed(scope: Scope, operations: tuple[HeaderOperation, ...]) -> Scope:
    """The scope that the application sees."""
    headers = [pair for pair in _decoded(scope["headers"]) if pair[0] != FORWARDED_HEADER]
    plain = tuple(each for each in operations if not each.name.startswith(":"))
    changed: Scope = {**scope, "headers": _encoded(_applied(headers, plain))}
    # A request without one of these is none.
    for each in (one for one in operations if one.operation is not Operation.REMOVE):
        if each.name == ":path":
            path, _, query = each.value.partition("?")
            changed["path"] = unquote(path)
            changed["raw_path"] = path.encode()
            changed["query_string"] = query.encode()
        elif each.name == ":method" and scope["type"] == "http":
            changed["method"] = each.value
        elif each.name == ":authority":
            host = [pair for pair in changed["headers"] if pair[0] != b"host"]
            changed["headers"] = [*host, (b"host", each.value.encode())]
    return changed
