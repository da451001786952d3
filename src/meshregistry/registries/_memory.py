"""The memory registry: records that Python code sets, for embedding programs and tests."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from attrs import frozen

from meshregistry.model import RecordKey, ServiceRecord, SourceId
from meshregistry.registries._memory_registrar import MemoryRegistrar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshregistry.spi import RegistryContext, Sink


@frozen(kw_only=True)
class MemoryConfig:
    """Options of the kind ``memory``.

    Attributes:
        manual: wait for the first `MemoryRegistry.replace` before the source counts as
            synced; otherwise it is synced from the start, with whatever it holds.
    """

    manual: bool = False


class MemoryRegistry:
    """Records in memory; every method may be called from any thread, at any time.

    It outlives the attempts of its source: what was written before one begins is
    published when it begins, and what is written during one is published at once, in the
    order of the calls.

    Args:
        manual: see `MemoryConfig`.
    """

    def __init__(self, *, manual: bool = False) -> None:
        self._manual = manual
        self._replaced = False
        self._records: dict[RecordKey, ServiceRecord] = {}
        self._sinks: list[Sink] = []
        self._ends: dict[RecordKey, asyncio.TimerHandle] = {}
        # Held while a sink is called too, so that writes of two threads reach every sink in one order;
        # a sink never blocks.
        self._lock = threading.Lock()

    def configure(self, config: MemoryConfig) -> None:
        """Take the options of the settings; called before `run`."""
        with self._lock:
            self._manual = config.manual

    async def run(self, sink: Sink) -> None:
        """Publish what is held and whatever is written, until cancelled."""
        with self._lock:
            self._sinks.append(sink)
            if self._is_complete:
                sink.replace(self._listed())
        try:
            await asyncio.Event().wait()
        finally:
            with self._lock:
                self._sinks.remove(sink)

    def upsert(self, record: ServiceRecord) -> None:
        """Add a record, or replace the one with its key.

        Raises:
            TypeError: if it is not a `ServiceRecord`.
        """
        _check(record)
        with self._lock:
            self._records[record.key] = record
            if self._is_complete:
                for sink in self._sinks:
                    sink.upsert(record)

    def remove(self, key: str) -> None:
        """Take a record away; an unknown key is no error.

        Args:
            key: the record key, which is the host unless the record said otherwise.
        """
        with self._lock:
            known = RecordKey(key)
            if self._records.pop(known, None) is not None and self._is_complete:
                for sink in self._sinks:
                    sink.remove(known)

    def replace(self, records: Iterable[ServiceRecord]) -> None:
        """Say what there is, completely; with ``manual`` the first call makes the source synced.

        The iterable is consumed before anything changes.

        Raises:
            TypeError: if an item is not a `ServiceRecord`.
            ValueError: if two records have one key.
        """
        listed = list(records)
        by_key: dict[RecordKey, ServiceRecord] = {}
        for record in listed:
            _check(record)
            if by_key.setdefault(record.key, record) is not record:
                msg = f"two records have the key {record.key!r}; give each its own key"
                raise ValueError(msg)
        with self._lock:
            self._records = by_key
            self._replaced = True
            for sink in self._sinks:
                sink.replace(self._listed())

    def expire(self, key: str, until: float | None) -> None:
        """Take a record away later, unless it is told otherwise until then; on the loop only.

        Args:
            key: the record key.
            until: a time of the loop; None for now.
        """
        known = RecordKey(key)
        earlier = self._ends.pop(known, None)
        if earlier is not None:
            earlier.cancel()
        if until is None:
            self.remove(known)
        else:
            # A timer of the loop and no task: it ends with the loop, whoever forgets it.
            loop = asyncio.get_running_loop()
            self._ends[known] = loop.call_at(until, self.expire, known, None)

    def get(self, key: str) -> ServiceRecord | None:
        """The record of this key, or None."""
        with self._lock:
            return self._records.get(RecordKey(key))

    def records(self) -> tuple[ServiceRecord, ...]:
        """All records as they are now, sorted by key."""
        with self._lock:
            return self._listed()

    @property
    def _is_complete(self) -> bool:
        return self._replaced or not self._manual

    def _listed(self) -> tuple[ServiceRecord, ...]:
        return tuple(self._records[key] for key in sorted(self._records))


class Memories:
    """The memory registries of one Pilot, by source id.

    Each exists from the first time that somebody asks, so it can be written to before the
    settings are read or the pilot is entered.
    """

    def __init__(self) -> None:
        self._by_id: dict[SourceId, MemoryRegistry] = {}
        self._lock = threading.Lock()

    def get(self, source: str) -> MemoryRegistry:
        """The registry of this source."""
        with self._lock:
            return self._by_id.setdefault(SourceId(source), MemoryRegistry())

    def open(self, config: MemoryConfig, context: RegistryContext) -> MemoryRegistry:
        """What the kind ``memory`` opens: always the same object for one source."""
        registry = self.get(context.source_id)
        registry.configure(config)
        return registry

    def registrar(self, config: MemoryConfig, context: RegistryContext) -> MemoryRegistrar:
        """What writes registrations into it; other processes see nothing of them."""
        del config
        return MemoryRegistrar(self.get(context.source_id))


def _check(record: object) -> None:
    if not isinstance(record, ServiceRecord):
        msg = f"{record!r} is not a ServiceRecord; make one, for example with ServiceRecord.parse"
        raise TypeError(msg)
