"""Several answers become one: the rules by which checks and quotas are combined. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from meshregistry.mixer._directive import NO_DIRECTIVE, HeaderOperation, Operation, RouteDirective
from meshregistry.mixer.expressions import Reference
from meshregistry.mixer.spi import OK, CheckAnswer, Code, QuotaAnswer, Status

if TYPE_CHECKING:
    from meshregistry.mixer.spi import DirectResponse

UNASKED_DURATION = 60.0
UNASKED_USES = 10_000
"""How long, in seconds, and how often an answer holds that no handler had anything to say to."""

# By google.rpc's table of codes; those of the client differ in some.
_HTTP: Mapping[int, int] = {
    Code.CANCELLED: 408,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 412,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503,
    Code.UNAUTHENTICATED: 401,
}


@frozen(kw_only=True)
class CheckOutcome:
    """What a check came to.

    Attributes:
        status: OK lets the request go on.
        valid_duration: seconds for which it holds.
        valid_use_count: how often it may be used.
        directive: what is done with headers, or answered at once.
        references: what the outcome was made of.
        forms: what those who answer with it have made of it, by keys of theirs.
    """

    status: Status = OK
    valid_duration: float = UNASKED_DURATION
    valid_use_count: int = UNASKED_USES
    directive: RouteDirective = NO_DIRECTIVE
    references: tuple[Reference, ...] = ()
    forms: dict[object, Any] = field(factory=dict, init=False, eq=False, repr=False)


@frozen(kw_only=True)
class QuotaOutcome:
    """What a quota request came to.

    Attributes:
        answer: what is granted, and for how long.
        references: what the answer was made of.
    """

    answer: QuotaAnswer
    references: tuple[Reference, ...] = ()


@frozen(kw_only=True)
class Asked:
    """An answer with who gave it.

    Attributes:
        handler: its title.
        answer: what it says.
        rule: the rule by which it was asked.
        action: the name of the rule's action.
    """

    handler: str
    answer: CheckAnswer
    rule: str = ""
    action: str = ""


@frozen(kw_only=True)
class Failure:
    """A call that gave no answer.

    Attributes:
        handler: its title.
        reason: why.
    """

    handler: str
    reason: str


@frozen(kw_only=True)
class ReportOutcome:
    """What became of reports.

    Attributes:
        taken: titles of the handlers that took instances, in the order of their rules.
        failures: what failed: a handler that took some instances may be among them with others.
    """

    taken: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()


@frozen(kw_only=True)
class Combined:
    """All answers to one check.

    Attributes:
        outcome: without references.
        outputs: what actions gave, by rule: values by ``action.output.name``.
    """

    outcome: CheckOutcome
    outputs: Mapping[str, Mapping[str, object]] = field(factory=dict)


def combined(answers: Sequence[Asked]) -> Combined:
    """One outcome of all answers, in the order of the documents.

    An answer that says nothing counts as none. The shortest duration and the smallest number
    of uses hold. The first denial gives code and response; all give their reasons.
    """
    said = [one for one in answers if not one.answer.is_default]
    denied = [one for one in said if not one.answer.status.is_ok]
    if not said:
        return Combined(outcome=CheckOutcome(), outputs=_outputs(answers))
    status, directive = OK, NO_DIRECTIVE
    if denied:
        reasons = [f"{one.handler}:{one.answer.status.message}" for one in denied]
        status = Status(denied[0].answer.status.code, ", ".join(reasons))
        directive = _direct(denied[0].answer)
    outcome = CheckOutcome(
        status=status,
        valid_duration=min(one.answer.valid_duration for one in said),
        valid_use_count=_fewest([one.answer.valid_use_count for one in said]),
        directive=directive,
    )
    return Combined(outcome=outcome, outputs=_outputs(answers))


def _fewest(counts: Sequence[int]) -> int:
    """The smallest number of uses; a negative one is no limit."""
    limits = [count for count in counts if count >= 0]
    return min(limits) if limits else -1


def _outputs(answers: Sequence[Asked]) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = {}
    for one in answers:
        if one.action:
            own = found.setdefault(one.rule, {})
            for name, value in one.answer.output.items():
                own.setdefault(f"{one.action}.output.{name}", value)
    return found


def _direct(answer: CheckAnswer) -> RouteDirective:
    response = answer.response
    if response is None:
        return NO_DIRECTIVE
    return RouteDirective(
        response_headers=tuple(_headers(response)),
        direct_code=response.code or _HTTP.get(answer.status.code, 500),
        direct_body=response.body,
    )


def _headers(response: DirectResponse) -> list[HeaderOperation]:
    found = []
    for name, value in response.headers.items():
        lower = name.lower()
        if lower == "set-cookie":
            found += [
                HeaderOperation(lower, one.strip(), Operation.APPEND) for one in value.split(",")
            ]
        else:
            found.append(HeaderOperation(lower, value))
    return found
