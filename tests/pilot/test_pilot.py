"""The pilot: its life, its waiting methods, and the programs that the reference shows."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from meshregistry import Endpoint, Pilot, ServiceRecord, Settings
from meshregistry.errors import ConfigError, MissingExtraError, PilotFailed
from meshregistry.model import ServiceKey
from meshregistry.registries import MemoryConfig
from meshregistry.spi import RegistryKind, hookimpl
from meshregistry.testing import ManualClock, free_port

SERVICES = """
services:
  - host: reviews.shop
    ports: [{name: http, port: 9080, protocol: HTTP}]
    endpoints: [10.0.0.1:9080]
"""


class Silent:
    """A registry that never says anything."""

    async def run(self, sink):
        """Wait."""
        await asyncio.Event().wait()


class Talking(Silent):
    """A registry that lists these records and then waits."""

    def __init__(self, *records):
        self.records = records

    async def run(self, sink):
        """List."""
        sink.replace(self.records)
        await super().run(sink)


@pytest.fixture
def nothing():
    """Settings without any source."""
    return Settings.from_dict({"server": {"xds": "127.0.0.1:0"}})


class TestPrograms:
    """Those of the reference, as written."""

    def test_the_catalog_alone(self, run_async, tmp_path, capsys):
        """One live catalog of all registries, nothing served."""
        (tmp_path / "mesh.yaml").write_text(
            "sources:\n  - {id: vms, kind: file, path: services.yaml}\n"
        )
        (tmp_path / "services.yaml").write_text(SERVICES)

        async def main():
            async with Pilot(Settings.load(tmp_path / "mesh.yaml"), serve=False) as pilot:
                catalog = await pilot.synced(timeout=10)
                print([service.host for service in catalog.services()])  # noqa: T201 - as written
                (tmp_path / "services.yaml").write_text(
                    SERVICES.replace("reviews.shop", "web.shop")
                )
                async for diff in pilot.changes(since=catalog):
                    print(diff.added, diff.changed, diff.removed)  # noqa: T201 - as written
                    break

        run_async(main())
        first, second = capsys.readouterr().out.splitlines()
        assert "reviews.shop" in first
        assert "web.shop" in second

    def test_the_whole_in_a_program(self, run_async):
        """A registry that is set from code, served."""

        async def main():
            settings = Settings.from_dict(
                {"sources": [{"id": "mine", "kind": "memory"}], "server": {"xds": "127.0.0.1:0"}}
            )
            async with Pilot(settings) as pilot:
                pilot.memory("mine").upsert(
                    ServiceRecord.parse("reviews.shop", port=9080, endpoints=["10.0.0.1:9080"])
                )
                await pilot.published()
                assert ["reviews.shop"] == [str(one.host) for one in pilot.catalog.services()]
                for address in (pilot.xds_address, pilot.http_address):
                    host, _, port = address.partition(":")
                    assert "127.0.0.1" == host
                    assert int(port) > 0

        run_async(main())


class TestEntering:
    def test_never_waits_for_a_registry(self, run_async, nothing):
        """A source that says nothing holds nobody up but those who wait for it."""

        async def main():
            async with Pilot(nothing, serve=False, registries={"slow": Silent()}) as pilot:
                assert ("slow",) == pilot.unsynced()
                assert ("the source slow has not synced",) == pilot.readiness()
                assert 0 == len(pilot.catalog)

        run_async(main(), timeout=5)

    def test_twice_is_an_error(self, run_async, memory_settings):
        """Also after it was left, or could not be entered."""

        async def main():
            pilot = Pilot(memory_settings, serve=False)
            async with pilot:
                with pytest.raises(RuntimeError, match="entered once; make another one"):
                    await pilot.__aenter__()
            with pytest.raises(RuntimeError, match="entered once"):
                await pilot.__aenter__()

        run_async(main())

    def test_and_leaving_may_happen_in_different_tasks(self, run_async, memory_settings):
        """Fixtures and frameworks do that."""

        async def main():
            pilot = Pilot(memory_settings)
            await asyncio.create_task(pilot.__aenter__())
            await pilot.published(timeout=5)
            await asyncio.create_task(pilot.__aexit__(None, None, None))

        run_async(main())

    def test_a_port_in_use_names_it_and_leaves_nothing(self, run_async, make_settings):
        """Whichever listener it is; the other one is closed again."""

        async def main():
            with socket.create_server(("127.0.0.1", 0)) as taken:
                busy = f"127.0.0.1:{taken.getsockname()[1]}"
                for server in (
                    {"xds": busy, "http": "127.0.0.1:0"},
                    {"xds": "127.0.0.1:0", "http": busy},
                ):
                    with pytest.raises(OSError, match=busy):
                        await Pilot(make_settings(server=server)).__aenter__()
            free = f"127.0.0.1:{free_port()}"
            with socket.create_server(("127.0.0.1", 0)) as taken:
                busy = f"127.0.0.1:{taken.getsockname()[1]}"
                with pytest.raises(OSError, match=busy):
                    await Pilot(make_settings(server={"xds": busy, "http": free})).__aenter__()
            async with Pilot(make_settings(server={"xds": "127.0.0.1:0", "http": free})) as pilot:
                assert free == pilot.http_address

        run_async(main())

    def test_what_is_outside_says_how_to_get_in(self, memory_settings):
        """Every method that needs a running pilot names the remedy."""
        pilot = Pilot(memory_settings, serve=False)
        for use in (pilot.sources, pilot.unsynced, lambda: pilot.catalog, pilot.statistics):
            with pytest.raises(RuntimeError, match="use it inside 'async with'"):
                use()
        assert ("nothing is published yet",) == pilot.readiness()

    def test_without_serving_there_is_no_address(self, run_async, memory_settings, make_settings):
        """Nor without the listener."""

        async def main():
            async with Pilot(memory_settings, serve=False) as pilot:
                with pytest.raises(RuntimeError, match="serves nothing"):
                    _ = pilot.xds_address
            async with Pilot(make_settings(server={"http": None})) as pilot:
                assert {"xds"} == set(pilot.addresses())
                with pytest.raises(RuntimeError, match=r"turn http off; set server\.http"):
                    _ = pilot.http_address
            async with Pilot(make_settings(server={"xds": None, "http": "127.0.0.1:0"})) as pilot:
                assert {"http", "admin", "probes"} == set(pilot.addresses())

        run_async(main())


class TestLeaving:
    def test_is_idempotent(self, run_async, memory_settings):
        """Any number of times, also at once."""

        async def main():
            pilot = await Pilot(memory_settings).__aenter__()
            leaving = [pilot.__aexit__(None, None, None) for _ in range(3)]
            await asyncio.gather(*leaving)
            await pilot.__aexit__(None, None, None)

        run_async(main())

    def test_leaves_no_task_socket_or_thread(self, run_async, tmp_path):
        """Tasks are checked by the runner; sockets are gone with their files."""
        before = set(threading.enumerate())
        (tmp_path / "s.yaml").write_text(SERVICES)
        server = {name: f"unix://{tmp_path}/{name}" for name in ("xds", "http")}
        settings = Settings.from_dict(
            {"sources": [{"id": "vms", "kind": "file", "path": "s.yaml"}], "server": server},
            base_path=tmp_path,
        )

        async def main():
            async with Pilot(settings) as pilot:
                await pilot.synced(timeout=10)
                assert (tmp_path / "http").is_socket()
            assert ["s.yaml"] == [one.name for one in tmp_path.iterdir()]

        run_async(main())
        left = {one for one in threading.enumerate() if one.name.startswith("meshregistry")}
        assert left <= before

    def test_is_bounded_by_the_drain_timeout(self, run_async, make_settings, make_proxy):
        """A proxy that goes on reading does not hold it up."""
        import grpc.aio  # noqa: PLC0415 - only here

        settings = make_settings(
            {"id": "mine", "kind": "memory"}, server={"drain_timeout": "200ms"}
        )

        async def main():
            pilot = await Pilot(settings).__aenter__()
            await pilot.published(timeout=5)
            async with grpc.aio.insecure_channel(pilot.xds_address) as channel:
                proxy = make_proxy(channel, "edge")
                await proxy.ask("type.googleapis.com/envoy.config.cluster.v3.Cluster")
                await proxy.follow()
                async with asyncio.timeout(4):
                    await pilot.__aexit__(None, None, None)
                assert grpc.StatusCode.UNAVAILABLE == (await proxy.ending())[0]

        run_async(main())

    def test_ends_those_who_wait(self, run_async, nothing):
        """A follower's loop ends; whoever waits for more is told that none will come."""

        async def main():
            pilot = await Pilot(nothing, serve=False, registries={"slow": Silent()}).__aenter__()

            async def follow():
                return [diff async for diff in pilot.changes()]

            following = asyncio.create_task(follow())
            waiting = asyncio.create_task(pilot.synced())
            await asyncio.sleep(0)
            await pilot.__aexit__(None, None, None)
            assert [] == await following
            with pytest.raises(RuntimeError, match="nothing more will come"):
                await waiting

        run_async(main())


class TestWaiting:
    def test_synced_gives_the_catalog(self, run_async, nothing, record):
        """The one that is published then."""

        async def main():
            registries = {"mine": Talking(record("a.b", "10.0.0.1:80"))}
            async with Pilot(nothing, serve=False, registries=registries) as pilot:
                catalog = await pilot.synced(timeout=5)
                assert catalog is pilot.catalog
                assert (ServiceKey.parse("a.b"),) == tuple(catalog.by_key)
                assert () == pilot.readiness()

        run_async(main())

    @pytest.mark.parametrize("method", ["synced", "published"])
    def test_timeouts_name_the_sources(self, run_async, nothing, method):
        """Those that have not synced, and no other."""

        async def main():
            registries = {"one": Silent(), "two": Silent(), "good": Talking()}
            async with Pilot(nothing, serve=False, registries=registries) as pilot:
                with pytest.raises(TimeoutError, match=r"within 0\.01 s; not synced: one, two;"):
                    await getattr(pilot, method)(timeout=0.01)

        run_async(main())

    def test_published_contains_every_earlier_write(self, run_async, memory_settings, record):
        """The caller's last write is in the world that it waits for."""

        async def main():
            async with Pilot(memory_settings, serve=False) as pilot:
                memory = pilot.memory("mine")
                for number in range(5):
                    memory.upsert(record(f"a{number}.b", "10.0.0.1:80"))
                    generation = await pilot.published(timeout=5)
                    assert generation == pilot.catalog.generation
                    assert number + 1 == len(pilot.catalog)

        run_async(main())

    def test_published_returns_at_once_if_nothing_changed(self, run_async, memory_settings, record):
        """The clock stands still, so any wait would be for ever."""

        async def main():
            clock = ManualClock()
            async with Pilot(memory_settings, serve=False, clock=clock) as pilot:
                memory = pilot.memory("mine")
                memory.upsert(record("a.b", "10.0.0.1:80"))
                assert 1 == await pilot.published(timeout=5)
                assert 1 == await pilot.published(timeout=5)
                memory.upsert(record("a.b", "10.0.0.1:80"))
                assert 1 == await pilot.published(timeout=5)

        run_async(main())

    def test_changes_begin_with_what_is_there(self, run_async, memory_settings, record):
        """Against the empty catalog, unless the consumer knows better."""

        async def main():
            async with Pilot(memory_settings, serve=False) as pilot:
                pilot.memory("mine").upsert(record("a.b", "10.0.0.1:80"))
                diff = await anext(pilot.changes())
                assert (ServiceKey.parse("a.b"),) == diff.added
                changes = pilot.changes(since=pilot.catalog)
                pilot.memory("mine").remove("a.b")
                assert (ServiceKey.parse("a.b"),) == (await anext(changes)).removed
                await changes.aclose()

        run_async(main())

    def test_a_source_that_is_not_required_may_be_late(self, run_async, make_settings):
        """After its sync_timeout the gate opens without it, and it joins later."""
        settings = make_settings(
            {"id": "late", "kind": "memory", "manual": True, "required": False},
            {"id": "mine", "kind": "memory"},
            sync_timeout="10ms",
        )

        async def main():
            async with Pilot(settings, serve=False) as pilot:
                await pilot.synced(timeout=5)
                assert ("late",) == pilot.unsynced()
                assert () == pilot.readiness()
                pilot.memory("late").replace([ServiceRecord.parse("a.b", port=80)])
                await pilot.published(timeout=5)
                assert 1 == len(pilot.catalog)

        run_async(main())


class TestMemory:
    def test_is_synced_from_the_start_and_works_before_entering(
        self, run_async, memory_settings, record
    ):
        """What was written before is in the first world."""

        async def main():
            pilot = Pilot(memory_settings, serve=False)
            pilot.memory("mine").upsert(record("a.b", "10.0.0.1:80"))
            async with pilot:
                assert 1 == len(await pilot.synced(timeout=5))

        run_async(main())

    def test_manual_is_synced_after_replace(self, run_async, make_settings, record):
        """Upserts are held until then."""

        async def main():
            settings = make_settings({"id": "mine", "kind": "memory", "manual": True})
            async with Pilot(settings, serve=False) as pilot:
                pilot.memory("mine").upsert(record("a.b"))
                assert ("mine",) == pilot.unsynced()
                pilot.memory("mine").replace([record("c.d")])
                assert [ServiceKey.parse("c.d")] == list((await pilot.synced(timeout=5)).by_key)

        run_async(main())

    def test_an_unknown_source_names_those_there_are(self, make_settings):
        """Only those of kind memory."""
        settings = make_settings(
            {"id": "mine", "kind": "memory"}, {"id": "vms", "kind": "file", "path": "x"}
        )
        with pytest.raises(KeyError, match="no source 'vms' of kind memory; there is: mine"):
            Pilot(settings).memory("vms")
        with pytest.raises(KeyError, match="there is: none"):
            Pilot(make_settings()).memory("mine")


class TestFailure:
    """A fault of the core."""

    def test_is_raised_from_waiting_methods_and_spares_the_body(
        self, run_async, memory_settings, record
    ):
        """`failed` is set, health is bad, the caller's own code goes on."""

        async def main():
            async with Pilot(memory_settings) as pilot:
                await pilot.synced(timeout=5)
                following = asyncio.ensure_future(anext(pilot.changes(since=pilot.catalog)))
                told = asyncio.ensure_future(pilot.wait_failed())
                await asyncio.sleep(0)

                def broken(*_):
                    raise ZeroDivisionError("planted")

                pilot._core.publisher._publish = broken
                pilot.memory("mine").upsert(record("a.b", "10.0.0.1:80"))
                with pytest.raises(PilotFailed, match="planted") as caught:
                    await pilot.published(timeout=5)
                assert isinstance(caught.value.__cause__, ZeroDivisionError)
                with pytest.raises(PilotFailed):
                    await following
                for wait in (pilot.synced, pilot.published):
                    with pytest.raises(PilotFailed):
                        await wait(timeout=5)
                with pytest.raises(PilotFailed):
                    await pilot.reload(memory_settings)
                assert isinstance(await told, PilotFailed)
                assert isinstance(pilot.failed, PilotFailed)
                assert "planted" in pilot.health()[0]
                assert pilot.health() == pilot.readiness()

        run_async(main())

    def test_there_is_none_at_first(self, run_async, memory_settings):
        """A pilot is healthy before it is ready."""

        async def main():
            async with Pilot(memory_settings, serve=False) as pilot:
                assert (None, ()) == (pilot.failed, pilot.health())

        run_async(main())

    def test_a_source_cannot_cause_one(self, run_async, nothing):
        """A plugin's fault is a condition of its source."""

        class Broken:
            async def run(self, sink):
                raise ZeroDivisionError("not ours")

        async def main():
            async with Pilot(nothing, serve=False, registries={"bad": Broken()}) as pilot:
                with pytest.raises(TimeoutError, match="not synced: bad"):
                    await pilot.synced(timeout=0.05)
                (status,) = pilot.sources()
                assert ("FAILED", None) == (str(status.condition), pilot.failed)

        run_async(main())


class TestTogether:
    def test_several_pilots_live_in_one_process(self, run_async, memory_settings, record):
        """Each with its own memory, ports and figures."""

        async def main():
            async with Pilot(memory_settings) as one, Pilot(memory_settings) as two:
                one.memory("mine").upsert(record("a.b", "10.0.0.1:80"))
                await one.published(timeout=5)
                await two.published(timeout=5)
                assert (1, 0) == (len(one.catalog), len(two.catalog))
                assert one.xds_address != two.xds_address
                assert one.http_address != two.http_address
                figures = [_exposed(pilot) for pilot in (one, two)]
                assert "meshregistry_catalog_services 1.0" in figures[0]
                assert "meshregistry_catalog_services 0.0" in figures[1]

        run_async(main())

    def test_the_collector_is_the_callers_and_may_be_read_from_any_thread(
        self, run_async, memory_settings
    ):
        """Also without serving; after leaving it has no figures and raises nothing."""

        async def main():
            async with Pilot(memory_settings, serve=False) as pilot:
                await pilot.published(timeout=5)
                collector = pilot.collector
                here = generate_latest(_registry(collector))
                there = await asyncio.to_thread(generate_latest, _registry(collector))
                assert b"meshregistry_world_generation 1.0" in here
                assert b"meshregistry_world_generation 1.0" in there
            assert b"" == generate_latest(_registry(collector))

        run_async(main())

    def test_objects_of_the_caller_need_no_plugin(self, run_async, nothing, record):
        """They come after the settings' sources, under the given id."""

        async def main():
            registries = {"mine": Talking(record("a.b", "10.0.0.1:80"))}
            async with Pilot(nothing, serve=False, registries=registries) as pilot:
                await pilot.synced(timeout=5)
                (status,) = pilot.sources()
                assert ("mine", "object", "SYNCED") == (
                    status.id,
                    status.kind,
                    str(status.condition),
                )

        run_async(main())

    def test_plugins_of_the_caller_are_loaded_and_told(self, run_async, make_settings, record):
        """A kind of its own, and every change of a condition."""
        told = []

        class Plugin:
            @hookimpl
            def meshregistry_register_registries(self):
                return RegistryKind(
                    name="mine",
                    config_class=MemoryConfig,
                    open=lambda config, context: Talking(record("a.b", "10.0.0.1:80")),
                )

            @hookimpl
            def meshregistry_source_changed(self, source, condition, error):
                told.append((source, str(condition), error))

        async def main():
            settings = make_settings({"id": "x", "kind": "mine"})
            async with Pilot(settings, serve=False, plugins=[Plugin()]) as pilot:
                assert 1 == len(await pilot.synced(timeout=5))

        run_async(main())
        assert ("x", "SYNCED", None) == told[0]


class TestQuestions:
    def test_resources_are_those_of_a_node_id(self, run_async, memory_settings, record):
        """Without serving too; a malformed id or type is the caller's mistake."""

        async def main():
            async with Pilot(memory_settings, serve=False) as pilot:
                pilot.memory("mine").upsert(record("a.b", "10.0.0.1:80"))
                await pilot.published(timeout=5)
                document = pilot.resources_document("edge", "eds")
                (group,) = document["types"]
                (only,) = group["resources"]
                assert ("eds", "outbound|80||a.b") == (group["type"], only["name"])
                assert only["message"]["endpoints"]
                with pytest.raises(ValueError, match="node id 'a~b' is malformed"):
                    pilot.resources_document("a~b")
                with pytest.raises(ValueError, match="'zzz' is not a resource type"):
                    pilot.resources_document("edge", "zzz")

        run_async(main())

    def test_explain_shows_what_a_proxy_gets_for_the_host(self, run_async, memory_settings, record):
        """Cluster, assignment, listener and route; nothing of other hosts."""

        async def main():
            async with Pilot(memory_settings, serve=False) as pilot:
                pilot.memory("mine").replace(
                    [record("a.b", "10.0.0.1:80"), record("c.d", "10.0.0.2:80")]
                )
                await pilot.published(timeout=5)
                assert "resources" not in pilot.explain("a.b")
                found = pilot.explain("a.b:80", "edge")["resources"]["types"]
                assert ["cds", "eds", "lds", "rds"] == [group["type"] for group in found]
                assert ["outbound|80||a.b"] == [one["name"] for one in found[0]["resources"]]

        run_async(main())

    def test_without_messages_the_extra_is_named(self, run_async, memory_settings, monkeypatch):
        """The core needs neither gRPC nor Envoy's messages."""
        for name in ("meshregistry.pilot._derivation", "meshregistry.server"):
            monkeypatch.setitem(__import__("sys").modules, name, None)

        async def main():
            async with Pilot(memory_settings, serve=False) as pilot:
                await pilot.synced(timeout=5)
            with pytest.raises((MissingExtraError, ImportError)):
                await Pilot(memory_settings).__aenter__()

        run_async(main())

    def test_wrong_settings_end_entering(self, run_async, make_settings):
        """Before anything is started."""

        async def main():
            with pytest.raises(ConfigError, match="kind"):
                await Pilot(make_settings({"id": "x", "kind": "nonsense"})).__aenter__()

        run_async(main())

    def test_draining_is_not_ready(self, run_async, memory_settings):
        """From the moment that it begins, for drain_delay."""

        async def main():
            async with Pilot(memory_settings, serve=False) as pilot:
                await pilot.synced(timeout=5)
                assert () == pilot.readiness()
                await pilot.drain()
                assert (("draining",), ()) == (pilot.readiness(), pilot.health())

        run_async(main())

    def test_a_stale_source_never_unreadies(self, run_async, nothing, record):
        """The gate opens once."""

        class Dying(Talking):
            async def run(self, sink):
                sink.replace(self.records)
                await asyncio.sleep(0)
                raise ZeroDivisionError("gone")

        async def main():
            registries = {"mine": Dying(record("a.b", Endpoint(address="10.0.0.1", port=80)))}
            async with Pilot(nothing, serve=False, registries=registries) as pilot:
                await pilot.synced(timeout=5)
                while str(pilot.sources()[0].condition) != "FAILED":  # noqa: ASYNC110 - a few turns
                    await asyncio.sleep(0)
                assert ((), 1) == (pilot.readiness(), len(pilot.catalog))

        run_async(main())


def _registry(collector):
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return registry


def _exposed(pilot):
    return generate_latest(_registry(pilot.collector)).decode()


def test_a_shadow_source_is_compared_and_never_waited_for(run_async, make_settings, record):
    """The catalog opens and goes on without it; `diff` tells what it would change."""

    async def main():
        settings = make_settings(
            {"id": "old", "kind": "memory"},
            {"id": "new", "kind": "memory", "manual": True, "shadow": True},
        )
        async with Pilot(settings, serve=False) as pilot:
            pilot.memory("old").upsert(record("a.b", "10.0.0.1:80"))
            await pilot.published(timeout=5)
            assert ["a.b"] == [str(one.host) for one in pilot.catalog.services()]
            pilot.memory("new").replace([record("a.b", "10.0.0.2:80")])
            await pilot.synced(timeout=5)
            assert ["10.0.0.1:80"] == [str(one) for one in pilot.merged.endpoints("a.b")]
            found = pilot.diff("old", "new")["differences"]
            assert ["endpoint 10.0.0.1:80", "endpoint 10.0.0.2:80"] == [
                one["what"] for one in found
            ]
            served = make_settings(
                {"id": "old", "kind": "memory"}, {"id": "new", "kind": "memory", "manual": True}
            )
            assert ("sources.new",) == (await pilot.reload(served)).applied
            both = ["10.0.0.1:80", "10.0.0.2:80"]
            assert both == [str(one) for one in pilot.merged.endpoints("a.b")]

    run_async(main())
