"""Which streams share a resource set: the groups of a hub, and who is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from meshregistry.model import ResourceSet
from meshregistry.server._stream import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable


@define(eq=False)
class Group:
    """One set, if it has come already, and the streams that it is for."""

    current: ResourceSet | None = None
    # A dictionary without values, to keep the order of arrival: turns are given in it.
    streams: dict[Stream, None] = field(factory=dict)


class Groups:
    """All groups by key.

    Args:
        wanted: asked for the set of a group that a stream joins and that has none.
        unwanted: told that a group has no streams any more.
    """

    def __init__(
        self,
        wanted: Callable[[Hashable], ResourceSet | None] | None,
        unwanted: Callable[[Hashable], object],
    ) -> None:
        self._wanted = wanted
        self._unwanted = unwanted
        self._by_key: dict[Hashable, Group] = {}

    def current(self, key: Hashable) -> ResourceSet | None:
        """The set of a group, if it has one."""
        group = self._by_key.get(key)
        return group.current if group else None

    def keys(self) -> tuple[Hashable, ...]:
        """The groups that have a set or streams."""
        return tuple(self._by_key)

    def streams(self, key: Hashable) -> tuple[Stream, ...]:
        """The streams of a group, in order of arrival."""
        group = self._by_key.get(key)
        return tuple(group.streams) if group else ()

    def put(self, key: Hashable, resources: ResourceSet) -> Group:
        """Make this the set of a group."""
        group = self._by_key.setdefault(key, Group())
        group.current = resources
        return group

    def drop(self, key: Hashable) -> tuple[Stream, ...]:
        """Forget a group; returns its streams."""
        group = self._by_key.pop(key, None)
        return tuple(group.streams) if group else ()

    def join(self, stream: Stream, key: Hashable) -> None:
        """A stream belongs to this group from now on."""
        group = self._by_key.setdefault(key, Group())
        stream.key = key
        group.streams[stream] = None
        if group.current is None and self._wanted is not None:
            group.current = self._wanted(key)

    def leave(self, stream: Stream) -> None:
        """A stream belongs to its group no longer; an empty group without a set is gone."""
        key = stream.key
        group = self._by_key.get(key)
        if group is None or group.streams.pop(stream, self) is self or group.streams:
            return
        if group.current is None:
            del self._by_key[key]
        self._unwanted(key)

    @property
    def served(self) -> int:
        """How many groups have a set."""
        return sum(group.current is not None for group in self._by_key.values())

    @property
    def waiting(self) -> int:
        """How many streams wait for a set."""
        return sum(len(one.streams) for one in self._by_key.values() if one.current is None)
