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

from meshregistry.aggregate import Debouncer, Supervisor, SystemClock, differences
from meshregistry.errors import MeshRegistryError
from meshregistry.model import Node, Proxy, SourceId
from meshregistry.pilot._changes import CatalogChanges
from meshregistry.pilot._decisions import decision_metrics, tell_decisions
from meshregistry.pilot._documents import (
    about,
    difference_document,
    explain_document,
    remarks,
)
from meshregistry.pilot._drained import served
from meshregistry.pilot._identity import identity_document, naming_steps, transforms
from meshregistry.pilot._publisher import Publisher
from meshregistry.pilot._reload import ReloadReport, compare, in_force
from meshregistry.pilot._requests import http_ports, request_words
from meshregistry.pilot._rule_sources import RuleSources
from meshregistry.pilot._snapshots import Snapshots
from meshregistry.pilot._statistics import rule_metrics, snapshot_metrics, source_metrics
from meshregistry.pilot._threaded import ThreadedPilot
from meshregistry.pilot._waiting import Waiting
from meshregistry.pilot._wiring import Wiring, load_plugins
from meshregistry.rules import Decisions, RuleSet, concerned, decided
from meshregistry.spi import Condition

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence

    from meshregistry.aggregate import PartId, SourceStatus
    from meshregistry.errors import PilotFailed, RegistryError
    from meshregistry.loader import Plugins
    from meshregistry.model import (
        Catalog,
        CatalogEntry,
        Endpoint,
        Health,
        MergePolicy,
        Metric,
        ServiceKey,
    )
    from meshregistry.pilot._drained import Drained
    from meshregistry.pilot._rule_book import RuleStatus
    from meshregistry.pilot._serving import Serving
    from meshregistry.registries import Groups, MemoryRegistry
    from meshregistry.settings import Settings
    from meshregistry.spi import Clock, Registry

_log = logging.getLogger("meshregistry.pilot")
_SCRAPE_TIMEOUT = 5.0


class Pilot:
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
        self._merge_policy = settings.merge.policies()
        self._serves = serve
        self._clock = SystemClock() if clock is None else clock
        self._wall = wall
        self._random = Random() if random is None else random  # noqa: S311 - jitter is no secret
        self._wiring = Wiring(settings, dict(registries or {}))
        self._find_plugins: Callable[[], Plugins] = lambda: load_plugins(
            self._wiring.memories,
            merge_policy=self._said_policy,
            groups=self._wiring.book,
            plugins=plugins,
            entry_points=entry_points,
            environ=os.environ if environ is None else environ,
        )
        self._plugins: Plugins | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._supervisor: Supervisor | None = None
        self._publisher: Publisher | None = None
        self._rules: RuleSources | None = None
        self._serving: Serving | None = None
        self._snapshots: Snapshots | None = None
        self._tasks: set[asyncio.Task[None]] = set()
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
        if self._supervisor is not None or self._waiting.is_left:
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
        self._plugins = self._find_plugins()
        sources, feeds = self._wiring.wired(self._plugins)
        self._supervisor = Supervisor(
            sources,
            clock=self._clock,
            random=self._random,
            mesh_domain=self._settings.mesh.domain,
            base_path=self._settings.base_path,
            user_agent=self._wiring.user_agent,
            policy=self._policy,
            on_change=self._changed,
            on_condition=self._condition_changed,
            accepts=self._accepts,
            transforms=transforms(self._plugins, self._settings),
        )
        self._rules = RuleSources(
            self._settings,
            feeds,
            clock=self._clock,
            random=self._random,
            user_agent=self._wiring.user_agent,
            changed=self._rules_changed,
            decided=self._decided,
        )
        self._publisher = Publisher(
            clock=self._clock,
            debouncer=Debouncer(),
            merged=lambda: self._parts()[0].catalog,
            publish=self._publish,
        )
        if self._settings.snapshot is not None:
            self._snapshots = Snapshots(
                self._settings.snapshot,
                self._supervisor.archive,
                self._rules,
                clock=self._clock,
                wall=self._wall,
            )
            await self._snapshots.restore()
        if self._serves:
            from meshregistry.pilot._derivation import Derivation  # noqa: PLC0415 - an extra
            from meshregistry.pilot._registrations import (  # noqa: PLC0415 - an extra
                registrations,
            )
            from meshregistry.pilot._serving import Serving  # noqa: PLC0415 - an extra

            self._serving = Serving(
                self,
                self._settings.server,
                self._plugins,
                Derivation(self._plugins),
                domain=self._settings.mesh.domain,
                clock=self._clock,
                registrations=registrations(
                    self._settings,
                    registrar=self._supervisor.registrar,
                    groups=self._groups,
                    now=self._clock.now,
                ),
            )
            await self._serving.start()
        self._spawn(self._supervisor.run(), "supervisor")
        self._spawn(self._rules.run(), "rules")
        self._spawn(self._publisher.run(self._opened), "publisher")
        if self._snapshots is not None:
            self._spawn(self._snapshots.run(), "snapshots")

    def _groups(self) -> Groups:
        # Asked each time, since a reload brings other wiring.
        return self._wiring.groups()

    async def _opened(self) -> None:
        """The start gate: every source and every rule source."""
        if self._supervisor is not None and self._rules is not None:
            await self._supervisor.opened()
            await self._rules.synced()

    def _rules_changed(self) -> None:
        if self._publisher is not None:
            self._publisher.invalidate()

    def _decided(self, old: Decisions, new: Decisions) -> None:
        tell_decisions(_log, old, new)
        if self._supervisor is not None:
            self._supervisor.adjust(partial(decided, new), concerned(old, new))
            self._supervisor.review()

    def _accepts(self, part: PartId, age: float) -> bool:
        """Whether an operator has accepted what a part lost so many seconds ago."""
        lost_at = self._wall() - age
        return self.decisions.accepts(part.source, part.part, lost_at) is not None

    async def _end(self) -> None:
        if self._waiting.is_left:
            return
        self._waiting.is_left = self._is_draining = True
        try:
            if self._serving is not None:
                await self._serving.close(self._settings.server.drain_timeout)
        finally:
            if self._snapshots is not None:
                await self._snapshots.finish()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            if self._publisher is not None:
                self._publisher.announce()

    def _spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(coroutine, name=f"meshregistry-{name}")
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or self._waiting.is_left:
            return
        # Neither of the core's tasks ends by itself: this is a fault of ours.
        self.fail(task.exception() or RuntimeError(f"the task {task.get_name()} ended by itself"))

    def fail(self, error: BaseException) -> None:
        """Note a fault of the core: health turns bad and whoever waits is told."""
        if self._waiting.fail(error):
            _log.critical("the core has failed; restart the process", exc_info=error)
            if self._publisher is not None:
                self._publisher.announce()

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

    # --- Waiting and reading ------------------------------------------------------

    @property
    def catalog(self) -> Catalog:
        """The current, published catalog; frozen."""
        return self._parts()[1].catalog

    @property
    def merged(self) -> Catalog:
        """What the sources say at this moment, published or not."""
        return self._parts()[0].catalog

    async def synced(self, timeout: float | None = None) -> Catalog:
        """Wait until every required source has synced, and give the catalog.

        Raises:
            TimeoutError: names the sources that have not synced.
            PilotFailed: if the core has failed.
        """
        _, publisher = self._parts()
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
        supervisor, publisher = self._parts()
        async with self._waiting.within(timeout, "the publication"):
            self._waiting.check_running()
            await supervisor.drained()
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
        supervisor, _ = self._parts()
        await supervisor.drained()
        return await self._served().drain_wait(endpoint, self._waiting, self._news).run(timeout)

    def serving(self, endpoint: Endpoint) -> dict[str, Health]:
        """The services that lead to an endpoint, in the published catalog or in the next.

        With the health that it has there, published.
        """
        return dict([*served(self.merged, endpoint), *served(self.catalog, endpoint)])

    def changes(self, since: Catalog | None = None) -> CatalogChanges:
        """Follow the catalog: ``async for diff in pilot.changes(since=catalog)``.

        The iteration ends when the pilot is left.

        Args:
            since: what is known already; default: nothing.
        """
        return CatalogChanges(self._newer, since)

    async def _newer(self, seen: Catalog) -> Catalog | None:
        _, publisher = self._parts()
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
        return self._wiring.memory(source)

    def sources(self) -> tuple[SourceStatus, ...]:
        """Condition, age, counts and last error of each source."""
        return self._parts()[0].statuses()

    def source_order(self) -> tuple[SourceId, ...]:
        """The ids of all sources, in order of precedence."""
        return tuple(status.id for status in self.sources())

    def unsynced(self) -> tuple[str, ...]:
        """The sources and rule sources that have not synced yet, required or not."""
        rules = () if self._rules is None else self._rules.book.unsynced
        return (*(str(one.id) for one in self.sources() if not one.is_synced), *rules)

    @property
    def rules(self) -> RuleSet:
        """The routing configuration in force, from the rule sources of the settings."""
        return RuleSet() if self._rules is None else self._rules.book.rules

    @property
    def decisions(self) -> Decisions:
        """What operators have decided about the catalog, from the same rule sources."""
        return Decisions() if self._rules is None else self._rules.book.decisions

    def rule_sources(self) -> tuple[RuleStatus, ...]:
        """What each rule source has, and what is wrong with it."""
        return () if self._rules is None else self._rules.statuses()

    def _news(self) -> Awaitable[bool]:
        return self._parts()[1].news()

    def _parts(self) -> tuple[Supervisor, Publisher]:
        if self._supervisor is None or self._publisher is None:
            raise RuntimeError("the pilot is not running: use it inside 'async with'")
        return self._supervisor, self._publisher

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
        publisher = self._publisher
        if publisher is None or not publisher.has_published:
            waiting = () if self._supervisor is None else self.unsynced()
            reasons.extend(f"the source {source} has not synced" for source in waiting)
            reasons = reasons or ["nothing is published yet"]
        return tuple(reasons)

    def remarks(self) -> tuple[str, ...]:
        """What is not as it should be, and yet no reason to send no traffic here."""
        return tuple(remarks(self.sources(), self.rule_sources()))

    def health(self) -> tuple[str, ...]:
        """Reasons to restart the process; empty when healthy."""
        failed = self.failed
        return () if failed is None else (str(failed),)

    def resources_document(self, node_id: str, type_name: str | None = None) -> dict[str, Any]:
        """What a proxy with that node id would be sent, as ``/debug/resources`` shows it.

        Raises:
            ValueError: if the node id or the type is wrong.
            MissingExtraError: if the Envoy messages are not installed.
        """
        from meshregistry.pilot._derivation import (  # noqa: PLC0415 - an extra
            Derivation,
            resources_document,
        )

        derivation = Derivation(self._running_plugins())
        derivation.renew(self.merged, self._settings.mesh, self.source_order(), self.rules)
        derived = derivation.derive(derivation.key(self._proxy(node_id)))
        return resources_document(derived.resources, derived.faults, type_name)

    def explain(
        self, host: str, node_id: str | None = None, request: str | None = None
    ) -> dict[str, Any]:
        """Which sources and decisions led to what is known of a host, or ``host:port``.

        Args:
            host: of a service; with a request, any that the proxy routes.
            node_id: as this proxy sees it; needed with a request.
            request: such as ``GET /a -H 'x: y'``: the routing decision is walked, too.

        Raises:
            LookupError: if no source knows the host, or the proxy routes nothing there.
            ValueError: if the host, node id or request is malformed.
        """
        if request is not None:
            return self._explain_request(host, node_id, request)
        document = explain_document(self.merged, host, self.sources(), self._reasons)
        if node_id is not None:
            hosts = (str(entry.service.host) for entry in self.merged.find(host.partition(":")[0]))
            document["resources"] = about(self.resources_document(node_id), hosts)
        return document

    def diff(self, first: str, second: str) -> dict[str, Any]:
        """What two sources say differently, before the merge, as ``meshregistry diff`` shows it.

        Raises:
            LookupError: if there is no such source.
        """
        supervisor = self._parts()[0]
        known = [str(one) for one in self.source_order()]
        for name in (first, second):
            if name not in known:
                raise LookupError(f"there is no source {name!r}; there are: {', '.join(known)}")
        found = differences(*(supervisor.records(SourceId(one)) for one in (first, second)))
        return difference_document(first, second, found)

    def _reasons(self, entry: CatalogEntry) -> list[dict[str, Any]]:
        """What a service is merged by, before what came of it."""
        supervisor = self._parts()[0]
        policy = str(self._policy(entry.key))
        said = [{"what": "merge", "value": policy, "from": "the policy"}] if policy else []
        traces = (trace for source in entry.sources for trace in supervisor.traces(source))
        return [*said, *naming_steps(entry, traces)]

    def identity_document(self) -> dict[str, Any]:
        """Which records of several sources are one service, as ``--explain-identity`` shows it."""
        supervisor = self._parts()[0]
        return identity_document(
            trace for source in self.source_order() for trace in supervisor.traces(source)
        )

    def _explain_request(self, host: str, node_id: str | None, text: str) -> dict[str, Any]:
        from meshregistry.generate import HttpRequest  # noqa: PLC0415 - an extra
        from meshregistry.pilot._derivation import Derivation  # noqa: PLC0415 - an extra

        if node_id is None:
            raise ValueError("a request is routed by a proxy: name one with --proxy NODE_ID")
        name, _, number = host.partition(":")
        if number and not number.isdecimal():
            raise ValueError(f"{number!r} is not a port: write HOST:PORT")
        known = self.merged.find(name)
        port = int(number) if number else min(http_ports(known), default=None)
        request = HttpRequest(host=name, port=port, **request_words(text))
        derivation = Derivation(self._running_plugins())
        derivation.renew(self.merged, self._settings.mesh, self.source_order(), self.rules)
        document = (
            explain_document(self.merged, host, self.sources(), self._reasons)
            if known
            else {"services": []}
        )
        decision = derivation.decision(derivation.key(self._proxy(node_id)), request)
        return {**document, "decision": decision}

    def _proxy(self, node_id: str) -> Proxy:
        try:
            return self._running_plugins().identify(Node(id=node_id))
        except MeshRegistryError as error:
            raise ValueError(str(error)) from error

    def _running_plugins(self) -> Plugins:
        if self._plugins is None:
            raise RuntimeError("the pilot is not running: use it inside 'async with'")
        return self._plugins

    def statistics(self) -> tuple[Metric, ...]:
        """The current figures as plain values; `meshregistry.server` exports them."""
        own = source_metrics(self.sources(), self.catalog) + rule_metrics(self.rule_sources())
        own += decision_metrics(self.decisions)
        own += snapshot_metrics(0 if self._snapshots is None else self._snapshots.failures)
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
        supervisor, publisher = self._parts()
        self._waiting.check_running()
        wiring = self._wiring.renewed(settings)
        sources, feeds = wiring.wired(self._running_plugins())
        old, self._settings = self._settings, in_force(self._settings, settings)
        self._wiring = wiring
        self._merge_policy = settings.merge.policies()
        rules = self._rule_sources().reconfigure(feeds, settings.base_path)
        report = compare(old, settings, supervisor.reconfigure(sources), rules)
        if "merge" in report.applied:
            supervisor.merge_again()
        if old.identities() != settings.identities():
            supervisor.transform(transforms(self._running_plugins(), settings))
        if self._settings.mesh != old.mesh or "sources" in report.applied:
            # Equal sources, another world: the mesh or the order of precedence differs.
            publisher.invalidate()
        return report

    def _rule_sources(self) -> RuleSources:
        if self._rules is None:
            raise RuntimeError("the pilot is not running: use it inside 'async with'")
        return self._rules

    def _policy(self, key: ServiceKey) -> MergePolicy:
        return self._running_plugins().merge_policy(key)

    def _said_policy(self, key: ServiceKey) -> MergePolicy:
        """What the settings in force say, which a reload may change."""
        return self._merge_policy(key)

    def _changed(self, is_endpoints_only: bool) -> None:
        if self._publisher is not None:
            self._publisher.changed(is_endpoints_only)

    def _publish(self, catalog: Catalog) -> None:
        if self._serving is not None:
            mesh, order = self._settings.mesh, self.source_order()
            self._serving.publish(catalog, mesh, order, self.rules)
        _log.debug("generation %d: %d services", catalog.generation, len(catalog))

    def _condition_changed(
        self, source: SourceId, condition: Condition, error: RegistryError | None
    ) -> None:
        # Why a source is not SYNCED is logged where it is noticed, on change and then hourly.
        if condition is Condition.SYNCED:
            _log.info("source %s: synced", source)
        self._running_plugins().source_changed(source, condition, error)
