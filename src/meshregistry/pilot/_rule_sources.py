"""Runs the rule sources of the settings and tells the pilot what they say."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING

from meshregistry.aggregate import SourceContext, SourceLogger
from meshregistry.documents import structure, suggestion
from meshregistry.errors import ConfigError
from meshregistry.model import SourceId
from meshregistry.pilot._rule_book import RuleBook
from meshregistry.registries import FileConfig, RuleFiles, rule_documents
from meshregistry.rules import Reading, read_rules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from random import Random

    from meshregistry.registries import Round, RuleListing
    from meshregistry.settings import Settings
    from meshregistry.spi import Clock

_log = logging.getLogger("meshregistry.pilot")
_FILE = "file"
_PATIENCE = 5.0


class RuleSources:
    """The rule sources of one pilot.

    Args:
        settings: whose `rules` they are.
        clock, random: for the sources.
        user_agent: for the sources.
        changed: is called on the loop when other rules are in force.

    Raises:
        ConfigError: if the settings of a rule source are wrong.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        random: Random,
        user_agent: str,
        changed: Callable[[], None],
    ) -> None:
        self._changed = changed
        self.book = RuleBook((one.id for one in settings.rules), settings.mesh.domain)
        self._synced = asyncio.Event()
        self._told: dict[str, frozenset[str]] = {}
        self._sources: list[tuple[str, RuleFiles, SourceContext]] = []
        configs = file_configs(settings)
        for one in settings.rules:
            context = SourceContext(
                source_id=SourceId(one.id),
                logger=SourceLogger(_log, SourceId(one.id)),
                clock=clock,
                random=random,
                mesh_domain=settings.mesh.domain,
                base_path=settings.base_path,
                user_agent=user_agent,
                declare=_nothing,
            )
            self._sources.append((one.id, RuleFiles(configs[one.id], context), context))
        if not self._sources:
            self._synced.set()

    async def synced(self) -> None:
        """Wait until every rule source has listed its documents."""
        await self._synced.wait()

    async def run(self) -> None:
        """Follow all until cancelled; then wait a while for what is in threads."""
        try:
            async with asyncio.TaskGroup() as group:
                for name, files, _ in self._sources:
                    group.create_task(
                        files.run(partial(self._publish, name)), name=f"meshregistry-rules-{name}"
                    )
        finally:
            running = [one for _, _, context in self._sources for one in context.running]
            if running:
                await asyncio.wait(running, timeout=_PATIENCE)

    def _publish(self, name: str, done: Round[RuleListing]) -> None:
        if done.missing is not None:
            self._tell(name, [f"{done.missing}; make it, or correct path:"])
            return
        if done.listing is None:
            return
        listing = done.listing
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


def file_configs(settings: Settings) -> dict[str, FileConfig]:
    """The configuration of each rule source, by id.

    Raises:
        ConfigError: for every fault, joined.
    """
    found: dict[str, FileConfig] = {}
    faults: list[ConfigError] = []
    for one in settings.rules:
        if one.kind != _FILE:
            faults.append(
                one.kind_place.fault(
                    f"there is no kind {one.kind} of rule source", suggestion(one.kind, [_FILE])
                )
            )
            continue
        if one.source is not None:
            faults.append(
                one.place.fault("files use no source", "take source: out and write path:")
            )
        try:
            found[one.id] = structure(one.options, FileConfig, base_path=settings.base_path)
        except ConfigError as error:
            faults.extend(error.faults)
    if faults:
        raise ConfigError.joined(faults)
    return found


def rule_readings(settings: Settings) -> Iterator[Reading]:
    """What becomes of every document of the rule sources, on this machine and now.

    Raises:
        ConfigError: if a rule source is configured wrongly.
    """
    for config in file_configs(settings).values():
        listing = rule_documents(settings.base_path / config.path)
        yield Reading(errors=listing.faults)
        for document in listing.documents:
            yield read_rules(document, settings.mesh.domain)


def rule_faults(settings: Settings) -> Iterator[ConfigError]:
    """Everything that is wrong with the rule sources of settings and with their documents."""
    try:
        for reading in rule_readings(settings):
            yield from reading.errors
    except ConfigError as error:
        yield from error.faults
