"""Whether every reference of a set leads somewhere, at the cost of what changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field, frozen

from meshregistry.errors import InconsistentResources
from meshregistry.model import Reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meshregistry.model import Resource, ResourceSet

    Key = tuple[str, str]
    Changed = Mapping[Reference, Resource]


@frozen
class Revision:
    """A change of references that was found to be consistent, and is not made yet.

    Attributes:
        gained: pairs of (referrer, referred) that are new.
        lost: pairs that are gone.
    """

    gained: tuple[tuple[Reference, Reference], ...]
    lost: tuple[tuple[Reference, Reference], ...]


@define
class ReferenceIndex:
    """Who refers to what in one set.

    Args:
        external: (type URL, name) pairs that exist elsewhere, such as in the bootstrap.
    """

    external: frozenset[Key] = frozenset()
    _referrers: dict[Key, set[Key]] = field(factory=dict, init=False)

    def check(
        self,
        before: ResourceSet,
        changed: Changed,
        removed: Iterable[Reference],
    ) -> Revision:
        """Look at a change of the set that is indexed; nothing is altered.

        Raises:
            InconsistentResources: if a reference would lead nowhere; it lists them all.
        """
        gone = {key for key in removed if key not in changed and before.get(*key) is not None}
        gained, lost = [], []
        for key, resource in changed.items():
            old = before.get(*key)
            then = set(old.references) if old is not None else set()
            now = set(resource.references)
            gained += [(resource.key, each) for each in sorted(now - then)]
            lost += [(resource.key, each) for each in sorted(then - now)]
        for key in sorted(gone):
            old = before.get(*key)
            if old is not None:
                lost += [(old.key, each) for each in old.references]
        dangling = {
            (*referrer, *referred)
            for referrer, referred in gained
            if not self._exists(before, changed, gone, referred)
        }
        leaving = set(lost)
        for key in gone - self.external:
            dangling.update(
                (*referrer, *key)
                for referrer in self._referrers.get(key, ())
                if (referrer, key) not in leaving
            )
        if dangling:
            raise InconsistentResources(sorted(dangling))
        return Revision(tuple(gained), tuple(lost))

    def commit(self, revision: Revision) -> None:
        """Make a change that `check` has found to be consistent."""
        for referrer, referred in revision.lost:
            referrers = self._referrers[referred]
            referrers.discard(referrer)
            if not referrers:
                del self._referrers[referred]
        for referrer, referred in revision.gained:
            self._referrers.setdefault(referred, set()).add(referrer)

    def _exists(
        self, before: ResourceSet, changed: Changed, gone: set[Reference], key: Reference
    ) -> bool:
        if key in changed or key in self.external:
            return True
        return key not in gone and before.get(*key) is not None
