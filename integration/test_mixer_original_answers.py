"""The same documents in the original server and in ours, the same questions to both.

What is answered alike is one table. Each difference is a test of its own, which names where it
was decided.
"""

from __future__ import annotations

from collections import Counter
from contextlib import asynccontextmanager

import pytest

from meshregistry.mixer import Code
from mixer_both import Answer, Failed, both, documents
from mixer_original_questions import (
    ATTRIBUTES,
    DOCUMENTS,
    QUESTIONS,
    QUOTA_QUESTIONS,
    handler,
    instance,
    on,
    rule,
)


@pytest.fixture
def with_both(original, tmp_path):
    """Enters both servers with the documents of this file, or others."""

    @asynccontextmanager
    async def enter(*given, text=None):
        folder = tmp_path / "config"
        folder.mkdir()
        (folder / "mixer.yaml").write_text(text or documents(*(given or DOCUMENTS)))
        async with both(original, folder, tmp_path) as servers:
            assert () == servers.ours.status().faults
            yield servers

    return enter


def test_checks_are_answered_alike(with_both, run_async):
    """Code, message, duration, uses, references and header operations, to the last one."""

    async def main():
        async with with_both() as servers:
            found = [(one, *await servers.check(one)) for one in QUESTIONS]
        assert [] == [one for one in found if one[1] != one[2]]
        # The table would say little if everything were allowed.
        codes = Counter(answer.code for _, answer, _ in found)
        assert {0, 3, 7, 9, 16, "INTERNAL"} == codes.keys()
        print(f"{len(found)} checks are answered alike, {codes[0]} of them with OK")

    run_async(main())


def test_quotas_are_answered_alike(with_both, run_async):
    """Amounts, durations of what is granted, and references; names without regard to case."""

    async def main():
        async with with_both() as servers:
            granted = []
            for who, name, amount, is_best_effort in QUOTA_QUESTIONS:
                bag = {"source.name": who, "request.path": "/x"}
                theirs, ours = await servers.check(
                    bag, {name: amount}, is_best_effort=is_best_effort
                )
                said, own = theirs.quotas[name], ours.quotas[name]
                assert (said[0], said[2]) == (own[0], own[2]), (who, name, amount)
                if said[0]:
                    assert said[1] == own[1], (who, name, amount)
                if name != "unknown":
                    assert said[3] == own[3], (who, name, amount)
                granted.append(said[0])
            assert [3, 0, 2, 0, 3, 2, 0, 40, 0, 10, 1, 0, 3, 0, 1, 3, 1, 0, 4, 1, 7] == granted
            # A condition that is not met, and a denial: all of it, and nothing at all.
            bag = {"source.name": "ann", "request.path": "/free"}
            for answer in await servers.check(bag, {"calls": 200}):
                assert (200, 60.0) == answer.quotas["calls"][:2]
            for answer in await servers.check({"request.path": "/two"}, {"calls": 1}):
                assert {} == answer.quotas

    run_async(main())


def test_a_repeated_question_is_granted_once_by_both(with_both, run_async):
    """With what is left of the time."""

    async def main():
        async with with_both() as servers:
            bag = {"source.name": "ann", "request.path": "/x"}
            for _ in "12":
                answers = await servers.check(bag, {"calls": 3}, deduplication_id="same")
                assert [3, 3] == [one.quotas["calls"][0] for one in answers]
                assert all(3590 < one.quotas["calls"][1] <= 3600 for one in answers)
            answers = await servers.check(bag, {"calls": 2}, deduplication_id="other")
            assert [2, 2] == [one.quotas["calls"][0] for one in answers]

    run_async(main())


@pytest.mark.parametrize("words", [0, 111, 222])
def test_references_keep_to_the_words_that_the_client_knows(with_both, run_async, words):
    """Whatever the count, the names are the same."""

    async def main():
        async with with_both() as servers:
            theirs, ours = await servers.check({"request.path": "/headers"}, words=words)
            assert theirs == ours
            assert ("request.path", None, "exact") in ours.references

    run_async(main())


# --- What differs -------------------------------------------------------------------------


def test_more_words_than_there_are(with_both, run_async):
    """Decision 0024: INVALID_ARGUMENT, which makes clients use fewer; INTERNAL there."""

    async def main():
        async with with_both() as servers:
            asked = await servers.check({}, words=223)
            assert [Failed("INTERNAL"), Failed("INVALID_ARGUMENT")] == asked
            assert ["INTERNAL", "INVALID_ARGUMENT"] == await servers.report({}, words=223)

    run_async(main())


def test_a_refused_quota_says_how_long(with_both, run_async):
    """Decision 0022: the duration makes it an answer, and what is given back has a minus."""

    async def main():
        async with with_both() as servers:
            bag = {"source.name": "ann", "request.path": "/x"}
            refused = await servers.check(bag, {"calls": 6})
            assert [(0, 0.0), (0, 3600.0)] == [one.quotas["calls"][:2] for one in refused]
            await servers.check(bag, {"calls": 3})
            returned = await servers.check(bag, {"calls": -2})
            assert [(2, 0.0), (-2, 3600.0)] == [one.quotas["calls"][:2] for one in returned]
            # Either way it is there again.
            again = await servers.check(bag, {"calls": 4})
            assert [4, 4] == [one.quotas["calls"][0] for one in again]

    run_async(main())


def test_a_quota_that_cannot_be_evaluated(with_both, run_async):
    """Decision 0024: nothing is granted by either; we say why."""

    async def main():
        async with with_both() as servers:
            theirs, ours = await servers.check({"request.path": "/x"}, {"held": 1})
            assert [0, 0] == [one.quotas["held"][0] for one in (theirs, ours)]
            assert [Code.OK, Code.INTERNAL] == [one.quotas["held"][2] for one in (theirs, ours)]

    run_async(main())


def test_an_unknown_quota_reads_no_conditions(with_both, run_async):
    """Decision 0024: the rules of others do not matter for it."""

    async def main():
        async with with_both() as servers:
            theirs, ours = await servers.check({"request.path": "/x"}, {"unknown": 7})
            assert [(7, 60.0)] * 2 == [one.quotas["unknown"][:2] for one in (theirs, ours)]
            more = theirs.quotas["unknown"][3] - ours.quotas["unknown"][3]
            assert {("request.path", None, "exact")} == more

    run_async(main())


def test_header_operations_for_all_hold_for_namespaces_with_their_own(with_both, run_async):
    """Decision 0024: there the rules of a namespace put the default's aside, for headers only."""

    async def main():
        async with with_both() as servers:
            bag = {"request.path": "/team-headers", "destination.namespace": "team"}
            theirs, ours = await servers.check(bag)
            assert (True, False) == ("x-team" in theirs.route, "x-all" in theirs.route)
            assert (True, True) == ("x-team" in ours.route, "x-all" in ours.route)

    run_async(main())


def test_whole_maps_leave_a_reference(with_both, run_async):
    """Decision 0024: the original leaves none, and shares answers that differ."""
    given = (
        ATTRIBUTES,
        handler("yes", "noop"),
        instance(
            "who", "authorization", subject={"properties": {"all": "request.headers"}}, action={}
        ),
        rule("r", "true", ("yes", "who")),
    )

    async def main():
        async with with_both(*given) as servers:
            theirs, ours = await servers.check({"request.headers": {"a": "b"}})
            assert (theirs.code, theirs.seconds) == (ours.code, ours.seconds)
            assert {("request.headers", None, "exact")} == ours.references - theirs.references

    run_async(main())


def test_a_broken_check_fails(with_both, run_async):
    """Both say INTERNAL, unless another handler denied: decision 0024."""
    given = (
        ATTRIBUTES,
        handler("deny", "denier"),
        handler("yes", "noop"),
        instance("nothing", "checknothing"),
        instance("name", "listentry", value="source.name"),
        rule("broken", "true", ("yes", "name")),
        rule("deny", on("/no"), ("deny", "nothing")),
    )

    async def main():
        async with with_both(*given) as servers:
            assert [Failed("INTERNAL")] * 2 == await servers.check({})
            theirs, ours = await servers.check({"request.path": "/no"})
            assert Failed("INTERNAL") == theirs
            assert (9, "deny.istio-system:") == (ours.code, ours.message)
            fine = await servers.check({"source.name": "ann"})
            assert all(isinstance(one, Answer) and one.code == 0 for one in fine)

    run_async(main())


def test_reports_that_cannot_be_evaluated_leave_the_others_alone(with_both, run_async):
    """Both say UNKNOWN, and carry out the rest."""
    given = (
        ATTRIBUTES,
        handler("yes", "noop"),
        instance("entry", "logentry", severity='"info"', variables={"who": "source.name"}),
        rule("r", "true", ("yes", "entry")),
    )

    async def main():
        async with with_both(*given) as servers:
            assert ["OK", "OK"] == await servers.report({"source.name": "ann"})
            assert ["OK", "OK"] == await servers.report()
            assert ["UNKNOWN", "UNKNOWN"] == await servers.report({"source.name": "ann"}, {})

    run_async(main())


def test_words_of_yaml_that_are_no_texts_there(with_both, run_async):
    """Decision 0024: `no` is a truth value there, and the message of a denial is lost.

    Where a truth value is expected, it is one for both; and so is a choice by its number.
    """
    given = (
        ATTRIBUTES,
        handler("deny", "denier", status={"code": 7, "message": "NO"}),
        handler("list", "listchecker", overrides=["ann"], blacklist="YES", entryType=1),
        instance("nothing", "checknothing"),
        instance("name", "listentry", value='source.name | ""'),
        rule("r", on("/no"), ("deny", "nothing")),
        rule("s", on("/list"), ("list", "name")),
    )
    text = documents(*given).replace('"NO"', "no").replace('"YES"', "yes")

    async def main():
        async with with_both(text=text) as servers:
            theirs, ours = await servers.check({"request.path": "/list", "source.name": "ANN"})
            assert theirs == ours
            assert 7 == ours.code
            theirs, ours = await servers.check({"request.path": "/no"})
            assert (7, "deny.istio-system:") == (theirs.code, theirs.message)
            assert (7, "deny.istio-system:no") == (ours.code, ours.message)

    run_async(main())


def test_a_text_where_a_map_is_declared(with_both, run_async):
    """Decision 0024: ends the original; nobody's rules are met by it here."""

    async def main():
        async with with_both() as servers:
            theirs, ours = await servers.check({"request.headers": "x", "request.path": "/plain"})
            assert Failed("UNAVAILABLE") == theirs
            assert (9, "plain.istio-system:") == (ours.code, ours.message)

    run_async(main())
