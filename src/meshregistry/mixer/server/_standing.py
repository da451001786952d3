"""How the configuration is doing: all that is wrong with it now; in the log each thing once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from attrs import frozen

from meshregistry.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshregistry.mixer.config import Accepted

_log = logging.getLogger("meshregistry.mixer")


@frozen(kw_only=True)
class ConfigStatus:
    """How the configuration is doing.

    Attributes:
        faults: what is wrong with the documents, and with their files, as they are written.
        kept: documents whose last good version is in force instead, as texts.
        handlers: for each handler that runs its title and, if it could not be opened, why.
        hints: documents that are right, and of no use as they are.
    """

    faults: tuple[ConfigError, ...] = ()
    kept: tuple[str, ...] = ()
    handlers: tuple[tuple[str, str], ...] = ()
    hints: tuple[ConfigError, ...] = ()


class Standing:
    """Remembers what is wrong, and logs what is new of it."""

    def __init__(self) -> None:
        self._away: ConfigError | None = None
        self._of_texts: tuple[ConfigError, ...] = ()
        self._accepted: Accepted | None = None

    @property
    def faults(self) -> tuple[ConfigError, ...]:
        """What keeps from reading at all, what no document can be made of, what is wrong in one."""
        away = () if self._away is None else (self._away,)
        accepted = () if self._accepted is None else self._accepted.faults
        return (*away, *self._of_texts, *accepted)

    @property
    def kept(self) -> tuple[str, ...]:
        """Documents whose last good version is in force."""
        return () if self._accepted is None else tuple(map(str, self._accepted.kept))

    @property
    def hints(self) -> tuple[ConfigError, ...]:
        """Documents of no use."""
        return () if self._accepted is None else self._accepted.snapshot.hints

    def is_away(self, fault: ConfigError) -> None:
        """Nothing can be read."""
        if str(fault) != str(self._away):
            _log.warning("%s; what was in force stays", fault)
        self._away = fault

    def is_back(self) -> None:
        """All can be read, though something may be wrong in it."""
        if self._away is not None:
            _log.info("the configuration can be read again")
        self._away = None

    def is_in_force(self, accepted: Accepted, of_texts: Iterable[ConfigError], size: int) -> None:
        """There is a new configuration.

        Args:
            accepted: of what.
            of_texts: what no document could be made of.
            size: of how many documents.
        """
        told = {*map(str, self.faults), *map(str, self.hints)}
        kept, is_first = self.kept, self._accepted is None
        self._accepted, self._of_texts = accepted, tuple(of_texts)
        for fault in (*self._of_texts, *accepted.faults):
            if str(fault) not in told:
                _log.warning("%s", fault)
        for hint in accepted.snapshot.hints:
            if str(hint) not in told:
                _log.info("%s", hint)
        for key in map(str, accepted.kept):
            if key not in kept:
                _log.warning("%s: the last good version stays in force", key)
        if not is_first:
            faults = len(self.faults)
            _log.info("a new configuration is in force: documents=%d faults=%d", size, faults)
