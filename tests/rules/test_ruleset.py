"""Rules in order, and policies of one host joined."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from meshregistry.rules import (
    DestinationPolicy,
    Gateway,
    Origin,
    RouteRule,
    RuleSet,
    SidecarScope,
    Subset,
    host_rank,
    is_exported,
    is_host_match,
)

if TYPE_CHECKING:
    import random

RULES = st.lists(
    st.one_of(
        st.builds(
            RouteRule,
            name=st.text("ab"),
            hosts=st.just(("h",)),
            created=st.sampled_from([0.0, 1.0]),
        ),
        st.builds(
            DestinationPolicy,
            name=st.text("ab"),
            host=st.sampled_from(["x", "y"]),
            subsets=st.lists(
                st.builds(Subset, name=st.sampled_from("pq")),
                max_size=2,
                unique_by=lambda s: s.name,
            ).map(tuple),
        ),
        st.builds(Gateway, name=st.text("ab")),
        st.builds(SidecarScope, name=st.text("ab")),
    ),
    unique_by=lambda rule: (type(rule), rule.name),
    max_size=8,
)


@given(RULES, st.randoms(use_true_random=False))
def test_the_order_of_input_plays_no_part(rules: list, chance: random.Random) -> None:
    """Documents are named, and their names and ages decide."""
    shuffled = list(rules)
    chance.shuffle(shuffled)
    assert RuleSet.of(shuffled) == RuleSet.of(rules)


@given(RULES)
def test_joining_twice_is_joining_once(rules: list) -> None:
    """And nothing is lost: every subset's name is still there."""
    made = RuleSet.of(rules)
    every = (*made.routes, *made.policies, *made.gateways, *made.scopes)
    assert RuleSet.of(every) == made
    given_names = {
        (rule.host, subset.name)
        for rule in rules
        if isinstance(rule, DestinationPolicy)
        for subset in rule.subsets
    }
    assert given_names == {
        (policy.host, subset.name) for policy in made.policies for subset in policy.subsets
    }


def test_where_a_rule_was_written_plays_no_part() -> None:
    """A document that moved by a line says the same."""
    one, two = (RouteRule(hosts=("a",), origin=Origin(file="a", line=line)) for line in (1, 2))
    assert RuleSet.of([one]) == RuleSet.of([two])
    assert hash(one) == hash(two)
    assert not RuleSet()
    assert RuleSet.of([one])


def test_host_patterns() -> None:
    """A wildcard takes what is under its suffix, and not the suffix itself."""
    assert [is_host_match(p, "a.b") for p in ("a.b", "*", "*.b", "*.a.b", "b", "*a.b")] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]
    assert sorted(["*", "*.b", "x", "*.a.b"], key=host_rank) == ["x", "*.a.b", "*.b", "*"]


def test_exports() -> None:
    """To all, to the own namespace, to a named one."""
    assert is_exported(("*",), "a", "b")
    assert is_exported((".",), "a", "a")
    assert not is_exported((".",), "a", "b")
    assert is_exported(("b",), "a", "b")
