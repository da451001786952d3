"""What a session can tell about itself, for status pages and CSDS."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from attrs import frozen

from meshregistry.ads._interest import WILDCARD

if TYPE_CHECKING:
    from meshregistry.ads._subscription import Subscription
    from meshregistry.model import ResourceSet


class TypeState(StrEnum):
    """How far a client follows one type; the names are those of CSDS, plus REJECTED (its ERROR)."""

    NOT_SENT = "NOT_SENT"
    STALE = "STALE"
    SYNCED = "SYNCED"
    REJECTED = "REJECTED"


@frozen(kw_only=True)
class TypeStatus:
    """The state of one type on one stream.

    Attributes:
        type_url: the type.
        names: what the client subscribes to, sorted; ``*`` for everything.
        version_sent: of the last response; empty before the first.
        version_acked: of the last response that was accepted; empty before the first.
        error: what the client said when it refused; empty once it has accepted again.
        state: in one word.
    """

    type_url: str
    names: tuple[str, ...]
    version_sent: str
    version_acked: str
    error: str
    state: TypeState

    @property
    def is_wildcard(self) -> bool:
        """The client subscribes to everything."""
        return WILDCARD in self.names


def type_status(sub: Subscription, offered: ResourceSet | None) -> TypeStatus:
    """Look at one subscription."""
    if sub.refused is not None and sub.error and not sub.in_flight:
        state = TypeState.REJECTED
    elif sub.is_settled(offered):
        state = TypeState.SYNCED
    else:
        state = TypeState.STALE if sub.version_sent else TypeState.NOT_SENT
    names = sorted(sub.interest.names)
    return TypeStatus(
        type_url=sub.type_url,
        names=(WILDCARD, *names) if sub.interest.is_wildcard else tuple(names),
        version_sent=sub.version_sent,
        version_acked=sub.version_acked,
        error=sub.error,
        state=state,
    )
