"""Waiting for a pilot: news, faults, the end, and bounds."""

from __future__ import annotations

import asyncio

import pytest

from meshregistry.errors import PilotFailed
from meshregistry.pilot._waiting import Waiting


class News:
    """News that the test tells."""

    def __init__(self):
        self.event = asyncio.Event()

    def tell(self):
        """Wake who waits."""
        self.event.set()
        self.event = asyncio.Event()

    def next(self):
        """As the publisher."""
        return self.event.wait()


@pytest.fixture
def waits(run_async):
    """``waits(steps)``: runs steps with a `Waiting` and its news."""

    def run(steps, *missing):
        async def main():
            news = News()
            await steps(Waiting(news.next, lambda: missing), news)

        run_async(main())

    return run


class TestUntil:
    def test_looks_again_at_each_news(self, waits):
        """And only then."""

        async def steps(waiting, news):
            answers = iter([False, False, True])
            task = asyncio.ensure_future(waiting.until(lambda: next(answers)))
            for _ in range(2):
                await asyncio.sleep(0)
                assert not task.done()
                news.tell()
            await task

        waits(steps)

    def test_a_fault_comes_before_everything(self, waits):
        """Also if what was waited for is so."""

        async def steps(waiting, news):
            assert (True, False) == (
                waiting.fail(ZeroDivisionError("first")),
                waiting.fail(ZeroDivisionError("second")),
            )
            with pytest.raises(PilotFailed, match="first"):
                await waiting.until(lambda: True)

        waits(steps)

    def test_a_fault_meanwhile_is_raised(self, waits):
        """As soon as it is announced."""

        async def steps(waiting, news):
            task = asyncio.ensure_future(waiting.until(lambda: waiting.failed is not None))
            told = asyncio.ensure_future(waiting.until_failed())
            await asyncio.sleep(0)
            waiting.fail(ZeroDivisionError("planted"))
            news.tell()
            with pytest.raises(PilotFailed, match="planted"):
                await task
            assert isinstance(await told, PilotFailed)

        waits(steps)

    def test_the_end_is_told_unless_it_is_what_was_waited_for(self, waits):
        """Nothing more will come."""

        async def steps(waiting, news):
            waiting.is_left = True
            await waiting.until(lambda: waiting.is_left)
            with pytest.raises(RuntimeError, match="nothing more will come"):
                await waiting.until(lambda: False)

        waits(steps)


class TestWithin:
    def test_the_bound_names_what_is_missing(self, waits):
        """What, how long, and which sources."""

        async def steps(waiting, news):
            with pytest.raises(TimeoutError) as caught:
                async with waiting.within(0.001, "the catalog"):
                    await waiting.until(lambda: False)
            assert str(caught.value).startswith(
                "the catalog did not come within 0.001 s; not synced: a, b;"
            )

        waits(steps, "a", "b")

    def test_another_timeout_is_not_ours(self, waits):
        """It passes unchanged."""

        async def steps(waiting, news):
            with pytest.raises(TimeoutError, match="of somebody else"):
                async with waiting.within(5, "the catalog"):
                    raise TimeoutError("of somebody else")

        waits(steps)
