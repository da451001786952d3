"""Blocking calls in daemon threads, so that none of them can hold up the end of a program."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def start_thread(
    call: Callable[[], T], name: str
) -> tuple[asyncio.Future[T], asyncio.Future[None]]:
    """Run a blocking call in a daemon thread; to be called on the loop.

    Returns:
        What comes of it, and when the thread has ended: cancelling the wait for the first
        does not end the call.
    """
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()
    ended: asyncio.Future[None] = loop.create_future()
    work = partial(contextvars.copy_context().run, call)
    thread = threading.Thread(
        target=_work, args=(loop, work, result, ended), name=name, daemon=True
    )
    thread.start()
    return result, ended


def _work(
    loop: asyncio.AbstractEventLoop,
    work: Callable[[], T],
    result: asyncio.Future[T],
    ended: asyncio.Future[None],
) -> None:
    """The body of a thread: do the work and hand what came of it to the loop."""
    try:
        value = work()
    except BaseException as error:  # noqa: BLE001 - handed to whoever awaits it
        tell = partial(_raise, result, error)
    else:
        tell = partial(_return, result, value)
    try:
        loop.call_soon_threadsafe(tell)
        loop.call_soon_threadsafe(ended.set_result, None)
    except RuntimeError:
        # The loop has closed: nobody is left to be told.
        return


def _return(result: asyncio.Future[T], value: T) -> None:
    if not result.done():
        result.set_result(value)


def _raise(result: asyncio.Future[Any], error: BaseException) -> None:
    if result.done():
        return
    if isinstance(error, StopIteration | SystemExit | KeyboardInterrupt):
        # A future refuses the first and the loop would stop for the others.
        wrapped = RuntimeError(f"the call in a thread raised {error!r}")
        wrapped.__cause__ = error
        error = wrapped
    result.set_exception(error)
