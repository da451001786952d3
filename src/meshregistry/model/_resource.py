"""xDS resources as opaque, encoded values; sets of them; type URLs and their traits.

Nothing here knows protobuf: a resource is a name, a type URL and bytes. Sets are composed
of immutable, shared parts, so that what many proxies have in common exists once, and two
sets are compared by skipping what is identical.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Iterator, KeysView, Mapping
from functools import cached_property
from hashlib import blake2b
from typing import NamedTuple
from weakref import ref

from attrs import Factory, field, frozen

_PREFIX = "type.googleapis.com/"

CLUSTER = _PREFIX + "envoy.config.cluster.v3.Cluster"
ENDPOINT = _PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER = _PREFIX + "envoy.config.listener.v3.Listener"
ROUTE = _PREFIX + "envoy.config.route.v3.RouteConfiguration"
SCOPED_ROUTE = _PREFIX + "envoy.config.route.v3.ScopedRouteConfiguration"
VIRTUAL_HOST = _PREFIX + "envoy.config.route.v3.VirtualHost"
SECRET = _PREFIX + "envoy.extensions.transport_sockets.tls.v3.Secret"
RUNTIME = _PREFIX + "envoy.service.runtime.v3.Runtime"
EXTENSION_CONFIG = _PREFIX + "envoy.config.core.v3.TypedExtensionConfig"


class TypeTraits(NamedTuple):
    """What the xDS protocol says of one resource type.

    Attributes:
        type_url: the type.
        name: the short name that people use, such as ``cds``.
        is_full_state: a state-of-the-world response carries every subscribed resource,
            and absence deletes; the first request may name nothing and mean everything.
        push_rank: types are sent in rising order (make before break).
    """

    type_url: str
    name: str
    is_full_state: bool
    push_rank: int


TYPE_TRAITS: Mapping[str, TypeTraits] = {
    traits.type_url: traits
    for traits in (
        TypeTraits(CLUSTER, "cds", is_full_state=True, push_rank=0),
        TypeTraits(ENDPOINT, "eds", is_full_state=False, push_rank=1),
        TypeTraits(LISTENER, "lds", is_full_state=True, push_rank=2),
        TypeTraits(SCOPED_ROUTE, "srds", is_full_state=True, push_rank=3),
        TypeTraits(ROUTE, "rds", is_full_state=False, push_rank=4),
        TypeTraits(VIRTUAL_HOST, "vhds", is_full_state=False, push_rank=5),
        TypeTraits(SECRET, "sds", is_full_state=False, push_rank=6),
        TypeTraits(EXTENSION_CONFIG, "ecds", is_full_state=False, push_rank=7),
        TypeTraits(RUNTIME, "rtds", is_full_state=False, push_rank=8),
    )
}
"""The one table of traits (xDS protocol, "Resource Types", "Wildcard", "Eventual consistency")."""

_LAST = 9


def type_traits(type_url: str) -> TypeTraits:
    """The traits of a type; one that is not in the table is served by name, and last."""
    return TYPE_TRAITS.get(type_url) or TypeTraits(
        type_url, type_url.removeprefix(_PREFIX), is_full_state=False, push_rank=_LAST
    )


def type_url(name: str) -> str:
    """The type URL for a short name such as ``cds``, or for a URL itself.

    Raises:
        ValueError: if it is neither.
    """
    for traits in TYPE_TRAITS.values():
        if name.lower() == traits.name:
            return traits.type_url
    if name.startswith(_PREFIX):
        return name
    known = ", ".join(traits.name for traits in TYPE_TRAITS.values())
    msg = f"{name!r} is not a resource type: use one of {known} or a whole type URL"
    raise ValueError(msg)


class Reference(NamedTuple):
    """A resource that another one needs."""

    type_url: str
    name: str


def _references(references: Iterable[tuple[str, str]]) -> tuple[Reference, ...]:
    return tuple(sorted({Reference(*reference) for reference in references}))


def _content_hash(resource: Resource) -> str:
    return blake2b(resource.bytes, digest_size=12).hexdigest()


@frozen(eq=False)
class Resource:
    """A named, typed, encoded xDS object.

    Two resources are equal if type, name, digest and time to live are.

    Attributes:
        type_url: such as `CLUSTER`.
        name: unique within its type in a set.
        bytes: the serialised message, without the ``Any`` around it.
        digest: content hash of the bytes, in hexadecimal; its version in delta.
        references: what it needs, sorted; filled while generating or decoding.
        ttl: seconds after which a client forgets it unless it is sent again; None: never.
        any_record, delta_frame: kept here by the server, which encodes once what a
            response says of this resource; they follow from the rest and are never compared.
    """

    type_url: str
    name: str
    bytes: builtins.bytes = field(repr=lambda value: f"<{len(value)} bytes>")
    digest: str = field(default=Factory(_content_hash, takes_self=True))
    references: tuple[Reference, ...] = field(default=(), converter=_references)
    ttl: float | None = None
    any_record: builtins.bytes | None = field(default=None, init=False, repr=False)
    delta_frame: builtins.bytes | None = field(default=None, init=False, repr=False)

    @property
    def key(self) -> Reference:
        """Type URL and name."""
        return Reference(self.type_url, self.name)

    @cached_property
    def fingerprint(self) -> int:
        """Name, digest and life as a number, of which groups add up many.

        So wide that nobody finds two sets of resources with the same sum.
        """
        text = f"{self.name}\0{self.digest}\0{self.ttl}"
        return int.from_bytes(blake2b(text.encode()).digest())

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Resource):
            return NotImplemented
        return (
            self.digest == other.digest
            and self.name == other.name
            and self.type_url == other.type_url
            and self.ttl == other.ttl
        )

    def __hash__(self) -> int:
        return hash((self.digest, self.name))


class Changes(NamedTuple):
    """The difference of two sets in one type."""

    changed: tuple[Resource, ...]
    removed: tuple[str, ...]


@frozen(eq=False)
class ResourceGroup:
    """Resources of one type in one part, by name, in canonical (sorted) order."""

    by_name: Mapping[str, Resource]
    _known_sum: int | None = None
    _last_changes: list[tuple[ref[ResourceGroup], Changes]] = field(
        factory=list, init=False, repr=False
    )

    @classmethod
    def of(cls, resources: Iterable[Resource]) -> ResourceGroup:
        """Sort them by name.

        Raises:
            ValueError: if two of them share a name.
        """
        listed = sorted(resources, key=lambda resource: resource.name)
        by_name = {resource.name: resource for resource in listed}
        if len(by_name) != len(listed):
            names = [resource.name for resource in listed]
            twice = next(name for name in names if names.count(name) > 1)
            msg = f"two resources of one type share the name {twice!r}"
            raise ValueError(msg)
        return cls(by_name)

    @cached_property
    def _sum(self) -> int:
        if self._known_sum is not None:
            return self._known_sum
        return sum(resource.fingerprint for resource in self.by_name.values())

    @cached_property
    def digest(self) -> str:
        """Content hash of names, digests and lives.

        Made from a sum, so that a change of one resource among thousands costs one addition:
        every push waits for the version.
        """
        return blake2b(f"{self._sum:x}".encode(), digest_size=12).hexdigest()

    @cached_property
    def listed(self) -> tuple[Resource, ...]:
        """All of them, in canonical order."""
        return tuple(self.by_name.values())

    @cached_property
    def references(self) -> frozenset[Reference]:
        """Everything that any of them needs."""
        return frozenset(needed for r in self.by_name.values() for needed in r.references)

    @cached_property
    def expiring(self) -> tuple[Resource, ...]:
        """Those that have a time to live."""
        return tuple(r for r in self.by_name.values() if r.ttl is not None)

    def updated(self, changed: Mapping[str, Resource], removed: Iterable[str]) -> ResourceGroup:
        """The group after resources were added or replaced, and names removed."""
        by_name = dict(self.by_name)
        gone = set(removed)
        for name in gone:
            by_name.pop(name, None)
        is_sorted = by_name.keys() >= changed.keys()
        by_name.update(changed)
        # What is known of the change need not be found out again by comparing all of them.
        theirs = self.by_name
        changes = Changes(
            tuple(changed[name] for name in sorted(changed) if theirs.get(name) != changed[name]),
            tuple(sorted(name for name in gone if name in theirs and name not in by_name)),
        )
        before = (
            theirs.get(name) for name in (*(r.name for r in changes.changed), *changes.removed)
        )
        group = ResourceGroup(
            by_name if is_sorted else dict(sorted(by_name.items())),
            self._sum
            + sum(resource.fingerprint for resource in changes.changed)
            - sum(resource.fingerprint for resource in before if resource is not None),
        )
        group._last_changes.append((ref(self), changes))
        return group

    def changes_since(self, older: ResourceGroup) -> Changes:
        """What differs from `older`; the last answer is kept, since many sets share a group."""
        for group, changes in self._last_changes:
            if group() is older:
                return changes
        theirs = older.by_name
        changes = Changes(
            tuple(
                resource
                for name, resource in self.by_name.items()
                if (old := theirs.get(name)) is not resource and old != resource
            ),
            tuple(name for name in theirs if name not in self.by_name),
        )
        self._last_changes[:] = [(ref(older), changes)]
        return changes


@frozen(eq=False)
class ResourcePart:
    """An immutable bundle of resources of any types, shared by many sets (a scope)."""

    groups: Mapping[str, ResourceGroup] = field(factory=dict)

    @classmethod
    def of(cls, resources: Iterable[Resource]) -> ResourcePart:
        """Group resources by type.

        Raises:
            ValueError: if two of one type share a name.
        """
        by_type: dict[str, list[Resource]] = {}
        for resource in resources:
            by_type.setdefault(resource.type_url, []).append(resource)
        return cls({url: ResourceGroup.of(by_type[url]) for url in sorted(by_type)})

    def updated(
        self, changed: Iterable[Resource], removed: Iterable[tuple[str, str]]
    ) -> ResourcePart:
        """The part after a change; groups of untouched types are the same objects."""
        changes: dict[str, dict[str, Resource]] = {}
        removals: dict[str, list[str]] = {}
        for resource in changed:
            changes.setdefault(resource.type_url, {})[resource.name] = resource
        for url, name in removed:
            removals.setdefault(url, []).append(name)
        groups = dict(self.groups)
        for url in sorted({*changes, *removals}):
            group = groups.get(url, ResourceGroup({}))
            groups[url] = group.updated(changes.get(url, {}), removals.get(url, ()))
        return ResourcePart(groups)


@frozen(eq=False)
class ResourceSet:
    """Consistent resources of all types for one proxy key: a tuple of shared parts.

    No two parts hold the same type and name. Comparing goes by content.

    Attributes:
        parts: in canonical order; a resource's place is its part's, then its name's.
        shown_versions: version texts that replace the content hash in what a peer sees, by type.
    """

    parts: tuple[ResourcePart, ...] = ()
    shown_versions: Mapping[str, str] = field(factory=dict)
    _versions: dict[str, str] = field(factory=dict, init=False, repr=False)

    @cached_property
    def has_expiring(self) -> bool:
        """Whether any resource has a time to live."""
        return any(group.expiring for part in self.parts for group in part.groups.values())

    @classmethod
    def of(cls, resources: Iterable[Resource]) -> ResourceSet:
        """A set of one part."""
        return cls((ResourcePart.of(resources),))

    def groups(self, type_url: str) -> tuple[ResourceGroup, ...]:
        """The groups of one type, in order of the parts."""
        return tuple(part.groups[type_url] for part in self.parts if type_url in part.groups)

    def types(self) -> tuple[str, ...]:
        """The types that have at least one resource, in push order."""
        urls = {url for part in self.parts for url, group in part.groups.items() if group.by_name}
        return tuple(sorted(urls, key=lambda url: (type_traits(url).push_rank, url)))

    def get(self, type_url: str, name: str) -> Resource | None:
        """The resource of this type and name, or None."""
        for part in self.parts:
            group = part.groups.get(type_url)
            if group is not None and (found := group.by_name.get(name)) is not None:
                return found
        return None

    def resources(self, type_url: str) -> tuple[Resource, ...]:
        """All resources of one type in canonical order; one part's tuple is shared."""
        groups = self.groups(type_url)
        if len(groups) == 1:
            return groups[0].listed
        return tuple(resource for group in groups for resource in group.listed)

    def names(self, type_url: str) -> KeysView[str]:
        """All names of one type, as a set-like view."""
        return {name: None for group in self.groups(type_url) for name in group.by_name}.keys()

    def content_version(self, type_url: str) -> str:
        """Hash of the content of one type; equal content, equal version, everywhere."""
        known = self._versions.get(type_url)
        if known is None:
            digests = [group.digest for group in self.groups(type_url) if group.by_name]
            known = blake2b("\n".join(digests).encode(), digest_size=8).hexdigest()
            self._versions[type_url] = known
        return known

    def version(self, type_url: str) -> str:
        """The version that a peer sees: the caller's text, else the content hash."""
        return self.shown_versions.get(type_url) or self.content_version(type_url)

    def changes_since(self, older: ResourceSet, type_url: str) -> Changes:
        """What differs from `older` in one type; identical groups are skipped."""
        mine, theirs = self.groups(type_url), older.groups(type_url)
        shared = {id(group) for group in mine} & {id(group) for group in theirs}
        new = [group for group in mine if id(group) not in shared]
        old = [group for group in theirs if id(group) not in shared]
        if len(new) == len(old) == 1:
            return new[0].changes_since(old[0])
        changed = tuple(
            resource
            for group in new
            for name, resource in group.by_name.items()
            if _first(old, name) != resource
        )
        removed = tuple(
            name
            for group in old
            for name in group.by_name
            if not any(name in other.by_name for other in new)
        )
        return Changes(changed, removed)

    def __iter__(self) -> Iterator[Resource]:
        return (resource for url in self.types() for resource in self.resources(url))


def _first(groups: list[ResourceGroup], name: str) -> Resource | None:
    """The resource of this name in the first group that has it."""
    for group in groups:
        if (found := group.by_name.get(name)) is not None:
            return found
    return None
