"""Manifests: which attributes there are, and of which types."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from enum import Enum
from ipaddress import ip_address
from typing import Self

from attrs import field, frozen

from meshregistry.mixer._attributes import AttributeBag, StringMap, Value, ValueType

_ADDRESS_BYTES = (4, 16)


class When(Enum):
    """Where an attribute comes from, or from when on it is there."""

    CHECK = "at the check"
    REPORT = "at the report"
    STATIC = "from the settings of the client"
    FORWARDED = "from the calling proxy"
    GENERATED = "from an adapter that generates attributes"


@frozen
class Attribute:
    """One declared attribute.

    Attributes:
        name: such as ``request.path``.
        type: of its value.
        when: where it comes from; empty: from nobody in particular.
        meaning: in a few words.
    """

    name: str
    type: ValueType
    when: frozenset[When] = frozenset()
    meaning: str = ""


def _by_name(attributes: Iterable[Attribute]) -> Mapping[str, Attribute]:
    return {attribute.name: attribute for attribute in attributes}


@frozen
class Manifest(Mapping[str, Attribute]):
    """The declared attributes by name.

    What is not declared is refused: a misspelt name would else be an attribute that no rule
    ever matches.
    """

    _attributes: Mapping[str, Attribute] = field(converter=_by_name, factory=tuple)

    @classmethod
    def of(cls, attributes: Iterable[Attribute]) -> Self:
        """A manifest of these attributes; of several with one name the last holds."""
        return cls(tuple(attributes))

    def extended(self, types: Mapping[str, ValueType]) -> Manifest:
        """This manifest with more attributes."""
        more = (Attribute(name=name, type=kind) for name, kind in types.items())
        return Manifest((*self._attributes.values(), *more))

    def bag(self, values: Mapping[str, object]) -> AttributeBag:
        """A bag of declared attributes; an IP address may be given as text.

        Raises:
            ValueError: if an attribute is not declared, or a value out of range.
            TypeError: if a value is not of the declared type.
        """
        return AttributeBag.of_checked(
            {
                name: self._checked(name, value)
                for name, value in AttributeBag(values).entries.items()
            }
        )

    def __getitem__(self, name: str) -> Attribute:
        return self._attributes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._attributes)

    def __len__(self) -> int:
        return len(self._attributes)

    def _checked(self, name: str, value: Value) -> Value:
        attribute = self._attributes.get(name)
        if attribute is None:
            near = difflib.get_close_matches(name, self._attributes, n=1)
            hint = f"did you mean {near[0]!r}? Else declare" if near else "declare"
            raise ValueError(
                f"the attribute {name!r} is not declared; {hint} it with manifest.extended()"
            )
        kind = attribute.type
        if kind is ValueType.IP_ADDRESS and isinstance(value, str):
            value = _address(name, value)
        # A whole number is a double as well, but True is no number.
        if kind is ValueType.DOUBLE and type(value) is int:
            value = float(value)
        expected = _TYPES.get(kind, str)
        if type(value) is not expected:
            raise TypeError(
                f"the attribute {name!r} is declared as {kind.name}: give a value of the type "
                f"{expected.__name__}, not {type(value).__name__}"
            )
        if kind is ValueType.IP_ADDRESS and isinstance(value, bytes):
            _check_address(name, value)
        return value


def _address(name: str, text: str) -> bytes:
    try:
        return ip_address(text).packed
    except ValueError as error:
        raise ValueError(f"the attribute {name!r}: {error}") from error


def _check_address(name: str, value: bytes) -> None:
    if len(value) not in _ADDRESS_BYTES:
        raise ValueError(
            f"the attribute {name!r} is an IP address: 4 or 16 bytes, not {len(value)}"
        )


# All others travel as text.
_TYPES: Mapping[ValueType, type] = {
    ValueType.INT64: int,
    ValueType.DOUBLE: float,
    ValueType.BOOL: bool,
    ValueType.TIMESTAMP: datetime,
    ValueType.IP_ADDRESS: bytes,
    ValueType.DURATION: timedelta,
    ValueType.STRING_MAP: StringMap,
}

TEXTS = frozenset(kind for kind in ValueType if kind not in _TYPES)
"""The types whose values are text."""
