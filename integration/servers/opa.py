"""A real Open Policy Agent on the loopback interface, with nothing in it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from servers.ports import free_port
from servers.process import ChildProcess

if TYPE_CHECKING:
    from pathlib import Path


class Opa:
    """One server; an async context manager. It keeps nothing.

    Args:
        program: where it is.
        data: for its log.
    """

    def __init__(self, program: Path, data: Path) -> None:
        self.port = free_port()
        self._program = program
        self._data = data
        self._process: ChildProcess | None = None

    @property
    def address(self) -> str:
        """Of its HTTP API."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start it and wait until it listens."""
        command = [
            *(str(self._program), "run", "--server", "--disable-telemetry"),
            *("--addr", f"127.0.0.1:{self.port}", "--log-level", "error"),
        ]
        self._process = ChildProcess(command, log=self._data / "opa.log")
        await self._process.__aenter__()
        await self._process.until(self._is_ready, what="OPA listens", timeout=30)

    async def stop(self) -> None:
        """End it."""
        if self._process is not None:
            await self._process.stop()
            self._process = None

    async def _is_ready(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True
