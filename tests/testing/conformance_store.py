"""A backend in memory that can do everything, and an adapter for it that keeps the contract."""

from __future__ import annotations

import asyncio

from meshregistry.errors import (
    RecordError,
    RegistryAuthError,
    RegistryProtocolError,
    RegistryUnavailable,
)
from meshregistry.model import Labels, RecordKey, Service, ServiceRecord


class Store:
    """Names and their addresses; says how often it was asked.

    Attributes:
        known: what an adapter remembers beyond an attempt.
        left: what an adapter leaves behind: how to be rid of it.
    """

    def __init__(self) -> None:
        self.entries: dict[str, tuple[str, ...] | None] = {}
        self.version = 0
        self.asked = 0
        self.known = {}
        self.left = []
        self.delay = 0.0
        self.trouble: type[OSError] | None = None
        self.is_truncating = False
        self._waiting: list[asyncio.Future[None]] = []

    # --- For the kit ----------------------------------------------------------------

    def put(self, record):
        self._write(record.key, tuple(str(endpoint) for endpoint in record.endpoints))
        return record

    def remove(self, key):
        if key in self.entries:
            del self.entries[key]
            self._changed()

    def garble(self, key):
        self._write(key, None)

    def break_(self):
        self.trouble = ConnectionError
        self._wake()

    def refuse_credentials(self):
        self.trouble = PermissionError
        self._wake()

    def truncate(self):
        self.is_truncating = True
        self._wake()

    async def slow(self, seconds):
        self.delay = seconds

    def silence(self):
        self._waiting.clear()

    def heal(self):
        self.trouble = None
        self.is_truncating = False
        self.delay = 0.0

    def wipe(self):
        self.entries.clear()
        self.version = 0
        self._wake()

    def attempts(self):
        return self.asked

    # --- For the adapter ------------------------------------------------------------

    async def listing(self):
        """The version and, one after another, every entry; it may break off."""
        self.asked += 1
        await asyncio.sleep(self.delay)
        if self.trouble is not None:
            raise self.trouble
        entries = list(self.entries.items())
        for number, entry in enumerate(entries):
            if self.is_truncating and number >= len(entries) // 2:
                raise EOFError
            yield entry

    async def news(self, known):
        """Wait until the version is another one, or the connection breaks."""
        while self.version == known and self.trouble is None and not self.is_truncating:
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            await waiting
        await asyncio.sleep(self.delay)

    def _write(self, key, value):
        self.entries[key] = value
        self._changed()

    def _changed(self):
        self.version += 1
        self._wake()

    def _wake(self):
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if not one.done():
                one.set_result(None)


class StoreRegistry:
    """Lists everything whenever there is news; keeps the contract."""

    patience: float | None = 0.2

    def __init__(self, store, context):
        self.store = store
        self.context = context

    async def run(self, sink):
        while True:
            version = self.store.version
            self.publish(sink, await self.read())
            await self.wait(version)

    async def wait(self, version):
        """Until there is news; a connection that says nothing is not trusted for long."""
        try:
            async with asyncio.timeout(self.patience):
                await self.store.news(version)
        except TimeoutError:
            return

    async def read(self):
        """All entries of a complete listing."""
        try:
            return [entry async for entry in self.store.listing()]
        except ConnectionError as error:
            raise RegistryUnavailable("the store does not answer; start it") from error
        except PermissionError as error:
            raise RegistryAuthError("the store refuses the token; give another") from error
        except EOFError as error:
            raise RegistryProtocolError("the listing broke off; see the store's log") from error

    def publish(self, sink, entries):
        records, faults = self.converted(entries)
        sink.replace(records, faulty=faults)

    def converted(self, entries):
        """Records, and the faults of those that cannot be read."""
        records = [self.record(name, value) for name, value in entries if value is not None]
        faults = [
            RecordError(f"the entry {name} is malformed; write it anew", key=name)
            for name, value in entries
            if value is None
        ]
        return records, faults

    def record(self, name, addresses):
        return ServiceRecord.parse(name, port=8080, endpoints=addresses)


def labelled(record, **labels):
    """The record with labels of its service."""
    service = record.service
    return ServiceRecord(
        Service(service.host, ports=service.ports, labels=Labels(labels)),
        record.endpoints,
        key=RecordKey(record.key),
    )
