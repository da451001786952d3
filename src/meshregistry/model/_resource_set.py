"""Sets of resources, composed of immutable, shared parts.

What many proxies have in common exists once, and two sets are compared by skipping what is
identical.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, KeysView, Mapping
from functools import cached_property
from hashlib import blake2b

from attrs import field, frozen

from meshregistry.model._resource import Changes, Resource, ResourceGroup
from meshregistry.model._resource_types import type_traits


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
