"""The discovery services on real channels: every method, and clients that misbehave."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from time import perf_counter

import grpc
import grpc.aio
import pytest

from meshregistry import model
from meshregistry.model import CLUSTER, ENDPOINT, Resource, ResourceSet
from meshregistry.server import Assignment, GrpcLimits, GrpcListener, Hub, Limits

SEPARATE = [
    ("cluster.v3.ClusterDiscoveryService", "Clusters", model.CLUSTER),
    ("endpoint.v3.EndpointDiscoveryService", "Endpoints", model.ENDPOINT),
    ("listener.v3.ListenerDiscoveryService", "Listeners", model.LISTENER),
    ("route.v3.RouteDiscoveryService", "Routes", model.ROUTE),
    ("route.v3.ScopedRoutesDiscoveryService", "ScopedRoutes", model.SCOPED_ROUTE),
    ("route.v3.VirtualHostDiscoveryService", "VirtualHosts", model.VIRTUAL_HOST),
    ("secret.v3.SecretDiscoveryService", "Secrets", model.SECRET),
    ("runtime.v3.RuntimeDiscoveryService", "Runtime", model.RUNTIME),
    ("extension.v3.ExtensionConfigDiscoveryService", "ExtensionConfigs", model.EXTENSION_CONFIG),
]


def resources(*names: str, type_url: str = CLUSTER, content: bytes = b"") -> ResourceSet:
    """A set of opaque resources."""
    return ResourceSet.of(Resource(type_url=type_url, name=n, bytes=content) for n in names)


@asynccontextmanager
async def listening(address: str = "127.0.0.1:0", *, limits=None, hub_limits=None, drain=1.0):
    """A hub with one group, on a listener."""
    hub = Hub(
        lambda node, peer: Assignment("all"),
        clock=asyncio.get_running_loop(),
        limits=hub_limits,
    )
    hub.publish("all", resources("a"))
    listener = GrpcListener(hub, address, limits=limits)
    await listener.start()
    try:
        yield hub, listener
    finally:
        await listener.close(drain)


def connect(listener: GrpcListener, **options):
    """A channel to it."""
    return grpc.aio.insecure_channel(listener.address, **options)


def test_every_separate_service_is_served(run_async, ads_client):
    """Both variants of each, where the type URL may be left out."""

    async def main():
        async with listening() as (hub, listener), connect(listener) as channel:
            hub.publish(
                "all",
                ResourceSet.of(
                    Resource(type_url=url, name="x", bytes=b"") for _, _, url in SEPARATE
                ),
            )
            for service, suffix, url in SEPARATE:
                for variant in ("Stream", "Delta"):
                    if (variant, suffix) == ("Stream", "VirtualHosts"):
                        continue  # the protocol has only the incremental one
                    client = ads_client(channel, f"{service}/{variant}{suffix}")
                    await client.ask("", "x")
                    response = await client.follow()
                    assert (url, 1) == (response.type_url, len(response.resources))

    run_async(main())


def test_fetching_is_not_served(run_async):
    """Who polls uses REST: the unary methods answer UNIMPLEMENTED."""

    async def main():
        async with listening() as (_, listener), connect(listener) as channel:
            fetch = channel.unary_unary(
                "/envoy.service.cluster.v3.ClusterDiscoveryService/FetchClusters"
            )
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await fetch(b"")
            assert grpc.StatusCode.UNIMPLEMENTED is caught.value.code()

    run_async(main())


def test_malformed_bytes_close_that_stream_only(run_async, ads_client):
    """INVALID_ARGUMENT for who speaks nonsense, on the same connection as one who does not."""

    async def main():
        async with listening() as (hub, listener), connect(listener) as channel:
            good, bad = ads_client(channel, node_id="good"), ads_client(channel)
            await good.ask(CLUSTER)
            await good.follow()
            await bad.write(b"\xff\xff\xff\xff")
            status, reason = await bad.ending()
            assert grpc.StatusCode.INVALID_ARGUMENT is status
            assert "DiscoveryRequest" in reason
            hub.publish("all", resources("a", "b"))
            assert 2 == len((await good.follow()).resources)

    run_async(main())


def test_a_client_without_node_id_is_told_so(run_async, ads_client):
    """INVALID_ARGUMENT, with the remedy."""

    async def main():
        async with listening() as (_, listener), connect(listener) as channel:
            client = ads_client(channel, node_id="")
            await client.ask(CLUSTER)
            status, reason = await client.ending()
            assert (grpc.StatusCode.INVALID_ARGUMENT, True) == (status, "node.id" in reason)

    run_async(main())


def test_a_separate_service_refuses_other_types(run_async, ads_client):
    """A cluster stream that asks for endpoints is closed."""

    async def main():
        async with listening() as (_, listener), connect(listener) as channel:
            client = ads_client(channel, "cluster.v3.ClusterDiscoveryService/StreamClusters")
            await client.ask(ENDPOINT, "a")
            assert grpc.StatusCode.INVALID_ARGUMENT is (await client.ending())[0]

    run_async(main())


def test_a_request_that_is_too_large_closes_that_stream_only(run_async, ads_client):
    """The limit on messages is the listener's."""

    async def main():
        limits = GrpcLimits(request_bytes=1_000)
        async with listening(limits=limits) as (_, listener), connect(listener) as channel:
            large, small = ads_client(channel, node_id="x" * 2_000), ads_client(channel)
            await large.ask(CLUSTER)
            assert grpc.StatusCode.RESOURCE_EXHAUSTED is (await large.ending())[0]
            await small.ask(CLUSTER)
            await small.follow()

    run_async(main())


def test_too_many_streams_are_turned_away(run_async, ads_client):
    """RESOURCE_EXHAUSTED, until one has left."""

    async def main():
        limits = Limits(streams=1)
        async with listening(hub_limits=limits) as (hub, listener), connect(listener) as channel:
            first = ads_client(channel)
            await first.ask(CLUSTER)
            await first.follow()
            second = ads_client(channel)
            assert grpc.StatusCode.RESOURCE_EXHAUSTED is (await second.ending())[0]
            first.call.cancel()
            while hub.statistics().streams:  # noqa: ASYNC110 - looks from outside
                await asyncio.sleep(0.005)
            third = ads_client(channel)
            await third.ask(CLUSTER)
            await third.follow()

    run_async(main())


def test_a_client_that_finishes_ends_its_stream(run_async, ads_client):
    """Half-closing is answered with OK, and nothing is kept."""

    async def main():
        async with listening() as (hub, listener), connect(listener) as channel:
            client = ads_client(channel)
            await client.ask(CLUSTER)
            await client.follow()
            await client.call.done_writing()
            assert grpc.StatusCode.OK is (await client.ending())[0]
            assert 0 == hub.statistics().streams

    run_async(main())


def test_a_slow_reader_gets_the_latest(run_async, ads_client):
    """While it does not read, newer sets replace older ones; others are not held up."""

    async def main():
        size = 1 << 20
        async with listening() as (hub, listener):
            options = [("grpc.http2.lookahead_bytes", 1 << 16)]
            async with (
                connect(listener, options=options) as slow_channel,
                connect(listener) as channel,
            ):
                slow, quick = ads_client(slow_channel), ads_client(channel)
                for client in (slow, quick):
                    await client.ask(CLUSTER)
                    await client.follow()
                for number in range(40):
                    content = b"%d" % number + bytes(size)
                    hub.publish("all", resources("a", content=content))
                    await quick.follow()
                pushes = hub.statistics().pushes
                assert pushes < 2 + 40 + 30
                last = hub.current("all").version(CLUSTER)
                seen = 1
                while (await slow.follow()).version_info != last:
                    seen += 1
                assert seen < 30

    run_async(main())


def test_a_port_in_use_is_named(run_async):
    """OSError with the address; two servers never share a port."""

    async def main():
        async with listening() as (hub, listener):
            other = GrpcListener(hub, listener.address)
            with pytest.raises(OSError, match=f"cannot listen on {listener.address}") as caught:
                await other.start()
            assert 98 == caught.value.errno

    run_async(main())


@pytest.mark.parametrize("address", ["127.0.0.1", "192.0.2.1:0", "127.0.0.1:99999"])
def test_an_address_that_cannot_be_bound_is_named(run_async, address):
    """Whatever the reason is, the message has the address."""

    async def main():
        hub = Hub(lambda node, peer: Assignment("all"), clock=asyncio.get_running_loop())
        with pytest.raises(OSError, match=address):
            await GrpcListener(hub, address).start()

    run_async(main())


def test_a_unix_socket_is_an_address(run_async, ads_client, tmp_path):
    """It is served like any other."""

    async def main():
        path = f"unix://{tmp_path}/x"
        async with listening(path) as (_, listener):
            assert path == listener.address
            async with connect(listener) as channel:
                client = ads_client(channel)
                await client.ask(CLUSTER)
                await client.follow()

    run_async(main())


def test_draining_ends_streams_with_unavailable(run_async, ads_client):
    """Clients are told to go elsewhere, new ones are refused, and the port is free afterwards."""

    async def main():
        async with listening() as (_, listener), connect(listener) as channel:
            clients = [ads_client(channel) for _ in range(5)]
            for client in clients:
                await client.ask(CLUSTER)
                await client.follow()
            address = listener.address
            await listener.close(1.0)
            for client in clients:
                assert grpc.StatusCode.UNAVAILABLE is (await client.ending())[0]
            host, _, port = address.rpartition(":")
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, int(port)))

    run_async(main())


def test_draining_is_bounded(run_async, ads_client):
    """A client that does not read cannot hold up the end."""

    async def main():
        async with listening(drain=0.2) as (hub, listener), connect(listener) as channel:
            client = ads_client(channel)
            await client.ask(CLUSTER)
            await client.follow()
            hub.publish("all", resources("a", content=bytes(32 << 20)))
            while hub.statistics().pushes < 2:  # noqa: ASYNC110 - looks from outside
                await asyncio.sleep(0.005)
            start = perf_counter()
            await listener.close(0.2)
            assert perf_counter() - start < 2.0

    run_async(main())


def test_streams_share_bytes_over_grpc(run_async, ads_client):
    """A push to many streams is encoded once."""

    async def main():
        async with listening() as (hub, listener), connect(listener) as channel:
            clients = [ads_client(channel, node_id=str(number)) for number in range(20)]
            for client in clients:
                await client.ask(CLUSTER)
                await client.follow()
            before = hub.statistics()
            hub.publish("all", resources("a", "b"))
            for client in clients:
                await client.follow()
            after = hub.statistics()
            assert 1 == after.encode_misses - before.encode_misses
            assert 1 == len({client.raw for client in clients})

    run_async(main())
