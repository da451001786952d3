"""What becomes of the text of a file."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshregistry.documents import (
    Document,
    MappingNode,
    ScalarNode,
    SequenceNode,
    decode,
    digest,
    from_plain,
    parse,
    to_plain,
)
from meshregistry.errors import ConfigError


def documents(text: str, file: str = "a.yaml") -> list[object]:
    """The plain values of the good documents, the messages of the others."""
    return [
        to_plain(found.root) if isinstance(found, Document) else found.message
        for found in parse(text, file=file)
    ]


def only(text: str) -> MappingNode:
    """The root of a text of one document."""
    (document,) = parse(text, file="a.yaml")
    assert isinstance(document, Document), str(document)
    assert isinstance(document.root, MappingNode)
    return document.root


def fault(text: str, file: str = "a.yaml") -> ConfigError:
    """The fault of a text of one broken document."""
    (found,) = parse(text, file=file)
    assert isinstance(found, ConfigError), found
    return found


def test_every_node_knows_its_place() -> None:
    """Line and column are counted from 1, and the path leads from the root."""
    root = only('# first\nsources:\n  - id: a\n  - address: "x"\n    "a b": {c: 1}\n')
    sources = root.get("sources")
    assert isinstance(sources, SequenceNode)
    second = sources.items[1]
    assert isinstance(second, MappingNode)
    address, odd = second.get("address"), second.get("a b")
    assert isinstance(address, ScalarNode)
    assert isinstance(odd, MappingNode)
    below = odd.get("c")
    assert below is not None
    assert (4, 14, "sources[1].address") == (address.line, address.column, address.path)
    assert (5, 16, 'sources[1]["a b"].c') == (below.line, below.column, below.path)
    assert address.file == "a.yaml"


def test_scalars_stay_as_typed() -> None:
    """No number, boolean or date is made of a scalar before a type asks for one."""
    root = only("a: 1.10\nb: no\nc: 0x10\nd: 2020-01-01\ne: 010\nf: 1_0\n")
    texts = [value.text for _, value in root.entries if isinstance(value, ScalarNode)]
    assert ["1.10", "no", "0x10", "2020-01-01", "010", "1_0"] == texts


def test_a_broken_document_leaves_the_others() -> None:
    """The text is split before it is parsed."""
    found = documents("a: 1\n---\nb: [1\n---\nc: 3\n...\n%YAML 1.2\n---\nd: 4\n")
    assert [{"a": 1}, {"c": 3}, {"d": 4}] == [one for one in found if isinstance(one, dict)]
    assert ["a.yaml:4:1: not YAML"] == [str(one)[:20] for one in found if isinstance(one, str)]


def test_lines_of_later_documents_count_from_the_start_of_the_file() -> None:
    """Splitting does not shift positions."""
    _, second = parse("a: 1\n---\n\nb: 2\n", file="a.yaml")
    assert isinstance(second, Document)
    assert isinstance(second.root, MappingNode)
    assert second.root.entries[0][0].line == 4


def test_documents_that_say_nothing_are_left_out() -> None:
    """Comments and lone markers are no documents, an empty mapping is one."""
    assert [] == documents("")
    assert [] == documents("# a\n---\n# b\n---\n")
    assert [{}] == documents("---\n{}\n---\n")


def test_a_marker_inside_a_block_text_is_not_a_marker_when_indented() -> None:
    """Only a marker at the start of a line ends a document."""
    assert [{"a": "x\n---\ny\n"}] == documents("a: |\n  x\n  ---\n  y\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1, 2\n", "a.yaml:2:1: not YAML: did not find expected ',' or ']'"),
        ("a: b: c\n", "a.yaml:1:5: not YAML: mapping values are not allowed"),
        ("a: x\n\tb: y\n", "a.yaml:2:1: not YAML: found a tab character"),
        ('a: "x\n', "a.yaml:2:1: not YAML: found unexpected end of stream"),
        ("a: 1\nb: 2\na: 3\n", "a.yaml:3:1: a: the key a is given twice, first in line 1"),
        ("a: !x 1\n", "a.yaml:1:4: a: the tag !x is not supported"),
        ("a: !!binary aa==\n", "a.yaml:1:4: a: the tag !!binary is not supported"),
        ("a: *b\n", "a.yaml:1:4: a: *b names nothing"),
        ("a: &a [*a]\n", "a.yaml:1:8: a[0]: *a names nothing"),
        ("? [a]\n: b\n", "a.yaml:1:3: a key must be a text"),
        ("? \n: b\n", "a.yaml:1:2: a key is empty"),
        ("a: \x07\n", "a.yaml:1: not YAML: there is a character"),
        ("a: \ud800\n", "a.yaml:1: not YAML: there is a character"),
        ("<<: 1\n", "a.yaml:1:5: <<: << needs a mapping"),
        ("'" + "a" * 10 + "'\nb: 1\n", "a.yaml:2:1: "),
    ],
)
def test_a_fault_names_place_and_remedy(text: str, message: str) -> None:
    """Every complaint has a line, and ends with what to do."""
    found = fault(text)
    assert found.message.startswith(message), found.message
    assert found.remedy


def test_a_variable_inside_braces_is_a_known_trap() -> None:
    """Its brace ends the mapping, so the remedy is special."""
    assert fault("a: {b: ${PORT}, c: 1}\n").remedy.startswith("a ${VAR} inside {…} or […]")


def test_nesting_has_a_limit() -> None:
    """A bomb of brackets ends in a fault, not in a crash."""
    assert fault("[" * 100_000).reason == "nested more than 100 deep"


def test_copies_have_a_limit() -> None:
    """Aliases of aliases must not fill the memory."""
    text = "a0: &a0 [x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
    )
    assert "too many copies" in fault(text).reason


def test_aliases_and_merge_keys_are_copies_at_their_own_path() -> None:
    """A copy's path says where it is used, and own keys win over merged ones."""
    root = only("base: &b {x: 1, y: 2}\none: *b\ntwo:\n  <<: *b\n  y: 3\n")
    assert {"base": {"x": 1, "y": 2}, "one": {"x": 1, "y": 2}, "two": {"x": 1, "y": 3}} == to_plain(
        root
    )
    one = root.get("one")
    assert isinstance(one, MappingNode)
    assert ["one.x", "one.y"] == [value.path for _, value in one.entries]


def test_json_is_read_as_it_is() -> None:
    """Escapes, pairs of surrogates and tabs between tokens are JSON."""
    text = json.dumps({"a": "é😀\n/", "b": [1, True, None, 0.5]}).replace(": ", ":\t")
    assert [{"a": "é😀\n/", "b": [1, True, None, 0.5]}] == documents(text, "a.json")


def test_decode_refuses_other_encodings() -> None:
    """A file that is not UTF-8 is a fault with its line; a byte-order mark is dropped."""
    with pytest.raises(ConfigError, match=r"a\.yaml:2: the byte 0xe9 is not UTF-8; save"):
        decode(b"a: 1\nb: \xe9\n", file="a.yaml")
    assert decode(b"\xef\xbb\xbfa: 1", file="a.yaml") == "a: 1"


_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(max_size=5), _PLAIN, min_size=1, max_size=4))
def test_what_json_writes_comes_back(value: dict[str, object]) -> None:
    """Any JSON document means the same after parsing, and from_plain agrees with it."""
    text = json.dumps(value)
    assert [value] == documents(text, "a.json")
    assert value == to_plain(from_plain(value))


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="ab:-[]{}&*!|>'\"%#\n\t ,?.", max_size=40))
def test_parse_never_raises(text: str) -> None:
    """Whatever a text holds, the answer is documents and faults with places."""
    for found in parse(text, file="a.yaml"):
        assert isinstance(found, Document) or found.file == "a.yaml"


def test_from_plain_refuses_objects() -> None:
    """A value that no document could hold is named with its path."""
    with pytest.raises(ConfigError, match=r"a\[0\]: a object cannot be part of a document"):
        from_plain({"a": [object()]})
    with pytest.raises(ConfigError, match="the key 1 is not a text"):
        from_plain({1: 2})


def test_equal_trees_have_equal_digests() -> None:
    """Places and the order of keys do not count; values, quotes and nesting do."""
    trees = ["a: 1\nb: [x]", "{b: [x],   a: 1}", "a: '1'\nb: [x]", "a: 1\nb: x", "a: 1\nb: [y]"]
    digests = [digest(only(text)) for text in trees]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 4
