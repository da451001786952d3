"""Facts of the RecordIO decoder."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshregistry.errors import RegistryProtocolError
from meshregistry_mesos._recordio import RecordReader


def encode(records):
    """What Mesos writes."""
    return b"".join(str(len(one)).encode() + b"\n" + one for one in records)


def pieces(data, cuts):
    """The bytes, cut at these places."""
    edges = sorted({0, len(data), *(one % (len(data) + 1) for one in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@given(st.lists(st.binary(max_size=40)), st.lists(st.integers(min_value=0)))
def test_what_is_encoded_is_decoded_however_it_is_cut(records, cuts):
    """Also records that look like lengths, and empty ones."""
    reader = RecordReader()
    found = [one for piece in pieces(encode(records), cuts) for one in reader.feed(piece)]
    assert records == found
    assert reader.is_between


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1), st.integers(min_value=1))
def test_a_stream_that_breaks_off_gives_whole_records_only(records, lost):
    """And says that it did not end between two."""
    data = encode(records)
    reader = RecordReader()
    found = list(reader.feed(data[: len(data) - 1 - lost % len(records[-1])]))
    assert records[:-1] == found
    assert not reader.is_between


@given(st.binary(max_size=60))
def test_any_bytes_are_records_or_an_error(data):
    """Nothing else is raised, and byte by byte gives the same as all at once."""

    def outcome(parts):
        reader, found = RecordReader(), []
        try:
            for part in parts:
                found += reader.feed(part)
        except RegistryProtocolError:
            return found, "refused"
        return found, "taken"

    assert outcome([data])[1] == outcome([bytes([one]) for one in data])[1]


@pytest.mark.parametrize("data", [b"<html>\n", b"12x\n", b"\n", b"-1\n{}", b"1" * 20, b" 2\n{}"])
def test_what_is_not_recordio_is_refused_early(data):
    """With what was found and the question whether this is Mesos."""
    with pytest.raises(RegistryProtocolError, match="is this address a Mesos master"):
        list(RecordReader().feed(data))
