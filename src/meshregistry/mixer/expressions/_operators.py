"""What the operators do with operands of a type."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from meshregistry.mixer._attributes import ValueType
from meshregistry.mixer.expressions._comparing import KEYS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

EQUALITY = frozenset(
    {
        ValueType.STRING,
        ValueType.INT64,
        ValueType.DOUBLE,
        ValueType.BOOL,
        ValueType.TIMESTAMP,
        *KEYS,
    }
)
"""The types that ``==`` and ``!=`` compare."""

ORDER = frozenset({ValueType.STRING, ValueType.INT64, ValueType.DOUBLE, ValueType.TIMESTAMP})
"""The types that have an order; texts have that of their bytes."""

SUM = frozenset({ValueType.STRING, ValueType.INT64, ValueType.DOUBLE})
"""The types that ``+`` joins or adds."""

COMPARISONS: Mapping[str, tuple[str, frozenset[ValueType], Callable[[Any, Any], bool]]] = {
    "EQ": ("==", EQUALITY, operator.eq),
    "NEQ": ("!=", EQUALITY, operator.ne),
    "LT": ("<", ORDER, operator.lt),
    "LEQ": ("<=", ORDER, operator.le),
    "GT": (">", ORDER, operator.gt),
    "GEQ": (">=", ORDER, operator.ge),
}
"""Their signs, the types that they compare, and how values (or their keys) are compared."""

_INT64 = 1 << 63


def add_integers(one: int, other: int) -> int:
    """The sum.

    Raises:
        ValueError: if it is more than an int64 holds.
    """
    total = one + other
    if not -_INT64 <= total < _INT64:
        raise ValueError(f"{one} + {other} is more than an int64 holds")
    return total
