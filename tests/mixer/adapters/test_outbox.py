"""What waits to be sent: batches, bounds, failures, the end."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from meshregistry.mixer.adapters._outbox import Outbox, Refused, Unavailable


class Server:
    """Takes batches, or fails as it is told."""

    def __init__(self):
        self.got = []
        self.error = None

    async def take(self, batch):
        if self.error is not None:
            raise self.error
        self.got.append(batch)


@pytest.fixture
def box(adapters):
    """Makes a started outbox; gives it, its server and its context."""

    @asynccontextmanager
    async def make(**words):
        _, context = adapters.open("stdio")
        server = Server()
        sizes = {"capacity": 10, "batch": 3, "interval": 1.0, "timeout": 5.0}
        outbox = Outbox(context, server.take, **{**sizes, **words})
        await outbox.start()
        try:
            yield outbox, server, context
        finally:
            await outbox.close()

    return make


def test_a_batch_leaves_when_it_is_full_or_old(box, run_async):
    """The first ones wait for others, for a time."""

    async def main():
        async with box() as (outbox, server, context):
            for number in range(4):
                outbox.put(number)
            await context.clock.advance(0.9)
            assert [[0, 1, 2]] == server.got
            await context.clock.advance(0.1)
            assert [[0, 1, 2], [3]] == server.got
            assert {"sent": 4} == context.counts

    run_async(main())


def test_a_batch_has_a_weight(box, run_async):
    """It is not exceeded, unless by one alone."""

    async def main():
        async with box(batch=10, max_weight=5, weigh=len) as (outbox, server, context):
            for text in ("aa", "bb", "cc", "dddddd", "e"):
                outbox.put(text)
            await context.clock.advance(1.0)
            assert [["aa", "bb"], ["cc"], ["dddddd"], ["e"]] == server.got

    run_async(main())


def test_what_does_not_fit_is_dropped(box, run_async):
    """The call does not wait, and the older ones stay."""

    async def main():
        async with box(capacity=2, batch=2) as (outbox, server, context):
            for number in range(5):
                outbox.put(number)
            assert {"dropped": 3} == context.counts
        assert [[0, 1]] == server.got

    run_async(main())


@pytest.mark.parametrize("error", [Unavailable("later"), OSError("refused"), TimeoutError()])
def test_what_could_not_be_sent_is_sent_again(box, run_async, error, caplog):
    """More and more slowly, and told once; then all of it arrives in order."""

    async def main():
        async with box() as (outbox, server, context):
            server.error = error
            for number in range(5):
                outbox.put(number)
            await context.clock.advance(3.0)
            attempts = context.counts["send_errors"]
            assert 2 <= attempts <= 4
            await context.clock.advance(60.0)
            assert attempts + 2 <= context.counts["send_errors"] <= attempts + 7
            server.error = None
            await context.clock.advance(31.0)
            assert [[0, 1, 2], [3, 4]] == server.got
            assert 5 == context.counts["sent"]

    run_async(main())
    assert 1 == sum("is kept" in one.message for one in caplog.records)


@pytest.mark.parametrize("error", [Refused("malformed"), ZeroDivisionError()])
def test_what_is_refused_is_dropped(box, run_async, error):
    """It holds up nothing."""

    async def main():
        async with box() as (outbox, server, context):
            server.error = error
            outbox.put(1)
            await context.clock.advance(1.0)
            server.error = None
            outbox.put(2)
            await context.clock.advance(1.0)
            assert [[2]] == server.got
            assert {"refused": 1, "sent": 1} == context.counts

    run_async(main())


def test_closing_sends_what_waits(box, run_async):
    """In batches, at once."""

    async def main():
        async with box() as (outbox, server, _):
            for number in range(5):
                outbox.put(number)
        assert [[0, 1, 2], [3, 4]] == server.got

    run_async(main())


@pytest.mark.parametrize("was_failing", [False, True])
def test_closing_does_not_wait_for_a_dead_server(box, run_async, was_failing):
    """One more attempt, also in the pause after a failure; the rest is counted."""

    async def main():
        async with box() as (outbox, server, context):
            server.error = Unavailable("gone")
            for number in range(5):
                outbox.put(number)
            if was_failing:
                await context.clock.advance(0.0)
                assert 1 == context.counts["send_errors"]
        assert 5 == context.counts["dropped"]
        assert [] == server.got

    run_async(main())


def test_a_server_that_hangs_is_left(box, run_async):
    """After the timeout, also when the handler closes."""

    async def main():
        async with box(timeout=0.05) as (outbox, _, context):

            async def hang(_):
                await asyncio.Event().wait()

            outbox._send = hang
            outbox.put(1)
        assert 1 == context.counts["dropped"]

    run_async(main())
