"""The quota cache: pools by what a quota depends on."""

from __future__ import annotations

import pytest

from meshregistry.mixer import AttributeBag
from meshregistry.mixer.client._quota_cache import IDLE, RESTING, QuotaCache, granted_amount
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


@pytest.fixture
def full(answer):
    """A cache with room for one pool, which is that of user A, who has had all there is."""
    cache = QuotaCache(1)
    _, asked = cache.ask("q", 1, A.entries, 0.0)
    cache.answered(asked, answer(quotas={"q": (1, 60, ("user",))}), A, 0.0)
    return cache


def test_a_pool_in_use_makes_no_room(full):
    """It would begin anew with ten. Who has no pool has to ask the server, whatever the quota."""
    assert (True, False, False, False) == (
        full.covers(["q"], A.entries, RESTING),
        full.covers(["q"], B.entries, RESTING),
        full.covers(["other"], A.entries, RESTING),
        full.covers(["q", "other"], A.entries, RESTING),
    )


def test_a_pool_that_rests_makes_room(full, answer):
    """The least recently used one goes then, and those after it have to wait for the new one."""
    now = RESTING + 1.0
    assert full.covers(["q"], B.entries, now)
    _, asked = full.ask("q", 1, B.entries, now)
    full.answered(asked, answer(quotas={"q": (1, 60, ("user",))}), B, now)
    assert (1, True, False) == (
        len(full),
        full.covers(["q"], B.entries, now),
        full.covers(["q"], A.entries, now),
    )


def test_of_pools_that_come_at_once_those_stay_for_which_there_is_room(answer):
    """A pool whose answer comes when all places are taken is given up, and does not begin anew."""
    cache = QuotaCache(2)
    orders = {name: cache.ask(name, 1, A.entries, 0.0)[1] for name in "qr"}
    cache.answered(orders["q"], answer(quotas={"q": (1, 60, ("user",))}), A, 0.0)
    _, other = cache.ask("q", 1, B.entries, 0.0)
    for asked, bag in ((other, B), (orders["r"], A)):
        cache.answered(asked, answer(quotas={asked.name: (1, 60, ("user",))}), bag, 0.0)
    assert 2 == len(cache)
    assert (True, True, False) == (
        cache.covers(["q"], A.entries, 0.1),
        cache.covers(["q"], B.entries, 0.1),
        cache.covers(["r"], A.entries, 0.1),
    )


def test_names_are_bounded():
    """As pools are, and one in use makes no room either; a check may still have more of them."""
    cache = QuotaCache(2)
    for name in "uv":
        assert cache.covers([name], A.entries, 0.0)
        cache.ask(name, 1, A.entries, 0.0)
    assert not cache.covers(["w"], A.entries, 0.0)
    cache.ask("u", 1, A.entries, 1.0)
    assert cache.covers(["w"], A.entries, RESTING + 0.5)
    cache.ask("w", 1, A.entries, RESTING + 0.5)
    assert ["u", "w"] == list(cache._quotas)


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
