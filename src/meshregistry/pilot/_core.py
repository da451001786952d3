"""Sources in, worlds out: what runs between entering and leaving a pilot."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from meshregistry.aggregate import Debouncer, Supervisor
from meshregistry.pilot._decisions import tell_decisions
from meshregistry.pilot._identity import transforms
from meshregistry.pilot._publisher import Publisher
from meshregistry.pilot._reload import ReloadReport, compare, in_force
from meshregistry.pilot._rule_sources import RuleSources
from meshregistry.pilot._snapshots import Snapshots
from meshregistry.rules import Decisions, concerned, decided
from meshregistry.spi import Condition

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from random import Random

    from meshregistry.aggregate import PartId
    from meshregistry.errors import RegistryError
    from meshregistry.loader import Plugins
    from meshregistry.model import Catalog, MergePolicy, ServiceKey, SourceId
    from meshregistry.pilot._wiring import Wiring
    from meshregistry.registries import Groups
    from meshregistry.settings import Settings
    from meshregistry.spi import Clock

_log = logging.getLogger("meshregistry.pilot")


class Core:
    """Follows the sources and rule sources, and publishes what is merged of them.

    Args:
        wiring: what the sources are made of.
        load: finds the plugins, given as ``merge_policy`` what the settings say of merging.
        publish: makes a catalog current for whoever is served.
        failed: told of a fault of ours, which ends a task that should go on for ever.
        clock: tells the time.
        wall: gives the time of day, in seconds since the epoch.
        random: for jitter.

    Attributes:
        settings: that are in force.
        wiring: of these settings.
        plugins: that were found.
        supervisor: of the sources.
        rules: the rule sources.
        publisher: decides when a world becomes current.
        snapshots: of what the sources say, if the settings want them.

    Raises:
        ConfigError: if the settings are wrong.
        PluginError: if a plugin that they use is broken.
    """

    def __init__(
        self,
        settings: Settings,
        wiring: Wiring,
        load: Callable[..., Plugins],
        *,
        publish: Callable[[Catalog], None],
        failed: Callable[[BaseException], None],
        clock: Clock,
        wall: Callable[[], float],
        random: Random,
    ) -> None:
        self.settings = settings
        self.wiring = wiring
        self._wall = wall
        self._failed = failed
        self._tasks: set[asyncio.Task[None]] = set()
        self._merge_policy = settings.merge.policies()
        self.plugins = load(merge_policy=self._said_policy)
        sources, feeds = wiring.wired(self.plugins)
        self.supervisor = Supervisor(
            sources,
            clock=clock,
            random=random,
            mesh_domain=settings.mesh.domain,
            base_path=settings.base_path,
            user_agent=wiring.user_agent,
            policy=self.policy,
            on_change=self._changed,
            on_condition=self._condition_changed,
            accepts=self._accepts,
            transforms=transforms(self.plugins, settings),
        )
        self.rules = RuleSources(
            settings,
            feeds,
            clock=clock,
            random=random,
            user_agent=wiring.user_agent,
            changed=self._rules_changed,
            decided=self._decided,
        )
        self.publisher = Publisher(
            clock=clock,
            debouncer=Debouncer(),
            merged=lambda: self.supervisor.catalog,
            publish=publish,
        )
        self.snapshots: Snapshots | None = None
        if settings.snapshot is not None:
            self.snapshots = Snapshots(
                settings.snapshot, self.supervisor.archive, self.rules, clock=clock, wall=wall
            )

    # --- Life ---------------------------------------------------------------------

    async def restore(self) -> None:
        """Bring back what the sources last said, if there is a snapshot."""
        if self.snapshots is not None:
            await self.snapshots.restore()

    def start(self) -> None:
        """Follow and publish from now on."""
        self._spawn(self.supervisor.run(), "supervisor")
        self._spawn(self.rules.run(), "rules")
        self._spawn(self.publisher.run(self._opened), "publisher")
        if self.snapshots is not None:
            self._spawn(self.snapshots.run(), "snapshots")

    async def stop(self) -> None:
        """End all of it, and tell whoever waits."""
        if self.snapshots is not None:
            await self.snapshots.finish()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.publisher.announce()

    def _spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(coroutine, name=f"meshregistry-{name}")
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        # None of the core's tasks ends by itself: this is a fault of ours.
        if not task.cancelled():
            self._failed(
                task.exception() or RuntimeError(f"the task {task.get_name()} ended by itself")
            )

    async def _opened(self) -> None:
        """The start gate: every source and every rule source."""
        await self.supervisor.opened()
        await self.rules.synced()

    # --- Questions ----------------------------------------------------------------

    def source_order(self) -> tuple[SourceId, ...]:
        """The ids of all sources, in order of precedence."""
        return tuple(status.id for status in self.supervisor.statuses())

    def groups(self) -> Groups:
        """What the file sources say of workload groups; asked anew, since a reload may change it."""
        return self.wiring.groups()

    def policy(self, key: ServiceKey) -> MergePolicy:
        """How a service is merged."""
        return self.plugins.merge_policy(key)

    def _said_policy(self, key: ServiceKey) -> MergePolicy:
        """What the settings in force say, which a reload may change."""
        return self._merge_policy(key)

    def _accepts(self, part: PartId, age: float) -> bool:
        """Whether an operator has accepted what a part lost so many seconds ago."""
        lost_at = self._wall() - age
        return self.rules.book.decisions.accepts(part.source, part.part, lost_at) is not None

    # --- Change -------------------------------------------------------------------

    def reload(self, settings: Settings) -> ReloadReport:
        """Apply other settings; see `Pilot.reload`."""
        wiring = self.wiring.renewed(settings)
        sources, feeds = wiring.wired(self.plugins)
        old, self.settings = self.settings, in_force(self.settings, settings)
        self.wiring = wiring
        self._merge_policy = settings.merge.policies()
        rules = self.rules.reconfigure(feeds, settings.base_path)
        report = compare(old, settings, self.supervisor.reconfigure(sources), rules)
        if "merge" in report.applied:
            self.supervisor.merge_again()
        if old.identities() != settings.identities():
            self.supervisor.transform(transforms(self.plugins, settings))
        if self.settings.mesh != old.mesh or "sources" in report.applied:
            # Equal sources, another world: the mesh or the order of precedence differs.
            self.publisher.invalidate()
        return report

    def _changed(self, is_endpoints_only: bool) -> None:
        self.publisher.changed(is_endpoints_only)

    def _rules_changed(self) -> None:
        self.publisher.invalidate()

    def _decided(self, old: Decisions, new: Decisions) -> None:
        tell_decisions(_log, old, new)
        self.supervisor.adjust(partial(decided, new), concerned(old, new))
        self.supervisor.review()

    def _condition_changed(
        self, source: SourceId, condition: Condition, error: RegistryError | None
    ) -> None:
        # Why a source is not SYNCED is logged where it is noticed, on change and then hourly.
        if condition is Condition.SYNCED:
            _log.info("source %s: synced", source)
        self.plugins.source_changed(source, condition, error)
