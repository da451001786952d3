"""Runs the registry of one source: attempt after attempt, until it is stopped."""

from __future__ import annotations

import asyncio
import warnings
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING

from meshregistry.aggregate._clock import wait_within
from meshregistry.aggregate._failure import Failure
from meshregistry.aggregate._news import News
from meshregistry.aggregate._sink import Run, RunSink
from meshregistry.aggregate._updates import Degrade, Fault, Message, PartId, Replace
from meshregistry.cancelling import FROM_OUTSIDE, is_being_cancelled
from meshregistry.errors import RecordError, RegistryUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from meshregistry.aggregate._aggregation import Aggregation
    from meshregistry.aggregate._context import SourceContext
    from meshregistry.aggregate._inbox import Inbox
    from meshregistry.aggregate._source import Source
    from meshregistry.aggregate._timing import Backoff
    from meshregistry.model import SourceId
    from meshregistry.spi import Registrar

GRACE = 5.0
"""Seconds that leaving waits for a source's task and threads."""

IGNORED_CALLS = "ignored_calls"


class SourceRunner:
    """Follows one source.

    Args:
        source: to follow.
        context: what its registry is given.
        inbox: the way onto the loop.
        aggregation: is told what happens.
        backoff: says how long to wait between attempts.
        touched: is called, on the loop, after something was told to the aggregation.
        after: what to await first: the end of the runner that this one replaces.
    """

    def __init__(
        self,
        source: Source,
        *,
        context: SourceContext,
        inbox: Inbox,
        aggregation: Aggregation,
        backoff: Backoff,
        touched: Callable[[SourceId], None],
        after: Awaitable[object] | None = None,
    ) -> None:
        self.context = context
        self._source = source
        self._inbox = inbox
        self._aggregation = aggregation
        self._backoff = backoff
        self._touched = touched
        self._after = after
        self._news = News()
        self._shown: set[str] = set()
        self._run: Run | None = None
        self._is_stopping = False
        self._task: asyncio.Task[None] | None = None
        self._what = source.kind
        self._begun = asyncio.Event()
        self._registrar: tuple[object, Registrar] | None = None

    def start(self, ended: Callable[[asyncio.Task[None]], None]) -> None:
        """Begin to follow; `ended` is told when it is over, for whatever reason."""
        name = f"meshregistry source {self._source.id}"
        self._task = asyncio.get_running_loop().create_task(self._follow(), name=name)
        self._task.add_done_callback(ended)

    def stop(self) -> None:
        """End the run: what its sinks are told from now on is ignored."""
        if self._is_stopping:
            # Cancelled again, a registry that is closing its client could not finish that.
            return
        self._is_stopping = True
        if self._run is not None:
            self._run.end()
        if self._task is not None:
            self._task.cancel()

    def registrar(self) -> tuple[Source, Registrar]:
        """The source, and what writes into its backend: the same for as long as its client is.

        Raises:
            LookupError: if the backend cannot be written to.
            RegistryUnavailable: if the source has not connected yet.
            ConfigError: if its settings rule out that anything is registered.
        """
        source, client = self._source, self.context.client
        if source.registrar is None:
            raise LookupError(f"the source {source.id} cannot be written to")
        if source.connect is not None and client is None:
            raise RegistryUnavailable(f"the source {source.id} has not connected yet; try again")
        if self._registrar is None or self._registrar[0] is not client:
            self._registrar = (client, source.registrar(self.context))
        return source, self._registrar[1]

    async def begun(self) -> None:
        """Wait until the first attempt has reached its first pause, or connects, or is over.

        What a registry publishes before it first waits is then in the inbox.
        """
        await self._begun.wait()

    async def close(self) -> None:
        """Stop, and wait a bounded time for the task and the threads of the source."""
        self.stop()
        clock = self.context.clock
        deadline = clock.now() + GRACE
        while running := self._running():
            remaining = deadline - clock.now()
            if remaining <= 0:
                for what in running.values():
                    msg = f"source {self._source.id!r}: {what} is still running {GRACE:g} s after it was told to stop; make it return when its connection is closed or its task cancelled"
                    warnings.warn(msg, ResourceWarning, stacklevel=1)
                return
            await wait_within(clock, remaining, running)

    def _running(self) -> dict[asyncio.Future[None], str]:
        running = dict(self.context.running)
        if self._task is not None and not self._task.done():
            running[self._task] = self._what
        return running

    async def _follow(self) -> None:
        stack = AsyncExitStack()
        try:
            if self._after is not None:
                await self._after
            while True:
                failure = await self._attempt(stack)
                if self._is_stopping:
                    return
                delay = self._backoff.failed(is_slow=failure.is_slow)
                self._log(failure, delay)
                now = self.context.clock.now()
                self._aggregation.fail(self._source.id, failure.condition, failure.error, now)
                self._touched(self._source.id)
                await self.context.clock.sleep(delay)
        finally:
            self._begun.set()
            await self._disconnect(stack)

    async def _attempt(self, stack: AsyncExitStack) -> Failure:
        """Open the registry anew and run it once."""
        source = self._source
        count_ignored = partial(self.context.count, IGNORED_CALLS)
        run = self._run = Run(source.id, self._inbox, self._receive, count_ignored)
        self._aggregation.begin(source.id)
        self._touched(source.id)
        try:
            if source.connect is not None and self.context.client is None:
                self._begun.set()
                client = source.connect(self.context)
                self.context.client = await stack.enter_async_context(client)
            registry = source.open(self.context)
            self._what = f"{type(registry).__qualname__}.run"
            # Whoever waits for this wakes when the registry gives way for the first time.
            self._begun.set()
            await registry.run(RunSink(run))
        except asyncio.CancelledError as error:
            if self._is_stopping or is_being_cancelled():
                raise
            # Nobody has cancelled this task, so the registry leaked a cancellation of its own.
            return Failure.of(source.id, error)
        except FROM_OUTSIDE:
            raise
        except BaseException as error:  # noqa: BLE001 - foreign code: sorted by Failure, shown and logged
            return Failure.of(source.id, error)
        finally:
            self._begun.set()
            run.end()
        return Failure.returned(source.id)

    async def _disconnect(self, stack: AsyncExitStack) -> None:
        self.context.client = None
        try:
            await stack.aclose()
        except FROM_OUTSIDE:
            raise
        except BaseException:  # foreign code, as in an attempt
            self.context.logger.exception("the client could not be closed")

    def _receive(self, part: PartId, message: Message) -> None:
        now = self.context.clock.now()
        unfit = self._aggregation.receive(part, message, now)
        if isinstance(message, Replace):
            # The contract: back-off resets after the first `replace`.
            self._backoff.reset()
        self._log_faults(part, message, unfit, now)
        self._touched(self._source.id)

    def _log(self, failure: Failure, delay: float) -> None:
        """One line on change and then hourly; the traceback of a fault only once."""
        text = str(failure.error)
        logger = self.context.logger
        if not self._news.is_new(None, text, self.context.clock.now()):
            logger.debug("%s; the next attempt is in %.1f s", text, delay)
        elif failure.is_fault:
            logger.error(
                "%s; its data is kept, the next attempt is in %.1f s",
                text,
                delay,
                exc_info=None if text in self._shown else failure.error.__cause__,
            )
            self._shown.add(text)
        else:
            logger.warning("%s; its data is kept, the next attempt is in %.1f s", text, delay)

    def _log_faults(
        self, part: PartId, message: Message, unfit: tuple[Fault, ...], now: float
    ) -> None:
        faults: tuple[Fault, ...] = ()
        match message:
            case Replace():
                faults = message.faults
                self._news.forget(part)
                self._news.forget(None)
            case Degrade(RecordError() as error):
                faults = (Fault.of(error),)
            case Degrade(error) if self._news.is_new(part, str(error), now):
                self.context.logger.warning("%s; the data of %s is kept", error, part)
        for fault in (*faults, *unfit):
            if self._news.is_new((part, fault.key), fault.reason, now):
                self.context.logger.warning(
                    "record %r of %s: %s; its last good version is kept",
                    fault.key,
                    part,
                    fault.reason,
                )
