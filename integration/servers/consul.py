"""A real Consul server on the loopback interface, with ports of its own."""

from __future__ import annotations

import json
import shutil
import signal
import uuid
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self

import aiohttp

from servers.cache import cache_folder
from servers.ports import free_port
from servers.process import ChildProcess

if TYPE_CHECKING:
    from pathlib import Path


def find_consul() -> str | None:
    """The path of a Consul: built by our recipe, else on the path; or None."""
    built = cache_folder() / "bin" / "consul"
    return str(built) if built.exists() else shutil.which("consul")


class Consul:
    """One server that is also an agent; an async context manager.

    Its data is on disk, so it can be killed and started again as it was, or wiped.

    Args:
        binary: the program.
        folder: for its data and its log.
        with_acl: whether it hides everything from callers without a token.
    """

    def __init__(self, binary: str, folder: Path, *, with_acl: bool = False) -> None:
        self.token = str(uuid.uuid4()) if with_acl else ""
        self.port = free_port()
        self._binary = binary
        self._folder = folder
        self._ports = [free_port() for _ in range(2)]
        self._stack = AsyncExitStack()
        self._process: ChildProcess | None = None
        self._session: aiohttp.ClientSession | None = None

    @property
    def address(self) -> str:
        """For settings."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None
        return self._process.pid

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop(signal.SIGKILL)

    async def start(self) -> None:
        """Start it and wait until it has a leader and lists its own service."""
        server, serf = self._ports
        command = [
            *(self._binary, "agent", "-server", "-bootstrap-expect", "1", "-node", "meshnode"),
            *(
                "-bind",
                "127.0.0.1",
                "-client",
                "127.0.0.1",
                "-data-dir",
                str(self._folder / "data"),
            ),
            *("-http-port", str(self.port), "-server-port", str(server)),
            *("-serf-lan-port", str(serf), "-serf-wan-port", "-1", "-dns-port", "-1"),
            *("-grpc-port", "-1", "-grpc-tls-port", "-1"),
            *("-disable-host-node-id", "-log-level", "warn"),
            *("-hcl", "disable_update_check = true", "-hcl", "connect { enabled = false }"),
            *("-hcl", "performance { raft_multiplier = 1 }"),
            # What `received_requests` reads.
            *("-hcl", 'telemetry { prometheus_retention_time = "24h" disable_hostname = true }'),
        ]
        if self.token:
            acl = (
                'acl { enabled = true default_policy = "deny" tokens { '
                f'initial_management = "{self.token}" agent = "{self.token}" }} }}'
            )
            command += ["-hcl", acl]
        self._process = ChildProcess(command, log=self._folder / "consul.log")
        await self._process.__aenter__()
        self._session = aiohttp.ClientSession(
            headers={"X-Consul-Token": self.token} if self.token else {}
        )
        await self._process.until(self._is_ready, what="Consul has a leader", timeout=30)

    async def stop(self, signal_number: int = signal.SIGTERM) -> None:
        """End it by this signal; its data stays."""
        if self._session is not None:
            await self._session.close()
            self._session = None
        if self._process is not None:
            await self._process.stop(signal_number)
            self._process = None

    def wipe(self) -> None:
        """Lose its data, while it is stopped."""
        shutil.rmtree(self._folder / "data")

    async def _is_ready(self) -> bool:
        try:
            return "consul" in await self.get("/v1/catalog/services")
        except (aiohttp.ClientError, AssertionError):
            return False

    async def get(self, path: str) -> Any:
        """The JSON of an answer."""
        assert self._session is not None
        async with self._session.get(self.address + path) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def put(self, path: str, document: Any = None) -> Any:
        """Write something; the JSON of the answer, if it is JSON."""
        assert self._session is not None
        body = None if document is None else json.dumps(document)
        async with self._session.put(self.address + path, data=body) as response:
            text = await response.text()
            assert response.status == 200, f"{path}: {response.status} {text}"
            return json.loads(text) if text else None

    async def delete(self, path: str) -> None:
        """Delete something."""
        assert self._session is not None
        async with self._session.delete(self.address + path) as response:
            assert response.status == 200, await response.text()

    async def register(
        self, service: str, port: int, *, address: str = "127.0.0.1", **more: Any
    ) -> str:
        """Register an instance at the agent with a check that passes; its id."""
        service_id = more.pop("id", f"{service}-{port}")
        document = {
            "ID": service_id,
            "Name": service,
            "Address": address,
            "Port": port,
            "Check": {"CheckID": f"check:{service_id}", "TTL": "1h", "Status": "passing"},
            **more,
        }
        await self.put("/v1/agent/service/register", document)
        return service_id

    async def write(self, *operations: dict[str, Any]) -> None:
        """One transaction over nodes and services, of at most 64 operations."""
        await self.put("/v1/txn", list(operations))

    async def received_requests(self) -> float:
        """How many requests it has answered, as it counts them itself.

        One that waits for news counts when it has been answered. Questions for this number
        do not count.
        """
        assert self._session is not None
        url = f"{self.address}/v1/agent/metrics?format=prometheus"
        async with self._session.get(url) as response:
            assert response.status == 200, await response.text()
            counted = [
                float(line.rpartition(" ")[2])
                for line in (await response.text()).splitlines()
                if line.startswith("consul_api_http_count{") and "agent_metrics" not in line
            ]
        return sum(counted)

    async def make_token(self, name: str, rules: str) -> tuple[str, str]:
        """A token with a policy of its own: accessor and secret."""
        await self.put("/v1/acl/policy", {"Name": name, "Rules": rules})
        made = await self.put("/v1/acl/token", {"Policies": [{"Name": name}]})
        return made["AccessorID"], made["SecretID"]
