"""Shapes: the attributes that an answer depends on, and what a request holds for them.

Two requests with the same signature for a shape would have got the same answer.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

from attrs import frozen

from meshregistry.mixer._attributes import StringMap
from meshregistry.mixer._dictionary import word_at
from meshregistry.mixer.proto.mixer_v1_pb2 import ReferencedAttributes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from meshregistry.mixer._attributes import AttributeBag, Value

# Python finds numbers of these types equal that are different values on the wire.
_NUMBERS = frozenset({int, float, bool})


@frozen(order=True)
class Reference:
    """One attribute, or one key of a string map; without a key the whole attribute."""

    name: str
    key: str | None = None


Signature = tuple[Any, ...]
"""The values of a shape's names, and of its keys; and their types, if that makes a difference."""


class Shape:
    """What an answer depends on: what has to be absent, and what has to be the same.

    Args:
        absent: what the request did not have.
        exact: what it had.
        has_maps: whether a map that lacks a key has to be there. Clients go by the protocol,
            which cannot say it: for them a map that is not there lacks every key.
    """

    __slots__ = (
        "_get",
        "_gets",
        "absent",
        "absent_keys",
        "has_maps",
        "identity",
        "is_typed",
        "keys",
        "names",
        "plan",
    )

    def __init__(
        self, absent: Iterable[Reference], exact: Iterable[Reference], *, has_maps: bool = False
    ) -> None:
        absent, exact = frozenset(absent), frozenset(exact)
        self.identity = (absent, exact)
        """What makes two shapes the same one."""
        self.has_maps = has_maps
        """Whether a map that lacks a key has to be there."""
        self.is_typed = False
        """Whether signatures hold the types of values; from the first number on."""
        self.absent = tuple(sorted(each.name for each in absent if each.key is None))
        """Attributes that are not there."""
        self.absent_keys = _by_map(absent)
        """Maps and the keys that they lack."""
        self.names = tuple(sorted(each.name for each in exact if each.key is None))
        """Attributes whose values count."""
        self.keys = _by_map(exact)
        """Maps and the keys whose values count."""
        self.plan: Any = None
        """What a reader of messages has worked out for it."""
        self._get = _getter(self.names)
        self._gets = [(name, _getter(keys)) for name, keys in self.keys]

    def signature(self, entries: Mapping[str, Value]) -> Signature | None:
        """What a request holds for this shape; None if it does not fit.

        Args:
            entries: the attributes of the request.
        """
        for name in self.absent:
            if name in entries:
                return None
        for name, keys in self.absent_keys:
            held = entries.get(name)
            if held is None:
                if self.has_maps:
                    return None
            elif type(held) is not StringMap or any(key in held.entries for key in keys):
                return None
        try:
            values = self._get(entries)
            for name, get in self._gets:
                held = entries[name]
                if type(held) is not StringMap:
                    return None
                values += get(held.entries)
        except KeyError:
            return None
        return (*values, *map(type, values)) if self.is_typed else values

    def fitted(self, entries: Mapping[str, Value]) -> Signature | None:
        """The signature of a request whose answer is about to be kept.

        From the first number on that it holds, signatures tell the types of values apart:
        those without hold none, so no answer is given for another type's sake.
        """
        signature = self.signature(entries)
        if signature is not None and not self.is_typed:
            self.is_typed = not _NUMBERS.isdisjoint(map(type, signature))
            signature = self.signature(entries)
        return signature


class ShapeList:
    """The shapes of one cache, each once; those of little use are forgotten.

    Args:
        most: how many there are at most: a server whose answers never have the same shape
            fills no memory, and costs no more look-ups than this.
    """

    def __init__(self, most: int = 64) -> None:
        self._most = most
        self.ordered: list[Shape] = []
        """All of them; the most recently useful one comes first."""

    def used(self, shape: Shape) -> None:
        """Look at this one first from now on."""
        self.ordered.remove(shape)
        self.ordered.insert(0, shape)

    def known(self, shape: Shape) -> Shape:
        """The same shape as it was seen first; else remember this one."""
        for each in self.ordered:
            if each.identity == shape.identity:
                return each
        self.ordered.insert(0, shape)
        del self.ordered[self._most :]
        return shape


def _getter(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """A function that takes the values of these names, in order."""
    if not names:
        return lambda _: ()
    if len(names) == 1:
        (name,) = names
        return lambda values: (values[name],)
    return itemgetter(*names)


def _by_map(references: Iterable[Reference]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The keys that are referred to, by the name of their map."""
    found: dict[str, set[str]] = {}
    for each in references:
        if each.key is not None:
            found.setdefault(each.name, set()).add(each.key)
    return tuple((name, tuple(sorted(keys))) for name, keys in sorted(found.items()))


def read_shape(referenced: ReferencedAttributes, bag: AttributeBag) -> Shape | None:
    """The shape of an answer; None if it cannot be compared, so that it is not kept.

    A key is looked at only if the request's attribute is a string map: 0 stands for no key
    as well as for the first global word (`source.ip`). With 0 we compare the whole map,
    which is right for either meaning.

    Args:
        referenced: as the server sent them.
        bag: the attributes of the request that was answered.
    """
    absent: list[Reference] = []
    exact: list[Reference] = []
    words = referenced.words
    for match in referenced.attribute_matches:
        name = word_at(match.name, words)
        if name is None:
            return None
        key = None
        if match.map_key != 0 and isinstance(bag.entries.get(name), StringMap):
            key = word_at(match.map_key, words)
            if key is None:
                return None
        if match.condition == ReferencedAttributes.ABSENCE:
            absent.append(Reference(name, key))
        elif match.condition == ReferencedAttributes.EXACT:
            exact.append(Reference(name, key))
        else:
            return None
    return Shape(absent, exact)
