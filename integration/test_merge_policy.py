"""Failover by source, through a real Envoy: the second registry only steps in for the first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from attrs import frozen

from meshregistry import Endpoint, Pilot, ServiceRecord, Settings
from meshregistry.agent import bootstrap, node_id
from meshregistry.model import Health, Port, Protocol, ProxyRole, Service
from servers.backends import Backend, Traffic, first_answer
from servers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from servers.envoy import Envoy

    MakeEnvoy = Callable[[Mapping[str, Any]], Envoy]

DOMAIN = "shop.svc.mesh.local"
HOST = f"reviews.{DOMAIN}"
# A registry may not notice that a process has died; then Envoy has to.
RULES = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: shop}
spec:
  host: reviews
  trafficPolicy:
    outlierDetection: {consecutive5xxErrors: 1, interval: 100ms, baseEjectionTime: 1s, maxEjectionPercent: 100}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: shop}
spec:
  hosts: [reviews]
  http:
    - route: [{destination: {host: reviews}}]
      retries: {attempts: 5, retryOn: "connect-failure,refused-stream,reset"}
"""


@frozen
class Two:
    """Two registries of one service, each with two backends that answer with its name."""

    pilot: Pilot
    backends: Mapping[str, Backend]
    port: int

    def first(self, *healths: Health) -> None:
        """What the first registry says of its endpoints; of fewer, the others are gone."""
        service = Service(HOST, namespace="shop", ports=[Port("http", self.port, Protocol.HTTP)])
        endpoints = [
            Endpoint(address="127.0.0.1", port=self.backends[name].port, health=health)
            for name, health in zip(("first", "first-too"), healths, strict=False)
        ]
        self.pilot.memory("first").upsert(ServiceRecord(service, endpoints))


@asynccontextmanager
async def two_registries(envoy: MakeEnvoy, folder: Path) -> AsyncIterator[tuple[Two, Traffic]]:
    """Start all, with requests under way."""
    (folder / "rules.yaml").write_text(RULES)
    settings = Settings.from_dict(
        {
            "sources": [
                {"id": "first", "kind": "memory"},
                {"id": "second", "kind": "file", "path": "second.json"},
            ],
            "merge": {"overrides": [{"host": f"*.{DOMAIN}", "endpoints": "failover"}]},
            "rules": [{"kind": "file", "path": "rules.yaml"}],
            "server": {"xds": "127.0.0.1:0"},
        },
        base_path=folder,
    )
    port = free_port()
    async with AsyncExitStack() as stack:
        names = {"first": "first", "first-too": "first", "second": "second"}
        backends = {
            name: await stack.enter_async_context(Backend(answer)) for name, answer in names.items()
        }
        service = {
            "host": HOST,
            "namespace": "shop",
            "ports": [{"name": "web", "port": port, "protocol": "HTTP"}],
            "endpoints": [f"127.0.0.1:{backends['second'].port}"],
        }
        (folder / "second.json").write_text(json.dumps({"services": [service]}))
        pilot = await stack.enter_async_context(Pilot(settings))
        two = Two(pilot, backends, port)
        two.first(Health.HEALTHY, Health.HEALTHY)
        node = node_id(ProxyRole.SIDECAR, address="127.0.0.9", name="web", domain=DOMAIN)
        document = bootstrap(node=node, cluster="web", xds=pilot.xds_address)
        await stack.enter_async_context(envoy(document))
        url = f"http://127.0.0.1:{port}/"
        await first_answer(url, host="reviews")
        yield two, await stack.enter_async_context(Traffic(url, host="reviews"))


def test_the_second_registry_steps_in_while_the_first_has_nobody(
    run_async, envoy: MakeEnvoy, tmp_path: Path
):
    """Whether those are unhealthy, draining or gone; and never before. No request fails."""

    async def main() -> None:
        async with two_registries(envoy, tmp_path) as (two, traffic):
            await traffic.only("first")
            assert traffic.answers.keys() == {"first"}
            for nobody in (
                (Health.UNHEALTHY, Health.UNHEALTHY),
                (Health.DRAINING, Health.DRAINING),
                (Health.DRAINING, Health.UNHEALTHY),
                (),
            ):
                two.first(*nobody)
                await traffic.only("second")
                two.first(Health.HEALTHY, Health.HEALTHY)
                await traffic.only("first")
            assert traffic.failures == []

    run_async(main(), timeout=100)


def test_one_endpoint_that_drains_moves_nothing_to_the_second(
    run_async, envoy: MakeEnvoy, tmp_path: Path
):
    """Envoy spills over when too many of a priority are ill; it does not count those that drain."""

    async def main() -> None:
        async with two_registries(envoy, tmp_path) as (two, traffic):
            await traffic.only("first")
            two.first(Health.HEALTHY, Health.DRAINING)
            await two.pilot.published()
            start = traffic.requests
            await traffic.until(lambda: traffic.requests > start + 300)
            assert traffic.answers.keys() == {"first"}
            assert traffic.failures == []

    run_async(main(), timeout=100)


def test_envoy_falls_over_by_itself_when_processes_die(run_async, envoy: MakeEnvoy, tmp_path: Path):
    """Although no registry has noticed; and it comes back when they are there again."""

    async def main() -> None:
        async with two_registries(envoy, tmp_path) as (two, traffic):
            await traffic.only("first")
            for name in ("first", "first-too"):
                await two.backends[name].__aexit__()
            await traffic.only("second")
            for name in ("first", "first-too"):
                await two.backends[name].__aenter__()
            await traffic.only("first")
            assert traffic.failures == []

    run_async(main(), timeout=100)
