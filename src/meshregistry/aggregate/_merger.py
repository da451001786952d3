"""The merger: keeps the current catalog and merges again only what has changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from meshregistry.aggregate._merge import Contribution, merge
from meshregistry.model import Catalog, CatalogDiff, CatalogEntry, MergePolicy, ServiceKey

Contributions = Callable[[ServiceKey], Sequence[Contribution]]
Policy = Callable[[ServiceKey], MergePolicy]
Adjust = Callable[[CatalogEntry], CatalogEntry]
"""A pure step after the merge of one service: what operators have decided about it."""


class Merger:
    """The catalog, kept up to date service by service.

    Args:
        contributions: gives all that is said of a service, in order of precedence.
        policy: says how a service is merged.

    Attributes:
        adjust: is applied to each service after its merge; whoever sets another one says
            which services to `update`.
    """

    def __init__(self, contributions: Contributions, policy: Policy) -> None:
        self._contributions = contributions
        self._policy = policy
        self.adjust: Adjust = _as_merged
        self._catalog = Catalog()

    @property
    def catalog(self) -> Catalog:
        """The current catalog; its generation rises with each change."""
        return self._catalog

    def update(self, keys: Iterable[ServiceKey]) -> CatalogDiff:
        """Merge these services again.

        Entries that come out equal stay the same objects; if all do, so does the catalog.
        The cost follows the keys, apart from copying two tables of references.
        """
        changed: list[CatalogEntry] = []
        added: list[ServiceKey] = []
        removed: list[ServiceKey] = []
        is_endpoints_only = True
        for key in sorted(keys):
            old = self._catalog.get(key)
            merged = merge(key, self._contributions(key), self._policy(key))
            new = None if merged is None else self.adjust(merged)
            if new is None:
                if old is not None:
                    removed.append(key)
            elif old is None:
                added.append(key)
                changed.append(new)
            elif old != new:
                is_endpoints_only &= old.service == new.service
                changed.append(new)
        if not changed and not removed:
            return CatalogDiff()
        generation = self._catalog.generation + 1
        self._catalog = self._catalog.updated(changed, removed, generation=generation)
        new_keys = set(added)
        return CatalogDiff(
            added=tuple(added),
            changed=tuple(entry.key for entry in changed if entry.key not in new_keys),
            removed=tuple(removed),
            is_endpoints_only=is_endpoints_only and not added and not removed,
        )


def _as_merged(entry: CatalogEntry) -> CatalogEntry:
    return entry
