"""Writing operators' decisions into a rule source, where every replica reads them."""

from __future__ import annotations

import contextlib
import logging
import os
from random import Random
from typing import TYPE_CHECKING

from meshregistry.aggregate import SourceLogger, SystemClock
from meshregistry.documents import RuleUnit, suggestion
from meshregistry.errors import ConfigError
from meshregistry.model import SourceId
from meshregistry.pilot._rule_feeds import rule_feeds
from meshregistry.pilot._rule_runner import RuleSourceContext
from meshregistry.pilot._wiring import Wiring, load_plugins
from meshregistry.rules import RULE_KINDS, read_rules
from meshregistry.spi import RuleName

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from meshregistry.loader import Plugins
    from meshregistry.pilot._rule_feeds import RuleFeed
    from meshregistry.settings import RuleSettings, Settings
    from meshregistry.spi import OutgoingDocument, RuleWriter

_log = logging.getLogger("meshregistry.pilot")


@contextlib.asynccontextmanager
async def decision_writer(
    settings: Settings, to: str | None = None, *, plugins: Plugins | None = None
) -> AsyncIterator[tuple[str, RuleWriter]]:
    """Open what writes into a rule source of the settings; gives its id along.

    Args:
        settings: where rule sources are configured.
        to: id of the rule source; None: the first that says ``writable: true``, else the
            first that can be written to and does not say ``writable: false``.
        plugins: where kinds come from; default: the installed ones.

    Raises:
        ConfigError: if no rule source can be written to, or the one that is named.
        PluginError: if its plugin is broken.
    """
    found = load_plugins(environ=os.environ) if plugins is None else plugins
    feed = _chosen(settings, rule_feeds(settings, found), to)
    if feed.kind.writer is None:
        raise _unwritable(feed.id, f"the kind {feed.kind.name} is only read")
    name = SourceId(feed.id)
    context = RuleSourceContext(
        source_id=name,
        logger=SourceLogger(_log, name),
        clock=SystemClock(),
        random=Random(),  # noqa: S311 - spreads load, guards nothing
        mesh_domain=settings.mesh.domain,
        base_path=settings.base_path,
        user_agent=Wiring(settings, {}).user_agent,
        declare=lambda _parts: None,
        rule_names=tuple(RuleName(one.group, one.kind, one.versions) for one in RULE_KINDS),
        registry_config=feed.registry_config,
    )
    async with contextlib.AsyncExitStack() as stack:
        if feed.connect is not None:
            context.client = await stack.enter_async_context(feed.connect(context))
        yield feed.id, feed.kind.writer(feed.config, context)


def check_decision(document: OutgoingDocument, domain: str) -> None:
    """See to it that the document is one that replicas will understand.

    Args:
        document: before it is written.
        domain: of the mesh.

    Raises:
        ConfigError: for everything that is wrong with it.
    """
    place = f"{document.kind} {document.name}"
    (read,) = RuleUnit.of_object(place, document.value).documents
    errors = read_rules(read, domain).errors
    if errors:
        raise ConfigError.joined(errors)


def _chosen(settings: Settings, feeds: Sequence[RuleFeed], to: str | None) -> RuleFeed:
    by_id: dict[str, tuple[RuleSettings, RuleFeed]] = {
        one.id: (one, feed) for one, feed in zip(settings.rules, feeds, strict=True)
    }
    if to is not None:
        if to not in by_id:
            raise ConfigError(
                f"the settings have no rule source {to}",
                field="rules",
                remedy=suggestion(to, list(by_id)),
            )
        one, feed = by_id[to]
        if one.writable is False:
            raise _unwritable(to, "it says writable: false")
        return feed
    said = [feed for one, feed in by_id.values() if one.writable]
    able = [
        feed
        for one, feed in by_id.values()
        if one.writable is None and feed.kind.writer is not None
    ]
    for feed in (*said, *able):
        return feed
    raise ConfigError(
        "no rule source can be written to, so that there is no place for a decision",
        field="rules",
        remedy="add one of the kind file, consul, etcd or kubernetes; every replica must read it",
    )


def _unwritable(name: str, reason: str) -> ConfigError:
    return ConfigError(
        f"the rule source {name} is not written to: {reason}",
        field="rules",
        remedy="name another one with --to",
    )
