"""Attributes as they were received: what an answer depends on is read without the rest.

A check that is answered from a cache looks at a third of what a proxy sends. Reading all of
it, to look at that third, was most of the work of such a check.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from meshregistry.mixer._compress import decode_attributes
from meshregistry.mixer._dictionary import known_words
from meshregistry.mixer._words import GLOBAL_WORDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from meshregistry.mixer._attributes import AttributeBag
    from meshregistry.mixer._shapes import Shape, Signature
    from meshregistry.mixer.proto.mixer_v1_pb2 import CompressedAttributes

_INDICES = known_words()


class ReceivedAttributes:
    """The attributes of one message, which must not be changed any more.

    Args:
        message: as it was received.
    """

    __slots__ = ("_bag", "_message")

    def __init__(self, message: CompressedAttributes) -> None:
        self._message = message
        self._bag: AttributeBag | None = None

    @property
    def bag(self) -> AttributeBag:
        """All of them.

        Raises:
            MixerError: if two attributes have one name.
        """
        if self._bag is None:
            self._bag = decode_attributes(self._message).bag
        return self._bag

    def signature(self, shape: Shape) -> Signature | None:
        """What they hold for this shape, as their bag does; None if they do not fit.

        What the shape does not look at is not read, and may break the protocol unnoticed.

        Raises:
            MixerError: if two attributes have one name, and all were read to know.
        """
        if self._bag is None:
            try:
                return _signature(self._message, shape)
            except (_Unsure, IndexError):
                pass
        return shape.signature(self.bag.entries)


class _Unsure(Exception):
    """Only all of the attributes tell."""


# A name and its global index.
_Place = tuple[str, int]


@frozen
class _Plan:
    """What a shape looks at, with the global indices of the names."""

    names: tuple[_Place, ...]
    indices: tuple[int, ...]
    absent: tuple[_Place, ...]
    keys: tuple[tuple[_Place, tuple[str, ...]], ...]
    absent_keys: tuple[tuple[_Place, tuple[str, ...]], ...]
    is_about_absence: bool


def _plan(shape: Shape) -> _Plan:
    """How to read this shape; it is kept with it.

    Raises:
        _Unsure: if one of its attributes is no global word.
    """
    try:
        plan = _Plan(
            names=tuple((name, _INDICES[name]) for name in shape.names),
            indices=tuple(_INDICES[name] for name in shape.names),
            absent=tuple((name, _INDICES[name]) for name in shape.absent),
            keys=tuple(((name, _INDICES[name]), keys) for name, keys in shape.keys),
            absent_keys=tuple(((name, _INDICES[name]), keys) for name, keys in shape.absent_keys),
            is_about_absence=bool(shape.absent or shape.absent_keys),
        )
    except KeyError as error:
        raise _Unsure from error
    shape.plan = plan
    return plan


def _signature(message: CompressedAttributes, shape: Shape) -> Signature | None:
    """The signature; None if the message does not fit.

    Raises:
        _Unsure: if all of the attributes have to be read.
        IndexError: if a word is not there.
    """
    plan: _Plan = shape.plan or _plan(shape)
    words, maps = message.words[:], message.string_maps
    if plan.is_about_absence and not _is_lacking(message, plan, words):
        return None
    found: list[Any] = [*map(message.strings.get, plan.indices)]
    if None in found:
        if _is_absent(message, plan.names[found.index(None)], words):
            return None
        # A number, a time, a map.
        raise _Unsure
    for place, keys in plan.keys:
        index = place[1]
        if index not in maps:
            if _is_absent(message, place, words):
                return None
            raise _Unsure
        entries = maps[index].entries
        for key in keys:
            word = _entry(entries, key, words)
            if word is None:
                return None
            found.append(word)
    texts = tuple([GLOBAL_WORDS[each] if each >= 0 else words[~each] for each in found])
    return (*texts, *map(type, texts)) if shape.is_typed else texts


def _is_lacking(message: CompressedAttributes, plan: _Plan, words: Sequence[str]) -> bool:
    """Whether nothing is there that has to be absent."""
    for place in plan.absent:
        if not _is_absent(message, place, words):
            return False
    for place, keys in plan.absent_keys:
        entries = _entries(message, place, words)
        if entries is not None and any(_entry(entries, key, words) is not None for key in keys):
            return False
    return True


def _entries(
    message: CompressedAttributes, place: _Place, words: Sequence[str]
) -> Mapping[int, int] | None:
    """The entries of a map; None if no attribute has its name."""
    maps = message.string_maps
    if place[1] in maps:
        return maps[place[1]].entries
    if _is_absent(message, place, words):
        return None
    raise _Unsure


def _is_absent(message: CompressedAttributes, place: _Place, words: Sequence[str]) -> bool:
    """Whether no attribute has this name.

    Raises:
        _Unsure: if one may have it under an index of the message's own.
    """
    name, index = place
    if name in words:
        raise _Unsure
    return not (
        index in message.strings
        or index in message.string_maps
        or index in message.int64s
        or index in message.bytes
        or index in message.bools
        or index in message.timestamps
        or index in message.durations
        or index in message.doubles
    )


def _entry(entries: Mapping[int, int], key: str, words: Sequence[str]) -> int | None:
    """The index of the text of an entry, whichever says its key; None if it is not there.

    Raises:
        _Unsure: if two indices may say it.
    """
    known = _INDICES.get(key)
    index = None if known is None else entries.get(known)
    if key in words:
        own = words.index(key)
        if index is not None or words.count(key) > 1:
            raise _Unsure
        index = entries.get(~own)
    return index
