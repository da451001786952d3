"""The sink of one run: threads, copies, and silence after the end (contracts, section 2)."""

from __future__ import annotations

import threading

import pytest

from meshregistry.aggregate._inbox import Inbox
from meshregistry.aggregate._sink import Run, RunSink
from meshregistry.aggregate._updates import (
    Confirm,
    Degrade,
    Fault,
    Open,
    PartId,
    Remove,
    Replace,
    Upsert,
)
from meshregistry.errors import RecordError, RegistryUnavailable
from meshregistry.model import RecordKey, ServiceRecord, SourceId

CART = ServiceRecord.parse("cart.shop", port=80)
GONE = RegistryUnavailable("gone")
ROOT = PartId(SourceId("dc"))

CALLS = {
    "replace": lambda sink: sink.replace([CART]),
    "upsert": lambda sink: sink.upsert(CART),
    "remove": lambda sink: sink.remove(CART.key),
    "confirm": lambda sink: sink.confirm(),
    "degrade": lambda sink: sink.degrade(GONE),
    "part": lambda sink: sink.part("east"),
}


class Received:
    """A run whose messages are kept."""

    def __init__(self):
        self.inbox = Inbox(self.fail)
        self.messages = []
        self.ignored = 0
        self.run = Run(SourceId("dc"), self.inbox, self.receive, self.ignore)
        self.sink = RunSink(self.run)

    def receive(self, part, message):
        self.messages.append((part, message))

    def ignore(self):
        self.ignored += 1

    def fail(self, error):
        raise error


@pytest.fixture
def received():
    """A run whose inbox is not open yet."""
    return Received()


def test_every_call_becomes_a_message(run_async, received):
    """From the loop's own thread at once."""

    async def main():
        received.inbox.open()
        for call in CALLS.values():
            call(received.sink)

    run_async(main())
    assert received.messages == [
        (ROOT, Replace((CART,))),
        (ROOT, Upsert(CART)),
        (ROOT, Remove(CART.key)),
        (ROOT, Confirm()),
        (ROOT, Degrade(GONE)),
        (PartId(SourceId("dc"), "east"), Open()),
    ]


def test_an_error_learns_its_source(run_async, received):
    """The core adds it, unless the adapter knew better."""
    ours, theirs = RegistryUnavailable("gone"), RegistryUnavailable("gone", source="dc/east")

    async def main():
        received.inbox.open()
        received.sink.degrade(ours)
        received.sink.degrade(theirs)

    run_async(main())
    assert (ours.source, theirs.source) == ("dc", "dc/east")


def test_a_part_is_a_sink_of_its_own(run_async, received):
    """Its calls carry its name."""

    async def main():
        received.inbox.open()
        received.sink.part("east").upsert(CART)

    run_async(main())
    assert received.messages[-1] == (PartId(SourceId("dc"), "east"), Upsert(CART))


def test_threads(run_async, received):
    """Every method may be called from any thread; calls of one thread keep their order."""

    async def main():
        received.inbox.open()

        def work(name):
            for number in range(20):
                received.sink.remove(RecordKey(f"{name}{number}"))

        threads = [threading.Thread(target=work, args=[name]) for name in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        received.inbox.drain()

    run_async(main())
    keys = [message.key for _, message in received.messages]
    for name in "ab":
        assert [key for key in keys if key.startswith(name)] == [f"{name}{n}" for n in range(20)]


def test_replace_consumes_its_iterable_in_the_callers_thread(run_async, received):
    """Before anything changes; what it made of errors is a copy."""
    where = []

    def listing():
        where.append(threading.get_ident())
        yield CART

    async def main():
        received.inbox.open()
        thread = threading.Thread(
            target=lambda: received.sink.replace(listing(), faulty=[RecordError("bad", key="pay")])
        )
        thread.start()
        name = thread.ident
        thread.join()
        assert where == [name]
        received.inbox.drain()

    run_async(main())
    assert received.messages == [(ROOT, Replace((CART,), (Fault(RecordKey("pay"), "bad"),)))]


def test_a_replace_that_raises_changes_nothing(run_async, received):
    """The error goes to the caller."""

    def broken():
        yield CART
        raise GONE

    async def main():
        received.inbox.open()
        with pytest.raises(RegistryUnavailable):
            received.sink.replace(broken())

    run_async(main())
    assert received.messages == []


def test_the_sink_copies_what_it_is_given(run_async, received):
    """A list that the caller changes afterwards is not looked at again."""

    async def main():
        received.inbox.open()
        listing = [CART]
        thread = threading.Thread(target=lambda: received.sink.replace(listing))
        thread.start()
        thread.join()
        listing.clear()
        received.inbox.drain()

    run_async(main())
    assert received.messages == [(ROOT, Replace((CART,)))]


@pytest.mark.parametrize(
    "call",
    [
        lambda sink: sink.replace(["cart"]),
        lambda sink: sink.upsert("cart"),
        lambda sink: sink.remove(CART),
        lambda sink: sink.degrade(ValueError("x")),
    ],
)
def test_other_things_are_refused(run_async, received, call):
    """An adapter's mistake is told to the adapter."""

    async def main():
        received.inbox.open()
        with pytest.raises(TypeError, match="is not a"):
            call(received.sink)

    run_async(main())
    assert received.messages == []


@pytest.mark.parametrize("name", CALLS)
def test_after_the_run_has_ended_every_method_is_a_counted_no_op(run_async, received, name):
    """Not even an iterable is consumed."""

    async def main():
        received.inbox.open()
        received.run.end()
        CALLS[name](received.sink)

    run_async(main())
    assert received.messages == []
    assert received.ignored == 1


@pytest.mark.parametrize("name", CALLS)
def test_after_the_loop_has_closed_nothing_is_raised(run_async, received, name):
    """Also if the run was never told that it has ended."""

    async def main():
        received.inbox.open()

    run_async(main())
    CALLS[name](received.sink)
    assert received.messages == []
    assert received.ignored == 1


def test_what_was_said_before_the_end_counts(run_async, received):
    """And what was on its way when the run ended in another thread does not."""

    async def main():
        received.inbox.open()
        thread = threading.Thread(target=lambda: received.sink.upsert(CART))
        thread.start()
        thread.join()
        received.run.end()
        received.inbox.post(lambda: received.run._deliver("", Confirm()))

    run_async(main())
    assert received.messages == [(ROOT, Upsert(CART))]
    assert received.ignored == 1


def test_an_ended_run_does_not_consume_a_listing(run_async, received):
    """The backend is not asked for nothing."""
    asked = []

    def listing():
        asked.append(1)
        yield CART

    async def main():
        received.inbox.open()
        received.run.end()
        received.sink.replace(listing())

    run_async(main())
    assert asked == []
