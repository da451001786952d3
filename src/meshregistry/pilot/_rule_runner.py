"""Runs one rule source: attempt after attempt, until it is cancelled."""

from __future__ import annotations

import asyncio
import threading
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from attrs import define, field

from meshregistry.aggregate import Failure, News, SourceContext
from meshregistry.cancelling import FROM_OUTSIDE, is_being_cancelled
from meshregistry.documents import RuleUnit, RuleUnits
from meshregistry.errors import RegistryUnavailable
from meshregistry.spi import Condition, RuleName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from meshregistry.aggregate import Backoff
    from meshregistry.documents import RuleDocument, RuleListing
    from meshregistry.errors import RegistryError
    from meshregistry.pilot._rule_feeds import RuleFeed


@define(kw_only=True, eq=False)
class RuleSourceContext(SourceContext):
    """The `RuleContext` of one rule source; it outlives attempts.

    Attributes:
        rule_names: the kinds of documents that are understood.
        registry_config: of the source that it shares; None if it shares none.
    """

    rule_names: tuple[RuleName, ...] = ()
    registry_config: Any = None


class RuleRunner:
    """Follows one rule source.

    Args:
        feed: to follow.
        context: what it is given.
        backoff: says how long to wait between attempts.
        publish: is given, on the loop, all that it says, whenever that may have changed.

    Attributes:
        kind: the name of its kind.
        condition: how it is doing.
        error: why it is not SYNCED; None if nothing is wrong.
        left: when it ceased to be SYNCED; None while it is, or never was.
    """

    def __init__(
        self,
        feed: RuleFeed,
        context: RuleSourceContext,
        *,
        backoff: Backoff,
        publish: Callable[[RuleListing], None],
    ) -> None:
        self.kind = feed.kind.name
        self.condition = Condition.STARTING
        self.error: RegistryError | None = None
        self.left: float | None = None
        self._feed = feed
        self._context = context
        self._backoff = backoff
        self._publish = publish
        self._units = RuleUnits()
        self._news = News()

    async def run(self) -> None:
        """Follow until cancelled; the client, if there is one, lives as long."""
        async with AsyncExitStack() as stack:
            while True:
                failure = await self._attempt(stack)
                delay = self._backoff.failed(is_slow=failure.is_slow)
                self._is_doing(failure.condition, failure.error)
                if failure.is_fault:
                    self._context.logger.debug("the fault", exc_info=failure.error.__cause__)
                await self._context.clock.sleep(delay)

    async def _attempt(self, stack: AsyncExitStack) -> Failure:
        context, feed = self._context, self._feed
        run = _Run(self)
        try:
            if feed.connect is not None and context.client is None:
                context.client = await stack.enter_async_context(feed.connect(context))
            await feed.kind.open(feed.config, context).run(run)
        except asyncio.CancelledError as error:
            if is_being_cancelled():
                raise
            return Failure.of(context.source_id, error)
        except FROM_OUTSIDE:
            raise
        except BaseException as error:  # noqa: BLE001 - foreign code: sorted by Failure, shown and logged
            return Failure.of(context.source_id, error)
        finally:
            run.end()
        return Failure.returned(context.source_id)

    def know(self, documents: Iterable[RuleDocument]) -> None:
        """What it said to an earlier run: a place that is broken now keeps what it held."""
        self._units.restore(documents)

    def restore(self, documents: Iterable[RuleDocument], current: float) -> None:
        """What a snapshot holds counts as what it last said; it was current then."""
        self.know(documents)
        msg = "what it said before the start is in force, from a snapshot, until it answers"
        self.condition = Condition.STALE
        self.error = RegistryUnavailable(msg, source=self._context.source_id)
        self.left = current

    def replaced(self, units: Iterable[RuleUnit]) -> None:
        """Take a complete listing."""
        self._units.replace(units)
        self._backoff.reset()
        self.confirmed()
        self._publish(self._units.listing())

    def changed(self, unit: RuleUnit | None, name: str) -> None:
        """Take one place, or learn that it is gone."""
        if unit is None:
            self._units.remove(name)
        else:
            self._units.put(unit)
        self._publish(self._units.listing())

    def confirmed(self) -> None:
        """What is held is current."""
        self.condition, self.error, self.left = Condition.SYNCED, None, None
        self._news.forget(None)

    def degraded(self, error: RegistryError) -> None:
        """What is held may be old."""
        error.source = error.source or self._context.source_id
        self._is_doing(Condition.STALE, error)

    def _is_doing(self, condition: Condition, error: RegistryError) -> None:
        now = self._context.clock.now()
        if self.condition is Condition.SYNCED:
            self.left = now
        self.condition, self.error = condition, error
        if self._news.is_new(None, str(error), now):
            self._context.logger.warning("%s; its rules are kept", error)


@define(eq=False)
class _Run:
    """The sink of one attempt; brings what it is told onto the loop, in order."""

    _runner: RuleRunner
    _loop: asyncio.AbstractEventLoop = field(factory=asyncio.get_running_loop, init=False)
    _thread: int = field(factory=threading.get_ident, init=False)
    _is_ended: bool = field(default=False, init=False)
    _held: dict[str, RuleUnit | None] | None = field(factory=dict, init=False)

    def replace(self, units: Iterable[RuleUnit]) -> None:
        if self._is_ended:
            return  # nothing is read for nobody: what it would raise is nobody's, either
        complete = {unit.name: unit for unit in units}
        self._call(lambda: self._replace(complete))

    def put(self, unit: RuleUnit) -> None:
        self._call(lambda: self._change(unit.name, unit))

    def remove(self, name: str) -> None:
        self._call(lambda: self._change(name, None))

    def confirm(self) -> None:
        self._call(self._confirm)

    def degrade(self, error: RegistryError) -> None:
        self._call(lambda: self._runner.degraded(error))

    def end(self) -> None:
        """Ignore what is told from now on."""
        self._is_ended = True

    def _call(self, work: Callable[[], None]) -> None:
        if self._is_ended:
            return
        if threading.get_ident() == self._thread:
            work()
            return
        try:
            self._loop.call_soon_threadsafe(self._unless_ended, work)
        except RuntimeError:
            # The loop has closed: nobody is left to be told.
            return

    def _unless_ended(self, work: Callable[[], None]) -> None:
        if not self._is_ended:
            work()

    def _replace(self, complete: dict[str, RuleUnit]) -> None:
        for name, unit in (self._held or {}).items():
            if unit is None:
                complete.pop(name, None)
            else:
                complete[name] = unit
        self._held = None
        self._runner.replaced(complete.values())

    def _change(self, name: str, unit: RuleUnit | None) -> None:
        if self._held is None:
            self._runner.changed(unit, name)
        else:
            self._held[name] = unit

    def _confirm(self) -> None:
        if self._held is None:
            self._runner.confirmed()
