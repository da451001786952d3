"""Calls are turned away while the server is late, or when there are too many."""

from __future__ import annotations

import pytest

from meshregistry.mixer.server._shedding import Mode, Shedding, SheddingConfig


def flood(shedding, *, seconds, took, rate=1_000, start=0.0):
    """Calls at this rate, each of which took so long; how many were admitted."""
    admitted = 0
    for number in range(int(seconds * rate)):
        now = start + number / rate
        if shedding.admits(1, now):
            admitted += 1
            shedding.finished(took, now)
    return admitted


class TestLatency:
    """The mean time of the calls before decides."""

    def test_late_calls_are_turned_away(self):
        """Once the mean is above the threshold, and the more come."""
        shedding = Shedding(SheddingConfig(mode=Mode.ENFORCE))
        assert flood(shedding, seconds=1, took=0.01) == 1_000
        assert flood(shedding, seconds=3, took=1.0, start=1) < 3_000
        assert shedding.predicted > 0

    def test_it_recovers(self):
        """When nothing comes, the rate falls below what counts as load."""
        shedding = Shedding(SheddingConfig(mode=Mode.ENFORCE))
        flood(shedding, seconds=1, took=1.0)
        assert not shedding.admits(1, 1.0)
        assert shedding.admits(1, 20.0)

    def test_few_calls_are_never_late(self):
        """A slow handler is not an overload."""
        shedding = Shedding(SheddingConfig(mode=Mode.ENFORCE))
        assert flood(shedding, seconds=10, took=1.0, rate=50) == 500

    def test_only_counted(self):
        """To see what enforcing would do."""
        shedding = Shedding(SheddingConfig(mode=Mode.LOG_ONLY))
        assert flood(shedding, seconds=2, took=1.0) == 2_000
        assert shedding.predicted > 0


class TestRate:
    """So many a second and no more."""

    def test_a_bucket(self):
        """Filled at the rate, as deep as the burst."""
        shedding = Shedding(SheddingConfig(mode=Mode.ENFORCE, latency=0, rate=10, burst=5))
        assert [shedding.admits(1, 0.0) for _ in range(6)] == [True] * 5 + [False]
        assert shedding.admits(1, 0.1)
        assert not shedding.admits(1, 0.1)
        assert shedding.throttled == 2

    def test_a_report_costs_its_entries(self):
        """One of more entries than the bucket holds passes when it is full."""
        shedding = Shedding(SheddingConfig(mode=Mode.ENFORCE, latency=0, rate=10, burst=5))
        assert shedding.admits(50, 0.0)
        assert not shedding.admits(1, 1.0)
        assert shedding.admits(1, 6.0)


def test_disabled_admits_everything():
    """And keeps no account."""
    shedding = Shedding(SheddingConfig(rate=1, burst=1))
    assert flood(shedding, seconds=1, took=9.0) == 1_000


def test_the_configuration_is_checked():
    """No half-life of nothing."""
    with pytest.raises(ValueError, match="half_life"):
        SheddingConfig(half_life=0)
