"""A real Redis on the loopback interface: Debian's program, unpacked and not installed."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Self

from servers.ports import free_port
from servers.process import ChildProcess
from servers.recipes import Recipe, command, unpack_debian

if TYPE_CHECKING:
    from collections.abc import Mapping

# The program itself lies in the package of the tools.
_DEBIAN = ("redis-tools", "libjemalloc2", "liblzf1")


def _install(folder: Path) -> None:
    """Packages are unpacked, which needs no rights."""
    unpack_debian(_DEBIAN, folder / "root")
    said = command([_program(folder), "--version"], environment=_libraries(folder))
    if "Redis server v=" not in said:
        raise RuntimeError(f"redis-server says {said.strip()} when it is asked for its version")


def _program(folder: Path) -> Path:
    # The same file is server and checker: it goes by the name that it is called by.
    link = folder / "redis-server"
    if not link.is_symlink():
        link.symlink_to(Path("root/usr/bin/redis-check-rdb"))
    return link


def _libraries(folder: Path) -> Mapping[str, str]:
    found = {str(one.parent) for one in (folder / "root").rglob("*.so.*")}
    return {"LD_LIBRARY_PATH": ":".join(sorted(found))}


REDIS = Recipe(name="redis", version="debian 1", install=_install)


class Redis:
    """One server; an async context manager. It keeps nothing.

    Args:
        folder: where the recipe has put it.
        data: for its log.
    """

    def __init__(self, folder: Path, data: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._data = data
        self._process: ChildProcess | None = None

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop(signal.SIGKILL)

    async def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        command_ = [
            *(str(_program(self._folder)), "--bind", "127.0.0.1", "--port", str(self.port)),
            *("--save", "", "--appendonly", "no", "--dir", str(self._data)),
        ]
        self._process = ChildProcess(
            command_, log=self._data / "redis.log", environment=_libraries(self._folder)
        )
        await self._process.__aenter__()
        await self._process.until(self._is_ready, what="Redis answers", timeout=20)

    async def stop(self, signal_number: int = signal.SIGTERM) -> None:
        """End it by this signal."""
        if self._process is not None:
            await self._process.stop(signal_number)
            self._process = None

    async def _is_ready(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        try:
            writer.write(b"PING\r\n")
            return await reader.readline() == b"+PONG\r\n"
        finally:
            writer.close()
