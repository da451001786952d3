"""Waiting for a running pilot: until something is so, it fails, it is left, or time is up."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from meshregistry.errors import PilotFailed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


class Waiting:
    """Whether a pilot still runs, and those who wait for it.

    Args:
        news: gives something to await that ends at the next publication or announcement.
        missing: the sources that have not synced.
    """

    def __init__(
        self, news: Callable[[], Awaitable[object]], missing: Callable[[], tuple[str, ...]]
    ) -> None:
        self._news = news
        self._missing = missing
        self._failure: BaseException | None = None
        self.is_left = False

    def fail(self, error: BaseException) -> bool:
        """Note a fault of the core; whether it is the first one."""
        is_first = self._failure is None
        self._failure = self._failure or error
        return is_first

    @property
    def failed(self) -> PilotFailed | None:
        """The fault of the core, if there was one."""
        if self._failure is None:
            return None
        failed = PilotFailed(f"the core of the pilot has failed: {self._failure}; restart it")
        failed.__cause__ = self._failure
        return failed

    def check_running(self) -> None:
        """See to it that there is something to wait for.

        Raises:
            PilotFailed: if the core has failed.
            RuntimeError: if the pilot was left.
        """
        self._check_sound()
        if self.is_left:
            raise RuntimeError("the pilot was left, so nothing more will come")

    def _check_sound(self) -> None:
        if (failed := self.failed) is not None:
            raise failed

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so, which only news can change.

        Raises:
            PilotFailed: if the core has failed, also if it is so.
            RuntimeError: if the pilot was left, and it is not so.
        """
        self._check_sound()
        while not is_so():
            self.check_running()
            await self._news()
            self._check_sound()

    async def until_failed(self) -> PilotFailed:
        """Wait for a fault of the core; without one, for ever."""
        while (failed := self.failed) is None:
            await self._news()
        return failed

    @asynccontextmanager
    async def within(self, timeout: float | None, what: str) -> AsyncIterator[None]:
        """Bound what is done inside.

        Raises:
            TimeoutError: names what did not come, and the sources that have not synced.
        """
        bound = asyncio.timeout(timeout)
        try:
            async with bound:
                yield
        except TimeoutError:
            if not bound.expired():
                raise
            missing = ", ".join(self._missing())
            why = f"; not synced: {missing}; see why with: meshregistry sources" if missing else ""
            raise TimeoutError(f"{what} did not come within {timeout:g} s{why}") from None
