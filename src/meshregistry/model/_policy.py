"""What decides between sources, and what a guard may answer. Plain values."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from meshregistry.model._names import SourceId

if TYPE_CHECKING:
    from attrs import Attribute

MERGE_FIELDS: Final = ("addresses", "endpoints", "labels", "ports", "protocol", "resolution")
"""The fields of a service for which a policy may name an order of sources of their own."""


class Union(enum.Enum):
    """How a field of several records becomes one.

    FIRST: the first source's. UNITE: all together. FAILOVER: all together, and each source
    is used only for what the ones before it cannot take; for endpoints only.
    """

    FIRST = "first"
    UNITE = "unite"
    FAILOVER = "failover"


def _in_order(sources: Iterable[SourceId]) -> tuple[SourceId, ...]:
    return tuple(sources)


_Orders = tuple[tuple[str, tuple[SourceId, ...]], ...]


def _sorted_orders(orders: Mapping[str, Iterable[SourceId]] | _Orders) -> _Orders:
    pairs = orders.items() if isinstance(orders, Mapping) else orders
    return tuple(sorted((name, tuple(sources)) for name, sources in pairs))


def _is_no_failover(_policy: object, attribute: Attribute[Union], value: Union) -> None:
    if value is Union.FAILOVER:
        msg = f"{attribute.name} know no failover: use Union.FIRST or Union.UNITE"
        raise ValueError(msg)


@frozen(kw_only=True)
class MergePolicy:
    """Declares, field by field, how records of one service are merged.

    Attributes:
        order: sources that come first for this service, before the order of the settings.
        orders: for fields of `MERGE_FIELDS`, the sources that come first, before `order`;
            any mapping is taken.
        ports: UNITE takes the ports of all sources by number, FIRST only the first one's.
        endpoints: UNITE takes the endpoints of all sources, FIRST only the first one's
            that has any, FAILOVER those of all sources, each source with a priority of its
            own.
        labels: UNITE adds keys that earlier sources do not have, FIRST takes the first
            source's as they are.

    Raises:
        ValueError: if a field of `orders` does not exist, or ports or labels have FAILOVER.
    """

    order: tuple[SourceId, ...] = field(default=(), converter=_in_order)
    orders: _Orders = field(default=(), converter=_sorted_orders)
    ports: Union = field(default=Union.UNITE, validator=_is_no_failover)
    endpoints: Union = Union.UNITE
    labels: Union = field(default=Union.FIRST, validator=_is_no_failover)

    @orders.validator
    def _are_known(self, _attribute: object, value: _Orders) -> None:
        for name, _ in value:
            if name not in MERGE_FIELDS:
                msg = f"there is no field {name!r} to merge: use {', '.join(MERGE_FIELDS)}"
                raise ValueError(msg)

    def __str__(self) -> str:
        """What it says beyond the default, such as ``endpoints failover, protocol from dc1``."""
        usual = MergePolicy()
        said = [f"order {' '.join(self.order)}"] if self.order else []
        said += [f"{name} from {' '.join(some)}" for name, some in self.orders if some]
        for name in ("endpoints", "labels", "ports"):
            own: Union = getattr(self, name)
            if own is not getattr(usual, name):
                said.append(f"{name} {own.value}")
        return ", ".join(said)

    def order_of(self, name: str) -> tuple[SourceId, ...]:
        """The sources that come first for a field of `MERGE_FIELDS`."""
        own = next((sources for known, sources in self.orders if known == name), ())
        return tuple(dict.fromkeys((*own, *self.order)))


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
