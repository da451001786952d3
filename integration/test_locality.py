"""Balancing between localities, through a real Envoy."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp

from meshregistry import Endpoint, Pilot, ServiceRecord, Settings
from meshregistry.agent import bootstrap, node_id
from meshregistry.model import Locality, Port, Protocol, ProxyRole, Service
from servers.backends import Backend, first_answer
from servers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from servers.envoy import Envoy

    MakeEnvoy = Callable[[Mapping[str, Any]], Envoy]

DOMAIN = "shop.svc.mesh.local"
ZONES = {"near": ("eu", "eu-1"), "next": ("eu", "eu-2"), "far": ("us", "us-1")}
RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: shop}
spec:
  host: reviews
  trafficPolicy: %s
"""


class Called:
    """A sidecar in the zone eu-1, and a backend in each zone."""

    def __init__(
        self, url: str, session: aiohttp.ClientSession, backends: Mapping[str, Backend]
    ) -> None:
        self.backends = backends
        self._url = url
        self._session = session

    async def ask(self) -> str:
        """Who answers; empty if nobody does."""
        async with self._session.get(self._url) as answer:
            return await answer.text() if answer.status == 200 else ""

    async def until(self, expected: set[str], requests: int = 20) -> None:
        """Ask until a run of answers comes from these, and no others."""
        async with asyncio.timeout(30):
            while {await self.ask() for _ in range(requests)} != expected:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def called(envoy: MakeEnvoy, folder: Path, policy: str) -> AsyncIterator[Called]:
    """Start all."""
    (folder / "rules.yaml").write_text(RULE % policy)
    settings = Settings.from_dict(
        {
            "sources": [{"id": "mine", "kind": "memory"}],
            "rules": [{"kind": "file", "path": str(folder / "rules.yaml")}],
            "server": {"xds": "127.0.0.1:0"},
        }
    )
    port = free_port()
    async with AsyncExitStack() as stack:
        pilot = await stack.enter_async_context(Pilot(settings))
        backends = {name: await stack.enter_async_context(Backend(name)) for name in ZONES}
        service = Service(
            host=f"reviews.{DOMAIN}", namespace="shop", ports=[Port("http", port, Protocol.HTTP)]
        )
        endpoints = [
            Endpoint(
                address="127.0.0.1",
                port=backends[name].port,
                service_port="http",
                locality=Locality(*zone),
            )
            for name, zone in ZONES.items()
        ]
        pilot.memory("mine").upsert(ServiceRecord(service, endpoints))
        node = node_id(ProxyRole.SIDECAR, address="127.0.0.9", name="web", domain=DOMAIN)
        document = bootstrap(node=node, cluster="web", xds=pilot.xds_address)
        region, zone = ZONES["near"]
        document["node"]["locality"] = {"region": region, "zone": zone}
        await stack.enter_async_context(envoy(document))
        url = f"http://127.0.0.1:{port}/"
        await first_answer(url, host="reviews")
        session = await stack.enter_async_context(
            aiohttp.ClientSession(headers={"Host": "reviews"})
        )
        yield Called(url, session, backends)


def test_requests_stay_near_until_nobody_near_answers(run_async, envoy: MakeEnvoy, tmp_path: Path):
    """Then they go to the next zone, and at last to another region."""
    policy = (
        "{outlierDetection: {consecutive5xxErrors: 1, interval: 100ms, baseEjectionTime: 60s, "
        "maxEjectionPercent: 100}}"
    )

    async def main() -> None:
        async with called(envoy, tmp_path, policy) as caller:
            await caller.until({"near"})
            await caller.backends["near"].__aexit__()
            await caller.until({"next"})
            await caller.backends["next"].__aexit__()
            await caller.until({"far"})

    run_async(main(), timeout=100)


def test_requests_are_shared_out_between_zones(run_async, envoy: MakeEnvoy, tmp_path: Path):
    """80 and 20 of a hundred, within 4.9 standard deviations (one miss in a million runs)."""
    policy = (
        "{loadBalancer: {localityLbSetting: {distribute: "
        "[{from: eu/*, to: {eu/eu-1: 80, eu/eu-2: 20}}]}}}"
    )

    async def main() -> None:
        async with called(envoy, tmp_path, policy) as caller:
            found = Counter([await caller.ask() for _ in range(500)])
            assert set(found) == {"near", "next"}
            assert abs(found["next"] - 100) <= 4.9 * (500 * 0.8 * 0.2) ** 0.5, found

    run_async(main(), timeout=100)
