"""The registry ``gorouter``: hears what routers hear, and keeps a table as they do."""

from __future__ import annotations

import asyncio
import json
import math
from typing import TYPE_CHECKING, Never

from meshregistry.errors import RegistryAuthError, RegistryError
from meshregistry_cloudfoundry._convert import gorouter_record
from meshregistry_cloudfoundry._messages import read_interval, read_message
from meshregistry_cloudfoundry._nats import GREET, START, Connection
from meshregistry_cloudfoundry._table import RouteTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from meshregistry.errors import RecordError
    from meshregistry.model import RecordKey, ServiceRecord
    from meshregistry.spi import Clock, RegistryContext, Sink
    from meshregistry_cloudfoundry._config import GorouterConfig

_FIRST_RETRY = 0.5
_LAST_RETRY = 5.0
_SLOW_RETRY = 60.0
_INTERVALS = 2


class GorouterRegistry:
    """One attempt to follow the routes of a foundation.

    There is no listing to ask for. Emitters repeat everything in each register interval, so
    what has been heard during two of them is complete.

    Args:
        config: of the source.
        context: of the source.
    """

    def __init__(self, config: GorouterConfig, context: RegistryContext) -> None:
        self._config = config
        self._context = context
        self._table = RouteTable(config.while_away, config.stale_threshold)
        self._interval: float = config.register_interval
        self._changed: set[RecordKey] = set()
        self._reported: list[RecordError] = []
        self._wake = asyncio.Event()
        self._has_listed = False
        self._is_complete = False
        self._failures = 0

    async def run(self, sink: Sink) -> None:
        """Follow until cancelled.

        Once something has been published, an outage does not end the attempt: routes that
        nobody protects expire meanwhile.

        Raises:
            RegistryError: if nothing has been published yet, or credentials are refused.
        """
        while True:
            try:
                await self._follow(sink)
            except RegistryError as error:
                self._table.leave()
                self._is_complete = False
                is_refused = isinstance(error, RegistryAuthError)
                if not self._has_listed or (is_refused and not self._table.has_expiring):
                    raise
                sink.degrade(error)
                await self._rest(sink, is_refused=is_refused)

    async def _follow(self, sink: Sink) -> Never:
        """Follow one connection.

        Raises:
            RegistryError: when it is lost.
        """
        self._wake.clear()
        clock = self._context.clock
        connection = Connection(
            self._config, self._context, heard=self._heard, woken=self._wake.set
        )
        async with connection:
            since = clock.now()
            self._table.come_back(since)
            if self._config.announce:
                await connection.publish(START, self._announcement())
            sweep_at = since + self._config.sweep
            greet_at = since + self._config.ping_interval
            while True:
                # A router may have said another interval meanwhile.
                complete_at = math.inf if self._is_complete else since + _INTERVALS * self._interval
                # Not every end of a connection is told.
                look_at = clock.now() + self._config.ping_interval
                until = min(sweep_at, complete_at, look_at)
                await _wait(clock, self._wake, until - clock.now())
                self._wake.clear()
                connection.check()
                now = clock.now()
                if not self._is_complete and now >= greet_at:
                    # Whoever could answer may have been away when it was asked first.
                    greet_at = now + self._config.ping_interval
                    await connection.greet()
                if now >= complete_at:
                    self._list(sink, now)
                if now >= sweep_at:
                    sweep_at = now + self._config.sweep
                    self._sweep(sink, now)
                self._publish(sink)

    async def _rest(self, sink: Sink, *, is_refused: bool) -> None:
        """Wait until NATS is to be tried again; meanwhile routes expire."""
        self._failures += 1
        highest = min(_LAST_RETRY, _FIRST_RETRY * 2 ** min(self._failures, 10))
        pause = _SLOW_RETRY if is_refused else highest
        clock = self._context.clock
        until = clock.now() + pause * self._context.random.uniform(0.5, 1.0)
        while (now := clock.now()) < until:
            self._prune(sink, now)
            self._publish(sink)
            if is_refused and not self._table.has_expiring:
                return
            await clock.sleep(min(self._config.sweep, until - now))

    # --- Messages -------------------------------------------------------------------

    def _heard(self, subject: str, data: bytes) -> None:
        """Take one message; what it changes is published when the loop comes round."""
        now = self._context.clock.now()
        if subject in {GREET, START}:
            interval = read_interval(data)
            if interval is not None:
                self._interval = interval
                self._wake.set()
            return
        family, _, word = subject.partition(".")
        if word not in {"register", "unregister"}:
            return
        message = read_message(data, self._config, is_internal=family != "router")
        for fault in message.faults:
            self._table.report(fault, now)
            self._context.count("malformed_messages")
            self._reported.append(fault)
        if message.registration is not None:
            take = self._table.register if word == "register" else self._table.unregister
            self._changed |= take(message.registration, now)
        if self._changed or self._reported:
            self._wake.set()

    def _announcement(self) -> bytes:
        """What a router says when it starts: every emitter then repeats everything at once."""
        said = {
            "id": f"{self._context.source_id}-{self._context.random.getrandbits(64):016x}",
            "hosts": [],
            "minimumRegisterIntervalInSeconds": int(self._config.register_interval) or 1,
            "pruneThresholdInSeconds": int(self._config.stale_threshold) or 1,
        }
        return json.dumps(said).encode()

    # --- Publishing -----------------------------------------------------------------

    def _list(self, sink: Sink, now: float) -> None:
        """Two intervals are over: what has been heard is everything."""
        self._table.prune(now)
        self._replace(sink)
        self._has_listed = self._is_complete = True
        self._failures = 0

    def _sweep(self, sink: Sink, now: float) -> None:
        self._prune(sink, now)
        if self._is_complete:
            sink.confirm()

    def _prune(self, sink: Sink, now: float) -> None:
        was_nameless = None in self._table.faults
        self._changed |= self._table.prune(now)
        if self._is_complete and was_nameless and None not in self._table.faults:
            self._replace(sink)  # the only way to take back a report of no record

    def _replace(self, sink: Sink) -> None:
        self._changed.clear()
        self._reported.clear()
        sink.replace(self._records(), faulty=self._table.faults.values())

    def _records(self) -> Iterator[ServiceRecord]:
        for route in self._table.routes:
            yield from self._record(route.key)

    def _publish(self, sink: Sink) -> None:
        if not self._has_listed:
            return
        changed, self._changed = self._changed, set()
        reported, self._reported = self._reported, []
        faults = self._table.faults
        for key in changed:
            records = tuple(self._record(key))
            if records:
                sink.upsert(records[0])
            elif key not in faults:
                sink.remove(key)
            if key in faults:
                reported.append(faults[key])  # the news would end the report of it
        for fault in {fault.key: fault for fault in reported}.values():
            sink.degrade(fault)

    def _record(self, key: RecordKey) -> Iterable[ServiceRecord]:
        found = self._table.backends(key)
        return () if found is None else (gorouter_record(*found, self._config),)


async def _wait(clock: Clock, event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, but no longer than that."""
    waiting = {
        asyncio.ensure_future(clock.sleep(seconds)),
        asyncio.ensure_future(event.wait()),
    }
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waiting:
            one.cancel()
