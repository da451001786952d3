"""``denier`` denies whatever it is asked."""

from __future__ import annotations

import pytest

from meshregistry.mixer.server._outcome import Asked, combined
from meshregistry.mixer.spi import CheckNothing, Code, ListEntry, Quota, QuotaRequest, Status

INSTANCES = ("x: checknothing {}",)


@pytest.mark.parametrize("instance", [CheckNothing(), ListEntry(value="a")])
def test_every_check_is_denied(adapters, run_async, instance):
    """With the original's status, which clients may keep for 5 s and use 1000 times."""
    handler, _ = adapters.open("denier", instances=INSTANCES)
    answer = run_async(handler.check(instance))
    assert Status(Code.FAILED_PRECONDITION) == answer.status
    assert (5.0, 1000) == (answer.valid_duration, answer.valid_use_count)


def test_what_is_configured_is_said(adapters, run_async):
    """Code, text, duration and uses."""
    params = "{status: {code: 7, message: no}, validDuration: 1s, validUseCount: 2}"
    handler, _ = adapters.open("denier", params, INSTANCES)
    answer = run_async(handler.check(CheckNothing()))
    assert Status(Code.PERMISSION_DENIED, "no") == answer.status
    assert (1.0, 2) == (answer.valid_duration, answer.valid_use_count)
    assert "h.ns:no" == combined([Asked(handler="h.ns", answer=answer)]).outcome.status.message


@pytest.mark.parametrize("duration", ["5s", "0s"])
def test_a_quota_is_answered_and_not_left_open(adapters, run_async, duration):
    """Nothing is granted, and no other handler's grant can replace that, however short it is."""
    handler, _ = adapters.open("denier", f"{{validDuration: {duration}}}", ("q: quota {}",))
    answer = run_async(handler.quota(Quota(), QuotaRequest(amount=3)))
    assert 0 == answer.amount
    assert not answer.is_default


def test_ok_is_no_denial(adapters):
    """A denier that allows is a mistake."""
    _, faults = adapters.plan("denier", "{status: {code: 0}}", INSTANCES)
    assert faults == [
        "spec.params.status: code 0 is OK and denies nothing; write another, such as 7"
    ]


@pytest.mark.parametrize("code", [2**31, -(2**31) - 1])
def test_a_code_that_no_answer_can_carry_is_refused(adapters, code):
    """Each check would fail, and clients that fail open would let pass what is to be denied."""
    _, faults = adapters.plan("denier", f"{{status: {{code: {code}}}}}", INSTANCES)
    assert faults == [f"spec.params.status: {code} is no code; write one of gRPC, such as 7"]
