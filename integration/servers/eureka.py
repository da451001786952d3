"""A real Eureka server, Spring's, on the loopback interface; also two that are copies."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import signal
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import aiohttp

from servers.ports import free_port
from servers.process import ChildProcess
from servers.recipes import Recipe, command

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

VERSION = "4.3.1"
_SOURCES = Path(__file__).resolve().parent / "java" / "eureka"
_ARCHIVE = "eureka.jsa"
# The archive of classes holds for the same flags and the same class path only.
_FLAGS = ("-Xmx192m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
_PROGRAM = ("-cp", "eureka-server.jar:lib/*", "meshregistry.EurekaServer")
_START = 90.0


def _digest() -> str:
    files = sorted(path for path in _SOURCES.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]


def _install(folder: Path) -> None:
    """Compile our one class, fetch what it needs, and archive the classes for quick starts.

    Raises:
        RuntimeError: if there is no JDK or no Maven, or a step fails.
    """
    command(["javac", "-version"])
    # Maven writes beside the sources unless told otherwise: a copy keeps the tree clean.
    sources, target = folder / "sources", folder / "target"
    shutil.copytree(_SOURCES, sources)
    command(
        [
            *("mvn", "-B", "-q", "-f", sources / "pom.xml", "-DskipTests"),
            *(f"-Dmeshregistry.target={target}", "package", "dependency:copy-dependencies"),
            *("-DincludeScope=runtime", f"-DoutputDirectory={folder / 'lib'}"),
        ]
    )
    shutil.move(target / "eureka-server.jar", folder / "eureka-server.jar")
    shutil.rmtree(target)
    shutil.rmtree(sources)
    archive = f"-XX:ArchiveClassesAtExit={_ARCHIVE}"
    once = "-Dspring.context.exit=onRefresh"
    command(["java", *_FLAGS, archive, once, *_PROGRAM, "--server.port=0"], cwd=folder)


RECIPE = Recipe(name="eureka", version=f"{VERSION} {_digest()}", install=_install, minutes=2)
"""Spring Cloud Netflix Eureka from Maven Central; 120 MB with the archive of classes."""


class Eureka:
    """One server; an async context manager. It holds its registry in memory only.

    Args:
        installed: the folder of the recipe.
        folder: for its log.
        options: properties beside those of the recipe, such as ``{"eureka.server.…": "…"}``.

    Attributes:
        port: the same after a restart.
        options: may be changed while it is stopped.
    """

    def __init__(
        self, installed: Path, folder: Path, options: dict[str, str] | None = None
    ) -> None:
        self.port = free_port()
        self.options = dict(options or {})
        self._installed = installed
        self._log = folder / f"eureka-{self.port}.log"
        self._process: ChildProcess | None = None

    @property
    def url(self) -> str:
        """For settings."""
        return f"http://127.0.0.1:{self.port}/eureka"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop(signal.SIGKILL)

    async def start(self, *, status: int = 200) -> None:
        """Start it and wait until it answers with this status: 403 while it does not serve yet."""
        java = shutil.which("java")
        assert java is not None, "the recipe has checked that there is a Java"
        line = [
            *(java, *_FLAGS, f"-XX:SharedArchiveFile={self._installed / _ARCHIVE}", *_PROGRAM),
            f"--server.port={self.port}",
            *(f"--{key}={value}" for key, value in self.options.items()),
        ]
        # The class path is relative, as it was when the archive was made.
        shell = ["sh", "-c", 'cd "$0" && exec "$@"', str(self._installed), *line]
        self._process = ChildProcess(shell, log=self._log)
        await self._process.__aenter__()

        async def answers() -> bool:
            try:
                return await self.status("GET", "/apps") == status
            except aiohttp.ClientError:
                await asyncio.sleep(0.1)
                return False

        await self._process.until(answers, what="Eureka answers", timeout=_START)

    async def stop(self, signal_number: int = signal.SIGTERM) -> None:
        """End it by this signal; what was registered is lost."""
        if self._process is not None:
            await self._process.stop(signal_number)
            self._process = None

    def pause(self) -> None:
        """Let it stand still: it accepts connections and does not answer."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    # --- Its interface, from any loop -------------------------------------------------

    async def status(self, method: str, path: str, document: Any = None) -> int:
        """The status of the answer to a request."""
        async with self._asked(method, path, document) as answer:
            return answer.status

    async def get(self, path: str) -> Any:
        """The JSON of an answer."""
        async with self._asked("GET", path) as answer:
            assert answer.status == 200, await answer.text()
            return json.loads(await answer.text())

    async def done(self, method: str, path: str, document: Any = None) -> None:
        """Ask for something that must succeed."""
        async with self._asked(method, path, document) as answer:
            text = await answer.text()
            assert 200 <= answer.status < 300, f"{method} {path}: {answer.status} {text}"

    @asynccontextmanager
    async def _asked(
        self, method: str, path: str, document: Any = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        async with (
            aiohttp.ClientSession(headers={"Accept": "application/json"}) as session,
            session.request(method, self.url + path, json=document) as answer,
        ):
            yield answer

    async def register(
        self,
        app: str,
        port: int,
        *,
        address: str = "127.0.0.1",
        lease: int = 3600,
        **more: Any,
    ) -> str:
        """Register an instance as Spring's client does; its id. `lease` is in seconds."""
        id_ = more.pop("id", f"{address}:{app}:{port}")
        center = "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo"
        one = {
            "instanceId": id_,
            "hostName": address,
            "app": app.upper(),
            "ipAddr": address,
            "status": "UP",
            "vipAddress": app,
            "secureVipAddress": app,
            "port": {"$": port, "@enabled": "true"},
            "securePort": {"$": 443, "@enabled": "false"},
            "dataCenterInfo": {"@class": center, "name": "MyOwn"},
            "leaseInfo": {"renewalIntervalInSecs": max(1, lease // 3), "durationInSecs": lease},
            "metadata": {},
            **more,
        }
        await self.done("POST", f"/apps/{app.upper()}", {"instance": one})
        return id_

    async def cancel(self, app: str, id_: str) -> None:
        """Take an instance out; one that is not there is no fault."""
        assert await self.status("DELETE", f"/apps/{app.upper()}/{id_}") in (200, 404)

    async def instances(self) -> list[tuple[str, str]]:
        """Application and id of all."""
        listed = (await self.get("/apps"))["applications"]["application"]
        return [(app["name"], one["instanceId"]) for app in listed for one in app["instance"]]

    async def clear(self) -> None:
        """Take everything out."""
        for app, id_ in await self.instances():
            await self.cancel(app, id_)


@asynccontextmanager
async def two_peers(installed: Path, folder: Path) -> AsyncIterator[tuple[Eureka, Eureka]]:
    """Two servers, each of which copies what is registered at the other."""
    first, second = Eureka(installed, folder), Eureka(installed, folder)
    for own, other in ((first, second), (second, first)):
        own.options |= {
            # Its own name is localhost, so that it takes the other one for another.
            "eureka.client.service-url.defaultZone": f"{other.url}/",
            "eureka.client.fetch-registry": "true",
            "eureka.server.registry-sync-retries": "5",
            "eureka.server.registry-sync-retry-wait-ms": "200",
            # What cannot be copied in time is dropped; the other one is down for seconds here.
            "eureka.server.peer-node-connect-timeout-ms": "500",
        }
    async with first, second:
        yield first, second
