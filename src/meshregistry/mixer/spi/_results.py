"""What handlers answer."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from meshregistry.mixer._attributes import Value
from meshregistry.mixer._status import OK, Status


@frozen(kw_only=True)
class DirectResponse:
    """What the caller is answered instead of the service's response.

    Attributes:
        code: of HTTP; 0 takes the one of the status.
        body: of the response.
        headers: set in it; ``Set-Cookie`` adds one for each comma.
    """

    code: int = 0
    body: str = ""
    headers: Mapping[str, str] = field(factory=dict)


@frozen(kw_only=True)
class CheckAnswer:
    """The answer to a check. One without anything said counts as none.

    Attributes:
        status: OK lets the request go on.
        valid_duration: seconds for which it holds.
        valid_use_count: how often it may be used; negative: without a limit.
        response: of a denial: how it is answered.
        output: of a check with output: values by name.
    """

    status: Status = OK
    valid_duration: float = 0.0
    valid_use_count: int = 0
    response: DirectResponse | None = None
    output: Mapping[str, Value] = field(factory=dict)

    @property
    def is_default(self) -> bool:
        """Whether nothing is said."""
        said = self.valid_duration or self.valid_use_count or self.response
        return self.status.is_ok and not said


@frozen(kw_only=True)
class QuotaRequest:
    """How much is wanted of a quota.

    Attributes:
        amount: that much; negative gives back.
        is_best_effort: whether less is better than nothing.
        deduplication_id: equal for repetitions of one request, which are granted once; empty:
            it is no repetition.
    """

    amount: int
    is_best_effort: bool = False
    deduplication_id: str = ""


@frozen(kw_only=True)
class QuotaLimit:
    """What a quota is at the moment of an answer, for callers that want to know.

    Attributes:
        amount: the most that can be taken within a window.
        window: its length in seconds; 0: what is taken stays taken until it is given back.
        remaining: how much is left after this answer.
    """

    amount: int
    window: float
    remaining: int


@frozen(kw_only=True)
class QuotaAnswer:
    """The answer to a quota request. One without anything said counts as none.

    Attributes:
        amount: that much is granted.
        valid_duration: seconds for which it is.
        status: other than OK if the quota could not be asked.
        limit: what is known of the quota, if anything is. It grants and refuses nothing.
    """

    amount: int = 0
    valid_duration: float = 0.0
    status: Status = OK
    limit: QuotaLimit | None = None

    @property
    def is_default(self) -> bool:
        """Whether nothing is said."""
        return self.status.is_ok and not (self.amount or self.valid_duration)
