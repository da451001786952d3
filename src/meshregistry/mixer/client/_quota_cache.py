"""The quota cache: amounts taken in advance, by the attributes that a quota depends on."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from meshregistry.mixer._shapes import Shape, ShapeList, read_shape
from meshregistry.mixer._status import Code
from meshregistry.mixer._times import read_duration
from meshregistry.mixer.client._prefetch import LONGEST, Order, Prefetch

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping

    from meshregistry.mixer._attributes import AttributeBag, Value
    from meshregistry.mixer.proto.mixer_v1_pb2 import CheckResponse

IDLE = 600.0
"""Seconds after which an entry that nobody asked for is forgotten."""
RESTING = LONGEST
"""Seconds after which an entry that nobody asked for may make room for another one."""
_NEVER = -math.inf


@define(eq=False)
class _Entry:
    prefetch: Prefetch = field(factory=Prefetch)
    used: float = _NEVER


@define(eq=False)
class _Quota:
    """What is known of one quota by its name."""

    shapes: ShapeList = field(factory=ShapeList)
    # For requests of which the server has not said yet what the quota depends on.
    pending: _Entry = field(factory=_Entry)
    used: float = _NEVER


@frozen(eq=False)
class QuotaOrder:
    """A part of a request to the server: an amount of one quota."""

    name: str
    order: Order
    _entry: _Entry


class QuotaCache:
    """Grants amounts of quotas locally, and says what to ask the server for.

    A new pool gives before the first answer. So none that is in use makes room for one: it would
    be forgotten that its quota is exhausted, and it would begin anew.

    Args:
        size: how many entries it holds, and how many names of quotas; 0 is not used at all.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._quotas: OrderedDict[str, _Quota] = OrderedDict()
        self._entries: OrderedDict[tuple[str, Shape, Hashable], _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def covers(self, names: Iterable[str], entries: Mapping[str, Value], now: float) -> bool:
        """Whether each of these quotas has a pool for a request, or may have one."""
        if len(self._entries) < self._size and len(self._quotas) < self._size:
            return True
        return self._size > 0 and all(self._covers(name, entries, now) for name in names)

    def _covers(self, name: str, entries: Mapping[str, Value], now: float) -> bool:
        quota = self._quotas.get(name)
        if quota is None:
            return self._has_room(self._quotas, now) and self._has_room(self._entries, now)
        entry = self._found(name, quota, entries) or quota.pending
        return entry.used != _NEVER or self._has_room(self._entries, now)

    def ask(
        self, name: str, amount: int, entries: Mapping[str, Value], now: float
    ) -> tuple[bool, QuotaOrder | None]:
        """Whether an amount is granted, and what to ask the server for besides.

        To be called for quotas that it covers.
        """
        self._forget(now)
        quota = self._quota(name)
        entry = self._found(name, quota, entries) or quota.pending
        entry.used = quota.used = now
        is_granted, order = entry.prefetch.check(amount, now)
        return is_granted, None if order is None else QuotaOrder(name, order, entry)

    def answered(
        self, asked: QuotaOrder, response: CheckResponse, bag: AttributeBag, now: float
    ) -> None:
        """Note the server's answer to an order."""
        entry, order = asked._entry, asked.order  # noqa: SLF001 - made by this cache
        if asked.name not in response.quotas:
            entry.prefetch.answered(order, None, LONGEST, now)
            return
        result = response.quotas[asked.name]
        holds = LONGEST
        if result.HasField("valid_duration"):
            duration = read_duration(result.valid_duration)
            holds = 0.0 if duration is None else duration.total_seconds()
        entry.prefetch.answered(order, result.granted_amount, holds, now)
        quota = self._quotas.get(asked.name)
        if quota is None or quota.pending is not entry:
            return
        shape = read_shape(result.referenced_attributes, bag)
        if shape is None:
            return
        shape = quota.shapes.known(shape)
        signature = shape.fitted(bag.entries)
        if signature is None:
            return
        key = (asked.name, shape, signature)
        if key in self._entries:
            return
        quota.pending = _Entry()
        if self._has_room(self._entries, now):
            self._entries[key] = entry
            if len(self._entries) > self._size:
                self._entries.popitem(last=False)

    def failed(self, asked: QuotaOrder, *, is_open: bool, now: float) -> None:
        """Note that no answer came: fail open, the order counts as granted, else as refused."""
        entry = asked._entry  # noqa: SLF001 - made by this cache
        entry.prefetch.answered(asked.order, None if is_open else 0, LONGEST, now)

    def _quota(self, name: str) -> _Quota:
        quota = self._quotas.get(name)
        if quota is None:
            quota = self._quotas[name] = _Quota()
            if len(self._quotas) > self._size:
                self._quotas.popitem(last=False)
        else:
            self._quotas.move_to_end(name)
        return quota

    def _found(self, name: str, quota: _Quota, entries: Mapping[str, Value]) -> _Entry | None:
        for shape in quota.shapes.ordered:
            signature = shape.signature(entries)
            if signature is None:
                continue
            key = (name, shape, signature)
            found = self._entries.get(key)
            if found is not None:
                self._entries.move_to_end(key)
                return found
        return None

    def _has_room(self, held: Mapping[Any, _Entry | _Quota], now: float) -> bool:
        """Whether one more fits, or the one that was used least recently may go for it."""
        if len(held) < self._size:
            return True
        return now - next(iter(held.values())).used > RESTING

    def _forget(self, now: float) -> None:
        """Drop entries from the least recently used end that have been idle for long."""
        while self._entries:
            key, entry = next(iter(self._entries.items()))
            if now - entry.used <= IDLE:
                return
            del self._entries[key]


def granted_amount(response: CheckResponse, name: str, amount: int, *, is_open: bool) -> int:
    """What a response grants of an amount that was asked for without the cache.

    All of a quota of which the server says nothing. Of one that the server could not reach, all
    to those who fail open and nothing to others, as from a pool whose order got no answer.
    """
    if name not in response.quotas:
        return amount
    if is_unreachable(response, name):
        return amount if is_open else 0
    return response.quotas[name].granted_amount


def is_unreachable(response: CheckResponse, name: str) -> bool:
    """Whether the server could not reach what counts a quota."""
    return name in response.quotas and response.quotas[name].status.code == Code.UNAVAILABLE
