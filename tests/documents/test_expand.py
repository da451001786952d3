"""Variables of the environment in documents."""

from __future__ import annotations

import pytest

from meshregistry.documents import Document, ScalarNode, expand, parse, to_plain
from meshregistry.errors import ConfigError

ENVIRON = {"HOST": "db", "PORT": "80", "EMPTY": "", "WORD": "null", "TREE": "{a: 1}"}


def expanded(text: str) -> object:
    """The plain value of a text of one document after expansion."""
    (document,) = parse(text, file="a.yaml")
    assert isinstance(document, Document)
    return to_plain(expand(document.root, ENVIRON))


def test_variables_are_replaced_inside_scalars() -> None:
    """Several may stand in one text, also in lists and mappings."""
    assert {"a": ["db:80", {"b": "x"}]} == expanded("a: ['${HOST}:${PORT}', {b: '${NO:-x}'}]")


def test_a_plain_scalar_stays_plain() -> None:
    """A port may come from the environment; in quotes it stays a text."""
    assert {"a": 80, "b": "80"} == expanded("a: ${PORT}\nb: '${PORT}'")


def test_the_default_counts_when_unset_or_empty() -> None:
    """As in a shell."""
    assert {"a": "x", "b": "x", "c": None} == expanded("a: ${NO:-x}\nb: ${EMPTY:-x}\nc: ${NO:-}")


def test_two_dollars_are_one() -> None:
    """And a dollar before anything else is itself."""
    assert {"a": "${HOST}", "b": "a$b", "c": "$"} == expanded("a: $${HOST}\nb: a$b\nc: $$")


def test_the_environment_cannot_change_the_structure() -> None:
    """What comes out of a scalar is one scalar, and its words are no keywords."""
    assert {"a": "{a: 1}", "b": "null"} == expanded("a: ${TREE}\nb: ${WORD}")


def test_keys_are_left_alone() -> None:
    """Only values are expanded."""
    assert {"${HOST}": 1} == expanded("${HOST}: 1")


def test_unset_variables_are_faults() -> None:
    """All of them are reported, each at its place."""
    with pytest.raises(ConfigError) as caught:
        expanded("a: ${NO}\nb:\n  - ${NEITHER}${HOST}\nc: ${bad name}\nd: ${HOST")
    assert [
        "a.yaml:1:4: a: the environment variable NO is not set; set it, or write ${NO:-default}",
        (
            "a.yaml:3:5: b[0]: the environment variable NEITHER is not set; "
            "set it, or write ${NEITHER:-default}"
        ),
        (
            "a.yaml:4:4: c: '${bad name}' is not a variable; "
            "write ${VAR} or ${VAR:-default}, or $$ for a dollar"
        ),
        (
            "a.yaml:5:4: d: '${HOST' is not a variable; "
            "write ${VAR} or ${VAR:-default}, or $$ for a dollar"
        ),
    ] == str(caught.value).splitlines()


def test_untouched_scalars_are_the_same() -> None:
    """A text without a dollar is not marked as coming from the environment."""
    node = ScalarNode(file="a", text="null")
    assert expand(node, {}) is node
    assert node.is_null
