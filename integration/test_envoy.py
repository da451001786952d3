"""A real Envoy on `XdsServer`: both variants of xDS, one stream and separate ones."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, NamedTuple

import pytest

from meshregistry.errors import Rejected
from meshregistry.server import XdsServer
from servers import resources
from servers.backends import Backend, Traffic, first_answer
from servers.envoy import bootstrap
from servers.ports import free_port

if TYPE_CHECKING:
    from google.protobuf.message import Message

GROUP = "edge"
CLUSTER = "web"


class Manner(NamedTuple):
    """How an Envoy asks: over one stream or several, for all or for differences."""

    ads: bool
    delta: bool


MANNERS = pytest.mark.parametrize(
    "manner",
    [
        pytest.param(Manner(ads=True, delta=False), id="ads-sotw"),
        pytest.param(Manner(ads=True, delta=True), id="ads-delta"),
        pytest.param(Manner(ads=False, delta=False), id="separate-sotw"),
        pytest.param(Manner(ads=False, delta=True), id="separate-delta"),
    ],
)


def listener(manner: Manner, port: int) -> Message:
    """An HTTP listener that leads to the one cluster."""
    return resources.listener("http", port, "routes", rds=resources.source(**manner._asdict()))


def consistent_set(manner: Manner, port: int, backend: Backend) -> list[Message]:
    """Cluster, assignment, listener and route."""
    return [
        resources.cluster(CLUSTER, eds=resources.source(**manner._asdict())),
        resources.assignment(CLUSTER, backend.port),
        listener(manner, port),
        resources.route("routes", CLUSTER),
    ]


def serve(address: str = "127.0.0.1:0") -> XdsServer:
    """A server that groups proxies by their node's cluster."""
    return XdsServer(address, group=lambda node: node.cluster)


@MANNERS
def test_an_endpoint_change_is_followed(manner, envoy, run_async):
    """The first request is answered, and after a change of the assignment another backend is."""

    async def main() -> None:
        port = free_port()
        async with Backend("v1") as one, Backend("v2") as two, serve() as server:
            server.publish(GROUP, consistent_set(manner, port, one))
            config = bootstrap(server.address, node="n1", cluster=GROUP, **manner._asdict())
            async with envoy(config) as proxy:
                await proxy.ready()
                url = f"http://127.0.0.1:{port}/"
                assert await first_answer(url) == "v1"
                async with Traffic(url) as traffic:
                    server.update(GROUP, changed=[resources.assignment(CLUSTER, two.port)])
                    assert await server.acknowledged(GROUP, timeout=10) > 0
                    await traffic.only("v2")
                assert traffic.failures == []

    run_async(main())


@MANNERS
def test_a_refused_listener_is_reported_and_harms_nothing(manner, envoy, run_async):
    """Envoy's own words come back in `Rejected`; what it held before goes on serving."""

    async def main() -> None:
        port = free_port()
        async with Backend("v1") as backend, serve() as server:
            server.publish(GROUP, consistent_set(manner, port, backend))
            config = bootstrap(server.address, node="n1", cluster=GROUP, **manner._asdict())
            async with envoy(config) as proxy:
                await proxy.ready()
                bad = listener(manner, port)
                bad.address.socket_address.address = "not-an-address"
                server.update(GROUP, changed=[bad])
                with pytest.raises(Rejected, match="not-an-address"):
                    await server.acknowledged(GROUP, timeout=10)
                assert await first_answer(f"http://127.0.0.1:{port}/") == "v1"
                server.update(GROUP, changed=[listener(manner, port)])
                assert await server.acknowledged(GROUP, timeout=10) > 0

    run_async(main())


@MANNERS
def test_a_restart_of_the_server_under_traffic_fails_no_request(manner, envoy, run_async):
    """The server goes and comes back on its address; Envoy serves on and follows again."""

    async def main() -> None:
        port = free_port()
        address = f"127.0.0.1:{free_port()}"
        async with AsyncExitStack() as stack:
            one = await stack.enter_async_context(Backend("v1"))
            two = await stack.enter_async_context(Backend("v2"))
            config = bootstrap(address, node="n1", cluster=GROUP, **manner._asdict())
            proxy = await stack.enter_async_context(envoy(config))
            async with serve(address) as server:
                server.publish(GROUP, consistent_set(manner, port, one))
                await proxy.ready()
            url = f"http://127.0.0.1:{port}/"
            traffic = await stack.enter_async_context(Traffic(url))
            await traffic.only("v1")
            async with serve(address) as server:
                server.publish(GROUP, consistent_set(manner, port, one))
                await traffic.only("v1")
                server.update(GROUP, changed=[resources.assignment(CLUSTER, two.port)])
                await traffic.only("v2")
            await traffic.only("v2")
            assert traffic.failures == []

    run_async(main())


def test_a_cluster_that_changes_does_not_wait_for_its_endpoints(envoy, run_async):
    """After an update of a cluster its assignment is sent again, so that it does not warm on."""

    async def main() -> None:
        port = free_port()
        manner = Manner(ads=True, delta=False)
        async with Backend("v1") as backend, serve() as server:
            server.publish(GROUP, consistent_set(manner, port, backend))
            config = bootstrap(server.address, node="n1", cluster=GROUP)
            async with envoy(config) as proxy:
                await proxy.ready()
                changed = resources.cluster(CLUSTER, eds=resources.source())
                changed.connect_timeout.FromMilliseconds(700)
                server.update(GROUP, changed=[changed])
                loop = asyncio.get_running_loop()
                start = loop.time()

                async def is_warm() -> bool:
                    return (
                        await proxy.counter("cluster_manager.cluster_modified") == 1
                        and await proxy.counter("cluster_manager.warming_clusters") == 0
                    )

                # Envoy gives up on its own after 15 s; that would be the trap, not the cure.
                await proxy.process.until(is_warm, what="a warm cluster", timeout=5)
                assert loop.time() - start < 5
                assert await first_answer(f"http://127.0.0.1:{port}/") == "v1"

    run_async(main())
