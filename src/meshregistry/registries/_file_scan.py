"""When a file counts as changed, and when as gone: a machine over (now, listing).

A file that is absent or empty may be between two steps of an editor, a rename or a swap of
symbolic links. It is gone only when a later scan, at least half a second after the first
that missed it, misses it too, and none in between has seen it (contracts, section 11).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import Factory, define, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

CONFIRMATION = 0.5
"""Seconds between the two scans that must miss a file."""

EMPTY = ""
"""What a listing says of a file without any content."""


@frozen
class Changes:
    """What a scan has established, by file, sorted."""

    changed: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changed or self.gone)


@define
class Scanner:
    """Compares listings of files with their content hashes."""

    _accepted: dict[str, str] = Factory(dict)
    _missed: dict[str, float] = Factory(dict)

    def observe(self, now: float, listing: Mapping[str, str]) -> Changes:
        """Take a complete listing.

        Args:
            now: seconds on a clock that never goes back.
            listing: content hash by file; `EMPTY` for a file without content.
        """
        changed = []
        for file in sorted(listing):
            digest = listing[file]
            if digest == EMPTY:
                if self._accepted.get(file) != EMPTY:
                    self._missed.setdefault(file, now)
                continue
            self._missed.pop(file, None)
            if self._accepted.get(file) != digest:
                self._accepted[file] = digest
                changed.append(file)
        for file in self._accepted.keys() - listing.keys():
            self._missed.setdefault(file, now)
        return Changes(tuple(changed), tuple(self._gone(now, listing)))

    def _gone(self, now: float, listing: Mapping[str, str]) -> list[str]:
        gone = []
        for file, since in sorted(self._missed.items()):
            if now - since < CONFIRMATION:
                continue
            del self._missed[file]
            had_content = self._accepted.pop(file, EMPTY) != EMPTY
            if file in listing:
                self._accepted[file] = EMPTY
            if had_content:
                gone.append(file)
        return gone

    @property
    def deadline(self) -> float | None:
        """When to scan again because something is missed; None if nothing is."""
        return min(self._missed.values()) + CONFIRMATION if self._missed else None
