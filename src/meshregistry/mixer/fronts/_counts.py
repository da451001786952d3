"""What the fronts count, and what they say of it without saying it too often."""

from __future__ import annotations

import logging
from collections import Counter

_log = logging.getLogger("meshregistry.mixer.fronts")


class Counts:
    """Figures by name; the first of a kind, and every hundredth, is also logged."""

    def __init__(self) -> None:
        self.by_name: Counter[str] = Counter()

    def add(self, name: str, number: int = 1) -> None:
        """Count something that is as it should be."""
        self.by_name[name] += number

    def lament(self, name: str, reason: str, number: int = 1) -> None:
        """Count something that somebody may want to mend."""
        before = self.by_name[name]
        self.by_name[name] += number
        if before == 0 or before // _EVERY != self.by_name[name] // _EVERY:
            _log.warning("%s (%d so far): %s", name, self.by_name[name], reason)


_EVERY = 100
