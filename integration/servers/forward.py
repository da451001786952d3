"""A receiver of Fluentd's forward protocol, which shows messages as they came."""

from __future__ import annotations

import asyncio
from typing import Any, Self

import msgpack


class ForwardReceiver:
    """Takes records on the loopback interface; an async context manager.

    Attributes:
        records: what came, each as ``[tag, time, record, …]``.
    """

    def __init__(self) -> None:
        self.records: asyncio.Queue[list[Any]] = asyncio.Queue()
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        """``host:port``."""
        assert self._server is not None
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._read, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        unpacker = msgpack.Unpacker()
        while data := await reader.read(4096):
            unpacker.feed(data)
            for one in unpacker:
                self.records.put_nowait(one)
        writer.close()
