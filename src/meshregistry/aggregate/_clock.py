"""Real time, as the clock that everything else is given."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from meshregistry.spi import Clock


class SystemClock:
    """The monotonic clock of the machine and the sleep of the running loop."""

    def now(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def wait_within(
    clock: Clock, seconds: float, futures: Iterable[asyncio.Future[Any]]
) -> frozenset[asyncio.Future[Any]]:
    """Wait until all futures are done, at most so long; those that are not done."""
    pending = {one for one in futures if not one.done()}
    if not pending:
        return frozenset()
    timer = asyncio.ensure_future(clock.sleep(seconds))
    try:
        while pending and not timer.done():
            await asyncio.wait({timer, *pending}, return_when=asyncio.FIRST_COMPLETED)
            pending = {one for one in pending if not one.done()}
    finally:
        timer.cancel()
        await asyncio.wait({timer})
    return frozenset(pending)


class Alarms:
    """One alarm for each of several things.

    Args:
        clock: to wait on.
        ring: ``ring(what, now)``, as an `Alarm` does.
    """

    def __init__(self, clock: Clock, ring: Callable[[Any, float], None]) -> None:
        self._clock = clock
        self._ring = ring
        self._alarms: dict[Hashable, Alarm] = {}

    def set(self, what: Hashable, deadline: float | None) -> None:
        """Ring for this one at this time instead; None: not at all."""
        if what not in self._alarms:
            self._alarms[what] = Alarm(self._clock, partial(self._ring, what))
        self._alarms[what].set(deadline)

    async def close(self) -> None:
        """Ring no more, and leave no task."""
        for alarm in self._alarms.values():
            await alarm.close()


class Alarm:
    """Rings at a deadline that may be moved.

    Args:
        clock: to wait on.
        ring: is called on the loop with the time, which is never before the deadline.
    """

    def __init__(self, clock: Clock, ring: Callable[[float], None]) -> None:
        self._clock = clock
        self._ring = ring
        self._deadline: float | None = None
        self._waiting: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def set(self, deadline: float | None) -> None:
        """Ring at this time instead; None: not at all."""
        if deadline == self._deadline:
            return
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        self._deadline = deadline
        if deadline is not None:
            self._waiting = asyncio.get_running_loop().create_task(self._wait(deadline))
            self._tasks.add(self._waiting)
            self._waiting.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Ring no more, and leave no task."""
        self.set(None)
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _wait(self, deadline: float) -> None:
        await self._clock.sleep(max(0.0, deadline - self._clock.now()))
        self._deadline = self._waiting = None
        # A timer may fire a tick early by the clock that is read here.
        self._ring(max(deadline, self._clock.now()))
