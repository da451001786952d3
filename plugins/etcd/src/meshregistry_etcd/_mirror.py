"""What is known of the keys under the prefix, and what follows from it for records. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from meshregistry.errors import RecordError
from meshregistry.model import RecordKey, ServiceRecord
from meshregistry_etcd._convert import united

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from meshregistry_etcd._layouts import Layout

_SHOWN = 3


@frozen
class Entry:
    """A key as etcd has it.

    Attributes:
        path: the key without the prefix.
        value: its value; None once it is deleted.
        created: the revision that created it, which orders the keys of a record.
    """

    path: str
    value: bytes | None
    created: int = 0


@frozen
class Gone:
    """A record that nothing is left of."""

    key: RecordKey


Update = ServiceRecord | Gone | RecordError


@frozen
class _Item:
    """What one key says.

    Attributes:
        key: the record that it belongs to.
        created: see `Entry`.
        part: what it said when it could last be read; None if it never could, or says nothing.
        fault: why its value cannot be read now.
    """

    key: RecordKey
    created: int
    part: ServiceRecord | None
    fault: str | None = None


class Mirror:
    """The registrations under a prefix.

    A value that cannot be read keeps what its key last said, and is a fault of its record;
    a key that is malformed is a fault under its own path, since nobody knows whose it is.

    Args:
        layout: what keys and values mean.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._items: dict[str, _Item] = {}
        self._paths: dict[RecordKey, set[str]] = {}

    def listing(self) -> Listing:
        """Begin a new listing; until it is done the old one counts."""
        return Listing(self, self._layout)

    def apply(self, entries: Iterable[Entry]) -> Iterator[Update]:
        """Take changes in; what is to be published of them, each record once and whole."""
        touched: dict[RecordKey, None] = {}
        for entry in entries:
            before = self._items.get(entry.path)
            item = None if entry.value is None else self._item(entry)
            if before is not None:
                self._drop(entry.path, before)
                touched[before.key] = None
            if item is not None:
                self._add(entry.path, item)
                touched[item.key] = None
        for key in touched:
            yield from self._updates(key)

    def take(self, other: Mirror) -> None:
        """Hold what another holds."""
        self._items, self._paths = other._items, other._paths

    def _updates(self, key: RecordKey) -> Iterator[Update]:
        if key not in self._paths:
            yield Gone(key)
            return
        record, fault = self.record(key)
        if record is not None:
            yield record
        elif fault is None:
            yield Gone(key)
        # After the record, which would clear it.
        if fault is not None:
            yield fault

    def record_keys(self) -> list[RecordKey]:
        """The records that something is known of."""
        return list(self._paths)

    def record(self, key: RecordKey) -> tuple[ServiceRecord | None, RecordError | None]:
        """A record, if anything can be said of it, and what is wrong with it."""
        items = sorted((self._items[path].created, path) for path in self._paths[key])
        known = [(path, self._items[path]) for _, path in items]
        faults = [f"{path}: {item.fault}" for path, item in known if item.fault is not None]
        parts = [item.part for _, item in known if item.part is not None]
        record: ServiceRecord | None = None
        if parts:
            record, clashes = united(parts)
            faults += clashes
        if not faults:
            return record, None
        more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        return record, RecordError("; ".join(faults[:_SHOWN]) + more, key=key)

    def _item(self, entry: Entry, known: _Item | None = None) -> _Item | None:
        """What an entry says; None if it is no registration."""
        try:
            key = self._layout.key(entry.path)
        except ValueError as error:
            return _Item(RecordKey(entry.path), entry.created, None, str(error))
        if key is None:
            return None
        before = known or self._items.get(entry.path)
        try:
            part = self._layout.read(entry.path, entry.value or b"")
        except ValueError as error:
            return _Item(key, entry.created, before.part if before else None, str(error))
        return _Item(key, entry.created, part)

    def _add(self, path: str, item: _Item) -> None:
        self._items[path] = item
        self._paths.setdefault(item.key, set()).add(path)

    def _drop(self, path: str, item: _Item) -> None:
        del self._items[path]
        paths = self._paths[item.key]
        paths.discard(path)
        if not paths:
            del self._paths[item.key]


class Listing:
    """A complete listing in the making, page by page.

    Args:
        mirror: what was known before, for values that cannot be read now.
        layout: what keys and values mean.
    """

    def __init__(self, mirror: Mirror, layout: Layout) -> None:
        self._mirror = mirror
        self._new = Mirror(layout)

    def add(self, entries: Iterable[Entry]) -> None:
        """Take a page in."""
        for entry in entries:
            known = self._mirror._items.get(entry.path)  # noqa: SLF001 - one unit, two classes
            item = self._new._item(entry, known)  # noqa: SLF001 - the same
            if item is not None:
                self._new._add(entry.path, item)  # noqa: SLF001 - the same

    def done(self) -> tuple[list[ServiceRecord], list[RecordError], list[RecordError]]:
        """Make it what the mirror holds.

        Returns:
            The records; faults of records of which nothing can be said; faults of those
            that are in the listing nevertheless.
        """
        self._mirror.take(self._new)
        records: list[ServiceRecord] = []
        silent: list[RecordError] = []
        partial: list[RecordError] = []
        for key in self._mirror.record_keys():
            record, fault = self._mirror.record(key)
            if record is not None:
                records.append(record)
            if fault is not None:
                (silent if record is None else partial).append(fault)
        return records, silent, partial
