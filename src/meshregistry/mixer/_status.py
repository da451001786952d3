"""Status codes of gRPC, and what they are in HTTP."""

from __future__ import annotations

from enum import IntEnum

from attrs import frozen


class Code(IntEnum):
    """A status code of gRPC."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


@frozen
class Status:
    """How something ended.

    Attributes:
        code: a `Code`; a number that gRPC does not have is kept as it is.
        message: why, for people.
    """

    code: int = Code.OK
    message: str = ""

    @property
    def is_ok(self) -> bool:
        """Whether the code is OK."""
        return self.code == Code.OK

    def __str__(self) -> str:
        """``CODE_NAME:message``, as a proxy writes it into the body of a denial."""
        try:
            name = Code(self.code).name
        except ValueError:
            name = f"CODE_{self.code}"
        return f"{name}:{self.message}"


OK = Status()

_HTTP = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503,
    Code.UNAUTHENTICATED: 401,
}


def http_code(code: int) -> int:
    """The status of HTTP with which a client of Mixer answers a denial; 500 for the rest."""
    return _HTTP.get(Code(code), 500) if code in Code.__members__.values() else 500


_NO_CONTENT = frozenset({204, 205, 304})


def is_without_content(code: int) -> bool:
    """Whether responses of this status of HTTP have none (RFC 9110, sections 15.2 to 15.4)."""
    return code // 100 == 1 or code in _NO_CONTENT


_LONGEST_REASON = 2_000


def shortened(reason: str) -> str:
    """So much of a reason as fits into the headers that carry a failure of gRPC.

    Those hold 8 kB, and up to three bytes for each of UTF-8. Who sends more fails with another
    code than he wanted.
    """
    return reason.encode(errors="replace")[:_LONGEST_REASON].decode(errors="ignore")
