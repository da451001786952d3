"""The header of forwarded attributes: written, read, and believed in part only."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshregistry.mixer import (
    AttributeBag,
    StringMap,
    forwarded_attributes,
    forwarded_header,
    read_forwarded,
)

VALUES = st.one_of(
    st.text(max_size=5),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.booleans(),
    st.floats(allow_nan=False),
    st.binary(max_size=4),
    st.datetimes(timezones=st.just(UTC)),
    st.timedeltas(timedelta(days=-1000), timedelta(days=1000)),
    st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=3).map(StringMap),
)


@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=5).map(AttributeBag))
def test_what_is_written_is_read(bag):
    """Every type survives, zero and empty values too."""
    name, value = forwarded_header(bag)
    assert "x-istio-attributes" == name
    assert bag == forwarded_attributes(value)


def test_the_bytes_are_those_of_the_table():
    """attributes: {"a": {string_value: "b"}}."""
    _, value = forwarded_header(AttributeBag({"a": "b"}))
    assert b"\x0a\x08\x0a\x01a\x12\x03\x12\x01b" == base64.b64decode(value)


def test_only_what_is_on_the_list_is_believed():
    """Texts that say who calls and which service was meant; empty ones say nothing."""
    _, value = forwarded_header(
        AttributeBag(
            {
                "source.uid": "kubernetes://a.b",
                "source.namespace": "",
                "destination.service.host": 7,
                "source.principal": "admin",
                "request.time": datetime(2024, 1, 1, tzinfo=UTC),
            }
        )
    )
    assert {"source.uid": "kubernetes://a.b"} == dict(read_forwarded(value))


@pytest.mark.parametrize("text", ["", "%%", "AAA", "////", base64.b64encode(b"\xff\xff").decode()])
def test_what_cannot_be_read_says_nothing(text):
    """A header that anybody may have written is no reason to fail."""
    assert {} == dict(forwarded_attributes(text))


def test_a_value_without_a_kind_or_out_of_range_is_left_out():
    """As are times that no datetime can hold."""
    nothing = base64.b64encode(b"\x0a\x05\x0a\x01a\x12\x00").decode()
    late = base64.b64encode(
        b"\x0a\x0c\x0a\x01a\x12\x07\x3a\x05\x10\x80\x94\xeb\xdc\x03\x10\x01"[:14]
    ).decode()
    assert {} == dict(forwarded_attributes(nothing))
    assert "a" not in forwarded_attributes(late)
