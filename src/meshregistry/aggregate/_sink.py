"""The sink of one run: takes calls from any thread, and nothing after the run's end."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING

from meshregistry.aggregate._updates import (
    Confirm,
    Degrade,
    Message,
    Open,
    PartId,
    Remove,
    Replace,
    Upsert,
    checked_record,
)
from meshregistry.errors import RecordError, RegistryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from meshregistry.aggregate._inbox import Inbox
    from meshregistry.model import RecordKey, ServiceRecord, SourceId


class Run:
    """One call of `Registry.run`, as its sinks see it.

    Args:
        source: whose run it is.
        inbox: carries messages onto the loop.
        receive: is given them there.
        ignored: is called, in whatever thread, for each call that came too late.
    """

    def __init__(
        self,
        source: SourceId,
        inbox: Inbox,
        receive: Callable[[PartId, Message], None],
        ignored: Callable[[], None],
    ) -> None:
        self.source = source
        self._inbox = inbox
        self._receive = receive
        self._ignored = ignored
        self._over = threading.Event()

    def end(self) -> None:
        """Carry out what was said so far; from now on every call is a counted no-op."""
        self._inbox.drain()
        self._over.set()

    @property
    def is_over(self) -> bool:
        """Whether the run has ended."""
        return self._over.is_set()

    def ignore(self) -> None:
        """Count a call that came too late."""
        self._ignored()

    def send(self, part: str, message: Message) -> None:
        """Pass a message on, in the order of the calling thread."""
        if self.is_over or not self._inbox.post(partial(self._deliver, part, message)):
            self.ignore()

    def _deliver(self, part: str, message: Message) -> None:
        if self.is_over:
            self.ignore()
        else:
            self._receive(PartId(self.source, part), message)


class RunSink:
    """The sink of one part in one run; see `meshregistry.spi.Sink` for what it promises.

    Raises:
        TypeError: if it is given something that is no record, error or key; a run that
            has ended raises nothing at all.
    """

    def __init__(self, run: Run, part: str = "") -> None:
        self._run = run
        self._part = part

    def replace(
        self, records: Iterable[ServiceRecord], *, faulty: Iterable[RecordError] = ()
    ) -> None:
        if self._run.is_over:
            self._run.ignore()
            return
        # Consumed here, in the caller's thread: an iterable that raises changes nothing.
        self._run.send(self._part, Replace.consume(records, faulty))

    def upsert(self, record: ServiceRecord) -> None:
        if self._run.is_over:
            self._run.ignore()
            return
        self._run.send(self._part, Upsert(checked_record(record)))

    def remove(self, key: RecordKey) -> None:
        if self._run.is_over:
            self._run.ignore()
            return
        if not isinstance(key, str):
            msg = f"{key!r} is not a record key: remove takes the text under which the record was published"
            raise TypeError(msg)
        self._run.send(self._part, Remove(key))

    def confirm(self) -> None:
        self._run.send(self._part, Confirm())

    def degrade(self, error: RegistryError) -> None:
        if self._run.is_over:
            self._run.ignore()
            return
        if not isinstance(error, RegistryError):
            msg = f"{error!r} is not a RegistryError: wrap it in the one that says how to retry"
            raise TypeError(msg)
        error.source = error.source or self._run.source
        self._run.send(self._part, Degrade(error))

    def part(self, name: str) -> RunSink:
        if self._run.is_over:
            self._run.ignore()
        else:
            self._run.send(name, Open())
        return RunSink(self._run, name)
