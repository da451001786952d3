"""run_async: a coroutine of a test on a loop of its own, which it must leave clean."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

_T = TypeVar("_T")

# A transport or a cancelled task needs some turns of the loop to end after the call that
# ended it.
_TURNS = 10
# The tasks of grpc.aio itself end when its polling thread says so, which no number of turns
# can hurry.
_GRPC = "/grpc/"
_QUEUE, _CLOSED = "PollerCompletionQueue", "Event loop is closed"
_PATIENCE = 5.0


def run_async(main: Coroutine[Any, Any, _T], *, timeout: float = 30.0, grace: float = 0.0) -> _T:
    """Run a coroutine on a loop of its own, and see that it leaves nothing behind.

    Args:
        main: the coroutine; what it raises is raised.
        timeout: seconds that it may take.
        grace: seconds that tasks may take to end by themselves once it has ended, as those of
            a server's connections do; a cancelled task needs none.

    Returns:
        What the coroutine returns.

    Raises:
        AssertionError: if tasks are left behind, or the loop met errors that nobody handled.
        TimeoutError: if it has not ended in time.
    """

    async def whole() -> _T:
        with every_error_handled():
            async with asyncio.timeout(timeout):
                result = await main
            await _see_tasks_end(grace)
        return result

    with asyncio.Runner() as runner:
        return runner.run(whole())


@contextmanager
def every_error_handled() -> Iterator[None]:
    """Fail if the running loop meets an error that nobody handles, unless the body fails.

    Raises:
        AssertionError: at the end of the body, with all of them.
    """
    unhandled: list[str] = []
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()

    def note(_loop: asyncio.AbstractEventLoop, said: dict[str, Any]) -> None:
        if not _is_of_an_earlier_loop(said):
            unhandled.append(f"{said['message']}: {said.get('exception')!r}")

    loop.set_exception_handler(note)
    try:
        yield
    finally:
        # What comes later, such as from garbage that goes late, is logged as ever.
        loop.set_exception_handler(before)
    if unhandled:
        msg = f"the loop met errors that nobody handled: {unhandled}"
        raise AssertionError(msg)


def _is_of_an_earlier_loop(said: dict[str, Any]) -> bool:
    """Whether gRPC, which has one queue for all loops, hands on what a closed one waited for."""
    is_closed = isinstance(said.get("exception"), RuntimeError) and _CLOSED in str(
        said["exception"]
    )
    return is_closed and _QUEUE in said["message"]


async def _see_tasks_end(grace: float) -> None:
    left = _others()
    if polled := {task for task in left if _GRPC in repr(task)}:
        await asyncio.wait(polled, timeout=max(_PATIENCE, grace))
    if grace and (left := _others()):
        await asyncio.wait(left, timeout=grace)
    for _ in range(_TURNS):
        if not (left := _others()):
            return
        await asyncio.sleep(0)
    msg = f"tasks left behind: {sorted(map(repr, left))}"
    raise AssertionError(msg)


def _others() -> set[asyncio.Task[Any]]:
    return asyncio.all_tasks() - {asyncio.current_task()}
