"""What an answer to a quota means for the request that asked. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshregistry.mixer import Code

if TYPE_CHECKING:
    from meshregistry.mixer.spi import QuotaAnswer


def is_granted(answer: QuotaAnswer, amount: int) -> bool:
    """Whether a request may go on; a quota whose keeper is not there counts as granted."""
    return answer.amount >= amount or answer.status.code == Code.UNAVAILABLE


def is_unknown(answer: QuotaAnswer) -> bool:
    """Whether the quota could not be asked."""
    return not answer.status.is_ok and answer.status.code not in {
        Code.UNAVAILABLE,
        Code.RESOURCE_EXHAUSTED,
    }
