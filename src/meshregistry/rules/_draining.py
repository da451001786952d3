"""The pure step that takes endpoints of one service out of use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from meshregistry.model import Adjustment, Health
from meshregistry.rules._decisions import Drain, DrainPhase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meshregistry.model import CatalogEntry, Endpoint, SourceId


def drained(entry: CatalogEntry, drains: Sequence[Drain]) -> CatalogEntry:
    """The entry with the endpoints that are drained DRAINING, or left out.

    An UNHEALTHY endpoint stays so: it is not sent anyway. Of two drains of an endpoint one
    that removes it counts.

    Args:
        entry: as merged.
        drains: of its host.
    """
    listed: list[Endpoint] = []
    named: list[tuple[SourceId, ...]] = []
    adjustments: list[Adjustment] = []
    for endpoint, sources in zip(entry.endpoints, entry.endpoint_sources, strict=True):
        mine = [one for one in drains if _is_meant(one, endpoint, sources)]
        one = max(mine, key=lambda one: one.phase is DrainPhase.REMOVED, default=None)
        if one is not None and one.phase is DrainPhase.REMOVED:
            adjustments.append(
                Adjustment(
                    field=f"endpoints[{endpoint}]",
                    chosen=str(DrainPhase.REMOVED),
                    replaced=str(endpoint.health),
                    by=str(one),
                )
            )
            continue
        if one is not None and endpoint.health is Health.HEALTHY:
            adjustments.append(
                Adjustment(
                    field=f"endpoints[{endpoint}].health",
                    chosen=str(Health.DRAINING),
                    replaced=str(endpoint.health),
                    by=str(one),
                )
            )
            endpoint = evolve(endpoint, health=Health.DRAINING)  # noqa: PLW2901 - the same endpoint as decided
        listed.append(endpoint)
        named.append(sources)
    if not adjustments:
        return entry
    return evolve(
        entry,
        endpoints=tuple(listed),
        endpoint_sources=tuple(named),
        adjustments=(*entry.adjustments, *adjustments),
    )


def _is_meant(drain: Drain, endpoint: Endpoint, sources: tuple[SourceId, ...]) -> bool:
    return (
        (drain.address, drain.port) == (endpoint.address, endpoint.port)
        and drain.network in {None, endpoint.network}
        and (drain.source is None or drain.source in sources)
    )
