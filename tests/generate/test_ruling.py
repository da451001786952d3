"""Which rules hold for which proxies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from meshregistry.generate._route_match import CalledAt
from meshregistry.generate._ruling import (
    Caller,
    Policies,
    Routing,
    policies,
    policy_audience,
    route_audience,
    routing,
)
from meshregistry.model import Labels, Selector
from meshregistry.rules import (
    Balancing,
    CallerMatch,
    ConnectionPool,
    DestinationPolicy,
    Gateway,
    HttpMatch,
    HttpRoute,
    LoadBalancer,
    LocalityBalancing,
    PortPolicies,
    RouteRule,
    RuleSet,
    Subset,
    TrafficPolicy,
)

if TYPE_CHECKING:
    from conftest import EntryOf


def balanced(how: Balancing, **others: Any) -> PortPolicies:
    """Policies for all ports that balance in one way."""
    return PortPolicies(all=TrafficPolicy(load_balancer=LoadBalancer(balancing=how), **others))


def test_only_facts_that_some_rule_asks_for_tell_callers_apart() -> None:
    """Everybody else is one caller, however many namespaces and labels there are."""
    match = HttpMatch(
        caller=CallerMatch(source_labels=Labels({"app": "a"}), source_namespace="shop")
    )
    rules = RuleSet(
        routes=(
            RouteRule(namespace="pay", export_to=(".", "x"), http=(HttpRoute(matches=(match,)),)),
        ),
        gateways=(Gateway(selector=Selector({"gate": "edge"})),),
    )
    audience = route_audience(rules)
    assert audience.namespaces == {"pay", "x", "shop"}
    assert audience.label_keys == {"app", "gate"}
    assert audience.caller("other", {"app": "b", "version": "1"}) == Caller(
        labels=Labels({"app": "b"})
    )


def test_a_policy_tells_its_own_namespace_from_others() -> None:
    """Callers of the policy's namespace go by it first, so that they are others than the rest."""
    local = LoadBalancer(locality=LocalityBalancing())
    some = (
        DestinationPolicy(host="a", namespace="shop", selector=Selector({"app": "x"})),
        DestinationPolicy(host="b", namespace="root"),
    )
    audience = policy_audience(RuleSet(policies=some), "root")
    assert audience.namespaces == {"shop"}
    assert audience.label_keys == {"app"}
    assert not audience.is_locality_read
    placed = DestinationPolicy(
        host="a",
        subsets=(Subset(name="s", policies=PortPolicies(all=TrafficPolicy(load_balancer=local))),),
    )
    assert policy_audience(RuleSet(policies=(placed,)), "root").is_locality_read


def test_the_most_specific_host_decides_then_age() -> None:
    """An exact host beats wildcards, a longer wildcard a shorter; the first of equals wins."""
    names = {"any": "*", "shop": "*.shop", "a": "a.shop", "later": "a.shop"}
    made = routing(
        RuleSet(routes=tuple(RouteRule(name=name, hosts=(host,)) for name, host in names.items())),
        Caller(),
    )
    found = [made.rule(host) for host in ("a.shop", "b.shop", "elsewhere")]
    assert [rule.name for rule in found if rule] == ["a", "shop", "any"]
    assert Routing().rule("a.shop") is None


def test_rules_of_gateways_are_not_for_sidecars() -> None:
    """Each is found by the gateway that it names, also if only a match names it."""
    match = HttpMatch(caller=CallerMatch(gateways=("shop/edge",)))
    rules = (
        RouteRule(name="edge", hosts=("a",), gateways=("shop/edge",)),
        RouteRule(name="both", hosts=("b",), http=(HttpRoute(matches=(match,)),)),
    )
    made = Routing(rules=rules)
    assert made.rule("a") is None
    assert list(made.hosts) == ["b"]
    assert [rule.name for rule in made.at_gateway(CalledAt(gateway="shop/edge"))] == [
        "edge",
        "both",
    ]


def test_what_is_not_exported_to_a_namespace_is_not_there() -> None:
    """``.`` is the rule's own namespace."""
    rules = RuleSet(
        routes=(RouteRule(namespace="shop", hosts=("a",), export_to=(".",)),),
        policies=(DestinationPolicy(host="a", namespace="shop", export_to=("pay",)),),
    )
    assert routing(rules, Caller(namespace="shop")).rule("a") is not None
    assert routing(rules, Caller()).rule("a") is None
    assert [len(policies(rules, Caller(namespace=own), "").policies) for own in ("pay", "")] == [
        1,
        0,
    ]


@pytest.mark.parametrize(
    ("client", "homes", "chosen"),
    [
        ("web", ["root", "shop", "web", ""], "web"),
        ("pay", ["root", "shop", "web", ""], "shop"),
        ("pay", ["root", "web", ""], "root"),
        ("root", ["root", "web", ""], "root"),
        ("pay", [""], ""),
        ("pay", ["other"], None),
    ],
)
def test_the_client_decides_then_the_service_then_the_mesh(
    entry_of: EntryOf, client: str, homes: list[str], chosen: str | None
) -> None:
    """The order in which Istio looks for the policy of a host."""
    service = entry_of("a.shop", namespace="shop").service
    some = tuple(DestinationPolicy(host="a.shop", namespace=home) for home in homes)
    found = Policies(caller=Caller(namespace=client), root="root", policies=some).of(service)
    assert (found.namespace if found else None) == chosen


def test_a_policy_for_some_workloads_is_completed_by_the_one_for_all(entry_of: EntryOf) -> None:
    """What it does not say is as for everybody else in the namespace."""
    general = DestinationPolicy(
        host="a.shop",
        namespace="web",
        policies=balanced(Balancing.RANDOM, connection_pool=ConnectionPool(max_connections=1)),
        subsets=(Subset(name="v1"), Subset(name="v2", labels=Labels({"general": "1"}))),
    )
    own = DestinationPolicy(
        host="a.shop",
        namespace="web",
        selector=Selector({"app": "x"}),
        policies=balanced(Balancing.ROUND_ROBIN),
        subsets=(Subset(name="v2"), Subset(name="v3")),
    )
    service = entry_of("a.shop").service

    def found(app: str) -> DestinationPolicy | None:
        caller = Caller(namespace="web", labels=Labels({"app": app}))
        return Policies(caller=caller, policies=(general, own)).of(service)

    assert found("y") is general
    merged = found("x")
    assert merged is not None
    assert merged.subsets == (Subset(name="v2"), Subset(name="v3"), Subset(name="v1"))
    policy = merged.policy(80, "v1")
    assert policy.load_balancer is not None
    assert policy.load_balancer.balancing is Balancing.ROUND_ROBIN
    assert policy.connection_pool == ConnectionPool(max_connections=1)


def test_an_exact_host_beats_wildcards_and_a_longer_one_a_shorter(entry_of: EntryOf) -> None:
    """Of the policies of one namespace."""
    some = tuple(DestinationPolicy(name=host, host=host) for host in ("*", "a.shop", "*.shop"))
    found = [
        Policies(policies=some).of(entry_of(host).service) for host in ("a.shop", "b.shop", "c.pay")
    ]
    assert [policy.name for policy in found if policy] == ["a.shop", "*.shop", "*"]
