"""Test environments: whose requests go to whose endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshregistry.generate import Pipeline, World
from meshregistry.generate._isolation import Isolation, present
from meshregistry.model import (
    CLUSTER,
    ENDPOINT,
    ROUTE,
    Catalog,
    Endpoint,
    Hostname,
    Labels,
    Proxy,
    ProxyRole,
)
from meshregistry.rules import (
    Destination,
    DestinationPolicy,
    Environment,
    HttpMatch,
    HttpRoute,
    NamedMatch,
    Origin,
    Redirect,
    RouteRule,
    RuleSet,
    Subset,
    TextMatch,
    TextMatchKind,
    WeightedDestination,
)

if TYPE_CHECKING:
    from conftest import EntryOf


def header(value: str) -> HttpMatch:
    """A condition on x-env."""
    return HttpMatch(headers=(NamedMatch("x-env", TextMatch(TextMatchKind.EXACT, value)),))


def environment(name: str, fallback: str = "") -> Environment:
    """The environment of requests with its name in x-env, and of endpoints with it in env."""
    return Environment(
        name=name, match=header(name), labels=Labels({"env": name}), fallback=fallback
    )


ALICE, BOB = environment("alice"), environment("bob", fallback="alice")
A, B = Hostname("a.shop"), Hostname("b.shop")
ISOLATION = Isolation(environments=(ALICE, BOB), present=frozenset({("a.shop", "env=alice")}))


def to(*destinations: Destination, **others: object) -> HttpRoute:
    """A route with equal weights."""
    shares = tuple(WeightedDestination(destination=one) for one in destinations)
    return HttpRoute(destinations=shares, **others)  # type: ignore[arg-type]


def test_an_environment_has_the_services_that_it_has_endpoints_of(entry_of: EntryOf) -> None:
    """Of any health and port."""
    mine = Endpoint(address="10.0.0.1", port=80, labels=Labels({"env": "alice"}))
    entries = [
        entry_of("a.shop", endpoints=(mine,)),
        entry_of("b.shop", endpoints=("10.0.0.2:80",)),
    ]
    assert set(present((ALICE, BOB), entries)) == {("a.shop", "env=alice")}


@pytest.mark.parametrize(
    ("one", "host", "subset"),
    [
        (ALICE, "a.shop", "env=alice"),
        (ALICE, "b.shop", ""),
        (BOB, "a.shop", "env=alice"),
        (BOB, "b.shop", ""),
    ],
)
def test_what_an_environment_lacks_its_fallback_has(
    one: Environment, host: str, subset: str
) -> None:
    """And what that lacks, the next; at last what is in no environment."""
    assert ISOLATION.at(one, host) == subset


def test_fallbacks_in_a_circle_end() -> None:
    """At what is in no environment."""
    circle = (environment("x", "y"), environment("y", "x"))
    isolation = Isolation(environments=circle, present=frozenset({("a", "env=z")}))
    assert isolation.at(circle[0], "a") == ""


def test_requests_of_an_environment_go_by_the_same_routes() -> None:
    """All of them, in the same order, to its own versions where it has some."""
    away = HttpRoute(
        matches=(HttpMatch(method=TextMatch(TextMatchKind.EXACT, "PUT")),), redirect=Redirect()
    )
    split = to(Destination(A, "v1"), Destination(A, "v2"), Destination(B), name="split")
    rule = ISOLATION.rule(RouteRule(hosts=("a.shop",), http=(away, split)))
    alice_away, alice_split, *bob = rule.http[:4]
    assert alice_away.redirect == Redirect()
    assert alice_away.matches[0].headers == ALICE.match.headers
    assert alice_away.matches[0].method == away.matches[0].method
    assert alice_split.matches == (ALICE.match,)
    assert [(one.destination, one.weight) for one in alice_split.destinations] == [
        (Destination(A, "env=alice"), 2),
        (Destination(B), 1),
    ]
    assert [one.matches[0].headers for one in bob] == [BOB.match.headers] * 2
    assert rule.http[4:] == (away, split)


def test_a_rule_without_a_version_of_any_environment_stays_as_it_is() -> None:
    """The same object."""
    rule = RouteRule(hosts=("b.shop",), http=(to(Destination(B)),))
    assert ISOLATION.rule(rule) is rule


def test_a_route_that_tells_by_the_same_header_is_for_nobody_in_an_environment() -> None:
    """Nobody could match both."""
    mine = to(Destination(A), matches=(header("carol"),))
    rule = ISOLATION.rule(RouteRule(hosts=("a.shop",), http=(mine, to(Destination(A)))))
    assert [one.matches for one in rule.http] == [
        (ALICE.match,),
        (BOB.match,),
        (header("carol"),),
        (),
    ]


def test_a_host_without_a_rule_gets_one_for_environments_only() -> None:
    """All other requests go to the service, as before."""
    rule = ISOLATION.rule_of("a.shop")
    assert rule is not None
    assert rule.precedence is not None
    assert [one.matches for one in rule.http] == [(ALICE.match,), (BOB.match,)]
    assert ISOLATION.rule_of("b.shop") is None


def test_endpoints_of_environments_are_set_apart_in_the_policy() -> None:
    """With subsets of their own beside those that are written."""
    written = DestinationPolicy(host="a.shop", subsets=(Subset(name="v1"),))
    policy = ISOLATION.policy("a.shop", written)
    assert policy is not None
    assert [subset.name for subset in policy.subsets] == ["v1", "env=alice"]
    assert policy.set_apart == (Labels({"env": "alice"}),)
    assert ISOLATION.policy("b.shop", None) is None


def test_a_proxy_is_sent_routes_and_endpoints_apart(entry_of: EntryOf) -> None:
    """As soon as the first endpoint is there, and no longer than the last one."""
    mine = Endpoint(address="10.0.0.9", port=80, labels=Labels({"env": "alice"}))
    common = Endpoint(address="10.0.0.1", port=80)
    rules = RuleSet.of([environment("alice")])
    without = World(catalog=Catalog.of([entry_of("a.shop", endpoints=(common,))]), rules=rules)
    pipeline = Pipeline()
    proxy = Proxy(node_id="x", role=ProxyRole.SIDECAR, namespace="shop")

    def sent(world: World) -> dict[str, dict[str, bytes]]:
        resources = pipeline.derive(world, pipeline.proxy_key(world, proxy)).resources
        return {
            url: {one.name: one.bytes for one in resources.resources(url)}
            for url in (CLUSTER, ENDPOINT, ROUTE)
        }

    before = sent(without)
    assert "outbound|80|env=alice|a.shop" not in before[CLUSTER]
    entry = entry_of("a.shop", endpoints=(common, mine))
    after = sent(World(catalog=Catalog.of([entry]), rules=rules))
    assert "outbound|80|env=alice|a.shop" in after[CLUSTER]
    assert b"10.0.0.9" in after[ENDPOINT]["outbound|80|env=alice|a.shop"]
    assert b"10.0.0.1" not in after[ENDPOINT]["outbound|80|env=alice|a.shop"]
    assert after[ENDPOINT]["outbound|80||a.shop"] == before[ENDPOINT]["outbound|80||a.shop"]
    assert b"x-env" in after[ROUTE]["80"]
    assert sent(without) == before


def test_messages_name_the_document(entry_of: EntryOf) -> None:
    """Of the route if it was written, else of the environment."""
    one = Environment(
        name="alice", match=header("alice"), labels=ALICE.labels, origin=Origin(file="env.yaml")
    )
    isolation = Isolation(environments=(one,), present=ISOLATION.present)
    made = isolation.rule_of("a.shop")
    assert made is not None
    assert made.http[0].origin.file == "env.yaml"
