"""Consul is down while the pilot is started again: Envoy is served from the snapshot."""

from __future__ import annotations

import asyncio
import base64
import re
import shlex
import signal
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import yaml

pytest.importorskip(
    "meshregistry_consul", reason="the plugin is not installed: pip install ./plugins/consul"
)

from meshregistry.agent import bootstrap
from servers.backends import Backend, Traffic, first_answer
from servers.consul import Consul, find_consul
from servers.ports import free_port
from servers.process import ChildProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "survive-a-bad-registry.md"
PROGRAM = Path(sys.executable).with_name("meshregistry")
HOST = "web.service.consul"
ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec:
  hosts: [web.service.consul]
  http:
    - match: [{uri: {prefix: /refused}}]
      directResponse: {status: 418}
    - route: [{destination: {host: web.service.consul}}]
"""


@pytest.fixture(scope="module")
def consul_binary() -> str:
    """The path of a real Consul."""
    binary = find_consul()
    if binary is None:
        pytest.skip("there is no Consul: `make servers` builds it")
    return binary


class Mesh:
    """One settings file, and pilots in processes of their own, one after another."""

    def __init__(self, folder: Path, consul: Consul) -> None:
        self.folder = folder
        self.xds, self.router = f"127.0.0.1:{free_port()}", free_port()
        self.admin = f"127.0.0.1:{free_port()}"
        self._session = aiohttp.ClientSession()
        self.file = folder / "mesh.yaml"
        self.file.write_text(
            yaml.safe_dump(
                {
                    "snapshot": {"path": "kept", "interval": "200ms"},
                    "sync_timeout": "1s",
                    "sources": [{"id": "dc1", "kind": "consul", "address": consul.address}],
                    "rules": [{"kind": "consul", "source": "dc1"}],
                    "mesh": {"router": {"http_port": self.router}},
                    "server": {"xds": self.xds, "http": self.admin},
                }
            )
        )

    @asynccontextmanager
    async def pilot(self) -> AsyncIterator[ChildProcess]:
        """A pilot that is ready."""
        command = [str(PROGRAM), "serve", "-c", str(self.file)]
        async with ChildProcess(command, log=self.folder / "serve.log") as process:
            await process.until(self._is_ready, what="the pilot is ready", timeout=30)
            yield process

    async def _is_ready(self) -> bool:
        try:
            return (await self._session.get(f"http://{self.admin}/readyz")).status == 200
        except aiohttp.ClientError:
            return False

    async def get(self, path: str) -> Any:
        """A document of the pilot."""
        return await (await self._session.get(f"http://{self.admin}{path}")).json()

    async def status(self, url: str, host: str) -> int:
        """The status of an answer to a request by way of Envoy."""
        return (await self._session.get(url, headers={"Host": host})).status

    async def source(self) -> Any:
        """How the source is doing."""
        return (await self.get("/debug/sources"))["sources"][0]

    async def until(self, condition: str) -> float:
        """Wait for a condition of the source; the seconds that it took."""
        began = time.perf_counter()
        while (await self.source())["condition"] != condition:
            assert time.perf_counter() - began < 40, await self.source()
            await asyncio.sleep(0.02)
        return time.perf_counter() - began

    async def close(self) -> None:
        """Close the session."""
        await self._session.close()


async def before(mesh: Mesh, consul: Consul, traffic: Traffic, pilot: ChildProcess) -> None:
    """Wait until the snapshot is there, and kill Consul and the pilot."""
    for name in ("source-dc1.jsonl", "rules-dc1.jsonl"):
        await until_there(mesh.folder / "kept" / name)
    await traffic.until(lambda: traffic.answers["one"] > 100)
    await consul.stop(signal.SIGKILL)
    await mesh.until("STALE")
    await pilot.stop(signal.SIGKILL)


async def it_is_said(mesh: Mesh, pilot: ChildProcess) -> None:
    """In the documents, the readiness, the log, and by the command of the how-to page."""
    source = await mesh.source()
    assert (source["condition"], source["is_restored"], source["is_synced"]) == (
        *("STALE", True, False),
    )
    assert 0 < source["age"] < 60
    (rules,) = (await mesh.get("/debug/rules"))["rule_sources"]
    assert (rules["condition"], rules["is_restored"], rules["documents"]) == ("STALE", True, 1)
    remarks = (await mesh.get("/readyz"))["remarks"]
    assert any("dc1 is served from the snapshot" in one for one in remarks)
    assert "is served from the snapshot" in pilot.tail(100)
    lines = re.findall(r"^\$ meshregistry (.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    words = shlex.split(lines[-1].replace("127.0.0.1:8080", mesh.admin))
    process = await asyncio.create_subprocess_exec(
        *(PROGRAM, *words), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert re.search(r"STALE,\s+snapshot", out.decode()), out.decode()
    # As of any list: the source has not answered since the start.
    assert process.returncode == 3


async def register(consul: Consul, backend: Backend) -> None:
    """Register it without a check: Consul fails those with a time to live when it is restarted."""
    where = {"address": backend.address, "id": backend.version}
    await consul.register("web", backend.port, **where, Meta={"protocol": "http"}, Check=None)


async def until_there(file: Path) -> None:
    """Wait for a file."""
    async with asyncio.timeout(10):
        while not file.exists():
            await asyncio.sleep(0.02)


def test_envoy_is_served_while_consul_is_down(run_async, consul_binary: str, envoy, tmp_path: Path):
    """Through kill -9 of Consul and of the pilot no request fails; a new Envoy is served, too."""

    async def main() -> None:
        async with AsyncExitStack() as stack:
            one = await stack.enter_async_context(Backend("one"))
            two = await stack.enter_async_context(
                Backend("two", address="127.0.0.2", port=one.port)
            )
            (tmp_path / "consul").mkdir()
            consul = await stack.enter_async_context(Consul(consul_binary, tmp_path / "consul"))
            await register(consul, one)
            value = base64.b64encode(ROUTE.encode()).decode()
            key = {"Verb": "set", "Key": "meshregistry/rules/web.yaml", "Value": value}
            await consul.put("/v1/txn", [{"KV": key}])
            mesh = Mesh(tmp_path, consul)
            stack.push_async_callback(mesh.close)
            url = f"http://127.0.0.1:{mesh.router}/"
            document = bootstrap(node="edge-1", cluster="edge", xds=mesh.xds)
            async with AsyncExitStack() as old:
                async with mesh.pilot() as pilot:
                    await old.enter_async_context(envoy(document))
                    assert await first_answer(url, host=HOST) == "one"
                    traffic = await old.enter_async_context(Traffic(url, host=HOST))
                    await before(mesh, consul, traffic, pilot)
                began = time.perf_counter()
                pilot = await stack.enter_async_context(mesh.pilot())
                print(f"ready from the snapshot after {time.perf_counter() - began:.1f} s")
                await it_is_said(mesh, pilot)
                count = traffic.requests
                await traffic.until(lambda: traffic.requests > count + 200)
                assert (traffic.failures, set(traffic.answers)) == ([], {"one"})
                print(f"{traffic.requests} requests through both kills, none failed")
            await stack.enter_async_context(envoy(document))
            assert await first_answer(url, host=HOST) == "one"
            assert await mesh.status(f"{url}refused", HOST) == 418
            async with Traffic(url, host=HOST) as traffic:
                await consul.start()
                await register(consul, two)
                print(f"Consul is back: SYNCED after {await mesh.until('SYNCED'):.1f} s")
                assert not (await mesh.source())["is_restored"]
                await traffic.until(lambda: traffic.answers["two"] > 0)
                assert traffic.failures == []

    run_async(main(), timeout=180)
