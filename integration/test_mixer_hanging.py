"""One of two Mixer servers hangs: Envoys find out, and ask the other one until it is back."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from mixer_mesh import Mesh
from servers.ports import free_port
from servers.process import ChildProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from mixer_workload import MakeEnvoy
    from servers.envoy import Envoy

TIMEOUT = 1.5
"""Seconds; far more than an answer takes on a busy machine."""
REQUESTS = 40


class Asked:
    """What requests came to, while a test goes on."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self.failed = 0

    async def once(self) -> float:
        """Seconds that one request took; counts it if Mixer gave no answer."""
        start = time.monotonic()
        status, _, _ = await self._mesh.get("/book")
        assert status in {200, 503}
        self.failed += status == 503
        return time.monotonic() - start

    async def until(self, envoy: Envoy, *, ejected: int) -> None:
        """Go on until so many servers are left alone."""
        async with asyncio.timeout(30):
            while (
                await envoy.counter(r"cluster\.mixer-check\.outlier_detection\.ejections_active")
                != ejected
            ):
                await self.once()

    async def goes_on(self) -> float:
        """Many requests, none of which fails or waits for the time-out; the slowest one."""
        before = self.failed
        slowest = max([await self.once() for _ in range(REQUESTS)])
        assert before == self.failed
        assert slowest < TIMEOUT
        return slowest


@asynccontextmanager
async def silent() -> AsyncIterator[str]:
    """Accepts connections, takes what comes, and never answers."""

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1 << 16):
            pass
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


def test_a_server_that_never_answers_is_left_alone(run_async: Any, envoy: MakeEnvoy) -> None:
    """Three requests wait for the time-out in vain, and fail; then traffic goes on."""

    async def main() -> None:
        async with silent() as other, Mesh(envoy, beside=[other], timeout=f"{TIMEOUT}s") as mesh:
            sidecar = await mesh.sidecar()
            asked = Asked(mesh)
            await asked.until(sidecar, ejected=1)
            # Beside the three, one that was sent while the third failed.
            assert 3 <= asked.failed <= 4
            slowest = await asked.goes_on()
            print(f"{asked.failed} requests failed, then the slowest took {1e3 * slowest:.0f} ms")

    run_async(main())


def test_a_server_that_is_stopped_is_left_alone_until_it_goes_on(
    run_async: Any, envoy: MakeEnvoy, tmp_path: Path
) -> None:
    """Its connections stand, and new ones are accepted: only the missing answers tell."""
    address = f"127.0.0.1:{free_port()}"
    log = tmp_path / "mixer.log"
    serve = [sys.executable, "-m", "meshregistry", "mixer", "serve"]
    command = [*serve, "--address", address, "--monitoring", "", "--standard"]

    async def is_ready() -> bool:
        return "ready: " in log.read_text()

    async def main() -> None:
        async with (
            ChildProcess(command, log=log) as other,
            Mesh(envoy, beside=[address], timeout=f"{TIMEOUT}s") as mesh,
        ):
            await other.until(is_ready, what="the ready line")
            sidecar = await mesh.sidecar()
            asked = Asked(mesh)
            await asked.goes_on()
            # Both are asked: this one is not asked about everything.
            assert 0 < len(mesh.judge.checks) < REQUESTS
            os.kill(other.pid, signal.SIGSTOP)
            try:
                stopped = time.monotonic()
                await asked.until(sidecar, ejected=1)
                took = time.monotonic() - stopped
                assert 3 <= asked.failed <= 4
                await asked.goes_on()
            finally:
                os.kill(other.pid, signal.SIGCONT)
            await asked.until(sidecar, ejected=0)
            known = len(mesh.judge.checks)
            await asked.goes_on()
            assert len(mesh.judge.checks) - known < REQUESTS
            print(
                f"found out {took:.1f} s after it was stopped, {asked.failed} requests failed; "
                f"asked again {time.monotonic() - stopped:.1f} s after it was stopped"
            )

    run_async(main())


def test_the_last_server_is_always_asked(run_async: Any, envoy: MakeEnvoy) -> None:
    """With the other one left alone, it is not, however often it fails; so its return is found."""

    async def main() -> None:
        async with silent() as other, Mesh(envoy, beside=[other], timeout=f"{TIMEOUT}s") as mesh:
            sidecar = await mesh.sidecar()
            asked = Asked(mesh)
            await asked.until(sidecar, ejected=1)
            await mesh.stop_mixer()
            before = asked.failed
            for _ in range(8):
                await asked.once()
            assert asked.failed == before + 8
            await asked.until(sidecar, ejected=1)
            await mesh.start_mixer()
            await mesh.until("/book", 200)

    run_async(main())


def test_reports_go_elsewhere(run_async: Any, envoy: MakeEnvoy) -> None:
    """Nobody answers a stream of reports anyway: a connection ends that answers no ping."""

    async def main() -> None:
        async with silent() as other, Mesh(envoy, told_first=[other]) as mesh:
            sidecar = await mesh.sidecar()
            started = time.monotonic()
            timeouts = r"cluster\.mixer-report\.http2\.keepalive_timeout"
            async with asyncio.timeout(40):
                while not await sidecar.counter(timeouts):
                    await mesh.get("/before")
                found_out = time.monotonic() - started
                while {"inbound", "outbound"} - {
                    one["kind"] for one in mesh.judge.reports if one["path"] == "/after"
                }:
                    await mesh.get("/after")
            print(f"found out after {found_out:.1f} s")

    run_async(main())
