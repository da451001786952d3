"""run_async notices what asyncio code leaves behind."""

from __future__ import annotations

import asyncio
import gc

import pytest

from meshregistry.testing import run_async


async def fail():
    """What nobody looks at."""
    raise RuntimeError("lost")


def test_the_result_of_the_coroutine_is_returned():
    """A coroutine's value comes back to the synchronous test."""

    async def answer() -> int:
        await asyncio.sleep(0)
        return 42

    assert run_async(answer()) == 42


def test_a_leaked_task_fails():
    """A task that still runs when the coroutine has ended is reported by name."""

    async def forget() -> None:
        forget.task = asyncio.create_task(asyncio.Event().wait(), name="forgotten")

    with pytest.raises(AssertionError, match="forgotten"):
        run_async(forget())


def test_a_task_that_is_ending_does_not_fail():
    """A cancelled task that needs a turn of the loop to end is no leak."""

    async def cancel() -> None:
        asyncio.create_task(asyncio.Event().wait()).cancel()

    assert run_async(cancel()) is None


def test_a_task_that_needs_time_is_given_only_what_the_caller_allows():
    """None, unless told otherwise."""

    async def linger() -> None:
        linger.task = asyncio.create_task(asyncio.sleep(0.02), name="lingering")

    with pytest.raises(AssertionError, match="lingering"):
        run_async(linger())
    assert run_async(linger(), grace=10.0) is None
    with pytest.raises(AssertionError, match="lingering"):
        run_async(linger(), grace=0.001)


def test_what_grpc_hands_on_for_an_earlier_loop_does_not_fail():
    """It has one queue for all loops, and whoever turns finds what a closed one waited for."""
    message = "Exception in callback PollerCompletionQueue._handle_events(<_UnixSelector>)()"
    closed = RuntimeError("Event loop is closed")

    async def meet(message: str, error: Exception) -> None:
        said = {"message": message, "exception": error}
        asyncio.get_running_loop().call_exception_handler(said)

    assert run_async(meet(message, closed)) is None
    for other in (("Exception in callback mine()", closed), (message, ValueError("mine"))):
        with pytest.raises(AssertionError, match="mine"):
            run_async(meet(*other))


def test_an_error_that_nobody_retrieved_fails():
    """The exception of a task that was dropped is reported, with what the loop says of it."""

    async def drop() -> None:
        task = asyncio.create_task(fail())
        await asyncio.sleep(0)
        del task

    with pytest.raises(AssertionError, match=r"never retrieved: RuntimeError\('lost'\)"):
        run_async(drop())


def test_an_error_of_a_callback_fails():
    """Nobody can await a callback."""

    async def call() -> None:
        asyncio.get_running_loop().call_soon([].pop)
        await asyncio.sleep(0)

    with pytest.raises(AssertionError, match="pop from empty list"):
        run_async(call())


def test_an_error_of_the_coroutine_itself_is_what_is_raised():
    """Whatever else went wrong may only follow from it."""

    async def drop_and_fail() -> None:
        task = asyncio.create_task(fail())
        await asyncio.sleep(0)
        del task
        raise LookupError("first")

    with pytest.raises(LookupError, match="first"):
        run_async(drop_and_fail())


def test_what_comes_too_late_to_fail_is_logged(caplog):
    """An error whose task goes when the loop has ended is not lost."""
    kept = []

    async def keep() -> None:
        kept.append(asyncio.create_task(fail()))
        await asyncio.sleep(0)

    run_async(keep())
    kept.clear()
    gc.collect()
    assert ["Task exception was never retrieved"] == [
        one.getMessage().splitlines()[0] for one in caplog.records
    ]


def test_a_hang_ends_in_a_timeout():
    """A coroutine that never ends is given up after the timeout."""
    with pytest.raises(TimeoutError):
        run_async(asyncio.Event().wait(), timeout=0.01)
