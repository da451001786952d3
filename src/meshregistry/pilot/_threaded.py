"""A pilot for threaded programs: the same names, blocking."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

from meshregistry.loop_thread import LoopLeft, LoopThread

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from meshregistry.aggregate import SourceStatus
    from meshregistry.errors import PilotFailed
    from meshregistry.model import Catalog, CatalogDiff, Endpoint, Health, Metric
    from meshregistry.pilot._drained import Drained
    from meshregistry.pilot._pilot import Pilot
    from meshregistry.pilot._reload import ReloadReport
    from meshregistry.pilot._rule_book import RuleStatus
    from meshregistry.registries import MemoryRegistry
    from meshregistry.rules import Decisions, RuleSet
    from meshregistry.settings import Settings

T = TypeVar("T")


class ThreadedPilot:
    """Runs a `Pilot` on a loop in a thread of its own; every method may block.

    A context manager. After a fork every method raises ``RuntimeError``, since threads do
    not survive one: start a pilot in each worker process instead.

    Args:
        pilot: not entered yet.
    """

    def __init__(self, pilot: Pilot) -> None:
        self._pilot = pilot
        self._process = os.getpid()
        self._loop = LoopThread("the pilot", "meshregistry-pilot")
        self._is_entered = False

    def __enter__(self) -> Self:
        """Start the thread and enter the pilot.

        Raises:
            ConfigError: if the settings are wrong.
            OSError: if an address cannot be bound; names it.
            RuntimeError: if it was entered before.
        """
        self._same_process()
        if self._is_entered:
            raise RuntimeError("a pilot is entered once; make another one")
        self._is_entered = True
        self._loop.start()
        try:
            self._run(self._pilot.__aenter__())
        except BaseException:
            self._loop.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._same_process()
        if not self._loop.is_running:
            return
        try:
            self._run(self._pilot.__aexit__(None, None, None))
        finally:
            self._loop.stop()

    # --- What may be used before entering, and from any thread --------------------

    def memory(self, source: str) -> MemoryRegistry:
        """The registry of a source of kind ``memory``; its methods are thread-safe.

        Raises:
            KeyError: if there is no such source of that kind.
        """
        self._same_process()
        return self._pilot.memory(source)

    # --- The same, blocking -------------------------------------------------------

    @property
    def catalog(self) -> Catalog:
        """The current, published catalog; frozen."""
        return self._call(lambda: self._pilot.catalog)

    @property
    def merged(self) -> Catalog:
        """What the sources say at this moment, published or not."""
        return self._call(lambda: self._pilot.merged)

    @property
    def xds_address(self) -> str:
        """Where xDS is served, ``host:port`` with the real port."""
        return self._call(lambda: self._pilot.xds_address)

    @property
    def http_address(self) -> str:
        """Where HTTP is served, ``host:port`` with the real port."""
        return self._call(lambda: self._pilot.http_address)

    @property
    def failed(self) -> PilotFailed | None:
        """The fault of the core, if there was one."""
        return self._call(lambda: self._pilot.failed)

    @property
    def collector(self) -> Any:
        """The figures as a Prometheus collector; see `Pilot.collector`."""
        return self._call(lambda: self._pilot.collector)

    def addresses(self) -> dict[str, str]:
        """Every listener by name."""
        return self._call(self._pilot.addresses)

    def synced(self, timeout: float | None = None) -> Catalog:
        """Wait for every required source; see `Pilot.synced`."""
        return self._run(self._pilot.synced(timeout))

    def published(self, timeout: float | None = None) -> int:
        """Wait until every earlier write is current; see `Pilot.published`."""
        return self._run(self._pilot.published(timeout))

    def drained(self, endpoint: Endpoint, timeout: float | None = None) -> Drained:
        """Wait until no proxy is led to an endpoint; see `Pilot.drained`."""
        return self._run(self._pilot.drained(endpoint, timeout))

    def serving(self, endpoint: Endpoint) -> dict[str, Health]:
        """The services that lead to an endpoint, and the health that it has there."""
        return self._call(partial(self._pilot.serving, endpoint))

    def changes(self, since: Catalog | None = None) -> Iterator[CatalogDiff]:
        """Follow the catalog in a blocking loop; it ends when the pilot is left."""
        changes = self._call(lambda: self._pilot.changes(since))

        async def step() -> CatalogDiff | None:
            return await anext(changes, None)

        return self._follow(step)

    def _follow(
        self, step: Callable[[], Coroutine[Any, Any, CatalogDiff | None]]
    ) -> Iterator[CatalogDiff]:
        while True:
            try:
                diff = self._run(step())
            except LoopLeft:
                return
            if diff is None:
                return
            yield diff

    def sources(self) -> tuple[SourceStatus, ...]:
        """Condition, age, counts and last error of each source."""
        return self._call(self._pilot.sources)

    @property
    def rules(self) -> RuleSet:
        """The routing configuration in force."""
        return self._call(lambda: self._pilot.rules)

    @property
    def decisions(self) -> Decisions:
        """What operators have decided about the catalog."""
        return self._call(lambda: self._pilot.decisions)

    def rule_sources(self) -> tuple[RuleStatus, ...]:
        """What each rule source has, and what is wrong with it."""
        return self._call(self._pilot.rule_sources)

    def unsynced(self) -> tuple[str, ...]:
        """The sources that have not synced yet."""
        return self._call(self._pilot.unsynced)

    def readiness(self) -> tuple[str, ...]:
        """Reasons not to send traffic here; empty when ready."""
        return self._call(self._pilot.readiness)

    def remarks(self) -> tuple[str, ...]:
        """What is not as it should be, and yet no reason to send no traffic here."""
        return self._call(self._pilot.remarks)

    def health(self) -> tuple[str, ...]:
        """Reasons to restart the process; empty when healthy."""
        return self._call(self._pilot.health)

    def proxies_document(self) -> dict[str, Any]:
        """The connected proxies."""
        return self._call(self._pilot.proxies_document)

    def resources_document(self, node_id: str, type_name: str | None = None) -> dict[str, Any]:
        """What a proxy with that node id would be sent."""
        return self._call(partial(self._pilot.resources_document, node_id, type_name))

    def explain(
        self, host: str, node_id: str | None = None, request: str | None = None
    ) -> dict[str, Any]:
        """Which sources and decisions led to what is known of a host."""
        return self._call(partial(self._pilot.explain, host, node_id, request))

    def diff(self, first: str, second: str) -> dict[str, Any]:
        """What two sources say differently, before the merge."""
        return self._call(partial(self._pilot.diff, first, second))

    def identity_document(self) -> dict[str, Any]:
        """Which records of several sources are one service, and why."""
        return self._call(self._pilot.identity_document)

    def reload(self, settings: Settings) -> ReloadReport:
        """Apply other settings; see `Pilot.reload`."""
        return self._run(self._pilot.reload(settings))

    def statistics(self) -> tuple[Metric, ...]:
        """The current figures as plain values."""
        return self._call(self._pilot.statistics)

    # --- How ----------------------------------------------------------------------

    def _same_process(self) -> None:
        if os.getpid() != self._process:
            raise RuntimeError(
                "this pilot was made before a fork and has no thread here; "
                "start one in each worker process"
            )

    def _call(self, read: Callable[[], T]) -> T:
        """Call something on the loop, where nothing changes meanwhile."""

        async def call() -> T:
            return read()

        return self._run(call())

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        try:
            self._same_process()
        except RuntimeError:
            coroutine.close()
            raise
        return self._loop.run(coroutine)
