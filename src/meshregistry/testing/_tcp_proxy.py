"""TcpProxy: stands between an adapter and its backend, and does what networks do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_CHUNK = 65536


class TcpProxy:
    """Passes bytes to a TCP backend and back; breaks, slows, silences, truncates and heals.

    An async context manager; its methods are to be called on the loop on which it was entered.

    Args:
        host: of the backend.
        port: of the backend.
        listen_host: where to listen.
        listen_port: where to listen; 0 takes a free one.

    Attributes:
        connections: how many were accepted so far, those that were broken at once included.
        bytes_up: how many bytes went to the backend.
        bytes_down: how many bytes came back from it.
    """

    def __init__(
        self, host: str, port: int, *, listen_host: str = "127.0.0.1", listen_port: int = 0
    ) -> None:
        self.connections = 0
        self.bytes_up = 0
        self.bytes_down = 0
        self._backend = (host, port)
        self._listen = (listen_host, listen_port)
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], _Connection] = {}
        self._is_broken = False
        self._delay = 0.0
        self._limit: int | None = None

    @property
    def host(self) -> str:
        """The address to connect to."""
        return self._listen[0]

    @property
    def port(self) -> int:
        """The port to connect to.

        Raises:
            RuntimeError: if the proxy has not been entered.
        """
        if self._server is None:
            msg = "the proxy does not listen: enter it with `async with`"
            raise RuntimeError(msg)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def address(self) -> str:
        """``host:port`` to connect to."""
        return f"{self.host}:{self.port}"

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        return len(self._open)

    async def __aenter__(self) -> Self:
        host, port = self._listen
        self._server = await asyncio.start_server(self._accept, host, port)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._server is not None:
            self._server.close()
        self._abort_all()
        if self._open:
            await asyncio.wait(self._open)

    def break_(self) -> None:
        """Reset every connection, and each new one as soon as it comes."""
        self._is_broken = True
        self._abort_all()

    def slow(self, seconds: float) -> None:
        """Hold back whatever the backend answers for so long."""
        self._delay = seconds

    def silence(self) -> None:
        """Let the connections that are open now pass nothing, and stay open.

        As when a router forgets them: nobody is told. New connections work.
        """
        for connection in self._open.values():
            connection.is_silent = True

    def truncate(self, after: int) -> None:
        """Reset every connection, and each new one after so many bytes of answer."""
        self._limit = after
        self._abort_all()

    def heal(self) -> None:
        """Be a plain proxy again. Connections that were silenced are reset."""
        self._is_broken = False
        self._delay = 0.0
        self._limit = None
        for connection in self._open.values():
            if connection.is_silent:
                connection.abort()

    def _abort_all(self) -> None:
        for connection in self._open.values():
            connection.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self._is_broken:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None, "a server calls back in a task of its own"
        connection = self._open[task] = _Connection(writer, self._limit)
        try:
            await self._pass(connection, reader)
        finally:
            connection.abort()
            del self._open[task]

    async def _pass(self, connection: _Connection, reader: asyncio.StreamReader) -> None:
        try:
            answers, requests = await asyncio.open_connection(*self._backend)
        except OSError:
            return  # the backend is down, and the client sees that by the reset
        connection.backend = requests
        if connection.is_aborted:
            return
        up = _pump(reader, requests, lambda data: self._up(connection, data), connection.abort)
        down = _pump(
            answers, connection.client, lambda data: self._down(connection, data), connection.abort
        )
        # One half may close first and the other go on; an abort ends both.
        await asyncio.gather(up, down)

    async def _up(self, connection: _Connection, data: bytes) -> bytes:
        if connection.is_silent:
            return b""
        self.bytes_up += len(data)
        return data

    async def _down(self, connection: _Connection, data: bytes) -> bytes:
        if self._delay:
            await asyncio.sleep(self._delay)
        if connection.is_silent:
            return b""
        data = connection.allowed(data)
        self.bytes_down += len(data)
        return data


class _Connection:
    """One connection: both its ends, and how much may still come down."""

    def __init__(self, client: asyncio.StreamWriter, limit: int | None) -> None:
        self.client = client
        self.backend: asyncio.StreamWriter | None = None
        self.is_silent = False
        self.is_aborted = False
        self._left = limit

    def allowed(self, data: bytes) -> bytes:
        """The part of an answer that may pass; the connection ends with its last byte."""
        if self._left is None:
            return data
        if len(data) >= self._left:
            data = data[: self._left]
            # Closed, not reset: what has been written is to arrive.
            self.client.write(data)
            self.client.close()
            if self.backend is not None:
                self.backend.transport.abort()
            return b""
        self._left -= len(data)
        return data

    def abort(self) -> None:
        self.is_aborted = True
        # A connection that ends by itself has been flushed: closing is enough for its peer.
        for writer in (self.client, self.backend):
            if writer is not None and not writer.is_closing():
                writer.transport.abort()


async def _pump(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    through: Callable[[bytes], Awaitable[bytes]],
    abort: Callable[[], None],
) -> None:
    """Copy until the end, and pass the end on; a reset of one side resets the other, too."""
    try:
        while data := await reader.read(_CHUNK):
            passed = await through(data)
            if passed:
                writer.write(passed)
                await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except (OSError, RuntimeError):
        abort()
