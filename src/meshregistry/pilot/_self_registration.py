"""Registering a service in the backend of a source, for as long as a context is open."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from random import Random
from typing import TYPE_CHECKING, Any

from meshregistry.aggregate import SourceContext, SourceLogger, SystemClock
from meshregistry.documents import structure, suggestion
from meshregistry.errors import ConfigError, RegistryError
from meshregistry.model import SourceId
from meshregistry.pilot._wiring import MEMORY, Wiring, load_plugins

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from meshregistry.loader import Plugins
    from meshregistry.model import ServiceRecord
    from meshregistry.settings import Settings, SourceSettings
    from meshregistry.spi import Clock, Lease, RegistryKind

_log = logging.getLogger("meshregistry.pilot")
# Two renewals may fail before a lease ends.
_RENEWALS = 3


@contextlib.asynccontextmanager
async def registered(
    settings: Settings,
    source: str,
    record: ServiceRecord,
    *,
    ttl: float = 10.0,
    plugins: Plugins | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Lease]:
    """Register a service; it is renewed while the context is open and then taken back.

    A renewal that fails is logged and tried again. If the process dies, the registration
    ends with its time to live.

    Args:
        settings: where the source is configured.
        source: its id.
        record: what to register.
        ttl: time to live, in seconds.
        plugins: where kinds come from; default: the installed ones.
        clock: time; default: the machine's.

    Raises:
        ConfigError: if there is no such source, its options are wrong, or its kind of
            registry cannot be written to, or cannot hold what the record says.
        PluginError: if its plugin is broken.
        RegistryError: if the backend does not take the registration.
    """
    found = load_plugins(environ=os.environ) if plugins is None else plugins
    kind, config = _kind(settings, source, found)
    # What a memory of our own holds is seen by nobody else.
    if kind.registrar is None or kind.name == MEMORY:
        raise ConfigError(
            f"services cannot be registered in a registry of kind {kind.name}",
            field=f"source {source}",
            remedy="register them with the programs that belong to it",
        )
    time = clock or SystemClock()
    context = _context(settings, source, time)
    async with contextlib.AsyncExitStack() as stack:
        if kind.connect is not None:
            context.client = await stack.enter_async_context(kind.connect(config, context))
        try:
            lease = await kind.registrar(config, context).register(record, ttl)
        except ValueError as error:
            reason, _, remedy = str(error).partition(": ")
            raise ConfigError(reason, field=f"source {source}", remedy=remedy) from error
        renewing = asyncio.create_task(_renew(lease, ttl, time, source))
        try:
            yield lease
        finally:
            renewing.cancel()
            (ended,) = await asyncio.gather(renewing, return_exceptions=True)
            try:
                await lease.deregister()
            except RegistryError as error:
                _log.warning(
                    "source %s: the registration ends by itself within %g s: %s", source, ttl, error
                )
        if isinstance(ended, Exception):
            # A fault of the plugin; the renewals had stopped with it.
            raise ended


async def _renew(lease: Lease, ttl: float, clock: Clock, source: str) -> None:
    """Renew for ever; what repeats itself is logged once."""
    said = ""
    while True:
        await clock.sleep(ttl / _RENEWALS)
        try:
            await lease.renew()
        except RegistryError as error:
            if str(error) != said:
                _log.warning("source %s: the registration was not renewed: %s", source, error)
            said = str(error)
        else:
            if said:
                _log.info("source %s: the registration is renewed again", source)
            said = ""


def _kind(settings: Settings, source: str, plugins: Plugins) -> tuple[RegistryKind, Any]:
    one = _source(settings, source)
    kind = plugins.kind(one.kind, place=one.kind_place)
    return kind, structure(one.options, kind.config_class, base_path=settings.base_path)


def _source(settings: Settings, source: str) -> SourceSettings:
    for one in settings.sources:
        if one.id == source:
            return one
    raise ConfigError(
        f"the settings have no source {source}",
        field="sources",
        remedy=suggestion(source, [one.id for one in settings.sources]),
    )


def _context(settings: Settings, source: str, clock: Clock) -> SourceContext:
    name = SourceId(source)
    return SourceContext(
        source_id=name,
        logger=SourceLogger(_log, name),
        clock=clock,
        random=Random(),  # noqa: S311 - spreads load, guards nothing
        mesh_domain=settings.mesh.domain,
        base_path=settings.base_path,
        user_agent=Wiring(settings, {}).user_agent,
        declare=lambda _parts: None,
    )
