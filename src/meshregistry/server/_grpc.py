"""The aggregated and the separate discovery services on ``grpc.aio``.

Messages pass as bytes in both directions: handing gRPC bytes that exist is what makes a
large push cheap. Fetch methods are not served here (UNIMPLEMENTED): who polls uses REST.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import TYPE_CHECKING, Any

from attrs import frozen

from meshregistry import model
from meshregistry.errors import RemoteAdsError
from meshregistry.model import Peer
from meshregistry.server._codec import Decoder
from meshregistry.server._extra import grpc
from meshregistry.server._tls import identities, server_credentials

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from meshregistry.server._hub import Hub
    from meshregistry.server._stream import Stream
    from meshregistry.server._tls import ServerTls

_MIB = 1 << 20
_LAST_PORT = 65_535
# grpc-stubs do not know this name.
_EOF: object = vars(grpc.aio)["EOF"]
_UNIX = "unix:"
# A peer that does not read cannot be told why its stream ends; it is not waited for longer.
_CLOSE_PATIENCE = 2.0
# Streams end one after the other, so that their clients do not all reconnect at once.
_DRAIN_STEP = 0.01

# Service, what its methods end in, type, and whether it has a state-of-the-world method.
_SERVICES = (
    ("discovery.v3.AggregatedDiscoveryService", "AggregatedResources", "", True),
    ("cluster.v3.ClusterDiscoveryService", "Clusters", model.CLUSTER, True),
    ("endpoint.v3.EndpointDiscoveryService", "Endpoints", model.ENDPOINT, True),
    ("listener.v3.ListenerDiscoveryService", "Listeners", model.LISTENER, True),
    ("route.v3.RouteDiscoveryService", "Routes", model.ROUTE, True),
    ("route.v3.ScopedRoutesDiscoveryService", "ScopedRoutes", model.SCOPED_ROUTE, True),
    ("route.v3.VirtualHostDiscoveryService", "VirtualHosts", model.VIRTUAL_HOST, False),
    ("secret.v3.SecretDiscoveryService", "Secrets", model.SECRET, True),
    ("runtime.v3.RuntimeDiscoveryService", "Runtime", model.RUNTIME, True),
    (
        "extension.v3.ExtensionConfigDiscoveryService",
        "ExtensionConfigs",
        model.EXTENSION_CONFIG,
        True,
    ),
)


@frozen(kw_only=True)
class GrpcLimits:
    """What the gRPC listener bears.

    Attributes:
        request_bytes: a larger request closes its stream.
        streams_per_connection: more wait on the client's side.
        keepalive: seconds without traffic after which a connection is probed.
        keepalive_timeout: seconds that the answer may take.
        pending: connections and calls that may wait to be taken, such as in a storm after
            a restart.
    """

    request_bytes: int = 4 * _MIB
    streams_per_connection: int = 1_000
    keepalive: float = 30.0
    keepalive_timeout: float = 20.0
    pending: int = 20_000

    def options(self) -> list[tuple[str, int]]:
        """The same in gRPC's words."""
        milliseconds = 1_000
        return [
            # Else two servers share a port, and nobody learns of it.
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", self.request_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_concurrent_streams", self.streams_per_connection),
            ("grpc.keepalive_time_ms", int(self.keepalive * milliseconds)),
            ("grpc.keepalive_timeout_ms", int(self.keepalive_timeout * milliseconds)),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", 5 * milliseconds),
            ("grpc.http2.max_ping_strikes", 0),
            ("grpc.server.max_pending_requests", self.pending),
            ("grpc.server.max_pending_requests_hard_limit", 2 * self.pending),
        ]


def discovery_handlers(hub: Hub) -> tuple[grpc.GenericRpcHandler[Any, Any], ...]:
    """Handlers of every discovery service for a ``grpc.aio`` server."""
    handlers = []
    decoder = Decoder()
    for service, suffix, type_url, has_sotw in _SERVICES:
        methods = {f"Delta{suffix}": _method(hub, decoder, type_url, is_delta=True)}
        if has_sotw:
            methods[f"Stream{suffix}"] = _method(hub, decoder, type_url, is_delta=False)
        handlers.append(grpc.method_handlers_generic_handler(f"envoy.service.{service}", methods))
    return tuple(handlers)


class GrpcListener:
    """A hub on an address of its own.

    Args:
        hub: what is served.
        address: ``host:port``, where port 0 is chosen by the system, or ``unix:///path``.
        tls: certificates; None serves in plain text.
        limits: what the listener bears.
    """

    def __init__(
        self,
        hub: Hub,
        address: str,
        *,
        tls: ServerTls | None = None,
        limits: GrpcLimits | None = None,
    ) -> None:
        self._hub = hub
        self._asked = address
        self._tls = tls
        self._limits = limits or GrpcLimits()
        self._server: grpc.aio.Server | None = None
        self._address = ""

    @property
    def address(self) -> str:
        """Where it listens, with the real port; empty before `start`."""
        return self._address

    async def start(self) -> None:
        """Bind and serve.

        Raises:
            OSError: if the address cannot be bound; it names the address.
            ConfigError: if a certificate cannot be used.
        """
        credentials = server_credentials(self._tls) if self._tls else None
        await _try_to_bind(self._asked)
        server = grpc.aio.server(options=self._limits.options())
        server.add_generic_rpc_handlers(discovery_handlers(self._hub))
        try:
            if credentials is None:
                port = server.add_insecure_port(self._asked)
            else:
                port = server.add_secure_port(self._asked, credentials)
        except RuntimeError as error:
            # gRPC does not say why; most likely somebody was quicker than we.
            raise _bind_error(self._asked, errno.EADDRINUSE) from error
        await server.start()
        self._server = server
        host, separator, _ = self._asked.rpartition(":")
        is_path = self._asked.startswith(_UNIX)
        self._address = self._asked if is_path else f"{host}{separator}{port}"

    async def close(self, drain_timeout: float) -> None:
        """Take no more streams, and end those there are within `drain_timeout` seconds."""
        server, self._server = self._server, None
        if server is None:
            return
        stopping = asyncio.create_task(server.stop(drain_timeout))
        await drain(self._hub, drain_timeout)
        await stopping


async def drain(hub: Hub, drain_timeout: float) -> None:
    """End the streams of a hub one after the other, over at most `drain_timeout` seconds."""
    streams = tuple(hub.stop_accepting())
    step = min(_DRAIN_STEP, drain_timeout / max(len(streams), 1))
    for stream in streams:
        if stream.is_open:
            stream.end("UNAVAILABLE", "the server is closing: connect to another one")
            await asyncio.sleep(step)
    hub.close()


async def _try_to_bind(address: str) -> None:
    """Find out why an address cannot be bound, which gRPC would only log."""
    host, _, port = address.rpartition(":")
    if address.startswith(_UNIX):
        return
    if not port.isdecimal() or int(port) > _LAST_PORT:
        msg = f"the address {address!r} has no port: write host:port, with port 0 to 65535"
        raise OSError(errno.EINVAL, msg)
    host = host.removeprefix("[").removesuffix("]")
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(
            host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, where = found[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
    except OSError as error:
        raise _bind_error(address, error.errno or errno.EINVAL, error.strerror) from error


def _bind_error(address: str, number: int, reason: str | None = None) -> OSError:
    why = reason or "it is in use"
    return OSError(number, f"cannot listen on {address}: {why}; choose another address, or port 0")


def _method(
    hub: Hub, decoder: Decoder, type_url: str, *, is_delta: bool
) -> grpc.RpcMethodHandler[Any, Any]:
    async def serve(_: object, context: Any) -> None:
        await _serve(hub, decoder, context, type_url, is_delta=is_delta)

    behavior: Callable[..., Any] = serve
    return grpc.stream_stream_rpc_method_handler(behavior)


async def _serve(
    hub: Hub, decoder: Decoder, context: Any, type_url: str, *, is_delta: bool
) -> None:
    """The life of one stream: this task writes, another one reads."""
    carrier = _Carrier()
    peer = Peer(address=context.peer(), identities=identities(context.auth_context()))
    try:
        stream = hub.open(carrier, peer=peer, is_delta=is_delta, is_aggregated=not type_url)
    except RemoteAdsError as error:
        await context.abort(_code(error.status), str(error))
        return  # abort raises
    reader = asyncio.create_task(_read(decoder, context, stream, type_url))
    reason = "the client has gone"
    try:
        await carrier.write_all(context.write, stream)
        reason = carrier.reason
    except grpc.aio.BaseError as error:
        reason = f"the connection was lost: {error}"
    finally:
        reader.cancel()
        stream.closed(reason)
    if carrier.status != "OK":
        await context.abort(_code(carrier.status), carrier.reason)


async def _read(decoder: Decoder, context: Any, stream: Stream, type_url: str) -> None:
    while True:
        try:
            data = await context.read()
        except grpc.aio.BaseError as error:
            stream.end("UNAVAILABLE", f"the connection was lost: {error}")
            return
        if data is _EOF:
            stream.end("OK", "the client has finished")
            return
        try:
            request, node = decoder.decode(data, is_delta=stream.is_delta, type_url=type_url)
        except RemoteAdsError as error:
            stream.refuse(error)
            return
        except Exception:  # noqa: BLE001 - logged; a fault of ours ends one stream only
            stream.fault("reading a request")
            return
        stream.receive(request, node)


class _Carrier:
    """Carries one stream's bytes from the hub to gRPC.

    Attributes:
        status: what the stream ends with; OK if it ended without the hub's doing.
        reason: why.
    """

    def __init__(self) -> None:
        self.status = "OK"
        self.reason = ""
        self._is_closed = False
        self._data: bytes | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._writer: asyncio.Task[Any] | None = None

    def send(self, data: bytes) -> None:
        """Hand bytes to the writing task."""
        self._data = data
        self._wake()

    def close(self, status: str, reason: str) -> None:
        """Let the writing task end the stream; a write that hangs is given up soon."""
        self.status, self.reason = status, reason
        self._is_closed = True
        if self._writer is not None and self._waiter is None:
            asyncio.get_running_loop().call_later(_CLOSE_PATIENCE, self._writer.cancel)
        self._wake()

    async def write_all(self, write: Callable[[bytes], Awaitable[None]], stream: Stream) -> None:
        """Write what the hub sends until it closes the stream."""
        self._writer = asyncio.current_task()
        loop = asyncio.get_running_loop()  # once: it is a system call before Python 3.12
        while not self._is_closed:
            data, self._data = self._data, None
            if data is None:
                self._waiter = loop.create_future()
                await self._waiter
                self._waiter = None
            else:
                await write(data)
                stream.written()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _code(status: str) -> grpc.StatusCode:
    return grpc.StatusCode[status]
