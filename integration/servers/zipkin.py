"""A real Zipkin on the loopback interface, from Maven's repository; it keeps spans in memory."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, Self

import aiohttp

from servers.ports import free_port
from servers.process import ChildProcess
from servers.recipes import Recipe, command

if TYPE_CHECKING:
    from pathlib import Path

VERSION = "3.6.1"
_JAR = f"zipkin-server-{VERSION}-slim.jar"


def _install(folder: Path) -> None:
    """One jar, which runs by itself."""
    for tool in ("java", "mvn"):
        if shutil.which(tool) is None:
            raise RuntimeError(f"{tool} is not on this machine, and Zipkin needs it")
    command(
        [
            *("mvn", "-B", "-q", "-Dstyle.color=never"),
            "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy",
            f"-Dartifact=io.zipkin:zipkin-server:{VERSION}:jar:slim",
            f"-DoutputDirectory={folder}",
        ]
    )
    if not (folder / _JAR).exists():
        raise RuntimeError(f"Maven has brought no {_JAR}")


ZIPKIN = Recipe(name="zipkin", version=VERSION, install=_install)


class Zipkin:
    """One server; an async context manager.

    Args:
        folder: where the recipe has put it.
        data: for its log.
    """

    def __init__(self, folder: Path, data: Path) -> None:
        self._port = free_port()
        port = "--armeria.ports[0]"
        self._process = ChildProcess(
            [
                *("java", "-Xmx192m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"),
                *("-jar", str(folder / _JAR)),
                # All three, or the port is a random one.
                *(f"{port}.ip=127.0.0.1", f"{port}.port={self._port}"),
                f"{port}.protocols[0]=http",
            ],
            log=data / "zipkin.log",
            environment={"QUERY_PORT": str(self._port), "STORAGE_TYPE": "mem"},
        )
        self._session: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        """Of the server."""
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession()
        await self._process.__aenter__()
        await self._process.until(self._is_ready, what="Zipkin is healthy", timeout=60)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None
        await self._session.close()
        await self._process.stop()

    async def trace(self, trace_id: str) -> list[dict[str, Any]]:
        """The spans of a trace, as soon as there are any."""
        found: list[dict[str, Any]] = []

        async def is_there() -> bool:
            assert self._session is not None
            async with self._session.get(f"{self.url}/api/v2/trace/{trace_id}") as response:
                if response.status == 200:
                    found.extend(await response.json())
            return bool(found)

        await self._process.until(is_there, what=f"the trace {trace_id} is there")
        return found

    async def _is_ready(self) -> bool:
        assert self._session is not None
        try:
            async with self._session.get(f"{self.url}/health") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False
