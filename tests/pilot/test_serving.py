"""Proxies and people at a pilot: streams, admission, worlds, pages."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from html.parser import HTMLParser

import aiohttp
import grpc.aio
import pytest
from attrs import frozen
from envoy.config.endpoint.v3 import endpoint_pb2

from meshregistry import Pilot
from meshregistry.errors import RegistryUnavailable
from meshregistry.model import CLUSTER, ENDPOINT, LISTENER, Verdict
from meshregistry.spi import RegistryKind, Secret, hookimpl

SIDECAR = "sidecar~10.0.0.9~web.shop~shop.svc.mesh.local"


@asynccontextmanager
async def following(pilot, make_proxy, *node_ids, is_delta=False):
    """Proxies of these node ids, each on a channel of its own."""
    channels = [grpc.aio.insecure_channel(pilot.xds_address) for _ in node_ids]
    try:
        yield [
            make_proxy(channel, node, is_delta=is_delta)
            for channel, node in zip(channels, node_ids, strict=True)
        ]
    finally:
        for channel in channels:
            await channel.close()


async def get(pilot, path):
    """Status and JSON of a path."""
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://{pilot.http_address}{path}") as answer,
    ):
        return answer.status, await answer.json()


async def until(holds):
    """Wait until a condition holds; the runner bounds it."""
    while not holds():  # noqa: ASYNC110 - a condition of many parts has no event
        await asyncio.sleep(0.005)


def states(pilot):
    """By node, the state of each type."""
    return {
        one["node"]: {kind["type"]: kind["state"] for kind in one["types"]}
        for one in pilot.proxies_document()["proxies"]
    }


def names(response, *, is_delta):
    """The clusters in a response."""
    if is_delta:
        return {one.name for one in response.resources}
    return {
        endpoint_pb2.ClusterLoadAssignment.FromString(one.value).cluster_name
        for one in response.resources
    }


class Refusing:
    """A plugin that admits nobody."""

    @hookimpl
    def meshregistry_admit_proxy(self, proxy, peer):
        """Refuse."""
        return Verdict.refuse(f"{proxy.node_id} is not on the list")


class Failing:
    """A plugin that fails to identify."""

    @hookimpl(tryfirst=True)
    def meshregistry_identify_proxy(self, node):
        """Fail."""
        raise ZeroDivisionError("planted")


class TestFollowing:
    @pytest.mark.parametrize("is_delta", [False, True], ids=["sotw", "delta"])
    def test_a_proxy_follows_the_catalog(
        self, run_async, memory_settings, record, make_proxy, is_delta
    ):
        """Clusters, then assignments; a change arrives by itself."""

        async def main():
            async with Pilot(memory_settings) as pilot:
                memory = pilot.memory("mine")
                memory.upsert(record("a.b", "10.0.0.1:80"))
                await pilot.published(timeout=5)
                async with following(pilot, make_proxy, "edge", is_delta=is_delta) as (proxy,):
                    await proxy.ask(CLUSTER)
                    assert CLUSTER == (await proxy.follow()).type_url
                    await proxy.ask(ENDPOINT, "outbound|80||a.b")
                    first = await proxy.follow()
                    assert {"outbound|80||a.b"} == names(first, is_delta=is_delta)
                    await until(lambda: set(states(pilot)["edge"].values()) == {"SYNCED"})
                    memory.upsert(record("a.b", "10.0.0.1:80", "10.0.0.2:80"))
                    second = await proxy.follow()
                    assert {"outbound|80||a.b"} == names(second, is_delta=is_delta)
                    assert b"10.0.0.2" in second.SerializeToString()
                    (shown,) = pilot.proxies_document()["proxies"]
                    assert ("router", "delta" if is_delta else "sotw", "test") == (
                        *(shown["role"], shown["protocol"], shown["cluster"]),
                    )

        run_async(main())

    def test_before_the_gate_opens_nothing_is_sent(
        self, run_async, make_settings, make_proxy, record
    ):
        """New streams are UNAVAILABLE: an empty answer would take working configuration away."""
        settings = make_settings({"id": "mine", "kind": "memory", "manual": True})

        async def main():
            async with Pilot(settings) as pilot:
                async with following(pilot, make_proxy, "edge") as (proxy,):
                    await proxy.ask(CLUSTER)
                    code, reason = await proxy.ending()
                    assert grpc.StatusCode.UNAVAILABLE == code
                    assert "the source mine has not synced" in reason
                assert 503 == (await get(pilot, "/readyz"))[0]
                assert 200 == (await get(pilot, "/healthz"))[0]
                pilot.memory("mine").replace([record("a.b", "10.0.0.1:80")])
                await pilot.synced(timeout=5)
                assert (200, {"status": "ok", "reasons": [], "remarks": []}) == await get(
                    pilot, "/readyz"
                )
                async with following(pilot, make_proxy, "edge") as (proxy,):
                    await proxy.ask(CLUSTER)
                    await proxy.follow()

        run_async(main())

    def test_a_draining_pilot_takes_no_new_streams(self, run_async, memory_settings, make_proxy):
        """They find another one."""

        async def main():
            async with Pilot(memory_settings) as pilot:
                await pilot.synced(timeout=5)
                await pilot.drain()
                async with following(pilot, make_proxy, "edge") as (proxy,):
                    await proxy.ask(CLUSTER)
                    code, reason = await proxy.ending()
                assert (grpc.StatusCode.UNAVAILABLE, True) == (code, "draining" in reason)
                assert "draining" in (await get(pilot, "/readyz"))[1]["reasons"]

        run_async(main())


class TestIdentity:
    @pytest.mark.parametrize(
        ("node", "code", "reason"),
        [
            ("sidecar~10.0.0.9", grpc.StatusCode.INVALID_ARGUMENT, "role~address~id~domain"),
            ("king~10.0.0.9~a~b", grpc.StatusCode.INVALID_ARGUMENT, "unknown role 'king'"),
            ("proxyless~10.0.0.9~a~b", grpc.StatusCode.UNIMPLEMENTED, "not served yet"),
            ("", grpc.StatusCode.INVALID_ARGUMENT, "no node id"),
        ],
    )
    def test_a_node_that_cannot_be_served_is_told_why(  # noqa: PLR0917 - parameters and fixtures
        self, run_async, memory_settings, make_proxy, node, code, reason
    ):
        """With the status that says whose mistake it is."""

        async def main():
            async with Pilot(memory_settings) as pilot:
                await pilot.synced(timeout=5)
                async with following(pilot, make_proxy, node) as (proxy,):
                    await proxy.ask(CLUSTER)
                    ended = await proxy.ending()
                    assert (code, True) == (ended[0], reason in ended[1])

        run_async(main())

    def test_a_plugin_may_refuse(self, run_async, memory_settings, make_proxy):
        """PERMISSION_DENIED, with its words."""

        async def main():
            async with Pilot(memory_settings, plugins=[Refusing()]) as pilot:
                await pilot.synced(timeout=5)
                async with following(pilot, make_proxy, "edge") as (proxy,):
                    await proxy.ask(CLUSTER)
                    assert (
                        grpc.StatusCode.PERMISSION_DENIED,
                        "edge is not on the list",
                    ) == await proxy.ending()
                assert {} == states(pilot)

        run_async(main())

    def test_a_plugin_that_fails_closes_that_stream_only(
        self, run_async, memory_settings, make_proxy
    ):
        """The pilot is healthy, and a question about resources says whose fault it is."""

        async def main():
            async with Pilot(memory_settings, plugins=[Failing()]) as pilot:
                await pilot.synced(timeout=5)
                async with following(pilot, make_proxy, "edge") as (proxy,):
                    await proxy.ask(CLUSTER)
                    assert grpc.StatusCode.INTERNAL == (await proxy.ending())[0]
                assert () == pilot.health()
                status, answer = await get(pilot, "/debug/resources?node=edge")
                assert (400, True) == (status, "failed to identify" in answer["error"])

        run_async(main())


class TestRefusals:
    def test_a_proxy_that_refuses_everything_is_reported_and_others_live_on(
        self, run_async, memory_settings, record, make_proxy, caplog
    ):
        """REJECTED with the reason, one line in the log for as long as it lasts."""

        async def main():
            async with Pilot(memory_settings) as pilot:
                memory = pilot.memory("mine")
                memory.upsert(record("a.b", "10.0.0.1:80"))
                await pilot.published(timeout=5)
                async with following(pilot, make_proxy, "bad", "good") as (bad, good):
                    await bad.ask(CLUSTER)
                    await bad.refuse(await bad.take(), "no clusters please")
                    await good.ask(CLUSTER)
                    await good.follow()
                    await until(lambda: states(pilot)["bad"] == {"cds": "REJECTED"})
                    memory.upsert(record("c.d", "10.0.0.2:80"))
                    await bad.refuse(await bad.take(), "no clusters please")
                    assert b"c.d" in (await good.follow()).SerializeToString()
                    await until(lambda: states(pilot)["good"] == {"cds": "SYNCED"})
                    await until(lambda: states(pilot)["bad"] == {"cds": "REJECTED"})
                    shown = {one["node"]: one for one in pilot.proxies_document()["proxies"]}
                    assert "no clusters please" == shown["bad"]["types"][0]["error"]
                    (figures,) = [
                        one for one in pilot.statistics() if one.name == "meshregistry_xds_acks"
                    ]
                    assert {"ack": 2.0, "nack": 2.0} == {
                        labels["result"]: value for labels, value in figures.samples
                    }

        run_async(main())
        told = [one for one in caplog.records if "no clusters please" in one.getMessage()]
        assert ["WARNING"] == [one.levelname for one in told if one.levelname == "WARNING"]

    def test_plugins_are_told(self, run_async, memory_settings, record, make_proxy):
        """Proxy, type, version and reason."""
        told = []

        class Listening:
            @hookimpl
            def meshregistry_resources_rejected(self, proxy, type_url, version, error):
                told.append((proxy.node_id, type_url, bool(version), error))

        async def main():
            async with Pilot(memory_settings, plugins=[Listening()]) as pilot:
                pilot.memory("mine").upsert(record("a.b", "10.0.0.1:80"))
                await pilot.published(timeout=5)
                async with following(pilot, make_proxy, "bad") as (bad,):
                    await bad.ask(CLUSTER)
                    await bad.refuse(await bad.take(), "never")
                    await until(lambda: told)

        run_async(main())
        assert [("bad", CLUSTER, True, "never")] == told


class TestKeys:
    def test_a_proxy_whose_service_appears_gets_it(
        self, run_async, memory_settings, record, make_proxy
    ):
        """Its services usually appear after its stream: a sidecar then listens for them."""

        async def main():
            async with Pilot(memory_settings) as pilot:
                memory = pilot.memory("mine")
                await pilot.published(timeout=5)
                async with following(pilot, make_proxy, SIDECAR) as (proxy,):
                    await proxy.ask(LISTENER)
                    first = await proxy.follow()
                    assert b"10.0.0.9" not in first.SerializeToString()
                    memory.upsert(record("web.shop", "10.0.0.9:8080"))
                    second = await proxy.follow()
                    assert b"10.0.0.9" in second.SerializeToString()

        run_async(main())

    def test_what_nobody_wants_any_more_is_withdrawn(
        self, run_async, memory_settings, record, make_proxy
    ):
        """A set lives as long as some stream has its key."""

        async def main():
            async with Pilot(memory_settings) as pilot:
                pilot.memory("mine").upsert(record("a.b", "10.0.0.1:80"))
                await pilot.published(timeout=5)
                hub = pilot._serving._hub
                async with following(pilot, make_proxy, "one", "two") as proxies:
                    for proxy in proxies:
                        await proxy.ask(CLUSTER)
                        await proxy.follow()
                    assert 1 == len(hub.keys())
                await until(lambda: not hub.status())
                assert ((), {}) == (hub.keys(), pilot._serving._faults)

        run_async(main())


class TestPages:
    """What people and monitors read."""

    def test_every_document_is_that_of_the_command(
        self, run_async, memory_settings, record, make_proxy
    ):
        """Catalog, sources, rules, proxies, resources, explain, diff."""

        async def main():
            async with Pilot(memory_settings) as pilot:
                pilot.memory("mine").upsert(record("a.b", "10.0.0.1:80"))
                await pilot.published(timeout=5)
                async with following(pilot, make_proxy, "edge") as (proxy,):
                    await proxy.ask(CLUSTER)
                    await proxy.follow()
                    status, proxies = await get(pilot, "/debug/proxies")
                    assert (200, ["edge"]) == (status, [one["node"] for one in proxies["proxies"]])
                    for node in ("edge", "other"):
                        _, shown = await get(pilot, f"/debug/resources?node={node}&type=cds")
                        assert pilot.resources_document("edge", "cds") == shown
                assert "a.b" == (await get(pilot, "/debug/catalog"))[1]["services"][0]["host"]
                assert "mine" == (await get(pilot, "/debug/sources"))[1]["sources"][0]["id"]
                _, explained = await get(pilot, "/debug/explain?host=a.b:80&proxy=edge")
                assert pilot.explain("a.b:80", "edge") == explained
                _, differing = await get(pilot, "/debug/diff?first=mine&second=mine")
                assert {"first": "mine", "second": "mine", "differences": []} == differing
                _, identified = await get(pilot, "/debug/identity")
                assert pilot.identity_document() == identified
                _, listed = await get(pilot, "/debug")
                assert 9 == len(listed["documents"])

        run_async(main())

    @pytest.mark.parametrize(
        ("path", "status", "reason"),
        [
            ("/debug/resources", 400, "name a proxy"),
            ("/debug/resources?node=a~b", 400, "malformed"),
            ("/debug/resources?node=edge&type=zzz", 400, "not a resource type"),
            ("/debug/explain", 400, "name a host"),
            ("/debug/diff?first=mine", 400, "name two sources"),
            ("/debug/diff?first=mine&second=yours", 404, "there is no source 'yours'"),
            ("/debug/explain?host=no.such", 404, "no source knows the host 'no.such'"),
            ("/debug/explain?host=a_!", 400, "not a host name"),
        ],
    )
    def test_wrong_questions_are_answered(self, run_async, memory_settings, path, status, reason):
        """With the status and the reason."""

        async def main():
            async with Pilot(memory_settings) as pilot:
                await pilot.synced(timeout=5)
                answer = await get(pilot, path)
                assert (status, True) == (answer[0], reason in answer[1]["error"])

        run_async(main())

    def test_a_fault_of_the_core_is_unhealthy(self, run_async, memory_settings):
        """503 with the reason; the pages go on."""

        async def main():
            async with Pilot(memory_settings) as pilot:
                await pilot.synced(timeout=5)
                pilot.fail(ZeroDivisionError("planted"))
                for path in ("/healthz", "/readyz"):
                    status, answer = await get(pilot, path)
                    assert (503, True) == (status, "planted" in answer["reasons"][0])
                assert 200 == (await get(pilot, "/debug/sources"))[0]

        run_async(main())

    def test_metrics_are_those_of_statistics(self, run_async, memory_settings):
        """Each name is exposed."""

        async def main():
            async with Pilot(memory_settings) as pilot:
                await pilot.published(timeout=5)
                async with (
                    aiohttp.ClientSession() as http,
                    http.get(f"http://{pilot.http_address}/metrics") as answer,
                ):
                    text = await answer.text()
                    assert "text/plain" == answer.content_type
                names = {one.name for one in pilot.statistics()}
                assert [] == [name for name in names if f"# HELP {name}" not in text]

        run_async(main())

    def test_the_status_page_parses_and_asks_for_documents_that_exist(
        self, run_async, memory_settings
    ):
        """It loads nothing from elsewhere."""
        links, ids = [], []

        class Page(HTMLParser):
            def handle_starttag(self, tag, attrs):
                links.extend(value for key, value in attrs if key in {"src", "href"})
                ids.extend(value for key, value in attrs if key == "id")

        async def main():
            async with Pilot(memory_settings) as pilot:
                await pilot.synced(timeout=5)
                async with (
                    aiohttp.ClientSession() as http,
                    http.get(f"http://{pilot.http_address}/") as answer,
                ):
                    assert (200, "text/html") == (answer.status, answer.content_type)
                    text = await answer.text()
                Page().feed(text)
                assert ["debug", "metrics"] == links
                for name in ("sources", "proxies", "catalog"):
                    assert f'get("{name}")' in text
                    assert 200 == (await get(pilot, f"/debug/{name}"))[0]
                assert {"state", "sources", "rules", "decisions", "proxies", "services"} == set(ids)

        run_async(main())


@frozen(kw_only=True)
class Guarded:
    """Options with a secret."""

    token: Secret


class Leaky:
    """A plugin whose registry has a secret and trouble with its backend."""

    @hookimpl
    def meshregistry_register_registries(self):
        """Offer it."""
        return RegistryKind(name="leaky", config_class=Guarded, open=lambda config, _: Dead(config))


class Dead:
    """A registry that tells its configuration when it fails."""

    def __init__(self, config):
        self.config = config

    async def run(self, sink):
        """Fail."""
        raise RegistryUnavailable(f"no answer with {self.config}")


class TestSecrets:
    def test_a_planted_secret_is_nowhere(self, run_async, make_settings, caplog):
        """Not in logs, errors, documents, metrics or the settings as text."""
        caplog.set_level("DEBUG")
        settings = make_settings({"id": "x", "kind": "leaky", "token": "hunter2"})

        async def main():
            async with Pilot(settings, plugins=[Leaky()]) as pilot:
                with pytest.raises(TimeoutError) as caught:
                    await pilot.synced(timeout=0.1)
                seen = [str(caught.value), repr(settings), repr(pilot.sources())]
                pages = [await get(pilot, f"/debug/{one}") for one in ("catalog", "sources")]
                seen += map(str, pages)
                assert "no answer with" in "".join(seen)
                return [*seen, repr(pilot.statistics()), caplog.text]

        assert [] == [text for text in run_async(main()) if "hunter2" in text]


class TestLimits:
    def test_more_streams_than_allowed_are_turned_away(self, run_async, make_settings, make_proxy):
        """RESOURCE_EXHAUSTED; the others stay."""
        settings = make_settings({"id": "mine", "kind": "memory"}, server={"max_streams": 1})

        async def main():
            async with Pilot(settings) as pilot:
                await pilot.published(timeout=5)
                async with following(pilot, make_proxy, "one") as (one,):
                    await one.ask(CLUSTER)
                    await one.follow()
                    async with following(pilot, make_proxy, "two") as (two,):
                        assert grpc.StatusCode.RESOURCE_EXHAUSTED == (await two.ending())[0]
                    assert {"one"} == set(states(pilot))

        run_async(main())
