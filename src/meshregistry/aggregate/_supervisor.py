"""The supervisor: runs all sources and keeps one merged catalog of what they say.

The thin shell around `Aggregation`: it owns tasks, timers and the way onto the loop. A
failing source never removes data, never blocks another, never stops the server.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Self

from attrs import evolve

from meshregistry.aggregate._aggregation import Aggregation
from meshregistry.aggregate._archive import Archive
from meshregistry.aggregate._clock import Alarms
from meshregistry.aggregate._context import SourceContext, SourceLogger
from meshregistry.aggregate._gatekeeper import Gatekeeper
from meshregistry.aggregate._inbox import Inbox
from meshregistry.aggregate._losses import LOGGER_NAME, Losses
from meshregistry.aggregate._reconfigured import Reconfigured, distinct
from meshregistry.aggregate._runner import SourceRunner
from meshregistry.aggregate._timing import SLOWLY, SOON, Backoff
from meshregistry.spi import Condition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path
    from random import Random

    from meshregistry.aggregate._completion import RecordTrace
    from meshregistry.aggregate._merger import Adjust
    from meshregistry.aggregate._source import Source, SourceStatus
    from meshregistry.aggregate._table import Stage
    from meshregistry.aggregate._updates import PartId
    from meshregistry.errors import RegistryError
    from meshregistry.model import (
        Catalog,
        MergePolicy,
        RecordTransform,
        ServiceKey,
        ServiceRecord,
        SourceId,
    )
    from meshregistry.schedule import Schedule
    from meshregistry.spi import Clock, Registrar


class Supervisor:
    """Follows sources; an async context manager that may be entered once.

    All methods are to be called on the loop on which it was entered. Leaving it cancels
    every source and waits for tasks and threads, each at most 5 s.

    Args:
        sources: in order of precedence, with different ids.
        clock: time.
        random: for jitter.
        mesh_domain: handed to adapters.
        base_path: handed to adapters: the folder of the settings file.
        user_agent: handed to adapters.
        policy: says how a service is merged.
        on_change: ``on_change(is_endpoints_only)`` after the catalog has changed.
        on_condition: after the condition of a source has changed, with the reason.
        accepts: ``accepts(part, age)``: whether an operator has accepted what the part lost
            so many seconds ago; default: nobody does.
        stages: pure steps between the sinks and the guard.
        transforms: change records before the merge, in this order.
        soon: how to wait for a backend that does not answer.
        slowly: how to wait after refused credentials and faults of a plugin.

    Attributes:
        archive: what is kept across restarts.

    Raises:
        ValueError: if two sources share an id.
    """

    def __init__(
        self,
        sources: Sequence[Source] = (),
        *,
        clock: Clock,
        random: Random,
        mesh_domain: str,
        base_path: Path,
        user_agent: str,
        policy: Callable[[ServiceKey], MergePolicy],
        on_change: Callable[[bool], None],
        on_condition: Callable[[SourceId, Condition, RegistryError | None], None],
        accepts: Callable[[PartId, float], bool] | None = None,
        stages: Iterable[Stage] = (),
        transforms: Iterable[RecordTransform] = (),
        soon: Schedule = SOON,
        slowly: Schedule = SLOWLY,
    ) -> None:
        self._clock = clock
        self._backoff = partial(Backoff, random, soon, slowly)
        self._context = partial(
            SourceContext,
            clock=clock,
            random=random,
            mesh_domain=mesh_domain,
            base_path=base_path,
            user_agent=user_agent,
        )
        self._on_change = on_change
        self._on_condition = on_condition
        self._aggregation = Aggregation(policy, stages, transforms)
        self._aggregation.arrange(distinct(sources), clock.now())
        self._losses = Losses(self._aggregation, accepts)
        self.archive = Archive(self._aggregation, clock)
        self._inbox = Inbox(self._fail)
        self._gate = Gatekeeper(self._aggregation, clock)
        self._expiries = Alarms(clock, self._expire)
        self._failed = asyncio.Event()
        self._fault: BaseException | None = None
        self._runners: dict[SourceId, SourceRunner] = {}
        self._retiring: set[asyncio.Task[None]] = set()
        self._conditions: dict[SourceId, Condition] = {}
        self._untold: list[Callable[[], None]] = []
        self._started = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_settling_soon = False
        self._has_ended = False

    # --- What is known --------------------------------------------------------------

    @property
    def catalog(self) -> Catalog:
        """The merged catalog, with everything in it that was applied so far."""
        self._settle()
        return self._aggregation.catalog

    def records(self, source: SourceId) -> tuple[ServiceRecord, ...]:
        """All that a source says, completed by its settings, before the merge."""
        return self._aggregation.records(source)

    def traces(self, source: SourceId) -> tuple[RecordTrace, ...]:
        """What each record of a source is called, and by which transforms."""
        return self._aggregation.traces(source)

    def registrar(self, source: SourceId) -> tuple[Source, Registrar]:
        """See `SourceRunner.registrar`; a KeyError if the source is not followed."""
        return self._runners[source].registrar()

    def statuses(self) -> tuple[SourceStatus, ...]:
        """How each source is doing, in order of precedence."""
        now = self._clock.now()
        counts = {one: runner.context.counts for one, runner in self._runners.items()}
        return tuple(
            evolve(
                self._aggregation.status(one.id, now),
                counters=dict(sorted(counts.get(one.id, {}).items())),
            )
            for one in self._aggregation.sources
        )

    def unsynced(self) -> tuple[SourceId, ...]:
        """The required sources that have not synced yet, in order of precedence."""
        required = (one.id for one in self._aggregation.sources if one.required)
        return tuple(one for one in required if not self._aggregation.has_synced(one))

    @property
    def is_open(self) -> bool:
        """Whether the start gate has opened; it never closes again."""
        return self._gate.is_open

    async def opened(self) -> None:
        """Wait for the start gate."""
        await self._gate.opened()

    @property
    def fault(self) -> BaseException | None:
        """What went wrong in the core itself, if anything did; no source can cause it."""
        return self._fault

    # --- Running --------------------------------------------------------------------

    async def run(self) -> None:
        """Follow all sources until cancelled.

        Raises:
            BaseException: the fault of the core that ended it.
        """
        async with self:
            await self._failed.wait()
        if self._fault is not None:
            raise self._fault

    async def __aenter__(self) -> Self:
        if self._loop is not None:
            msg = "a supervisor can be entered only once: make another one"
            raise RuntimeError(msg)
        self._loop = asyncio.get_running_loop()
        self._inbox.open()
        self._started.set()
        for source in self._aggregation.sources:
            self._gate.expect(source)
        for source in self._aggregation.sources:
            self._start(source)
            if self._aggregation.is_restored(source.id):
                self._touched(source.id)
        self._gate.check()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._has_ended:
            return
        self._has_ended = True
        for runner in self._runners.values():
            runner.stop()
        closing = [runner.close() for runner in self._runners.values()]
        closing += [self._gate.close(), self._expiries.close()]
        try:
            ended = await asyncio.gather(*closing, *self._retiring, return_exceptions=True)
        finally:
            self._inbox.close()
        for error in ended:
            if isinstance(error, Exception):
                raise error

    def flush(self) -> None:
        """Apply every call that any thread has made to a sink before this one.

        The catalog contains them when it returns, and `on_change` has been called.
        """
        self._inbox.drain()
        self._settle()

    async def drained(self) -> None:
        """The same, once every source has been opened for the first time.

        So that what a registry held before it was run is not missed. Sources with a client
        are not waited for: connecting may take long.
        """
        await self._started.wait()
        for runner in tuple(self._runners.values()):
            await runner.begun()
        self.flush()

    def review(self) -> None:
        """Other losses are accepted now: let go of them."""
        for source in self._aggregation.sources if self._loop is not None else ():
            self._touched(source.id)

    def reconfigure(self, sources: Sequence[Source]) -> Reconfigured:
        """Follow these sources from now on, in this order of precedence.

        They are matched by id. Added ones start; removed ones lose their data; changed
        ones are restarted and keep their data as STALE until the new run's first listing;
        equal ones go on undisturbed.

        Raises:
            ValueError: if two sources share an id; nothing has changed then.
        """
        old = {source.id: source for source in self._aggregation.sources}
        wanted = distinct(sources)
        kept = [old[source.id] if old.get(source.id) == source else source for source in wanted]
        done = Reconfigured.of(old, kept)
        is_running = self._loop is not None and not self._has_ended
        retired = {
            source: self._retire(self._runners.pop(source))
            for source in (*done.changed, *done.removed)
            if is_running
        }
        self._aggregation.arrange(kept, self._clock.now())
        for source in done.removed:
            self._leave(source)
        if is_running:
            for one in kept:
                if one.id not in done.unchanged:
                    self._gate.expect(one)
                    self._start(one, after=retired.get(one.id))
                self._touched(one.id)
            self._gate.check()
        self._settle()
        return done

    def transform(self, transforms: Iterable[RecordTransform]) -> None:
        """Change records with these transforms from now on, those that are held included."""
        self._aggregation.transform(transforms)
        self._settle()

    def merge_again(self) -> None:
        """Merge every service again: what `policy` answers has changed."""
        self._aggregation.merge_again()
        self._settle()

    def adjust(self, adjust: Adjust, is_concerned: Callable[[ServiceKey], bool]) -> None:
        """Apply this pure step after each merge; `on_change` is called if it changes anything.

        Args:
            adjust: makes of a merged service what operators want.
            is_concerned: says for which services it may differ from the former step.
        """
        self._aggregation.adjust(adjust, is_concerned)
        self._settle()

    # --- How ------------------------------------------------------------------------

    def _start(self, source: Source, after: asyncio.Task[None] | None = None) -> None:
        context = self._context(
            source_id=source.id,
            logger=SourceLogger(logging.getLogger(LOGGER_NAME), source.id),
            declare=partial(self._declare, source),
        )
        runner = SourceRunner(
            source,
            context=context,
            inbox=self._inbox,
            aggregation=self._aggregation,
            backoff=self._backoff(),
            touched=self._touched,
            after=after,
        )
        self._runners[source.id] = runner
        runner.start(self._runner_ended)

    def _declare(self, source: Source, names: tuple[str, ...]) -> None:
        """The adapter names the parts that must sync; it may do so in any thread."""

        def declare() -> None:
            if any(one is source for one in self._aggregation.sources):
                self._aggregation.declare(source.id, names)
                self._touched(source.id)

        self._inbox.post(declare)

    def _runner_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _retire(self, runner: SourceRunner) -> asyncio.Task[None]:
        runner.stop()
        task = asyncio.get_running_loop().create_task(runner.close())
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)
        return task

    def _leave(self, source: SourceId) -> None:
        """A source is gone: nothing waits for it any more."""
        self._gate.leave(source)
        self._conditions.pop(source, None)
        self._expiries.set(source, None)

    def _touched(self, source: SourceId) -> None:
        """Something has happened to a source: tell whoever wants to know."""
        self._guard(partial(self._losses.review, source, self._clock.now()))
        condition, error = self._aggregation.condition(source)
        if self._conditions.get(source, Condition.STARTING) is not condition:
            self._conditions[source] = condition
            self._untold.append(partial(self._on_condition, source, condition, error))
        self._gate.touched(source)
        if not self._has_ended:
            self._expiries.set(source, self._aggregation.next_expiry(source))
        self._settle_soon()

    def _expire(self, source: SourceId, now: float) -> None:
        self._guard(partial(self._aggregation.expire, source, now))
        self._touched(source)

    def _settle_soon(self) -> None:
        """Merge at the next turn of the loop, together with what else this turn brings.

        Listeners are called then too, never from within a call of a sink: the registry may
        hold a lock there that the listener wants.
        """
        if not self._is_settling_soon and self._loop is not None:
            self._is_settling_soon = True
            self._loop.call_soon(self._settle)

    def _settle(self) -> None:
        self._is_settling_soon = False
        untold, self._untold = self._untold, []
        for tell in untold:
            self._guard(tell)
        self._guard(self._merge)

    def _merge(self) -> None:
        if diff := self._aggregation.settle():
            self._on_change(diff.is_endpoints_only)

    def _guard(self, call: Callable[[], None]) -> None:
        """A fault of the core is kept for whoever runs the core; no adapter sees it."""
        try:
            call()
        except Exception as error:  # noqa: BLE001 - kept whole, raised by `run`
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if self._fault is None:
            self._fault = error
        self._failed.set()
