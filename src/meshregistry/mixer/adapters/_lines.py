"""Lines for a receiver of statsd's kind: joined into datagrams, sent over UDP."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshregistry.mixer.spi import HandlerContext

RETRY = 5.0
"""Seconds after which a receiver that could not be found is looked for again."""
_BACKLOG = 1 << 20
"""Bytes that may wait in the socket; more are dropped."""
_ADDRESS = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<host>[^:\[\]]*)):(?P<port>\d{1,5})")


def host_and_port(address: str) -> tuple[str, int]:
    """The parts of ``host:port``; without a host it is this machine.

    Raises:
        ValueError: if it is no address.
    """
    found = _ADDRESS.fullmatch(address)
    if found is None or not 0 < int(found["port"]) < 2**16:
        raise ValueError(f"{address!r} is no address; write host:port, such as localhost:8125")
    return found["six"] or found["host"] or "localhost", int(found["port"])


def address_faults(name: str, address: str) -> list[str]:
    """What is wrong with an address of the configuration, as clauses."""
    try:
        host_and_port(address)
    except ValueError as error:
        return [f"{name}: {error}"]
    return []


def line_of(name: str, value: str, rest: str) -> str:
    """``name:value|rest``, with what has to stand before it in the same datagram.

    A gauge's value with a sign is a change to receivers, so one below zero is set to zero first.
    """
    line = f"{name}:{value}|{rest}"
    is_change = rest.startswith("g") and value.startswith("-")
    return f"{name}:0|{rest}\n{line}" if is_change else line


class Lines:
    """Lines on their way.

    Args:
        context: of the handler; counters: ``lines``, ``dropped_lines``, ``send_errors``.
        address: of the receiver, ``host:port``.
        max_bytes: of a datagram; a longer line has one of its own. 0: every line has.
        max_age: seconds that a line may wait for others.
    """

    def __init__(
        self, context: HandlerContext, address: str, *, max_bytes: int, max_age: float
    ) -> None:
        self._context = context
        self._address = address
        self._max_bytes = max_bytes
        self._max_age = max_age
        self._lines: list[bytes] = []
        self._size = 0
        self._some = asyncio.Event()
        self._transport: asyncio.DatagramTransport | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin; a receiver that cannot be found is looked for again later."""
        await self._connect()
        self._task = asyncio.create_task(self._run(), name="meshregistry-mixer-lines")

    async def close(self) -> None:
        """Send what waits, and end."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self.flush()
        if self._transport is not None:
            self._transport.close()

    def put(self, line: str) -> None:
        """Send a line soon; never waits."""
        data = line.encode("utf-8", "replace")
        if self._lines and self._size + 1 + len(data) > self._max_bytes:
            self.flush()
        self._lines.append(data)
        self._size += len(data) + (len(self._lines) > 1)
        if self._size >= self._max_bytes:
            self.flush()
        else:
            self._some.set()

    def flush(self) -> None:
        """Send what waits, now."""
        lines, self._lines, self._size = self._lines, [], 0
        self._some.clear()
        if not lines:
            return
        transport = self._transport
        # Every transport of asyncio's has this; the stubs know it only of streams.
        if transport is None or transport.get_write_buffer_size() > _BACKLOG:  # type: ignore[attr-defined]  # see above
            self._context.count("dropped_lines", len(lines))
            return
        transport.sendto(b"\n".join(lines))
        self._context.count("lines", len(lines))

    async def _connect(self) -> None:
        host, port = host_and_port(self._address)
        loop = asyncio.get_running_loop()
        try:
            self._transport, _ = await loop.create_datagram_endpoint(
                lambda: _Errors(self._context), remote_addr=(host, port)
            )
        except OSError as error:
            self._context.count("send_errors")
            self._context.logger.warning("%s cannot be found: %s", self._address, error)

    async def _run(self) -> None:
        while self._transport is None:
            await self._context.sleep(RETRY)
            await self._connect()
        while True:
            await self._some.wait()
            await self._context.sleep(self._max_age)
            self.flush()


class _Errors(asyncio.DatagramProtocol):
    """Counts what the network says of datagrams that nobody took."""

    def __init__(self, context: HandlerContext) -> None:
        self._context = context

    def error_received(self, _exc: Exception) -> None:
        self._context.count("send_errors")
