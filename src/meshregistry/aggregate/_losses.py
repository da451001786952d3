"""Tells of losses that the guard withholds, and lets go of those that operators accept."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshregistry.aggregate._aggregation import Aggregation
    from meshregistry.aggregate._guard import Loss
    from meshregistry.aggregate._updates import PartId
    from meshregistry.model import SourceId

LOGGER_NAME = "meshregistry.aggregate"


def accept_nothing(_part: PartId, _age: float) -> bool:
    """Nobody has accepted anything."""
    return False


class Losses:
    """Watches the losses of all sources.

    A panic is never silent: its beginning is a warning, and so is its end unless the
    registry has recovered.

    Args:
        aggregation: that withholds them.
        accepts: ``accepts(part, age)``: whether an operator has accepted what the part lost
            so many seconds ago.
    """

    def __init__(
        self, aggregation: Aggregation, accepts: Callable[[PartId, float], bool] | None
    ) -> None:
        self._aggregation = aggregation
        self._accepts = accepts or accept_nothing
        self._log = logging.getLogger(LOGGER_NAME)
        self._told: dict[PartId, Loss] = {}

    def review(self, source: SourceId, now: float) -> None:
        """Something has happened to a source, or to what operators have accepted."""
        losing = self._aggregation.losing(source)
        if not losing and not self._told:
            return
        for part, (since, began) in losing.items():
            told = self._told.get(part)
            if told is None or told.since != since:
                self._began(part)
            if self._accepts(part, now - began):
                self._accepted(part)
                self._aggregation.release(part, now)
        still = self._aggregation.losing(source)
        for part in [one for one in self._told if one.source == source and one not in still]:
            loss = self._told.pop(part)
            if loss.until is not None and loss.until <= now:
                text = "source %s: its registry has upheld the loss: of %d healthy endpoints, nothing is withheld any more"
                self._log.warning(text, part, loss.before)
            else:
                self._log.info("source %s: nothing is withheld any more", part)

    def _began(self, part: PartId) -> None:
        loss = self._aggregation.loss(part)
        if loss is not None:
            self._told[part] = loss
            when = "" if loss.until is None else f", after {loss.until - loss.since:g} s"
            self._log.warning(
                "source %s: of %d healthy endpoints %d are left; those that are missing are "
                "served until they are back%s, or until somebody accepts the loss "
                "(meshregistry sources accept %s)",
                *(part, loss.before, loss.after, when, part.source),
            )

    def _accepted(self, part: PartId) -> None:
        loss = self._aggregation.loss(part)
        del self._told[part]
        if loss is not None:
            self._log.warning(
                "source %s: the loss of %d healthy endpoints is accepted; %d are left",
                *(part, loss.before - loss.after, loss.after),
            )
