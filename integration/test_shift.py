"""A service moves from one registry to another by weights, through a real Envoy."""

from __future__ import annotations

import asyncio
import math
import re
from typing import TYPE_CHECKING

from meshregistry import Endpoint, Pilot, ServiceRecord, Settings
from meshregistry.agent import bootstrap, node_id
from meshregistry.model import Port, Protocol, ProxyRole, Service
from servers.backends import Backend, Traffic, first_answer
from servers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import Any

    from servers.envoy import Envoy

    MakeEnvoy = Callable[[Mapping[str, Any]], Envoy]

SHIFT = """
apiVersion: meshregistry.dev/v1
kind: SourceShift
metadata: {name: reviews}
spec: {hosts: [reviews.shop], weights: {old: %d, new: %d}}
"""
COUNTED = 600
# A fair split is outside of so many standard deviations once in some millions of runs.
DEVIATIONS = 5.0
_WEIGHT = re.compile(r"reviews\.shop::127\.0\.0\.1:(\d+)::weight::(\d+)")


def test_traffic_moves_from_source_to_source(run_async, envoy: MakeEnvoy, tmp_path: Path):
    """0, 10, 50 and 100 per cent, each within binomial bounds; no request fails."""
    port = free_port()
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "shift.yaml").write_text(SHIFT % (100, 0))
    listing = tmp_path / "services.yaml"
    settings = Settings.from_dict(
        {
            "sources": [
                {"id": "old", "kind": "memory"},
                {"id": "new", "kind": "file", "path": str(listing)},
            ],
            "rules": [{"kind": "file", "path": str(rules)}],
            "server": {"xds": "127.0.0.1:0"},
        }
    )

    async def main() -> None:
        async with Backend("old") as first, Backend("old") as second, Backend("new") as new:
            listing.write_text(
                f"services:\n- host: reviews.shop\n  ports: [{{port: {port}, protocol: HTTP}}]\n"
                f"  endpoints: [{{address: 127.0.0.1, port: {new.port}}}]\n"
            )
            async with Pilot(settings) as pilot:
                service = Service(host="reviews.shop", ports=[Port("http", port, Protocol.HTTP)])
                olds = [
                    Endpoint(address="127.0.0.1", port=one.port, service_port="http")
                    for one in (first, second)
                ]
                pilot.memory("old").upsert(ServiceRecord(service, olds))
                await pilot.synced(20)
                node = node_id(ProxyRole.SIDECAR, address="127.0.0.9", name="web", domain="shop")
                document = bootstrap(node=node, cluster="web", xds=pilot.xds_address)
                async with envoy(document) as proxy:
                    url = f"http://127.0.0.1:{port}/"
                    await first_answer(url, host="reviews.shop")
                    async with Traffic(url, host="reviews.shop", pause=0.001) as traffic:
                        for percent in (0, 10, 50, 100, 50, 0):
                            (rules / "shift.yaml").write_text(SHIFT % (100 - percent, percent))
                            await in_force(proxy, new.port, percent)
                            await counted(traffic, percent)

    async def in_force(proxy: Envoy, new: int, percent: int) -> None:
        """Wait until Envoy itself has the weights."""
        async with asyncio.timeout(20):
            while True:
                weights: dict[bool, int] = {True: 0, False: 0}
                _, text = await proxy.ask("/clusters")
                for number, weight in _WEIGHT.findall(text):
                    weights[int(number) == new] += int(weight)
                if weights[True] * (100 - percent) == weights[False] * percent:
                    return
                await asyncio.sleep(0.02)

    async def counted(traffic: Traffic, percent: int) -> None:
        # What was on its way when the weights came has been answered by then.
        start = traffic.answers.total() + 5
        await traffic.until(lambda: traffic.answers.total() >= start)
        before, start = traffic.answers.copy(), traffic.answers.total()
        await traffic.until(lambda: traffic.answers.total() >= start + COUNTED)
        found = traffic.answers - before
        total, share = found.total(), percent / 100
        part = found["new"] / total
        spread = math.sqrt(share * (1 - share) / total)
        print(f"shift to {percent:3d} %: {100 * part:5.1f} % of {total} requests")
        assert abs(part - share) <= DEVIATIONS * spread
        assert traffic.failures == []

    run_async(main())
