"""The tree of a document: texts, lists and mappings that know where they were written.

A scalar stays the text that the user typed until the type that it is meant for decides
what it is, so ``1.10`` and ``no`` stay labels as typed (contracts, section 11).
"""

from __future__ import annotations

import difflib
import enum
import hashlib
import math
import re
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from meshregistry.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_NUMBER = re.compile(r"[-+]?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORD = re.compile(r"[^\s.\[\]\"]+")


@frozen(kw_only=True)
class Position:
    """Where a piece of a document stands; each of the three classes below is one.

    Attributes:
        file: the file that it stands in, or a word in angle brackets such as ``<arguments>``.
        line: counted from 1; None if the document came from Python.
        column: counted from 1; None likewise.
        path: where in its document, such as ``sources[1].address``; empty for the root.
    """

    file: str
    line: int | None = None
    column: int | None = None
    path: str = ""

    def fault(self, reason: str, remedy: str = "") -> ConfigError:
        """An error that names this place; the caller raises or collects it."""
        return ConfigError(
            reason,
            file=self.file,
            field=self.path,
            line=self.line,
            column=self.column,
            remedy=remedy,
        )


@frozen(kw_only=True)
class ScalarNode(Position):
    """One text.

    Attributes:
        text: as typed, without quotes.
        is_plain: whether it stood without quotes; only such a text can be a number, a
            boolean or null.
        is_expanded: whether an environment variable is part of it.
    """

    text: str
    is_plain: bool = True
    is_expanded: bool = False

    @property
    def is_null(self) -> bool:
        """Whether it says "nothing": an empty value, ``~`` or ``null`` without quotes.

        What comes from the environment is nothing only if it is empty.
        """
        return self.is_plain and (not self.text or (not self.is_expanded and self.text in _NULLS))

    def as_bool(self) -> bool | None:
        """True or False if it is written as one, else None."""
        if not self.is_plain:
            return None
        return True if self.text in _TRUE else False if self.text in _FALSE else None

    def as_int(self) -> int | None:
        """The whole number that it is, in decimal without leading zeros, else None."""
        return int(self.text) if self.is_plain and _INTEGER.fullmatch(self.text) else None

    def as_float(self) -> float | None:
        """The finite number that it is, else None."""
        if not (self.is_plain and _NUMBER.fullmatch(self.text)):
            return None
        number = float(self.text)
        return number if math.isfinite(number) else None

    @property
    def kind(self) -> str:
        """What it is, for messages."""
        return "nothing" if self.is_null else "a text" if self.is_plain else "a quoted text"


@frozen(kw_only=True)
class SequenceNode(Position):
    """A list."""

    items: tuple[ScalarNode | SequenceNode | MappingNode, ...] = ()

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[ScalarNode | SequenceNode | MappingNode]:
        return iter(self.items)

    @property
    def kind(self) -> str:
        """What it is, for messages."""
        return "a list"


@frozen(kw_only=True)
class MappingNode(Position):
    """Keys and values in the order of the document; keys are texts and differ."""

    entries: tuple[tuple[ScalarNode, ScalarNode | SequenceNode | MappingNode], ...] = ()

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, key: str) -> bool:
        return any(own.text == key for own, _ in self.entries)

    def keys(self) -> tuple[str, ...]:
        """The texts of the keys, in order."""
        return tuple(key.text for key, _ in self.entries)

    def get(self, key: str) -> ScalarNode | SequenceNode | MappingNode | None:
        """The value of that key, or None."""
        return next((value for own, value in self.entries if own.text == key), None)

    def only(self, keys: Iterable[str]) -> MappingNode:
        """The same mapping with these keys only."""
        wanted = frozenset(keys)
        return evolve(self, entries=tuple(e for e in self.entries if e[0].text in wanted))

    def without(self, keys: Iterable[str]) -> MappingNode:
        """The same mapping without these keys."""
        unwanted = frozenset(keys)
        return evolve(self, entries=tuple(e for e in self.entries if e[0].text not in unwanted))

    def unknown(self, known: Iterable[str]) -> list[ConfigError]:
        """One fault for each key that is not known, with a suggestion."""
        names = frozenset(known)
        strange = [key for key, _ in self.entries if key.text not in names]
        return [key.fault("unknown key", suggestion(key.text, sorted(names))) for key in strange]

    @property
    def kind(self) -> str:
        """What it is, for messages."""
        return "a mapping"


AnyNode = ScalarNode | SequenceNode | MappingNode


@frozen(kw_only=True)
class Document:
    """One document of a file.

    Attributes:
        file: the file.
        index: its position among the documents of the file that say something, from 0.
        root: its tree.
    """

    file: str
    index: int
    root: AnyNode


def suggestion(given: str, known: Iterable[str]) -> str:
    """What to write instead: the nearest known word, or all of them."""
    names = list(known)
    near = difflib.get_close_matches(given, names, n=1)
    if near:
        return f"did you mean {near[0]}?"
    return f"write one of: {', '.join(names)}" if names else "take it out"


def child_path(path: str, key: str) -> str:
    """The path of a mapping's value."""
    if not _WORD.fullmatch(key):
        return f'{path}["{key}"]'
    return f"{path}.{key}" if path else key


def from_plain(value: object, *, file: str = "<arguments>", path: str = "") -> AnyNode:
    """A tree from Python's own values, as if they had been written in a file.

    A str counts as quoted: it is never a number or a boolean.

    Raises:
        ConfigError: if there is a value that no document could hold.
    """
    if isinstance(value, enum.Enum):
        value = value.value
    if value is None or isinstance(value, (bool, int, float)):
        text = (
            {None: "null", True: "true", False: "false"}.get(value)
            if (value is None or isinstance(value, bool))
            else repr(value)
        )
        return ScalarNode(file=file, path=path, text=text or "")
    if isinstance(value, str) or hasattr(value, "__fspath__"):
        text = value if isinstance(value, str) else str(value)
        return ScalarNode(file=file, path=path, text=text, is_plain=False)
    if isinstance(value, (list, tuple)):
        items = (
            from_plain(item, file=file, path=f"{path}[{index}]") for index, item in enumerate(value)
        )
        return SequenceNode(file=file, path=path, items=tuple(items))
    if isinstance(value, dict):
        return _mapping(value, file, path)
    msg = f"a {type(value).__name__} cannot be part of a document"
    raise ConfigError(
        msg, file=file, field=path, remedy="use texts, numbers, booleans, None, lists and dicts"
    )


def _mapping(value: Mapping[object, object], file: str, path: str) -> MappingNode:
    entries = []
    for key, item in value.items():
        if not isinstance(key, str):
            msg = f"the key {key!r} is not a text"
            raise ConfigError(msg, file=file, field=path, remedy="use keys of type str")
        below = child_path(path, key)
        entries.append(
            (
                ScalarNode(file=file, path=below, text=key, is_plain=False),
                from_plain(item, file=file, path=below),
            )
        )
    return MappingNode(file=file, path=path, entries=tuple(entries))


def digest(node: AnyNode) -> str:
    """A text that two trees share if and only if they say the same, wherever they stand.

    Quotes count, since they decide what a scalar can be; the order of keys does not.
    """
    return hashlib.blake2b(repr(_content(node)).encode(), digest_size=16).hexdigest()


def _content(node: AnyNode) -> object:
    if isinstance(node, SequenceNode):
        return [_content(item) for item in node.items]
    if isinstance(node, MappingNode):
        return {key: _content(value) for key, value in sorted(_by_key(node).items())}
    return (node.text, node.is_plain, node.is_null)


def _by_key(node: MappingNode) -> dict[str, AnyNode]:
    return {key.text: value for key, value in node.entries}


def to_plain(node: AnyNode) -> Any:
    """Python's own values; a plain scalar becomes null, a boolean or a number if it is one."""
    if isinstance(node, SequenceNode):
        return [to_plain(item) for item in node.items]
    if isinstance(node, MappingNode):
        return {key.text: to_plain(value) for key, value in node.entries}
    if node.is_null:
        return None
    for value in (node.as_bool(), node.as_int(), node.as_float()):
        if value is not None:
            return value
    return node.text
