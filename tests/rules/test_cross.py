"""What is wrong between documents that are each well formed."""

from __future__ import annotations

from typing import Any

import pytest

from meshregistry.model import Hostname
from meshregistry.rules import (
    CallerMatch,
    Destination,
    DestinationPolicy,
    Gateway,
    GatewayServer,
    HttpMatch,
    HttpRoute,
    Mirror,
    NamedMatch,
    Origin,
    RouteRule,
    Subset,
    TextMatch,
    TextMatchKind,
    WeightedDestination,
    cross_findings,
)
from meshregistry.rules._cross import is_covered

A = Hostname("a.shop")


def to(subset: str = "", **others: Any) -> HttpRoute:
    """A route to the host a."""
    share = WeightedDestination(destination=Destination(A, subset))
    return HttpRoute(**{"destinations": (share,), **others})


def rule(*routes: HttpRoute, **others: Any) -> RouteRule:
    """A rule for the host a."""
    return RouteRule(
        **{"namespace": "n", "name": "r", "hosts": ("a.shop",), "http": routes, **others}
    )


def said(*rules: Any, known: Any = None) -> tuple[list[str], list[str]]:
    """The reasons of errors and of warnings."""
    found = cross_findings(rules, known)
    return [one.reason for one in found.errors], [one.reason for one in found.warnings]


def test_a_subset_that_nobody_defines() -> None:
    """Once for each route, also of a mirror; by a wildcard it may be defined."""
    mirrored = to("v1", mirrors=(Mirror(destination=Destination(A, "v3")),))
    policy = DestinationPolicy(host="*.shop", subsets=(Subset(name="v1"),))
    errors, _ = said(rule(mirrored), policy)
    assert errors == [
        "no DestinationRule defines the subset v3 of a.shop; those of the host are v1"
    ]
    errors, _ = said(rule(to("v1")))
    assert errors[0].endswith("it has none")


def test_a_finding_has_a_place_and_a_remedy() -> None:
    """That of the route."""
    origin = Origin(file="x.yaml", line=7, path="spec.http[0]")
    (error,) = cross_findings([rule(to("v1", origin=origin))]).errors
    assert (error.file, error.line, error.field) == ("x.yaml", 7, "spec.http[0]")
    assert error.remedy


def test_gateways_that_are_not_there_or_have_another_host() -> None:
    """Those that a match names, too; sections are of their gateway."""
    gateway = Gateway(
        namespace="n", name="edge", servers=(GatewayServer(port=80, hosts=("n/b.shop",)),)
    )
    wanted = rule(
        to(matches=(HttpMatch(caller=CallerMatch(gateways=("n/gone",))),)),
        gateways=("mesh", "n/edge/web"),
    )
    errors, _ = said(wanted, gateway)
    assert errors == [
        "no server of the gateway n/edge has a host of the rule",
        "there is no gateway n/gone",
    ]
    every = Gateway(namespace="n", name="edge", servers=(GatewayServer(port=80),))
    assert said(rule(to(), gateways=("n/edge",)), every) == ([], [])


def test_delegates_that_are_not_there_or_are_none() -> None:
    """And documents that nobody delegates to."""
    target = rule(to(), name="t", hosts=())
    further = rule(HttpRoute(delegate="n/t"), name="f", hosts=())
    whole = rule(to(), name="w", hosts=("w.shop",))
    root = rule(*(HttpRoute(delegate=f"n/{one}", matches=(path(one),)) for one in "tfwx"))
    errors, warnings = said(target, further, whole, root)
    assert errors == [
        "a document without hosts cannot delegate further",
        "n/w has hosts of its own",
        "there is no document n/x to delegate to",
    ]
    assert warnings == []
    assert said(target)[1] == ["has no hosts, and no document delegates to it"]


def test_a_host_that_two_rules_claim() -> None:
    """For sidecars; rules with a precedence share it, and other namespaces have their own."""
    _, warnings = said(rule(to()), rule(to(), name="s"), rule(to(), name="p", precedence=1))
    assert len(warnings) == 1
    assert warnings[0].startswith("sidecars route a.shop by")
    assert said(rule(to()), rule(to(), name="s", export_to=(".",)))[1] == []


def test_a_host_that_no_source_knows() -> None:
    """If somebody knows them all."""
    assert said(rule(to(), to()), known={"b.shop"})[1][-1] == "no source knows the host a.shop"
    assert said(rule(to()), known={"a.shop"}) == ([], [])


def path(name: str, kind: TextMatchKind = TextMatchKind.PREFIX, **others: Any) -> HttpMatch:
    """A condition on the path."""
    return HttpMatch(path=TextMatch(kind, f"/{name}"), **others)


def test_a_route_that_nothing_reaches() -> None:
    """If each of its matches is taken before, from the same callers."""
    first = to(matches=(path("a"),), origin=Origin(line=3))
    dead = to(matches=(path("a/b"), path("a", TextMatchKind.EXACT)))
    alive = to(matches=(path("a/b"), path("c")))
    elsewhere = to(matches=(path("a", caller=CallerMatch(port=80)),))
    _, warnings = said(rule(first, dead, alive, elsewhere, to(), to()))
    assert warnings == [
        "no request gets here: the route of line 3 takes them all",
        "no request gets here: the route of line None takes them all",
    ]


GET = TextMatch(TextMatchKind.EXACT, "GET")
X = NamedMatch("x", TextMatch(TextMatchKind.PRESENT))


@pytest.mark.parametrize(
    ("inner", "outer", "expected"),
    [
        (HttpMatch(), HttpMatch(), True),
        (path("a"), HttpMatch(), True),
        (HttpMatch(), path("a"), False),
        (HttpMatch(), path(""), True),
        (path("ab"), path("a"), True),
        (path("ab"), path("a", TextMatchKind.SEGMENTS), False),
        (path("a/b"), path("a", TextMatchKind.SEGMENTS), True),
        (path("a"), path("a", TextMatchKind.SEGMENTS), False),
        (path("a", TextMatchKind.EXACT), path("a", TextMatchKind.SEGMENTS), True),
        (path("a", TextMatchKind.SEGMENTS), path("a"), True),
        (path("a"), path("a", TextMatchKind.EXACT), False),
        (path("a", TextMatchKind.REGEX), path("a"), False),
        (path("a", TextMatchKind.REGEX), path("a", TextMatchKind.REGEX), True),
        (path("a", is_case_ignored=True), path("a"), False),
        (path("a"), path("a", is_case_ignored=True), True),
        (HttpMatch(method=GET), HttpMatch(), True),
        (HttpMatch(), HttpMatch(method=GET), False),
        (HttpMatch(method=GET), HttpMatch(method=GET), True),
        (HttpMatch(headers=(X,)), HttpMatch(), True),
        (HttpMatch(), HttpMatch(headers=(X,)), False),
        (HttpMatch(query=(X,)), HttpMatch(query=(X,)), True),
    ],
)
def test_a_condition_covers_another(inner: HttpMatch, outer: HttpMatch, expected: bool) -> None:
    """If it takes all that the other takes, for certain."""
    assert is_covered(inner, outer) is expected
