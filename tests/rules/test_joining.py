"""Documents that speak of one host become one rule."""

from __future__ import annotations

from meshregistry.model import Labels
from meshregistry.rules import (
    Balancing,
    DestinationPolicy,
    HttpRoute,
    LoadBalancer,
    PortPolicies,
    RouteRule,
    RuleSet,
    Subset,
    TrafficPolicy,
)

RANDOM = PortPolicies(all=TrafficPolicy(load_balancer=LoadBalancer(balancing=Balancing.RANDOM)))
ROBIN = PortPolicies(all=TrafficPolicy(load_balancer=LoadBalancer(balancing=Balancing.ROUND_ROBIN)))


def policy(name: str, created: float, **others: object) -> DestinationPolicy:
    """A policy of the host a."""
    return DestinationPolicy(name=name, host="a", created=created, **others)  # type: ignore[arg-type]


def test_the_oldest_settings_count_and_the_subsets_of_all() -> None:
    """Of one host and audience; other audiences are kept apart."""
    old = policy("b", 1.0, policies=ROBIN, subsets=(Subset(name="v1", policies=ROBIN),))
    new = policy(
        "a", 2.0, policies=RANDOM, subsets=(Subset(name="v1", policies=RANDOM), Subset(name="v2"))
    )
    other = policy("c", 3.0, export_to=(".",))
    joined, apart = RuleSet.of([new, other, old]).policies
    assert (joined.name, joined.policies) == ("b", ROBIN)
    assert joined.subsets == (Subset(name="v1", policies=ROBIN), Subset(name="v2"))
    assert apart == other


def test_who_says_nothing_takes_the_settings_of_the_next() -> None:
    """For the host, and for a subset of the same labels."""
    same, another = Labels({"v": "1"}), Labels({"v": "2"})
    old = policy("a", 1.0, subsets=(Subset(name="v1", labels=same), Subset(name="v2")))
    new = policy(
        "b",
        2.0,
        policies=RANDOM,
        subsets=(
            Subset(name="v1", labels=same, policies=RANDOM),
            Subset(name="v2", labels=another, policies=RANDOM),
        ),
    )
    (joined,) = RuleSet.of([old, new]).policies
    assert joined.policies == RANDOM
    assert joined.subsets == (
        Subset(name="v1", labels=same, policies=RANDOM),
        Subset(name="v2"),
    )


def routed(name: str, precedence: int | None, **others: object) -> RouteRule:
    """A rule for the host a with one route of its name."""
    return RouteRule(
        name=name,
        hosts=("a",),
        precedence=precedence,
        http=(HttpRoute(name=name),),
        **others,  # type: ignore[arg-type]
    )


def test_rules_with_a_precedence_are_tried_together() -> None:
    """The highest first, then by name, whatever their age; others stay as they are."""
    rules = RuleSet.of(
        [
            routed("c", 1, created=1.0),
            routed("a", 1, created=2.0),
            routed("b", 5, created=3.0),
            routed("d", None),
            routed("e", None, created=9.0),
        ]
    ).routes
    assert [[route.name for route in rule.http] for rule in rules] == [
        ["d"],
        ["b", "a", "c"],
        ["e"],
    ]
