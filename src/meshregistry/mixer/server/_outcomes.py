"""The server's check cache: outcomes kept by exactly what they were made of. Pure.

The original files an outcome under the first shape that fits the request, so that it is
found by requests that differ in what it was made of. Here it is filed under its own.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Protocol

from attrs import frozen

from meshregistry.mixer._shapes import Reference as ShapeReference
from meshregistry.mixer._shapes import Shape, ShapeList, Signature
from meshregistry.mixer.server._outcome import CheckOutcome

if TYPE_CHECKING:
    from meshregistry.mixer._attributes import AttributeBag

SIZE = 1_500_000
"""Outcomes of five minutes at 5,000 checks a second."""


class Question(Protocol):
    """The attributes of a request, as far as a cache asks for them."""

    def signature(self, shape: Shape) -> Signature | None:
        """What they hold for this shape; None if they do not fit."""


@frozen
class Kept:
    """An outcome that was decided before.

    Attributes:
        outcome: as it was decided.
        expiry: until when it holds.
    """

    outcome: CheckOutcome
    expiry: float


class OutcomeCache:
    """Outcomes by shape and signature; the least recently used ones go first.

    Uses are not counted here: every client counts its own.

    Args:
        size: how many outcomes it holds; 0: none.
    """

    def __init__(self, size: int = SIZE) -> None:
        self.size = size
        self._shapes = ShapeList()
        self._kept: OrderedDict[tuple[Shape, Signature], Kept] = OrderedDict()
        self.hits = 0
        self.misses = 0
        self.writes = 0
        self.evictions = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, question: Question, now: float) -> Kept | None:
        """An outcome for these attributes that still holds; or None."""
        shapes, held = self._shapes.ordered, self._kept
        for shape in shapes:
            signature = question.signature(shape)
            if signature is None:
                continue
            key = (shape, signature)
            kept = held.get(key)
            if kept is None:
                continue
            if now >= kept.expiry:
                del held[key]
                continue
            held.move_to_end(key)
            if shape is not shapes[0]:
                self._shapes.used(shape)
            self.hits += 1
            return kept
        self.misses += 1
        return None

    def put(self, outcome: CheckOutcome, bag: AttributeBag, now: float) -> None:
        """Keep an outcome of these attributes for as long as it holds."""
        if not self.size or outcome.valid_duration <= 0 or outcome.valid_use_count == 0:
            return
        absent = [_reference(one) for one in outcome.references if not one.is_present]
        exact = [_reference(one) for one in outcome.references if one.is_present]
        # Of a map that is there an absent entry reads as empty; of one that is not, as an error,
        # or as what was found out.
        shape = self._shapes.known(Shape(absent, exact, has_maps=True))
        signature = shape.fitted(bag.entries)
        if signature is None:
            return
        self._kept[shape, signature] = Kept(outcome, now + outcome.valid_duration)
        self._kept.move_to_end((shape, signature))
        self.writes += 1
        if len(self._kept) > self.size:
            self._kept.popitem(last=False)
            self.evictions += 1

    def take_counts(self, other: OutcomeCache) -> None:
        """Go on counting where another one ended."""
        self.hits, self.misses = other.hits, other.misses
        self.writes, self.evictions = other.writes, other.evictions


def _reference(one: Any) -> ShapeReference:
    return ShapeReference(one.name, one.key)
