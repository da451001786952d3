"""PollingRegistry: a function that lists everything, as a registry that keeps the contract."""

from __future__ import annotations

import asyncio
import threading
from random import Random

import pytest

from meshregistry.errors import (
    RecordError,
    RegistryAuthError,
    RegistryProtocolError,
    RegistryUnavailable,
)
from meshregistry.model import ServiceRecord
from meshregistry.spi import PollingRegistry
from meshregistry.testing import ManualClock, RecordingSink, SinkCall, context

WEB = ServiceRecord.parse("web.shop", port=80, endpoints=["10.0.0.1:80"])
DB = ServiceRecord.parse("db.shop", port=5432, protocol="TCP", endpoints=["10.0.0.2:5432"])


class Middle(Random):
    """Randomness that always says the middle, so that an interval is exact."""

    def uniform(self, a, b):
        return (a + b) / 2


class Rig:
    """A polling registry of a script of answers: each is a list, or an exception to raise."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.sink = RecordingSink()
        self.clock = ManualClock()
        self.context = context(clock=self.clock, random=Middle())
        self.registry = PollingRegistry(self.list_all, 10, self.context)

    async def list_all(self):
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def play(self):
        """Run through all the answers, one interval apart, then cancel."""
        rounds = len(self.answers)
        task = asyncio.create_task(self.registry.run(self.sink))
        await self.clock.advance((rounds - 1) * 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return self.sink.calls


def test_the_first_listing_is_a_replace(run_async):
    """What is listed first is published whole, sorted by key."""
    assert (SinkCall("replace", (DB, WEB)),) == run_async(Rig([WEB, DB]).play())


def test_an_empty_listing_is_a_statement(run_async):
    """Nothing listed is published as nothing."""
    assert (SinkCall("replace", ()),) == run_async(Rig([]).play())


def test_equal_lists_are_a_confirm(run_async):
    """The same records again, in whatever order, are confirmed and not published."""
    rig = Rig([WEB, DB], [DB, WEB], [WEB])
    run_async(rig.play())
    assert ("replace", "confirm", "replace") == rig.sink.methods
    assert {"web.shop": WEB} == rig.sink.records()


def test_a_generator_is_a_listing(run_async):
    """Any iterable will do."""
    assert (SinkCall("replace", (WEB,)),) == run_async(Rig(record for record in [WEB]).play())


@pytest.mark.parametrize(
    ("raised", "kind", "text"),
    [
        (RegistryAuthError("no token"), RegistryAuthError, "no token"),
        (OSError("no route"), RegistryUnavailable, "the listing failed: OSError: no route"),
        (RecordError("bad", key="web"), RegistryProtocolError, "beside the good records"),
    ],
)
def test_an_exception_degrades_and_keeps_the_data(run_async, raised, kind, text):
    """A failed listing changes the condition and never the data; its success again is told."""
    rig = Rig([WEB], raised, [WEB])
    calls = run_async(rig.play())
    assert ("replace", "degrade", "confirm") == rig.sink.methods
    assert kind is type(calls[1].value)
    assert text in str(calls[1].value)


@pytest.mark.parametrize(
    ("raised", "kind"),
    [(RegistryAuthError("no token"), RegistryAuthError), (OSError("no"), RegistryUnavailable)],
)
def test_a_failure_before_the_first_success_ends_the_attempt(run_async, raised, kind):
    """The core is to retry with back-off, so the error is raised and nothing is published."""
    rig = Rig(raised)
    with pytest.raises(kind):
        run_async(rig.registry.run(rig.sink))
    assert () == rig.sink.calls


def test_faulty_records_are_named_and_the_others_published(run_async):
    """A RecordError in the listing is passed on as faulty (contracts, section 2)."""
    bad = RecordError("no port", key="db.shop")
    rig = Rig([WEB, DB], [WEB, bad], [WEB, RecordError("no port", key="db.shop")], [WEB])
    calls = run_async(rig.play())
    assert ("replace", "replace", "confirm", "replace") == rig.sink.methods
    assert (bad,) == calls[1].faulty
    assert {"web.shop": WEB} == rig.sink.records()


def test_a_strange_item_fails_the_listing(run_async):
    """An item that is no record removes nothing: the whole listing counts as failed."""
    rig = Rig([WEB], [{"host": "web.shop"}])
    calls = run_async(rig.play())
    assert ("replace", "degrade") == rig.sink.methods
    assert isinstance(calls[1].value, RegistryProtocolError)
    assert {"web.shop": WEB} == rig.sink.records()


def test_the_interval_is_spread_by_a_tenth(run_async):
    """Replicas that start together drift apart: no wait is off by more than a tenth."""

    async def waits():
        clock = ManualClock()
        rig = context(clock=clock, random=Random(7))
        registry = PollingRegistry(lambda: asyncio.sleep(0, []), 10, rig)
        task = asyncio.create_task(registry.run(RecordingSink()))
        found = []
        for _ in range(20):
            await clock.sleeping()
            (deadline,) = clock.deadlines
            found.append(deadline - clock.now())
            await clock.advance(found[-1])
        task.cancel()
        return found

    found = run_async(waits())
    assert all(9 <= wait <= 11 for wait in found)
    assert 20 == len(set(found))


@pytest.mark.parametrize("lazy", [False, True])
def test_a_blocking_function_runs_in_a_thread_of_the_source(run_async, lazy):
    """A plain function, and the generator that it may return, never run on the loop."""
    threads = []

    def list_all():
        threads.append(threading.current_thread())
        return generator() if lazy else [WEB]

    def generator():
        threads.append(threading.current_thread())
        yield WEB

    async def main():
        sink = RecordingSink()
        registry = PollingRegistry(list_all, 10, context(source_id="dc1"))
        task = asyncio.create_task(registry.run(sink))
        await sink.wait_for(lambda sink: sink.calls)
        task.cancel()
        return sink.calls

    assert (SinkCall("replace", (WEB,)),) == run_async(main())
    assert (2 if lazy else 1) == len(threads)
    assert {"dc1-thread"} == {thread.name for thread in threads}


def test_a_function_that_returns_an_awaitable_is_awaited(run_async):
    """A lambda around a coroutine works like a coroutine function."""

    async def main():
        async def listing():
            return [WEB]

        sink = RecordingSink()
        task = asyncio.create_task(PollingRegistry(lambda: listing(), 10, context()).run(sink))  # noqa: PLW0108 - what users write
        await sink.wait_for(lambda sink: sink.calls)
        task.cancel()
        return sink.calls

    assert (SinkCall("replace", (WEB,)),) == run_async(main())


@pytest.mark.parametrize("blocking", [False, True])
def test_cancelling_ends_it_at_once(run_async, blocking):
    """A registry that is in the middle of a listing ends when it is cancelled."""

    async def main():
        hold = threading.Event()
        begun = asyncio.Event()
        loop = asyncio.get_running_loop()

        def block():
            loop.call_soon_threadsafe(begun.set)
            hold.wait(5)
            return [WEB]

        async def wait():
            begun.set()
            await asyncio.Event().wait()

        sink = RecordingSink()
        registry = PollingRegistry(block if blocking else wait, 10, context())
        task = asyncio.create_task(registry.run(sink))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        hold.set()
        return sink.calls

    assert () == run_async(main())
