"""Quota taken in advance: a pool of granted amounts, and when to ask for more.

The algorithm of the original client, with its constants.
"""

from __future__ import annotations

from attrs import define, field, frozen

WINDOW = 1.0
"""Seconds whose use predicts what is needed."""
SLOTS = 20
LEAST = 10
"""The smallest amount that is asked for in advance."""
CLOSED_WAIT = 0.5
"""Seconds between questions while the server grants less than is asked for."""
MOST = (1 << 63) - 1
"""The largest amount that the protocol can ask for."""
LONGEST = 60.0
"""Seconds that an amount holds whose grant is not known yet."""


@define
class RollingCount:
    """How much was asked for within the last second, in slots of 50 ms."""

    _counts: list[int] = field(factory=lambda: [0] * SLOTS)
    _total: int = 0
    _slot: int = 0
    _begin: float | None = None

    def add(self, amount: int, now: float) -> None:
        """Count an amount."""
        self._advance(now)
        self._counts[self._slot] += amount
        self._total += amount

    def total(self, now: float) -> int:
        """The amount within the window."""
        self._advance(now)
        return self._total

    def _advance(self, now: float) -> None:
        width = WINDOW / SLOTS
        if self._begin is None:
            self._begin = now
            return
        elapsed = int((now - self._begin) / width)
        if elapsed <= 0:
            return
        if elapsed >= SLOTS:
            self._counts = [0] * SLOTS
            self._total = 0
            self._begin = now
            return
        for _ in range(elapsed):
            self._slot = (self._slot + 1) % SLOTS
            self._total -= self._counts[self._slot]
            self._counts[self._slot] = 0
        self._begin += elapsed * width


@define
class _Slot:
    number: int
    amount: int
    expiry: float


@define
class Pool:
    """Amounts that may be used, each until its expiry, in order of arrival."""

    _slots: list[_Slot] = field(factory=list)
    _number: int = 0

    def add(self, amount: int, expiry: float) -> int:
        """Put an amount in; its number."""
        self._number += 1
        self._slots.append(_Slot(self._number, amount, expiry))
        return self._number

    def available(self, now: float) -> int:
        """The sum of all that has not expired."""
        return sum(slot.amount for slot in self._slots if now <= slot.expiry)

    def take(self, amount: int, now: float) -> bool:
        """Take an amount, or nothing."""
        self._slots = [slot for slot in self._slots if slot.amount > 0 and now <= slot.expiry]
        if self.available(now) < amount:
            return False
        for slot in self._slots:
            taken = min(slot.amount, amount)
            slot.amount -= taken
            amount -= taken
        return True

    def correct(self, number: int, shortfall: int, expiry: float) -> None:
        """Take back what was put in and not granted; what is left of it holds until `expiry`."""
        own = [slot for slot in self._slots if slot.number == number]
        others = [slot for slot in self._slots if slot.number != number]
        for slot in (*own, *others):
            taken = min(slot.amount, shortfall)
            slot.amount -= taken
            shortfall -= taken
        for slot in own:
            slot.expiry = expiry


@frozen
class Order:
    """An amount to ask the server for.

    Attributes:
        amount: how much.
        slot: the number of what was put into the pool before the grant; None: nothing was.
    """

    amount: int
    slot: int | None


@define
class Prefetch:
    """Decides on the amounts of one quota for equal requests."""

    _pool: Pool = field(factory=Pool)
    _count: RollingCount = field(factory=RollingCount)
    _is_open: bool = True
    _in_flight: int = 0
    _last: float | None = None

    def check(self, amount: int, now: float) -> tuple[bool, Order | None]:
        """Whether an amount is granted, and what to ask the server for besides."""
        order = self._order(amount, now)
        self._count.add(amount, now)
        return self._pool.take(amount, now), order

    def answered(self, order: Order, granted: int | None, holds: float, now: float) -> None:
        """Note what the server granted.

        Args:
            order: what was asked for.
            granted: the amount; None: no answer came, and the order counts as granted.
            holds: seconds for which it holds.
            now: the time.
        """
        self._in_flight -= 1
        if granted is None:
            granted, holds = order.amount, LONGEST
        if order.slot is not None:
            self._pool.correct(order.slot, max(order.amount - granted, 0), now + holds)
        elif granted > 0:
            self._pool.add(granted, now + holds)
        self._is_open = granted >= order.amount

    def _order(self, amount: int, now: float) -> Order | None:
        if not self._is_open and (
            self._in_flight > 0 or (self._last is not None and now - self._last < CLOSED_WAIT)
        ):
            return None
        available = self._pool.available(now)
        desired = max(self._count.total(now), LEAST)
        is_low = available < desired // 2 and self._in_flight == 0
        if not is_low and available >= amount:
            return None
        asked = min(max(amount, desired), MOST)
        slot = None
        if available == 0 and self._is_open:
            # The first requests do not wait for the answer.
            slot = self._pool.add(asked, now + LONGEST)
        self._in_flight += 1
        self._last = now
        return Order(asked, slot)
