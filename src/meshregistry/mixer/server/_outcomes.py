"""The server's check cache: outcomes kept by exactly what they were made of. Pure.

The original files an outcome under the first shape that fits the request, so that it is
found by requests that differ in what it was made of. Here it is filed under its own.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from attrs import frozen

from meshregistry.mixer._shapes import Reference as ShapeReference
from meshregistry.mixer._shapes import Shape, ShapeList
from meshregistry.mixer.server._outcome import CheckOutcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshregistry.mixer._attributes import Value

SIZE = 1_500_000
"""Outcomes of five minutes at 5,000 checks a second."""


@frozen
class _Kept:
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
        self._kept: OrderedDict[tuple[Shape, Any], _Kept] = OrderedDict()
        self.hits = 0
        self.misses = 0
        self.writes = 0
        self.evictions = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, entries: Mapping[str, Value], now: float) -> CheckOutcome | None:
        """An outcome for these attributes, with what is left of its duration; or None."""
        for shape in self._shapes.ordered:
            signature = shape.signature(entries)
            if signature is None:
                continue
            key = (shape, signature)
            kept = self._kept.get(key)
            if kept is None:
                continue
            if now >= kept.expiry:
                del self._kept[key]
                continue
            self._kept.move_to_end(key)
            if shape is not self._shapes.ordered[0]:
                self._shapes.used(shape)
            self.hits += 1
            return kept.outcome.lasting(kept.expiry - now)
        self.misses += 1
        return None

    def put(self, outcome: CheckOutcome, entries: Mapping[str, Value], now: float) -> None:
        """Keep an outcome for as long as it holds."""
        if not self.size or outcome.valid_duration <= 0 or outcome.valid_use_count == 0:
            return
        absent = [_reference(one) for one in outcome.references if not one.is_present]
        exact = [_reference(one) for one in outcome.references if one.is_present]
        shape = self._shapes.known(Shape(absent, exact))
        signature = shape.fitted(entries)
        if signature is None:
            return
        self._kept[shape, signature] = _Kept(outcome, now + outcome.valid_duration)
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
