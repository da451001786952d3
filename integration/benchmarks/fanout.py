"""One change to the last of many state-of-the-world ADS streams, for each server."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define, field

from benchmarks.results import Benchmark, Ratio, Row
from servers import golang
from servers.lines import LineProcess, cpu_seconds, resident_kib

if TYPE_CHECKING:
    from benchmarks.messages import Workload

HERE = Path(__file__).parent
PEER = "go-control-plane 0.14"
FLOOR = "grpc.aio, bytes only"
OURS = "meshregistry"

# After the last stream has its response, the ACKs are still under way; they belong to the
# server's processor time, and not to the next round.
_SETTLE = 0.1


@define
class Lane:
    """One server with a load of its own, measured round by round."""

    subject: str
    server: LineProcess
    loads: list[LineProcess]
    empty_kib: int
    full_kib: int
    streams: int
    times: list[float] = field(factory=list)
    load_cpu: list[float] = field(factory=list)
    bytes: int = 0
    extra: int = 0
    server_cpu: float = 0.0

    async def round(self) -> None:
        """Push once, and keep what the load has seen."""
        for load in self.loads:
            await load.ask("round")
        cpu = cpu_seconds(self.server.pid)
        start = int((await self.server.ask("push")).split()[1])
        seen = [json.loads(await load.read()) for load in self.loads]
        await asyncio.sleep(_SETTLE)
        self.server_cpu += cpu_seconds(self.server.pid) - cpu
        self.times.append((max(one["last"] for one in seen) - start) / 1e6)
        self.load_cpu.append(sum(one["cpu"] for one in seen) / 1e6)
        self.bytes = sum(one["bytes"] for one in seen) // self.streams
        self.extra += sum(one["extra"] for one in seen)

    @property
    def median(self) -> float:
        """Milliseconds to the last stream."""
        return statistics.median(self.times)

    @property
    def stream_kib(self) -> float:
        """Resident memory that each stream added to the server."""
        return (self.full_kib - self.empty_kib) / self.streams

    def row(self) -> Row:
        """The line of the table."""
        return Row(
            subject=self.subject,
            figures={
                "bytes": self.bytes,
                "median ms": self.median,
                "min ms": min(self.times),
                "max ms": max(self.times),
                "server µs/stream": self.server_cpu / len(self.times) / self.streams * 1e6,
                "load µs/stream": statistics.median(self.load_cpu) / self.streams * 1e3,
                "KiB/stream": self.stream_kib,
            },
        )


def _python(subject: str) -> list[str]:
    return [sys.executable, str(HERE / "subjects" / f"{subject}.py")]


def _servers(key: str, workload: Workload) -> dict[str, list[str]]:
    found = {FLOOR: [*_python("bytes_only"), key], OURS: [*_python("ours"), key]}
    if golang.find_go():
        program = golang.build(HERE / "go", "peer")
        sizes = f"-clusters={workload.clusters}", f"-endpoints={workload.endpoints}"
        found[PEER] = [str(program), *sizes]
    return found


def _loads(address: str, workload: Workload, streams: int) -> list[list[str]]:
    """One load in Go; without Go as many in Python as there are cores."""
    if golang.find_go():
        programs, command = 1, [str(golang.build(HERE / "go", "load"))]
    else:
        programs, command = os.cpu_count() or 1, _python("load")
    options = [
        f"-address={address}",
        f"-type-url={workload.type_url}",
        f"-name={workload.resource}",
    ]
    shares = [streams // programs + (number < streams % programs) for number in range(programs)]
    return [[*command, *options, f"-streams={share}"] for share in shares]


async def _lane(
    stack: AsyncExitStack, subject: str, command: list[str], workload: Workload, streams: int
) -> Lane:
    paths = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    environment = {"PYTHONPATH": paths}
    server = await stack.enter_async_context(LineProcess(*command, environment=environment))
    address = (await server.read()).split()[1]
    empty = resident_kib(server.pid)
    loads = [
        await stack.enter_async_context(LineProcess(*load, environment=environment))
        for load in _loads(address, workload, streams)
    ]
    for load in loads:
        await load.read()
    await asyncio.sleep(_SETTLE)
    return Lane(subject, server, loads, empty, resident_kib(server.pid), streams)


async def fan_out(key: str, workload: Workload, streams: int, rounds: int) -> Benchmark:
    """Interleave rounds of all servers, so that a busy minute burdens each alike."""
    async with AsyncExitStack() as stack:
        lanes = {
            subject: await _lane(stack, subject, command, workload, streams)
            for subject, command in _servers(key, workload).items()
        }
        for lane in lanes.values():
            await lane.round()
            lane.times.clear()
            lane.load_cpu.clear()
            lane.server_cpu = 0.0
        start = time.perf_counter()
        for _ in range(rounds):
            for lane in lanes.values():
                await lane.round()
        took = time.perf_counter() - start
    ours = lanes[OURS]
    return Benchmark(
        title=f"{workload.name} to {streams:,} streams, time to the last",
        rows=tuple(lane.row() for lane in lanes.values()),
        ratios=tuple(_ratios(key, streams, lanes)),
        notes=(
            (
                f"{rounds} interleaved rounds in {took:.1f} s; the load is "
                f"{'one program in Go' if golang.find_go() else 'in Python'}, and its own "
                f"processor time was {statistics.median(ours.load_cpu):.0f} ms of the "
                f"{ours.median:.0f} ms of a round of {OURS}"
            ),
            *(
                f"{lane.subject} sent {lane.extra} responses more than one a round"
                for lane in lanes.values()
                if lane.extra
            ),
        ),
    )


def _ratios(key: str, streams: int, lanes: dict[str, Lane]) -> list[Ratio]:
    if streams != 1000:
        return []
    ours, floor, peer = lanes[OURS], lanes[FLOOR], lanes.get(PEER)
    found = []
    if key == "small":
        found.append(
            Ratio(
                what="small push to 1,000 streams: ours / bytes only",
                value=ours.median / floor.median,
                limit=1.3,
                is_at_most=True,
            )
        )
        if peer:
            found.append(
                Ratio(
                    what="small push to 1,000 streams: ours / go-control-plane",
                    value=ours.median / peer.median,
                    limit=1.0,
                    is_at_most=True,
                )
            )
        found.append(
            Ratio(
                what="memory of an idle stream",
                value=ours.stream_kib,
                limit=64,
                is_at_most=True,
                unit="KiB",
            )
        )
    elif peer:
        found.append(
            Ratio(
                what="119 kB to 1,000 streams: go-control-plane / ours",
                value=peer.median / ours.median,
                limit=6,
                is_at_most=False,
            )
        )
    return found
