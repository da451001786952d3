"""What a supervisor hands out to be kept across restarts, and takes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshregistry.aggregate._updates import PartId

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshregistry.aggregate._aggregation import Aggregation
    from meshregistry.aggregate._kept import Kept
    from meshregistry.aggregate._source import Source
    from meshregistry.model import ServiceRecord, SourceId
    from meshregistry.spi import Clock


class Archive:
    """The records of all sources, to be kept.

    Args:
        aggregation: that holds them.
        clock: of the core.
    """

    def __init__(self, aggregation: Aggregation, clock: Clock) -> None:
        self._aggregation = aggregation
        self._clock = clock

    @property
    def sources(self) -> tuple[Source, ...]:
        """The sources, in order of precedence."""
        return self._aggregation.sources

    def restore(self, source: SourceId, parts: Mapping[str, Kept[ServiceRecord]]) -> None:
        """Take what was kept of a source, before the supervisor is entered.

        The source is STALE until its first listing, and the start gate no longer insists on
        it.
        """
        now = self._clock.now()
        for name, kept in parts.items():
            self._aggregation.restore(PartId(source, name), kept.items, now - kept.current, now)

    def kept(self, source: SourceId) -> Mapping[str, Kept[ServiceRecord]]:
        """What is to be kept of a source, part by part: what has ever been listed."""
        return self._aggregation.kept(source, self._clock.now())
