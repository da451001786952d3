"""Attribute bags: the closed set of types, immutability, equality."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from enum import IntEnum
from ipaddress import ip_address

import pytest

from meshregistry.mixer import AttributeBag, BagBuilder, StringMap
from meshregistry.model import Hostname


class Code(IntEnum):
    """A number with a name."""

    TEAPOT = 418


def test_a_bag_is_a_mapping_of_names_to_values():
    """It is read like any mapping, and asked for what it lacks without an exception."""
    bag = AttributeBag({"request.path": "/a", "request.size": 3})
    assert "/a" == bag["request.path"]
    assert bag.get("request.host") is None
    assert ["request.path", "request.size"] == list(bag)
    assert 2 == len(bag)
    assert "request.size" in bag


def test_values_become_those_of_the_closed_set():
    """Mappings, addresses, subclasses and times of other zones are normalised."""
    there = timezone(timedelta(hours=2))
    bag = AttributeBag(
        {
            "headers": {"a": "b"},
            "ip": ip_address("10.0.0.1"),
            "ip6": ip_address("::1"),
            "host": Hostname("a.b"),
            "code": Code.TEAPOT,
            "time": datetime(2024, 1, 1, 2, tzinfo=there),
        }
    )
    assert StringMap(a="b") == bag["headers"]
    assert b"\x0a\0\0\x01" == bag["ip"]
    assert 16 == len(bag["ip6"])
    assert str is type(bag["host"])
    assert int is type(bag["code"])
    assert (datetime(2024, 1, 1, tzinfo=UTC), UTC) == (bag["time"], bag["time"].tzinfo)


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (None, TypeError, "'x' has a value of the type NoneType"),
        ([1], TypeError, "'x' has a value of the type list"),
        (1 << 63, ValueError, "'x': 9223372036854775808 does not fit into 64 bits"),
        (datetime(2024, 1, 1), ValueError, "has no time zone"),  # noqa: DTZ001 - the fault
        (
            datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
            ValueError,
            "outside of the years 1 to 9999",
        ),
        (timedelta.max, ValueError, "longer than 10,000 years"),
        ("\ud800", ValueError, "cannot be written as UTF-8"),
        ({"a": "\udcff"}, ValueError, "cannot be written as UTF-8"),
        ({"a": 1}, TypeError, "a string map holds text only"),
        ({1: "a"}, TypeError, "a string map holds text only"),
    ],
)
def test_what_cannot_be_sent_is_refused_at_once(value, error, words):
    """The fault is told where the value is said, with the name of the attribute."""
    with pytest.raises(error, match="the attribute 'x'") as caught:
        AttributeBag({"x": value})
    assert words in str(caught.value)


def test_a_name_is_text():
    """Anything else is refused."""
    with pytest.raises(TypeError, match="the name of an attribute is text, not 1"):
        AttributeBag({1: "a"})


def test_a_bag_cannot_be_changed():
    """Neither it nor its maps have a way in, nor does the mapping that it was made of."""
    headers = {"a": "b"}
    values = {"headers": headers}
    bag = AttributeBag(values)
    headers["a"] = "c"
    values["more"] = "1"
    assert AttributeBag({"headers": {"a": "b"}}) == bag
    with pytest.raises(TypeError):
        bag["x"] = 1
    with pytest.raises(TypeError):
        bag.entries["x"] = 1
    with pytest.raises(TypeError):
        bag["headers"].entries["x"] = "1"


def test_bags_are_equal_if_their_types_are_too():
    """Python finds 1, 1.0 and True equal; on the wire they are three values."""
    assert AttributeBag({"a": 1}) == AttributeBag({"a": 1})
    assert AttributeBag({"a": 1}) != AttributeBag({"a": True})
    assert AttributeBag({"a": 1}) != AttributeBag({"a": 1.0})
    assert AttributeBag({"a": 1}) != {"a": 1}
    assert hash(AttributeBag({"a": {"b": "c"}})) == hash(AttributeBag({"a": {"b": "c"}}))


def test_a_bag_is_updated_into_a_new_one():
    """The later values win, and the first bag stays."""
    first = AttributeBag({"a": 1, "b": 2})
    assert AttributeBag({"a": 1, "b": 3, "c": 4}) == first.updated({"b": 3, "c": 4})
    assert AttributeBag({"a": 1, "b": 2}) == first


def test_a_builder_leaves_out_what_is_not_there():
    """None says nothing, so that a request without a header needs no branch."""
    builder = BagBuilder(AttributeBag({"a": 1}))
    first = builder.set("b", None).set("c", "x").build()
    second = builder.unset("a").unset("never").set("c", "y").build()
    assert AttributeBag({"a": 1, "c": "x"}) == first
    assert AttributeBag({"c": "y"}) == second


def test_a_string_map_is_a_value():
    """It compares by content, hashes, and prints as it is made."""
    assert StringMap({"a": "1"}, b="2") == StringMap(b="2", a="1")
    assert hash(StringMap(a="1")) == hash(StringMap(a="1"))
    assert StringMap(a="1") != {"a": "1"}
    assert (["a"], 1, "1", True) == (
        list(StringMap(a="1")),
        len(StringMap(a="1")),
        StringMap(a="1")["a"],
        "a" in StringMap(a="1"),
    )
    assert "AttributeBag({'m': StringMap({'a': '1'})})" == repr(AttributeBag({"m": {"a": "1"}}))
