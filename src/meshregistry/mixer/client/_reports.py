"""Reports on their way: a bounded queue, and the task that sends batches of it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING

from attrs import define, field

from meshregistry.mixer._attributes import AttributeBag
from meshregistry.mixer._compress import Compressor, Repeated, delta_runs
from meshregistry.mixer._words import BASE_WORD_COUNT
from meshregistry.mixer.client._transport import CallFailed, retry_wait

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from random import Random

    from meshregistry.mixer.client._options import ClientOptions
    from meshregistry.mixer.client._statistics import Statistics
    from meshregistry.mixer.client._transport import Clock, MixerTransport
    from meshregistry.mixer.proto.mixer_v1_pb2 import ReportRequest

_LOG = logging.getLogger("meshregistry.mixer")
_LOG_EVERY = 100
_LONGEST_PAUSE = 5.0


@define
class ReportQueue:
    """Reports that wait, oldest first, and when a batch of them is due.

    Args:
        size: how many may wait or be under way.
        batch: so many are due at once.
        age: seconds after which the oldest one is due.
    """

    size: int
    batch: int
    age: float
    _waiting: deque[tuple[float, AttributeBag]] = field(factory=deque, init=False)
    _taken: int = field(default=0, init=False)
    _not_before: float = field(default=0.0, init=False)

    def __len__(self) -> int:
        return len(self._waiting) + self._taken

    def add(self, bag: AttributeBag, now: float) -> bool:
        """Let a report wait; False if there is no room."""
        if len(self) >= self.size:
            return False
        self._waiting.append((now, bag))
        return True

    def next_deadline(self) -> float | None:
        """When a batch is due; None if nothing waits."""
        if not self._waiting:
            return None
        first = self._waiting[0][0]
        due = first if len(self._waiting) >= self.batch else first + self.age
        return max(due, self._not_before)

    def take(self) -> list[AttributeBag]:
        """The oldest reports, a batch at most; they keep their places until they are settled."""
        self._taken = min(self.batch, len(self._waiting))
        return [self._waiting.popleft()[1] for _ in range(self._taken)]

    def settle(self, count: int) -> None:
        """So many of those that were taken will not come back."""
        self._taken -= count

    def give_back(self, bags: Sequence[AttributeBag], now: float, pause: float) -> None:
        """Let reports that were taken wait again, and all others with them."""
        self._taken = 0
        self._waiting.extendleft((now, bag) for bag in reversed(bags))
        self._not_before = now + pause

    def clear(self) -> int:
        """Forget everything; how many that were."""
        count = len(self)
        self._waiting.clear()
        self._taken = 0
        return count


class Reporter:
    """Sends what is in the queue, one batch at a time.

    Args:
        transport: takes the batches.
        options: sizes and times.
        statistics: where it counts.
        clock: time.
        random: for the pauses after failures.
    """

    def __init__(
        self,
        transport: MixerTransport,
        options: ClientOptions,
        statistics: Statistics,
        clock: Clock,
        random: Random,
    ) -> None:
        self._transport = transport
        self._options = options
        self._statistics = statistics
        self._clock = clock
        self._random = random
        self._compressor = Compressor()
        self._queue = ReportQueue(
            options.report_queue_size, options.report_batch_entries, options.report_batch_age
        )
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._is_flushing = False
        self._failures = 0
        self._pauses = 0

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, bag: AttributeBag) -> None:
        """Take a report; drops it if too many wait."""
        self._statistics.total_report_calls += 1
        if not self._queue.add(bag, self._clock.now()):
            self._statistics.total_reports_dropped_full += 1
            return
        count = len(self._queue)
        # Between the first and a full batch the sender sleeps, and has no reason to wake.
        if count in {1, self._options.report_batch_entries}:
            self._idle.clear()
            self._wake.set()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            due = self._queue.next_deadline()
            if due is None:
                self._idle.set()
                self._is_flushing = False
                await self._wake.wait()
                self._wake.clear()
                continue
            wait = due - self._clock.now()
            if wait > 0 and not (self._is_flushing and self._pauses == 0):
                await self._sleep(wait)
                continue
            await self._send(self._queue.take())

    async def flush(self) -> None:
        """Wait until nothing waits any more; a batch need not be full or old for it."""
        if len(self._queue):
            self._is_flushing = True
            self._wake.set()
        await self._idle.wait()

    def drop(self) -> None:
        """Give up what waits."""
        self._statistics.total_reports_dropped_closed += self._queue.clear()
        # Nobody sends any more, so whoever flushes would wait for ever.
        self._idle.set()

    async def _sleep(self, seconds: float) -> None:
        """Wait, at most until something has changed."""
        sleeping = asyncio.ensure_future(self._clock.sleep(seconds))
        waking = asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait((sleeping, waking), return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Not awaited: a cancellation of ours that came meanwhile would be taken for theirs.
            sleeping.cancel()
            waking.cancel()
        self._wake.clear()

    async def _send(self, bags: list[AttributeBag]) -> None:
        """Send one batch, in pieces if it has to be; what did not go out waits again."""
        pieces = deque(self._pieces(bags))
        while pieces:
            piece = pieces.popleft()
            request = self._compressor.report(piece, self._options.report_encoding)
            if request.ByteSize() > self._options.report_bytes:
                if len(piece) == 1:
                    self._statistics.total_reports_dropped_refused += 1
                    self._queue.settle(1)
                    self._log(f"a report of {request.ByteSize()} bytes is too large to be sent")
                else:
                    half = len(piece) // 2
                    pieces.extendleft((piece[half:], piece[:half]))
                continue
            try:
                await self._call(request)
            except CallFailed as error:
                if self._is_to_be_sent_again(error, piece):
                    rest = [bag for each in (piece, *pieces) for bag in each]
                    self._give_back(rest, error)
                    return
            else:
                self._pauses = 0
                self._statistics.total_reports_sent += len(piece)
            # Piece by piece: who is cancelled counts the rest as dropped, and nothing twice.
            self._queue.settle(len(piece))

    def _pieces(self, bags: list[AttributeBag]) -> Iterator[list[AttributeBag]]:
        if self._options.report_encoding is Repeated.DELTA:
            return delta_runs(bags)
        return iter((bags,))

    async def _call(self, request: ReportRequest) -> None:
        try:
            await self._transport.report(
                request, self._options.report_timeout, again=self._options.at_least_once
            )
        except CallFailed as error:
            self._statistics.count_report(error.kind)
            raise
        self._statistics.count_report(None)

    def _is_to_be_sent_again(self, error: CallFailed, piece: list[AttributeBag]) -> bool:
        """Whether a failed piece waits again; else it is dropped and counted."""
        if error.is_of_the_dictionary and self._compressor.word_count > BASE_WORD_COUNT:
            self._compressor = Compressor(BASE_WORD_COUNT)
            return True
        if not error.is_sent:
            return True
        if self._options.at_least_once and error.is_of_the_transport:
            return True
        if error.is_of_the_transport:
            self._statistics.total_reports_dropped_doubtful += len(piece)
            what = "may have been lost"
        else:
            self._statistics.total_reports_dropped_refused += len(piece)
            what = "was refused" if len(piece) == 1 else "were refused"
        self._log(f"{_count(piece)} {what}: {error}")
        return False

    def _give_back(self, bags: list[AttributeBag], error: CallFailed) -> None:
        first, longest = self._options.first_retry_wait, _LONGEST_PAUSE
        pause = retry_wait(min(self._pauses, 10), first, longest, self._random)
        self._pauses += 1
        self._queue.give_back(bags, self._clock.now(), pause)
        self._log(f"{_count(bags)} {'waits' if len(bags) == 1 else 'wait'} for a server: {error}")

    def _log(self, message: str) -> None:
        """Say the first of each hundred failures."""
        if self._failures % _LOG_EVERY == 0:
            _LOG.warning("%s", message)
        self._failures += 1


def _count(reports: Sequence[AttributeBag]) -> str:
    return "1 report" if len(reports) == 1 else f"{len(reports)} reports"
