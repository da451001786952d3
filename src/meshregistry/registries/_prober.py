"""Probes on the loop: asks who is due, and tells when somebody's health has changed.

Every replica of a pilot asks for itself and believes only what it has seen: there is
nobody who could tell them all, and a replica that cannot reach a machine is right to say so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from meshregistry.registries._probe import Answer, Probing, Target
from meshregistry.registries._probe_calls import ask

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from meshregistry.model import Health
    from meshregistry.spi import RegistryContext

Ask = Callable[[Target, str], Awaitable[Answer]]
"""Asks a workload once, under the name of a user agent."""

FIRST_ANSWERS = 5.0
"""Seconds that the first listing of a source waits for a first answer of everybody."""


class Prober:
    """Probes the workloads of one source.

    Args:
        context: of the source.
        changed: is called, on the loop, after the health of some workload has changed.
        ask: asks one workload once.
    """

    def __init__(
        self,
        context: RegistryContext,
        changed: Callable[[Target], None],
        *,
        ask: Ask = ask,
    ) -> None:
        self._context = context
        self._changed = changed
        self._ask = ask
        self._probing = Probing(context.random)
        self._has_begun = False
        self._woken = asyncio.Event()
        self._settled = asyncio.Event()

    def follow(self, targets: Iterable[Target], served: Collection[str] = ()) -> None:
        """Probe exactly these from now on; see `Probing.follow`."""
        now = self._context.clock.now()
        self._probing.follow(now, targets, is_start=not self._has_begun, served=served)
        self._has_begun = True
        if self._probing.is_settled:
            self._settled.set()
        self._woken.set()

    def health(self, target: Target) -> Health:
        """What is known of one that is followed."""
        return self._probing.health(target)

    async def settled(self) -> None:
        """Wait for a first answer of everybody who was there at the start, for some seconds."""
        waiting = asyncio.ensure_future(self._settled.wait())
        enough = asyncio.ensure_future(self._context.clock.sleep(FIRST_ANSWERS))
        try:
            await asyncio.wait((waiting, enough), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            enough.cancel()
            self._settled.set()  # from now on every change counts

    async def run(self) -> None:
        """Probe until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._woken.clear()
                for target in self._probing.due(self._context.clock.now()):
                    group.create_task(self._probe(target))
                await self._pause()

    async def _pause(self) -> None:
        """Wait until somebody is due, or something has happened."""
        due = self._probing.next_due()
        woken: asyncio.Future[object] = asyncio.ensure_future(self._woken.wait())
        waits: list[asyncio.Future[object]] = [woken]
        if due is not None:
            seconds = max(due - self._context.clock.now(), 0.0)
            waits.append(asyncio.ensure_future(self._context.clock.sleep(seconds)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()

    async def _probe(self, target: Target) -> None:
        answer = await self._ask(target, self._context.user_agent)
        self._context.count("probes" if answer.is_success else "probes_failed")
        has_changed = self._probing.answered(target, answer)
        self._woken.set()
        if has_changed:
            self._context.logger.info(
                "the workload %s is %s%s",
                target.address,
                self._probing.health(target),
                f": {answer.reason}" if answer.reason else "",
            )
        if self._probing.is_settled and not self._settled.is_set():
            self._settled.set()
        elif has_changed and self._settled.is_set():
            self._changed(target)
