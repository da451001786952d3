"""`XdsServer` on loopback, with a small fake of an xDS client."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from time import perf_counter

import grpc
import grpc.aio
import pytest

from meshregistry.errors import InconsistentResources, Rejected
from meshregistry.model import CLUSTER, ENDPOINT, LISTENER, ROUTE, Resource, Verdict
from meshregistry.server import Observers, XdsServer


@asynccontextmanager
async def serving(**options):
    """A server whose groups are the nodes' clusters, and a channel to it."""
    options = {"group": lambda node: node.cluster, **options}
    async with (
        XdsServer("127.0.0.1:0", **options) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        yield server, channel


@asynccontextmanager
async def following(*clients):
    """Accept all that these clients are sent."""
    tasks = [asyncio.create_task(client.follow_all()) for client in clients]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def opaque(name: str, content: bytes = b"", **fields) -> Resource:
    """A cluster that nobody looks into."""
    return Resource(type_url=CLUSTER, name=name, bytes=content, **fields)


def test_the_program_of_the_interface_page(run_async, ads_client, edge_set, assignment):
    """Publish one consistent set, wait until every proxy holds it, change one assignment."""
    cluster, endpoints, listener, route = edge_set
    assignment2 = assignment("web", 1, 2)
    connected = asyncio.Event()
    observers = Observers(opened=lambda _: connected.set())

    async def main():
        async with (
            XdsServer(
                "127.0.0.1:0", group=lambda node: node.cluster, observers=observers
            ) as server,
            grpc.aio.insecure_channel(server.address) as channel,
        ):
            client = await edge_proxy(ads_client(channel))
            await connected.wait()
            server.publish("edge", [cluster, endpoints, listener, route])
            async with following(client):
                assert 1 == await server.acknowledged("edge", timeout=5)
                server.update("edge", changed=[assignment2], removed=[])
                assert 1 == await server.acknowledged("edge", timeout=5)
        assert assignment2.SerializeToString() in client.held.values()

    run_async(main())


async def edge_proxy(client):
    """Subscribe as an Envoy with the set of these tests does."""
    await client.ask(CLUSTER)
    await client.ask(ENDPOINT, "web")
    await client.ask(LISTENER)
    await client.ask(ROUTE, "routes")
    return client


async def connected(server, count: int) -> None:
    """Wait until so many streams have said who they are."""
    async with asyncio.timeout(5):
        while server.statistics().opened < count:  # noqa: ASYNC110 - looks from outside
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("variant", ["ADS", "DELTA"])
def test_both_variants_are_followed(run_async, ads_client, edge_set, assignment, variant):
    """State of the world and incremental clients get the set, then only what has changed."""

    async def main():
        async with serving() as (server, channel):
            client = ads_client(channel, getattr(ads_client, variant))
            server.publish("edge", edge_set)
            await edge_proxy(client)
            got = {(await client.follow()).type_url for _ in range(4)}
            assert {CLUSTER, ENDPOINT, LISTENER, ROUTE} == got
            assert 1 == await server.acknowledged("edge", timeout=5)
            server.update("edge", changed=[assignment("web", 7)])
            response = await client.follow()
            assert (ENDPOINT, 1) == (response.type_url, len(response.resources))
            assert 1 == await server.acknowledged("edge", timeout=5)
            assert assignment("web", 7).SerializeToString() in client.held.values()

    run_async(main())


def test_a_delta_client_is_told_what_is_gone(run_async, ads_client):
    """Removed resources are named, on a stream that takes everything."""

    async def main():
        async with serving() as (server, channel):
            client = ads_client(channel, ads_client.DELTA)
            server.publish("edge", [opaque("a"), opaque("b")])
            await client.ask(CLUSTER)
            assert 2 == len((await client.follow()).resources)
            server.update("edge", removed=[(CLUSTER, "a")])
            response = await client.follow()
            assert (["a"], []) == (list(response.removed_resources), list(response.resources))

    run_async(main())


def test_unknown_types_are_served_too(run_async, ads_client):
    """Resources are opaque: any type URL goes."""
    url = "type.googleapis.com/example.Thing"

    async def main():
        async with serving() as (server, channel):
            server.publish("edge", [Resource(type_url=url, name="x", bytes=b"\x08\x01")])
            client = ads_client(channel)
            await client.ask(url, "x")
            assert [b"\x08\x01"] == [each.value for each in (await client.follow()).resources]

    run_async(main())


class TestAcknowledged:
    """Waiting for the streams that are there."""

    def test_no_stream_is_no_wait(self, run_async):
        """The count is 0, at once."""

        async def main():
            async with serving() as (server, _):
                server.publish("edge", [opaque("a")])
                assert 0 == await server.acknowledged("edge", timeout=0.01)

        run_async(main())

    def test_an_unknown_group_is_an_error(self, run_async):
        """Waiting for what was never published would never end."""

        async def main():
            async with serving() as (server, _):
                with pytest.raises(KeyError, match="publish first"):
                    await server.acknowledged("edge", timeout=1)

        run_async(main())

    def test_every_stream_counts(self, run_async, ads_client):
        """It returns when the last one has accepted, with their count."""

        async def main():
            async with serving() as (server, channel):
                clients = [ads_client(channel, node_id=f"n{number}") for number in range(3)]
                for client in clients:
                    await client.ask(CLUSTER)
                await connected(server, 3)
                server.publish("edge", [opaque("a")])
                waiting = asyncio.create_task(server.acknowledged("edge", timeout=5))
                for client in clients:
                    assert not waiting.done()
                    await client.follow()
                assert 3 == await waiting

        run_async(main())

    def test_laggards_are_named(self, run_async, ads_client):
        """Who has not answered in time is in the message."""

        async def main():
            async with serving() as (server, channel):
                client = ads_client(channel, node_id="slow")
                server.publish("edge", [opaque("a")])
                await client.ask(CLUSTER)
                await client.take()
                with pytest.raises(TimeoutError, match=r"'slow' of the group 'edge'"):
                    await server.acknowledged("edge", timeout=0.05)

        run_async(main())

    def test_a_refusal_is_raised(self, run_async, ads_client):
        """Who refused what, and why; also when it was refused before the call."""

        async def main():
            async with serving() as (server, channel):
                client = ads_client(channel, node_id="picky")
                server.publish("edge", [opaque("a")], version="b1")
                await client.ask(CLUSTER)
                response = await client.take()
                waiting = asyncio.create_task(server.acknowledged("edge", timeout=5))
                await client.refuse(response, "too large")
                with pytest.raises(Rejected, match=r"'picky' refused .*b1: too large") as caught:
                    await waiting
                assert ("picky", CLUSTER, "b1") == (
                    caught.value.node,
                    caught.value.type_url,
                    caught.value.version,
                )
                with pytest.raises(Rejected):
                    await server.acknowledged("edge", timeout=5)
                server.update("edge", changed=[opaque("a", b"\x08\x01")])
                await client.follow()
                assert 1 == await server.acknowledged("edge", timeout=5)

        run_async(main())

    def test_a_stream_that_ends_is_not_waited_for(self, run_async, ads_client):
        """Only those who stay have to accept."""

        async def main():
            async with serving() as (server, channel):
                client = ads_client(channel)
                server.publish("edge", [opaque("a")])
                await client.ask(CLUSTER)
                await client.take()
                waiting = asyncio.create_task(server.acknowledged("edge", timeout=5))
                await asyncio.sleep(0)
                client.call.cancel()
                assert 1 == await waiting

        run_async(main())


class TestSets:
    """Publishing, updating and withdrawing."""

    def test_an_update_is_all_or_nothing(self, run_async):
        """A dangling reference raises, and what was published stays."""
        needy = opaque("a", references=[(ENDPOINT, "nowhere")])

        async def main():
            async with serving() as (server, _):
                server.publish("edge", [opaque("b")])
                before = server._hub.current("edge")
                with pytest.raises(InconsistentResources, match="needs ClusterLoadAssignment"):
                    server.update("edge", changed=[opaque("c"), needy])
                with pytest.raises(InconsistentResources):
                    server.publish("edge", [needy])
                with pytest.raises(ValueError, match="a resource twice"):
                    server.update("edge", changed=[opaque("b")], removed=[(CLUSTER, "b")])
                assert before is server._hub.current("edge")

        run_async(main())

    def test_what_exists_elsewhere_may_be_named(self, run_async):
        """External names and `consistent=False` allow missing references."""
        needy = opaque("a", references=[(CLUSTER, "bootstrap")])

        async def main():
            async with serving(external={(CLUSTER, "bootstrap")}) as (server, _):
                server.publish("edge", [needy])
            async with serving(consistent=False) as (server, _):
                server.publish("edge", [needy])
                server.update("edge", changed=[opaque("b", references=[(CLUSTER, "no")])])

        run_async(main())

    def test_an_unknown_group_cannot_be_changed(self, run_async):
        """Nothing was published that an update could change."""

        async def main():
            async with serving() as (server, _):
                with pytest.raises(KeyError, match="publish first"):
                    server.update("edge", changed=[opaque("a")])
                with pytest.raises(KeyError, match="publish first"):
                    server.withdraw("edge")

        run_async(main())

    def test_a_version_is_shown_for_the_types_that_are_touched(self, run_async):
        """Other types keep theirs; without a version, content hashes come back."""

        async def main():
            async with serving() as (server, _):
                endpoint = Resource(type_url=ENDPOINT, name="a", bytes=b"")
                server.publish("edge", [opaque("a"), endpoint], version="one")
                server.update("edge", changed=[opaque("b")], version="two")

                def shown() -> list[str]:
                    current = server._hub.current("edge")
                    return [current.version(url) for url in (CLUSTER, ENDPOINT)]

                assert ["two", "one"] == shown()
                server.update("edge", changed=[opaque("c")])
                current = server._hub.current("edge")
                assert [current.content_version(CLUSTER), "one"] == shown()

        run_async(main())

    def test_a_version_may_be_used_again(self, run_async, ads_client):
        """Every comparison goes by content, so new content is sent under an old text."""

        async def main():
            async with serving() as (server, channel):
                client = ads_client(channel)
                server.publish("edge", [opaque("a")], version="same")
                await client.ask(CLUSTER)
                assert "same" == (await client.follow()).version_info
                server.publish("edge", [opaque("b")], version="same")
                assert "same" == (await client.follow()).version_info

        run_async(main())

    def test_withdrawn_resources_end_the_streams(self, run_async, ads_client):
        """The client is told to come back, and then waits."""

        async def main():
            async with serving() as (server, channel):
                client = ads_client(channel)
                server.publish("edge", [opaque("a")])
                await client.ask(CLUSTER)
                await client.follow()
                server.withdraw("edge")
                status, reason = await client.ending()
                assert grpc.StatusCode.UNAVAILABLE is status
                assert "withdrawn" in reason
                again = ads_client(channel)
                await again.ask(CLUSTER)
                await connected(server, 2)
                assert 1 == server.statistics().waiting

        run_async(main())

    def test_the_cost_of_an_update_follows_the_change(self, run_async):
        """One of 1,000 resources: far less than a set anew."""
        many = [opaque(f"c{number}", references=[(CLUSTER, "c0")]) for number in range(1_000)]

        async def main():
            async with serving() as (server, _):
                times = []
                for rounds, change in ((5, server.publish), (50, server.update)):
                    took = []
                    for number in range(rounds):
                        new = opaque("c1", b"%d" % number)
                        start = perf_counter()
                        if change == server.publish:
                            server.publish("edge", [new, *many[2:], many[0]])
                        else:
                            server.update("edge", changed=[new])
                        took.append(perf_counter() - start)
                    times.append(min(took))
                assert times[1] < times[0] / 5

        run_async(main())


class TestProxies:
    """What the server says of its proxies."""

    def test_each_proxy_is_listed(self, run_async, ads_client):
        """Node, group, address and the state of each type, with the reason of a refusal."""

        async def main():
            async with serving() as (server, channel):
                client = ads_client(channel, node_id="envoy-1")
                server.publish("edge", [opaque("a")], version="v1")
                await client.ask(CLUSTER)
                response = await client.take()
                await client.refuse(response, "no")
                while not server.statistics().nacks:  # noqa: ASYNC110 - looks from outside
                    await asyncio.sleep(0.005)
                (proxy,) = server.proxies()
                assert ("envoy-1", "edge", False) == (proxy.node_id, proxy.group, proxy.is_delta)
                assert proxy.address.startswith("ipv4:127.0.0.1:")
                (held,) = proxy.types
                assert (CLUSTER, "v1", "", "REJECTED", "no") == (
                    held.type_url,
                    held.version_sent,
                    held.version_acked,
                    held.state,
                    held.error,
                )

        run_async(main())

    def test_separate_streams_of_one_proxy_are_one(self, run_async, ads_client, edge_set):
        """Streams of one node on one connection are shown together."""

        async def main():
            async with serving() as (server, channel):
                server.publish("edge", edge_set)
                clusters = ads_client(channel, "cluster.v3.ClusterDiscoveryService/StreamClusters")
                routes = ads_client(channel, "route.v3.RouteDiscoveryService/StreamRoutes")
                await clusters.ask()
                await clusters.follow()
                await routes.ask("", "routes")
                await routes.follow()
                (proxy,) = server.proxies()
                assert {CLUSTER, ROUTE} == {held.type_url for held in proxy.types}

        run_async(main())


class TestAdmission:
    """Who is let in."""

    def test_a_verdict_turns_a_stream_away(self, run_async, ads_client):
        """The reason reaches the client with PERMISSION_DENIED."""

        def admit(node, peer):
            return Verdict.refuse("not you") if node.id == "bad" else None

        async def main():
            async with serving(admit=admit) as (server, channel):
                server.publish("edge", [opaque("a")])
                bad, good = ads_client(channel, node_id="bad"), ads_client(channel)
                await bad.ask(CLUSTER)
                status, reason = await bad.ending()
                assert grpc.StatusCode.PERMISSION_DENIED is status
                assert "not you" in reason
                await good.ask(CLUSTER)
                await good.follow()

        run_async(main())

    def test_a_node_without_a_group_is_turned_away(self, run_async, ads_client):
        """None as a group is an answer."""

        async def main():
            async with serving(group=lambda node: None) as (_, channel):
                client = ads_client(channel)
                await client.ask(CLUSTER)
                assert grpc.StatusCode.PERMISSION_DENIED is (await client.ending())[0]

        run_async(main())


class TestLoop:
    """One loop, one thread."""

    def test_another_thread_is_refused(self, run_async):
        """Every method that touches the hub says how to do it."""

        async def main():
            async with serving() as (server, _):
                for call in (
                    lambda: server.publish("edge", []),
                    lambda: server.update("edge"),
                    lambda: server.withdraw("edge"),
                    server.proxies,
                ):
                    with pytest.raises(RuntimeError, match="call_soon_threadsafe"):
                        await asyncio.to_thread(call)

        run_async(main())

    def test_resources_may_be_published_before_entering(self, run_async, ads_client):
        """The first stream then finds them."""

        async def main():
            server = XdsServer("127.0.0.1:0", group=lambda node: node.cluster)
            server.publish("edge", [opaque("a")])
            async with server, grpc.aio.insecure_channel(server.address) as channel:
                client = ads_client(channel)
                await client.ask(CLUSTER)
                await client.follow()

        run_async(main())

    def test_a_server_of_the_callers_can_carry_it(self, run_async, ads_client):
        """Attached, it serves there and binds nothing itself."""

        async def main():
            mine = grpc.aio.server()
            port = mine.add_insecure_port("127.0.0.1:0")
            async with XdsServer(group=lambda node: node.cluster) as server:
                server.attach(mine)
                await mine.start()
                server.publish("edge", [opaque("a")])
                async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                    client = ads_client(channel)
                    await client.ask(CLUSTER)
                    await client.follow()
                    assert "" == server.address
                    await server.close()
                    assert grpc.StatusCode.UNAVAILABLE is (await client.ending())[0]
            await mine.stop(0)

        run_async(main())
