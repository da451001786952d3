"""``denier``: denies whatever it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from attrs import field, frozen

from meshregistry.documents import Seconds
from meshregistry.mixer.spi import (
    CHECK_NOTHING,
    LIST_ENTRY,
    OK,
    QUOTA,
    CheckAnswer,
    Code,
    Handler,
    MixerAdapter,
    QuotaAnswer,
    Status,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meshregistry.mixer.spi import HandlerContext, InstanceTypes, QuotaRequest

_CODES = range(-(1 << 31), 1 << 31)
"""Numbers that an answer can carry, although gRPC gives a meaning to few of them."""


@frozen(kw_only=True)
class DenierStatus:
    """With what a request is denied.

    Attributes:
        code: of gRPC, as a number; not 0.
        message: why, for people.
    """

    code: int = int(Code.FAILED_PRECONDITION)
    message: str = ""


@frozen(kw_only=True)
class DenierConfig:
    """Parameters of ``denier``.

    Attributes:
        status: with what requests are denied.
        valid_duration: how long clients may keep a denial.
        valid_use_count: how often clients may use one; negative: without a limit.
    """

    status: DenierStatus = field(factory=DenierStatus)
    valid_duration: Seconds = Seconds(5.0)
    valid_use_count: int = 1000


def _faults(config: DenierConfig, _instances: Mapping[str, InstanceTypes]) -> Iterable[str]:
    if config.status.code == Code.OK:
        yield "status: code 0 is OK and denies nothing; write another, such as 7"
    if config.status.code not in _CODES:
        yield f"status: {config.status.code} is no code; write one of gRPC, such as 7"


class DenierHandler(Handler):
    """Says no to everything."""

    def __init__(self, config: DenierConfig, _context: HandlerContext) -> None:
        self._answer = CheckAnswer(
            status=Status(config.status.code, config.status.message),
            valid_duration=config.valid_duration,
            valid_use_count=config.valid_use_count,
        )
        # Its duration makes it an answer, or else its status: without either, another handler's
        # grant would count.
        exhausted = Status(Code.RESOURCE_EXHAUSTED, config.status.message)
        self._nothing = QuotaAnswer(
            amount=0,
            valid_duration=config.valid_duration,
            status=OK if config.valid_duration else exhausted,
        )

    async def check(self, instance: Any) -> CheckAnswer:  # noqa: ARG002 - it does not matter
        return self._answer

    async def quota(self, instance: Any, request: QuotaRequest) -> QuotaAnswer:  # noqa: ARG002 - likewise
        return self._nothing


DENIER: Final = MixerAdapter(
    name="denier",
    config_class=DenierConfig,
    templates=(CHECK_NOTHING, LIST_ENTRY, QUOTA),
    open=DenierHandler,
    check=_faults,
    summary="denies whatever it is asked",
)
