"""From settings and plugins to sources that the core can run; and what `check` says of them."""

from __future__ import annotations

import os
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from meshregistry.aggregate import GuardPolicy, Source
from meshregistry.defaults import builtin_plugins
from meshregistry.documents import structure
from meshregistry.errors import ConfigError, PluginError, UnknownKindError
from meshregistry.loader import Plugins
from meshregistry.model import SourceId
from meshregistry.pilot._origin import origin
from meshregistry.pilot._registration_check import registration_faults
from meshregistry.pilot._rule_feeds import RuleFeed, rule_feeds
from meshregistry.pilot._rule_sources import rule_faults
from meshregistry.registries import GroupBook, Memories
from meshregistry.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from meshregistry.model import MergePolicy, ServiceKey
    from meshregistry.registries import Groups, MemoryRegistry
    from meshregistry.settings import GuardSettings, SourceSettings
    from meshregistry.spi import Registry, RegistryKind

MEMORY = "memory"


def load_plugins(
    memories: Memories | None = None,
    *,
    groups: GroupBook | None = None,
    merge_policy: Callable[[ServiceKey], MergePolicy] | None = None,
    plugins: Sequence[object] = (),
    entry_points: bool = True,
    environ: Mapping[str, str],
) -> Plugins:
    """Our own plugins, those of the caller, and the installed ones.

    Raises:
        PluginLoadError: if one of the caller's is broken.
    """
    return Plugins.load(
        builtins=builtin_plugins(memories=memories, groups=groups, merge_policy=merge_policy),
        plugins=plugins,
        entry_points=entry_points,
        environ=environ,
    )


class Wiring:
    """What the settings' sources are made of.

    Args:
        settings: of the pilot.
        registries: objects of the caller's own, by source id; they come after the
            settings' sources.
        memories: the memory registries, which outlive a reload.
        book: what file sources say of workload groups; likewise.
    """

    def __init__(
        self,
        settings: Settings,
        registries: Mapping[str, Registry],
        memories: Memories | None = None,
        book: GroupBook | None = None,
    ) -> None:
        self._settings = settings
        self._registries = registries
        self.memories = memories or Memories()
        self.book = book or GroupBook()

    @property
    def user_agent(self) -> str:
        """What adapters send to their backends."""
        return f"meshregistry/{version('meshregistry')}"

    def renewed(self, settings: Settings) -> Wiring:
        """The same for other settings."""
        return Wiring(settings, self._registries, self.memories, self.book)

    def groups(self) -> Groups:
        """What the file sources of the settings say of workload groups."""
        return self.book.groups({one.id: one.namespace for one in self._settings.sources})

    def memory(self, source: str) -> MemoryRegistry:
        """The registry object of a source of kind ``memory``.

        Raises:
            KeyError: if there is no such source.
        """
        known = [one.id for one in self._settings.sources if one.kind == MEMORY]
        if source not in known:
            names = ", ".join(known) or "none"
            msg = f"there is no source {source!r} of kind memory; there is: {names}"
            raise KeyError(msg)
        return self.memories.get(source)

    def wired(self, plugins: Plugins) -> tuple[tuple[Source, ...], tuple[RuleFeed, ...]]:
        """Structure the options of every source and of every rule source.

        Raises:
            ConfigError: for every fault of all of them, joined.
            PluginError: if a plugin that is used is broken or contested.
        """
        faults: list[ConfigError] = []
        sources: tuple[Source, ...] = ()
        feeds: tuple[RuleFeed, ...] = ()
        try:
            sources = self.sources(plugins)
        except ConfigError as error:
            faults.extend(error.faults)
        try:
            feeds = rule_feeds(self._settings, plugins)
        except ConfigError as error:
            faults.extend(error.faults)
        if faults:
            raise ConfigError.joined(faults)
        return sources, feeds

    def sources(self, plugins: Plugins) -> tuple[Source, ...]:
        """Structure every source's options for its kind.

        Raises:
            ConfigError: for every fault of every source, joined.
            PluginError: if a plugin that is used is broken or contested.
        """
        faults: list[ConfigError] = []
        made = [
            source
            for settings in self._settings.sources
            if (source := self._source(settings, plugins, faults)) is not None
        ]
        taken = {settings.id for settings in self._settings.sources}
        for name, registry in self._registries.items():
            if name in taken:
                fault = f"the settings have a source {name!r} already; give the object another id"
                faults.append(ConfigError(fault, file="<arguments>", field=f"registries.{name}"))
            else:
                # The caller's one object serves every attempt.
                open_it = partial(_the_same, registry)
                made.append(Source(id=SourceId(name), kind="object", open=open_it))
        faults += _strangers(self._settings, self._registries)
        if faults:
            raise ConfigError.joined(faults)
        return tuple(made)

    def _source(
        self, settings: SourceSettings, plugins: Plugins, faults: list[ConfigError]
    ) -> Source | None:
        structured = _structured(settings, plugins, self._settings.base_path, faults)
        if structured is None:
            return None
        kind, config = structured
        faults.extend(registration_faults(self._settings, settings, kind, config))
        connect, registrar = kind.connect, kind.registrar
        own, general = settings.sync_timeout, self._settings.sync_timeout
        return Source(
            id=SourceId(settings.id),
            kind=kind.name,
            open=partial(kind.open, config),
            connect=None if connect is None else partial(connect, config),
            registrar=None if registrar is None else partial(registrar, config),
            required=settings.required,
            namespace=settings.namespace,
            network=settings.network,
            cluster=settings.cluster,
            stale_after=settings.stale_after,
            sync_timeout=general if own is None else own,
            is_shadow=settings.shadow,
            guard=_guard(settings.guard, kind),
            # What is in memory belongs to the program, which sets it anew.
            origin=""
            if kind.name == MEMORY
            else origin(kind.name, self._settings.base_path, config),
            # Relative paths mean something else in another folder.
            fingerprint=f"{settings.fingerprint} {self._settings.base_path}",
        )


def _structured(
    settings: SourceSettings, plugins: Plugins, base_path: Path, faults: list[ConfigError]
) -> tuple[RegistryKind, Any] | None:
    try:
        kind = plugins.kind(settings.kind, place=settings.kind_place)
        config = structure(settings.options, kind.config_class, base_path=base_path)
    except (UnknownKindError, ConfigError) as error:
        faults.extend(error.faults)
        return None
    return kind, config


def _strangers(settings: Settings, others: Iterable[str] = ()) -> Iterator[ConfigError]:
    """One fault for each place that names a source which is not there."""
    known = [*(one.id for one in settings.sources), *others]
    yield from (one.fault(known) for one in settings.mentions if one.source not in known)


def _guard(settings: GuardSettings | None, kind: RegistryKind) -> GuardPolicy | None:
    """The source's own guard, else that of its kind."""
    if settings is None:
        return GuardPolicy() if kind.is_guarded else None
    if not settings.enabled:
        return None
    return GuardPolicy(
        window=settings.window,
        share=settings.share,
        at_least=settings.at_least,
        confirm_after=settings.confirm_after,
    )


def _the_same(registry: Registry, _context: object) -> Registry:
    return registry


def check_settings(path: Path, plugins: Plugins | None = None) -> Iterator[ConfigError]:
    """Every fault of a settings file and of what it points to on this machine."""
    try:
        settings = Settings.load(path)
    except ConfigError as error:
        yield from error.faults
        return
    found = load_plugins(environ=os.environ) if plugins is None else plugins
    for source in settings.sources:
        faults: list[ConfigError] = []
        try:
            structured = _structured(source, found, settings.base_path, faults)
        except PluginError as error:
            remedy = "see all of it with: meshregistry plugins --traceback"
            faults.append(source.kind_place.fault(str(error), remedy))
            structured = None
        yield from faults
        if structured is not None:
            kind, config = structured
            yield from registration_faults(settings, source, kind, config)
            if kind.check is not None:
                yield from kind.check(config, settings.base_path)
    yield from _strangers(settings)
    yield from rule_faults(settings, found)
