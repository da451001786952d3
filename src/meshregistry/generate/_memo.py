"""Results that are kept for as long as their inputs are the same objects.

Inputs are frozen values, so that identity is all there is to compare. A memo has slots,
one for each thing that is derived; a slot remembers its newest inputs and result. Slots
that nobody asked for between two turns are forgotten, so that a memo holds what the newest
world uses and no more.
"""

from __future__ import annotations

from operator import is_
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

T = TypeVar("T")
W = TypeVar("W", bound="Hashable")


class Fragments:
    """Pieces of encoded resources by the words that decide them.

    A pass takes what the former pass made for equal words, and is all that the next one can
    take from.
    """

    def __init__(self, former: Fragments | None = None) -> None:
        self._former: dict[Hashable, bytes] = former.made if former else {}
        self.made: dict[Hashable, bytes] = {}

    def keep(self, words: W, make: Callable[[W], bytes]) -> bytes:
        """The piece for these words."""
        piece = self._former.get(words)
        if piece is None:
            piece = make(words)
        self.made[words] = piece
        return piece

    def close(self) -> None:
        """End the pass: forget what it did not use of the former one."""
        self._former = {}


class Memo:
    """Slots of results, kept by the identity of their inputs."""

    def __init__(self) -> None:
        self._slots: dict[Hashable, tuple[tuple[object, ...], Any]] = {}
        self._used: set[Hashable] = set()

    def get(self, slot: Hashable, inputs: tuple[object, ...], make: Callable[[T | None], T]) -> T:
        """The slot's result, if it was made from these very inputs; else a new one.

        `make` is given the slot's former result (None if there is none), so that it can
        keep what did not change.
        """
        self._used.add(slot)
        kept = self._slots.get(slot)
        former: T | None = None
        if kept is not None:
            former = kept[1]
            if len(kept[0]) == len(inputs) and all(map(is_, kept[0], inputs)):
                return kept[1]  # type: ignore[no-any-return]  # a slot keeps one type
        result = make(former)
        self._slots[slot] = (inputs, result)
        return result

    def turn(self) -> None:
        """Begin a new world: forget the slots that the last one had no use for."""
        for slot in self._slots.keys() - self._used:
            del self._slots[slot]
        self._used.clear()

    def __len__(self) -> int:
        return len(self._slots)
