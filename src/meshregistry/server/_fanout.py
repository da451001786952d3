"""Who may write next: answers before pushes, each stream in turn, and never too much at once.

The unit that is scheduled is a *turn*: a stream's next bytes are asked for only when that
stream can take them, so whatever was published meanwhile is already in them, and a stream
that cannot take any holds nothing but the wish for a turn.
"""

from __future__ import annotations

import enum
from collections import deque
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

# Some milliseconds of work. What waits to be read are mostly answers to earlier pushes, and
# taking them first would only delay the last stream.
_TURNS_AT_ONCE = 512


class TimerHandle(Protocol):
    """Something that was arranged for later."""

    def cancel(self) -> None:
        """Arrange for it not to happen."""


class LoopClock(Protocol):
    """The part of an event loop that the hub needs; asyncio's loops have it."""

    def time(self) -> float:
        """Seconds on a clock that never goes back."""

    def call_soon(self, callback: Callable[[], object], /) -> object:
        """Call it in the next round of the loop."""

    def call_at(self, when: float, callback: Callable[[], object], /) -> TimerHandle:
        """Call it at a time of this clock."""


class Wish(enum.IntEnum):
    """What a stream waits to write; the greater goes first."""

    NOTHING = 0
    PUSH = 1
    ANSWER = 2


class Writer(Protocol):
    """What is scheduled. Only the `Fanout` changes `wish` and `queued`."""

    wish: Wish
    queued: Wish

    def write(self, data: bytes) -> None:
        """Start a write; `Fanout.written` is called later, when it is done."""


class _Write(NamedTuple):
    size: int
    since: float


W = TypeVar("W", bound=Writer)


class Fanout(Generic[W]):
    """Gives turns within limits.

    A write that lasts longer than `stall_after` no longer counts against the limits: its
    peer has stopped reading, and the others do not wait for it. It costs the one message
    that it holds, since a stream has one write at a time.

    Args:
        clock: the loop.
        turn: gives a stream's next bytes, or None if it has nothing to write.
        max_writes: how many writes may be in flight together.
        max_bytes: no further write starts while this many bytes are in flight.
        stall_after: seconds after which a write counts as stalled.
    """

    def __init__(
        self,
        clock: LoopClock,
        turn: Callable[[W], bytes | None],
        *,
        max_writes: int,
        max_bytes: int,
        stall_after: float,
    ) -> None:
        self._clock = clock
        self._turn = turn
        self._max_writes = max_writes
        self._max_bytes = max_bytes
        self._stall_after = stall_after
        self._lanes: dict[Wish, deque[W]] = {Wish.ANSWER: deque(), Wish.PUSH: deque()}
        # In the order in which they started, so that the first is the oldest.
        self._writing: dict[W, _Write] = {}
        self._stalled: set[W] = set()
        self._is_scheduled = False
        self._stall_timer: TimerHandle | None = None
        self.bytes_in_flight = 0

    @property
    def writing(self) -> int:
        """Writes in flight that count against the limits."""
        return len(self._writing)

    @property
    def stalled(self) -> int:
        """Writes that have lasted longer than `stall_after`."""
        return len(self._stalled)

    def want(self, writer: W, wish: Wish) -> None:
        """A stream may have something to write; asking again can only raise its rank."""
        writer.wish = max(writer.wish, wish)
        self._queue(writer)

    def written(self, writer: W) -> None:
        """A stream's write is done: it may have the next turn, behind those who wait."""
        self._release(writer)
        self._queue(writer)
        self._schedule()

    def rest(self, writer: W) -> None:
        """A stream has nothing to write: its write, if any, is done, or it has ended."""
        writer.wish = Wish.NOTHING
        self._release(writer)
        self._schedule()

    def close(self) -> None:
        """Arrange for nothing further."""
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _release(self, writer: W) -> None:
        self._stalled.discard(writer)
        write = self._writing.pop(writer, None)
        if write is not None:
            self.bytes_in_flight -= write.size

    def _queue(self, writer: W) -> None:
        if writer in self._writing or writer in self._stalled:
            return  # it is asked again when its write is done
        if writer.wish > writer.queued:
            # Its place in a lower lane stays and is skipped.
            writer.queued = writer.wish
            self._lanes[writer.wish].append(writer)
            self._schedule()

    def _schedule(self) -> None:
        if not self._is_scheduled and any(self._lanes.values()):
            self._is_scheduled = True
            self._clock.call_soon(self._give_turns)

    def _give_turns(self) -> None:
        """Give some turns, then let the loop read what has arrived before giving more."""
        self._is_scheduled = False
        for _ in range(_TURNS_AT_ONCE):
            if not self._has_room():
                self._watch_oldest()
                return
            writer = self._next()
            if writer is None:
                return
            data = self._turn(writer)
            if data is None:
                writer.wish = Wish.NOTHING
            else:
                self._writing[writer] = _Write(len(data), self._clock.time())
                self.bytes_in_flight += len(data)
                writer.write(data)
        self._schedule()

    def _has_room(self) -> bool:
        return len(self._writing) < self._max_writes and self.bytes_in_flight < self._max_bytes

    def _next(self) -> W | None:
        for wish, lane in self._lanes.items():
            while lane:
                writer = lane.popleft()
                if writer.queued is wish:
                    writer.queued = Wish.NOTHING
                    if writer.wish is not Wish.NOTHING:
                        return writer
        return None

    def _watch_oldest(self) -> None:
        if self._stall_timer is None and self._writing:
            oldest = next(iter(self._writing.values()))
            when = oldest.since + self._stall_after
            self._stall_timer = self._clock.call_at(when, self._set_stalled_aside)

    def _set_stalled_aside(self) -> None:
        self._stall_timer = None
        now = self._clock.time()
        writing = self._writing.items()
        for writer in [each for each, write in writing if write.since + self._stall_after <= now]:
            self._release(writer)
            self._stalled.add(writer)
        self._schedule()
        if not self._has_room():
            self._watch_oldest()
