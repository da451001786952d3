"""A function that lists everything, as a registry that keeps the contract."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, cast

from meshregistry.errors import RecordError, RegistryError, RegistryUnavailable
from meshregistry.model import ServiceRecord

if TYPE_CHECKING:
    from meshregistry.spi._registry import RegistryContext, Sink

Listed = Iterable[ServiceRecord | RecordError]
ListAll = Callable[[], Listed] | Callable[[], Awaitable[Listed]]

_JITTER = 0.1


class PollingRegistry:
    """Asks for everything again and again.

    Equal lists are a `confirm`, an exception is a `degrade`. A listing that fails before the first success ends the
    attempt instead, so that the core retries with back-off. An interval is varied by a tenth, so that replicas spread out.

    Args:
        list_all: gives records, and `RecordError` for those that are malformed; a
            coroutine function, or a blocking one, which runs in the source's own thread.
        interval: seconds between the end of one listing and the start of the next.
        context: what `open` was given.
    """

    def __init__(self, list_all: ListAll, interval: float, context: RegistryContext) -> None:
        self._list_all = list_all
        self._interval = interval
        self._context = context

    async def run(self, sink: Sink) -> None:
        """Poll until cancelled.

        Raises:
            RegistryError: if the first listing fails.
        """
        last: tuple[list[ServiceRecord], list[tuple[str | None, str]]] | None = None
        while True:
            try:
                records, faulty = await self._listing()
            except RegistryError as error:
                if last is None:
                    raise
                sink.degrade(error)
            except Exception as error:
                text = f"the listing failed: {type(error).__name__}: {error}"
                unavailable = RegistryUnavailable(text)
                unavailable.__cause__ = error
                if last is None:
                    raise unavailable from error
                sink.degrade(unavailable)
            else:
                seen = (records, [(fault.key, str(fault)) for fault in faulty])
                if seen == last:
                    sink.confirm()
                else:
                    sink.replace(records, faulty=faulty)
                last = seen
            spread = self._context.random.uniform(1 - _JITTER, 1 + _JITTER)
            await self._context.clock.sleep(self._interval * spread)

    async def _listing(self) -> tuple[list[ServiceRecord], list[RecordError]]:
        if inspect.iscoroutinefunction(self._list_all):
            listed = await cast("Callable[[], Awaitable[Listed]]", self._list_all)()
            items = list(listed)
        else:
            blocking = cast("Callable[[], Listed]", self._list_all)
            items = await self._context.in_thread(lambda: list(blocking()))
        records = [item for item in items if isinstance(item, ServiceRecord)]
        faulty = [item for item in items if isinstance(item, RecordError)]
        return records, faulty
