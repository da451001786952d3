"""Words and their indices: the global list, and the list of one message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshregistry.mixer._words import GLOBAL_WORDS

if TYPE_CHECKING:
    from collections.abc import Sequence


class Dictionary:
    """Gives words their indices, and collects those that the global list lacks.

    From 0 on: the global list. Below: the list of the message, where -1 is its first word.

    Args:
        known: the index of each global word that the receiver knows; see `known_words`.
    """

    __slots__ = ("_known", "_own")

    def __init__(self, known: dict[str, int]) -> None:
        self._known = known
        self._own: dict[str, int] = {}

    def index(self, word: str) -> int:
        """The index of a word; the same one each time."""
        found = self._known.get(word)
        if found is not None:
            return found
        own = self._own
        found = own.get(word)
        if found is None:
            found = own[word] = -len(own) - 1
        return found

    @property
    def words(self) -> list[str]:
        """The list of the message so far."""
        return list(self._own)


def known_words(count: int = len(GLOBAL_WORDS)) -> dict[str, int]:
    """The index of each of the first `count` global words.

    Raises:
        ValueError: if the list does not have so many.
    """
    if not 0 <= count <= len(GLOBAL_WORDS):
        raise ValueError(f"the global list has {len(GLOBAL_WORDS)} words, not {count}")
    return {word: index for index, word in enumerate(GLOBAL_WORDS[:count])}


def words_by_index(words: Sequence[str]) -> dict[int, str]:
    """The words of a message by their indices, for who looks up many."""
    return dict(zip(range(-1, -len(words) - 1, -1), words, strict=True))


def word_at(index: int, words: Sequence[str]) -> str | None:
    """The word of an index; None if neither list has it.

    Args:
        index: as in a message.
        words: the list of the message.
    """
    if index >= 0:
        return GLOBAL_WORDS[index] if index < len(GLOBAL_WORDS) else None
    slot = -index - 1
    return words[slot] if slot < len(words) else None
