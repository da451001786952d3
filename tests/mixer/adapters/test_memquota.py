"""``memquota`` counts what is taken, in the memory of one server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from meshregistry.mixer import StringMap
from meshregistry.mixer.adapters._dimensions import equals, key_of
from meshregistry.mixer.spi import Quota, QuotaLimit, QuotaRequest

NAME = "q.instance.ns"
INSTANCES = ("q: quota {dimensions: {user: source.user, code: response.code}}",)
LIMIT = f"name: {NAME}, maxAmount: 3, validDuration: 1s"


def quota(user="ann", **more):
    """An instance."""
    return Quota(name=NAME, dimensions={"user": user, "code": 200, **more})


@pytest.fixture
def ask(adapters, run_async):
    """Opens a handler; asks it, one after the other."""

    def opened(limit=LIMIT, more=""):
        handler, context = adapters.open("memquota", f"{{quotas: [{{{limit}}}]{more}}}", INSTANCES)

        def asked(amount, instance=None, *, at=0.0, best_effort=False, id=""):  # noqa: A002 - its name
            request = QuotaRequest(amount=amount, is_best_effort=best_effort, deduplication_id=id)

            async def main():
                await context.clock.advance(at - context.clock.now())
                return await handler.quota(instance or quota(), request)

            answer = run_async(main())
            return answer.amount, round(answer.valid_duration, 6)

        return asked, context

    return opened


def test_a_quota_runs_out_and_comes_back(ask):
    """All or nothing, until the window has rolled on."""
    asked, context = ask()
    assert (2, 1.0) == asked(2)
    assert (0, 1.0) == asked(2, at=0.5)
    assert (1, 1.0) == asked(1, at=0.5)
    assert (0, 1.0) == asked(1, at=1.0)
    assert (2, 1.0) == asked(2, at=1.1)
    assert 2 == context.counts["exhausted"]


def test_the_duration_is_the_configured_one(adapters, run_async):
    """To the last digit, whatever the clock says."""
    limit = f"{{quotas: [{{name: {NAME}, maxAmount: 3, validDuration: 3600s}}]}}"
    handler, context = adapters.open("memquota", limit, INSTANCES)

    async def main():
        # The sum of both is rounded up.
        await context.clock.advance(13_437.290047)
        return await handler.quota(quota(), QuotaRequest(amount=1, deduplication_id="x"))

    assert 3600.0 == run_async(main()).valid_duration


def test_best_effort_gets_the_rest(ask):
    """Down to nothing."""
    asked, _ = ask()
    assert (3, 1.0) == asked(5, best_effort=True)
    assert (0, 1.0) == asked(5, best_effort=True)


def test_each_set_of_dimensions_counts_for_itself(ask):
    """All dimensions are part of it, and values cannot pretend to be others."""
    asked, _ = ask()
    asked(3)
    assert (3, 1.0) == asked(3, quota("ben"))
    keys = {key_of(quota(one)) for one in ("a", "a;code=200", "a=b", "")}
    assert 4 == len(keys)


def test_the_first_override_that_fits_counts(ask):
    """Some of the dimensions are enough; numbers are compared as such."""
    asked, _ = ask(
        LIMIT + ", overrides: [{dimensions: {user: ann, code: '+200'}, maxAmount: 5,"
        " validDuration: 2s}, {dimensions: {code: 200}, maxAmount: 1, validDuration: 1s}]"
    )
    assert (5, 2.0) == asked(5)
    assert (0, 1.0) == asked(2, quota("ben"))
    assert (3, 1.0) == asked(3, quota("ben", code=404))


def test_a_repetition_is_granted_once(ask):
    """It gets what was granted, for as long as that still holds; without an id it is none."""
    asked, _ = ask()
    assert (2, 1.0) == asked(2, id="x")
    assert (2, 0.7) == asked(2, id="x", at=0.3)
    assert (1, 1.0) == asked(1, at=0.3)
    assert (0, 1.0) == asked(1, at=0.3)
    assert (0, 1.0) == asked(1, quota("ann"), id="y", at=0.3)


def test_an_id_is_one_of_its_dimensions(ask):
    """Two users' equal ids are two requests."""
    asked, _ = ask()
    assert (3, 1.0) == asked(3, id="x")
    assert (2, 1.0) == asked(2, quota("ben"), id="x")


def test_an_allocation_is_given_back(ask):
    """Without a duration nothing comes back by itself; what is given back has a minus."""
    asked, _ = ask(f"name: {NAME}, maxAmount: 3")
    assert (3, 0.0) == asked(3)
    assert (0, 0.0) == asked(1, at=1000.0)
    assert (-2, 0.0) == asked(-2, at=1000.0)
    assert (2, 0.0) == asked(2, at=1000.0)


def test_what_is_left_is_said(adapters, run_async):
    """Of the limit that counts for these dimensions, after the answer; a repetition takes nothing."""
    override = f"{LIMIT}, overrides: [{{dimensions: {{user: ben}}, maxAmount: 2}}]"
    handler, context = adapters.open("memquota", f"{{quotas: [{{{override}}}]}}", INSTANCES)

    async def limit(amount, user="ann", id=""):  # noqa: A002 - its name
        answer = await handler.quota(quota(user), QuotaRequest(amount=amount, deduplication_id=id))
        return answer.limit

    async def main():
        assert QuotaLimit(amount=3, window=1.0, remaining=1) == await limit(2, id="x")
        assert 1 == (await limit(2, id="x")).remaining
        assert 1 == (await limit(2)).remaining
        assert 0 == (await limit(1)).remaining
        assert QuotaLimit(amount=2, window=0.0, remaining=0) == await limit(2, "ben")
        assert 1 == (await limit(-1, "ben")).remaining
        await context.clock.advance(2)
        # Only what was taken again since then is not there.
        assert 2 == (await limit(1)).remaining
        assert 1 == (await limit(2, "ben")).remaining

    run_async(main())


def test_nothing_asked_is_nothing_said(ask):
    """An amount of 0."""
    asked, _ = ask()
    assert (0, 0.0) == asked(0)


def test_more_cells_than_may_be_are_refused(ask):
    """And counted; memory has a bound."""
    asked, context = ask(more=", maxCells: 1")
    assert (1, 1.0) == asked(1)
    assert (0, 1.0) == asked(1, quota("ben"))
    assert 1 == context.counts["refused_cells"]


@pytest.mark.parametrize(
    ("params", "fault"),
    [
        (
            "{}",
            (
                "spec.params: quotas: rules send q.instance.ns, which has no limit; add it, with name "
                "and maxAmount"
            ),
        ),
        (
            f"{{quotas: [{{{LIMIT}}}, {{{LIMIT}}}]}}",
            "spec.params.quotas: q.instance.ns is listed twice; keep one of them",
        ),
        (
            f"{{quotas: [{{{LIMIT}, overrides: [{{dimensions: {{usr: a}}, maxAmount: 1}}]}}]}}",
            "spec.params.quotas: q.instance.ns has no dimension 'usr'; it has code, user",
        ),
        (
            f"{{quotas: [{{{LIMIT}}}], minDeduplicationDuration: 0s}}",
            "spec.params.minDeduplicationDuration: must be more than 0",
        ),
        (
            f"{{quotas: [{{{LIMIT}}}], maxCells: 0}}",
            "spec.params.maxCells: must be at least 1",
        ),
        (
            f"{{quotas: [{{name: {NAME}, maxAmount: -1}}]}}",
            "spec.params.quotas: the maxAmount of q.instance.ns must not be negative",
        ),
    ],
)
def test_faults_are_found_before_anything_runs(adapters, params, fault):
    """With their field and a remedy."""
    plan, faults = adapters.plan("memquota", params, INSTANCES)
    assert (None, [fault]) == (plan, faults)


@pytest.mark.parametrize(
    ("value", "text", "is_equal"),
    [
        ("a", "a", True),
        (None, "", True),
        ("a", "A", False),
        (2, "2", True),
        (2, "two", False),
        (1.5, "1.50", True),
        (True, "TRUE", True),
        (True, "1", False),
        (b"\x0a\x00\x00\x01", "10.0.0.1", True),
        (b"\x0a\x00\x00\x01", "x", False),
        (timedelta(seconds=90), "1m30s", True),
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T00:00:00Z", True),
        (StringMap({"b": "2", "a": "1"}), "a=1&b=2", True),
    ],
)
def test_a_value_is_compared_by_its_type(value, text, is_equal):
    """The text is read as the value's type."""
    assert is_equal is equals(value, text)
