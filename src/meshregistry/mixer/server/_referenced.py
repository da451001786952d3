"""What an answer was made of, as the wire says it."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from meshregistry.mixer._dictionary import Dictionary, known_words
from meshregistry.mixer._words import GLOBAL_WORDS
from meshregistry.mixer.proto.mixer_v1_pb2 import ReferencedAttributes

if TYPE_CHECKING:
    from meshregistry.mixer.expressions import Reference

_ABSENCE, _EXACT = 1, 2


@lru_cache(maxsize=1024)
def referenced(references: tuple[Reference, ...], word_count: int) -> ReferencedAttributes:
    """Encode references for a client; not to be changed, since equal ones are one message.

    A map that was read as a whole has no key. Our client compares the whole map then; the
    original takes the missing key for one that the map lacks, and keeps no such answer.

    Args:
        references: what was read.
        word_count: how many global words the client knows.
    """
    dictionary = Dictionary(_known(word_count))
    message = ReferencedAttributes()
    for one in references:
        match = message.attribute_matches.add(
            name=dictionary.index(one.name), condition=_EXACT if one.is_present else _ABSENCE
        )
        if one.key is not None:
            match.map_key = dictionary.index(one.key)
    message.words.extend(dictionary.words)
    return message


@lru_cache(maxsize=len(GLOBAL_WORDS) + 1)
def _known(count: int) -> dict[str, int]:
    return known_words(count)
