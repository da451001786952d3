"""How long to wait before another attempt. Pure: randomness is an argument."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from random import Random

__all__ = ["Schedule"]


@frozen
class Schedule:
    """How long to wait before the next attempt.

    The step doubles from `first` to `highest`; the wait is drawn evenly from the part of
    the step above `floor`, so that many sources do not come back together.

    Attributes:
        first: seconds of the first step.
        highest: seconds of the longest step.
        floor: share of the step that is always waited; 0 is full jitter.
    """

    first: float
    highest: float
    floor: float = 0.0

    def delay(self, failures: int, random: Random) -> float:
        """Seconds to wait after this many failures in a row, counted from 1."""
        # A float's exponent is bounded, a long outage is not.
        step = min(self.highest, self.first * 2.0 ** min(failures - 1, 64))
        return random.uniform(self.floor * step, step)
