"""Differences of sets, found once for many sessions."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshregistry.model import Changes, ResourceSet


class SharedDiff:
    """Differences of two sets, found once for all sessions that hold the older one.

    Args:
        size: how many are kept.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        # The sets are kept in the entry, so that their ids stay theirs.
        self._known: OrderedDict[tuple[int, int, str], tuple[ResourceSet, ResourceSet, Changes]] = (
            OrderedDict()
        )

    def __call__(self, older: ResourceSet, newer: ResourceSet, type_url: str) -> Changes:
        key = (id(older), id(newer), type_url)
        known = self._known.get(key)
        if known is None:
            known = (older, newer, newer.changes_since(older, type_url))
            self._known[key] = known
            if len(self._known) > self._size:
                self._known.popitem(last=False)
        return known[2]
