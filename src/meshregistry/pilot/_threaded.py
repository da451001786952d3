"""A pilot for threaded programs: the same names, blocking."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from meshregistry.model import Catalog, CatalogDiff, Metric
    from meshregistry.pilot._changes import Changes
    from meshregistry.pilot._pilot import Pilot
    from meshregistry.pilot._reload import ReloadReport
    from meshregistry.registries import MemoryRegistry
    from meshregistry.settings import Settings

T = TypeVar("T")


class ThreadedPilot:
    """Runs a `Pilot` on a loop in a thread of its own; every method may block.

    A context manager. After a fork every method raises ``RuntimeError``, since threads do
    not survive one: start a pilot in each worker process instead.

    Args:
        make: makes the pilot; called in the new thread.
    """

    def __init__(self, make: Callable[[], Pilot]) -> None:
        self._make = make
        self._process = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pilot: Pilot | None = None

    def __enter__(self) -> Self:
        """Start the thread and enter the pilot.

        Raises:
            ConfigError: if the settings are wrong.
            OSError: if an address cannot be bound.
        """
        self._same_process()
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="meshregistry-pilot", daemon=True)
        self._loop, self._thread = loop, thread
        thread.start()

        async def enter() -> Pilot:
            return await self._make().__aenter__()

        try:
            self._pilot = self._run(enter())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._same_process()
        try:
            if self._pilot is not None:
                self._run(self._pilot.__aexit__(None, None, None))
        finally:
            self._stop()

    @property
    def catalog(self) -> Catalog:
        """The current frozen catalog."""
        return self._inner().catalog

    @property
    def xds_address(self) -> str:
        """Where xDS is served, ``host:port``."""
        return self._inner().xds_address

    @property
    def http_address(self) -> str:
        """Where HTTP is served, ``host:port``."""
        return self._inner().http_address

    def memory(self, source: str) -> MemoryRegistry:
        """The memory registry of that source; its methods are thread-safe."""
        return self._inner().memory(source)

    def synced(self, timeout: float | None = None) -> Catalog:
        """Wait for every required source; see `Pilot.synced`."""
        return self._run(self._inner().synced(timeout))

    def published(self, timeout: float | None = None) -> int:
        """Wait until every earlier write is current; see `Pilot.published`."""
        return self._run(self._inner().published(timeout))

    def changes(self, since: Catalog | None = None) -> Iterator[CatalogDiff]:
        """Follow the catalog in a blocking loop; it ends when the pilot is left."""

        async def follow() -> Changes:
            return self._inner().changes(since)

        async def step(changes: Changes) -> CatalogDiff | None:
            return await anext(changes, None)

        changes = self._run(follow())
        while (diff := self._run(step(changes))) is not None:
            yield diff

    def reload(self, settings: Settings) -> ReloadReport:
        """Apply other settings; see `Pilot.reload`."""
        return self._run(self._inner().reload(settings))

    def statistics(self) -> tuple[Metric, ...]:
        """The current figures as plain values."""

        async def read() -> tuple[Metric, ...]:
            return self._inner().statistics()

        return self._run(read())

    def _inner(self) -> Pilot:
        self._same_process()
        if self._pilot is None:
            raise RuntimeError("the pilot is not running: use it inside 'with'")
        return self._pilot

    def _same_process(self) -> None:
        if os.getpid() != self._process:
            raise RuntimeError(
                "this pilot was made before a fork and has no thread here; "
                "start one in each worker process"
            )

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if self._loop is None or self._thread is None or not self._thread.is_alive():
            coroutine.close()
            raise RuntimeError("the pilot is not running: use it inside 'with'")
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except CancelledError:
            raise RuntimeError("the pilot was left while this call was waiting") from None
        except BaseException:
            future.cancel()
            raise

    def _stop(self) -> None:
        loop, thread = self._loop, self._thread
        self._pilot = self._loop = self._thread = None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(_cancel_rest(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _cancel_rest() -> None:
    """Cancel the calls of other threads that still wait."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
