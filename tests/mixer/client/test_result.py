"""Results and statuses."""

from __future__ import annotations

import pytest

from meshregistry.mixer import CheckResult, Code, HeaderOperation, Operation, Status
from meshregistry.mixer._status import http_code
from meshregistry.mixer.client._result import read_directive
from meshregistry.mixer.proto.mixer_v1_pb2 import RouteDirective


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


@pytest.mark.parametrize(
    ("name", "value", "operation", "expected"),
    [
        ("X-A", "b", 0, HeaderOperation("x-a", "b")),
        (":path", "/b", 0, HeaderOperation(":path", "/b")),
        ("x-a", "b", 1, HeaderOperation("x-a", "", Operation.REMOVE)),
        ("x-a", "b", 9, None),
        ("", "b", 0, None),
        ("x a", "b", 0, None),
        ("x-ä", "b", 0, None),
        ("x-a: b\r\nx-c", "d", 0, None),
        ("x-a", "b\r\nx-c: d", 2, None),
        ("x-a", "\0", 0, None),
    ],
)
def test_operations_that_make_no_header_are_left_out(name, value, operation, expected):
    """Values may come from callers, who would have more headers by a line break."""
    message = RouteDirective()
    for listed in (message.request_header_operations, message.response_header_operations):
        listed.add(name=name, value=value, operation=operation)
    directive = read_directive(message)
    wanted = () if expected is None else (expected,)
    assert (wanted, wanted) == (directive.request_headers, directive.response_headers)
