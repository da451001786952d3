"""Names that a service had before it was given another: they stand for it, if nobody has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from meshregistry.model import Conflict, Resolution, Service, ServiceKey, ServiceRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meshregistry.aggregate._merge import Contribution


def own_or_standing(
    key: ServiceKey, contributions: Sequence[Contribution]
) -> tuple[Sequence[Contribution], tuple[Conflict, ...]]:
    """What is said of a service itself; if nothing is, of the alias that its name is.

    A service never becomes an alias because another source's service had its name: such a
    name is not kept, and listed as a conflict.
    """
    if not any(one.record.aliases for one in contributions):
        return contributions, ()
    own = [one for one in contributions if one.record.service.key == key]
    others = [one for one in contributions if one.record.service.key != key]
    if not own:
        return [evolve(one, record=_standing(key, one.record)) for one in others], ()
    return own, tuple(
        Conflict(
            field="alias_of",
            winner=own[0].source,
            loser=one.source,
            chosen="",
            rejected=str(one.record.service.host),
        )
        for one in others
    )


def _standing(key: ServiceKey, record: ServiceRecord) -> ServiceRecord:
    service = record.service
    alias = Service(
        key.host,
        namespace=key.namespace,
        ports=service.ports,
        resolution=Resolution.ALIAS,
        alias_of=service.host,
        is_external=service.is_external,
        # The namespace of the service, which need not be that of the name.
        export_to=[service.namespace or one if one == "." else one for one in service.export_to],
    )
    return ServiceRecord(alias, key=record.key)
