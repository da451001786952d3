"""Waiting until no proxy is led to an endpoint."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import aiohttp
import grpc.aio
import pytest

from meshregistry import Endpoint, Pilot
from meshregistry.aggregate import Supervisor
from meshregistry.model import CLUSTER, ENDPOINT, Health

GONE = Endpoint(address="10.0.0.1", port=80)
NAME = "outbound|80||cart.shop"
MINE = {"id": "mine", "kind": "memory"}


@asynccontextmanager
async def following(pilot, make_proxy, *nodes, is_delta=False):
    """Proxies that hold the clusters and the assignment of the cart."""
    async with grpc.aio.insecure_channel(pilot.xds_address) as channel:
        proxies = [make_proxy(channel, node, is_delta=is_delta) for node in nodes]
        for proxy in proxies:
            await proxy.ask(CLUSTER)
            await proxy.follow()
            await proxy.ask(ENDPOINT, NAME)
            await proxy.follow()
        yield proxies


@asynccontextmanager
async def serving(settings, record):
    """A pilot whose cart has two endpoints."""
    async with Pilot(settings) as pilot:
        pilot.memory("mine").upsert(record("cart.shop", "10.0.0.1:80", "10.0.0.2:80"))
        await pilot.published(5)
        yield pilot


def leave(pilot, record):
    """The registry loses the endpoint."""
    pilot.memory("mine").upsert(record("cart.shop", "10.0.0.2:80"))


async def ask(pilot, path, **query):
    """Status and JSON of a path."""
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://{pilot.http_address}{path}", params=query) as answer,
    ):
        return answer.status, await answer.json()


@pytest.mark.parametrize("is_delta", [False, True])
def test_it_waits_for_every_proxy_that_held_it(
    run_async, memory_settings, record, make_proxy, is_delta
):
    """Those that do not know the service are not counted."""

    async def main():
        async with (
            serving(memory_settings, record) as pilot,
            following(pilot, make_proxy, "one", "two", is_delta=is_delta) as (one, two),
            grpc.aio.insecure_channel(pilot.xds_address) as channel,
        ):
            other = make_proxy(channel, "other", is_delta=is_delta)
            await other.ask(CLUSTER)
            await other.follow()
            waiting = asyncio.create_task(pilot.drained(GONE, 10))
            leave(pilot, record)
            await one.follow()
            response = await two.take()
            done, _ = await asyncio.wait({waiting}, timeout=0.05)
            assert not done, "the second has the message and has not accepted it"
            await two.accept(response)
            drained = await waiting
            assert (drained.proxies, drained.peers) == (("one", "two"), ())
            assert "2 proxies have let go" in str(drained)
            assert "server.peers names none" in str(drained)
            assert (await pilot.drained(GONE, 1)).proxies == ()

    run_async(main())


def test_a_refusal_is_no_letting_go(run_async, memory_settings, record, make_proxy):
    """The proxy goes on with what it had; the error names it."""

    async def main():
        async with (
            serving(memory_settings, record) as pilot,
            following(pilot, make_proxy, "one", "two") as (one, two),
        ):
            leave(pilot, record)
            await one.follow()
            await two.refuse(await two.take(), "no")
            with pytest.raises(TimeoutError, match=r"10.0.0.1:80 is not drained .*: two did not"):
                await pilot.drained(GONE, 0.1)

    run_async(main())


def test_a_proxy_that_leaves_is_no_longer_waited_for(
    run_async, memory_settings, record, make_proxy
):
    """Its stream has ended."""

    async def main():
        async with serving(memory_settings, record) as pilot:
            async with following(pilot, make_proxy, "one"):
                waiting = asyncio.create_task(pilot.drained(GONE, 10))
                leave(pilot, record)
                await asyncio.wait({waiting}, timeout=0.05)
                assert not waiting.done()
            assert (await waiting).proxies == ("one",)

    run_async(main())


def test_what_the_catalog_has_is_not_drained(run_async, memory_settings, record):
    """Also without any proxy: the next one would be led there. The services are named."""

    async def main():
        async with serving(memory_settings, record) as pilot:
            with pytest.raises(
                TimeoutError, match=r"still serves cart.shop; .* meshregistry drain"
            ):
                await pilot.drained(GONE, 0.05)
            leave(pilot, record)
            assert (await pilot.drained(GONE, 5)).proxies == ()
            elsewhere = Endpoint(address="10.0.0.2", port=80, network="east")
            assert pilot.serving(elsewhere) == {"cart.shop": Health.HEALTHY}, (
                "the endpoint does not say where"
            )

    run_async(main())


def test_nothing_is_drained_before_the_first_catalog(run_async, make_settings):
    """Proxies that cannot ask yet may have what an earlier process told them."""

    async def main():
        async with Pilot(make_settings({**MINE, "manual": True})) as pilot:
            with pytest.raises(TimeoutError, match="nothing is published yet, and proxies may"):
                await pilot.drained(GONE, 0.05)
            query = {"address": GONE.address, "port": GONE.port}
            _, document = await ask(pilot, "/debug/drained", **query)
            assert (document["is_drained"], document["is_published"]) == (False, False)
            waiting = asyncio.create_task(pilot.drained(GONE, 5))
            await asyncio.sleep(0)
            pilot.memory("mine").replace([])
            assert (await waiting).proxies == ()

    run_async(main())


def test_waiting_for_what_was_said_before_counts(run_async, memory_settings, record, monkeypatch):
    """After a reload, a former run may take seconds to end."""

    async def main():
        async with serving(memory_settings, record) as pilot:
            with monkeypatch.context() as patched:
                patched.setattr(Supervisor, "drained", lambda _: asyncio.Event().wait())
                with pytest.raises(TimeoutError, match="is not drained within"):
                    await asyncio.wait_for(pilot.drained(GONE, 0.05), 5)

    run_async(main())


def test_a_replica_that_has_published_nothing_cannot_agree(run_async, make_settings, record):
    """Its proxies are not known yet; whoever waits is told which replica it is."""

    async def main():
        peers = {"peers": ["http://127.0.0.1:1"]}
        async with Pilot(make_settings({**MINE, "manual": True}, server=peers)) as other:
            url = f"http://{other.http_address}"
            async with serving(make_settings(MINE, server={"peers": [url]}), record) as pilot:
                leave(pilot, record)
                reason = f"not so at {url} .it has published nothing yet"
                with pytest.raises(TimeoutError, match=reason):
                    await pilot.drained(GONE, 1)

    run_async(main())


def test_the_document_tells_who_holds_it(run_async, memory_settings, record, make_proxy):
    """And what is wrong with the question."""

    async def main():
        async with (
            serving(memory_settings, record) as pilot,
            following(pilot, make_proxy, "one") as (one,),
        ):
            query = {"address": "10.0.0.1", "port": "80"}
            _, before = await ask(pilot, "/debug/drained", **query)
            assert before == {
                "endpoint": "10.0.0.1:80",
                "is_drained": False,
                "is_published": True,
                "services": ["cart.shop"],
                "health": ["HEALTHY"],
                "proxies": ["one"],
                "peers": [],
            }
            leave(pilot, record)
            await one.follow()
            await pilot.drained(GONE, 5)
            _, after = await ask(pilot, "/debug/drained", **query)
            assert (after["is_drained"], after["services"], after["proxies"]) == (True, [], [])
            status, wrong = await ask(pilot, "/debug/drained", address="10.0.0.1", port="x")
            assert (status, "name an endpoint" in wrong["error"]) == (400, True)

    run_async(main())


def test_other_replicas_are_asked(run_async, make_settings, record, make_proxy):
    """Until they say the same; a silent one is named."""

    async def main():
        peers = {"peers": ["http://127.0.0.1:1"]}
        async with serving(make_settings(MINE, server=peers), record) as theirs:
            url = f"http://{theirs.http_address}"
            settings = make_settings(MINE, server={"peers": [url]})
            async with (
                serving(settings, record) as pilot,
                following(theirs, make_proxy, "far") as (far,),
            ):
                leave(pilot, record)
                with pytest.raises(TimeoutError, match=rf"not so at {url} \(far\)"):
                    await pilot.drained(GONE, 0.3)
                waiting = asyncio.create_task(pilot.drained(GONE, 10))
                leave(theirs, record)
                await far.follow()
                drained = await waiting
                assert (drained.proxies, drained.peers) == ((), (url,))
                assert f"as have those of {url}" in str(drained)
                _, shown = await ask(pilot, "/debug/drained", address="10.0.0.1", port="80")
                assert [one["url"] for one in shown["peers"]] == [url]
            async with serving(settings, record) as pilot:
                await theirs.__aexit__()
                leave(pilot, record)
                with pytest.raises(TimeoutError, match=f"{url} .it does not answer"):
                    await pilot.drained(GONE, 0.2)

    run_async(main())


def test_a_replica_without_peers_tells_nobody(run_async, make_settings, record):
    """Names of proxies are nothing for strangers; whoever asks is told what to set."""

    async def main():
        async with serving(make_settings(MINE), record) as theirs:
            peers = {"peers": [f"http://{theirs.http_address}"]}
            async with serving(make_settings(MINE, server=peers), record) as pilot:
                leave(pilot, record)
                with pytest.raises(TimeoutError, match=r"names no replicas in its server\.peers"):
                    await pilot.drained(GONE, 0.3)

    run_async(main())


def test_threads_can_wait_too(memory_settings, record):
    """The blocking form."""
    with Pilot.in_thread(memory_settings) as pilot:
        pilot.memory("mine").upsert(record("cart.shop", "10.0.0.1:80"))
        pilot.published(5)
        assert pilot.serving(GONE) == {"cart.shop": Health.HEALTHY}
        pilot.memory("mine").upsert(record("cart.shop"))
        assert pilot.drained(GONE, 5).endpoint == "10.0.0.1:80"


def test_a_pilot_that_serves_nothing_cannot_know(run_async, memory_settings):
    """It has no proxies."""

    async def main():
        async with Pilot(memory_settings, serve=False) as pilot:
            with pytest.raises(RuntimeError, match="serves nothing"):
                await pilot.drained(GONE, 1)

    run_async(main())
