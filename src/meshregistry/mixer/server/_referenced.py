"""What an answer was made of, as the wire says it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshregistry.mixer._dictionary import Dictionary
from meshregistry.mixer.proto.mixer_v1_pb2 import ReferencedAttributes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshregistry.mixer.expressions import Reference

_ABSENCE, _EXACT = 1, 2


def referenced(references: Iterable[Reference], known: dict[str, int]) -> ReferencedAttributes:
    """Encode references for a client.

    A map that was read as a whole has no key. Our client compares the whole map then; the
    original takes the missing key for one that the map lacks, and keeps no such answer.

    Args:
        references: what was read.
        known: the index of each global word that the client knows.
    """
    dictionary = Dictionary(known)
    message = ReferencedAttributes()
    for one in references:
        match = message.attribute_matches.add(
            name=dictionary.index(one.name), condition=_EXACT if one.is_present else _ABSENCE
        )
        if one.key is not None:
            match.map_key = dictionary.index(one.key)
    message.words.extend(dictionary.words)
    return message
