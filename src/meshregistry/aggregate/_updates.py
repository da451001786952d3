"""What a sink says, as values: the words of a registry about one part of one source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from meshregistry.errors import RecordError, RegistryError
from meshregistry.model import RecordKey, ServiceRecord, SourceId

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@frozen(order=True)
class PartId:
    """An independently complete piece of a source; the unnamed part is the source's own.

    The text form is ``source`` or ``source/part``.
    """

    source: SourceId
    part: str = ""

    def __str__(self) -> str:
        return f"{self.source}/{self.part}" if self.part else str(self.source)


@frozen
class Fault:
    """What is wrong with one record; without a key it is not known which one."""

    key: RecordKey | None
    reason: str

    @classmethod
    def of(cls, error: RecordError) -> Fault:
        """Copy the error's words; an exception would keep frames and can be changed."""
        return cls(None if error.key is None else RecordKey(error.key), str(error))


@frozen
class Replace:
    """A complete listing of a part.

    Attributes:
        records: with different keys.
        faults: of records that could not be read: those keep their last good version. One
            without a key means that nothing is removed in this round.
    """

    records: tuple[ServiceRecord, ...]
    faults: tuple[Fault, ...] = ()

    @classmethod
    def consume(cls, records: Iterable[ServiceRecord], faulty: Iterable[RecordError]) -> Replace:
        """Read both iterables to their end.

        Two different records under one key make that key faulty: which of them is right
        is not ours to guess.

        Raises:
            TypeError: if something else is among them.
            Exception: whatever the iterables raise.
        """
        by_key: dict[RecordKey, ServiceRecord] = {}
        faults: list[Fault] = []
        for record in records:
            checked_record(record)
            if by_key.setdefault(record.key, record) != record:
                reason = f"the record key {record.key!r} is listed twice, with different records; give each record a key of its own"
                faults.append(Fault(record.key, reason))
        for error in faulty:
            if not isinstance(error, RecordError):
                msg = f"{error!r} is not a RecordError: faulty= takes nothing else"
                raise TypeError(msg)
            faults.append(Fault.of(error))
        return cls(tuple(by_key.values()), tuple(faults))


@frozen
class Upsert:
    """One whole record, new or changed."""

    record: ServiceRecord


@frozen
class Remove:
    """A record is gone; an unknown key is no error."""

    key: RecordKey


@frozen
class Confirm:
    """The backend was asked and nothing has changed."""


@frozen
class Degrade:
    """A fault; the data stays."""

    error: RegistryError


@frozen
class Open:
    """The run has asked for the sink of this part."""


Update = Replace | Upsert | Remove
"""What changes data."""

Message = Update | Confirm | Degrade | Open
"""All that can be said of a part."""


def checked_record(record: object) -> ServiceRecord:
    """The record itself.

    Raises:
        TypeError: if it is something else.
    """
    if not isinstance(record, ServiceRecord):
        msg = f"{record!r} is not a ServiceRecord: a sink takes nothing else"
        raise TypeError(msg)
    return record


def listed(
    held: Mapping[RecordKey, ServiceRecord], update: Replace
) -> dict[RecordKey, ServiceRecord]:
    """The records after a listing, of those that were held before.

    Keys that are named as faulty keep their last good record; a fault without a key keeps
    everything that the listing does not have.
    """
    target = {record.key: record for record in update.records}
    for fault in update.faults:
        if fault.key is None:
            target = {**held, **target}
        elif fault.key in held:
            target[fault.key] = held[fault.key]
    return target
