"""The transport on ``grpc.aio``: one channel for each server."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING, Any

from meshregistry.cancelling import is_being_cancelled
from meshregistry.errors import ConfigError
from meshregistry.mixer._status import Code
from meshregistry.mixer.client._extra import grpc
from meshregistry.mixer.client._failover import Failover
from meshregistry.mixer.client._tls import credentials, sources
from meshregistry.mixer.client._transport import CallFailed, SystemClock
from meshregistry.mixer.proto.mixer_v1_pb2 import (
    CheckRequest,
    CheckResponse,
    ReportRequest,
    ReportResponse,
)
from meshregistry.pem import PemRenewal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from meshregistry.mixer.client._tls import MixerTls
    from meshregistry.mixer.client._transport import Clock
    from meshregistry.pem import Material

_LOG = logging.getLogger("meshregistry.mixer")

CHECK = "/istio.mixer.v1.Mixer/Check"
REPORT = "/istio.mixer.v1.Mixer/Report"
AUTHORITY = "mixer"
CLOSED = "the client was closed"

_OPTIONS = (
    # After an outage the servers are found again within two seconds, not minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    # It is also how long one attempt may take, a handshake with a busy server included.
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)
# Seconds between two looks at the files of certificates.
_RENEWAL_PAUSE = 1.0
# What gRPC says if it had no connection to send on.
# gRPC takes these for names, and looks for them for ever.
_NO_TARGETS = ("http:", "https:")
_NOT_SENT = ("failed to connect to", "Failed to connect to", "DNS resolution failed", "DNS query")
_DOWN = (grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN)
# Those mean that another server may do better.
_OF_THE_SERVER = frozenset({Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED})


class GrpcTransport:
    """Calls to the first server that answers.

    Args:
        servers: addresses as gRPC takes them, ``host:port``; the first one is preferred.
        tls: certificates; None: plain text.
        metadata: sent with every call.
        compress_reports: whether batches of reports are gzipped.
        clock: for the pauses of servers that failed.

    Raises:
        ConfigError: if there is no server, what names one is no address, or a certificate cannot
            be read.
    """

    def __init__(
        self,
        servers: Sequence[str],
        *,
        tls: MixerTls | None = None,
        metadata: Sequence[tuple[str, str]] = (),
        compress_reports: bool = False,
        clock: Clock | None = None,
    ) -> None:
        if not servers:
            raise ConfigError(
                "there is no server", field="servers", remedy="give one address or several"
            )
        for server in servers:
            if ":" not in server or server.startswith(_NO_TARGETS):
                raise ConfigError(
                    f"{server!r} is no address", field="servers", remedy="write host:port"
                )
        self._clock = clock or SystemClock()
        self._failover = Failover(len(servers))
        # Read now, so that a wrong file is told to whoever makes the client.
        renewal = PemRenewal(sources(tls), _LOG) if tls else None
        name = tls.server_name if tls else None
        self._connections = [_Connection(server, renewal, name, metadata) for server in servers]
        self._report_compression = grpc.Compression.Gzip if compress_reports else None
        self._is_closed = False

    async def check(self, request: CheckRequest, timeout: float) -> CheckResponse:
        async def call(connection: _Connection, seconds: float) -> CheckResponse:
            return await connection.check(request, seconds)

        response: CheckResponse = await self._try(call, timeout, again=True)
        return response

    async def report(self, request: ReportRequest, timeout: float, *, again: bool) -> None:
        async def call(connection: _Connection, seconds: float) -> None:
            await connection.report(request, seconds, self._report_compression)

        await self._try(call, timeout, again=again)

    async def close(self) -> None:
        self._is_closed = True
        for connection in self._connections:
            await connection.close()

    async def _try(
        self, call: Callable[[_Connection, float], Awaitable[Any]], timeout: float, *, again: bool
    ) -> Any:
        deadline = self._clock.now() + timeout
        order = self._failover.order(self._clock.now())
        for position, number in enumerate(order):
            if self._is_closed:
                # Such as one that is tried again; it would connect anew, and nobody would close that.
                raise CallFailed(Code.CANCELLED, CLOSED, is_sent=False)
            now = self._clock.now()
            # Each server has its share of what is left, so that a silent one costs no more.
            seconds = (deadline - now) / (len(order) - position)
            try:
                answer = await call(self._connections[number], seconds)
            except CallFailed as error:
                if error.code not in _OF_THE_SERVER:
                    self._failover.answered(number)
                    raise
                self._failover.failed(number, self._clock.now())
                if position + 1 == len(order) or (error.is_sent and not again):
                    raise
            else:
                self._failover.answered(number)
                return answer
        raise AssertionError("there is at least one server")


class _Connection:
    """The channel to one server; made anew if certificates have changed and it fails."""

    def __init__(
        self,
        server: str,
        renewal: PemRenewal | None,
        server_name: str | None,
        metadata: Sequence[tuple[str, str]],
    ) -> None:
        self._server = server
        self._renewal = renewal
        self._server_name = server_name
        self._metadata = tuple(metadata)
        self._material: Material | None = None
        self._channel: grpc.aio.Channel | None = None
        self._renewed = -math.inf
        self._watch: asyncio.Future[None] | None = None
        self._check: Any = None
        self._report: Any = None
        self._is_plain = False

    async def check(self, request: CheckRequest, seconds: float) -> CheckResponse:
        await self._ready(seconds)
        response: CheckResponse = await self._call(self._check, request, seconds)
        return response

    async def report(
        self, request: ReportRequest, seconds: float, compression: grpc.Compression | None
    ) -> None:
        await self._ready(seconds)
        if compression is None or self._is_plain:
            await self._call(self._report, request, seconds)
            return
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        try:
            await self._call(self._report, request, seconds, compression)
        except CallFailed as error:
            if error.code != Code.UNIMPLEMENTED:
                raise
            # Nothing was read (gRPC, Compression): the original server knows no gzip.
            await self._call(self._report, request, max(end - loop.time(), 0.0))
            # It was that, and not a server that knows no reports, as a proxy says of one that starts.
            self._is_plain = True

    async def close(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close(None)
        watch, self._watch = self._watch, None
        if watch is not None:
            await asyncio.gather(watch, return_exceptions=True)

    async def _call(
        self,
        method: Any,
        request: object,
        seconds: float,
        compression: grpc.Compression | None = None,
    ) -> Any:
        try:
            return await method(
                request, timeout=seconds, metadata=self._metadata, compression=compression
            )
        except grpc.aio.AioRpcError as error:
            details = error.details() or ""
            raise CallFailed(
                error.code().value[0],
                details,
                server=self._server,
                is_sent=not details.startswith(_NOT_SENT),
            ) from error
        except asyncio.CancelledError:
            if is_being_cancelled():
                raise
            # Not the caller, but the channel under it: the client is being closed.
            raise CallFailed(Code.CANCELLED, CLOSED, server=self._server) from None

    async def _ready(self, seconds: float) -> None:
        """Wait for a connection; without one nothing is sent."""
        channel = self._channel or self._open()
        end = asyncio.get_running_loop().time() + seconds
        while True:
            state = channel.get_state(try_to_connect=True)
            if state is grpc.ChannelConnectivity.READY:
                return
            if state in _DOWN:
                if channel is self._channel:
                    await self._renew()
                raise CallFailed(
                    Code.UNAVAILABLE,
                    "the server cannot be connected to",
                    server=self._server,
                    is_sent=False,
                )
            # Watching is never cancelled: gRPC would tell the end to a loop that is closed.
            if self._watch is None or self._watch.done():
                self._watch = asyncio.ensure_future(channel.wait_for_state_change(state))
            left = end - asyncio.get_running_loop().time()
            done, _ = await asyncio.wait((self._watch,), timeout=max(left, 0.0))
            if not done:
                raise CallFailed(
                    Code.DEADLINE_EXCEEDED,
                    "no connection in time",
                    server=self._server,
                    is_sent=False,
                )

    def _open(self) -> grpc.aio.Channel:
        options: list[tuple[str, Any]] = list(_OPTIONS)
        if self._renewal is None:
            options.append(("grpc.default_authority", AUTHORITY))
            channel = grpc.aio.insecure_channel(self._server, options=options)
        else:
            if self._server_name:
                options.append(("grpc.ssl_target_name_override", self._server_name))
            self._material = self._renewal.current
            channel = grpc.aio.secure_channel(
                self._server, credentials(self._material), options=options
            )
        self._check = channel.unary_unary(
            CHECK,
            request_serializer=CheckRequest.SerializeToString,
            response_deserializer=CheckResponse.FromString,
        )
        self._report = channel.unary_unary(
            REPORT,
            request_serializer=ReportRequest.SerializeToString,
            response_deserializer=ReportResponse.FromString,
        )
        self._channel = channel
        return channel

    async def _renew(self) -> None:
        """Read the certificates again; with others the next call has another channel."""
        now = asyncio.get_running_loop().time()
        # Not for every check of an outage: files are read on the loop.
        if self._renewal is None or now < self._renewed + _RENEWAL_PAUSE:
            return
        self._renewed = now
        self._renewal.renewed()
        # Another connection may have read them, too.
        if self._material != self._renewal.current:
            await self.close()
