"""Words and indices: the global list as the wire has it, and the list of a message."""

from __future__ import annotations

import pytest

from meshregistry.mixer import BASE_WORD_COUNT, GLOBAL_WORDS
from meshregistry.mixer._dictionary import Dictionary, known_words, word_at


def test_the_global_list_is_that_of_the_wire():
    """Its length, its ends and the marks between versions are as in the protocol."""
    assert 222 == len(GLOBAL_WORDS) == len(set(GLOBAL_WORDS))
    assert ("source.ip", "context.proxy_version") == (GLOBAL_WORDS[0], GLOBAL_WORDS[-1])
    assert "text/plain; charset=utf-8" == GLOBAL_WORDS[BASE_WORD_COUNT - 1]


def test_four_words_have_quotation_marks():
    """They were never unquoted, and indices depend on it (quirk 14)."""
    quoted = {GLOBAL_WORDS.index(word): word for word in GLOBAL_WORDS if word[0] in "'\""}
    assert {94: "'200'", 111: "'0'", 112: "'1'", 218: '"-"'} == quoted
    assert known_words()["200"] > 94


def test_a_word_that_the_receiver_does_not_know_goes_into_the_message():
    """The list of the message begins at -1, and holds each word once."""
    dictionary = Dictionary(known_words(BASE_WORD_COUNT))
    indices = [dictionary.index(word) for word in ("source.port", "'0'", "mine", "'0'")]
    assert [1, -1, -2, -1] == indices
    assert ["'0'", "mine"] == dictionary.words


def test_an_index_without_a_word_has_none():
    """Beyond either list there is nothing."""
    assert ("source.ip", "a", "b") == tuple(word_at(index, ["a", "b"]) for index in (0, -1, -2))
    assert (None, None) == (word_at(222, ["a"]), word_at(-2, ["a"]))


@pytest.mark.parametrize("count", [-1, 223])
def test_no_more_words_are_known_than_there_are(count):
    """The count is checked."""
    with pytest.raises(ValueError, match="the global list has 222 words"):
        known_words(count)
