"""The source table: a reducer from updates of parts to changed records and services."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType

from attrs import Factory, define, frozen

from meshregistry.aggregate._completion import TransformFault
from meshregistry.aggregate._updates import Fault, PartId, Remove, Replace, Update, Upsert, listed
from meshregistry.model import RecordKey, ServiceKey, ServiceRecord

Stage = Callable[[PartId, Mapping[RecordKey, ServiceRecord], Update, float], Update]
"""A pure step before the table: ``stage(part, held, update, now)`` gives the update to apply.

`held` is what the part's records were, in the registry's own words. A stage may hold
something back (as a guard against the loss of many endpoints does), never invent.
"""

Complete = Callable[[ServiceRecord], ServiceRecord | None]
"""Makes of what a source says what is merged; None hides a record, `TransformFault` keeps it."""


@frozen
class Applied:
    """What an update has changed: record keys of the part, and service keys.

    Attributes:
        records: whose completed form has changed.
        services: of these records, with the names that stand for them.
        faults: of records that could not be completed, and are as they were.
    """

    records: frozenset[RecordKey] = frozenset()
    services: frozenset[ServiceKey] = frozenset()
    faults: tuple[Fault, ...] = ()


@define
class _Held:
    """What one part holds: records as they came, and as they were completed, or why not."""

    complete: Complete
    given: dict[RecordKey, ServiceRecord] = Factory(dict)
    completed: dict[RecordKey, ServiceRecord] = Factory(dict)
    unfit: dict[RecordKey, str] = Factory(dict)


class SourceTable:
    """Records by source, part and record key, with an index by service key.

    Args:
        stages: applied in order to each update before the table sees it.
    """

    def __init__(self, stages: Iterable[Stage] = ()) -> None:
        self._stages = tuple(stages)
        self._parts: dict[PartId, _Held] = {}
        self._by_service: dict[ServiceKey, set[tuple[PartId, RecordKey]]] = {}

    def apply(self, part: PartId, update: Update, complete: Complete, now: float) -> Applied:
        """Change what a part holds; equal records are no change.

        A listing made under another `complete` than the one before completes all records
        again, those that it keeps included.
        """
        held = self._parts.setdefault(part, _Held(complete))
        for stage in self._stages:
            update = stage(part, MappingProxyType(held.given), update, now)
        match update:
            case Upsert(record):
                return self._put(part, held, {record.key: record}, frozenset())
            case Remove(key):
                return self._put(part, held, {}, {key} & held.given.keys())
            case Replace():
                target = listed(held.given, update)
                gone = held.given.keys() - target.keys()
                is_same = held.complete == complete
                held.complete = complete
                return self._put(part, held, target, gone, again=not is_same)

    def forget(self, part: PartId) -> Applied:
        """Drop all that a part holds."""
        held = self._parts.pop(part, None)
        return Applied() if held is None else self._put(part, held, {}, frozenset(held.given))

    def records(self, part: PartId) -> Mapping[RecordKey, ServiceRecord]:
        """The completed records of a part, read-only."""
        held = self._parts.get(part)
        return MappingProxyType(held.completed if held else {})

    def given(self, part: PartId) -> Mapping[RecordKey, ServiceRecord]:
        """The records of a part in the registry's own words, read-only."""
        held = self._parts.get(part)
        return MappingProxyType(held.given if held else {})

    def unfit(self, part: PartId) -> dict[RecordKey | None, str]:
        """The records of a part whose newest form could not be completed, and why."""
        held = self._parts.get(part)
        return dict(held.unfit.items()) if held else {}

    def complete_again(self, part: PartId, complete: Complete) -> Applied:
        """Complete all that a part holds in another way."""
        held = self._parts[part]
        held.complete = complete
        return self._put(part, held, held.given.copy(), frozenset(), again=True)

    def parts(self) -> tuple[PartId, ...]:
        """The parts that hold anything, sorted."""
        return tuple(sorted(part for part, held in self._parts.items() if held.given))

    def contributions(self, key: ServiceKey) -> Iterator[tuple[PartId, ServiceRecord]]:
        """Every completed record of this service, in no particular order.

        Also of those that stand under another name for which this one is kept.
        """
        for part, record_key in self._by_service.get(key, ()):
            yield part, self._parts[part].completed[record_key]

    def shared(self, parts: Iterable[PartId]) -> frozenset[ServiceKey]:
        """The services of these parts of which there is more than one record."""
        return frozenset(
            name
            for part in parts
            for record in self.records(part).values()
            for name in record.names
            if len(self._by_service[name]) > 1
        )

    def _put(
        self,
        part: PartId,
        held: _Held,
        changed: Mapping[RecordKey, ServiceRecord],
        gone: frozenset[RecordKey] | set[RecordKey],
        *,
        again: bool = False,
    ) -> Applied:
        """Write records and keep the index; tells what has really changed."""
        records: set[RecordKey] = set()
        services: set[ServiceKey] = set()
        faults: list[Fault] = []
        for key in gone:
            del held.given[key]
            held.unfit.pop(key, None)
            if self._replace(part, held, key, None, services):
                records.add(key)
        for key, record in changed.items():
            if not again and held.given.get(key) == record:
                continue
            held.given[key] = record
            held.unfit.pop(key, None)
            try:
                completed = held.complete(record)
            except TransformFault as fault:
                held.unfit[key] = str(fault)
                faults.append(Fault(key, str(fault)))
                continue
            if self._replace(part, held, key, completed, services):
                records.add(key)
        return Applied(frozenset(records), frozenset(services), tuple(faults))

    def _replace(
        self,
        part: PartId,
        held: _Held,
        key: RecordKey,
        new: ServiceRecord | None,
        services: set[ServiceKey],
    ) -> bool:
        """Put a completed record in the place of the one before; whether they differ."""
        old = held.completed.get(key)
        if old == new:
            return False
        if old is not None:
            del held.completed[key]
            services.update(old.names)
            for name in old.names:
                references = self._by_service[name]
                references.discard((part, key))
                if not references:
                    del self._by_service[name]
        if new is not None:
            held.completed[key] = new
            services.update(new.names)
            for name in new.names:
                self._by_service.setdefault(name, set()).add((part, key))
        return True
