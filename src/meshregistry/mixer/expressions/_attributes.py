"""How expressions read attributes, so that what they have read is known afterwards.

A client may use an answer again for every request that agrees on what the answer was made
of. So each reading leaves a reference: the attribute, or one entry of a map, was there or
was not. A map that is used as a whole is a reference of its own.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from meshregistry.mixer._attributes import StringMap

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from meshregistry.mixer._attributes import Value


class Absent:
    """The type of `ABSENT`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "ABSENT"


# A plain tuple is made in a tenth of the time of a named one, and one is made at each reading.
_Reading = tuple[str, str | None, bool]

ABSENT: Final = Absent()
"""What an attribute, or an entry, is that is not there."""


class Reference(NamedTuple):
    """That something was read.

    Attributes:
        name: of the attribute.
        key: of the entry of the map; None: the attribute as a whole.
        is_present: whether it was there.
    """

    name: str
    key: str | None
    is_present: bool


# `Reference._make` is ten times as slow, and every decided check has some ten of them.
_reference: Callable[[_Reading], Reference] = partial(tuple.__new__, Reference)


class MapView(Protocol):
    """A map as expressions see it."""

    def entry(self, key: str) -> str | None:
        """The value under a key, or None."""

    def whole(self) -> StringMap:
        """All of it."""


class Attributes(Protocol):
    """The attributes of one request, as expressions read them."""

    @property
    def memo(self) -> dict[object, Any]:
        """What has been made of them, by keys of those who made it, so that it is made once."""

    def get(self, name: str) -> Value | MapView | Absent:
        """The value of an attribute; of a map, a view."""


# Below, the class of a value is looked at instead of `isinstance`, which is ten times as slow
# for a class that derives from an abstract one; values are of exactly these classes.


class PlainMap:
    """A map of which nobody asks what was read."""

    __slots__ = ("_entries", "_map")

    def __init__(self, entries: StringMap) -> None:
        self._map = entries
        self._entries = entries.entries

    def entry(self, key: str) -> str | None:
        return self._entries.get(key)

    def whole(self) -> StringMap:
        return self._map


class PlainAttributes:
    """Attributes of which nobody asks what was read, such as those of a report.

    Args:
        entries: the values by name.
    """

    __slots__ = ("_entries", "memo")

    def __init__(self, entries: Mapping[str, Value]) -> None:
        self._entries = entries
        self.memo: dict[object, Any] = {}

    def get(self, name: str) -> Value | MapView | Absent:
        value = self._entries.get(name, ABSENT)
        return PlainMap(value) if value.__class__ is StringMap else value


class TrackedMap:
    """A map that remembers which of its entries were read."""

    __slots__ = ("_entries", "_map", "_name", "_references")

    def __init__(self, name: str, entries: StringMap, references: dict[_Reading, None]) -> None:
        self._name = name
        self._map = entries
        self._entries = entries.entries
        self._references = references

    def entry(self, key: str) -> str | None:
        value = self._entries.get(key)
        self._references[self._name, key, value is not None] = None
        return value

    def whole(self) -> StringMap:
        self._references[self._name, None, True] = None
        return self._map


_VIEWS = frozenset({PlainMap, TrackedMap})


def noted(value: Value | MapView | Absent) -> Value | Absent:
    """A value whose type may be any: of a map all of it, so that its reading leaves a reference.

    Views leave one when an entry is read. Whoever only looks at the type of a value, and
    decides by that, has read it nevertheless.
    """
    if value.__class__ in _VIEWS:
        return value.whole()  # type: ignore[union-attr] # a view has it
    return value  # type: ignore[return-value] # and nothing else is one


class TrackedAttributes:
    """Attributes that remember what was read of them.

    Args:
        entries: the values by name.
        found: values beside them that the server found out itself, from what was read before.
            One of the request's own goes first; so reading one of these leaves the reference
            that there was none.
    """

    __slots__ = ("_entries", "_found", "_references", "memo")

    def __init__(
        self, entries: Mapping[str, Value], found: Mapping[str, Value] | None = None
    ) -> None:
        self._entries = entries
        self._found = found or {}
        self.memo: dict[object, Any] = {}
        # A dictionary keeps the order of the first readings.
        self._references: dict[_Reading, None] = {}

    def get(self, name: str) -> Value | MapView | Absent:
        value = self._entries.get(name, ABSENT)
        if value.__class__ is StringMap:
            return TrackedMap(name, value, self._references)
        self._references[name, None, value is not ABSENT] = None
        if value is ABSENT and name in self._found:
            return _viewed(self._found[name])
        return value

    @property
    def references(self) -> tuple[Reference, ...]:
        """What was read so far, each once, in the order of the first reading."""
        return tuple(map(_reference, self._references))

    def restore(self, references: tuple[Reference, ...]) -> None:
        """Forget all that was read but this, and what was made of it."""
        self.memo.clear()
        self._references.clear()
        self._references.update(dict.fromkeys(references))

    def overlaid(self, found: Mapping[str, Value]) -> TrackedAttributes:
        """The same attributes and references, with what else was found out."""
        other = TrackedAttributes(self._entries, {**found, **self._found})
        other._references = self._references
        return other

    def answered(self, outputs: Mapping[str, Value]) -> Attributes:
        """The same attributes and references, with what a check gave.

        It goes first, and reading it leaves no reference: no request can say it.
        """
        return _Answered(self, outputs)


class _Answered:
    """Attributes together with what a check gave."""

    __slots__ = ("_attributes", "_outputs", "memo")

    def __init__(self, attributes: Attributes, outputs: Mapping[str, Value]) -> None:
        self._attributes = attributes
        self._outputs = outputs
        self.memo: dict[object, Any] = {}

    def get(self, name: str) -> Value | MapView | Absent:
        if name in self._outputs:
            return _viewed(self._outputs[name])
        return self._attributes.get(name)


def _viewed(value: Value) -> Value | PlainMap:
    return PlainMap(value) if value.__class__ is StringMap else value
