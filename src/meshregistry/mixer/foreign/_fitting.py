"""What fields of the wire take of the values that expressions have: widths and enumerations.

Expressions know one kind of whole numbers, of 64 bits, and no enumerations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from attrs import Factory, field, frozen
from google.protobuf.descriptor import FieldDescriptor as Descriptor

from meshregistry.documents import suggestion
from meshregistry.mixer.spi import ValueType


@frozen
class WholeNumber:
    """A whole number of some width.

    Attributes:
        least: the smallest.
        most: the largest.
    """

    least: int
    most: int
    types: ClassVar = frozenset({ValueType.INT64})

    def has(self, value: object) -> bool:
        """Whether it can be this."""
        return isinstance(value, int) and self.least <= value <= self.most

    def __str__(self) -> str:
        return f"a whole number from {self.least} to {self.most}"

    def __call__(self, value: Any) -> int:
        if not self.has(value):
            raise ValueError(f"{value} must be {self}")
        return int(value)


def _signed(bits: int) -> WholeNumber:
    return WholeNumber(-(1 << bits - 1), (1 << bits - 1) - 1)


def _unsigned(bits: int) -> WholeNumber:
    return WholeNumber(0, (1 << bits) - 1)


_SHORT, _LONG = 32, 64
WHOLE: Final[Mapping[int, WholeNumber]] = {
    Descriptor.TYPE_INT32: _signed(_SHORT),
    Descriptor.TYPE_SINT32: _signed(_SHORT),
    Descriptor.TYPE_SFIXED32: _signed(_SHORT),
    Descriptor.TYPE_INT64: _signed(_LONG),
    Descriptor.TYPE_SINT64: _signed(_LONG),
    Descriptor.TYPE_SFIXED64: _signed(_LONG),
    Descriptor.TYPE_UINT32: _unsigned(_SHORT),
    Descriptor.TYPE_FIXED32: _unsigned(_SHORT),
    Descriptor.TYPE_UINT64: _unsigned(_LONG),
    Descriptor.TYPE_FIXED64: _unsigned(_LONG),
}
"""The types of whole numbers."""

INT64: Final = WHOLE[Descriptor.TYPE_INT64]
"""What attributes and expressions hold."""


@frozen
class Choice:
    """A value of an enumeration, by its name or its number.

    Attributes:
        title: of the enumeration.
        values: their names and numbers.
    """

    title: str
    values: tuple[tuple[str, int], ...]
    _by_name: Mapping[str, int] = field(
        init=False,
        eq=False,
        repr=False,
        default=Factory(lambda self: dict(self.values), takes_self=True),
    )
    types: ClassVar = frozenset({ValueType.INT64, ValueType.STRING})

    @classmethod
    def of(cls, enumeration: Any) -> Choice:
        """The values of a descriptor."""
        return cls(enumeration.name, tuple((one.name, one.number) for one in enumeration.values))

    def __call__(self, value: str | int) -> int:
        found = self._by_name.get(value) if isinstance(value, str) else value
        if found is None or found not in self._by_name.values():
            raise ValueError(
                f"{value!r} is no {self.title}: {suggestion(str(value), self._by_name)}"
            )
        return found
