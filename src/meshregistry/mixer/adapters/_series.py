"""Observations summed up: the series of a metric, one for each set of label values."""

from __future__ import annotations

from bisect import bisect_left
from datetime import timedelta
from math import isfinite
from reprlib import repr as shortly
from typing import TYPE_CHECKING, Literal

from attrs import define, field, frozen

from meshregistry.errors import MixerError
from meshregistry.mixer.spi import Metric, Value, ValueType, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meshregistry.mixer.spi import HandlerContext, InstanceTypes

Kind = Literal["UNSPECIFIED", "GAUGE", "COUNTER", "DISTRIBUTION"]
"""What is done with values; a metric has to say which."""

DEFAULT_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of buckets, as of the client libraries for Prometheus."""

NUMERIC = frozenset(
    {ValueType.INT64, ValueType.DOUBLE, ValueType.DURATION, ValueType.STRING, ValueType.BOOL}
)
"""The types of values that `number_of` takes; a text must be a number."""


@frozen(kw_only=True)
class LinearBuckets:
    """Bounds ``offset + i * width``.

    Attributes:
        num_finite_buckets: how many buckets have an upper bound and a lower one.
        width: of each.
        offset: the lowest bound.
    """

    num_finite_buckets: int
    width: float
    offset: float = 0.0


@frozen(kw_only=True)
class ExponentialBuckets:
    """Bounds ``scale * growth_factor ** i``.

    Attributes:
        num_finite_buckets: how many buckets have an upper bound and a lower one.
        growth_factor: each bound is the one before times this.
        scale: the lowest bound.
    """

    num_finite_buckets: int
    growth_factor: float
    scale: float


@frozen(kw_only=True)
class ExplicitBuckets:
    """Bounds as they are listed.

    Attributes:
        bounds: rising.
    """

    bounds: tuple[float, ...]


@frozen(kw_only=True)
class Buckets:
    """The bounds of a distribution, in one of three ways; without any, the usual ones."""

    linear_buckets: LinearBuckets | None = None
    exponential_buckets: ExponentialBuckets | None = None
    explicit_buckets: ExplicitBuckets | None = None

    @property
    def bounds(self) -> tuple[float, ...]:
        """The upper bounds of all buckets but the last, which has none."""
        if (linear := self.linear_buckets) is not None:
            count = range(linear.num_finite_buckets + 1)
            return tuple(linear.offset + i * linear.width for i in count)
        if (growing := self.exponential_buckets) is not None:
            count = range(growing.num_finite_buckets + 1)
            return tuple(growing.scale * growing.growth_factor**i for i in count)
        if self.explicit_buckets is not None:
            return self.explicit_buckets.bounds
        return DEFAULT_BOUNDS

    def faults(self) -> Iterable[str]:
        """What is wrong with them, as clauses."""
        given = (self.linear_buckets, self.exponential_buckets, self.explicit_buckets)
        if sum(one is not None for one in given) > 1:
            yield "its buckets are given in several ways; keep one"
        for one in given[:2]:
            if one is not None and one.num_finite_buckets < 1:
                yield "it needs at least one finite bucket"
                return
        bounds = self.bounds
        if not bounds or list(bounds) != sorted(set(bounds)):
            yield "the bounds of its buckets must rise"


@define(eq=False)
class Point:
    """One series.

    Attributes:
        labels: the values of the labels, as texts.
        began: seconds of the clock when it was made.
        updated: when it was last observed.
        value: of a gauge: the last one; else the sum.
        counts: of a distribution: how many fell into each bucket, the last without a bound.
    """

    labels: tuple[str, ...]
    began: float
    updated: float
    value: float = 0.0
    counts: list[int] = field(factory=list)


class Full(Exception):
    """A metric has as many series as it may have."""


class Series:
    """The series of one metric.

    Args:
        kind: what is done with values.
        labels: the names of the labels, in the order of the points' values.
        bounds: of a distribution.
        limit: how many series there may be.
    """

    def __init__(
        self, kind: Kind, labels: tuple[str, ...], bounds: tuple[float, ...], limit: int
    ) -> None:
        self.kind = kind
        self.labels = labels
        self.bounds = bounds
        self._limit = limit
        self._points: dict[tuple[str, ...], Point] = {}

    def __len__(self) -> int:
        return len(self._points)

    @property
    def points(self) -> tuple[Point, ...]:
        """All of them, the oldest first."""
        return tuple(self._points.values())

    def observe(self, instance: Metric, now: float) -> None:
        """Take an observation.

        Raises:
            MixerError: if its value is no number, or lowers a counter, or cannot be added up.
            Full: if it would begin one series too many.
        """
        try:
            value = number_of(instance.value)
        except ValueError as error:
            # Of a text only so much that a line of the log shows it: it may come with a request.
            given = shortly(instance.value)
            raise MixerError(f"{instance.name}: the value {given} is no number") from error
        if self.kind != "GAUGE" and not isfinite(value):
            # A sum would stay so for ever, and texts that say this come with requests.
            raise MixerError(f"{instance.name}: {value} cannot be added up")
        if self.kind == "COUNTER" and value < 0:
            raise MixerError(f"{instance.name}: a counter cannot fall by {-value:g}")
        labels = tuple(text_of(instance.dimensions.get(name)) for name in self.labels)
        point = self._points.get(labels)
        if point is None:
            if len(self._points) >= self._limit:
                raise Full(f"{instance.name} has {self._limit} series, and may not have more")
            point = self._points[labels] = Point(labels, began=now, updated=now)
            if self.kind == "DISTRIBUTION":
                point.counts = [0] * (len(self.bounds) + 1)
        point.updated = now
        if self.kind == "GAUGE":
            point.value = value
            return
        point.value += value
        if point.counts:
            point.counts[bisect_left(self.bounds, value)] += 1

    def expire(self, before: float) -> int:
        """Forget the series that were not observed since; how many they were."""
        old = [labels for labels, point in self._points.items() if point.updated < before]
        for labels in old:
            del self._points[labels]
        return len(old)


class Recorder:
    """Takes the observations of a handler.

    Counters of the handler: ``bad_values`` and ``refused_series``.

    Args:
        context: of the handler.
        series: by the names of instances.
    """

    def __init__(self, context: HandlerContext, series: Mapping[str, Series]) -> None:
        self._context = context
        self._series = series
        self._told: set[str] = set()

    def record(self, instances: Iterable[Metric], now: float) -> None:
        """Take all that can be taken.

        Raises:
            MixerError: if any value is none that its metric can take; the others are taken.
        """
        failed: MixerError | None = None
        for instance in instances:
            try:
                self._series[instance.name].observe(instance, now)
            except Full as error:
                self._context.count("refused_series")
                if instance.name not in self._told:  # it is full for every call from now on
                    self._told.add(instance.name)
                    self._context.logger.warning("%s; new ones are left out", error)
            except MixerError as error:
                self._context.count("bad_values")
                failed = error
        if failed is not None:
            raise failed


def number_of(value: Value | None) -> float:
    """A value as a number; a duration in seconds.

    Raises:
        ValueError: if it is none.
    """
    match value:
        case bool() | int() | float():
            return float(value)
        case timedelta():
            return value.total_seconds()
        case str():
            return float(value)
    raise ValueError(f"{text_of(value)!r} is no number")


def unsuitable(instances: Mapping[str, InstanceTypes], named: Iterable[str]) -> Iterable[str]:
    """Instances of metrics that are sent to a handler and cannot be used, as clauses.

    Args:
        instances: those that are sent.
        named: those that the configuration says something of.
    """
    known = set(named)
    for name, instance in instances.items():
        if name not in known:
            yield f"metrics: rules send {name} here, and nothing says what becomes of it; add it"
        elif (found := instance.types.get("value")) not in NUMERIC:
            what = "no value" if found is None else f"a value of type {found.name}"
            yield f"metrics: {name} has {what}; give it a number or a duration"
