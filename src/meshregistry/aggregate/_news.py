"""What is worth a line in the log: a repeated fault on change, and then hourly. Pure."""

from __future__ import annotations

from collections.abc import Hashable

from attrs import Factory, define

HOUR = 3600.0


@define
class News:
    """Remembers what was last said of each subject, and when.

    Attributes:
        interval: seconds after which the same is said again.
    """

    interval: float = HOUR
    _said: dict[Hashable, tuple[str, float]] = Factory(dict)

    def is_new(self, subject: Hashable, text: str, now: float) -> bool:
        """Whether to say this now; if so, it counts as said."""
        said = self._said.get(subject)
        if said is not None and said[0] == text and now - said[1] < self.interval:
            return False
        self._said[subject] = (text, now)
        return True

    def forget(self, subject: Hashable) -> None:
        """Whatever comes next of this subject is news."""
        self._said.pop(subject, None)
