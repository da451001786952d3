"""xDS resources as opaque, encoded values, and groups of one type.

Nothing here knows protobuf: a resource is a name, a type URL and bytes.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping
from functools import cached_property
from hashlib import blake2b
from typing import NamedTuple
from weakref import ref

from attrs import Factory, field, frozen


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
