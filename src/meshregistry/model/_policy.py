"""What decides between sources, and what a guard may answer. Plain values."""

from __future__ import annotations

import enum

from attrs import field, frozen

from meshregistry.model._names import SourceId


class Union(enum.Enum):
    """How a field of several records becomes one: the first source's, or all united."""

    FIRST = "first"
    UNITE = "unite"


@frozen(kw_only=True)
class MergePolicy:
    """Declares, field by field, how records of one service are merged.

    Attributes:
        order: sources that come first for this service, before the order of the settings.
        ports: UNITE takes the ports of all sources by number, FIRST only the first one's.
        endpoints: UNITE takes the endpoints of all sources, FIRST only the first one's
            that has any.
        labels: UNITE adds keys that earlier sources do not have, FIRST takes the first
            source's as they are.
    """

    order: tuple[SourceId, ...] = field(default=(), converter=tuple)
    ports: Union = Union.UNITE
    endpoints: Union = Union.UNITE
    labels: Union = Union.FIRST


@frozen(kw_only=True)
class Peer:
    """Who is at the other end of a connection.

    Attributes:
        address: as the transport prints it, such as ``ipv4:127.0.0.1:51234``.
        identities: the verified names of its certificate (SPIFFE ids, DNS names); empty
            without a verified client certificate.
    """

    address: str = ""
    identities: tuple[str, ...] = ()


@frozen
class Verdict:
    """A guard's answer; a refusal says why."""

    is_allowed: bool
    reason: str = ""

    @classmethod
    def allow(cls) -> Verdict:
        """Let it pass."""
        return cls(is_allowed=True)

    @classmethod
    def refuse(cls, reason: str) -> Verdict:
        """Turn it away, for this reason."""
        return cls(is_allowed=False, reason=reason)
