"""What a check gives: a verdict, and what to do with the request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING

from attrs import evolve, field, frozen

from meshregistry.mixer._directive import NO_DIRECTIVE, HeaderOperation, Operation, RouteDirective
from meshregistry.mixer._status import OK, Code, Status, http_code

if TYPE_CHECKING:
    from meshregistry.mixer.proto.mixer_v1_pb2 import HeaderOperation as HeaderOperationMessage
    from meshregistry.mixer.proto.mixer_v1_pb2 import RouteDirective as RouteDirectiveMessage


class FailPolicy(Enum):
    """What a check gives if no server can be asked."""

    OPEN = "open"
    """It is allowed."""
    CLOSED = "closed"
    """It is denied, with the status of the failure."""
    RAISE = "raise"
    """`MixerUnavailable` is raised."""


@frozen
class CheckResult:
    """The outcome of a check.

    Attributes:
        status: of policy and quota together; OK: allowed.
        directive: what to do with headers, and a direct response.
        is_cache_hit: whether policy was decided without a call.
        is_quota_cache_hit: whether quota was; None: no quota was asked for.
        failure: why no server could be asked, or None.
        granted: the amount granted of each quota that was asked for.
    """

    status: Status = OK
    directive: RouteDirective = NO_DIRECTIVE
    is_cache_hit: bool = False
    is_quota_cache_hit: bool | None = None
    failure: str | None = None
    granted: Mapping[str, int] = field(factory=dict)

    @property
    def is_allowed(self) -> bool:
        """Whether the request may go on."""
        return self.status.code == Code.OK

    @property
    def http_code(self) -> int:
        """The status of HTTP to answer with; 200 if the request goes on."""
        return self.directive.direct_code or http_code(self.status.code)

    @property
    def is_direct(self) -> bool:
        """Whether the request is to be answered at once: it is denied, or a response is given."""
        return self.directive.direct_code != 0 or not self.is_allowed

    @property
    def body(self) -> str:
        """The body of a direct response."""
        if self.directive.direct_code:
            return self.directive.direct_body
        return "" if self.is_allowed else str(self.status)

    @property
    def attributes(self) -> dict[str, object]:
        """What a report says of this check."""
        said: dict[str, object] = {"check.cache_hit": self.is_cache_hit}
        if self.is_quota_cache_hit is not None:
            said["quota.cache_hit"] = self.is_quota_cache_hit
        if not self.is_allowed:
            said["check.error_code"] = int(self.status.code)
            said["check.error_message"] = str(self.status)
        return said

    def replaced(self, **changes: object) -> CheckResult:
        """This result with some fields changed."""
        return evolve(self, **changes)  # type: ignore[arg-type] # the fields check themselves


def read_directive(message: RouteDirectiveMessage) -> RouteDirective:
    """The directive of an answer, without operations that no header can be the result of.

    Values may come from callers: a line break in one would be a header of their choice
    (RFC 9110, section 5.5).
    """

    def operations(listed: object) -> tuple[HeaderOperation, ...]:
        return tuple(
            _operation(each)
            for each in listed  # type: ignore[attr-defined] # a repeated field
            if each.operation in _KNOWN
            and _NAME.fullmatch(each.name.lower())
            and _FORBIDDEN.isdisjoint(each.value)
        )

    return RouteDirective(
        request_headers=operations(message.request_header_operations),
        response_headers=operations(message.response_header_operations),
        direct_code=message.direct_response_code,
        direct_body=message.direct_response_body,
    )


def _operation(message: HeaderOperationMessage) -> HeaderOperation:
    operation = Operation(message.operation)
    value = "" if operation is Operation.REMOVE else message.value
    return HeaderOperation(message.name.lower(), value, operation)


_KNOWN = frozenset(each.value for each in Operation)
_NAME = re.compile(r":?[!#$%&'*+.^_`|~0-9a-z-]+")
_FORBIDDEN = frozenset("\r\n\0")
