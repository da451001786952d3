"""Answers as Envoy is told them, row by row."""

from __future__ import annotations

import pytest

from meshregistry.mixer import Code, HeaderOperation, Operation, RouteDirective, Status
from meshregistry.mixer.fronts._check_response import QuotaUnknown, response_of, status_of
from meshregistry.mixer.server import Checked, CheckOutcome, QuotaOutcome
from meshregistry.mixer.spi import QuotaAnswer

OVERWRITE, APPEND = 2, 0
# What a proxy makes of the codes (the table of the client).
HTTP = {1: 499, 2: 500, 3: 400, 4: 504, 5: 404, 6: 409, 7: 403, 8: 429, 9: 400, 10: 409}
HTTP |= {11: 400, 12: 501, 13: 500, 14: 503, 15: 500, 16: 401, 99: 500}


@pytest.fixture
def answered():
    """The message for an outcome."""

    def make(status=Status(), directive=RouteDirective(), *, said=None, **facts):  # noqa: B008 - values
        outcome = CheckOutcome(status=status, directive=directive)
        how = {"is_http": True, "has_forwarded": False} | facts
        return response_of(Checked(outcome=outcome), said or status, **how)

    return make


def written(options):
    """Header options as plain values."""
    return [(one.header.key, one.header.value, one.append_action) for one in options]


def test_a_permission_is_ok(answered):
    """Without any change; the request's cache hit is told to the log."""
    message, dropped = answered()
    assert (0, True, ()) == (message.status.code, message.HasField("ok_response"), dropped)
    assert {"check.cache_hit"} == set(message.dynamic_metadata.fields)


def test_header_operations_are_those_of_envoy(answered):
    """Replace overwrites, append adds a line, remove removes; names are in lower case."""
    some = (
        HeaderOperation("X-A", "1"),
        HeaderOperation("x-b", "2", Operation.APPEND),
        HeaderOperation("x-c", "", Operation.REMOVE),
        HeaderOperation(":path", "/new"),
    )
    message, dropped = answered(directive=RouteDirective(some, some[:2]))
    allowed = message.ok_response
    expected = [("x-a", "1", OVERWRITE), ("x-b", "2", APPEND)]
    assert [*expected, (":path", "/new", OVERWRITE)] == written(allowed.headers)
    assert ["x-c"] == list(allowed.headers_to_remove)
    assert expected == written(allowed.response_headers_to_add)
    assert () == dropped


@pytest.mark.parametrize(
    ("is_request", "operation"),
    [
        (True, HeaderOperation(":path", "", Operation.REMOVE)),
        (True, HeaderOperation("host", "", Operation.REMOVE)),
        (False, HeaderOperation("x", "", Operation.REMOVE)),
        (True, HeaderOperation("no name", "1")),
        (True, HeaderOperation("x", "two\r\nlines")),
    ],
)
def test_what_envoy_has_no_word_for_is_left_out(answered, is_request, operation):
    """And named, so that somebody hears of it."""
    some = (operation,)
    message, dropped = answered(
        directive=RouteDirective(some, ()) if is_request else RouteDirective((), some)
    )
    assert (operation.name,) == dropped
    allowed = message.ok_response
    assert [] == [*allowed.headers, *allowed.headers_to_remove, *allowed.response_headers_to_add]


def test_forwarded_attributes_are_not_for_the_service(answered):
    """The header is taken off, whether it was believed or not."""
    message, _ = answered(has_forwarded=True)
    assert ["x-istio-attributes"] == list(message.ok_response.headers_to_remove)


@pytest.mark.parametrize(("code", "http"), HTTP.items())
def test_a_denial_has_the_code_of_its_status(answered, code, http):
    """By the client's table, with the status as its body."""
    message, _ = answered(Status(code, "why"))
    denied = message.denied_response
    name = Code(code).name if code in iter(Code) else f"CODE_{code}"
    assert (code, http, f"{name}:why") == (message.status.code, denied.status.code, denied.body)
    facts = message.dynamic_metadata.fields
    assert code == facts["check.error_code"].number_value
    assert f"{name}:why" == facts["check.error_message"].string_value


def test_a_denial_may_have_a_response_of_its_own(answered):
    """Code, body and headers of the handler."""
    headers = (HeaderOperation("set-cookie", "a", Operation.APPEND), HeaderOperation("x", "y"))
    message, _ = answered(Status(7, "no"), RouteDirective((), headers, 418, "teapot"))
    denied = message.denied_response
    assert (7, 418, "teapot") == (message.status.code, denied.status.code, denied.body)
    assert [("set-cookie", "a", APPEND), ("x", "y", OVERWRITE)] == written(denied.headers)


def test_a_direct_response_to_a_permitted_request_is_a_denial_to_envoy(answered):
    """With its own code and body: Envoy would else go on to the service."""
    message, _ = answered(directive=RouteDirective((), (), 302, "over there"))
    denied = message.denied_response
    assert message.status.code != 0
    assert (302, "over there") == (denied.status.code, denied.body)
    assert "check.error_code" not in message.dynamic_metadata.fields


@pytest.mark.parametrize("code", [1, 199, 600, 100_000])
def test_a_code_that_http_lacks_is_not_sent(answered, code):
    """The status decides instead."""
    message, _ = answered(Status(7, "no"), RouteDirective((), (), code, ""))
    assert 403 == message.denied_response.status.code


@pytest.mark.parametrize("status", [Status(), Status(Code.PERMISSION_DENIED, "no")])
@pytest.mark.parametrize("code", [204, 205, 304])
def test_a_status_that_has_no_content_has_no_body(answered, status, code):
    """Envoy sends what it is given."""
    message, _ = answered(status, RouteDirective((), (), code, "there"))
    denied = message.denied_response
    assert (code, "") == (denied.status.code, denied.body)


def test_a_connection_has_a_status_only(answered):
    """There are no headers, and nobody to read a body."""
    message, _ = answered(Status(7, "no"), is_http=False)
    assert 7 == message.status.code
    assert not message.HasField("denied_response")


def quota(amount, code=0):
    """A granted amount."""
    return QuotaOutcome(answer=QuotaAnswer(amount=amount, status=Status(code, "x")))


@pytest.mark.parametrize(
    ("quotas", "expected"),
    [
        ({}, Status()),
        ({"a": quota(5), "b": quota(1)}, Status()),
        ({"a": quota(4), "b": quota(1)}, Status(8, "Quota is exhausted for: a")),
        ({"a": quota(0), "b": quota(0, 8)}, Status(8, "Quota is exhausted for: a,b")),
        ({"a": quota(0, 14), "b": quota(0)}, Status(8, "Quota is exhausted for: b")),
        ({"a": quota(0, 14), "b": quota(1)}, Status()),
    ],
)
def test_quota_that_is_not_granted_in_full_is_exhausted(quotas, expected):
    """What the answer says nothing of is granted, and what its keeper is not there for."""
    checked = Checked(outcome=CheckOutcome(), quotas=quotas)
    assert expected == status_of(checked, {"a": 5, "b": 1})


def test_policy_counts_before_quota():
    """A denied request is not told of quotas."""
    checked = Checked(outcome=CheckOutcome(status=Status(7, "no")))
    assert Status(7, "no") == status_of(checked, {"a": 1})


def test_quota_that_cannot_be_asked_is_no_answer():
    """What it means is for the fail policy to say."""
    checked = Checked(outcome=CheckOutcome(), quotas={"a": quota(0, 13)})
    with pytest.raises(QuotaUnknown, match="a: INTERNAL:x"):
        status_of(checked, {"a": 1})


def test_exhausted_quota_is_answered_with_429(answered):
    """Also where policy has a response of its own, which is not for this."""
    said = Status(8, "Quota is exhausted for: a")
    message, _ = answered(directive=RouteDirective((), (), 302, "there"), said=said)
    denied = message.denied_response
    assert (8, 429) == (message.status.code, denied.status.code)
    assert "RESOURCE_EXHAUSTED:Quota is exhausted for: a" == denied.body
