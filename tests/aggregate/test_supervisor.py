"""The supervisor: all sources, one catalog, one gate (contracts, sections 2 to 5)."""

from __future__ import annotations

import asyncio
import threading

import pytest
from attrs import evolve

from meshregistry.aggregate import Kept
from meshregistry.errors import RegistryUnavailable
from meshregistry.model import Health, MergePolicy, ServiceRecord
from meshregistry.spi import Condition, PollingRegistry

CART = ServiceRecord.parse("cart.shop", port=80, endpoints=["10.0.0.1:80"])
CART_2 = ServiceRecord.parse("cart.shop", port=80, endpoints=["10.0.0.2:80"])
PAY = ServiceRecord.parse("pay.shop", port=80, endpoints=["10.0.0.3:80"])
GONE = RegistryUnavailable("the connection is lost")


# --- The catalog ----------------------------------------------------------------------


def test_it_follows_all_sources_and_tells_of_changes(run_async, kit):
    """One merged catalog; endpoint-only changes are told as such; equal records tell nothing."""
    one, two = kit.Scripted("a", kit.listing(CART)), kit.Scripted("b", kit.listing(PAY))

    async def main():
        watched = kit.Watched(one, two)
        async with watched.supervisor:
            await watched.rest()
            assert watched.hosts == ["cart.shop", "pay.shop"]
            watched.changes.clear()
            one.sink.upsert(CART_2)
            await watched.rest()
            one.sink.upsert(CART_2)
            one.sink.replace([CART_2])
            await watched.rest()
            two.sink.remove(PAY.key)
            await watched.rest()
            assert watched.changes == [True, False]

    run_async(main())


def test_what_one_turn_of_the_loop_brings_is_merged_once(run_async, kit):
    """A burst of upserts costs one catalog."""
    one = kit.Scripted("a", kit.listing())

    async def main():
        watched = kit.Watched(one)
        async with watched.supervisor:
            await watched.rest()
            for number in range(50):
                one.sink.upsert(ServiceRecord.parse(f"s{number}.shop", port=80))
            await watched.rest()
            assert watched.changes == [False]
            assert watched.supervisor.catalog.generation == 1

    run_async(main())


def test_the_catalog_is_always_up_to_date(run_async, kit):
    """A write on the loop is in it when the sink's method returns, and was told by then."""
    one = kit.Scripted("a", kit.listing())

    async def main():
        watched = kit.Watched(one)
        async with watched.supervisor:
            await watched.rest()
            one.sink.upsert(CART)
            assert watched.hosts == ["cart.shop"]
            assert watched.changes == [False]

    run_async(main())


def test_writes_of_threads_are_applied_when_flushed(run_async, kit):
    """Whoever flushes after a thread has written sees what it wrote."""
    one = kit.Scripted("a", kit.listing())

    async def main():
        watched = kit.Watched(one)
        async with watched.supervisor:
            await watched.rest()
            thread = threading.Thread(target=one.sink.upsert, args=[CART])
            thread.start()
            thread.join()
            assert watched.hosts == []
            watched.supervisor.flush()
            assert watched.hosts == ["cart.shop"]
            assert watched.changes == [False]

    run_async(main())


def test_drained_waits_until_each_source_has_been_opened(run_async, kit):
    """What a registry holds before it runs is not missed; one that connects is not waited for."""

    class Never:
        async def __aenter__(self):
            await asyncio.Event().wait()

        async def __aexit__(self, *_):
            pass

    one = kit.Scripted("a", kit.listing(CART))
    slow = kit.Scripted("slow", connect=lambda context: Never())

    async def main():
        watched = kit.Watched(one, slow)
        running = asyncio.ensure_future(watched.supervisor.run())
        await watched.supervisor.drained()
        assert watched.hosts == ["cart.shop"]
        running.cancel()
        await asyncio.wait([running])

    run_async(main())


def test_a_listener_is_never_called_within_a_sink(run_async, kit):
    """It may take a lock that the caller of the sink holds."""
    within, seen = [], []

    async def script(sink, context):
        within.append(1)
        sink.replace([CART])
        sink.degrade(GONE)
        within.clear()
        await asyncio.Event().wait()

    async def main():
        watched = kit.Watched(
            kit.Scripted("a", script), on_change=lambda _: seen.append(list(within))
        )
        watched.supervisor._on_condition = lambda *_: seen.append(list(within))
        async with watched.supervisor:
            await watched.rest()
        assert seen == [[], [], []]

    run_async(main())


# --- Failing sources --------------------------------------------------------------------


def test_a_failing_source_never_removes_blocks_or_stops(run_async, kit):
    """The other is served, its own data stays, and it is back as soon as it answers."""
    bad = kit.Scripted("bad", kit.raising(GONE, CART), kit.raising(ValueError()), kit.listing(CART))
    good = kit.Scripted("good", kit.listing(PAY))

    async def main():
        watched = kit.Watched(bad, good)
        async with watched.supervisor:
            await watched.clock.advance(10.0)
            assert watched.hosts == ["cart.shop", "pay.shop"]
            assert watched.told == [
                ("bad", "SYNCED"),
                ("bad", "STALE"),
                ("good", "SYNCED"),
                ("bad", "FAILED"),
            ]
            good.sink.upsert(CART_2)
            assert len(watched.supervisor.catalog.endpoints("cart.shop")) == 2
            await watched.clock.advance(120.0)
            assert watched.told[-1] == ("bad", "SYNCED")
            assert watched.supervisor.fault is None

    run_async(main())


def test_stale_after_drops_data_and_only_then(run_async, kit):
    """A source that comes back in time loses nothing."""
    one = kit.Scripted("a", kit.listing(CART), stale_after=30.0)

    async def main():
        watched = kit.Watched(one)
        async with watched.supervisor:
            await watched.rest()
            one.sink.degrade(GONE)
            await watched.clock.advance(29.0)
            one.sink.confirm()
            await watched.clock.advance(100.0)
            assert watched.hosts == ["cart.shop"]
            one.sink.degrade(GONE)
            await watched.clock.advance(29.9)
            assert watched.hosts == ["cart.shop"]
            await watched.clock.advance(0.2)
            assert watched.hosts == []
            one.sink.replace([CART])
            assert watched.hosts == ["cart.shop"]

    run_async(main())


def test_a_polling_registry_keeps_the_contract_under_it(run_async, kit):
    """Equal lists confirm, an exception degrades, the next success heals."""
    answers = [[CART], [CART], GONE, [CART, PAY]]

    async def list_all():
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def poll(sink, context):
        await PollingRegistry(list_all, 10.0, context).run(sink)

    async def main():
        watched = kit.Watched(kit.Scripted("a", poll))
        async with watched.supervisor:
            await watched.clock.advance(60.0)
            assert watched.told == [("a", "SYNCED"), ("a", "STALE"), ("a", "SYNCED")]
            assert watched.hosts == ["cart.shop", "pay.shop"]
            assert watched.status().attempts == 1

    run_async(main())


# --- The start gate -----------------------------------------------------------------------


def test_the_start_gate_opens_when_every_source_has_synced(run_async, kit):
    """A source that was STALE again by then has synced all the same."""
    one, two = kit.Scripted("a", kit.raising(GONE, CART)), kit.Scripted("b")

    async def main():
        watched = kit.Watched(one, two)
        async with watched.supervisor:
            await watched.rest()
            opened = asyncio.ensure_future(watched.supervisor.opened())
            await watched.clock.advance(1000.0)
            assert not watched.supervisor.is_open
            assert watched.supervisor.unsynced() == ("b",)
            two.sink.replace([PAY])
            await opened
            assert watched.supervisor.is_open
            assert watched.supervisor.unsynced() == ()
            assert watched.hosts == ["cart.shop", "pay.shop"]

    run_async(main())


def test_sync_timeout_lets_those_pass_that_are_not_required(run_async, kit):
    """The others are still waited for."""
    one = kit.Scripted("a", kit.listing(CART))
    two = kit.Scripted("b", required=False, sync_timeout=3.0)

    async def main():
        watched = kit.Watched(one, two)
        async with watched.supervisor:
            await watched.clock.advance(2.9)
            assert not watched.supervisor.is_open
            assert watched.supervisor.unsynced() == ()
            await watched.clock.advance(0.1)
            await watched.supervisor.opened()

    run_async(main())


def test_declared_parts_hold_the_gate(run_async, kit):
    """`context.parts` names those that must sync; it may be called in a thread."""

    async def script(sink, context):
        await context.in_thread(context.parts, ["east", "west"])
        sink.part("east").replace([CART])
        await context.clock.sleep(5.0)
        sink.part("west").replace([PAY])
        await asyncio.Event().wait()

    async def main():
        watched = kit.Watched(kit.Scripted("a", script))
        async with watched.supervisor:
            await watched.clock.sleeping()
            await watched.rest()
            assert watched.hosts == ["cart.shop"]
            assert watched.supervisor.unsynced() == ("a",)
            await watched.clock.advance(5.0)
            assert watched.supervisor.is_open
            assert [part.name for part in watched.status().parts] == ["east", "west"]

    run_async(main())


def test_without_sources_the_gate_is_open(run_async, kit):
    """There is nobody to wait for."""

    async def main():
        watched = kit.Watched()
        async with watched.supervisor:
            await watched.supervisor.opened()
            assert watched.hosts == []

    run_async(main())


def test_memory_is_synced_from_the_start(run_async, kit):
    """The gate opens although it never lists anything, with what it says before it pauses."""

    async def script(sink, context):
        sink.upsert(CART)
        await asyncio.Event().wait()

    async def main():
        watched = kit.Watched(kit.Scripted("a", script, is_synced_at_start=True))
        async with watched.supervisor:
            await watched.supervisor.opened()
            assert watched.hosts == ["cart.shop"]

    run_async(main())


# --- Reconfiguring ---------------------------------------------------------------------------


def test_reconfiguring_matches_sources_by_id(run_async, kit):
    """Added ones start, removed ones lose their data, equal ones go on undisturbed."""
    one, two, three = (
        kit.Scripted(name, kit.listing(record))
        for name, record in (("a", CART), ("b", PAY), ("c", CART_2))
    )

    async def main():
        watched = kit.Watched(one, two)
        async with watched.supervisor:
            await watched.rest()
            same = evolve(one.source, open=three.open)
            done = watched.supervisor.reconfigure([three.source, same])
            assert (done.added, done.changed, done.removed, done.unchanged) == (
                *(("c",), (), ("b",)),
                ("a",),
            )
            assert watched.hosts == ["cart.shop"]
            await watched.rest()
            assert len(one.sinks) == 1
            assert watched.supervisor.catalog.entries()[0].sources == ("c", "a")
            two.sink.upsert(PAY)
            assert watched.hosts == ["cart.shop"]
            assert [status.id for status in watched.supervisor.statuses()] == ["c", "a"]

    run_async(main())


def test_a_changed_source_keeps_its_data_as_stale_until_its_new_run_lists(run_async, kit):
    """It is restarted once the old run has ended."""
    old = kit.Scripted("a", kit.listing(CART))
    new = kit.Scripted("a", kit.wait, fingerprint="new")

    async def main():
        watched = kit.Watched(old)
        async with watched.supervisor:
            await watched.rest()
            done = watched.supervisor.reconfigure([new.source])
            assert done.changed == ("a",)
            old.sink.replace([])
            await watched.rest()
            assert watched.told == [("a", "SYNCED"), ("a", "STALE")]
            assert watched.hosts == ["cart.shop"]
            assert watched.supervisor.is_open
            old.sink.replace([])
            assert watched.hosts == ["cart.shop"]
            new.sink.replace([PAY])
            assert watched.hosts == ["pay.shop"]

    run_async(main())


def test_a_former_source_declares_nothing(run_async, kit):
    """Its registry may still run in a thread and name its parts."""
    old = kit.Scripted("a", kit.listing(CART))
    new = kit.Scripted("a", kit.listing(CART), fingerprint="new")

    async def main():
        watched = kit.Watched(old)
        async with watched.supervisor:
            await watched.rest()
            watched.supervisor.reconfigure([new.source])
            await watched.rest()
            old.contexts[-1].parts(["east"])
            assert [part.name for part in watched.status().parts] == [""]
            assert watched.status().condition is Condition.SYNCED

    run_async(main())


def test_reordering_changes_precedence_and_restarts_nobody(run_async, kit):
    """The order of the settings is that of the last call."""
    one, two = (
        kit.Scripted(
            name, kit.listing(ServiceRecord.parse("cart.shop", port=80, labels={"of": name}))
        )
        for name in "ab"
    )

    async def main():
        watched = kit.Watched(one, two)
        async with watched.supervisor:
            await watched.rest()
            watched.supervisor.reconfigure([two.source, one.source])
            (service,) = watched.supervisor.catalog.services()
            assert str(service.labels) == "of=b"
            assert (len(one.sinks), len(two.sinks)) == (1, 1)

    run_async(main())


def test_removing_the_source_that_holds_the_gate_opens_it(run_async, kit):
    """Nobody is waited for that is not there."""
    one, two = kit.Scripted("a", kit.listing(CART)), kit.Scripted("b")

    async def main():
        watched = kit.Watched(one, two)
        async with watched.supervisor:
            await watched.rest()
            assert not watched.supervisor.is_open
            watched.supervisor.reconfigure([one.source])
            await watched.supervisor.opened()

    run_async(main())


def test_a_supervisor_may_be_reconfigured_before_it_is_entered(run_async, kit):
    """Only then do sources start."""
    one = kit.Scripted("a", kit.listing(CART))

    async def main():
        watched = kit.Watched()
        watched.supervisor.reconfigure([one.source])
        assert one.sinks == []
        async with watched.supervisor:
            await watched.supervisor.opened()
            assert watched.hosts == ["cart.shop"]

    run_async(main())


def test_two_sources_of_one_id_are_refused(run_async, kit):
    """And nothing has changed then."""
    one = kit.Scripted("a", kit.listing(CART))

    async def main():
        watched = kit.Watched(one)
        async with watched.supervisor:
            await watched.rest()
            with pytest.raises(ValueError, match="two sources have the id 'a'"):
                watched.supervisor.reconfigure([one.source, one.source])
            assert watched.hosts == ["cart.shop"]

    run_async(main())


# --- The end -----------------------------------------------------------------------------------


def test_leaving_cancels_promptly_and_keeps_the_catalog(run_async, kit):
    """The clock need not move; a second time does nothing, and entering again is refused."""
    sources = [kit.Scripted(name, kit.listing(CART), stale_after=9.0) for name in "abc"]
    broken = kit.Scripted("d", kit.raising(GONE), required=False)

    async def main():
        watched = kit.Watched(*sources, broken)
        async with watched.supervisor:
            await watched.rest()
            sources[0].sink.degrade(GONE)
        await watched.supervisor.__aexit__(None, None, None)
        assert watched.hosts == ["cart.shop"]
        with pytest.raises(RuntimeError, match="only once"):
            await watched.supervisor.__aenter__()

    run_async(main())


def test_a_fault_of_the_core_is_raised_by_run_and_seen_by_no_adapter(run_async, kit):
    """Here the policy, which the core is given, is broken."""

    def broken(key):
        raise LookupError(key)

    said = []

    async def script(sink, context):
        sink.replace([CART])
        said.append("went on")
        await asyncio.Event().wait()

    async def main():
        watched = kit.Watched(kit.Scripted("a", script), policy=broken)
        with pytest.raises(LookupError):
            await watched.supervisor.run()
        assert isinstance(watched.supervisor.fault, LookupError)
        assert said == ["went on"]

    run_async(main())


def test_a_listener_that_raises_is_a_fault_of_the_core(run_async, kit):
    """Not of the source whose words it was told of."""

    def broken(is_endpoints_only):
        raise LookupError

    async def main():
        watched = kit.Watched(kit.Scripted("a", kit.listing(CART)), on_change=broken)
        async with watched.supervisor:
            await watched.rest()
            assert isinstance(watched.supervisor.fault, LookupError)
            assert watched.told == [("a", "SYNCED")]

    run_async(main())


def test_the_policy_is_asked_for_each_service(run_async, kit):
    """Its answer decides the merge of that service."""
    one, two = (
        kit.Scripted(
            name, kit.listing(ServiceRecord.parse("cart.shop", port=80, labels={"of": name}))
        )
        for name in "ab"
    )

    async def main():
        watched = kit.Watched(one, two, policy=lambda key: MergePolicy(order=["b"]))
        async with watched.supervisor:
            await watched.rest()
            (service,) = watched.supervisor.catalog.services()
            assert str(service.labels) == "of=b"

    run_async(main())


def test_stages_see_updates_before_the_table(run_async, kit):
    """The seam for the guard against mass loss."""
    seen = []

    def stage(part, held, update, now):
        seen.append((str(part), len(held), type(update).__name__))
        return update

    one = kit.Scripted("a", kit.listing(CART))

    async def main():
        watched = kit.Watched(one, stages=[stage])
        async with watched.supervisor:
            await watched.rest()
            one.sink.upsert(PAY)

    run_async(main())
    assert seen == [("a", 0, "Replace"), ("a", 1, "Upsert")]


def test_an_adjustment_merges_only_what_it_concerns(run_async, kit):
    """It leaves as a change of endpoints, and holds for what is merged later, too."""
    one = kit.Scripted("a", kit.listing(CART, PAY))
    seen = []

    def drain(entry):
        seen.append(str(entry.service.host))
        endpoints = tuple(evolve(one, health=Health.DRAINING) for one in entry.endpoints)
        return evolve(entry, endpoints=endpoints)

    async def main():
        watched = kit.Watched(one)
        async with watched.supervisor:
            await watched.rest()
            watched.changes.clear()
            watched.supervisor.adjust(drain, lambda key: key.host == "cart.shop")
            assert (seen, watched.changes) == (["cart.shop"], [True])
            one.sink.upsert(CART_2)
            await watched.rest()
            (endpoint,) = watched.supervisor.catalog.endpoints("cart.shop")
            assert (endpoint.address, endpoint.health) == ("10.0.0.2", Health.DRAINING)

    run_async(main())


class TestRestored:
    """A supervisor that begins with a snapshot."""

    def test_the_gate_no_longer_insists_on_the_source(self, run_async, kit):
        """But gives it the time to answer that those get which are not required."""
        one = kit.Scripted("a", kit.wait, sync_timeout=5.0)

        async def main():
            watched = kit.Watched(one)
            watched.supervisor.archive.restore(one.source.id, {"": Kept((CART,), 0.0)})
            async with watched.supervisor:
                await watched.clock.advance(4.0)
                assert not watched.supervisor.is_open
                await watched.clock.advance(2.0)
                assert watched.supervisor.is_open
                assert watched.hosts == ["cart.shop"]
                assert watched.told == [("a", "STALE")]
                assert watched.supervisor.unsynced() == ("a",)
                one.sink.replace([PAY])
                await watched.rest()
                assert watched.told[-1] == ("a", "SYNCED")
                assert watched.hosts == ["pay.shop"]

        run_async(main())

    def test_a_source_without_snapshot_is_still_insisted_on(self, run_async, kit):
        """One snapshot says nothing of the others."""
        one, two = kit.Scripted("a", kit.wait), kit.Scripted("b", kit.wait)

        async def main():
            watched = kit.Watched(one, two)
            watched.supervisor.archive.restore(one.source.id, {"": Kept((CART,), 0.0)})
            async with watched.supervisor:
                await watched.clock.advance(1000.0)
                assert not watched.supervisor.is_open

        run_async(main())

    @pytest.mark.parametrize("words", [{"is_shadow": True}, {"sync_timeout": 0.0}])
    def test_one_that_nobody_waits_for_opens_no_gate(self, run_async, kit, words):
        """Those after it are still to be waited for."""
        one, two = kit.Scripted("a", kit.wait, **words), kit.Scripted("b", kit.wait)

        async def main():
            watched = kit.Watched(one, two)
            watched.supervisor.archive.restore(one.source.id, {"": Kept((CART,), 0.0)})
            async with watched.supervisor:
                await watched.clock.advance(1000.0)
                assert not watched.supervisor.is_open

        run_async(main())
