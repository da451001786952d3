"""A function that lists everything, as a registry that keeps the contract."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

from meshregistry.errors import (
    RecordError,
    RegistryError,
    RegistryProtocolError,
    RegistryUnavailable,
)
from meshregistry.model import ServiceRecord

if TYPE_CHECKING:
    from meshregistry.spi._registry import RegistryContext, Sink

Listed = Iterable[ServiceRecord | RecordError]
ListAll = Callable[[], Listed] | Callable[[], Awaitable[Listed]]

_JITTER = 0.1


class PollingRegistry:
    """Asks for everything again and again.

    Equal lists, in whatever order, are a `confirm`, an exception is a `degrade`. A
    listing that fails before the first success ends the attempt instead, so that the core
    retries with back-off. An interval is varied by a tenth, so that replicas spread out.

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
        try:
            items = await self._items()
        except RecordError as error:
            # Raised instead of listed, it says nothing of any other record: the listing failed.
            msg = f"the listing failed: {error}; return a RecordError beside the good records"
            raise RegistryProtocolError(msg) from error
        except RegistryError:
            raise
        except Exception as error:
            msg = f"the listing failed: {type(error).__name__}: {error}"
            raise RegistryUnavailable(msg) from error
        records: list[ServiceRecord] = []
        faulty: list[RecordError] = []
        for item in items:
            if isinstance(item, ServiceRecord):
                records.append(item)
            elif isinstance(item, RecordError):
                faulty.append(item)
            else:
                # Passing over what is not understood would remove services in silence.
                msg = f"the listing has {item!r}; list ServiceRecord and RecordError only"
                raise RegistryProtocolError(msg)
        return sorted(records, key=lambda record: record.key), faulty

    async def _items(self) -> list[object]:
        if inspect.iscoroutinefunction(self._list_all):
            return list(await self._list_all())
        listed = await self._context.in_thread(self._blocking)
        return [*(await listed if isinstance(listed, Awaitable) else listed)]

    def _blocking(self) -> list[ServiceRecord | RecordError] | Awaitable[Listed]:
        listed = self._list_all()
        # A generator does its work while it is consumed, so that belongs into the thread too.
        return listed if isinstance(listed, Awaitable) else list(listed)
