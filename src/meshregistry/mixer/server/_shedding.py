"""Load shedding: whether a call is turned away because the server is late. Pure."""

from __future__ import annotations

import enum
import math

from attrs import define, field, frozen
from attrs.validators import ge, gt


class Mode(enum.Enum):
    """What becomes of calls that the server cannot keep up with."""

    DISABLED = "disabled"
    LOG_ONLY = "logonly"
    ENFORCE = "enforce"


@frozen(kw_only=True)
class SheddingConfig:
    """When calls are turned away.

    Attributes:
        mode: whether they are, or are only counted.
        latency: seconds; calls are late if their mean time is above; 0: never.
        half_life: seconds in which a call's part in the mean falls to a half.
        least_rate: calls a second below which no call counts as late.
        rate: calls a second, the entries of a report each counted; 0: as many as come.
        burst: calls that may come at once beyond that.
    """

    mode: Mode = Mode.DISABLED
    latency: float = field(default=0.1, validator=ge(0))
    half_life: float = field(default=1.0, validator=gt(0))
    least_rate: float = field(default=100.0, validator=ge(0))
    rate: float = field(default=0.0, validator=ge(0))
    burst: int = field(default=0, validator=ge(0))


@define
class Shedding:
    """Judges calls by the mean time of those before, and by their number.

    Attributes:
        config: when calls are turned away.
        throttled: how many were too many.
        predicted: how many came while calls were late.
    """

    config: SheddingConfig
    throttled: int = 0
    predicted: int = 0
    _mean: float = 0.0
    _weight: float = 0.0
    _calls: float = 0.0
    _at: float | None = None
    _tokens: float = math.nan

    def admits(self, cost: int, now: float) -> bool:
        """Whether a call of this many entries is carried out."""
        if self.config.mode is Mode.DISABLED:
            return True
        self._decay(now)
        is_late = (
            self.config.latency > 0
            and self._mean > self.config.latency
            and self._rate() > self.config.least_rate
        )
        is_too_much = self.config.rate > 0 and not self._take(cost)
        self.predicted += is_late
        self.throttled += is_too_much
        return self.config.mode is Mode.LOG_ONLY or not (is_late or is_too_much)

    def finished(self, seconds: float, now: float) -> None:
        """A call was carried out in so many seconds."""
        if self.config.mode is Mode.DISABLED:
            return
        self._decay(now)
        self._calls += 1
        self._weight += 1
        self._mean += (seconds - self._mean) / self._weight

    def _decay(self, now: float) -> None:
        if self._at is None:
            self._at, self._tokens = now, float(self.config.burst or self.config.rate)
            return
        elapsed = now - self._at
        self._at = now
        factor = 0.5 ** (elapsed / self.config.half_life)
        self._weight *= factor
        self._calls *= factor
        limit = float(self.config.burst or self.config.rate)
        self._tokens = min(limit, self._tokens + elapsed * self.config.rate)

    def _rate(self) -> float:
        """Calls a second: the decayed number stands for half_life / ln 2 seconds."""
        return self._calls * math.log(2) / self.config.half_life

    def _take(self, cost: int) -> bool:
        # A report of more entries than the bucket holds passes when the bucket is full.
        limit = float(self.config.burst or self.config.rate)
        if self._tokens < min(float(cost), limit):
            return False
        self._tokens -= cost
        return True
