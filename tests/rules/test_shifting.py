"""Shares of traffic by source become weights of endpoints."""

from __future__ import annotations

from fractions import Fraction

import pytest
from attrs import evolve

from meshregistry.model import CatalogEntry, Endpoint, Health, Port, Protocol, Service
from meshregistry.rules import SourceShift
from meshregistry.rules._shifting import LARGEST_SUM, bounded, shifted

A, B, C = ("a",), ("b",), ("c",)


def entry(*known, ports=("http",)):
    """A service with these (sources, weight, more) as endpoints."""
    made = [
        Endpoint(address=f"10.0.0.{place}", port=80, weight=weight, **dict(*more))
        for place, (_, weight, *more) in enumerate(known, start=1)
    ]
    return CatalogEntry(
        service=Service(
            host="r.shop",
            ports=tuple(Port(name, 80 + n, Protocol.HTTP) for n, name in enumerate(ports)),
        ),
        endpoints=tuple(made),
        sources=("a", "b", "c"),
        endpoint_sources=tuple(sources for sources, *_ in known),
    )


def shift(**shares):
    """A decision with these shares."""
    return SourceShift(name="s", namespace="shop", shares=tuple(sorted(shares.items())))


def weights(known, **shares):
    """The weights of endpoints after a shift."""
    return [one.weight for one in shifted(entry(*known), shift(**shares)).endpoints]


UNHEALTHY = {"health": Health.UNHEALTHY}
DRAINING = {"health": Health.DRAINING}


@pytest.mark.parametrize(
    ("known", "shares", "expected"),
    [
        pytest.param([(A, 1), (B, 1)], {"a": 90, "b": 10}, [9, 1], id="one of each"),
        pytest.param([(A, 1), (A, 1), (B, 1)], {"a": 1, "b": 1}, [1, 1, 2], id="numbers differ"),
        pytest.param([(A, 3), (A, 1), (B, 5)], {"a": 1, "b": 1}, [3, 1, 4], id="ratios are kept"),
        pytest.param([(A, 7), (B, 1)], {"a": 0, "b": 100}, [0, 1], id="0 is not sent"),
        pytest.param([(A, 2), (A, 4), (B, 1)], {"a": 100, "b": 0}, [1, 2, 0], id="one alone"),
        pytest.param(
            [(A, 1), (B, 1, UNHEALTHY)], {"a": 1, "b": 9}, [1, 1], id="nobody healthy there"
        ),
        pytest.param(
            [(A, 1), (A, 1, DRAINING), (B, 1)], {"a": 1, "b": 1}, [1, 1, 1], id="draining"
        ),
        pytest.param(
            [(A, 1), (B, 1, DRAINING), (C, 1)],
            {"a": 1, "b": 8, "c": 1},
            [1, 1, 1],
            id="the others take it in their ratio",
        ),
        pytest.param([(A, 1), (B, 1), (C, 2)], {"a": 3, "b": 1}, [3, 1, 4], id="not named"),
        pytest.param([(C, 2), (C, 4)], {"a": 3, "b": 1}, [2, 4], id="none is named"),
        pytest.param([(("a", "b"), 1), (A, 1)], {"a": 0, "b": 1}, [1, 0], id="known by both, b"),
        pytest.param([(("a", "b"), 1), (A, 1)], {"a": 1, "b": 0}, [1, 1], id="known by both, a"),
        pytest.param([(("a", "b"), 1), (A, 1)], {"a": 1, "b": 1}, [3, 1], id="half and half"),
        pytest.param([(A, 0), (B, 1)], {"a": 1, "b": 1}, [0, 1], id="weight 0 stays 0"),
        pytest.param([], {"a": 1}, [], id="no endpoints"),
    ],
)
def test_weights(known, shares, expected):
    """Sums by source have the stated ratio."""
    assert weights(known, **shares) == expected


def test_a_source_with_0_takes_over_from_none():
    """Else a registry that must not be used would be, on the worst of days."""
    assert weights([(A, 1, UNHEALTHY), (B, 1)], a=1, b=0) == [1, 0]


def test_sources_that_fail_over_share_one_priority():
    """Else the second would get nothing, whatever its share; others stay behind."""
    known = [
        (A, 1, {"priority": 1}),
        (B, 1, {"priority": 2}),
        (C, 1, {"priority": 3}),
        (("d",), 1, {"priority": 4}),
    ]
    after = shifted(entry(*known), shift(a=1, b=3, c=0))
    assert [(one.weight, one.priority) for one in after.endpoints[:3]] == [(3, 1), (9, 1), (0, 3)]
    assert after.endpoints[3].priority == 4


def test_each_port_has_the_ratio():
    """An endpoint of one port is no endpoint of the other."""
    known = [(A, 1), (B, 1), (A, 1, {"service_port": "grpc"}), (B, 3, {"service_port": "grpc"})]
    after = shifted(entry(*known, ports=("http", "grpc")), shift(a=1, b=3))
    assert [one.weight for one in after.endpoints] == [1, 3, 1, 3]


def test_what_was_decided_is_told():
    """By whom, what it was, and why a share is another than stated."""
    after = shifted(entry((A, 1), (A, 1), (B, 2, UNHEALTHY), (C, 2)), shift(a=1, b=3))
    assert [(one.field, one.chosen, one.replaced, one.by) for one in after.adjustments] == [
        ("share of a at http", "50 %", "50 %", "SourceShift shop/s"),
        ("share of b at http", "0 %, no healthy endpoint", "0 %", "SourceShift shop/s"),
    ]


def test_an_entry_without_named_sources_is_the_same_object():
    """So that a decision for all hosts costs nothing where it means nothing."""
    one = entry((C, 1))
    assert shifted(one, shift(a=1)) is one


def test_other_fields_stay():
    """Only weights change."""
    before = entry((A, 1, {"labels": {"v": "1"}}), (B, 1))
    after = shifted(before, shift(a=9, b=1))
    assert evolve(after.endpoints[0], weight=1) == before.endpoints[0]
    assert (after.service, after.endpoint_sources) == (before.service, before.endpoint_sources)


def test_large_numbers_are_rounded_within_the_bound():
    """Each by less than one, and what is positive stays so."""
    numbers = [10**12 + 1, 10**12 - 1, 1, 0]
    after = bounded(numbers)
    assert sum(after) <= LARGEST_SUM
    assert after[2:] == [1, 0]
    assert abs(Fraction(after[0], after[1]) - 1) < Fraction(1, 10**8)
