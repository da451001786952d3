"""Deadlines that cost nothing as long as nobody waits."""

from __future__ import annotations

from types import coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine, Generator

T = TypeVar("T")


async def before(deadline: asyncio.Timeout, coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine gives before the deadline, which nothing watches until it has to wait.

    Most handlers answer without waiting; a timer for each costs more than their answers.
    """
    try:
        waited = coroutine.send(None)
    except StopIteration as done:
        answer: T = done.value
        return answer
    async with deadline:
        return await _rest(coroutine, waited)


@coroutine
def _rest(running: Coroutine[Any, Any, T], waited: Any) -> Generator[Any, Any, T]:
    """The rest of a coroutine that waits for something."""
    try:
        while True:
            try:
                sent = yield waited
            except BaseException as error:  # noqa: BLE001 - it is handed on, whatever it is
                # Whoever waits was cancelled, or what was waited for failed.
                waited = running.throw(error)
            else:
                waited = running.send(sent)
    except StopIteration as done:
        answer: T = done.value
        return answer
    finally:
        running.close()
