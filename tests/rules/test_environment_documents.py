"""Environment documents: what they become, and what is wrong with them."""

from __future__ import annotations

import pytest

from meshregistry.model import Labels
from meshregistry.rules import Environment, HttpMatch, NamedMatch, TextMatch, TextMatchKind

API = "meshregistry.dev/v1"
MATCH = "match: {headers: {x-env: {exact: alice}}}"


def test_a_short_one(spec):
    """Its name is the value of the label env, and it falls back to what is in none."""
    (environment,) = spec("Environment", f"{{{MATCH}}}", API).rules
    assert environment == Environment(
        namespace="shop",
        name="a",
        match=HttpMatch(headers=(NamedMatch("x-env", TextMatch(TextMatchKind.EXACT, "alice")),)),
        labels=Labels({"env": "a"}),
    )
    assert environment.subset == "env=a"


def test_a_long_one(spec):
    """Every field."""
    (environment,) = spec(
        "Environment",
        "{match: {headers: {a: {}}, withoutHeaders: {b: {prefix: x}}, "
        "queryParams: {c: {regex: y}}}, label: stage, value: q, fallback: team}",
        API,
    ).rules
    assert environment.match == HttpMatch(
        headers=(
            NamedMatch("a", TextMatch(TextMatchKind.PRESENT)),
            NamedMatch("b", TextMatch(TextMatchKind.PREFIX, "x"), is_inverted=True),
        ),
        query=(NamedMatch("c", TextMatch(TextMatchKind.REGEX, "y")),),
    )
    assert (environment.labels, environment.fallback) == (Labels({"stage": "q"}), "team")


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("{}", "spec.match", "match"),
        ("{match: {}}", "spec.match", "every request"),
        ("{match: {headers: {X: {}}}}", "spec.match.headers.X", "lower case"),
        (f"{{{MATCH}, fallback: a}}", "spec.fallback", "fall back to itself"),
        (f"{{{MATCH}, label: ''}}", "spec.label", "label"),
    ],
)
def test_what_is_wrong_has_a_place_and_no_rules(spec, text, place, reason):
    """And a reason."""
    reading = spec("Environment", text, API)
    assert reading.rules == ()
    assert any(one.field == place and reason in one.message for one in reading.errors), (
        reading.errors
    )
