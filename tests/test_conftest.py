"""The shared runner notices what asyncio code leaves behind."""

from __future__ import annotations

import asyncio

import pytest


def test_the_result_of_the_coroutine_is_returned(run_async):
    """A coroutine's value comes back to the synchronous test."""

    async def answer() -> int:
        await asyncio.sleep(0)
        return 42

    assert run_async(answer()) == 42


def test_a_leaked_task_fails(run_async):
    """A task that still runs when the coroutine has ended is reported by name."""

    async def forget() -> None:
        forget.task = asyncio.create_task(asyncio.Event().wait(), name="forgotten")

    with pytest.raises(pytest.fail.Exception, match="forgotten"):
        run_async(forget())


def test_a_task_that_is_ending_does_not_fail(run_async):
    """A cancelled task that needs a turn of the loop to end is no leak."""

    async def cancel() -> None:
        asyncio.create_task(asyncio.Event().wait()).cancel()

    assert run_async(cancel()) is None


def test_an_error_that_nobody_retrieved_fails(run_async):
    """The exception of a task that was dropped is reported."""

    async def drop() -> None:
        async def fail() -> None:
            raise RuntimeError("lost")

        task = asyncio.create_task(fail())
        await asyncio.sleep(0)
        del task

    with pytest.raises(pytest.fail.Exception, match="lost"):
        run_async(drop())


def test_a_hang_ends_in_a_timeout(run_async):
    """A coroutine that never ends is given up after the timeout."""
    with pytest.raises(TimeoutError):
        run_async(asyncio.Event().wait(), timeout=0.01)
