"""A real Envoy with our bootstrap follows a pilot: as router and as sidecar, SotW and delta."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from meshregistry import Endpoint, Pilot, ServiceRecord, Settings
from meshregistry.agent import bootstrap, node_id
from meshregistry.model import Health, ProxyRole
from servers.backends import Backend, Traffic, first_answer
from servers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from servers.envoy import Envoy

    MakeEnvoy = Callable[[Mapping[str, Any]], Envoy]

# Without a registry for other addresses, tests of two roles need two loopback addresses.
SIDECAR = "127.0.0.2"


def _settings(router_port: int) -> Settings:
    return Settings.from_dict(
        {
            "sources": [{"id": "mine", "kind": "memory"}],
            "mesh": {"router": {"http_port": router_port, "tcp": True}},
            "server": {"xds": "127.0.0.1:0"},
        }
    )


def _endpoint(backend: Backend, **more: Any) -> Endpoint:
    return Endpoint(address="127.0.0.1", port=backend.port, **more)


def _record(host: str, *endpoints: Endpoint, **more: Any) -> ServiceRecord:
    return ServiceRecord.parse(host, port=more.pop("port", 80), endpoints=endpoints, **more)


@pytest.mark.parametrize("protocol", ["sotw", "delta"])
class TestRouter:
    """A stock Envoy with any node id."""

    def test_follows_endpoints_under_traffic(self, run_async, envoy: MakeEnvoy, protocol):
        """Added, drained by weight, unhealthy and removed endpoints: no request fails."""

        async def main() -> None:
            port = free_port()
            async with AsyncExitStack() as stack:
                v1 = await stack.enter_async_context(Backend("v1"))
                v2 = await stack.enter_async_context(Backend("v2"))
                pilot = await stack.enter_async_context(Pilot(_settings(port)))
                memory = pilot.memory("mine")
                memory.upsert(_record("reviews.shop", _endpoint(v1)))
                document = bootstrap(
                    node="edge-1", cluster="edge", xds=pilot.xds_address, protocol=protocol
                )
                proxy = await stack.enter_async_context(envoy(document))
                url = f"http://127.0.0.1:{port}/"
                assert await first_answer(url, host="reviews.shop") == "v1"
                traffic = await stack.enter_async_context(Traffic(url, host="reviews.shop"))
                for endpoints, versions in (
                    ([_endpoint(v1), _endpoint(v2)], ("v1", "v2")),
                    ([_endpoint(v1, weight=0), _endpoint(v2)], ("v2",)),
                    ([_endpoint(v1), _endpoint(v2, health=Health.UNHEALTHY)], ("v1",)),
                    ([_endpoint(v2)], ("v2",)),
                ):
                    memory.upsert(_record("reviews.shop", *endpoints))
                    await traffic.only(*versions)
                assert traffic.failures == []
                (shown,) = pilot.proxies_document()["proxies"]
                assert (shown["node"], shown["role"], shown["protocol"]) == (
                    "edge-1",
                    "router",
                    protocol,
                )
                await _synced(pilot)
                assert await proxy.counter("cluster_manager.cds.update_rejected") == 0

        run_async(main())

    def test_routes_by_host(self, run_async, envoy: MakeEnvoy, protocol):
        """Services come and go at run time; an unknown host is 404; TCP has its own port."""

        async def main() -> None:
            port, tcp = free_port(), free_port()
            async with AsyncExitStack() as stack:
                one = await stack.enter_async_context(Backend("one"))
                two = await stack.enter_async_context(Backend("two"))
                pilot = await stack.enter_async_context(Pilot(_settings(port)))
                memory = pilot.memory("mine")
                memory.upsert(_record("one.shop", _endpoint(one)))
                document = bootstrap(
                    node="edge-1", cluster="edge", xds=pilot.xds_address, protocol=protocol
                )
                await stack.enter_async_context(envoy(document))
                url = f"http://127.0.0.1:{port}/"
                assert await first_answer(url, host="one.shop") == "one"
                memory.upsert(_record("two.shop", _endpoint(two)))
                assert await first_answer(url, host="two.shop") == "two"
                traffic = await stack.enter_async_context(Traffic(url, host="one.shop"))
                memory.upsert(_record("db.shop", _endpoint(two), port=tcp, protocol="TCP"))
                assert await first_answer(f"http://127.0.0.1:{tcp}/") == "two"
                memory.remove("two.shop")
                gone = await stack.enter_async_context(Traffic(url, host="two.shop"))
                await gone.until(lambda: any("404" in failure for failure in gone.failures))
                assert traffic.failures == []

        run_async(main())


@pytest.mark.parametrize("protocol", ["sotw", "delta"])
class TestSidecar:
    """An Envoy beside a workload, without interception."""

    def test_carries_both_directions(self, run_async, envoy: MakeEnvoy, protocol):
        """Inbound at the proxy's own address, outbound on 127.0.0.1 by port and host."""

        async def main() -> None:
            outbound = free_port()
            async with AsyncExitStack() as stack:
                own = await stack.enter_async_context(Backend("own"))
                other = await stack.enter_async_context(Backend("other"))
                pilot = await stack.enter_async_context(Pilot(_settings(free_port())))
                memory = pilot.memory("mine")
                mine = Endpoint(address=SIDECAR, port=own.port)
                memory.upsert(_record("own.shop", mine, port=free_port()))
                memory.upsert(_record("other.shop", _endpoint(other), port=outbound))
                node = node_id(
                    ProxyRole.SIDECAR, address=SIDECAR, name="own", domain="shop.svc.mesh.local"
                )
                document = bootstrap(
                    node=node, cluster="own", xds=pilot.xds_address, protocol=protocol
                )
                await stack.enter_async_context(envoy(document))
                inbound = f"http://{SIDECAR}:{own.port}/"
                assert await first_answer(inbound, host="own.shop") == "own"
                url = f"http://127.0.0.1:{outbound}/"
                assert await first_answer(url, host="other.shop") == "other"
                await _synced(pilot)

        run_async(main())


async def _synced(pilot: Pilot) -> None:
    """Wait until every type of every proxy is SYNCED."""
    async with asyncio.timeout(10):
        while {
            kind["state"] for one in pilot.proxies_document()["proxies"] for kind in one["types"]
        } != {"SYNCED"}:
            await asyncio.sleep(0.01)
