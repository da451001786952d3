"""Debounce and back-off, with time and randomness as arguments."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshregistry.aggregate._timing import SLOWLY, SOON, Backoff, Debouncer, Schedule


def test_nothing_pending_is_never_due():
    """A new debouncer waits for a change."""
    debouncer = Debouncer()
    assert not debouncer.is_pending
    assert debouncer.next_deadline() is None
    assert not debouncer.is_due(1e9)


def test_other_changes_wait_for_100_ms_of_quiet():
    """Each further change begins the quiet anew."""
    debouncer = Debouncer()
    debouncer.changed(1.0)
    debouncer.changed(1.0625)
    assert not debouncer.is_due(1.125)
    assert debouncer.next_deadline() == pytest.approx(1.1625)
    assert debouncer.is_due(1.17)


def test_other_changes_wait_10_s_at_most():
    """A service that never stops changing is published all the same."""
    debouncer = Debouncer()
    for tick in range(200):
        debouncer.changed(tick * 0.0625)
    assert debouncer.next_deadline() == 10.0


def test_endpoint_only_changes_leave_at_once_on_the_leading_edge():
    """After a pause there is nothing to wait for."""
    debouncer = Debouncer()
    debouncer.changed(7.0, is_endpoints_only=True)
    assert debouncer.is_due(7.0)
    debouncer.published(7.0)
    debouncer.changed(9.0, is_endpoints_only=True)
    assert debouncer.is_due(9.0)


def test_endpoint_only_changes_then_leave_at_most_every_50_ms():
    """A burst is spaced, and no change of it moves the deadline."""
    debouncer = Debouncer()
    debouncer.changed(7.0, is_endpoints_only=True)
    debouncer.published(7.0)
    debouncer.changed(7.01, is_endpoints_only=True)
    debouncer.changed(7.04, is_endpoints_only=True)
    assert not debouncer.is_due(7.04)
    assert debouncer.next_deadline() == pytest.approx(7.05)


def test_whatever_is_pending_is_published_together():
    """An endpoint that leaves takes the other changes along."""
    debouncer = Debouncer()
    debouncer.changed(1.0)
    debouncer.changed(1.01, is_endpoints_only=True)
    assert debouncer.is_due(1.01)
    debouncer.published(1.01)
    assert not debouncer.is_pending


@settings(max_examples=60)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_a_pending_change_always_leaves_within_10_s(steps):
    """Whatever comes, a change that is published when due never waits longer than that."""
    debouncer, now, waiting = Debouncer(), 0.0, None
    for pause, is_endpoints_only in steps:
        now += pause
        while (deadline := debouncer.next_deadline()) is not None and deadline <= now:
            assert deadline - waiting <= 10.0
            debouncer.published(deadline)
            waiting = None
        debouncer.changed(now, is_endpoints_only=is_endpoints_only)
        waiting = now if waiting is None else waiting
    assert debouncer.next_deadline() - waiting <= 10.0


class Highest(Random):
    """Draws the upper bound."""

    def uniform(self, a, b):
        return b


def test_back_off_doubles_up_to_its_highest_step():
    """The bounds follow client-go: 0.8 s at first, twice as much each time, 30 s at most."""
    backoff = Backoff(Highest())
    assert [backoff.failed() for _ in range(8)] == [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0]


def test_back_off_is_fully_jittered():
    """Draws fill the whole step, from nothing, so that sources do not come back together."""
    random = Random(1)
    drawn = [SOON.delay(100, random) for _ in range(500)]
    assert min(drawn) < 1
    assert max(drawn) > 29


def test_back_off_resets():
    """After a listing the next failure counts as the first."""
    backoff = Backoff(Highest())
    for _ in range(5):
        backoff.failed()
    backoff.reset()
    assert backoff.failed() == 0.8


def test_refused_credentials_and_faults_of_a_plugin_retry_slowly():
    """The slow schedule never hurries, whatever the draw."""
    backoff = Backoff(Highest())
    assert [backoff.failed(is_slow=True) for _ in range(5)] == [30.0, 60.0, 120.0, 240.0, 300.0]
    assert min(SLOWLY.delay(1, Random(seed)) for seed in range(200)) >= 15.0


def test_a_long_outage_does_not_overflow():
    """After ten thousand failures the delay is still a number."""
    assert Schedule(first=1.0, highest=2.0).delay(10_000, Highest()) == 2.0
