"""What is known of names, told to the core."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from attrs import frozen

from meshregistry.errors import RecordError
from meshregistry.model import RecordKey, ServiceRecord
from meshregistry_eureka._convert import Converted, service_record
from meshregistry_eureka._mirror import names_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshregistry.spi import Sink
    from meshregistry_eureka._config import EurekaConfig
    from meshregistry_eureka._listing import Listing
    from meshregistry_eureka._mirror import Mirror

# A cached answer holds the leases as they were when it was made: 180 s ago at most
# (responseCacheAutoExpirationInSeconds), and eviction comes once a minute.
_LEASE_GRACE = 240.0


@frozen
class _Told:
    """What the last full answer made us say; equal ones need not be said twice."""

    records: tuple[ServiceRecord, ...]
    faults: tuple[tuple[str | None, str], ...]
    notes: tuple[tuple[str, str], ...]


class Publisher:
    """Tells a sink what a mirror holds.

    Args:
        config: of the source.
        mirror: is read.
        sink: of the attempt.
    """

    def __init__(self, config: EurekaConfig, mirror: Mirror, sink: Sink) -> None:
        self._config = config
        self._mirror = mirror
        self._sink = sink
        self._known: dict[str, Converted | RecordError] = {}
        self._told: _Told | None = None

    def read(self, names: Iterable[str]) -> None:
        """Make of these names what the mirror now says; to be published then."""
        for name in names:
            if not (instances := self._mirror.named(name)):
                self._known.pop(name, None)
                continue
            try:
                self._known[name] = service_record(name, instances, self._config)
            except RecordError as error:
                self._known[name] = error

    def listed(self, listing: Listing) -> None:
        """Publish everything at once, as one listing; one without news is confirmed."""
        records: list[ServiceRecord] = []
        notes: list[tuple[str, str]] = []
        # With an application that cannot be read, nothing is known to be gone.
        faulty = [RecordError(f"{one}; see what registers there") for one in listing.faults]
        expired = self._expired(listing.server_time)
        for name, known in sorted(self._known.items()):
            if isinstance(known, RecordError):
                faulty.append(known)
                continue
            if known.record is not None:
                records.append(known.record)
            if note := _united((*known.notes, *_preserved(expired[name]))):
                notes.append((name, note))
        faults = tuple((one.key, str(one)) for one in faulty)
        told = _Told(tuple(records), faults, tuple(notes))
        if told == self._told:
            self._sink.confirm()
            return
        self._told = told
        self._sink.replace(records, faulty=faulty)
        for name, note in notes:
            self._sink.degrade(_report(name, note))

    def changed(self, names: Iterable[str]) -> None:
        """Publish what is now known of these names, and that the others are as they were."""
        for name in sorted(names):
            self._told = None
            known = self._known.get(name, Converted())
            if isinstance(known, RecordError):
                self._sink.degrade(known)
                continue
            if known.record is None:
                self._sink.remove(RecordKey(name))
            else:
                self._sink.upsert(known.record)
            if note := _united(known.notes):
                self._sink.degrade(_report(name, note))
        self._sink.confirm()

    def _expired(self, now: int) -> Counter[str]:
        """How many instances of each name the server keeps beyond their lease."""
        if not now:
            return Counter()
        expired = self._mirror.expired(now, _LEASE_GRACE)
        return Counter(name for one in expired for name in names_of(one, self._config))


def _preserved(count: int) -> tuple[str, ...]:
    """A server that preserves itself is believed: so it wants to be, and stale beats partial."""
    if not count:
        return ()
    note = (
        f"the lease of {count} of its instances ran out minutes ago, and the server keeps them "
        "(self-preservation); see whether they live"
    )
    return (note,)


def _united(notes: tuple[str, ...]) -> str:
    """One report for a service: of several faults of a key, the last would hide the others."""
    rest = f" (and {len(notes) - 1} more)" if len(notes) > 1 else ""
    return notes[0] + rest if notes else ""


def _report(name: str, note: str) -> RecordError:
    return RecordError(f"service {name!r}: {note}", key=name)
