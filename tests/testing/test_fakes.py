"""The fakes for tests of adapters: clock, sink, context."""

from __future__ import annotations

import asyncio
import threading

import pytest

from meshregistry.errors import RecordError, RegistryUnavailable
from meshregistry.model import ServiceRecord
from meshregistry.testing import ManualClock, RecordingSink, SinkCall, context

WEB = ServiceRecord.parse("web.shop", port=80)
DB = ServiceRecord.parse("db.shop", port=5432, protocol="TCP")


def test_the_clock_stands_still():
    """Time passes only when it is told to."""
    clock = ManualClock(start=100.0)
    assert 100.0 == clock.now() == clock.now()


def test_sleepers_wake_at_their_own_moments_in_order(run_async):
    """One advance wakes each sleeper with the clock at its deadline."""

    async def main():
        clock, woken = ManualClock(), []

        async def nap(seconds):
            await clock.sleep(seconds)
            woken.append((seconds, clock.now()))

        tasks = [asyncio.create_task(nap(seconds)) for seconds in (3, 1, 2, 1, 9)]
        await clock.advance(5)
        assert (9.0,) == clock.deadlines
        tasks.pop().cancel()
        await asyncio.gather(*tasks)
        assert () == clock.deadlines
        return woken, clock.now()

    woken, now = run_async(main())
    assert [(1, 1.0), (1, 1.0), (2, 2.0), (3, 3.0)] == woken
    assert 5.0 == now


def test_a_loop_that_sleeps_again_is_woken_again(run_async):
    """A poller runs as often in one advance as it would have in real time."""

    async def main():
        clock, rounds = ManualClock(), []

        async def poll():
            while True:
                rounds.append(clock.now())
                await clock.sleep(10)

        task = asyncio.create_task(poll())
        await clock.advance(35)
        task.cancel()
        return rounds

    assert [0.0, 10.0, 20.0, 30.0] == run_async(main())


def test_a_cancelled_sleeper_is_not_woken(run_async):
    """Cancelling a sleeper is not disturbed by the clock."""

    async def main():
        clock = ManualClock()
        task = asyncio.create_task(clock.sleep(1))
        await clock.sleeping()
        task.cancel()
        await clock.advance(2)
        return task.cancelled()

    assert run_async(main())


@pytest.mark.parametrize("seconds", [0, -1])
def test_sleeping_for_nothing_only_gives_way(run_async, seconds):
    """A sleep of no length ends without an advance."""
    run_async(ManualClock().sleep(seconds))


def test_the_clock_never_goes_back(run_async):
    """A negative span is refused."""
    with pytest.raises(ValueError, match="never goes back"):
        run_async(ManualClock().advance(-1))


def test_waiting_for_sleepers_is_bounded(run_async):
    """If nobody comes to sleep, the wait ends in a TimeoutError."""
    with pytest.raises(TimeoutError):
        run_async(ManualClock().sleeping(timeout=0.01))


def test_waiting_for_sleepers_ends_when_they_sleep(run_async):
    """The wait ends when as many sleep as were asked for."""

    async def main():
        clock = ManualClock()
        tasks = [asyncio.create_task(clock.sleep(seconds)) for seconds in (1, 2)]
        await clock.sleeping(2)
        deadlines = clock.deadlines
        await clock.advance(2)
        await asyncio.gather(*tasks)
        return deadlines

    assert (1.0, 2.0) == run_async(main())


def test_the_sink_remembers_every_call():
    """Calls of a sink and its parts are kept in order, with what was given."""
    sink = RecordingSink()
    fault, down = RecordError("bad", key="db.shop"), RegistryUnavailable("down")
    sink.replace(iter([WEB]), faulty=iter([fault]))
    sink.part("dc2").upsert(DB)
    sink.remove("web.shop")
    sink.confirm()
    sink.degrade(down)
    assert (
        SinkCall("replace", (WEB,), faulty=(fault,)),
        SinkCall("upsert", DB, part="dc2"),
        SinkCall("remove", "web.shop"),
        SinkCall("confirm"),
        SinkCall("degrade", down),
    ) == sink.calls
    assert sink.calls == sink.part("dc3").calls


def test_the_sink_holds_changes_until_the_first_replace():
    """What comes before the first `replace` is applied on top of it, as the core does."""
    sink = RecordingSink()
    sink.upsert(WEB)
    assert {} == sink.records()
    sink.replace([DB])
    assert {"web.shop": WEB, "db.shop": DB} == sink.records()
    sink.remove("db.shop")
    sink.remove("unknown")
    assert {"web.shop": WEB} == sink.records()
    sink.replace([])
    assert {} == sink.records()


def test_the_sink_keeps_what_is_named_faulty():
    """A faulty key keeps its last good record, and a fault without a key keeps them all."""
    sink = RecordingSink()
    sink.replace([WEB, DB])
    sink.replace([], faulty=[RecordError("bad", key="db.shop")])
    assert {"db.shop": DB} == sink.records()
    sink.replace([WEB], faulty=[RecordError("bad")])
    assert {"db.shop": DB, "web.shop": WEB} == sink.records()


def test_the_parts_of_a_sink_are_apart():
    """Each part has records of its own."""
    sink = RecordingSink()
    sink.part("dc1").replace([WEB])
    sink.part("dc2").replace([DB])
    assert ({}, {"web.shop": WEB}, {"db.shop": DB}) == tuple(
        sink.records(part) for part in ("", "dc1", "dc2")
    )


def test_the_sink_can_be_waited_for_from_another_thread(run_async):
    """A call from a thread wakes the loop that waits for it."""

    async def main():
        sink = RecordingSink()
        thread = threading.Thread(target=sink.replace, args=([WEB],))
        waiting = asyncio.create_task(sink.wait_for(lambda sink: "web.shop" in sink.records()))
        await asyncio.sleep(0)
        thread.start()
        await waiting
        thread.join()
        await sink.wait_for(lambda sink: sink.calls)
        return sink.methods

    assert ("replace",) == run_async(main())


def test_waiting_for_a_sink_is_bounded_and_says_what_came(run_async):
    """The timeout names the calls that there were."""
    sink = RecordingSink()
    sink.confirm()
    with pytest.raises(TimeoutError, match="confirm"):
        run_async(sink.wait_for(lambda sink: False, timeout=0.01))


def test_a_context_has_defaults_and_takes_overrides(tmp_path):
    """Every attribute can be set, and one that does not exist is an error."""
    plain, other = context(), context(source_id="dc1", base_path=tmp_path)
    assert ("test", "mesh.local") == (plain.source_id, plain.mesh_domain)
    assert ("dc1", tmp_path) == (other.source_id, other.base_path)
    assert {"source": "dc1"} == other.logger.extra
    assert plain.random.random() == other.random.random()
    with pytest.raises(TypeError):
        context(sourceid="dc1")


def test_a_context_remembers_counts_and_parts():
    """What an adapter tells its context can be asserted."""
    given = context()
    given.count("requests")
    given.count("requests", 2)
    given.parts(["dc1"])
    given.parts(["dc2", "dc1"])
    assert {"requests": 3} == given.counts
    assert ["dc2", "dc1"] == given.declared


def test_blocking_work_runs_in_a_daemon_thread(run_async):
    """The result, or the exception, of a call in a thread comes back to the loop."""

    def work(word, *, fail=False):
        if fail:
            raise OSError(word)
        return word, threading.current_thread().daemon

    async def main():
        given = context()
        answer = await given.in_thread(work, "done")
        with pytest.raises(OSError, match="broken"):
            await given.in_thread(work, "broken", fail=True)
        return answer

    assert ("done", True) == run_async(main())


@pytest.mark.parametrize("fail", [False, True])
def test_an_answer_after_the_wait_was_cancelled_is_dropped(run_async, fail):
    """The loop goes on when a thread answers somebody who has left."""

    async def main():
        hold, begun, threads = threading.Event(), asyncio.Event(), []
        loop = asyncio.get_running_loop()

        def work():
            threads.append(threading.current_thread())
            loop.call_soon_threadsafe(begun.set)
            hold.wait(5)
            if fail:
                raise OSError

        answer = context().in_thread(work)
        answer.cancel()
        await begun.wait()
        hold.set()
        threads[0].join(5)
        await asyncio.sleep(0)
        return answer.cancelled()

    assert run_async(main())


def test_an_answer_after_the_loop_was_closed_is_dropped(run_async):
    """A thread that outlives the loop ends in peace; pytest would report its exception."""
    hold, threads = threading.Event(), []

    async def main():
        begun, loop = asyncio.Event(), asyncio.get_running_loop()

        def work():
            threads.append(threading.current_thread())
            loop.call_soon_threadsafe(begun.set)
            hold.wait(5)

        context().in_thread(work)
        await begun.wait()

    run_async(main())
    hold.set()
    threads[0].join(5)
    assert not threads[0].is_alive()
