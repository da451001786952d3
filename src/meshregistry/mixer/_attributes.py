"""Attribute bags: what is said of one request, by names, in a closed set of types.

======================  ==================================================
On the wire             In Python
======================  ==================================================
string                  `str` (URIs, DNS names and e-mail addresses, too)
int64                   `int`
double                  `float`
bool                    `bool`
timestamp               `datetime.datetime` with a time zone
duration                `datetime.timedelta`
bytes                   `bytes`; an IP address is 4 or 16 of them
string map              `StringMap`, or any mapping of text to text
======================  ==================================================

Times have the resolution of Python, a microsecond; finer ones are cut when they are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from meshregistry.mixer._shapes import Shape, Signature

_INT64 = 1 << 63
# What google.protobuf.Duration can hold: about 10,000 years.
_LONGEST = timedelta(seconds=315_576_000_000)


class ValueType(Enum):
    """The declared type of an attribute, with its number in configuration documents."""

    STRING = 1
    INT64 = 2
    DOUBLE = 3
    BOOL = 4
    TIMESTAMP = 5
    IP_ADDRESS = 6
    EMAIL_ADDRESS = 7
    URI = 8
    DNS_NAME = 9
    DURATION = 10
    STRING_MAP = 11


class StringMap(Mapping[str, str]):
    """An immutable mapping of text to text, such as the headers of a request.

    Raises:
        TypeError: if a key or a value is not text.
        ValueError: if one of them cannot be written as UTF-8.
    """

    __slots__ = ("_hash", "entries")

    entries: Mapping[str, str]
    """What it holds, for the quickest reading."""

    def __init__(self, entries: Mapping[str, str] | None = None, /, **more: str) -> None:
        own = {**(entries or {}), **more}
        try:
            text = "".join([*own, *own.values()])
        except TypeError as error:
            msg = "a string map holds text only, under names that are text"
            raise TypeError(msg) from error
        if not text.isascii():
            _utf8(text)
        self.entries = MappingProxyType(own)
        self._hash: int | None = None

    @classmethod
    def of_checked(cls, entries: dict[str, str]) -> Self:
        """A map of texts that have been checked, such as a decoder's; it keeps the dictionary."""
        made = cls.__new__(cls)
        made.entries = MappingProxyType(entries)
        made._hash = None  # noqa: SLF001 - it is one of ours
        return made

    def __getitem__(self, key: str) -> str:
        return self.entries[key]

    def __contains__(self, key: object) -> bool:
        return key in self.entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, StringMap):
            return self.entries == other.entries
        return NotImplemented

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(frozenset(self.entries.items()))
        return self._hash

    def __repr__(self) -> str:
        return f"StringMap({dict(self.entries)!r})"


Value = str | int | float | bool | datetime | timedelta | bytes | StringMap
"""Every type that the value of an attribute can have."""


class AttributeBag(Mapping[str, Value]):
    """The attributes of one request: an immutable mapping of names to values.

    Plain mappings become `StringMap`, IP addresses their bytes, times UTC. Two bags are
    equal if the types of their values are, too: 1, 1.0 and True are three values.

    Args:
        values: the attributes by name.

    Raises:
        TypeError: if a value has none of the types.
        ValueError: if a value is out of the range of its type.
    """

    __slots__ = ("entries",)

    entries: Mapping[str, Value]
    """What it holds, for the quickest reading."""

    def __init__(self, values: Mapping[str, object] | None = None, /) -> None:
        self.entries = MappingProxyType(
            {name: _value(name, value) for name, value in (values or {}).items()}
        )

    @classmethod
    def of_checked(cls, values: dict[str, Value]) -> Self:
        """A bag of values that have been checked, such as a decoder's; it keeps the dictionary."""
        bag = cls.__new__(cls)
        bag.entries = MappingProxyType(values)
        return bag

    def updated(self, values: Mapping[str, object]) -> AttributeBag:
        """This bag with more attributes; theirs win.

        Raises:
            TypeError, ValueError: as the constructor.
        """
        return self.of_checked({**self.entries, **AttributeBag(values).entries})

    def signature(self, shape: Shape) -> Signature | None:
        """What it holds for a shape, which is what an answer depends on; None if it does not fit."""
        return shape.signature(self.entries)

    def __getitem__(self, name: str) -> Value:
        return self.entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AttributeBag):
            return NotImplemented
        return self.entries == other.entries and all(
            type(value) is type(other.entries[name]) for name, value in self.entries.items()
        )

    def __hash__(self) -> int:
        return hash(frozenset(self.entries.items()))

    def __repr__(self) -> str:
        return f"AttributeBag({dict(self.entries)!r})"


class BagBuilder:
    """Collects attributes one by one, and makes bags of them.

    A value of None is left out, so what a request lacks needs no branch of the caller's.
    """

    def __init__(self, start: AttributeBag | None = None) -> None:
        self._values: dict[str, Value] = dict(start.entries) if start else {}

    def set(self, name: str, value: object) -> Self:
        """Say one attribute; None says nothing.

        Raises:
            TypeError, ValueError: as `AttributeBag`.
        """
        if value is not None:
            self._values[name] = _value(name, value)
        return self

    def unset(self, name: str) -> Self:
        """Take an attribute back; it need not be there."""
        self._values.pop(name, None)
        return self

    def build(self) -> AttributeBag:
        """A bag of what has been said so far; the builder can go on."""
        return AttributeBag.of_checked(dict(self._values))


def _value(name: str, value: object) -> Value:
    """The value as a bag keeps it."""
    if not isinstance(name, str):
        raise TypeError(f"the name of an attribute is text, not {name!r}")
    convert = _CONVERTERS.get(type(value))
    if convert is None:
        # Rare: a subclass, such as a host name of the model or an IntEnum.
        convert = next(
            (each for kind, each in _CONVERTERS.items() if isinstance(value, kind)), None
        )
    if convert is None:
        raise TypeError(
            f"the attribute {name!r} has a value of the type {type(value).__name__}; "
            "give text, a number, a bool, bytes, a datetime, a timedelta or a mapping of text"
        )
    try:
        return convert(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise type(error)(f"the attribute {name!r}: {error}") from error


def _utf8(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"the text {text[error.start : error.end]!r} cannot be written as UTF-8; "
            "decode what you received with errors='replace'"
        ) from error


def _text(value: str) -> str:
    if not value.isascii():
        _utf8(value)
    return str.__str__(value)


def _int64(value: int) -> int:
    if not -_INT64 <= value < _INT64:
        raise ValueError(f"{value} does not fit into 64 bits")
    return int(value)


def _time(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError(f"{value} has no time zone; say datetime.now(UTC)")
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{value} is outside of the years 1 to 9999 in UTC") from error


def _duration(value: timedelta) -> timedelta:
    if not -_LONGEST <= value <= _LONGEST:
        raise ValueError(f"{value} is longer than 10,000 years")
    return value


def _map(value: Mapping[str, str]) -> StringMap:
    return value if isinstance(value, StringMap) else StringMap(value)


# `bool` stands before `int`, whose subclass it is.
_CONVERTERS: Mapping[type, Callable[[Any], Value]] = {
    str: _text,
    bool: bool,
    int: _int64,
    float: float,
    bytes: bytes,
    datetime: _time,
    timedelta: _duration,
    StringMap: _map,
    dict: _map,
    Mapping: _map,
    IPv4Address: lambda value: value.packed,
    IPv6Address: lambda value: value.packed,
}
