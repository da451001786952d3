"""The composition root: sources in, worlds out, and the servers that hand them on."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, Self

from meshregistry.aggregate import SystemClock
from meshregistry.pilot._changes import CatalogChanges
from meshregistry.pilot._core import Core
from meshregistry.pilot._decisions import decision_metrics
from meshregistry.pilot._reading import Reading
from meshregistry.pilot._statistics import rule_metrics, snapshot_metrics, source_metrics
from meshregistry.pilot._threaded import ThreadedPilot
from meshregistry.pilot._waiting import Waiting
from meshregistry.pilot._wiring import Wiring, load_plugins

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from meshregistry.errors import PilotFailed
    from meshregistry.loader import Plugins
    from meshregistry.model import Catalog, Endpoint, Metric
    from meshregistry.pilot._drained import Drained
    from meshregistry.pilot._reload import ReloadReport
    from meshregistry.pilot._serving import Serving
    from meshregistry.registries import MemoryRegistry
    from meshregistry.settings import Settings
    from meshregistry.spi import Clock, Registry

_log = logging.getLogger("meshregistry.pilot")
_SCRAPE_TIMEOUT = 5.0


class Pilot(Reading):
    """One live catalog of all configured registries, and the servers that proxies follow.

    An async context manager. Entering returns when the settings are valid, the plugins
    loaded and the ports bound; it never waits for a registry. Leaving is idempotent,
    bounded by ``server.drain_timeout``, and leaves no task, socket or thread behind. It
    may be entered and left in different tasks.

    Args:
        settings: from `Settings.load` or `Settings.from_dict`.
        serve: whether to serve xDS and HTTP; without it, only the core is needed.
        registries: registry objects of your own by source id, without any plugin.
        plugins: plugin modules or objects of your own, beside the installed ones.
        entry_points: whether to look for installed plugins.
        environ: the environment that plugins may be disabled in; default: the process's.
        clock: tells the time; default: the system's.
        wall: gives the time of day, in seconds since the epoch; default: the system's.
        random: for jitter; default: a new one.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        serve: bool = True,
        registries: Mapping[str, Registry] | None = None,
        plugins: Sequence[object] = (),
        entry_points: bool = True,
        environ: Mapping[str, str] | None = None,
        clock: Clock | None = None,
        wall: Callable[[], float] = time.time,
        random: Random | None = None,
    ) -> None:
        self._settings = settings
        self._serves = serve
        self._clock = SystemClock() if clock is None else clock
        self._wall = wall
        self._random = Random() if random is None else random  # noqa: S311 - jitter is no secret
        self._wiring = Wiring(settings, dict(registries or {}))
        self._load_plugins = partial(
            load_plugins,
            self._wiring.memories,
            groups=self._wiring.book,
            plugins=plugins,
            entry_points=entry_points,
            environ=os.environ if environ is None else environ,
        )
        self._core: Core | None = None
        self._serving: Serving | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._waiting = Waiting(self._news, self.unsynced)
        self._is_draining = False

    # --- Life ---------------------------------------------------------------------

    @classmethod
    def in_thread(cls, settings: Settings, **options: Any) -> ThreadedPilot:
        """The same for threaded programs: ``with Pilot.in_thread(settings) as pilot:``."""
        return ThreadedPilot(cls(settings, **options))

    @staticmethod
    def discover(environ: Mapping[str, str] | None = None) -> Plugins:
        """Find and load the plugins that a pilot would use, without starting anything."""
        return load_plugins(environ=os.environ if environ is None else environ)

    async def __aenter__(self) -> Self:
        """Start.

        Raises:
            ConfigError: if the settings are wrong.
            PluginError: if a plugin that the settings use is broken.
            MissingExtraError: if serving needs packages that are not installed.
            OSError: if an address cannot be bound; names it.
            RuntimeError: if it was entered before.
        """
        if self._core is not None or self._waiting.is_left:
            raise RuntimeError("a Pilot is entered once; make another one")
        try:
            await self._start()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    async def _start(self) -> None:
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        self._core = core = Core(
            self._settings,
            self._wiring,
            self._load_plugins,
            publish=self._publish,
            failed=self._core_failed,
            clock=self._clock,
            wall=self._wall,
            random=self._random,
        )
        await core.restore()
        if self._serves:
            from meshregistry.pilot._agent_registrations import (  # noqa: PLC0415 - an extra
                registrations,
            )
            from meshregistry.pilot._derivation import Derivation  # noqa: PLC0415 - an extra
            from meshregistry.pilot._serving import Serving  # noqa: PLC0415 - an extra

            self._serving = Serving(
                self,
                self._settings.server,
                core.plugins,
                Derivation(core.plugins),
                domain=self._settings.mesh.domain,
                clock=self._clock,
                registrations=registrations(
                    self._settings,
                    registrar=core.supervisor.registrar,
                    groups=core.groups,
                    now=self._clock.now,
                ),
            )
            await self._serving.start()
        core.start()

    async def _end(self) -> None:
        if self._waiting.is_left:
            return
        self._waiting.is_left = self._is_draining = True
        try:
            if self._serving is not None:
                await self._serving.close(self._settings.server.drain_timeout)
        finally:
            if self._core is not None:
                await self._core.stop()

    def _core_failed(self, error: BaseException) -> None:
        if not self._waiting.is_left:
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        """Note a fault of the core: health turns bad and whoever waits is told."""
        if self._waiting.fail(error):
            _log.critical("the core has failed; restart the process", exc_info=error)
            if self._core is not None:
                self._core.publisher.announce()

    async def drain(self) -> None:
        """Stop being ready and wait ``server.drain_delay``; call it before leaving."""
        self._is_draining = True
        await self._clock.sleep(self._settings.server.drain_delay)

    @property
    def failed(self) -> PilotFailed | None:
        """The fault of the core, if there was one."""
        return self._waiting.failed

    async def wait_failed(self) -> PilotFailed:
        """Wait for a fault of the core; without one, for ever."""
        return await self._waiting.until_failed()

    # --- Waiting ------------------------------------------------------------------

    async def synced(self, timeout: float | None = None) -> Catalog:
        """Wait until every required source has synced, and give the catalog.

        Raises:
            TimeoutError: names the sources that have not synced.
            PilotFailed: if the core has failed.
        """
        publisher = self._running().publisher
        async with self._waiting.within(timeout, "the first catalog"):
            await self._waiting.until(lambda: publisher.has_published)
        return publisher.catalog

    async def published(self, timeout: float | None = None) -> int:
        """Wait for the world that contains every earlier write, and give its generation.

        Returns at once if nothing changed.

        Raises:
            TimeoutError: names the sources that have not synced.
            PilotFailed: if the core has failed.
        """
        core = self._running()
        publisher = core.publisher
        async with self._waiting.within(timeout, "the publication"):
            self._waiting.check_running()
            await core.supervisor.drained()
            target = publisher.written
            await self._waiting.until(lambda: publisher.covers(target))
        return publisher.catalog.generation

    async def drained(self, endpoint: Endpoint, timeout: float | None = None) -> Drained:
        """Wait until no proxy is led to an endpoint, so that its process can be stopped.

        That is so once neither the catalog nor any connected proxy has it: each that held it
        has acknowledged a configuration without it, or its stream has ended. A process may
        still be busy with requests that it was given before. Nothing is taken out by this:
        deregister the endpoint, or write a `Drain` document.

        Args:
            endpoint: its address and port count, and its network if it has one.
            timeout: in seconds; None: no limit.

        Raises:
            TimeoutError: names who is still led there.
            PilotFailed: if the core has failed.
            RuntimeError: if this pilot serves nothing.
        """
        said = self._running().supervisor.drained
        return (
            await self._served().drain_wait(endpoint, self._waiting, self._news, said).run(timeout)
        )

    def changes(self, since: Catalog | None = None) -> CatalogChanges:
        """Follow the catalog: ``async for diff in pilot.changes(since=catalog)``.

        The iteration ends when the pilot is left.

        Args:
            since: what is known already; default: nothing.
        """
        return CatalogChanges(self._newer, since)

    async def _newer(self, seen: Catalog) -> Catalog | None:
        publisher = self._running().publisher
        await self._waiting.until(
            lambda: (
                self._waiting.is_left or (publisher.has_published and publisher.catalog is not seen)
            )
        )
        return None if self._waiting.is_left else publisher.catalog

    def memory(self, source: str) -> MemoryRegistry:
        """The registry object of a source of kind ``memory``; works before entering.

        Raises:
            KeyError: if there is no such source of that kind.
        """
        wiring = self._wiring if self._core is None else self._core.wiring
        return wiring.memory(source)

    def _news(self) -> Awaitable[bool]:
        return self._running().publisher.news()

    # --- Serving ------------------------------------------------------------------

    @property
    def xds_address(self) -> str:
        """Where xDS is served, ``host:port`` with the real port."""
        return self._address("xds")

    @property
    def http_address(self) -> str:
        """Where HTTP is served, ``host:port`` with the real port."""
        return self._address("http")

    def _address(self, listener: str) -> str:
        found = self._served().addresses()
        if listener not in found:
            raise RuntimeError(f"the settings turn {listener} off; set server.{listener}")
        return found[listener]

    def addresses(self) -> dict[str, str]:
        """Every listener by name: ``xds``, ``http``, ``admin``, ``probes``."""
        return self._served().addresses()

    def proxies_document(self) -> dict[str, Any]:
        """The connected proxies, as ``/debug/proxies`` shows them."""
        return self._served().proxies_document()

    def _served(self) -> Serving:
        if self._serving is None:
            raise RuntimeError("this pilot serves nothing: enter it, and do not say serve=False")
        return self._serving

    def readiness(self) -> tuple[str, ...]:
        """Reasons not to send traffic here; empty when ready."""
        reasons = list(self.health())
        if self._is_draining:
            reasons.append("draining")
        if self._core is None or not self._core.publisher.has_published:
            waiting = () if self._core is None else self.unsynced()
            reasons.extend(f"the source {source} has not synced" for source in waiting)
            reasons = reasons or ["nothing is published yet"]
        return tuple(reasons)

    def health(self) -> tuple[str, ...]:
        """Reasons to restart the process; empty when healthy."""
        failed = self.failed
        return () if failed is None else (str(failed),)

    def statistics(self) -> tuple[Metric, ...]:
        """The current figures as plain values; `meshregistry.server` exports them."""
        own = source_metrics(self.sources(), self.catalog) + rule_metrics(self.rule_sources())
        own += decision_metrics(self.decisions)
        snapshots = self._running().snapshots
        own += snapshot_metrics(0 if snapshots is None else snapshots.failures)
        return (*own, *(self._serving.metrics() if self._serving is not None else ()))

    @property
    def collector(self) -> Any:
        """The figures as a Prometheus collector, to register where you like.

        It may be scraped from any thread.

        Raises:
            MissingExtraError: if the extra ``[server]`` is not installed.
        """
        from meshregistry.server import MetricsCollector  # noqa: PLC0415 - an extra

        return MetricsCollector(self._statistics_anywhere)

    def _statistics_anywhere(self) -> tuple[Metric, ...]:
        """The same on the loop's own thread, for exporters with threads of their own."""
        loop = self._loop
        if loop is None or self._waiting.is_left:
            return ()
        if threading.get_ident() == self._thread:
            return self.statistics()

        async def read() -> tuple[Metric, ...]:
            return self.statistics()

        return asyncio.run_coroutine_threadsafe(read(), loop).result(_SCRAPE_TIMEOUT)

    # --- Change -------------------------------------------------------------------

    async def reload(self, settings: Settings) -> ReloadReport:
        """Apply other settings, all of what can be applied or nothing.

        Sources and rule sources are matched by id: a changed one keeps its data as STALE
        until its first new listing, and only a removed one loses its data.

        Raises:
            ConfigError: if the new settings are wrong; nothing has changed then.
            PluginError: if a plugin that they use is broken; likewise.
            PilotFailed: if the core has failed.
        """
        core = self._running()
        self._waiting.check_running()
        return core.reload(settings)

    def _publish(self, catalog: Catalog) -> None:
        if self._serving is not None:
            core = self._running()
            self._serving.publish(catalog, core.settings.mesh, core.source_order(), self.rules)
        _log.debug("generation %d: %d services", catalog.generation, len(catalog))
