"""``noop``: takes everything, allows everything and does nothing; for trials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from meshregistry.mixer.spi import (
    TEMPLATES,
    CheckAnswer,
    Handler,
    MixerAdapter,
    QuotaAnswer,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from meshregistry.mixer.spi import HandlerContext, QuotaRequest, Value

_MANY = 1_000_000_000
"""Seconds and uses for which its answers hold, as the original's."""


@frozen(kw_only=True)
class NoopConfig:
    """It has no parameters."""


class NoopHandler(Handler):
    """Says yes to everything."""

    async def check(self, instance: Any) -> CheckAnswer:  # noqa: ARG002 - it does not matter
        return CheckAnswer(valid_duration=float(_MANY), valid_use_count=_MANY)

    async def quota(self, instance: Any, request: QuotaRequest) -> QuotaAnswer:  # noqa: ARG002 - likewise
        return QuotaAnswer(amount=request.amount, valid_duration=float(_MANY))

    async def report(self, instances: Sequence[Any]) -> None:
        pass

    async def generate(self, instance: Any) -> Mapping[str, Value]:  # noqa: ARG002 - likewise
        return {}


def _open(_config: NoopConfig, _context: HandlerContext) -> NoopHandler:
    return NoopHandler()


NOOP: Final = MixerAdapter(
    name="noop",
    config_class=NoopConfig,
    templates=TEMPLATES,
    open=_open,
    summary="takes everything, allows everything and does nothing",
)
