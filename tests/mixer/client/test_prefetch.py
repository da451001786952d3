"""Quota in advance: the pool, and when more is asked for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meshregistry.mixer.client._prefetch import LONGEST, MOST, Order, Pool, Prefetch, RollingCount


def test_the_first_requests_do_not_wait():
    """On a cold pool the least amount is granted before the answer (quirk 11)."""
    prefetch = Prefetch()
    granted = [prefetch.check(1, 0.0) for _ in range(11)]
    assert (True, Order(10, 1)) == granted[0]
    assert [(True, None)] * 9 == granted[1:10]
    # An empty pool asks again, and does not wait either.
    assert True is granted[10][0]


def test_what_was_not_granted_is_taken_back():
    """The shortfall leaves the pool, and the pool is closed until the server grants in full."""
    prefetch = Prefetch()
    _, order = prefetch.check(1, 0.0)
    prefetch.answered(order, 3, 5.0, 0.1)
    # 10 were in, 1 is used, 7 were not granted.
    assert [True, True, False] == [prefetch.check(1, 0.2)[0] for _ in range(3)]
    # Closed: nothing is asked for within half a second of the last question.
    assert (False, None) == prefetch.check(1, 0.3)
    is_granted, again = prefetch.check(1, 0.6)
    assert (False, None) == (is_granted, again.slot)
    # One question at a time while it is closed.
    assert (False, None) == prefetch.check(1, 9.0)
    prefetch.answered(again, again.amount, 5.0, 9.1)
    assert True is prefetch.check(1, 9.2)[0]


def test_a_closed_pool_takes_nothing_before_it_is_granted():
    """An answer of zero adds nothing."""
    prefetch = Prefetch()
    _, order = prefetch.check(1, 0.0)
    prefetch.answered(order, 0, 5.0, 0.0)
    is_granted, order = prefetch.check(1, 1.0)
    prefetch.answered(order, 0, 5.0, 1.0)
    assert (False, False) == (is_granted, prefetch.check(1, 1.1)[0])


def test_without_an_answer_the_order_counts_as_granted():
    """For the longest time, as a lost call says nothing of the quota."""
    prefetch = Prefetch()
    _, order = prefetch.check(1, 0.0)
    prefetch.answered(order, None, 1.0, 0.0)
    assert [True] * 9 == [prefetch.check(1, LONGEST - 1)[0] for _ in range(9)]


def test_no_more_is_ordered_than_can_be_asked_for():
    """However much was used within the last second."""
    prefetch = Prefetch()
    for _ in range(3):
        _, order = prefetch.check(MOST, 0.0)
        assert MOST == order.amount
        prefetch.answered(order, MOST, 1.0, 0.0)


def test_more_is_asked_for_when_half_is_used():
    """The amount follows the use of the last second."""
    prefetch = Prefetch()
    _, order = prefetch.check(40, 0.0)
    assert 40 == order.amount
    prefetch.answered(order, 40, 60.0, 0.0)
    _, order = prefetch.check(1, 0.5)
    assert 40 == order.amount
    _, none = prefetch.check(1, 0.6)
    assert none is None


def test_grants_end():
    """What was not used within its time is gone."""
    prefetch = Prefetch()
    _, order = prefetch.check(1, 0.0)
    prefetch.answered(order, 10, 2.0, 0.0)
    assert (True, None) == prefetch.check(1, 2.0)
    assert 0 == prefetch._pool.available(2.1)


def test_an_amount_is_taken_whole_or_not_at_all():
    """From several grants, the oldest first."""
    pool = Pool()
    pool.add(3, 10.0)
    pool.add(4, 20.0)
    assert not pool.take(8, 0.0)
    assert pool.take(5, 0.0)
    assert (2, 2) == (pool.available(0.0), pool.available(15.0))
    assert pool.take(2, 15.0)
    assert not pool.take(1, 15.0)


def test_the_rolling_count_forgets():
    """It holds what was asked for within a second, in steps of 50 ms."""
    count = RollingCount()
    count.add(5, 0.0)
    count.add(3, 0.5)
    assert (8, 3, 0) == (count.total(0.9), count.total(1.2), count.total(1.6))
    count.add(2, 100.0)
    assert (2, 0) == (count.total(100.5), count.total(200.0))


@given(
    st.lists(
        st.tuples(st.integers(1, 20), st.floats(0, 2), st.integers(0, 30), st.floats(0, 70)),
        max_size=60,
    )
)
def test_never_more_is_granted_than_the_server_gave_and_what_was_advanced(steps):
    """Whatever the amounts, times and answers: use stays within grants and open advances."""
    prefetch = Prefetch()
    now, used, given_ = 0.0, 0, 0
    open_orders = []
    for amount, passed, granted, holds in steps:
        now += passed
        is_granted, order = prefetch.check(amount, now)
        used += amount if is_granted else 0
        if order is not None:
            open_orders.append((order, min(granted, order.amount), holds))
        advanced = sum(each.amount for each, _, _ in open_orders if each.slot is not None)
        assert used <= given_ + advanced
        if open_orders and granted % 2:
            each, part, time = open_orders.pop(0)
            prefetch.answered(each, part, time, now)
            # What an advance gave out beyond the grant cannot be had back.
            given_ += max(part, each.amount if each.slot is not None else 0)
