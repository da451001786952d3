"""A real Mesos master with its agents, on the loopback interface."""

from __future__ import annotations

import base64
import json
import shutil
import signal
from typing import TYPE_CHECKING, Any, Self

import aiohttp

from servers.mesos_recipe import MESOS, SOURCES
from servers.ports import free_port
from servers.process import ChildProcess

if TYPE_CHECKING:
    from pathlib import Path


def find_mesos() -> Path | None:
    """The folder of a Mesos that was made by our recipe, or None."""
    return MESOS.find()


class Mesos:
    """A master and its agents in one process; an async context manager.

    The master keeps its registry in memory: one that is started again has forgotten its agents,
    which register anew, with their old ids unless they were wiped.

    Args:
        installed: the folder that the recipe has filled.
        folder: for data and log.
        agents: how many; `count` is for the next start.
        attributes: of the agents, as ``name:value;name:value``.
        password: basic credentials that readers need, of the user ``mesh``; for the next start.
    """

    def __init__(
        self,
        installed: Path,
        folder: Path,
        *,
        agents: int = 1,
        attributes: str = "",
        password: str = "",
    ) -> None:
        self.port = free_port()
        self._installed = installed
        self._folder = folder
        self.count = agents
        self._attributes = attributes
        self.password = password
        self._process: ChildProcess | None = None
        self._session: aiohttp.ClientSession | None = None

    @property
    def address(self) -> str:
        """For settings."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def session(self) -> aiohttp.ClientSession:
        """For calls, with credentials if there are any."""
        assert self._session is not None
        return self._session

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop(signal.SIGKILL)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop(signal.SIGKILL)

    async def start(self) -> None:
        """Start it and wait until every agent has registered."""
        libraries = [self._installed / "stub", self._installed / "root/usr/lib/x86_64-linux-gnu"]
        environment = {
            "LD_LIBRARY_PATH": ":".join(map(str, libraries)),
            "LIBPROCESS_IP": "127.0.0.1",
            "LIBPROCESS_PORT": str(self.port),
            "MESOS_WORK_DIR": str(self._folder / "work"),
            "MESOS_NUM_SLAVES": str(self.count),
            "MESOS_REGISTRY": "in_memory",
            "MESOS_LAUNCHER": "posix",
            "MESOS_ISOLATION": "posix/cpu,posix/mem",
            "MESOS_LAUNCHER_DIR": str(SOURCES),
            "MESOS_SYSTEMD_ENABLE_SUPPORT": "false",
            "MESOS_RESOURCES": "cpus:64;mem:65536;disk:65536;ports:[31000-32000]",
            "MESOS_HOSTNAME": "localhost",
            "MESOS_ATTRIBUTES": self._attributes,
            "MESOS_ALLOCATION_INTERVAL": "50ms",
        }
        if self.password:
            pairs = [{"principal": "mesh", "secret": self.password}]
            credentials = self._folder / "credentials.json"
            credentials.write_text(json.dumps({"credentials": pairs}), encoding="utf-8")
            environment |= {
                "MESOS_AUTHENTICATE_HTTP_READWRITE": "true",
                "MESOS_CREDENTIALS": str(credentials),
                # The agents are in the same process, and so have the same flag.
                "MESOS_HTTP_CREDENTIALS": str(credentials),
            }
        command = [str(self._installed / "local_cluster"), str(self._installed / "_scheduler.so")]
        self._process = ChildProcess(
            command, log=self._folder / "mesos.log", environment=environment
        )
        await self._process.__aenter__()
        pair = base64.b64encode(f"mesh:{self.password}".encode()).decode()
        headers = {"Authorization": f"Basic {pair}"} if self.password else {}
        self._session = aiohttp.ClientSession(headers=headers)
        await self._process.until(self._is_ready, what="Mesos has its agents", timeout=30)

    async def stop(self, signal_number: int = signal.SIGTERM) -> None:
        """End it by this signal; what the agents have written stays."""
        if self._session is not None:
            await self._session.close()
            self._session = None
        if self._process is not None:
            await self._process.stop(signal_number)
            self._process = None

    def wipe(self) -> None:
        """Let the agents forget who they were, while it is stopped."""
        shutil.rmtree(self._folder / "work")

    async def call(self, kind: str, **body: Any) -> Any:
        """The answer of the operator API, if it has one."""
        document = {"type": kind, **body}
        async with self.session.post(f"{self.address}/api/v1", json=document) as response:
            text = await response.text()
            assert response.status == 200, text
            return json.loads(text)[kind.lower()] if text else None

    async def _is_ready(self) -> bool:
        try:
            agents = (await self.call("GET_AGENTS")).get("agents", [])
        except (aiohttp.ClientError, AssertionError):
            return False
        return sum(one.get("active", False) for one in agents) == self.count
