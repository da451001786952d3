"""What all tests share: a runner for asyncio code that leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Coroutine

_T = TypeVar("_T")

# Laws are searched with new examples at the desk and with the same ones in CI; a busy machine
# is slow, not wrong.
settings.register_profile("meshregistry", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("meshregistry")


class RunAsync(Protocol):
    """Runs a coroutine to its end on a loop of its own and returns its result."""

    def __call__(self, main: Coroutine[Any, Any, _T], *, timeout: float = 30.0) -> _T: ...


# A transport or a cancelled task needs some turns of the loop to end after the call that
# ended it; whatever needs time or an event is a leak. Only the tasks of grpc.aio itself end
# when its polling thread says so, which no number of turns can hurry.
_TURNS = 10
_GRPC = "/grpc/"
_PATIENCE = 5.0


def _others() -> set[asyncio.Task[Any]]:
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


async def _leave_nothing(main: Coroutine[Any, Any, _T], seconds: float) -> _T:
    loop = asyncio.get_running_loop()
    unhandled: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: unhandled.append(context))
    async with asyncio.timeout(seconds):
        result = await main
    polled = {task for task in _others() if _GRPC in repr(task)}
    if polled:
        await asyncio.wait(polled, timeout=_PATIENCE)
    for _ in range(_TURNS):
        leaked = _others()
        if not leaked:
            break
        await asyncio.sleep(0)
    else:
        pytest.fail(f"tasks left behind: {sorted(map(repr, leaked))}")
    if unhandled:
        pytest.fail(f"the loop met errors that nobody handled: {unhandled}")
    return result


def _run(main: Coroutine[Any, Any, _T], *, timeout: float = 30.0) -> _T:
    with asyncio.Runner() as runner:
        return runner.run(_leave_nothing(main, timeout))


@pytest.fixture(scope="session")
def run_async() -> RunAsync:
    """``run_async(coroutine)``: its result; a leaked task, an unhandled error, a hang fail.

    A coroutine that nobody awaited fails too: warnings are errors. The runner keeps
    nothing between calls, so one serves the whole session, also under Hypothesis.
    """
    return _run
