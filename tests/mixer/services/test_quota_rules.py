"""Rules that say which quotas a request is charged for."""

from __future__ import annotations

import pytest

from meshregistry.mixer import AttributeBag, Clause, QuotaRule, QuotaRules

RULES = QuotaRules(
    [
        QuotaRule({"all": 1}),
        QuotaRule(
            {"all": 2, "api": 1},
            [
                {"request.path": Clause(prefix="/api/"), "request.method": Clause(exact="POST")},
                {"source.user": Clause(regex="robot-[0-9]+")},
            ],
        ),
    ]
)


@pytest.mark.parametrize(
    ("values", "amounts"),
    [
        ({}, {"all": 1}),
        ({"request.path": "/api/x", "request.method": "POST"}, {"all": 3, "api": 1}),
        ({"request.path": "/api/x", "request.method": "GET"}, {"all": 1}),
        ({"source.user": "robot-7"}, {"all": 3, "api": 1}),
        ({"source.user": "a robot-7"}, {"all": 1}),
        ({"source.user": 7}, {"all": 1}),
    ],
)
def test_every_rule_that_matches_adds_its_charges(values, amounts):
    """All clauses of one match hold, or those of another; a rule without matches always does."""
    assert amounts == RULES(AttributeBag(values))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "one of exact, prefix and regex"),
        ({"exact": "a", "prefix": "b"}, "one of exact, prefix and regex"),
        ({"regex": "("}, "'(' is not a regular expression"),
    ],
)
def test_a_clause_is_one_condition(arguments, words):
    """Anything else is told when it is made."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the words are compared below
        Clause(**arguments)
    assert words in str(caught.value)
