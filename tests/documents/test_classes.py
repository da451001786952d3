"""What config classes may contain, and the schema that follows from them."""

from __future__ import annotations

import enum
import json
from pathlib import Path
from typing import Any, Literal, Optional

import pytest
from attrs import Factory, define, field, frozen

from meshregistry.documents import Seconds, Secret, check_class, json_schema, unstructure


class Color(enum.Enum):
    """An enumeration of texts."""

    RED = "red"


class Number(enum.Enum):
    """An enumeration of numbers."""

    ONE = 1


@frozen
class Inner:
    """An inner class.

    With more to say.
    """

    port: int
    flag: bool = True


@frozen
class Good:
    """Everything that is allowed."""

    address: str
    password: Secret
    wait: Seconds = Seconds(90.0)
    ratio: float = 0.5
    token: Secret | None = None
    ca: Optional[Path] = None  # noqa: UP045 - the old spelling is what is tested
    mode: Literal["auto", "poll"] = "auto"
    color: Color = Color.RED
    labels: dict[str, str] = Factory(dict)
    inners: tuple[Inner, ...] = ()
    pair: tuple[int, str] = (1, "a")


@define
class Mutable:
    """A class that is not frozen."""

    a: int = 1


@frozen
class Outer:
    """A frozen class with one that is not."""

    inner: Mutable


def test_a_good_class_has_no_faults() -> None:
    """All the types of contracts section 3 pass."""
    assert check_class(Good) == ()


def test_a_class_must_be_a_frozen_attrs_class() -> None:
    """Plain classes and mutable ones are named."""
    assert check_class(int) == ("int is not an attrs class: decorate it with attrs.frozen",)
    assert check_class(Mutable) == ("Mutable is not frozen: decorate it with attrs.frozen",)
    assert check_class(Outer) == ("Outer.inner is not frozen: decorate it with attrs.frozen",)


@pytest.mark.parametrize(
    ("hint", "start"),
    [
        (object, "Bad.field is of the type object: use str, int"),
        (Any, "Bad.field is of the type"),
        (set[str], "Bad.field is of the type set[str]"),
        (list, "Bad.field is of the type list"),
        (str | int, "Bad.field is of the type str | int"),
        (dict[int, str], "Bad.field is a dict whose keys are not str"),
        (dict[str, object], "Bad.field[] is of the type object"),
        (list[bytes], "Bad.field[] is of the type bytes"),
        (Number, "Bad.field is an Enum with values other than str"),
        ("NotThere", "Bad has a type that is not known at run time"),
    ],
)
def test_other_types_are_faults(hint: Any, start: str) -> None:
    """What has no schema or no way of writing is refused, with what to use instead."""

    class Bad:
        field = None

    Bad.__annotations__ = {"field": hint}
    (found,) = check_class(frozen(Bad))
    assert found.startswith(start), found


def test_reserved_keys_are_faults() -> None:
    """Also those that a secret brings along."""

    @frozen
    class Bad:
        id: str = ""
        guard: Secret | None = None
        token: Secret | None = None
        token_file: str = ""

    assert check_class(Bad, reserved=["id", "guard_env"]) == (
        "Bad.id is a key of the core: give the field another name",
        "Bad.guard_env is a key of the core: give the field another name",
        "Bad.token_file is taken twice: a secret also has the keys token_file",
    )


def test_a_recursive_class_is_a_fault() -> None:
    """A schema must be finite."""
    assert check_class(Tree) == (
        "Tree.children[] contains itself: a config class must not be recursive",
    )


@frozen
class Tree:
    """A class that contains itself."""

    children: tuple[Tree, ...] = ()


def test_further_scalars_are_allowed_on_request() -> None:
    """A caller's own types pass where the caller says so."""

    @frozen
    class Own:
        value: complex = 0j

    assert len(check_class(Own)) == 1
    assert check_class(Own, scalars={complex: complex}) == ()


def test_the_schema_says_what_structure_takes() -> None:
    """Types, defaults as users write them, required keys, and the ways to give a secret."""
    inner = {
        "type": "object",
        "title": "Inner",
        "description": "An inner class.",
        "properties": {"port": {"type": "integer"}, "flag": {"type": "boolean", "default": True}},
        "additionalProperties": False,
        "required": ["port"],
    }
    schema = json.loads(json.dumps(json_schema(Good)))
    properties = schema.pop("properties")
    pattern = properties["wait"].pop("pattern")
    assert pattern.startswith("^")
    assert {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "title": "Good",
        "description": "Everything that is allowed.",
        "additionalProperties": False,
        "required": ["address"],
        "allOf": [
            {
                "oneOf": [
                    {"required": ["password"]},
                    {"required": ["password_file"]},
                    {"required": ["password_env"]},
                ]
            }
        ],
    } == schema
    text = {"type": "string"}
    assert {
        "address": text,
        "password": text,
        "password_file": text,
        "password_env": text,
        "wait": {"type": "string", "default": "1m30s"},
        "ratio": {"type": "number", "default": 0.5},
        "token": {"anyOf": [text, {"type": "null"}]},
        "token_file": text,
        "token_env": text,
        "ca": {"anyOf": [text, {"type": "null"}]},
        "mode": {"enum": ["auto", "poll"], "default": "auto"},
        "color": {"enum": ["red"], "default": "red"},
        "labels": {"type": "object", "additionalProperties": text},
        "inners": {"type": "array", "items": inner, "default": []},
        "pair": {
            "type": "array",
            "prefixItems": [{"type": "integer"}, text],
            "minItems": 2,
            "maxItems": 2,
            "default": [1, "a"],
        },
    } == properties


def test_unstructure_hides_secrets() -> None:
    """Debug documents may show whole config classes."""
    plain = unstructure(Good(address="a", password=Secret("hunter2"), token=Secret("x")))
    assert ("***", "***") == (plain["password"], plain["token"])


def test_any_and_plain_attributes_in_a_schema() -> None:
    """What a caller takes as a tree is open; what no argument sets is not shown."""

    @frozen
    class Open:
        tree: Any = None
        own: complex = 0j
        inner: int = field(default=0, init=False)

    properties = json_schema(Open, scalars={complex: complex})["properties"]
    assert properties == {"tree": {}, "own": {"type": "string", "default": 0j}}


def test_older_attrs_tells_frozen_classes_by_their_setattr() -> None:
    """Before it described its classes, a frozen one was known by what it does not allow."""

    @frozen
    class Frozen:
        a: int = 1

    @define
    class Loose:
        a: int = 1

    for cls in (Frozen, Loose):
        if hasattr(cls, "__attrs_props__"):
            del cls.__attrs_props__
    assert check_class(Frozen) == ()
    assert check_class(Loose) == ("Loose is not frozen: decorate it with attrs.frozen",)
