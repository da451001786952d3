"""Attributes as they were received: what an answer depends on is read without the rest.

A check that is answered from a cache looks at a third of what a proxy sends. Reading all of
it, to look at that third, was most of the work of such a check.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from meshregistry.mixer._decompress import decode_attributes
from meshregistry.mixer._dictionary import known_words
from meshregistry.mixer._words import GLOBAL_WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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


# Maps and keys of them.
_Keys = tuple[tuple[str, int, tuple[tuple[str, int | None], ...]], ...]


class _Plan(NamedTuple):
    """What a shape looks at; a name or a key stands with its global index."""

    indices: tuple[int, ...]
    names: tuple[tuple[str, int], ...]
    keys: _Keys
    absent: tuple[tuple[str, int], ...]
    absent_keys: _Keys


def _plan(shape: Shape) -> _Plan:
    """How to read this shape; it is kept with it.

    Raises:
        _Unsure: if one of its attributes is no global word.
    """
    indices = _INDICES

    def of_maps(keys: Iterable[tuple[str, tuple[str, ...]]]) -> _Keys:
        return tuple(
            (name, indices[name], tuple((key, indices.get(key)) for key in own))
            for name, own in keys
        )

    try:
        shape.plan = _Plan(
            indices=tuple(indices[name] for name in shape.names),
            names=tuple((name, indices[name]) for name in shape.names),
            keys=of_maps(shape.keys),
            absent=tuple((name, indices[name]) for name in shape.absent),
            absent_keys=of_maps(shape.absent_keys),
        )
    except KeyError as error:
        raise _Unsure from error
    plan: _Plan = shape.plan
    return plan


# Between two checks gRPC and the kernel use up the processor's caches: what counts is how much
# code and how many objects are touched. Hence one function, and a tuple that is unpacked.
def _signature(message: CompressedAttributes, shape: Shape) -> Signature | None:  # noqa: C901 - see above
    """The signature; None if the message does not fit.

    Raises:
        _Unsure: if all of the attributes have to be read.
        IndexError: if a word is not there.
    """
    indices, names, keys, absent, absent_keys = shape.plan or _plan(shape)
    strings, maps, words = message.strings, message.string_maps, message.words[:]
    for name, index in absent:
        if not _is_absent(message, name, index, words):
            return None
    if absent_keys and not _are_absent(message, absent_keys, words, has_maps=shape.has_maps):
        return None
    found: list[Any] = [*map(strings.get, indices)]
    if None in found:
        name, index = names[found.index(None)]
        if _is_absent(message, name, index, words):
            return None
        # A number, a time, a map.
        raise _Unsure
    for name, index, own in keys:
        if index not in maps:
            if _is_absent(message, name, index, words):
                return None
            raise _Unsure
        entries = maps[index].entries
        for key, known in own:
            word = None if known is None else entries.get(known)
            if key in words:
                # What has two indices may be meant by either.
                if word is not None or words.count(key) > 1:
                    raise _Unsure
                word = entries.get(~words.index(key))
            if word is None:
                return None
            found.append(word)
    texts = tuple([GLOBAL_WORDS[each] if each >= 0 else words[~each] for each in found])
    return (*texts, *map(type, texts)) if shape.is_typed else texts


def _are_absent(
    message: CompressedAttributes, keys: _Keys, words: Sequence[str], *, has_maps: bool
) -> bool:
    """Whether none of these entries is there; of a map that is not there none is.

    Args:
        message: as it was received.
        keys: the entries.
        words: those of the message.
        has_maps: whether the maps have to be there.

    Raises:
        _Unsure: if all of the attributes have to be read.
    """
    maps = message.string_maps
    for name, index, own in keys:
        if index in maps:
            entries = maps[index].entries
            for key, known in own:
                if key in words:
                    raise _Unsure
                if known is not None and known in entries:
                    return False
        elif not _is_absent(message, name, index, words) or has_maps:
            return False
    return True


def _is_absent(message: CompressedAttributes, name: str, index: int, words: Sequence[str]) -> bool:
    """Whether no attribute has this name.

    Raises:
        _Unsure: if one may have it under an index of the message's own.
    """
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
