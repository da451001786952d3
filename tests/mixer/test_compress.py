"""Compression: what is encoded is decoded, and what the wire may hold is read or refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from meshregistry.errors import MixerError
from meshregistry.mixer import (
    GLOBAL_WORDS,
    AttributeBag,
    Compressor,
    Repeated,
    StringMap,
    decode_attributes,
    decode_report,
    delta_runs,
)
from meshregistry.mixer.proto.mixer_v1_pb2 import CompressedAttributes, ReportRequest

WORDS = st.one_of(st.text(max_size=8), st.sampled_from(GLOBAL_WORDS))
VALUES = st.one_of(
    WORDS,
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.floats(allow_nan=False),
    st.booleans(),
    st.binary(max_size=16),
    st.datetimes(timezones=st.just(UTC)),
    st.timedeltas(timedelta(days=-3_652_500), timedelta(days=3_652_500)),
    st.dictionaries(WORDS, WORDS, max_size=4).map(StringMap),
)
BAGS = st.dictionaries(WORDS, VALUES, max_size=8).map(AttributeBag)
COUNTS = st.integers(0, len(GLOBAL_WORDS))


@given(BAGS, COUNTS)
def test_a_bag_survives_the_wire(bag, count):
    """Whatever the bag and however many words the receiver knows, it is the same again."""
    message = Compressor(count).attributes(bag)
    again = CompressedAttributes.FromString(message.SerializeToString())
    decoded = decode_attributes(again)
    assert (bag, ()) == (decoded.bag, decoded.faults)


@given(BAGS, COUNTS)
def test_no_index_is_one_that_the_receiver_does_not_know(bag, count):
    """Every index is below the agreed count, and every own word is used."""
    message = Compressor(count).attributes(bag)
    indices = {
        *message.strings.keys(),
        *message.strings.values(),
        *(key for entry in message.string_maps.values() for key in entry.entries),
        *(value for entry in message.string_maps.values() for value in entry.entries.values()),
        *(
            key
            for each in (
                "int64s",
                "doubles",
                "bools",
                "timestamps",
                "durations",
                "bytes",
                "string_maps",
            )
            for key in getattr(message, each)
        ),
    }
    assert all(-len(message.words) <= index < count for index in indices)
    assert set(range(-len(message.words), 0)) <= indices


@given(st.lists(BAGS, max_size=6), COUNTS, st.sampled_from([None, Repeated.INDEPENDENT]))
def test_a_batch_survives_the_wire(bags, count, repeated):
    """Every report of a batch is read again as it was, in order."""
    request = Compressor(count).report(bags, repeated)
    again = ReportRequest.FromString(request.SerializeToString())
    assert bags == [decoded.bag for decoded in decode_report(again)]
    assert count == again.global_word_count


@given(st.lists(BAGS, max_size=6), BAGS)
def test_differences_survive_the_wire(bags, base):
    """A batch, cut where an attribute is gone, is read again as it was."""
    grown = [base.updated(bag) for bag in bags]
    runs = list(delta_runs(grown))
    assert grown == [bag for run in runs for bag in run]
    found = []
    for run in runs:
        request = Compressor().report(run, Repeated.DELTA)
        assert ReportRequest.DELTA_ENCODING == request.repeated_attributes_semantics
        found += [decoded.bag for decoded in decode_report(request)]
    assert grown == found


@given(st.binary(max_size=60))
def test_any_message_is_decoded_or_refused(data):
    """Whatever bytes parse as attributes give a bag, with faults perhaps, or one error."""
    message = CompressedAttributes()
    try:
        message.ParseFromString(data)
    except DecodeError:
        return
    try:
        decoded = decode_attributes(message)
    except MixerError:
        return
    again = decode_attributes(Compressor().attributes(decoded.bag))
    assert repr(decoded.bag) == repr(again.bag)


INDICES = st.integers(-4, len(GLOBAL_WORDS) - 1)


@st.composite
def messages(draw):
    """Attributes as any client may encode them, with words and indices as it likes."""
    message = CompressedAttributes(words=["a", "b", "source.ip", "a'"])
    names = draw(st.lists(INDICES, max_size=8, unique_by=word_of))
    for name in names:
        kind = draw(st.sampled_from(list(KINDS)))
        if kind == "strings":
            message.strings[name] = draw(INDICES)
        elif kind == "string_maps":
            keys = draw(st.lists(INDICES, max_size=3, unique_by=word_of))
            message.string_maps[name].entries.update({key: draw(INDICES) for key in keys})
        elif kind in {"timestamps", "durations"}:
            target = getattr(message, kind)[name]
            target.seconds = draw(st.integers(0, 1 << 35))
            target.nanos = draw(st.integers(0, 999_999)) * 1_000
        else:
            getattr(message, kind)[name] = draw(KINDS[kind])
    return message


def word_of(index):
    """The word of an index in the messages above."""
    return GLOBAL_WORDS[index] if index >= 0 else ["a", "b", "source.ip", "a'"][-index - 1]


KINDS = {
    "strings": None,
    "string_maps": None,
    "timestamps": None,
    "durations": None,
    "int64s": st.integers(-(1 << 63), (1 << 63) - 1),
    "doubles": st.floats(allow_nan=False),
    "bools": st.booleans(),
    "bytes": st.binary(max_size=4),
}


@given(messages())
def test_whatever_another_client_encodes_is_kept(message):
    """Decoding loses nothing: encoded again, it is read as the same."""
    decoded = decode_attributes(message)
    assert () == decoded.faults
    counts = [len(getattr(message, kind)) for kind in KINDS]
    assert sum(counts) == len(decoded.bag)
    again = Compressor(0).attributes(decoded.bag)
    assert decoded == decode_attributes(again)
    assert counts == [len(getattr(again, kind)) for kind in KINDS]


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 230)), max_size=6))
def test_indices_of_no_word_are_faults(pairs):
    """A text with an index that no list has reads as absent, and is told."""
    message = CompressedAttributes(words=["a", "b"], strings=dict(pairs))
    decoded = decode_attributes(message)
    known = range(-2, len(GLOBAL_WORDS))
    bad = [pair for pair in dict(pairs).items() if not set(pair) <= set(known)]
    assert len(bad) == len(decoded.faults)
    assert len(dict(pairs)) - len(bad) == len(decoded.bag)


def test_the_encoding_is_that_of_the_table():
    """Global words by their place, others from -1 down, each once, in the typed maps."""
    bag = AttributeBag({"source.ip": b"\1\2\3\4", "mine": "GET", "request.headers": {"mine": "x"}})
    message = Compressor().attributes(bag)
    at = GLOBAL_WORDS.index
    assert ["mine", "x"] == list(message.words)
    assert {0: b"\1\2\3\4"} == dict(message.bytes)
    assert {-1: at("GET")} == dict(message.strings)
    assert {-1: -2} == dict(message.string_maps[at("request.headers")].entries)


def test_equal_values_are_not_said_again():
    """In differences an entry holds what is new; numbers that only Python finds equal are."""
    bags = [
        AttributeBag(values)
        for values in ({"a": 1, "b": "x"}, {"a": 1, "b": "y"}, {"a": True, "b": "y"})
    ]
    request = Compressor().report(bags)
    assert [(1, 1, 0), (0, 1, 0), (0, 0, 1)] == [
        (len(entry.int64s), len(entry.strings), len(entry.bools)) for entry in request.attributes
    ]


def test_a_batch_in_which_an_attribute_goes_is_not_encoded_as_differences():
    """There is no way to say that it is gone (quirk 13)."""
    bags = [AttributeBag({"a": 1, "b": 2}), AttributeBag({"a": 1})]
    request = Compressor().report(bags)
    assert ReportRequest.INDEPENDENT_ENCODING == request.repeated_attributes_semantics
    with pytest.raises(ValueError, match="use delta_runs"):
        Compressor().report(bags, Repeated.DELTA)


def test_words_of_an_entry_replace_those_of_the_batch():
    """Only entries without words of their own use the shared list."""
    request = ReportRequest(default_words=["a", "b"], repeated_attributes_semantics=1)
    request.attributes.add(strings={-1: -2})
    request.attributes.add(words=["c"], strings={-1: -1})
    assert [{"a": "b"}, {"c": "c"}] == [dict(each.bag) for each in decode_report(request)]


def test_one_name_in_two_types_is_an_error():
    """For a check, and for that entry of a report; the entries after it are read."""
    message = CompressedAttributes(words=["a"], strings={-1: -1}, int64s={-1: 1})
    with pytest.raises(MixerError, match="'a' is there twice"):
        decode_attributes(message)
    request = ReportRequest(default_words=["a"], repeated_attributes_semantics=1)
    request.attributes.add(strings={-1: -1}, int64s={-1: 1})
    request.attributes.add(int64s={-1: 2})
    error, decoded = decode_report(request)
    assert "report 0: the attribute 'a' is there twice" in str(error)
    assert AttributeBag({"a": 2}) == decoded.bag


def test_a_fault_in_differences_is_an_error_of_that_entry():
    """What it meant is unknown; what it said besides holds for the entries after it."""
    request = ReportRequest(default_words=["a"])
    request.attributes.add(int64s={-1: 1, -9: 3})
    request.attributes.add(bools={-1: False})
    error, decoded = decode_report(request)
    assert "report 0: no word has the index -9" == str(error)
    assert AttributeBag({"a": False}) == decoded.bag


def test_what_a_difference_lost_is_absent_and_not_as_before():
    """Until an entry says it again: a stale value would be a wrong one."""
    request = ReportRequest(default_words=["a", "b"])
    request.attributes.add(strings={-1: -1}, int64s={-2: 1})
    request.attributes.add(strings={-1: -9}, int64s={-2: 2}, bools={-2: True})
    request.attributes.add(doubles={0: 1.0})
    request.attributes.add(strings={-1: -2})
    _, error, third, fourth = decode_report(request)
    assert "report 1: the attribute 'b' is there twice" == str(error)
    assert AttributeBag({"source.ip": 1.0}) == third.bag
    assert AttributeBag({"source.ip": 1.0, "a": "b"}) == fourth.bag


def test_times_are_read_to_the_microsecond():
    """Nanoseconds are cut, not rounded; what no datetime can hold is a fault."""
    message = CompressedAttributes(words=["t", "d", "bad", "long", "mixed"])
    message.timestamps[-1].nanos = 1_999
    message.durations[-2].seconds, message.durations[-2].nanos = -1, -1_999
    message.timestamps[-3].seconds = 1 << 40
    message.durations[-4].seconds = 1 << 60
    message.durations[-5].seconds, message.durations[-5].nanos = 1, -1
    decoded = decode_attributes(message)
    assert {
        "t": datetime(1970, 1, 1, microsecond=1, tzinfo=UTC),
        "d": timedelta(seconds=-1, microseconds=-1),
    } == dict(decoded.bag)
    assert 3 == len(decoded.faults)


@pytest.mark.parametrize("nanos", [10**9, -(10**9), 2**31 - 1])
def test_a_second_and_more_are_no_nanoseconds(nanos):
    """The protocol has one form for each time (google.protobuf.Duration); others are faults."""
    message = CompressedAttributes(words=["d", "t"])
    message.durations[-1].nanos = message.timestamps[-2].nanos = nanos
    decoded = decode_attributes(message)
    assert (0, 2) == (len(decoded.bag), len(decoded.faults))


def test_a_map_with_a_lost_word_reads_as_absent():
    """Half a map would be a claim about the other half."""
    message = CompressedAttributes(words=["m"])
    message.string_maps[-1].entries[-7] = 0
    decoded = decode_attributes(message)
    assert ({}, ("the value of 'm' cannot be read",)) == (dict(decoded.bag), decoded.faults)
