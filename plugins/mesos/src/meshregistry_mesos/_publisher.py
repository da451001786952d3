"""What is told to the core: for each service what its instances make of it, all its records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshregistry.errors import RecordError
from meshregistry_mesos._records import Converted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meshregistry.model import RecordKey, ServiceRecord
    from meshregistry.spi import Sink

Outcome = Converted | RecordError
"""What became of one service: its records, or why there are none that can be relied upon."""

Known = dict["RecordKey", frozenset["RecordKey"]]
"""The records of each service that were published, over all attempts of a source."""


class Publisher:
    """Tells the sink.

    A service has a record of its own and one for each of its virtual addresses; one that is
    malformed keeps all of them.

    Args:
        sink: to tell.
        known: what was published; kept up to date.
    """

    def __init__(self, sink: Sink, known: Known) -> None:
        self._sink = sink
        self._known = known

    def replace(
        self, services: Mapping[RecordKey, Outcome], nameless: Iterable[RecordError] = ()
    ) -> None:
        """Publish a complete listing; `nameless` are faults of which nobody knows whose they are."""
        records: list[ServiceRecord] = []
        faulty: list[RecordError] = list(nameless)
        notes: list[RecordError] = []
        published: Known = {}
        for key, outcome in services.items():
            if isinstance(outcome, RecordError):
                held = self._known.get(key, frozenset({key}))
                faulty += [RecordError(str(outcome), key=one) for one in sorted(held)]
                published[key] = held
                continue
            if outcome.records:
                records += outcome.records
                published[key] = frozenset(one.key for one in outcome.records)
            notes += _reports(key, outcome)
        self._sink.replace(records, faulty=faulty)
        if any(one.key is None for one in faulty):
            # Then nothing was removed, so that it may have to be later.
            published = {**self._known, **published}
        self._known.clear()
        self._known.update(published)
        for note in notes:
            self._sink.degrade(note)

    def publish(self, key: RecordKey, outcome: Outcome) -> None:
        """Publish what has become of one service."""
        before = self._known.get(key, frozenset())
        if isinstance(outcome, RecordError):
            for one in sorted(before or {key}):
                self._sink.degrade(RecordError(str(outcome), key=one))
            return
        now = frozenset(one.key for one in outcome.records)
        for one in sorted((before or {key}) - now):
            self._sink.remove(one)
        for record in outcome.records:
            self._sink.upsert(record)
        if now:
            self._known[key] = now
        else:
            self._known.pop(key, None)
        for note in _reports(key, outcome):
            self._sink.degrade(note)


def _reports(key: RecordKey, converted: Converted) -> list[RecordError]:
    """One report for a service: of several faults of a key, the last would hide the others."""
    if not converted.notes:
        return []
    first, *more = converted.notes
    rest = f" (and {len(more)} more)" if more else ""
    return [RecordError(f"service {key!r}: {first}{rest}", key=key)]
