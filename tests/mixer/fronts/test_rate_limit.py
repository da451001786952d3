"""Descriptors of rate limits as quotas, row by row."""

from __future__ import annotations

import pytest
from envoy.service.ratelimit.v3 import rls_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshregistry.mixer import Status, StringMap
from meshregistry.mixer.fronts._rate_limit_mapping import response, wanted
from meshregistry.mixer.spi import QuotaAnswer, QuotaLimit

IP = bytes([10, 0, 0, 1])
OK, OVER_LIMIT = 1, 2


def request(*descriptors, hits=0):
    """A request of the domain ``edge`` with descriptors as lists of pairs."""
    message = rls_pb2.RateLimitRequest(domain="edge", hits_addend=hits)
    for pairs in descriptors:
        one = message.descriptors.add()
        for key, value in pairs:
            one.entries.add(key=key, value=value)
    return message


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (("destination.service.host", "a.shop"), {"destination.service.host": "a.shop"}),
        (("destination.port", "80"), {"destination.port": 80}),
        (("destination.port", "x"), {"ratelimit.descriptor": StringMap({"destination.port": "x"})}),
        (("request.headers[X-User]", "u"), {"request.headers": StringMap({"x-user": "u"})}),
        (('request.headers["x"]', "u"), {"request.headers": StringMap({"x": "u"})}),
        (("remote_address", "10.0.0.1"), {"origin.ip": IP, "source.ip": IP}),
        (
            ("masked_remote_address", "10.0.0.0/8"),
            {"ratelimit.descriptor": StringMap({"masked_remote_address": "10.0.0.0/8"})},
        ),
        (
            ("destination_cluster", "outbound|80||a.shop.svc.x"),
            {
                "destination.service.host": "a.shop.svc.x",
                "destination.service.name": "a",
                "destination.service.namespace": "shop",
            },
        ),
        (
            ("destination_cluster", "mine"),
            {"destination.service.host": "mine", "destination.service.name": "mine"},
        ),
        (
            ("destination_cluster", "inbound|80||"),
            {"ratelimit.descriptor": StringMap({"destination_cluster": "inbound|80||"})},
        ),
        (("source_cluster", "web"), {"source.service": "web"}),
        (("quota", "q"), {}),
        (("generic_key", "v"), {"ratelimit.descriptor": StringMap({"generic_key": "v"})}),
    ],
)
def test_entries_become_attributes(entry, expected):
    """Each row of the table; what is no attribute can still be a dimension."""
    (found,) = wanted(request([entry]), {})
    assert expected == dict(found.bag)


def test_a_cluster_of_no_service_leaves_what_is_stated_of_one():
    """As a sidecar's for its own workload, of which its configuration says what it is."""
    stated = {"destination.service.host": "a.shop", "destination.service.name": "a"}
    (found,) = wanted(request([("destination_cluster", "inbound|80||")]), stated)
    assert stated.items() <= dict(found.bag).items()


def test_the_quota_is_named_by_an_entry_or_the_domain():
    """Each descriptor has its own."""
    found = wanted(request([("quota", "q")], [("generic_key", "x")]), {"my.own": "1"})
    assert ["q", "edge"] == [one.quota for one in found]
    assert ["1", "1"] == [one.bag["my.own"] for one in found]


@pytest.mark.parametrize(
    ("hits", "own", "amount"), [(0, None, 1), (5, None, 5), (5, 2, 2), (5, 0, 0)]
)
def test_the_amount_is_the_descriptors_or_the_requests_or_one(hits, own, amount):
    """In this order; more than 63 bits are cut."""
    message = request([("quota", "q")], hits=hits)
    if own is not None:
        message.descriptors[0].hits_addend.value = own
    assert [amount] == [one.amount for one in wanted(message, {})]
    message.descriptors[0].hits_addend.value = (1 << 64) - 1
    assert [(1 << 63) - 1] == [one.amount for one in wanted(message, {})]


def test_a_request_id_makes_repetitions_one():
    """With the descriptor's place; without one nothing does."""
    found = wanted(request([("x-request-id", "r")], [("x-request-id", "r")], [("a", "b")]), {})
    assert ["r/0/1/", "r/1/1/", ""] == [one.id for one in found]


def test_what_a_request_is_charged_at_its_end_is_no_repetition():
    """Envoy may ask once more then (apply_on_stream_done), for the bytes that there were."""
    asked = request([("x-request-id", "r")])
    ids = [one.id for one in wanted(asked, {})]
    asked.hits_addend = 4711
    assert ["r/0/1/", "r/0/4711/"] == [*ids, *(one.id for one in wanted(asked, {}))]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (QuotaAnswer(amount=5), OK),
        (QuotaAnswer(amount=4), OVER_LIMIT),
        (QuotaAnswer(), OVER_LIMIT),
        (QuotaAnswer(status=Status(14, "gone")), OK),
        (QuotaAnswer(status=Status(8, "no")), OVER_LIMIT),
    ],
)
def test_less_than_was_asked_for_is_over_the_limit(answer, code):
    """A keeper that is not there limits nobody."""
    wants = wanted(request([("quota", "q")], hits=5), {})
    found = response(wants, [answer])
    assert (code, [code]) == (found.overall_code, [one.code for one in found.statuses])


def test_each_descriptor_has_its_status_in_order():
    """One over the limit is enough for the whole; until when, is said."""
    wants = wanted(request([("quota", "a")], [("quota", "b")]), {})
    found = response(wants, [QuotaAnswer(amount=1, valid_duration=1.5), QuotaAnswer()])
    assert OVER_LIMIT == found.overall_code
    assert [OK, OVER_LIMIT] == [one.code for one in found.statuses]
    until = found.statuses[0].duration_until_reset
    assert (1, 500_000_000) == (until.seconds, until.nanos)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (QuotaLimit(amount=5, window=1.0, remaining=3), (5, "SECOND", 3)),
        (QuotaLimit(amount=5, window=60.0, remaining=0), (5, "MINUTE", 0)),
        (QuotaLimit(amount=5, window=604_800.0, remaining=5), (5, "WEEK", 5)),
        # The protocol has no word for this window.
        (QuotaLimit(amount=500, window=300.0, remaining=499), (500, "UNKNOWN", 499)),
        (
            QuotaLimit(amount=1 << 40, window=1.0, remaining=1 << 39),
            (2**32 - 1, "SECOND", 2**32 - 1),
        ),
    ],
)
def test_what_is_known_of_the_quota_is_said(limit, expected):
    """Its limit and what is left, for the headers that Envoy makes of them."""
    wants = wanted(request([("quota", "a")]), {})
    (status,) = response(wants, [QuotaAnswer(amount=1, limit=limit)]).statuses
    unit = rls_pb2.RateLimitResponse.RateLimit.Unit.Name(status.current_limit.unit)
    assert expected == (status.current_limit.requests_per_unit, unit, status.limit_remaining)


def test_what_is_not_known_is_not_said():
    """A limit without what is left would be shown as one with nothing left."""
    wants = wanted(request([("quota", "a")]), {})
    (status,) = response(wants, [QuotaAnswer(amount=1)]).statuses
    assert not status.HasField("current_limit")


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_message_is_read(messages, assert_sound, data):
    """Without a crash, with values of their types, and a status for each descriptor."""
    message = data.draw(messages(rls_pb2.RateLimitRequest))
    wants = wanted(message, {})
    for one in wants:
        assert_sound(one.bag)
        assert 0 <= one.amount < 1 << 63
    answers = [QuotaAnswer(amount=0, valid_duration=data.draw(st.floats())) for _ in wants]
    assert len(message.descriptors) == len(response(wants, answers).statuses)
