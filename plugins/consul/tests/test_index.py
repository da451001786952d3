"""Facts of the rules of blocking queries."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshregistry_consul._index import Cursor, Pace, herd_pause, longest_answer, spread_wait

indexes = st.integers(0, 2**64)


class TestCursor:
    def test_the_first_query_does_not_block(self):
        """There is nothing to compare with."""
        assert [] == Cursor().parameters(60)

    def test_the_next_one_waits_for_news(self):
        """With the index of the last answer."""
        assert [("index", "7"), ("wait", "1500ms")] == Cursor().after(7).parameters(1.5)

    def test_a_hash_is_preferred(self):
        """Where the agent speaks for itself, it answers with hashes."""
        assert [("hash", "ab"), ("wait", "1000ms")] == Cursor().after(7, "ab").parameters(1)

    def test_an_index_that_goes_back_is_forgotten(self):
        """As Consul's documentation demands."""
        cursor = Cursor().after(9)
        assert cursor.went_back(8)
        assert Cursor() == cursor.after(8)

    def test_an_index_of_zero_is_taken_as_one(self):
        """Giving zero back would never block."""
        assert Cursor(1) == Cursor(9).after(0) == Cursor().after(0)

    @settings(max_examples=50)
    @given(st.lists(indexes, max_size=20))
    def test_it_never_gives_back_more_than_it_was_told(self, told):
        """Whatever comes, the next query blocks on the last answer or not at all."""
        cursor = Cursor()
        for index in told:
            cursor = cursor.after(index)
            assert cursor.index in (0, max(1, index))


class TestPace:
    def test_a_burst_is_free_and_then_it_slows(self):
        """So many at once, then one for each interval."""
        pace = Pace(2.0, burst=3)
        assert [0.0, 0.0, 0.0, 2.0, 4.0] == [pace.take(100.0) for _ in range(5)]

    def test_rest_brings_tokens_back(self):
        """But never more than a burst."""
        pace = Pace(1.0, burst=2)
        for _ in range(2):
            pace.take(0.0)
        assert 0.0 == pace.take(1.0)
        assert [0.0, 0.0, 1.0] == [pace.take(1000.0) for _ in range(3)]

    def test_no_interval_is_no_pace(self):
        """For tests and for those who ask for it."""
        pace = Pace(0.0)
        assert {0.0} == {pace.take(0.0) for _ in range(100)}

    @settings(max_examples=50)
    @given(st.lists(st.floats(0, 0.5), min_size=50, max_size=100))
    def test_the_rate_is_bounded(self, gaps):
        """Who waits as told asks no more often than the bucket allows."""
        pace, now = Pace(1.0, burst=5), 0.0
        for gap in gaps:
            now += gap
            now += pace.take(now)
        assert now >= len(gaps) - 5 - 1e-6


def test_waits_are_spread_and_bounded():
    """Replicas drift apart; the client outwaits the server."""
    waits = [spread_wait(100, Random(seed)) for seed in range(50)]
    assert all(90 <= one <= 100 for one in waits)
    assert len(set(waits)) > 40
    assert pytest.approx(116.25) == longest_answer(100, 10)
    assert all(0 <= herd_pause(Random(seed)) <= 0.25 for seed in range(50))
