"""From trees to instances of config classes."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Any, Literal

import pytest
from attrs import Factory, field, frozen
from attrs.validators import and_, ge, le
from hypothesis import given, settings
from hypothesis import strategies as st

from meshregistry.documents import (
    Document,
    MappingNode,
    Seconds,
    Secret,
    from_plain,
    parse,
    structure,
    unstructure,
)
from meshregistry.errors import ConfigError


class Color(enum.Enum):
    """An enumeration."""

    RED = "red"
    BLUE = "blue"


@frozen
class Inner:
    """A nested class."""

    port: int = field(default=1, validator=and_(ge(1), le(65535)))
    name: str = "x"


@frozen
class Config:
    """Every type that is allowed."""

    address: str = "a"
    ok: bool = False
    count: int = 0
    ratio: float = 0.5
    wait: Seconds = Seconds(1.0)
    token: Secret | None = None
    ca: Path | None = None
    mode: Literal["auto", "poll"] = "auto"
    level: Literal[1, 2] = 1
    color: Color = Color.RED
    labels: dict[str, str] = Factory(dict)
    names: list[str] = Factory(list)
    pair: tuple[int, str] | None = None
    inners: tuple[Inner, ...] = ()
    inner: Inner = Inner()


@frozen
class Needy:
    """A class with required fields."""

    address: str
    token: Secret


@frozen
class Ordered:
    """A class with validators of its own."""

    low: int
    high: int = field()
    step: int = field(default=1, converter=abs, validator=ge(1))

    @high.validator
    def _above(self, attribute: object, value: int) -> None:
        if value < self.low:
            msg = f"{value} is below low: write a higher number"
            raise ValueError(msg)

    def __attrs_post_init__(self) -> None:
        if self.low == self.high:
            msg = "low and high are equal"
            raise ValueError(msg)


def root(text: str) -> Any:
    """The tree of a text of one document."""
    (document,) = parse(text, file="a.yaml")
    assert isinstance(document, Document), str(document)
    return document.root


def faults(text: str, cls: type[Any] = Config) -> list[str]:
    """What is wrong with a text, one line each."""
    with pytest.raises(ConfigError) as caught:
        structure(root(text), cls)
    return str(caught.value).splitlines()


def test_every_type_has_its_way_of_writing() -> None:
    """The types of contracts section 3, each from what users write."""
    text = """
address: 1.10
ok: true
count: -3
ratio: 2
wait: 1m30s
token: 0123
ca: certs/ca.pem
mode: poll
level: 2
color: blue
labels: {version: 1.10, flag: no, "on": off}
names: [a, 2, "3"]
pair: [1, 1]
inners: [{port: 2}, {name: "4"}]
inner: {port: 3}
"""
    made = structure(root(text), Config, base_path=Path("/base"))
    assert made == Config(
        address="1.10",
        ok=True,
        count=-3,
        ratio=2.0,
        wait=Seconds(90.0),
        token=Secret("0123"),
        ca=Path("/base/certs/ca.pem"),
        mode="poll",
        level=2,
        color=Color.BLUE,
        labels={"version": "1.10", "flag": "no", "on": "off"},
        names=["a", "2", "3"],
        pair=(1, "1"),
        inners=(Inner(2), Inner(name="4")),
        inner=Inner(3),
    )
    assert isinstance(made.ratio, float)


def test_null_is_none_where_that_is_allowed() -> None:
    """An empty value, a tilde and the word are nothing; in quotes the word is a text."""
    for written in ("", "~", "null"):
        assert structure(root(f"ca: {written}\npair: {written}\n"), Config) == Config()
    assert structure(root("ca: 'null'\n"), Config).ca == Path("null")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("count: '80'", "count: must be a whole number, not a quoted text '80'; write digits"),
        ("count: 1.0", "count: must be a whole number, not a text '1.0'"),
        ("count: 010", "count: must be a whole number, not a text '010'"),
        ("count: 0x10", "count: must be a whole number"),
        ("count: true", "count: must be a whole number"),
        ("count:", "count: must be a whole number, not nothing;"),
        ("count: [1]", "count: must be a whole number, not a list"),
        ("ok: yes", "ok: must be true or false, not a text 'yes'; write true or false"),
        ("ok: 1", "ok: must be true or false"),
        ("ok: 'true'", "ok: must be true or false, not a quoted text 'true'"),
        ("ratio: .inf", "ratio: must be a number"),
        ("ratio: 1e999", "ratio: must be a number"),
        ("wait: 5", "wait: '5' is not a duration; write a number with a unit"),
        ("wait: [5s]", "wait: must be a duration such as 1s, not a list"),
        ("address: null", "address: must be a text, not nothing; write a value, or leave"),
        ("address: {a: b}", "address: must be a text, not a mapping"),
        ("mode: pol", "mode: 'pol' is not one of the choices; write auto or poll"),
        ("mode: [auto]", "mode: must be one of the choices, not a list"),
        ("level: '2'", "level: '2' is not one of the choices; write 1 or 2"),
        ("color: green", "color: 'green' is not one of the choices; write red or blue"),
        ("labels: [a]", "labels: must be a mapping, not a list; write key: value"),
        ("labels: {a: }", "labels.a: must be a text, not nothing"),
        ("names: a", "names: must be a list, not a text; write [a, b]"),
        ("names: [[a]]", "names[0]: must be a text, not a list"),
        ("pair: [1]", "pair: must be a list of 2 values"),
        ("inner: []", "inner: must be a mapping, not a list"),
        ("inner: {port: 0}", "inner.port: must be >= 1: 0"),
        ("inner: {prot: 1}", "inner.prot: unknown key; did you mean port?"),
        ("zzz: 1", "zzz: unknown key; write one of: address, ca"),
        ("token: a\ntoken_env: B", "token_env: token and token_env are given together"),
        ("token_file: [a]", "token_file: must be a path, not a list"),
    ],
)
def test_what_does_not_fit_is_said_with_place_and_remedy(text: str, message: str) -> None:
    """Nothing is coerced, and every message names the field."""
    (found,) = faults(text)
    place, _, said = found.partition(": ")
    assert place.startswith("a.yaml:")
    assert said.startswith(message), said


def test_all_faults_are_reported_together() -> None:
    """One fault does not hide the next, also inside lists."""
    text = "cuont: 1\nok: yes\ninners: [{port: 0}, {port: a, nam: b}]\n"
    assert [
        "a.yaml:1:1: cuont",
        "a.yaml:2:5: ok",
        "a.yaml:3:17: inners[0].port",
        "a.yaml:3:31: inners[1].nam",
        "a.yaml:3:28: inners[1].port",
    ] == [": ".join(line.split(": ")[:2]) for line in faults(text)]


def test_missing_keys_are_named() -> None:
    """A secret may be given in three ways, and all are offered."""
    assert [
        "a.yaml:1:1: address: the key is missing; add address:",
        "a.yaml:1:1: token: the key is missing; add token: or token_file: or token_env:",
    ] == faults("{}", Needy)


def test_a_document_that_is_no_mapping_is_refused() -> None:
    """A list at the top is a fault of the whole document."""
    assert faults("[a]") == ["a.yaml:1:1: must be a mapping, not a list; write key: value"]


def test_secrets_come_from_three_places() -> None:
    """Inline, from a file relative to the settings, or from the environment."""
    base = Path("/base")
    inline = structure(root("{address: a, token: x}"), Needy)
    in_file = structure(root("{address: a, token_file: t}"), Needy, base_path=base)
    in_environment = structure(root("{address: a, token_env: T}"), Needy)
    assert inline.token == Secret("x")
    assert in_file.token == Secret(file=Path("/base/t"))
    assert in_environment.token == Secret(variable="T")


def test_a_secret_is_not_in_a_fault() -> None:
    """What is wrong near a secret is said without it."""
    assert "hunter2" not in "\n".join(faults("{token: [hunter2]}"))
    assert "hunter2" not in "\n".join(faults("{token: hunter2, token_env: hunter2}"))


def test_validators_speak_for_their_field() -> None:
    """Those of attrs, those that look at other fields, and those of the whole."""
    assert faults("{low: 2, high: 1, step: 0}", Ordered) == [
        "a.yaml:1:16: high: 1 is below low: write a higher number",
        "a.yaml:1:25: step: must be >= 1: 0",
    ]
    assert faults("{low: 1, high: 1}", Ordered) == ["a.yaml:1:1: low and high are equal"]
    assert structure(root("{low: 1, high: 2, step: -3}"), Ordered).step == 3


def test_further_scalars_are_read_by_their_own_function() -> None:
    """A caller may add types that are read from a text."""

    @frozen
    class WithComplex:
        value: complex
        raw: Any = None

    made = structure(
        from_plain({"value": "1+2j", "raw": {"a": 1}}), WithComplex, scalars={complex: complex}
    )
    assert made.value == 1 + 2j
    assert isinstance(made.raw, MappingNode)
    with pytest.raises(ConfigError, match="value: complex"):
        structure(from_plain({"value": "x"}), WithComplex, scalars={complex: complex})


def test_python_values_may_be_enumerations_and_paths() -> None:
    """A program need not turn them into texts first."""
    made = structure(from_plain({"color": Color.BLUE, "ca": Path("/x")}), Config)
    assert made == Config(color=Color.BLUE, ca=Path("/x"))


_TEXT = st.text(max_size=6)
_INNER = st.builds(Inner, st.integers(1, 65535), _TEXT)
_CONFIG = st.builds(
    Config,
    address=_TEXT,
    ok=st.booleans(),
    count=st.integers(),
    ratio=st.floats(allow_nan=False, allow_infinity=False),
    wait=st.integers(0, 10**7).map(lambda ms: Seconds(ms / 1000)),
    ca=st.none() | st.from_regex(r"[a-z]{1,3}(/[a-z]{1,3})?", fullmatch=True).map(Path),
    mode=st.sampled_from(["auto", "poll"]),
    level=st.sampled_from([1, 2]),
    color=st.sampled_from(Color),
    labels=st.dictionaries(_TEXT, _TEXT, max_size=2),
    names=st.lists(_TEXT, max_size=2),
    pair=st.none() | st.tuples(st.integers(), _TEXT),
    inners=st.lists(_INNER, max_size=2).map(tuple),
    inner=_INNER,
)


@settings(max_examples=60, deadline=None)
@given(_CONFIG)
def test_structure_undoes_unstructure(config: Config) -> None:
    """Any instance without secrets survives the way to a document and back."""
    assert config == structure(from_plain(unstructure(config)), Config)
