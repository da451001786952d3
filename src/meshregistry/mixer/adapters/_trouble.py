"""What keeps a handler from its work, in the log: each reason once, and its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshregistry.mixer.spi import HandlerContext

_MOST = 10
"""Reasons of one outage that are told: some have an id of the request in them."""


class Trouble:
    """One for each backend; a call that fails must not fill the log, however many there are."""

    def __init__(self, context: HandlerContext) -> None:
        self._context = context
        self._told: set[str] = set()

    def is_there(self, reason: str) -> None:
        """A call has failed for this reason."""
        if reason not in self._told and len(self._told) < _MOST:
            self._told.add(reason)
            self._context.logger.warning("%s", reason)

    def is_over(self, what: str) -> None:
        """A call has succeeded."""
        if self._told:
            self._told.clear()
            self._context.logger.info("%s", what)
