"""`meshregistry serve` as a program: ready line, reload, signals, exit codes, logs, systemd."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import grpc.aio
import pytest
from envoy.config.core.v3 import base_pb2
from envoy.service.discovery.v3 import discovery_pb2

from servers.process import ChildProcess

if TYPE_CHECKING:
    from pathlib import Path

ADS = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
SETTINGS = """
sources:
  - {id: vms, kind: file, path: services.yaml}
server: {xds: '127.0.0.1:0'}
"""
SERVICES = """
services:
  - host: reviews.shop
    ports: [{name: http, port: 9080, protocol: HTTP}]
    endpoints: [10.0.0.1:9080]
"""


class Serve(ChildProcess):
    """The program in a folder of its own."""

    def __init__(self, folder: Path, *words: str, **environment: str) -> None:
        self.folder = folder
        self.settings = folder / "mesh.yaml"
        if not self.settings.exists():
            self.settings.write_text(SETTINGS)
        (folder / "services.yaml").write_text(SERVICES)
        command = [sys.executable, "-m", "meshregistry", "serve", "-c", str(self.settings), *words]
        super().__init__(command, log=folder / "serve.log", environment=environment)

    async def logged(self, pattern: str) -> re.Match[str]:
        """Wait for a line."""
        found: list[re.Match[str]] = []

        async def holds() -> bool:
            match = re.search(pattern, self.log.read_text(), re.MULTILINE)
            found.extend([match] if match else [])
            return bool(found)

        await self.until(holds, what=f"a line with {pattern!r}")
        return found[0]

    async def addresses(self) -> dict[str, str]:
        """Those of the ready line."""
        line = (await self.logged(r"ready: settings=.*$")).group()
        return dict(word.split("=", 1) for word in line.split()[1:])

    async def ended(self, timeout: float = 10.0) -> int:
        """Its exit code."""
        async with asyncio.timeout(timeout):
            return await self.process.wait()


@asynccontextmanager
async def stream(address: str):
    """An xDS stream that has its clusters and stays open."""
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.stream_stream(ADS)()
        request = discovery_pb2.DiscoveryRequest(type_url=CLUSTER, node=base_pb2.Node(id="edge"))
        await call.write(request.SerializeToString())
        assert b"reviews.shop" in await call.read()
        yield call


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the settings are."""
    return tmp_path


class TestLife:
    """From the ready line to the exit code."""

    def test_the_ready_line_has_the_addresses_and_sigterm_ends_with_0(self, run_async, folder):
        """While a stream is open: it is closed as UNAVAILABLE."""

        async def main() -> None:
            async with Serve(folder) as server:
                found = await server.addresses()
                assert {"settings", "xds", "http", "admin", "probes", "services"} == set(found)
                assert ("1", str(server.settings)) == (found["services"], found["settings"])
                async with stream(found["xds"]) as call:
                    server.process.send_signal(signal.SIGTERM)
                    assert 0 == await server.ended()
                    assert grpc.StatusCode.UNAVAILABLE == await call.code()
                assert "Traceback" not in server.log.read_text()

        run_async(main())

    def test_a_second_signal_stops_at_once(self, run_async, folder):
        """Also while a stream is open and a long drain is on."""
        (folder / "mesh.yaml").write_text(
            SETTINGS.replace("{xds", "{drain_delay: 1h, drain_timeout: 1h, xds")
        )

        async def main() -> None:
            async with Serve(folder) as server:
                async with stream((await server.addresses())["xds"]):
                    server.process.send_signal(signal.SIGTERM)
                    await server.logged("draining")
                    before = time.monotonic()
                    server.process.send_signal(signal.SIGTERM)
                    assert 0 == await server.ended()
                    assert time.monotonic() - before < 5
                assert "Traceback" not in server.log.read_text()

        run_async(main())

    def test_an_address_in_use_is_one_clear_line_and_4(self, run_async, folder):
        """A second pilot on the same port; the first one goes on."""

        async def main() -> None:
            async with Serve(folder) as first:
                address = (await first.addresses())["xds"]
                other = folder / "other"
                other.mkdir()
                (other / "mesh.yaml").write_text(SETTINGS.replace("127.0.0.1:0", address))
                async with Serve(other) as second:
                    assert 4 == await second.ended()
                (line,) = second.log.read_text().splitlines()
                assert line.startswith(f"error: cannot listen on {address}")
                async with stream(address):
                    pass

        run_async(main())

    def test_wrong_settings_are_1(self, run_async, folder):
        """Every fault on a line of its own, and no traceback."""
        (folder / "mesh.yaml").write_text("sorces: []\nserver: {xds: nowhere}\n")

        async def main() -> None:
            async with Serve(folder) as server:
                assert 1 == await server.ended()
            lines = server.log.read_text().splitlines()
            assert 2 == len(lines)
            assert all(re.match(r"error: .*mesh\.yaml:\d+:\d+: ", line) for line in lines)

        run_async(main())


class TestReload:
    """Other settings without a restart."""

    def test_a_change_of_the_settings_is_applied_or_said_to_need_a_restart(self, run_async, folder):
        """By writing the file, and by SIGHUP."""

        async def main() -> None:
            async with Serve(folder) as server:
                await server.addresses()
                changed = SETTINGS + "mesh: {connect_timeout: 7s}\n"
                server.settings.write_text(changed.replace("{xds", "{max_streams: 9, xds"))
                line = await server.logged(r"settings reloaded: .*$")
                assert line.group().endswith("applied mesh; needs a restart: server")
                server.process.send_signal(signal.SIGHUP)
                await server.logged(r"settings reloaded: applied nothing; needs a restart: server")
                server.settings.write_text("sources: 5\n")
                await server.logged("settings not reloaded: .*sources: must be a list")
                assert 0 == await server.stop()

        run_async(main())


class TestSurroundings:
    """What runs it and what reads it."""

    def test_json_logs_are_one_object_a_line(self, run_async, folder):
        """From the first line to the last."""

        async def main() -> None:
            async with Serve(folder, "--log-format", "json", "--log-level", "debug") as server:
                await server.logged("ready: ")
                assert 0 == await server.stop()
            lines = [json.loads(line) for line in server.log.read_text().splitlines()]
            assert "stopped" == lines[-1]["message"]
            assert {"debug", "info"} <= {line["level"] for line in lines}

        run_async(main())

    def test_systemd_is_told_ready_and_stopping(self, run_async, folder):
        """On NOTIFY_SOCKET, in that order."""
        path = str(folder / "notify")

        async def main() -> None:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
                receiver.bind(path)
                receiver.setblocking(False)
                loop = asyncio.get_running_loop()
                async with Serve(folder, NOTIFY_SOCKET=path) as server:
                    assert b"READY=1" == await loop.sock_recv(receiver, 100)
                    server.process.send_signal(signal.SIGTERM)
                    assert b"STOPPING=1" == await loop.sock_recv(receiver, 100)
                    assert 0 == await server.ended()

        run_async(main())
