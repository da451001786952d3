"""The quota cache: pools by what a quota depends on."""

from __future__ import annotations

import pytest

from meshregistry.mixer import AttributeBag
from meshregistry.mixer.client._quota_cache import IDLE, QuotaCache, granted_amount
from meshregistry.mixer.proto.mixer_v1_pb2 import CheckResponse

A, B = AttributeBag({"user": "a"}), AttributeBag({"user": "b"})


@pytest.fixture
def drained(answer):
    """A cache that knows that ``q`` depends on the user, and that A has had all there is."""
    cache = QuotaCache(10)
    _, asked = cache.ask("q", 1, A.entries, 0.0)
    cache.answered(asked, answer(quotas={"q": (1, 60, ("user",))}), A, 0.0)
    return cache


def test_a_pool_is_for_those_who_share_what_the_quota_depends_on(drained):
    """After the first answer each user has a pool of their own."""
    assert False is drained.ask("q", 1, A.entries, 0.1)[0]
    assert True is drained.ask("q", 1, B.entries, 0.1)[0]
    assert 1 == len(drained)


def test_a_quota_that_depends_on_nothing_has_one_pool(answer):
    """All requests share it."""
    cache = QuotaCache(10)
    _, asked = cache.ask("q", 1, A.entries, 0.0)
    cache.answered(asked, answer(quotas={"q": (1, 60, ())}), A, 0.0)
    assert (False, False) == tuple(cache.ask("q", 1, bag.entries, 0.1)[0] for bag in (A, B))


def test_quotas_are_apart(drained):
    """What one says nothing of another."""
    assert True is drained.ask("other", 1, A.entries, 0.1)[0]


def test_an_answer_without_the_quota_counts_as_lost():
    """The server does not know it, and its order counts as granted."""
    cache = QuotaCache(10)
    _, asked = cache.ask("q", 1, A.entries, 0.0)
    cache.answered(asked, CheckResponse(), A, 0.0)
    assert [True] * 9 == [cache.ask("q", 1, A.entries, 1.0)[0] for _ in range(9)]


@pytest.mark.parametrize("is_open", [True, False])
def test_a_lost_answer_grants_to_those_who_fail_open(is_open):
    """To others it grants nothing."""
    cache = QuotaCache(10)
    _, asked = cache.ask("q", 1, A.entries, 0.0)
    cache.failed(asked, is_open=is_open, now=0.0)
    assert is_open is cache.ask("q", 1, A.entries, 0.1)[0]


def test_a_duration_that_cannot_be_read_grants_nothing_for_later(answer):
    """Seconds and nanoseconds of two signs are no duration."""
    cache = QuotaCache(10)
    _, asked = cache.ask("q", 1, A.entries, 0.0)
    response = answer(quotas={"q": (10, 1, ())})
    response.quotas["q"].valid_duration.nanos = -1
    cache.answered(asked, response, A, 0.0)
    _, order = cache.ask("q", 1, A.entries, 0.1)
    assert order is not None


def test_idle_pools_are_forgotten(drained):
    """Ten minutes after the last use."""
    drained.ask("q", 1, A.entries, 1.0)
    drained.ask("q", 1, B.entries, 1.0 + IDLE)
    assert 1 == len(drained)
    drained.ask("q", 1, B.entries, 1.1 + IDLE)
    assert 0 == len(drained)


def test_the_cache_is_bounded(answer):
    """By pools, and by names."""
    cache = QuotaCache(2)
    for user in "abcd":
        bag = AttributeBag({"user": user})
        _, asked = cache.ask("q", 1, bag.entries, 0.0)
        cache.answered(asked, answer(quotas={"q": (1, 60, ("user",))}), bag, 0.0)
    assert 2 == len(cache)
    for name in "uvw":
        cache.ask(name, 1, A.entries, 0.0)
    assert 2 == len(cache._quotas)


@pytest.mark.parametrize("references", [("missing",), ()])
def test_references_that_cannot_be_compared_leave_the_pool_to_all(answer, references):
    """The pending pool stays what everybody uses."""
    cache = QuotaCache(10)
    _, asked = cache.ask("q", 100, A.entries, 0.0)
    response = answer(quotas={"q": (1, 60, references)})
    if not references:
        response.quotas["q"].referenced_attributes.attribute_matches.add(name=-9)
    cache.answered(asked, response, A, 0.0)
    assert 0 == len(cache)


@pytest.mark.parametrize("case", [(True, 5), (False, 0)])
def test_a_grant_without_the_cache_is_read_from_the_response(answer, case):
    """Unknown quotas are granted (quirk 9), unreachable ones to those who fail open."""
    is_open, lost = case
    response = answer(quotas={"some": (1, 1, ()), "none": (0, 1, ()), "lost": (0, 1, ())})
    response.quotas["lost"].status.code = 14
    assert [1, 0, lost, 5] == [
        granted_amount(response, name, 5, is_open=is_open)
        for name in ("some", "none", "lost", "unknown")
    ]
