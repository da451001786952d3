"""Attributes that an operator states as text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshregistry.mixer import StringMap
from meshregistry.mixer.fronts._statics import charges, of_metadata, statics, typed_value


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("destination.service.host", "a.shop", "a.shop"),
        ("destination.port", "8080", 8080),
        ("destination.port", "80a", None),
        ("destination.port", "٣", None),
        ("destination.port", "1" * 19, 1111111111111111111),
        ("destination.port", "9" * 19, None),
        ("destination.ip", "10.0.0.1", bytes([10, 0, 0, 1])),
        ("destination.ip", "10.0.0.0/8", None),
        ("connection.mtls", "TRUE", True),
        ("connection.mtls", "yes", None),
        ("request.time", "2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("request.time", "2026-01-02", None),
        ("response.duration", "1.5s", timedelta(seconds=1.5)),
        ("response.duration", "1.5", None),
        ("response.duration", "9" * 400 + "s", None),
        ("response.duration", "1000000000000s", None),
        ("source.labels", '{"app": "a"}', StringMap(app="a")),
        ("source.labels", '{"app": 1}', None),
        ("source.labels", "app=a", None),
        ("my.own", "8080", "8080"),
    ],
)
def test_text_becomes_the_declared_type(name, text, value):
    """Or nothing, if it does not fit; what is not declared stays text."""
    found = typed_value(name, text)
    assert (type(found), found) == (type(value), value)


def test_quotas_are_stated_beside_attributes():
    """With amounts, or one of each; what makes no sense is left out."""
    said = statics([("mixer.quotas", "q=5, r,=1,s=0,t=-1,u=x"), ("destination.port", "x")])
    assert {"q": 5, "r": 1} == said.quotas
    assert ("destination.port",) == said.refused
    assert 0 == len(said.bag)


def test_the_metadata_of_a_call_state_attributes():
    """Form-urlencoded in one header; the last of one name counts."""
    pairs = of_metadata(
        [("x-mixer-attributes", "destination.service.host=a%26b&my.own=1&my.own=2"), ("x", "y=z")]
    )
    assert {"destination.service.host": "a&b", "my.own": "2"} == dict(statics(pairs).bag)
    assert () == of_metadata(None)


@given(st.dictionaries(st.text(), st.text()))
def test_any_text_can_be_stated(assert_sound, pairs):
    """It is an attribute of its type, or refused."""
    assert_sound(
        statics((name, text.encode(errors="replace").decode()) for name, text in pairs.items()).bag
    )


@given(st.text())
def test_amounts_are_positive_and_fit(text):
    """Whatever is written."""
    assert all(0 < amount < 1 << 63 for amount in charges(text).values())
