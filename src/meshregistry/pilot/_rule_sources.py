"""Runs the rule sources of the settings and tells the pilot what they say."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING

from attrs import evolve

from meshregistry.aggregate import Backoff, SourceLogger
from meshregistry.documents import structure
from meshregistry.model import SourceId
from meshregistry.pilot._rule_book import RuleBook
from meshregistry.pilot._rule_feeds import feed_faults
from meshregistry.pilot._rule_runner import RuleRunner, RuleSourceContext
from meshregistry.registries import FileConfig, rule_documents
from meshregistry.rules import RULE_KINDS, Reading, read_rules
from meshregistry.spi import RuleName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from random import Random

    from meshregistry.documents import RuleListing
    from meshregistry.errors import ConfigError
    from meshregistry.loader import Plugins
    from meshregistry.pilot._rule_book import RuleStatus
    from meshregistry.pilot._rule_feeds import RuleFeed
    from meshregistry.settings import Settings
    from meshregistry.spi import Clock

_log = logging.getLogger("meshregistry.pilot")
_PATIENCE = 5.0

FILE = "file"
"""The kind of rule source whose documents can be read without a backend."""


class RuleSources:
    """The rule sources of one pilot.

    Args:
        settings: whose `rules` they are.
        feeds: the same, structured.
        clock, random: for the sources.
        user_agent: for the sources.
        changed: is called on the loop when other rules are in force.
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
    ) -> None:
        self._changed = changed
        self.book = RuleBook((one.id for one in feeds), settings.mesh.domain)
        self._synced = asyncio.Event()
        self._told: dict[str, frozenset[str]] = {}
        self._contexts: list[RuleSourceContext] = []
        self._runners: dict[str, RuleRunner] = {}
        names = tuple(RuleName(one.group, one.kind, one.versions) for one in RULE_KINDS)
        for feed in feeds:
            context = RuleSourceContext(
                source_id=SourceId(feed.id),
                logger=SourceLogger(_log, SourceId(feed.id)),
                clock=clock,
                random=random,
                mesh_domain=settings.mesh.domain,
                base_path=settings.base_path,
                user_agent=user_agent,
                declare=_nothing,
                rule_names=names,
                registry_config=feed.registry_config,
            )
            self._contexts.append(context)
            publish = partial(self._publish, feed.id)
            self._runners[feed.id] = RuleRunner(
                feed, context, backoff=Backoff(random), publish=publish
            )
        if not feeds:
            self._synced.set()

    async def synced(self) -> None:
        """Wait until every rule source has listed its documents."""
        await self._synced.wait()

    def statuses(self) -> tuple[RuleStatus, ...]:
        """Every rule source as it is now, in order."""
        return tuple(
            evolve(
                one,
                kind=self._runners[one.id].kind,
                condition=self._runners[one.id].condition,
                error=self._runners[one.id].error,
            )
            for one in self.book.statuses()
        )

    async def run(self) -> None:
        """Follow all until cancelled; then wait a while for what is in threads."""
        try:
            async with asyncio.TaskGroup() as group:
                for name, runner in self._runners.items():
                    group.create_task(runner.run(), name=f"meshregistry-rules-{name}")
        finally:
            running = [one for context in self._contexts for one in context.running]
            if running:
                await asyncio.wait(running, timeout=_PATIENCE)

    def _publish(self, name: str, listing: RuleListing) -> None:
        is_news = self.book.replace(
            name, listing.documents, listing.faults, is_whole=listing.is_whole
        )
        status = next(one for one in self.book.statuses() if one.id == name)
        self._tell(name, [error.message for error in (*status.errors, *status.warnings)])
        if not self.book.unsynced:
            self._synced.set()
        if is_news:
            self._changed()

    def _tell(self, name: str, complaints: Iterable[str]) -> None:
        """Log what was not wrong before."""
        now = frozenset(complaints)
        for text in sorted(now - self._told.get(name, frozenset())):
            _log.warning("rules %s: %s", name, text)
        self._told[name] = now


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
