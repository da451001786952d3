"""What waits to be sent: a bounded queue, emptied in batches by a task of the handler.

Nothing here waits inside a call. What does not fit is dropped and counted; what could not be
sent is kept and sent again, more and more slowly; what the receiver refuses is dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from meshregistry.mixer.spi import HandlerContext

T = TypeVar("T")

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0


class Refused(Exception):
    """The receiver will not take this, however often it is sent."""


class Unavailable(Exception):
    """The receiver could not be reached, or asks for patience."""


class Outbox(Generic[T]):
    """Things on their way.

    Counters of the handler: ``sent``, ``dropped`` (the queue was full, or the handler closed),
    ``refused`` and ``send_errors``.

    Args:
        context: of the handler.
        send: sends a batch, and raises `Refused`, `Unavailable`, OSError or TimeoutError.
        capacity: how many may wait.
        batch: how many are sent together.
        interval: seconds that one may wait for others.
        timeout: seconds that sending may take, and closing.
        max_weight: of a batch.
        weigh: the weight of one; default: none has any.
    """

    def __init__(
        self,
        context: HandlerContext,
        send: Callable[[list[T]], Awaitable[None]],
        *,
        capacity: int,
        batch: int,
        interval: float,
        timeout: float,
        max_weight: int = 0,
        weigh: Callable[[T], int] = lambda _: 0,
    ) -> None:
        self._context = context
        self._send = send
        self._capacity = capacity
        self._batch = min(batch, capacity)
        self._interval = interval
        self._timeout = timeout
        self._max_weight = max_weight
        self._weigh = weigh
        self._waiting: deque[T] = deque()
        self._weight = 0
        self._some = asyncio.Event()
        self._enough = asyncio.Event()
        self._closing = asyncio.Event()
        self._is_failing = False
        self._task: asyncio.Task[None] | None = None

    def put(self, one: T) -> None:
        """Send this soon; never waits."""
        if len(self._waiting) >= self._capacity:
            self._context.count("dropped")
            return
        self._waiting.append(one)
        self._weight += self._weigh(one)
        self._some.set()
        if self._has_enough:
            self._enough.set()

    async def start(self) -> None:
        """Begin to send."""
        self._task = asyncio.create_task(self._run(), name="meshregistry-mixer-outbox")

    async def close(self) -> None:
        """Send what waits, if that succeeds at once; drop and count the rest."""
        self._closing.set()
        self._some.set()
        self._enough.set()
        if self._task is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._task, self._timeout)
        if self._waiting:
            self._context.count("dropped", len(self._waiting))
            self._waiting.clear()

    @property
    def _has_enough(self) -> bool:
        is_heavy = bool(self._max_weight) and self._weight >= self._max_weight
        return is_heavy or len(self._waiting) >= self._batch

    async def _run(self) -> None:
        failures = 0
        while self._waiting or not self._closing.is_set():
            await self._some.wait()
            if not self._waiting:
                continue
            if failures:
                await self._pause(self._patience(failures), self._closing)
            elif not self._has_enough:
                await self._pause(self._interval, self._enough)
            if await self._push():
                failures = 0
            elif self._closing.is_set():
                return
            else:
                failures += 1

    def _patience(self, failures: int) -> float:
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(failures, 10))
        return pause * (0.5 + self._context.random.random() / 2)

    async def _pause(self, seconds: float, event: asyncio.Event) -> None:
        """Wait so long, or until the event."""
        racing = [
            asyncio.ensure_future(self._context.sleep(seconds)),
            asyncio.ensure_future(event.wait()),
        ]
        try:
            await asyncio.wait(racing, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in racing:
                one.cancel()
            await asyncio.gather(*racing, return_exceptions=True)

    async def _push(self) -> bool:
        """Send a batch; whether it is settled, one way or the other."""
        batch = self._next()
        try:
            await asyncio.wait_for(self._send(batch), self._timeout)
        except (Unavailable, OSError, TimeoutError) as error:
            self._context.count("send_errors")
            self._say(error)
            return False
        except Refused as error:
            self._context.count("refused", len(batch))
            self._context.logger.warning("%d were refused: %s", len(batch), error)
        except Exception:  # a batch that cannot be written must not hold up all others
            self._context.count("refused", len(batch))
            self._context.logger.exception("%d could not be sent", len(batch))
        else:
            self._context.count("sent", len(batch))
        if self._is_failing:
            self._is_failing = False
            self._context.logger.info("sending works again")
        self._settle(len(batch))
        return True

    def _next(self) -> list[T]:
        batch: list[T] = []
        weight = 0
        for one in self._waiting:
            weight += self._weigh(one)
            if len(batch) >= self._batch or (batch and 0 < self._max_weight < weight):
                break
            batch.append(one)
        return batch

    def _settle(self, count: int) -> None:
        for _ in range(count):
            self._weight -= self._weigh(self._waiting.popleft())
        if self._closing.is_set():
            return
        if not self._waiting:
            self._some.clear()
        if not self._has_enough:
            self._enough.clear()

    def _say(self, error: BaseException) -> None:
        if not self._is_failing:
            self._is_failing = True
            self._context.logger.warning("cannot be sent, and is kept: %s", said(error))


def said(error: BaseException) -> str:
    """What an error says; its kind if that is nothing."""
    return str(error) or type(error).__name__
