"""Streams that nobody ends but the server: read until it ends, and no message sooner."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

T = TypeVar("T")

QUIET, LONGEST = 0.2, 1.0
"""Seconds without a message, and of all, after which a stream ends once it may."""


async def until_quiet(
    messages: AsyncIterator[T],
    ending: asyncio.Event,
    *,
    quiet: float = QUIET,
    longest: float = LONGEST,
) -> AsyncGenerator[T, None]:
    """The messages of a stream; from `ending` on those that are on their way.

    Args:
        messages: as gRPC gives them.
        ending: set when the server ends.
        quiet: seconds without a message after which there are none on their way.
        longest: seconds after which a stream ends that is never quiet.
    """
    loop = asyncio.get_running_loop()
    told = asyncio.ensure_future(ending.wait())
    reading: asyncio.Future[T] | None = None
    end: float | None = None
    try:
        while end is None or loop.time() < end:
            reading = asyncio.ensure_future(_next(messages))
            if end is None:
                await asyncio.wait((reading, told), return_when=asyncio.FIRST_COMPLETED)
                if told.done():
                    end = loop.time() + longest
            if end is not None and not reading.done():
                left = min(quiet, end - loop.time())
                await asyncio.wait((reading,), timeout=max(left, 0.0))
            if not reading.done():
                return
            try:
                message = reading.result()
            except StopAsyncIteration:
                return
            yield message
    finally:
        told.cancel()
        if reading is not None:
            reading.cancel()
            # gRPC answers a cancellation with the end of the stream as well, or with an error
            # of the connection, and all of them have to be taken from the task.
            await asyncio.gather(reading, return_exceptions=True)


async def _next(messages: AsyncIterator[T]) -> T:
    return await anext(messages)
