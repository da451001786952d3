"""Observations become series, with bounds of every kind."""

from __future__ import annotations

from datetime import timedelta

import pytest

from meshregistry.errors import MixerError
from meshregistry.mixer.adapters._series import (
    DEFAULT_BOUNDS,
    Buckets,
    ExplicitBuckets,
    ExponentialBuckets,
    Full,
    LinearBuckets,
    Series,
    number_of,
)
from meshregistry.mixer.spi import Metric


def metric(value, **dimensions):
    """An observation."""
    return Metric(name="x", value=value, dimensions=dimensions)


class TestBounds:
    def test_of_each_way(self):
        """As many as there are finite buckets, and one more."""
        assert (5, 7, 9) == Buckets(
            linear_buckets=LinearBuckets(num_finite_buckets=2, width=2, offset=5)
        ).bounds
        assert (1, 10, 100, 1000) == Buckets(
            exponential_buckets=ExponentialBuckets(num_finite_buckets=3, growth_factor=10, scale=1)
        ).bounds
        assert (1, 2) == Buckets(explicit_buckets=ExplicitBuckets(bounds=(1, 2))).bounds
        assert DEFAULT_BOUNDS == Buckets().bounds

    @pytest.mark.parametrize(
        ("buckets", "fault"),
        [
            (Buckets(explicit_buckets=ExplicitBuckets(bounds=(2, 1))), "must rise"),
            (Buckets(explicit_buckets=ExplicitBuckets(bounds=())), "must rise"),
            (
                Buckets(linear_buckets=LinearBuckets(num_finite_buckets=0, width=1)),
                "at least one finite bucket",
            ),
            (
                Buckets(
                    linear_buckets=LinearBuckets(num_finite_buckets=1, width=1),
                    explicit_buckets=ExplicitBuckets(bounds=(1,)),
                ),
                "in several ways",
            ),
        ],
    )
    def test_that_cannot_be(self, buckets, fault):
        """Are told before anything is observed."""
        assert fault in " ".join(buckets.faults())


class TestSeries:
    def test_a_counter_adds_for_each_set_of_labels(self):
        """In the order of the labels, whatever that of the dimensions."""
        series = Series("COUNTER", ("a", "b"), (), 10)
        for one in (metric(1, b="y", a="x"), metric(2, a="x", b="y"), metric(5, a="z", b=1)):
            series.observe(one, 0.0)
        assert {("x", "y"): 3.0, ("z", "1"): 5.0} == {
            point.labels: point.value for point in series.points
        }

    def test_a_gauge_keeps_the_last(self):
        """Also a lower one."""
        series = Series("GAUGE", (), (), 10)
        series.observe(metric(7), 0.0)
        series.observe(metric(-2.5), 0.0)
        assert [-2.5] == [point.value for point in series.points]

    def test_a_distribution_counts_by_bounds(self):
        """A value that is a bound belongs below it; the last bucket has none."""
        series = Series("DISTRIBUTION", (), (1.0, 2.0), 10)
        for value in (0.5, 1.0, 1.5, 9.0):
            series.observe(metric(value), 0.0)
        (point,) = series.points
        assert ([2, 1, 1], 12.0) == (point.counts, point.value)

    def test_a_counter_does_not_fall(self):
        """Whoever reads it would take that for a restart."""
        series = Series("COUNTER", (), (), 10)
        with pytest.raises(MixerError, match="cannot fall"):
            series.observe(metric(-1), 0.0)
        assert () == series.points

    @pytest.mark.parametrize("kind", ["COUNTER", "DISTRIBUTION"])
    @pytest.mark.parametrize("value", ["nan", "inf", float("-inf")])
    def test_what_would_spoil_a_sum_is_refused(self, kind, value):
        """One request could say it, and the series would be of no use from then on."""
        series = Series(kind, (), (1.0,), 10)
        series.observe(metric(1), 0.0)
        with pytest.raises(MixerError, match="cannot be added up"):
            series.observe(metric(value), 0.0)
        assert [1.0] == [point.value for point in series.points]

    @pytest.mark.parametrize(
        ("value", "told"), [("many", "'many'"), (None, "None"), ("9" * 99 + "x", r"'9+\.\.\.9+x'")]
    )
    def test_what_is_no_number_is_told(self, value, told):
        """With the instance and what it had, of a long text its ends; it may be a caller's."""
        series = Series("GAUGE", (), (), 10)
        with pytest.raises(MixerError, match=f"^x: the value {told} is no number$") as raised:
            series.observe(metric(value), 0.0)
        assert 70 > len(str(raised.value))

    def test_their_number_is_bounded(self):
        """Those that are there go on."""
        series = Series("COUNTER", ("a",), (), 2)
        for one in "xyx":
            series.observe(metric(1, a=one), 0.0)
        with pytest.raises(Full):
            series.observe(metric(1, a="z"), 0.0)
        assert [2.0, 1.0] == [point.value for point in series.points]

    def test_old_ones_expire(self):
        """By their last observation."""
        series = Series("COUNTER", ("a",), (), 10)
        series.observe(metric(1, a="old"), 0.0)
        series.observe(metric(1, a="kept"), 0.0)
        series.observe(metric(1, a="kept"), 5.0)
        assert 1 == series.expire(1.0)
        assert [("kept",)] == [point.labels for point in series.points]


@pytest.mark.parametrize(
    ("value", "number"),
    [(3, 3.0), (2.5, 2.5), (True, 1.0), (timedelta(milliseconds=250), 0.25), ("1e3", 1000.0)],
)
def test_a_number_of_a_value(value, number):
    """Durations are seconds, and a text may be one."""
    assert number == number_of(value)


@pytest.mark.parametrize("value", ["x", None, b"\x01\x02\x03\x04"])
def test_no_number(value):
    """Says so."""
    with pytest.raises(ValueError, match=r"is no number|could not convert"):
        number_of(value)
