"""Other sources than before: what has become of which."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from meshregistry.model import SourceId

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from meshregistry.aggregate._source import Source


@frozen(kw_only=True)
class Reconfigured:
    """What `Supervisor.reconfigure` did, by source id, in order of the settings."""

    added: tuple[SourceId, ...] = ()
    changed: tuple[SourceId, ...] = ()
    removed: tuple[SourceId, ...] = ()
    unchanged: tuple[SourceId, ...] = ()

    @classmethod
    def of(cls, old: Mapping[SourceId, Source], new: Sequence[Source]) -> Reconfigured:
        """What becomes of which source; one that is kept is the same object in both."""
        ids = {one.id for one in new}
        return cls(
            added=tuple(one.id for one in new if one.id not in old),
            changed=tuple(one.id for one in new if one.id in old and old[one.id] is not one),
            removed=tuple(one for one in old if one not in ids),
            unchanged=tuple(one.id for one in new if old.get(one.id) is one),
        )


def distinct(sources: Sequence[Source]) -> Sequence[Source]:
    """The same sources.

    Raises:
        ValueError: if two of them share an id.
    """
    ids = [source.id for source in sources]
    if len(set(ids)) != len(ids):
        twice = next(one for one in ids if ids.count(one) > 1)
        msg = f"two sources have the id {twice!r}: give each an id of its own"
        raise ValueError(msg)
    return sources
