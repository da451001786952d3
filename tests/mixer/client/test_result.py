"""Results and statuses."""

from __future__ import annotations

import pytest

from meshregistry.mixer import CheckResult, Code, HeaderOperation, Operation, Status
from meshregistry.mixer._status import http_code


@pytest.mark.parametrize(
    ("operation", "headers"),
    [
        (HeaderOperation("x", "new"), [("a", "1"), ("x", "new")]),
        (
            HeaderOperation("x", "new", Operation.APPEND),
            [("X", "1"), ("a", "1"), ("x", "2"), ("x", "new")],
        ),
        (HeaderOperation("x", "", Operation.REMOVE), [("a", "1")]),
    ],
)
def test_header_operations_change_every_line_of_a_name(operation, headers):
    """Whatever its case: a replacement removes all and adds one, an addition adds a line."""
    assert headers == operation.apply([("X", "1"), ("a", "1"), ("x", "2")])


def test_every_code_has_a_status_of_http():
    """As the client's table has them; a number that gRPC does not have is 500."""
    expected = [200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401]
    assert expected == [http_code(code) for code in Code]
    assert (500, "CODE_99:odd") == (http_code(99), str(Status(99, "odd")))


def test_an_allowed_result_has_no_body_and_no_error():
    """And says for the report whether it needed a call."""
    result = CheckResult(is_cache_hit=True, is_quota_cache_hit=False)
    assert ("", False, 200) == (result.body, result.is_direct, result.http_code)
    assert {"check.cache_hit": True, "quota.cache_hit": False} == result.attributes
