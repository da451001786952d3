"""The real statsd on the loopback interface, from npm."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any, Self

from servers.ports import free_port
from servers.process import ChildProcess
from servers.recipes import Recipe, command

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

VERSION = "0.9.0"
_PROGRAM = "node_modules/statsd/stats.js"
_ENTRY = re.compile(r"'?([\w.\-]+)'?:\s*(\[[^\]]*\]|-?[\d.]+)")
_LONG = 3_600_000
"""Milliseconds between two flushes: counters are read before the first one."""


def _install(folder: Path) -> None:
    """The package without what it can do without."""
    command(["node", "--version"])
    words = ["npm", "install", "--prefix", folder, "--no-audit", "--no-fund", "--omit=optional"]
    command([*words, "--loglevel=error", f"statsd@{VERSION}"])
    if not (folder / _PROGRAM).exists():
        raise RuntimeError(f"npm has brought no {_PROGRAM}")


STATSD = Recipe(name="statsd", version=VERSION, install=_install)


class Statsd:
    """One server; an async context manager.

    Args:
        folder: where the recipe has put it.
        data: for its configuration and its log.
    """

    def __init__(self, folder: Path, data: Path) -> None:
        self._port = free_port()
        self._management = free_port()
        self._file = data / "statsd.js"
        self._process = ChildProcess(
            ["node", str(folder / _PROGRAM), str(self._file)], log=data / "statsd.log"
        )

    @property
    def address(self) -> str:
        """Where it takes lines."""
        return f"127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        configuration = {
            "port": self._port,
            "address": "127.0.0.1",
            "mgmt_port": self._management,
            "mgmt_address": "127.0.0.1",
            "backends": [],
            "flushInterval": _LONG,
        }
        self._file.write_text(json.dumps(configuration), encoding="utf-8")
        await self._process.__aenter__()
        await self._process.until(self._is_ready, what="statsd is healthy")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._process.stop()

    async def until(self, kind: str, name: str, holds: Callable[[Any], bool]) -> None:
        """Wait until what it has under a name is as it should be.

        Args:
            kind: ``counters``, ``gauges`` or ``timers``.
            name: of the metric.
            holds: whether a value is.
        """

        async def is_so() -> bool:
            found = _object(await self._ask(kind))
            return name in found and holds(found[name])

        await self._process.until(is_so, what=f"{name} is right among statsd's {kind}")

    async def _ask(self, question: str) -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._management)
        try:
            writer.write(f"{question}\n".encode())
            end = b"\n" if question == "health" else b"END\n\n"
            return (await reader.readuntil(end)).decode()
        finally:
            writer.close()

    async def _is_ready(self) -> bool:
        try:
            return "up" in await self._ask("health")
        except (OSError, asyncio.IncompleteReadError):
            return False


def _object(text: str) -> dict[str, Any]:
    """Its answers are objects as JavaScript prints them, one value on a line or several."""
    found: dict[str, Any] = {}
    body = text.partition("{")[2].rpartition("}")[0]
    for name, value in _ENTRY.findall(body):
        found[name] = json.loads(value)
    return found
