"""Runs the rule sources of the settings and tells the pilot what they say."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from meshregistry.aggregate import Alarm, Backoff, Kept, SourceLogger, StartGate
from meshregistry.documents import structure
from meshregistry.model import SourceId
from meshregistry.pilot._rule_book import RuleBook
from meshregistry.pilot._rule_feeds import RuleFeed, feed_faults
from meshregistry.pilot._rule_runner import RuleRunner, RuleSourceContext
from meshregistry.registries import FileConfig, rule_documents
from meshregistry.rules import RULE_KINDS, Reading, read_rules
from meshregistry.spi import Condition, RuleName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path
    from random import Random

    from meshregistry.documents import RuleDocument, RuleListing
    from meshregistry.errors import ConfigError
    from meshregistry.loader import Plugins
    from meshregistry.pilot._rule_book import RuleStatus
    from meshregistry.rules import Decisions
    from meshregistry.settings import Settings
    from meshregistry.spi import Clock

_log = logging.getLogger("meshregistry.pilot")
_PATIENCE = 5.0

FILE = "file"
"""The kind of rule source whose documents can be read without a backend."""


@frozen(kw_only=True)
class RulesReconfigured:
    """What `RuleSources.reconfigure` did, by id, in order of the settings."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()


@frozen(eq=False)
class _Followed:
    """One rule source that is followed."""

    feed: RuleFeed
    context: RuleSourceContext
    runner: RuleRunner


class RuleSources:
    """The rule sources of one pilot.

    Args:
        settings: whose `rules` they are.
        feeds: the same, structured.
        clock, random: for the sources.
        user_agent: for the sources.
        changed: is called on the loop when other rules are in force.
        decided: is called on the loop with the former decisions and those in force now.
    """

    def __init__(
        self,
        settings: Settings,
        feeds: Sequence[RuleFeed],
        *,
        clock: Clock,
        random: Random,
        user_agent: str,
        changed: Callable[[], None],
        decided: Callable[[Decisions, Decisions], None],
    ) -> None:
        self._changed = changed
        self._decided = decided
        self._domain = settings.mesh.domain
        self._clock, self._random, self._user_agent = clock, random, user_agent
        self.book = RuleBook((one.id for one in feeds), settings.mesh.domain)
        self._synced = asyncio.Event()
        self._gate: StartGate[str] = StartGate()
        self._alarm = Alarm(clock, self._check_gate)
        self._restored: set[str] = set()
        self._foreign: set[str] = set()
        self._patience = settings.sync_timeout
        self._told: dict[str, frozenset[str]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._contexts: list[RuleSourceContext] = []
        self._followed = {one.id: self._follower(one, settings.base_path) for one in feeds}

    def _follower(self, feed: RuleFeed, base_path: Path) -> _Followed:
        context = RuleSourceContext(
            source_id=SourceId(feed.id),
            logger=SourceLogger(_log, SourceId(feed.id)),
            clock=self._clock,
            random=self._random,
            mesh_domain=self._domain,
            base_path=base_path,
            user_agent=self._user_agent,
            declare=_nothing,
            rule_names=tuple(RuleName(one.group, one.kind, one.versions) for one in RULE_KINDS),
            registry_config=feed.registry_config,
        )
        self._contexts.append(context)
        publish = partial(self._publish, feed)
        runner = RuleRunner(feed, context, backoff=Backoff(self._random), publish=publish)
        return _Followed(feed, context, runner)

    def reconfigure(self, feeds: Sequence[RuleFeed], base_path: Path) -> RulesReconfigured:
        """Follow other rule sources from now on; matched by id.

        A changed one keeps its rules until its first new listing, and only a removed one
        loses them.
        """
        old = self._followed
        same = {one.id for one in feeds if one.id in old and _is_same(old[one.id].feed, one)}
        done = RulesReconfigured(
            added=tuple(one.id for one in feeds if one.id not in old),
            changed=tuple(one.id for one in feeds if one.id in old and one.id not in same),
            removed=tuple(sorted(old.keys() - {one.id for one in feeds})),
            unchanged=tuple(one.id for one in feeds if one.id in same),
        )
        for name in (*done.changed, *done.removed):
            if task := self._tasks.pop(name, None):
                task.cancel()
        for name in done.removed:
            self._told.pop(name, None)
        # Whoever is gone and has nothing left in threads needs not be waited for at the end.
        kept = {id(old[name].context) for name in done.unchanged}
        self._contexts = [one for one in self._contexts if id(one) in kept or one.running]
        self._followed = {
            one.id: old[one.id] if one.id in same else self._follower(one, base_path)
            for one in feeds
        }
        for name in done.changed:
            runner, left = self._followed[name].runner, old[name].runner.left
            runner.condition = Condition.STALE
            runner.know(self.book.good(name))
            runner.left = self._clock.now() if left is None else left
            if self._followed[name].feed.origin != old[name].feed.origin:
                self._foreign.add(name)
        self._foreign &= self._followed.keys()
        before = self.book.decisions
        is_news = self.book.reconfigure(self._followed)
        for name in (*done.added, *done.changed):
            self._start(name)
        self._announce(before, is_news=is_news)
        return done

    # --- Snapshots ------------------------------------------------------------------

    @property
    def feeds(self) -> tuple[RuleFeed, ...]:
        """The rule sources, in order."""
        return tuple(one.feed for one in self._followed.values())

    def restore(self, name: str, kept: Kept[RuleDocument]) -> None:
        """Take what was kept of a source, before they run; it is STALE until it lists."""
        before = self.book.decisions
        self._restored.add(name)
        self._followed[name].runner.restore(kept.items, kept.current)
        self._announce(before, is_news=self.book.restore(name, kept.items))

    def kept(self, name: str) -> Kept[RuleDocument] | None:
        """The last good documents of a source; None if it has never listed any.

        Nor since a reload by which it follows something else.
        """
        if name in self.book.unsynced and name not in self._restored:
            return None
        if name in self._foreign:
            return None
        left = self._followed[name].runner.left
        return Kept(self.book.good(name), self._clock.now() if left is None else left)

    # --- How ------------------------------------------------------------------------

    def _start(self, name: str) -> None:
        if self._group is not None:
            if name in self.book.unsynced:
                self._gate.expect(
                    name,
                    self._clock.now(),
                    is_required=name not in self._restored,
                    sync_timeout=self._patience,
                )
            run = self._followed[name].runner.run()
            self._tasks[name] = self._group.create_task(run, name=f"meshregistry-rules-{name}")

    async def synced(self) -> None:
        """Wait until every rule source has listed its documents."""
        await self._synced.wait()

    def statuses(self) -> tuple[RuleStatus, ...]:
        """Every rule source as it is now, in order."""
        return tuple(
            evolve(
                one,
                kind=runner.kind,
                condition=runner.condition,
                error=runner.error,
                is_restored=one.id in self._restored,
            )
            for one in self.book.statuses()
            for runner in (self._followed[one.id].runner,)
        )

    async def run(self) -> None:
        """Follow all until cancelled; then wait a while for what is in threads."""
        try:
            async with asyncio.TaskGroup() as self._group:
                for name in self._followed:
                    self._start(name)
                self._check_gate(self._clock.now())
                # There may be none now, and some after a reload.
                await asyncio.get_running_loop().create_future()
        finally:
            await self._alarm.close()
            running = [one for context in self._contexts for one in context.running]
            if running:
                await asyncio.wait(running, timeout=_PATIENCE)

    def _publish(self, feed: RuleFeed, listing: RuleListing) -> None:
        name = feed.id
        if name not in self._followed or self._followed[name].feed is not feed:
            return  # the last words of one that has been replaced
        before = self.book.decisions
        self._foreign.discard(name)
        is_news = self.book.replace(
            name, listing.documents, listing.faults, is_whole=listing.is_whole
        )
        status = next(one for one in self.book.statuses() if one.id == name)
        self._tell(name, [error.message for error in (*status.errors, *status.warnings)])
        self._announce(before, is_news=is_news)

    def _announce(self, before: Decisions, *, is_news: bool) -> None:
        # Decisions first: the world that is published at the gate is to contain them.
        if self.book.decisions is not before:
            self._decided(before, self.book.decisions)
        self._restored &= {*self.book.unsynced}
        if self._group is not None:
            self._check_gate(self._clock.now())
        if is_news:
            self._changed()

    def _check_gate(self, now: float) -> None:
        """Every source has to list its documents; one with a snapshot may be late."""
        unsynced = self.book.unsynced
        for name in self._gate.holders(now):
            if name not in unsynced:
                self._gate.synced(name)
        if self._gate.check(now):
            self._synced.set()
        self._alarm.set(self._gate.next_deadline())

    def _tell(self, name: str, complaints: Iterable[str]) -> None:
        """Log what was not wrong before."""
        now = frozenset(complaints)
        for text in sorted(now - self._told.get(name, frozenset())):
            _log.warning("rules %s: %s", name, text)
        self._told[name] = now


def _is_same(one: RuleFeed, other: RuleFeed) -> bool:
    return one.fingerprint == other.fingerprint and one.kind is other.kind


def _nothing(_parts: tuple[str, ...]) -> None:
    """A rule source has no parts."""


def rule_readings(settings: Settings) -> Iterator[Reading]:
    """What becomes of every document of the rule sources that are files on this machine.

    Raises:
        ConfigError: if such a source is configured wrongly.
    """
    for one in settings.rules:
        if one.kind == FILE:
            config = structure(one.options, FileConfig, base_path=settings.base_path)
            listing = rule_documents(settings.base_path / config.path)
            yield Reading(errors=listing.faults)
            for document in listing.documents:
                yield read_rules(document, settings.mesh.domain)


def rule_faults(settings: Settings, plugins: Plugins) -> Iterator[ConfigError]:
    """Everything that is wrong with the rule sources of settings, and with their files."""
    faults = list(feed_faults(settings, plugins))
    yield from faults
    if not faults:
        for reading in rule_readings(settings):
            yield from reading.errors
