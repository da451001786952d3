"""Quotas in memory: rolling windows, allocations, and what was granted already. Pure.

A window is counted in slots of 100 ms. A share comes back when the slot that it was taken in
is over by a whole window: up to 100 ms late and never early, so that no span of the window's
length holds more than the limit.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import TYPE_CHECKING, Generic, TypeVar

from attrs import define, field, frozen

if TYPE_CHECKING:
    from collections.abc import Callable

SLOTS = 10
"""Slots in a second."""

K = TypeVar("K", bound=Hashable)


@define
class Cell:
    """What is taken of one quota in one window."""

    taken: int = 0
    slots: deque[list[int]] = field(factory=deque)
    """Number of a slot and what was taken in it, from old to new."""

    def expire(self, oldest: int) -> None:
        """Give back what was taken before this slot."""
        while self.slots and self.slots[0][0] < oldest:
            self.taken -= self.slots.popleft()[1]

    def take(self, slot: int, amount: int) -> None:
        """Take this much."""
        self.taken += amount
        if self.slots and self.slots[-1][0] == slot:
            self.slots[-1][1] += amount
        else:
            self.slots.append([slot, amount])

    def give_back(self, amount: int) -> int:
        """Give back what was taken last; how much there was of it."""
        given = left = min(amount, self.taken)
        self.taken -= given
        while left:
            newest = self.slots[-1]
            part = min(left, newest[1])
            newest[1] -= part
            left -= part
            if not newest[1]:
                self.slots.pop()
        return given


class Cells(Generic[K]):
    """All cells of one length of window; those that hold nothing are forgotten.

    Args:
        duration: of the window, in seconds; 0: what is taken stays taken until given back.
        largest: the number of cells beyond which nothing is granted to new ones.
    """

    def __init__(self, duration: float, *, largest: int) -> None:
        self._length = math.ceil(round(duration * SLOTS, 6))
        self._largest = largest
        # By last use; so those that are over come first.
        self._cells: OrderedDict[K, tuple[Cell, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._cells)

    def take(
        self, key: K, amount: int, limit: int, now: float, *, is_best_effort: bool
    ) -> int | None:
        """How much of an amount is granted; None if there is no room for another cell."""
        slot = self._expire(now)
        cell = self._cell(key, slot)
        free = max(limit - cell.taken, 0)
        granted = amount if amount <= free else (free if is_best_effort else 0)
        if not granted:
            return 0
        if key not in self._cells and len(self._cells) >= self._largest:
            return None
        cell.take(slot, granted)
        self._cells[key] = cell, slot
        self._cells.move_to_end(key)
        return granted

    def give_back(self, key: K, amount: int, now: float) -> int:
        """Give back this much; how much there was of it."""
        cell = self._cell(key, self._expire(now))
        given = cell.give_back(amount)
        if not cell.taken:
            self._cells.pop(key, None)
        return given

    def taken(self, key: K, now: float) -> int:
        """How much is taken."""
        return self._cell(key, self._expire(now)).taken

    def _cell(self, key: K, slot: int) -> Cell:
        cell, _ = self._cells.get(key) or (Cell(), slot)
        if self._length:
            cell.expire(slot - self._length)
        return cell

    def _expire(self, now: float) -> int:
        slot = math.floor(now * SLOTS)
        while self._length and self._cells:
            key, (_, used) = next(iter(self._cells.items()))
            if used >= slot - self._length:
                break
            del self._cells[key]
        return slot


@frozen
class Granted:
    """An answer that was given.

    Attributes:
        amount: what was granted.
        until: when that is over.
    """

    amount: int
    until: float


class Remembered(Generic[K]):
    """Answers by id, for one to two spans: repetitions of a request get the same.

    Args:
        span: seconds for which an answer is certainly remembered.
    """

    def __init__(self, span: float) -> None:
        self._span = span
        self._new: dict[K, Granted] = {}
        self._old: dict[K, Granted] = {}
        self._turn = -math.inf

    def once(self, key: K, now: float, grant: Callable[[], Granted]) -> Granted:
        """The answer that was given to this id, or a new one."""
        if now >= self._turn:
            # After a long rest the older ones are out of date, too.
            self._old = self._new if now < self._turn + self._span else {}
            self._new, self._turn = {}, now + self._span
        found = self._new.get(key) or self._old.get(key)
        if found is None:
            found = self._new[key] = grant()
        return found
