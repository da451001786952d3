"""An interceptor of ``grpc.aio`` servers that checks before a call, and reports after it."""

from __future__ import annotations

import asyncio
import inspect
import re
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from meshregistry.mixer._status import Code, shortened
from meshregistry.mixer.client._extra import grpc
from meshregistry.mixer.client._request import (
    Describer,
    Headers,
    RequestFacts,
    ResponseFacts,
    amounts,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping

    from meshregistry.mixer._attributes import AttributeBag
    from meshregistry.mixer._directive import HeaderOperation
    from meshregistry.mixer.client._client import MixerClient
    from meshregistry.mixer.client._request import QuotasOf
    from meshregistry.mixer.client._result import CheckResult, FailPolicy
    from meshregistry.mixer.services import Api

# By whether requests and responses are streams.
_HANDLERS: dict[tuple[bool, bool], Callable[..., Any]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}
_CODES = {code.value[0]: code for code in grpc.StatusCode}
# What metadata may be (gRPC over HTTP/2, "Custom-Metadata").
_KEY, _VALUE = re.compile(r"[0-9a-z_.-]+"), re.compile(r"[\x20-\x7e]+")
_BINARY, _RESERVED = "-bin", "grpc-"


def _utc_now() -> datetime:
    return datetime.now(UTC)


class MixerInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg] # not generic at run time
    """Stands before the methods of a ``grpc.aio`` server.

    A denial ends the call with its status, a direct response to a permitted call with UNKNOWN.
    Header operations of requests are not carried out: gRPC gives no way to change what a method
    reads; those of responses are sent as initial metadata, as far as they can be.

    Args:
        client: an open client; it belongs to the loop of the server.
        attributes: said of every call, such as ``destination.service.host``.
        quotas: amounts by the names of quotas, or what gives them for a bag (`QuotaRules`).
        fail_policy: what happens if no server can be asked; None: as the client's options say.
        trust_forwarded: believe callers what they forward in ``x-istio-attributes``.
        api: which API requests are for, by their paths, and where its keys are.
        wall_clock: the time of day.
        timer: seconds on a clock that never goes back.

    Raises:
        TypeError, ValueError: if an attribute is not as the client's manifest declares it.
    """

    def __init__(
        self,
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
        self.client = client
        self.describer = Describer(
            static=attributes or {},
            is_trusting=trust_forwarded,
            manifest=client.manifest,
            api=api,
        )
        self.quotas = quotas or {}
        self.fail_policy = fail_policy
        self.wall_clock = wall_clock
        self.timer = timer

    async def intercept_service(
        self,
        continuation: Callable[[Any], Awaitable[Any]],
        handler_call_details: Any,
    ) -> Any:
        """Give the method's handler with check and report around it; None: no such method."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        return _Around(self, handler, handler_call_details.method).handler()


class _Around:
    """One call of a method, with check and report around it; gRPC asks for one each time."""

    def __init__(self, owner: MixerInterceptor, inner: Any, method: str) -> None:
        self._owner = owner
        self._inner = inner
        self._method = method
        self._start = owner.timer()
        self._received = 0
        self._sent = 0

    def handler(self) -> Any:
        """A handler of the same kind.

        Raises:
            TypeError: if the method is a plain function, which ``grpc.aio`` runs in a thread.
        """
        inner = self._inner
        behavior = (
            inner.unary_unary or inner.stream_unary or inner.unary_stream or inner.stream_stream
        )
        if inspect.isasyncgenfunction(behavior):
            around: Any = self._streaming(behavior)
        elif inspect.iscoroutinefunction(behavior):
            around = self._plain(behavior)
        else:
            raise TypeError(
                f"{self._method} is a plain function; MixerInterceptor stands before "
                "coroutines only: write `async def`"
            )
        is_stream = bool(inner.response_streaming)
        make = _HANDLERS[bool(inner.request_streaming), is_stream]
        # A single response is written before the report, so that it is measured.
        write = self._written if is_stream else None
        return make(around, request_deserializer=self._read, response_serializer=write)

    def _plain(self, behavior: Any) -> Any:
        async def around(request: Any, context: Any) -> Any:
            bag, result = await self._checked(context)
            with self._reporting(bag, result, context):
                response = await behavior(request, context)
                return response if self._inner.response_streaming else self._written(response)

        return around

    def _streaming(self, behavior: Any) -> Any:
        async def around(request: Any, context: Any) -> AsyncIterator[Any]:
            bag, result = await self._checked(context)
            with self._reporting(bag, result, context):
                async for response in behavior(request, context):
                    yield response

        return around

    def _read(self, data: bytes) -> Any:
        self._received += len(data)
        read = self._inner.request_deserializer
        return read(data) if read else data

    def _written(self, response: Any) -> bytes:
        write = self._inner.response_serializer
        data: bytes = write(response) if write else response
        self._sent += len(data)
        return data

    async def _checked(self, context: Any) -> tuple[AttributeBag, CheckResult]:
        """Check the call, and end it if it is denied."""
        owner = self._owner
        bag = owner.describer.request(self._facts(context))
        result = await owner.client.check(
            bag, quotas=amounts(owner.quotas, bag), fail_policy=owner.fail_policy
        )
        metadata = _metadata(result.directive.response_headers)
        if metadata:
            await context.send_initial_metadata(metadata)
        if not result.is_direct:
            return bag, result
        # Of a permission with a response of its own, too, gRPC's status is not OK.
        code = _CODES.get(result.status.code or Code.UNKNOWN, grpc.StatusCode.UNKNOWN)
        reason = shortened(result.body if result.is_allowed else result.status.message)
        context.set_code(code)
        context.set_details(reason)
        self._report(bag, result, context)
        await context.abort(code, reason)
        raise AssertionError("abort does not return")

    def _facts(self, context: Any) -> RequestFacts:
        headers: Headers = [
            (key, value)
            for key, value in context.invocation_metadata() or ()
            if isinstance(value, str)
        ]
        if not any(name == "content-type" for name, _ in headers):
            headers.append(("content-type", "application/grpc"))
        auth = context.auth_context()
        is_tls = bool(auth.get("transport_security_type"))
        return RequestFacts(
            method="POST",
            path=self._method,
            scheme="https" if is_tls else "http",
            host=next((value for name, value in headers if name in {":authority", "host"}), ""),
            headers=headers,
            peer=_address(context.peer()),
            received=self._owner.wall_clock(),
            is_mutual_tls=bool(context.peer_identities()) if is_tls else False,
            principal=_principal(auth.get("peer_spiffe_id")),
        )

    @contextmanager
    def _reporting(self, bag: AttributeBag, result: CheckResult, context: Any) -> Iterator[None]:
        """Report the call when it has ended, however it ends."""
        ended = Code.OK
        try:
            yield
        except (asyncio.CancelledError, GeneratorExit):
            left = context.time_remaining()
            ended = Code.CANCELLED if left is None or left > 0 else Code.DEADLINE_EXCEEDED
            raise
        except BaseException:
            # What gRPC makes of an error, unless the method has set a code before it.
            ended = Code.UNKNOWN
            raise
        finally:
            self._report(bag, result, context, ended)

    def _report(
        self, bag: AttributeBag, result: CheckResult, context: Any, ended: Code = Code.OK
    ) -> None:
        owner = self._owner
        code = _number(context.code()) or int(ended)
        facts = ResponseFacts(
            # The protocol is fine whatever the call's status.
            code=200,
            headers=[
                ("grpc-status", str(code)),
                ("grpc-message", _text(context.details())),
            ],
            request_size=self._received,
            size=self._sent,
            ended=owner.wall_clock(),
            duration=timedelta(seconds=owner.timer() - self._start),
        )
        builder = owner.describer.response(bag, facts)
        for name, value in result.attributes.items():
            builder.set(name, value)
        owner.client.report(builder.build())


def _metadata(operations: Iterable[HeaderOperation]) -> list[tuple[str, str | bytes]]:
    """What operations make of metadata without entries; those that gRPC refuses are left out.

    It would end the call for them, and values may come from callers.
    """
    pairs: Headers = []
    for each in operations:
        pairs = each.apply(pairs)
    return [
        (name, value.encode() if name.endswith(_BINARY) else value)
        for name, value in pairs
        if _KEY.fullmatch(name)
        and not name.startswith(_RESERVED)
        and (name.endswith(_BINARY) or _VALUE.fullmatch(value))
    ]


def _number(code: Any) -> int:
    """The number of a status that a context holds: a StatusCode, a number or nothing."""
    if code is None:
        return Code.OK
    return int(code.value[0]) if isinstance(code, grpc.StatusCode) else int(code)


def _text(details: Any) -> str:
    return details.decode(errors="replace") if isinstance(details, bytes) else details or ""


def _principal(ids: Iterable[bytes] | None) -> str:
    """The identity in a certificate; gRPC tells it if there is exactly one."""
    found = [one.decode(errors="replace") for one in ids or ()]
    return found[0].removeprefix("spiffe://") if len(found) == 1 else ""


def _address(peer: str) -> str:
    """The address in ``ipv4:10.0.0.1:80`` or ``ipv6:%5B::1%5D:80``."""
    kind, _, rest = unquote(peer).partition(":")
    if kind not in {"ipv4", "ipv6"}:
        return ""
    return rest.rpartition(":")[0].removeprefix("[").removesuffix("]")
