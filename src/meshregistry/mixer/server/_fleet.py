"""The life of handlers: opened when a configuration needs them, closed after their last call.

One that cannot be opened is tried again in the background, until it can be or until no
configuration needs it any more.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from meshregistry.cancelling import FROM_OUTSIDE, is_being_cancelled
from meshregistry.errors import MeshRegistryError
from meshregistry.mixer.server._running import (
    LEAKED,
    Context,
    HandlerFailed,
    Running,
    Surroundings,
)
from meshregistry.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshregistry.mixer.config import HandlerPlan, Snapshot
    from meshregistry.mixer.spi import Handler

STARTING, CLOSING = 10.0, 10.0
"""Seconds that a handler may take to start, and to close."""

PAUSES = Schedule(first=1.0, highest=60.0, floor=0.5)
"""Before a handler that could not be opened is tried again."""


class Fleet:
    """The handlers of all configurations that are not over.

    Args:
        around: what handlers share.
        starting: seconds that one may take to start: a slow one keeps the others waiting.
        closing: seconds that one may take to close.
    """

    def __init__(
        self, around: Surroundings, *, starting: float = STARTING, closing: float = CLOSING
    ) -> None:
        self._around = around
        self._starting = starting
        self._closing = closing
        self._running: list[Running] = []

    @property
    def running(self) -> tuple[Running, ...]:
        """All that are open, or could not be opened so far; the oldest first."""
        return tuple(one for one in self._running if one.handler is not None or one.fault)

    async def prepare(self, snapshot: Snapshot) -> dict[int, Running]:
        """The handlers of a configuration, by the identity of their plans.

        One whose plan is equal to one that runs is that one; the others are opened. One
        that cannot be opened is there with its fault: its checks fail and the others go on,
        and it is tried again in the background.
        """
        found: dict[int, Running] = {}
        try:
            for plan in snapshot.handlers:
                running = found[id(plan)] = self._joined(plan)
                await self._open(running)
                if running.handler is None and running.retrying is None:
                    running.retrying = asyncio.create_task(
                        self._retry(running), name="meshregistry-mixer-open"
                    )
        except BaseException:
            # Nobody else knows of those that are open by now.
            await self.release(found)
            raise
        return found

    async def release(self, used: Mapping[int, Running]) -> None:
        """A configuration is over; handlers that no other uses are closed."""
        over = []
        for running in used.values():
            running.users -= 1
            if running.users == 0:
                self._running.remove(running)
                over.append(running)
        for running in over:
            await self._end(running)

    def _joined(self, plan: HandlerPlan) -> Running:
        """The one with this plan, with one user more; so nobody closes it while it is opened."""
        running = next((one for one in self._running if one.plan == plan), None)
        if running is None:
            context = Context(name=plan.title, instances=plan.instances, around=self._around)
            running = Running(plan=plan, context=context)
            self._running.append(running)
        running.users += 1
        return running

    # --- Opening --------------------------------------------------------------------------

    async def _retry(self, running: Running) -> None:
        failures = 1
        # A handler may swallow the cancelling, so the end is asked for, too.
        while running.users and running.handler is None:
            await self._around.sleep(PAUSES.delay(failures, self._around.random))
            await self._open(running)
            failures += 1

    async def _open(self, running: Running) -> None:
        """Try it once, unless it is open."""
        is_being_tried = running.opening.locked()
        async with running.opening:
            # An attempt that somebody else has just made is as good as another one.
            if running.handler is not None or is_being_tried:
                return
            try:
                handler = await self._started(running)
            except FROM_OUTSIDE:
                raise
            except BaseException as error:  # foreign code: told of, and tried again
                # Told once, not at every attempt; the status has the latest.
                if not running.fault and isinstance(error, (MeshRegistryError, OSError)):
                    running.context.logger.error(  # noqa: TRY400 - it says what is wrong by itself
                        "could not be opened, and is tried again: %s", _reason(error)
                    )
                elif not running.fault:
                    running.context.logger.exception("could not be opened, and is tried again")
                running.fault = _reason(error)
                return
            if not running.users:
                # It took no notice of the end of its configuration.
                await self._close(running, handler)
                return
            if running.fault:
                running.context.logger.info("is open now")
            running.handler, running.fault = handler, ""

    async def _started(self, running: Running) -> Handler:
        plan = running.plan
        deadline = asyncio.timeout(self._starting)
        try:
            handler = plan.adapter.open(plan.config, running.context)
            async with deadline:
                await handler.start()
        except asyncio.CancelledError as error:
            if is_being_cancelled():
                raise
            raise HandlerFailed(LEAKED) from error
        except Exception as error:
            if deadline.expired():
                raise HandlerFailed(f"it had not started within {self._starting:g} s") from error
            raise
        return handler

    # --- Closing --------------------------------------------------------------------------

    async def _end(self, running: Running) -> None:
        retrying, running.retrying = running.retrying, None
        if retrying is not None:
            retrying.cancel()
            # One that takes no notice is closed as soon as it has started.
            await asyncio.wait((retrying,), timeout=self._closing)
        if running.handler is not None:
            await self._close(running, running.handler)

    async def _close(self, running: Running, handler: Handler) -> None:
        try:
            async with asyncio.timeout(self._closing):
                await handler.close()
        except asyncio.CancelledError:
            # Such as that of a task of its own, which it ends and then waits for.
            if is_being_cancelled():
                raise
            running.context.logger.exception("could not be closed")
        except FROM_OUTSIDE:
            raise
        except BaseException:  # foreign code: logged, and left alone
            running.context.logger.exception("could not be closed")


def _reason(error: BaseException) -> str:
    if isinstance(error, MeshRegistryError):
        return str(error)
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return f"{type(error).__name__}: {error}"
