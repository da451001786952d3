"""When a new world becomes current: one debouncer over all changes, and those who wait."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from meshregistry.model import Catalog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from meshregistry.aggregate import Debouncer
    from meshregistry.spi import Clock


class Publisher:
    """Publishes the merged catalog, debounced, once the start gate has opened.

    Args:
        clock: tells the time and waits.
        debouncer: decides when; pure.
        merged: gives the merged catalog as of now.
        publish: makes a catalog current; called before anybody who waits is told.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        debouncer: Debouncer,
        merged: Callable[[], Catalog],
        publish: Callable[[Catalog], None],
    ) -> None:
        self._clock = clock
        self._debouncer = debouncer
        self._merged = merged
        self._publish = publish
        self._catalog = Catalog()
        self._is_open = False
        self._written = 0
        self._covered = 0
        self._is_forced = False
        self._wake = asyncio.Event()
        self._news = asyncio.Event()

    @property
    def catalog(self) -> Catalog:
        """The published catalog; empty, with generation 0, before the first one."""
        return self._catalog

    @property
    def has_published(self) -> bool:
        """Whether there is a current world."""
        return self._is_open

    @property
    def has_pending(self) -> bool:
        """Whether a change waits to be published."""
        return self._covered < self._written

    @property
    def written(self) -> int:
        """Counts changes; see `covers`."""
        return self._written

    def covers(self, written: int) -> bool:
        """Whether the current world contains every change up to that count."""
        return self._is_open and self._covered >= written

    def changed(self, is_endpoints_only: bool) -> None:
        """Note that the merged catalog has changed."""
        self._written += 1
        self._debouncer.changed(self._clock.now(), is_endpoints_only=is_endpoints_only)
        self._wake.set()

    def invalidate(self) -> None:
        """Note that something else than the catalog has changed: publish it again."""
        self._is_forced = True
        self.changed(is_endpoints_only=False)

    def announce(self) -> None:
        """Wake everybody who waits for news, without any: a failure or the end."""
        news, self._news = self._news, asyncio.Event()
        news.set()

    def news(self) -> Awaitable[bool]:
        """Something to await that ends at the next publication or announcement."""
        return self._news.wait()

    async def run(self, opened: Callable[[], Awaitable[None]]) -> None:
        """Publish until cancelled; the first time as soon as `opened` returns."""
        await opened()
        self._is_open = True
        self._is_forced = True
        self._fire()
        while True:
            now = self._clock.now()
            if self._debouncer.is_due(now):
                self._fire()
            else:
                due = self._debouncer.next_deadline()
                await self._rest(None if due is None else due - now)

    def _fire(self) -> None:
        # Reading may itself bring changes in, which are then part of this world.
        catalog = self._merged()
        written = self._written
        self._debouncer.published(self._clock.now())
        # Equal worlds are not published; those who wait learn that theirs is current.
        if self._is_forced or catalog != self._catalog:
            self._is_forced = False
            catalog = catalog.at(self._catalog.generation + 1)
            self._publish(catalog)
            self._catalog = catalog
        self._covered = written
        self.announce()

    async def _rest(self, seconds: float | None) -> None:
        waiting: set[asyncio.Task[object]] = {asyncio.create_task(self._wake.wait())}
        if seconds is not None:
            waiting.add(asyncio.create_task(_sleep(self._clock, seconds)))
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        self._wake.clear()


async def _sleep(clock: Clock, seconds: float) -> None:
    await clock.sleep(seconds)
