"""The catalog: the merged, immutable index of all services, and the difference of two."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from attrs import field, frozen

from meshregistry.model._endpoint import Endpoint
from meshregistry.model._names import Hostname, ServiceKey, SourceId
from meshregistry.model._service import Service

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


@frozen(kw_only=True)
class Conflict:
    """Two sources said different things of one field, or one said what cannot be.

    Attributes:
        field: such as ``ports[80].protocol`` or ``endpoints[10.0.0.1:80]``.
        winner: the source whose value stands; None if the value was dropped by rule.
        loser: the source whose value does not.
        chosen: the value that stands, as text.
        rejected: the value that does not, as text.
    """

    field: str
    winner: SourceId | None
    loser: SourceId
    chosen: str
    rejected: str

    @property
    def kind(self) -> str:
        """The field without what it is of, such as ``ports.protocol`` or ``endpoints``."""
        head, bracket, rest = self.field.partition("[")
        return head + rest.rpartition("]")[2] if bracket else head


@frozen(kw_only=True)
class Adjustment:
    """A value that an operator has decided, whatever the sources say.

    Attributes:
        field: such as ``endpoints[10.0.0.1:80].health`` or ``share of eureka at http``.
        chosen: the value that stands, as text.
        replaced: what the sources made of it, as text.
        by: the document that says so.
    """

    field: str
    chosen: str
    replaced: str
    by: str


@frozen(kw_only=True)
class CatalogEntry:
    """One merged service with its endpoints and where each value came from.

    Attributes:
        service: with its namespace set.
        endpoints: sorted by identity; each endpoint's service port exists.
        sources: the sources that know the service, in order of precedence.
        provenance: field path to source, for ``resolution``, ``addresses``, ``labels``
            and ``ports[NUMBER]``, and for ``ports[NUMBER].protocol`` if another one decides;
            sorted.
        endpoint_sources: for each endpoint, in the same order, the sources that named it.
        conflicts: everything that was decided against a source.
        adjustments: everything that an operator has decided.
    """

    service: Service
    endpoints: tuple[Endpoint, ...]
    sources: tuple[SourceId, ...]
    provenance: tuple[tuple[str, SourceId], ...] = ()
    endpoint_sources: tuple[tuple[SourceId, ...], ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    adjustments: tuple[Adjustment, ...] = ()

    @property
    def key(self) -> ServiceKey:
        """The merged identity."""
        return self.service.key


@frozen(kw_only=True)
class CatalogDiff:
    """What changed from one catalog to another, as sorted service keys.

    Attributes:
        added: services that are new.
        changed: services that differ in any value, endpoints included.
        removed: services that are gone.
        is_endpoints_only: nothing differs but endpoints of services that stay.
    """

    added: tuple[ServiceKey, ...] = ()
    changed: tuple[ServiceKey, ...] = ()
    removed: tuple[ServiceKey, ...] = ()
    is_endpoints_only: bool = True

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)


@frozen(eq=False)
class Catalog:
    """All merged services at one generation.

    Two catalogs are equal if their entries are; the generation does not count. Make the
    next one with `updated`: its cost follows the change, apart from copying two tables
    of references.

    Attributes:
        generation: rises by one with each published catalog; 0 is the empty start.
    """

    generation: int = 0
    _entries: dict[ServiceKey, CatalogEntry] = field(factory=dict)
    _by_address: dict[str, frozenset[ServiceKey]] = field(factory=dict)

    @classmethod
    def of(cls, entries: Iterable[CatalogEntry], *, generation: int = 0) -> Catalog:
        """Build a catalog from entries with different keys."""
        return cls().updated(entries, (), generation=generation)

    def updated(
        self,
        changed: Iterable[CatalogEntry],
        removed: Iterable[ServiceKey],
        *,
        generation: int,
    ) -> Catalog:
        """The catalog after entries were added or replaced, and keys removed."""
        # copy() clones a table that had removals as it is; dict() would insert each again.
        entries = self._entries.copy()
        addresses = self._by_address.copy()
        for key in removed:
            _unlink(addresses, entries.pop(key, None))
        for entry in changed:
            _unlink(addresses, entries.get(entry.key))
            entries[entry.key] = entry
            for address in {endpoint.address for endpoint in entry.endpoints}:
                addresses[address] = addresses.get(address, frozenset()) | {entry.key}
        return Catalog(generation, entries, addresses)

    def at(self, generation: int) -> Catalog:
        """The same content under another generation number."""
        return Catalog(generation, self._entries, self._by_address)

    @property
    def by_key(self) -> Mapping[ServiceKey, CatalogEntry]:
        """All entries by service key, read-only; in no particular order."""
        return MappingProxyType(self._entries)

    def entries(self) -> tuple[CatalogEntry, ...]:
        """All entries, sorted by service key."""
        return tuple(self._entries[key] for key in sorted(self._entries))

    def services(self) -> tuple[Service, ...]:
        """All services, sorted by service key."""
        return tuple(entry.service for entry in self.entries())

    def find(self, host: str) -> tuple[CatalogEntry, ...]:
        """Every entry of this host, in whatever namespace, sorted by key.

        Raises:
            ValueError: if the text is not a host name.
        """
        name = Hostname(host)
        return tuple(entry for entry in self.entries() if entry.service.host == name)

    def endpoints(self, host: str) -> tuple[Endpoint, ...]:
        """The endpoints of every entry of this host."""
        return tuple(endpoint for entry in self.find(host) for endpoint in entry.endpoints)

    def at_address(self, address: str) -> tuple[CatalogEntry, ...]:
        """The entries that have an endpoint at this address, sorted by key."""
        return tuple(self._entries[key] for key in sorted(self._by_address.get(address, ())))

    def diff(self, older: Catalog) -> CatalogDiff:
        """What has changed since `older`; identical entries are skipped by reference."""
        mine, theirs = self._entries, older._entries
        added = sorted(mine.keys() - theirs.keys())
        removed = sorted(theirs.keys() - mine.keys())
        changed = sorted(
            key
            for key, entry in mine.items()
            if (old := theirs.get(key)) is not None and old is not entry and old != entry
        )
        is_endpoints_only = not (added or removed) and all(
            mine[key].service == theirs[key].service for key in changed
        )
        return CatalogDiff(
            added=tuple(added),
            changed=tuple(changed),
            removed=tuple(removed),
            is_endpoints_only=is_endpoints_only,
        )

    def __getitem__(self, key: ServiceKey) -> CatalogEntry:
        return self._entries[key]

    def get(self, key: ServiceKey) -> CatalogEntry | None:
        """The entry of this key, or None."""
        return self._entries.get(key)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[CatalogEntry]:
        return iter(self.entries())

    def __len__(self) -> int:
        return len(self._entries)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Catalog):
            return NotImplemented
        return self._entries == other._entries

    __hash__ = None  # type: ignore[assignment]  # equal by content, and content is a table


def _unlink(addresses: dict[str, frozenset[ServiceKey]], entry: CatalogEntry | None) -> None:
    if entry is None:
        return
    for address in {endpoint.address for endpoint in entry.endpoints}:
        rest = addresses.get(address, frozenset()) - {entry.key}
        if rest:
            addresses[address] = rest
        else:
            addresses.pop(address, None)
