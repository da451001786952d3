"""From the settings' rule sources to what can be run, with everything that is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
from attrs import frozen

from meshregistry.documents import MappingNode, structure
from meshregistry.errors import ConfigError, PluginError, UnknownKindError
from meshregistry.pilot._origin import origin
from meshregistry.spi import RegistryContext, RuleSourceKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshregistry.loader import Plugins
    from meshregistry.settings import RuleSettings, Settings, SourceSettings
    from meshregistry.spi import RegistryKind


@frozen(kw_only=True, eq=False)
class RuleFeed:
    """A configured rule source.

    Attributes:
        id: as in the settings.
        kind: of rule source.
        config: its own options.
        registry_config: those of the source that it shares; None if its kind shares none.
        connect: makes the client that it shares the kind of; None: it has none.
        fingerprint: equal for feeds that would do the same.
        origin: names what it follows, without secrets, for snapshots.
    """

    id: str
    kind: RuleSourceKind
    config: Any
    registry_config: Any = None
    connect: Callable[[RegistryContext], AbstractAsyncContextManager[Any]] | None = None
    fingerprint: str = ""
    origin: str = ""


def rule_feeds(settings: Settings, plugins: Plugins) -> tuple[RuleFeed, ...]:
    """Structure the options of every rule source.

    Raises:
        ConfigError: for every fault, joined.
        PluginError: if a plugin that is used is broken or contested.
    """
    faults: list[ConfigError] = []
    found = [feed for one in settings.rules if (feed := _feed(one, settings, plugins, faults))]
    if faults:
        raise ConfigError.joined(faults)
    return tuple(found)


def feed_faults(settings: Settings, plugins: Plugins) -> Iterator[ConfigError]:
    """What is wrong with the rule sources of settings, and with what they point to here."""
    for one in settings.rules:
        faults: list[ConfigError] = []
        try:
            feed = _feed(one, settings, plugins, faults)
        except PluginError as error:
            remedy = "see all of it with: meshregistry plugins --traceback"
            faults.append(one.kind_place.fault(str(error), remedy))
            feed = None
        yield from faults
        if feed is not None and feed.kind.check is not None:
            yield from feed.kind.check(feed.config, settings.base_path)


def _feed(
    one: RuleSettings, settings: Settings, plugins: Plugins, faults: list[ConfigError]
) -> RuleFeed | None:
    before = len(faults)
    registry_config: Any = None
    registry: RegistryKind | None = None
    try:
        kind = plugins.rule_kind(one.kind, place=one.kind_place)
        own = {field.alias or field.name for field in attrs.fields(kind.config_class)}
        options = one.options
        if kind.registry:
            registry = plugins.kind(kind.registry, place=one.kind_place)
            shared = one.options.without(own)
            if one.source is not None:
                shared = _source(one, settings, kind, faults).options
            else:
                options = one.options.only(own)
            registry_config = structure(shared, registry.config_class, base_path=settings.base_path)
        elif one.source is not None:
            remedy = "take source: out and write the options of the kind"
            faults.append(one.place.fault(f"the kind {kind.name} uses no source", remedy))
        config = structure(options, kind.config_class, base_path=settings.base_path)
    except (UnknownKindError, ConfigError) as error:
        faults.extend(error.faults)
        return None
    if one.writable and kind.writer is None:
        place = one.place.get("writable") if isinstance(one.place, MappingNode) else None
        remedy = "take it out, or name another rule source"
        faults.append(
            (place or one.place).fault(f"the kind {kind.name} cannot be written to", remedy)
        )
    if len(faults) > before:
        return None
    connect = None if registry is None else registry.connect
    shares = next((other for other in settings.sources if other.id == one.source), None)
    return RuleFeed(
        id=one.id,
        kind=kind,
        config=config,
        registry_config=registry_config,
        connect=None if connect is None else partial(connect, registry_config),
        # Relative paths mean something else in another folder, and so do a source's options.
        fingerprint=f"{one.fingerprint} {shares and shares.fingerprint} {settings.base_path}",
        origin=origin(kind.name, settings.base_path, config, registry_config),
    )


def _source(
    one: RuleSettings, settings: Settings, kind: RuleSourceKind, faults: list[ConfigError]
) -> SourceSettings:
    """The source whose configuration is shared; that it exists, the settings have seen to."""
    source = next(source for source in settings.sources if source.id == one.source)
    if source.kind != kind.registry:
        faults.append(
            one.place.fault(
                f"the source {source.id} is of the kind {source.kind}, and not {kind.registry}",
                f"name a source of the kind {kind.registry}, or take source: out",
            )
        )
    return source
