"""What an answer depends on is read from a message as from the bag that it says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshregistry.errors import MixerError
from meshregistry.mixer import GLOBAL_WORDS, AttributeBag, Compressor, decode_attributes
from meshregistry.mixer._received import ReceivedAttributes
from meshregistry.mixer._shapes import Reference, Shape
from meshregistry.mixer.proto.mixer_v1_pb2 import CompressedAttributes

NAMES = st.sampled_from(
    ["source.uid", "request.path", "destination.port", "request.headers", "source.labels", "own"]
)
TEXTS = st.sampled_from(["", "GET", "request.path", "own", "x-own", "a", "b"])
VALUES = st.one_of(
    TEXTS,
    TEXTS,
    st.dictionaries(TEXTS, TEXTS, max_size=3),
    st.sampled_from([0, 1, 1.0, True, b"\1\2\3\4", timedelta(0), datetime(2024, 1, 1, tzinfo=UTC)]),
)
BAGS = st.dictionaries(NAMES, VALUES, max_size=5).map(AttributeBag)
REFERENCES = st.sets(st.builds(Reference, NAMES, st.none() | TEXTS), max_size=4)
COUNTS = st.sampled_from([0, 3, 16, len(GLOBAL_WORDS)])


def shape_of(bag, references, *, is_right, has_maps=False):
    """What is there has to be there, and the rest has to be absent; or the other way round."""
    there = {
        one
        for one in references
        if one.name in bag and (one.key is None or one.key in getattr(bag[one.name], "entries", ()))
    }
    rest = references - there
    absent, exact = (rest, there) if is_right else (there, rest)
    return Shape(absent, exact, has_maps=has_maps)


def with_words_twice(message):
    """The same attributes as a client says them that lists a word again for each other use."""
    size, uses = len(message.words), 0
    other = CompressedAttributes()
    other.CopyFrom(message)
    other.words.extend(list(message.words))
    for index, word in dict(message.strings).items():
        uses += 1
        other.strings[index] = word - size if word < 0 and uses % 2 else word
    for name, held in message.string_maps.items():
        other.string_maps[name].Clear()
        for key, word in dict(held.entries).items():
            uses += 1
            shift = size if uses % 2 else 0
            entries = other.string_maps[name].entries
            entries[key - shift if key < 0 else key] = word - shift if word < 0 else word
    return other


class TestSignature:
    """It is that of the bag."""

    @given(BAGS, REFERENCES, COUNTS, st.tuples(*[st.booleans()] * 4))
    def test_of_whatever_a_client_sends(self, bag, references, count, ways):
        """Whichever words it knows and however it lists its own."""
        is_right, is_kept, is_twice, has_maps = ways
        shape = shape_of(bag, references, is_right=is_right, has_maps=has_maps)
        if is_kept:
            shape.fitted(bag.entries)
        message = Compressor(count).attributes(bag)
        if is_twice:
            message = with_words_twice(message)
        assert decode_attributes(message).bag == bag
        received = ReceivedAttributes(message)
        assert received.signature(shape) == shape.signature(bag.entries)
        assert received.bag == bag
        assert received.signature(shape) == shape.signature(bag.entries)

    @given(BAGS, BAGS, REFERENCES, st.tuples(st.booleans(), st.booleans()))
    def test_of_another_request(self, bag, other, references, ways):
        """Whose attributes may have other types than those that the shape was made for."""
        is_kept, has_maps = ways
        shape = shape_of(bag, references, is_right=True, has_maps=has_maps)
        if is_kept:
            shape.fitted(bag.entries)
        received = ReceivedAttributes(Compressor().attributes(other))
        assert received.signature(shape) == shape.signature(other.entries)

    def test_texts_are_read_without_the_rest(self):
        """Even if the rest cannot be: that is why it is quick."""
        message = CompressedAttributes(words=["/"], strings={3: -1, -9: 3}, int64s={4: 1})
        message.strings[4] = -1
        received = ReceivedAttributes(message)
        assert received.signature(Shape([], [Reference("source.uid")])) == ("/",)
        with pytest.raises(MixerError, match=r"'source\.namespace' is there twice"):
            _ = received.bag

    @pytest.mark.parametrize("name", ["strings", "string_maps"])
    def test_a_word_that_is_not_there(self, name):
        """What was said with it reads as absent."""
        message = CompressedAttributes()
        if name == "strings":
            message.strings[3] = -5
            shape = Shape([], [Reference("source.uid")])
        else:
            message.string_maps[15].entries[3] = -5
            shape = Shape([], [Reference("request.headers", "source.uid")])
        assert ReceivedAttributes(message).signature(shape) is None

    def test_an_attribute_that_is_there_twice(self):
        """Is an error where it is asked for and is no text."""
        message = CompressedAttributes(words=["source.uid"], int64s={3: 1, -1: 2})
        with pytest.raises(MixerError, match="there twice"):
            ReceivedAttributes(message).signature(Shape([], [Reference("source.uid")]))
