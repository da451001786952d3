"""An event loop in a thread of its own runs coroutines for other threads."""

from __future__ import annotations

import asyncio
import threading

import pytest

from meshregistry.loop_thread import LoopLeft, LoopThread


@pytest.fixture
def loop():
    """One that runs."""
    made = LoopThread("the test", "loop of a test")
    made.start()
    yield made
    made.stop()
    assert "loop of a test" not in {one.name for one in threading.enumerate()}


async def name_of_thread():
    """Where it runs."""
    return threading.current_thread().name


def test_results_come_back(loop):
    """From the loop's thread to the caller's."""
    assert "loop of a test" == loop.run(name_of_thread())


def test_errors_come_back(loop):
    """As they are."""

    async def fail():
        raise LookupError("as it is")

    with pytest.raises(LookupError, match="as it is"):
        loop.run(fail())


def test_what_takes_too_long_is_cancelled(loop):
    """Nobody waits for it any more."""
    ended = threading.Event()

    async def wait():
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(TimeoutError):
        loop.run(wait(), 0.01)
    assert ended.wait(5)


def test_calls_that_nobody_waits_for_are_made_in_order(loop):
    """And before what is run after them."""
    made = []
    loop.call_soon(made.append, 1)
    loop.call_soon(made.append, 2)
    loop.run(name_of_thread())
    assert [1, 2] == made


def test_one_that_does_not_run_says_how_it_would():
    """Neither before nor after; stopping it again is harmless."""
    loop = LoopThread("the test", "loop of a test")
    for _ in range(2):
        assert not loop.is_running
        with pytest.raises(LoopLeft, match="the test is not running; use it within `with`"):
            loop.run(name_of_thread())
        with pytest.raises(LoopLeft, match="the test is not running"):
            loop.call_soon(print)
        loop.start()
        assert loop.is_running
        loop.stop()
        loop.stop()


def test_stopping_ends_calls_of_other_threads(loop):
    """With an error that says why."""
    waiting, told = threading.Event(), []

    async def wait():
        waiting.set()
        await asyncio.Event().wait()

    def work():
        try:
            loop.run(wait())
        except LoopLeft as error:
            told.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    assert waiting.wait(5)
    loop.stop()
    thread.join(5)
    assert ["the test was left while this call was waiting"] == told
