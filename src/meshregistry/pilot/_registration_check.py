"""Whether the source that is to keep registrations can do so."""

from __future__ import annotations

import logging
from random import Random
from typing import TYPE_CHECKING, Any

from meshregistry.aggregate import SourceContext, SourceLogger, SystemClock
from meshregistry.errors import ConfigError
from meshregistry.model import SourceId

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshregistry.settings import Settings, SourceSettings
    from meshregistry.spi import RegistryKind


def registration_faults(
    settings: Settings, source: SourceSettings, kind: RegistryKind, config: Any
) -> Iterator[ConfigError]:
    """What is wrong with a source if `server.registration` names it; nothing if it does not.

    Args:
        settings: of the pilot.
        source: one of its sources.
        kind: of the source.
        config: its options.
    """
    registration = settings.server.registration
    if registration is None or registration.source != source.id:
        return
    if kind.registrar is None:
        yield source.kind_place.fault(
            f"server.registration names this source, and nothing can be written to the kind {kind.name}",
            "name a source of the kind etcd, consul or eureka there, or of memory if this pilot is alone",
        )
    elif source.shadow:
        yield source.place.fault(
            "server.registration names this source, and nothing of a shadow is served",
            "take out shadow:, or name another source there",
        )
    else:
        context = SourceContext(
            source_id=SourceId(source.id),
            logger=SourceLogger(logging.getLogger(__name__), SourceId(source.id)),
            clock=SystemClock(),
            random=Random(0),  # noqa: S311 - nothing is drawn from it
            mesh_domain=settings.mesh.domain,
            base_path=settings.base_path,
            user_agent="",
            declare=lambda _: None,
        )
        try:
            kind.registrar(config, context)
        except ConfigError as error:
            for fault in error.faults:
                yield source.place.fault(fault.message, "see server.registration.source")
