"""All decisions together: which counts for what."""

from __future__ import annotations

import pytest

from meshregistry.rules import Decisions, Drain, Environment, HttpMatch, LossAcceptance, SourceShift

EVEN = (("a", 1), ("b", 1))


def shift(name, *hosts, created=0.0):
    """One with even shares."""
    return SourceShift(name=name, hosts=hosts, shares=EVEN, created=created)


def test_they_are_in_order_of_age_and_apart_from_rules():
    """Two replicas that read documents in another order agree."""
    old, new = shift("z", "a", created=1), shift("a", "a", created=2)
    drain = Drain(name="d", host="a", address="10.0.0.1", port=80)
    other = Environment(name="e", match=HttpMatch())
    decisions = Decisions.of([new, drain, other, old])
    assert decisions == Decisions(shifts=(old, new), drains=(drain,))
    assert list(decisions) == [old, new, drain]
    assert decisions
    assert not Decisions.of([other])


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("reviews.shop", "exact"),
        ("ratings.shop", "wildcard"),
        ("a.b.shop", "longer"),
        ("other", "all"),
    ],
)
def test_the_nearest_shift_counts(host, name):
    """An exact host before a wildcard, a longer one before a shorter."""
    decisions = Decisions.of(
        [
            shift("all", "*"),
            shift("wildcard", "*.shop"),
            shift("longer", "*.b.shop"),
            shift("exact", "reviews.shop", "x.shop", created=5),
        ]
    )
    assert decisions.shift(host).name == name


def test_of_two_shifts_for_a_host_the_older_counts():
    """And without one there is none."""
    decisions = Decisions.of([shift("new", "a", created=2), shift("old", "a", created=1)])
    assert decisions.shift("a").name == "old"
    assert decisions.shift("b") is None


def test_drains_of_a_host():
    """Also those of every host."""
    one = Drain(name="1", host="a", address="10.0.0.1", port=80)
    every = Drain(name="2", host="*", address="10.0.0.1", port=80)
    decisions = Decisions.of([every, one])
    assert decisions.drains_of("a") == (one, every)
    assert decisions.drains_of("b") == (every,)


def test_a_loss_is_accepted_by_its_time_and_part():
    """One that begins after the decision is another loss."""
    by = LossAcceptance(name="by", source="consul", part="dc1", lost_by=100.0)
    planned = LossAcceptance(name="planned", source="consul", until=200.0)
    decisions = Decisions.of([by, planned])
    assert decisions.accepts("consul", "dc1", 100.0) is by
    assert decisions.accepts("consul", "dc1", 150.0) is planned
    assert decisions.accepts("consul", "dc2", 50.0) is planned
    assert decisions.accepts("consul", "dc2", 200.0) is None
    assert decisions.accepts("eureka", "dc1", 50.0) is None
