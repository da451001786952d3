"""The start gate of a supervisor, on its clock: who is waited for, and until when."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from meshregistry.aggregate._clock import Alarm
from meshregistry.aggregate._gate import StartGate

if TYPE_CHECKING:
    from meshregistry.aggregate._aggregation import Aggregation
    from meshregistry.aggregate._source import Source
    from meshregistry.model import SourceId
    from meshregistry.spi import Clock


class Gatekeeper:
    """Opens the gate when every source has synced, or need not be waited for any more.

    Args:
        aggregation: knows who has synced, and who has a snapshot.
        clock: time.
    """

    def __init__(self, aggregation: Aggregation, clock: Clock) -> None:
        self._aggregation = aggregation
        self._clock = clock
        self._gate: StartGate[SourceId] = StartGate()
        self._alarm = Alarm(clock, self._check)
        self._opened = asyncio.Event()
        self._has_ended = False

    @property
    def is_open(self) -> bool:
        """Whether it has opened; it never closes again."""
        return self._gate.is_open

    async def opened(self) -> None:
        """Wait for it."""
        await self._opened.wait()

    def expect(self, source: Source) -> None:
        """Wait for this one too: a shadow is never waited for, a snapshot makes it optional."""
        if not source.is_shadow and not self._aggregation.has_synced(source.id):
            self._gate.expect(
                source.id,
                self._clock.now(),
                is_required=source.required and not self._aggregation.is_restored(source.id),
                sync_timeout=source.sync_timeout,
            )

    def touched(self, source: SourceId) -> None:
        """Something has happened to a source."""
        if self._aggregation.has_synced(source):
            self._gate.synced(source)
        self.check()

    def leave(self, source: SourceId) -> None:
        """The source is gone: nobody waits for it."""
        self._gate.synced(source)

    def check(self) -> None:
        """Open, if nobody is waited for any more."""
        self._check(self._clock.now())

    async def close(self) -> None:
        """Ring no more."""
        self._has_ended = True
        await self._alarm.close()

    def _check(self, now: float) -> None:
        if self._gate.check(now):
            self._opened.set()
        if not self._has_ended:
            self._alarm.set(self._gate.next_deadline())
