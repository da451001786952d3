"""The adapter under test, followed by the supervisor that the pilot uses, and watched."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakSet

from attrs import evolve

from meshregistry.aggregate import Schedule, Source, Supervisor, SystemClock
from meshregistry.errors import RegistryAuthError, RegistryError
from meshregistry.model import MergePolicy, SourceId
from meshregistry.spi import Condition

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator, Mapping

    from meshregistry.aggregate import PartId, SourceStatus, Update
    from meshregistry.model import RecordKey, ServiceKey, ServiceRecord
    from meshregistry.spi import RegistryKind

SOON = Schedule(first=0.05, highest=0.4, floor=0.5)
"""The back-off while the kit waits for a backend: short, or tests would take minutes."""

SLOWLY = Schedule(first=1.0, highest=1.0, floor=1.0)
"""The back-off after refused credentials: long enough to be told from the other."""

# The tasks of the adapter in whose context something runs: what it starts inherits that, what
# a backend on the same loop starts does not.
_TASKS: ContextVar[WeakSet[asyncio.Task[Any]] | None] = ContextVar("tasks", default=None)

_POLL = 0.01
_TURNS = 10


class FollowedSource:
    """One source of the kind under test; an async context manager.

    Args:
        kind: the kind under test.
        config: its options.
        latency: seconds within which whatever is awaited must come about.
        base_path: for relative paths in the options.
        remembers: whether to keep every state in `history`.

    Attributes:
        history: what was held after each change of the catalog, oldest first.
        changes: how often the catalog has changed.
        tasks: those that the adapter has started, on a loop with the factory `noted_task`.
        at_sync: what was held when the source became SYNCED for the first time.
    """

    def __init__(
        self,
        kind: RegistryKind,
        config: Any,
        *,
        latency: float,
        base_path: Path = Path(),
        remembers: bool = True,
    ) -> None:
        self.history: list[dict[RecordKey, ServiceRecord]] = []
        self.changes = 0
        self.tasks: WeakSet[asyncio.Task[Any]] = WeakSet()
        self.at_sync: dict[RecordKey, ServiceRecord] | None = None
        self._latency = latency
        self._remembers = remembers
        self._parts: dict[PartId, Mapping[RecordKey, ServiceRecord]] = {}
        connect = kind.connect
        self._source = Source(
            id=SourceId("conformance"),
            kind=kind.name,
            open=lambda context: kind.open(config, context),
            connect=None if connect is None else lambda context: connect(config, context),
        )
        self._supervisor = Supervisor(
            [self._source],
            clock=SystemClock(),
            random=Random(0),  # noqa: S311 - jitter, the same in every run
            mesh_domain="mesh.local",
            base_path=base_path,
            user_agent="meshregistry-conformance",
            policy=_policy,
            on_change=self._changed,
            on_condition=self._told,
            stages=[self._passing],
            soon=SOON,
            slowly=SLOWLY,
        )

    async def __aenter__(self) -> Self:
        with self._noting():
            await self._supervisor.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._supervisor.__aexit__(*exc_info)
        if self._supervisor.fault is not None:
            raise self._supervisor.fault

    # --- What is known --------------------------------------------------------------

    @property
    def held(self) -> dict[RecordKey, ServiceRecord]:
        """What the core holds of the source now, of all its parts, by record key."""
        return {key: record for part in self._parts.values() for key, record in part.items()}

    @property
    def status(self) -> SourceStatus:
        """How the source is doing."""
        (status,) = self._supervisor.statuses()
        return status

    @property
    def condition(self) -> Condition:
        """The source's condition."""
        return self.status.condition

    @property
    def is_open(self) -> bool:
        """Whether the start gate has opened."""
        return self._supervisor.is_open

    def holds(self, records: Iterable[ServiceRecord]) -> bool:
        """Whether exactly these versions are held, beside other records."""
        held = self.held
        return all(held.get(record.key) == record for record in records)

    def lacks(self, keys: Iterable[RecordKey]) -> bool:
        """Whether none of these is held."""
        return not self.held.keys() & set(keys)

    # --- Waiting --------------------------------------------------------------------

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition.

        Raises:
            AssertionError: if it does not come about in time, or if the plugin raises what is
                no `RegistryError` meanwhile.
        """
        deadline = time.monotonic() + self._latency
        turns = 0
        while not condition():
            self.check_plugin()
            if time.monotonic() > deadline:
                msg = f"{what}: not within {self._latency:g} s; {self.describe()}"
                raise AssertionError(msg)
            turns += 1
            # What needs no network comes about within some turns of the loop.
            await asyncio.sleep(0 if turns < _TURNS else _POLL)

    async def synced(self) -> None:
        """Wait until the source is SYNCED."""
        await self.until(lambda: self.condition is Condition.SYNCED, "the source is SYNCED")

    async def shows(self, *records: ServiceRecord) -> None:
        """Wait until exactly these versions are held, beside other records."""
        try:
            await self.until(lambda: self.holds(records), "the records are in the catalog")
        except AssertionError as error:
            held = self.held
            wrong = [
                f"{record.key!r} should be {record!r} and is {held.get(record.key)!r}"
                for record in records
                if held.get(record.key) != record
            ]
            msg = f"{error}\n" + "\n".join(wrong)
            raise AssertionError(msg) from error.__cause__

    async def opened(self) -> None:
        """Wait until the start gate opens."""
        await self.until(
            lambda: self.is_open and self.at_sync is not None,
            "the source has synced and the start gate is open",
        )

    def check_plugin(self) -> None:
        """Whatever happens to a backend, a plugin raises only `RegistryError`.

        Raises:
            AssertionError: with what it raised instead as the cause.
        """
        status = self.status
        is_fault = status.condition is Condition.FAILED
        if is_fault and not isinstance(status.error, RegistryAuthError):
            msg = f"the adapter raised what is no RegistryError: {status.error}"
            raise AssertionError(msg) from (status.error and status.error.__cause__)

    def describe(self) -> str:
        """Where it stands, for messages."""
        status = self.status
        return (
            f"the source is {status.condition} after {status.attempts} attempt(s), "
            f"error: {status.error}, faulty: {dict(status.faulty)}, records: {sorted(self.held)}"
        )

    # --- Doing ----------------------------------------------------------------------

    def restart(self) -> None:
        """Open the registry anew, as after a change of its settings; its data stays."""
        number = int(self._source.fingerprint or "0") + 1
        self._source = evolve(self._source, fingerprint=str(number))
        with self._noting():
            self._supervisor.reconfigure([self._source])

    # --- How ------------------------------------------------------------------------

    @contextmanager
    def _noting(self) -> Iterator[None]:
        token = _TASKS.set(self.tasks)
        try:
            yield
        finally:
            _TASKS.reset(token)

    def _passing(
        self, part: PartId, held: Mapping[RecordKey, ServiceRecord], update: Update, _now: float
    ) -> Update:
        """A stage that changes nothing: the mapping that it is shown stays current."""
        self._parts[part] = held
        return update

    def _told(self, _source: SourceId, condition: Condition, _error: RegistryError | None) -> None:
        if condition is Condition.SYNCED and self.at_sync is None:
            self.at_sync = self.held

    def _changed(self, _is_endpoints_only: bool) -> None:
        self.changes += 1
        if self._remembers:
            self.history.append(self.held)


def noted_task(
    loop: asyncio.AbstractEventLoop,
    coro: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
    **words: Any,
) -> asyncio.Task[Any]:
    """A task factory: notes the tasks that an adapter starts in its `FollowedSource.tasks`."""
    task: asyncio.Task[Any] = asyncio.Task(coro, loop=loop, **words)
    tasks = _TASKS.get()
    if tasks is not None:
        tasks.add(task)
    return task


def _policy(_key: ServiceKey) -> MergePolicy:
    return MergePolicy()
