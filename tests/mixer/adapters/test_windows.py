"""Quotas in memory: never more than the limit in any window, and each id once."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from meshregistry.mixer.adapters._windows import Cells, Granted, Remembered

STEPS = st.lists(
    st.tuples(
        st.floats(0, 3, allow_nan=False),  # seconds since the step before
        st.integers(1, 8),
        st.booleans(),
    ),
    max_size=60,
)


@given(steps=STEPS, limit=st.integers(0, 20), tenths=st.integers(1, 40))
def test_no_window_holds_more_than_the_limit(steps, limit, tenths):
    """Whenever it begins, and whatever is asked for."""
    duration, now, grants = tenths / 10, 0.0, []
    cells = Cells(duration, largest=10)
    for pause, amount, is_best_effort in steps:
        now += pause
        granted = cells.take("k", amount, limit, now, is_best_effort=is_best_effort)
        assert granted <= amount
        if not is_best_effort:
            assert granted in {0, amount}
        grants.append((now, granted))
    for begin, _ in grants:
        assert sum(one for when, one in grants if begin <= when < begin + duration) <= limit


@given(steps=STEPS, limit=st.integers(1, 20), tenths=st.integers(1, 40))
def test_what_fits_is_granted(steps, limit, tenths):
    """If the window and the slot of 100 ms before it leave room."""
    duration, now, grants = tenths / 10, 0.0, []
    cells = Cells(duration, largest=10)
    for pause, amount, _ in steps:
        now += pause
        taken = sum(one for when, one in grants if when > now - duration - 0.2)
        granted = cells.take("k", amount, limit, now, is_best_effort=False)
        if taken + amount <= limit:
            assert amount == granted
        grants.append((now, granted))


@given(steps=st.lists(st.integers(-8, 8).filter(bool), max_size=60), limit=st.integers(0, 20))
def test_an_allocation_stays_until_it_is_given_back(steps, limit):
    """A plain counter, from 0 to the limit."""
    cells, taken = Cells(0, largest=10), 0
    for now, amount in enumerate(steps):
        if amount > 0:
            granted = cells.take("k", amount, limit, now, is_best_effort=True)
            assert min(amount, limit - taken) == granted
            taken += granted
        else:
            given_back = cells.give_back("k", -amount, now)
            assert min(-amount, taken) == given_back
            taken -= given_back
    assert bool(taken) == bool(len(cells))


def test_the_newest_is_given_back_first():
    """So what was taken long ago still comes back at its time."""
    cells = Cells(1, largest=10)
    cells.take("k", 2, 5, 0.0, is_best_effort=False)
    cells.take("k", 3, 5, 0.9, is_best_effort=False)
    assert 3 == cells.give_back("k", 3, 0.95)
    assert 0 == cells.take("k", 4, 5, 1.0, is_best_effort=False)
    assert 5 == cells.take("k", 5, 5, 1.1, is_best_effort=False)


def test_what_was_taken_at_the_end_of_a_slot_counts_for_a_whole_window():
    """Also where the rest of its cell is over, and the cell could be forgotten."""
    cells = Cells(1, largest=10)
    cells.take("k", 5, 5, 0.09, is_best_effort=False)
    assert 0 == cells.take("k", 1, 5, 1.08, is_best_effort=False)
    assert 1 == cells.take("k", 1, 5, 1.1, is_best_effort=False)


def test_more_than_was_taken_cannot_be_given_back():
    """And who took nothing has nothing to give back."""
    cells = Cells(1, largest=10)
    cells.take("k", 2, 5, 0.0, is_best_effort=False)
    assert 2 == cells.give_back("k", 9, 0.1)
    assert 0 == cells.give_back("other", 9, 0.1)


def test_what_is_over_is_forgotten():
    """Cells do not pile up with the values of dimensions."""
    cells = Cells(1, largest=1000)
    for second in range(1000):
        cells.take(f"k{second}", 1, 5, float(second), is_best_effort=False)
    assert len(cells) <= 3


def test_a_full_table_grants_new_ones_nothing():
    """Known ones go on, and there is room again when one is over."""
    cells = Cells(1, largest=1)
    assert 1 == cells.take("a", 1, 5, 0.0, is_best_effort=False)
    assert cells.take("b", 1, 5, 0.5, is_best_effort=False) is None
    assert 1 == cells.take("a", 1, 5, 0.5, is_best_effort=False)
    assert 1 == cells.take("b", 1, 5, 2.0, is_best_effort=False)


@given(
    steps=st.lists(st.tuples(st.floats(0, 0.9), st.integers(0, 5)), max_size=60),
)
def test_an_id_is_granted_once_within_the_span(steps):
    """Repetitions get the same answer."""
    remembered, now, made, last = Remembered(1.0), 0.0, Counter(), {}
    for pause, key in steps:
        now += pause

        def grant(key=key, now=now):
            made[key] += 1
            last[key] = now
            return Granted(made[key], now)

        before = last.get(key)
        found = remembered.once(key, now, grant)
        if before is not None and now - before < 1.0:
            assert before == found.until


def test_an_id_is_forgotten_after_two_spans():
    """Memory follows the rate of requests."""
    remembered = Remembered(1.0)
    remembered.once("a", 0.0, lambda: Granted(1, 0.0))
    assert 2 == remembered.once("a", 2.5, lambda: Granted(2, 2.5)).amount
