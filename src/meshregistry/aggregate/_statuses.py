"""How a source is doing, put together from what is known of it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshregistry.aggregate._source import PartStatus, SourceStatus
from meshregistry.aggregate._updates import PartId

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from meshregistry.aggregate._followed import Followed
    from meshregistry.aggregate._guard import Loss
    from meshregistry.aggregate._part import Part
    from meshregistry.aggregate._table import SourceTable


def source_status(
    followed: Followed,
    names: Sequence[str],
    table: SourceTable,
    losses: Iterable[Loss],
    now: float,
) -> SourceStatus:
    """All that is known of a source, but for the counters of its adapter.

    Args:
        followed: the source.
        names: of the parts to show, in order.
        table: holds its records.
        losses: that the guard withholds.
        now: the time.
    """
    source = followed.source
    lost = {loss.part.part: loss for loss in losses}
    parts = tuple(_part_status(followed, name, table, lost.get(name), now) for name in names)
    worst = followed.worst
    ages = [_age(followed.part(name), now) for name in followed.counted]
    services = {
        record.service.key
        for name in names
        for record in table.records(PartId(source.id, name)).values()
    }
    return SourceStatus(
        id=source.id,
        kind=source.kind,
        condition=worst.condition,
        is_shadow=source.is_shadow,
        is_synced=followed.has_synced,
        age=None if None in ages else max(age for age in ages if age is not None),
        services=len(services),
        endpoints=sum(part.endpoints for part in parts),
        error=worst.error,
        attempts=followed.attempts,
        parts=parts,
        losses=followed.losses,
    )


def _part_status(
    followed: Followed, name: str, table: SourceTable, loss: Loss | None, now: float
) -> PartStatus:
    part = followed.part(name)
    place = PartId(followed.source.id, name)
    records = table.records(place).values()
    return PartStatus(
        name=name,
        condition=part.condition,
        age=_age(part, now),
        services=len({record.service.key for record in records}),
        endpoints=sum(len(record.endpoints) for record in records),
        error=part.error,
        faulty=part.faults | table.unfit(place),
        is_declared=name in followed.declared,
        loss=None if loss is None else loss.told(now),
        is_restored=part.is_restored,
    )


def _age(part: Part, now: float) -> float | None:
    return None if part.heard is None else now - part.heard
