"""Conditions within conditions, and routes that are handed over."""

from __future__ import annotations

import pytest

from meshregistry.documents import Seconds
from meshregistry.model import Labels
from meshregistry.rules import (
    CallerMatch,
    DirectResponse,
    HttpMatch,
    HttpRoute,
    NamedMatch,
    Rewrite,
    RouteRule,
    RuleSet,
    TextMatch,
    TextMatchKind,
)
from meshregistry.rules._delegation import narrowed


def path(kind: TextMatchKind, value: str, **others: bool) -> HttpMatch:
    """A condition on the path."""
    return HttpMatch(path=TextMatch(kind, value), **others)


EXACT, PREFIX, SEGMENTS, REGEX = (
    TextMatchKind.EXACT,
    TextMatchKind.PREFIX,
    TextMatchKind.SEGMENTS,
    TextMatchKind.REGEX,
)
GET = TextMatch(EXACT, "GET")
HEADER = NamedMatch("x", TextMatch(EXACT, "1"))
OTHER = NamedMatch("y", TextMatch(EXACT, "1"))


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        (HttpMatch(), path(EXACT, "/a")),
        (path(PREFIX, "/a"), path(EXACT, "/ab")),
        (path(PREFIX, "/a"), path(PREFIX, "/a/b")),
        (path(SEGMENTS, "/a"), path(SEGMENTS, "/a/b")),
        (path(SEGMENTS, "/a"), path(EXACT, "/a")),
        (path(PREFIX, "/A", is_case_ignored=True), path(EXACT, "/ab")),
    ],
)
def test_a_path_within_another_one_stays(outer: HttpMatch, inner: HttpMatch) -> None:
    """The narrower one holds."""
    found = narrowed(outer, inner)
    assert found is not None
    assert found.path == inner.path


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        (path(PREFIX, "/a"), path(PREFIX, "/b")),
        (path(SEGMENTS, "/a"), path(PREFIX, "/ab")),
        (path(SEGMENTS, "/a"), path(PREFIX, "/a")),
        (path(EXACT, "/a"), path(EXACT, "/a")),
        (path(REGEX, "/a"), path(EXACT, "/a")),
        (path(PREFIX, "/a"), path(REGEX, "/a.*")),
        (path(PREFIX, "/a"), path(EXACT, "/ab", is_case_ignored=True)),
        (HttpMatch(method=GET), HttpMatch(method=GET)),
        (HttpMatch(headers=(HEADER,)), HttpMatch(headers=(HEADER,))),
        (HttpMatch(query=(HEADER,)), HttpMatch(query=(HEADER,))),
    ],
)
def test_what_is_not_within_is_no_condition(outer: HttpMatch, inner: HttpMatch) -> None:
    """As in Istio, said twice is a conflict, except for a path under a prefix."""
    assert narrowed(outer, inner) is None


def test_what_one_of_them_says_holds() -> None:
    """Of each part."""
    outer = HttpMatch(
        name="o", headers=(HEADER,), method=GET, is_case_ignored=True, stat_prefix="s"
    )
    inner = HttpMatch(name="i", headers=(OTHER,), path=TextMatch(EXACT, "/a"), query=(HEADER,))
    assert narrowed(outer, inner) == HttpMatch(
        name="o-i",
        headers=(HEADER, OTHER),
        method=GET,
        path=TextMatch(EXACT, "/a"),
        query=(HEADER,),
        stat_prefix="s",
    )


CALLER = CallerMatch(
    port=80, source_labels=Labels({"a": "1"}), source_namespace="n", gateways=("n/g", "n/h")
)


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        (CallerMatch(gateways=("n/g",)), ("n/g",)),
        (CallerMatch(gateways=("n/g",), port=80, source_namespace="n"), ("n/g",)),
        (CallerMatch(gateways=("n/g", "n/x")), None),
        (CallerMatch(port=81), None),
        (CallerMatch(source_namespace="m"), None),
        (CallerMatch(source_labels=Labels({"a": "2"})), None),
        (CallerMatch(source_labels=Labels({"b": "2"})), ("n/g", "n/h")),
    ],
)
def test_callers_are_those_that_both_mean(inner: CallerMatch, expected: object) -> None:
    """Ports, labels, namespaces and gateways."""
    found = narrowed(HttpMatch(caller=CALLER), HttpMatch(caller=inner))
    assert (None if found is None else found.caller.gateways) == expected


def handed(*targets: HttpRoute, **others: object) -> tuple[HttpRoute, ...]:
    """The routes of a rule that hands /a to another one."""
    route = HttpRoute(
        name="r",
        matches=(path(PREFIX, "/a"),),
        delegate="shop/other",
        timeout=Seconds(3.0),
        **others,  # type: ignore[arg-type]
    )
    root = RouteRule(namespace="shop", name="root", hosts=("h",), http=(route,))
    other = RouteRule(namespace="shop", name="other", http=targets)
    (rule,) = RuleSet.of([root, other] if targets else [root]).routes
    return rule.http


def test_the_other_rule_s_routes_take_over_within_the_condition() -> None:
    """What it does not say, the handing route says; what is not within is left out."""
    inner = HttpRoute(name="b", matches=(path(EXACT, "/a/b"), path(EXACT, "/c")))
    whole = HttpRoute(name="c", timeout=Seconds(1.0))
    outside = HttpRoute(matches=(path(EXACT, "/d"),))
    first, second = handed(inner, whole, outside, rewrite=Rewrite(authority="x"))
    assert (first.name, first.matches, first.timeout) == ("r-b", (path(EXACT, "/a/b"),), 3.0)
    assert (second.name, second.matches, second.timeout) == ("r-c", (path(PREFIX, "/a"),), 1.0)
    assert first.rewrite == second.rewrite == Rewrite(authority="x")


def test_what_nobody_takes_over_is_unavailable() -> None:
    """No later route takes it by mistake; a second level is nobody, too."""
    (route,) = handed()
    assert (route.delegate, route.response) == ("", DirectResponse(status=503))
    assert handed(HttpRoute(delegate="shop/third")) == ()
