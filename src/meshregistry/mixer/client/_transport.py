"""What a client needs of a transport, and how calls fail."""

from __future__ import annotations

import time
from asyncio import sleep
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from meshregistry.mixer._status import Code, Status

if TYPE_CHECKING:
    from random import Random

    from meshregistry.mixer.proto.mixer_v1_pb2 import CheckRequest, CheckResponse, ReportRequest

_OF_THE_TRANSPORT = frozenset({Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.CANCELLED})
_TIMEOUT_OF_A_PROXY = "upstream request timeout"
# What a server says to a client that announces words it does not know: the protocol has the
# first, servers of Istio 1.x say the second.
_UNKNOWN_WORDS = (
    (Code.INVALID_ARGUMENT, "Request could not be processed due to invalid"),
    (Code.INTERNAL, "inconsistent global dictionary versions"),
)


class Clock(Protocol):
    """Time as an argument."""

    def now(self) -> float:
        """Seconds on a clock that never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Wait that long."""


class SystemClock:
    """The monotonic clock of the machine and the sleep of the running loop."""

    def now(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await sleep(seconds)


class Failure(Enum):
    """The class of a failed call, as statistics count it."""

    TIMEOUT = "timeouts"
    SEND = "send_errors"
    OTHER = "other_errors"


class CallFailed(Exception):
    """A call got no answer of Mixer's; stays within the client.

    Attributes:
        code: of gRPC.
        details: the text with it.
        is_sent: False: the request has certainly not gone out.
    """

    def __init__(self, code: int, details: str, *, server: str = "", is_sent: bool = True) -> None:
        name = str(Status(code)).removesuffix(":")
        super().__init__(f"{server}: {details} ({name})" if server else f"{details} ({name})")
        self.code = code
        self.details = details
        self.is_sent = is_sent

    @property
    def kind(self) -> Failure:
        """Its class."""
        if self.code == Code.DEADLINE_EXCEEDED or (
            self.code == Code.UNAVAILABLE and self.details.startswith(_TIMEOUT_OF_A_PROXY)
        ):
            return Failure.TIMEOUT
        return Failure.OTHER if self.code != Code.UNAVAILABLE else Failure.SEND

    @property
    def is_of_the_transport(self) -> bool:
        """Whether it is no answer of a server: one may have done what it was asked for."""
        return self.code in _OF_THE_TRANSPORT

    @property
    def is_of_the_dictionary(self) -> bool:
        """Whether the server does not know the words that we use."""
        return any(self.code == code and text in self.details for code, text in _UNKNOWN_WORDS)


class MixerTransport(Protocol):
    """Carries calls to a server; chooses among several by itself."""

    async def check(self, request: CheckRequest, timeout: float) -> CheckResponse:
        """Ask; sent to a further server if one fails, since the request names itself.

        Raises:
            CallFailed: if no server answered in time.
        """

    async def report(self, request: ReportRequest, timeout: float, *, again: bool) -> None:
        """Tell; sent to a further server only if it has not gone out, or `again` says so.

        Raises:
            CallFailed: if no server confirmed it in time.
        """

    async def close(self) -> None:
        """End all connections."""


def retry_wait(attempt: int, first: float, longest: float, random: Random) -> float:
    """Seconds to wait before the retry with this number, from 0 on."""
    return random.uniform(first, max(first, min(longest, first * 2**attempt)))
