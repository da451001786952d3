"""When to publish and when to try again: pure, time and randomness are arguments."""

from __future__ import annotations

from random import Random

from attrs import define, field

from meshregistry.schedule import Schedule


@define
class Debouncer:
    """Says when pending changes are to be published.

    Ordinary changes wait until they have been quiet for a while, but not for ever.
    Endpoint-only changes leave at once, then at most once per `spacing`. Whatever is
    pending is published together, by the earliest of the two.

    Attributes:
        quiet: seconds without another ordinary change.
        longest: seconds that an ordinary change waits at most.
        spacing: seconds between a publication and one for endpoints only.
    """

    quiet: float = 0.1
    longest: float = 10.0
    spacing: float = 0.05
    _first: float | None = field(default=None, init=False)
    _last: float = field(default=0.0, init=False)
    _endpoints: float | None = field(default=None, init=False)
    _published: float | None = field(default=None, init=False)

    def changed(self, now: float, *, is_endpoints_only: bool = False) -> None:
        """Note a change."""
        if is_endpoints_only:
            if self._endpoints is None:
                earliest = now if self._published is None else self._published + self.spacing
                self._endpoints = max(now, earliest)
            return
        self._first = now if self._first is None else self._first
        self._last = now

    @property
    def is_pending(self) -> bool:
        """Whether anything waits to be published."""
        return self.next_deadline() is not None

    def next_deadline(self) -> float | None:
        """The time at which what is pending is due; None if nothing is."""
        deadlines = [] if self._endpoints is None else [self._endpoints]
        if self._first is not None:
            deadlines.append(min(self._last + self.quiet, self._first + self.longest))
        return min(deadlines, default=None)

    def is_due(self, now: float) -> bool:
        """Whether to publish now."""
        deadline = self.next_deadline()
        return deadline is not None and deadline <= now

    def published(self, now: float) -> None:
        """Note that everything pending has been published."""
        self._first = self._endpoints = None
        self._published = now


SOON = Schedule(first=0.8, highest=30.0)
"""For a backend that does not answer: full jitter."""

SLOWLY = Schedule(first=30.0, highest=300.0, floor=0.5)
"""For refused credentials and faults of a plugin, which no haste will mend."""


@define
class Backoff:
    """Counts failures in a row and says how long to wait.

    Attributes:
        random: for the jitter.
        soon: the ordinary schedule.
        slowly: the schedule for refused credentials and faults of a plugin.
    """

    random: Random
    soon: Schedule = SOON
    slowly: Schedule = SLOWLY
    _failures: int = field(default=0, init=False)

    def failed(self, *, is_slow: bool = False) -> float:
        """Note a failure; seconds to wait before the next attempt."""
        self._failures += 1
        schedule = self.slowly if is_slow else self.soon
        return schedule.delay(self._failures, self.random)

    def reset(self) -> None:
        """Begin anew: a listing has come through."""
        self._failures = 0
