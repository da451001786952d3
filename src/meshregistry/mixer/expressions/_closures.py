"""What runs when an expression is evaluated: closures, made of those of its parts.

Types are right when one of these is made; whatever is left to go wrong depends on the request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from attrs import frozen

from meshregistry.mixer._attributes import StringMap, ValueType
from meshregistry.mixer.expressions._attributes import (
    ABSENT,
    Absent,
    Attributes,
    PlainMap,
    TrackedMap,
    noted,
)
from meshregistry.mixer.expressions._comparing import KEYS
from meshregistry.mixer.expressions._errors import EvaluationError
from meshregistry.mixer.expressions._operators import COMPARISONS, add_integers
from meshregistry.mixer.expressions._syntax import Nanoseconds

if TYPE_CHECKING:
    from meshregistry.mixer.expressions._functions import Function

Evaluate = Callable[[Attributes], Any]

_BOOL, _STRING = ValueType.BOOL, ValueType.STRING
_PYTHON: Mapping[ValueType, frozenset[type]] = {
    ValueType.INT64: frozenset({int}),
    ValueType.DOUBLE: frozenset({float}),
    ValueType.BOOL: frozenset({bool}),
    ValueType.TIMESTAMP: frozenset({datetime}),
    ValueType.DURATION: frozenset({timedelta}),
    ValueType.IP_ADDRESS: frozenset({bytes}),
    ValueType.STRING_MAP: frozenset({PlainMap, TrackedMap}),
}
_TEXT = frozenset({str})
_CONSTANTS: Mapping[type, ValueType] = {
    str: ValueType.STRING,
    bool: ValueType.BOOL,
    int: ValueType.INT64,
    float: ValueType.DOUBLE,
    Nanoseconds: ValueType.DURATION,
}


@frozen
class Node:
    """A compiled part.

    Attributes:
        type: of its value.
        run: its value, or an error.
        find: its value, or `ABSENT` where ``|`` is to go on; None: it is never absent.
        constant: its value if it is a literal.
    """

    type: ValueType
    run: Evaluate
    find: Evaluate | None = None
    constant: Any = None


# --- Literals, attributes and maps --------------------------------------------------------


def constant(value: str | float | bool | Nanoseconds) -> Node:
    """A literal."""
    kind = _CONSTANTS[type(value)]
    if isinstance(value, Nanoseconds):
        value_of: Any = timedelta(microseconds=value.count // 1000)
    else:
        value_of = value
    return Node(kind, lambda _: value_of, None, value_of)


def variable(name: str, declared: ValueType) -> Node:
    """The attribute with this name, of the type that is declared."""
    types = _PYTHON.get(declared, _TEXT)

    def find(attributes: Attributes) -> Any:
        value = attributes.get(name)
        if value.__class__ not in types and value is not ABSENT:
            _mistyped(name, declared, value)
        return value

    def run(attributes: Attributes) -> Any:
        value = attributes.get(name)
        if value.__class__ not in types:
            if value is ABSENT:
                raise EvaluationError(f"lookup failed: '{name}'")
            _mistyped(name, declared, value)
        return value

    return Node(declared, run, find)


def entry(container: Node, index: Node) -> Node:
    """The entry of a map; the empty text if there is none, but on the left of ``|``."""
    find_map, run_map = container.find or container.run, container.run
    if index.constant is not None:
        key: str = index.constant

        def run_constant(attributes: Attributes) -> str:
            found: str | None = run_map(attributes).entry(key)
            return "" if found is None else found

        def find_constant(attributes: Attributes) -> str | Absent:
            view = find_map(attributes)
            found: str | None = None if view is ABSENT else view.entry(key)
            return ABSENT if found is None else found

        return Node(_STRING, run_constant, find_constant)
    find_key, run_key = index.find or index.run, index.run

    def run(attributes: Attributes) -> str:
        found: str | None = run_map(attributes).entry(run_key(attributes))
        return "" if found is None else found

    def find(attributes: Attributes) -> str | Absent:
        view = find_map(attributes)
        name = ABSENT if view is ABSENT else find_key(attributes)
        found: str | None = None if name is ABSENT else view.entry(name)
        return ABSENT if found is None else found

    return Node(_STRING, run, find)


def whole(run: Evaluate) -> Evaluate:
    """A map as a value of its own."""

    def evaluate(attributes: Attributes) -> StringMap:
        found: StringMap = run(attributes).whole()
        return found

    return evaluate


# --- Operators ----------------------------------------------------------------------------


def first(nodes: Sequence[Node]) -> Node:
    """``|``: the first that is not absent; the last is an error if it is."""
    *firsts, last = nodes
    finds = [one.find or one.run for one in firsts]

    def chain(end: Evaluate) -> Evaluate:
        def evaluate(attributes: Attributes) -> Any:
            for find in finds:
                value = find(attributes)
                if value is not ABSENT:
                    return value
            return end(attributes)

        return evaluate

    return Node(last.type, chain(last.run), None if last.find is None else chain(last.find))


def any_of(nodes: Sequence[Node]) -> Node:
    """``||``."""
    runs = [node.run for node in nodes]
    return Node(_BOOL, lambda attributes: any(run(attributes) for run in runs))


def all_of(nodes: Sequence[Node]) -> Node:
    """``&&``."""
    runs = [node.run for node in nodes]
    return Node(_BOOL, lambda attributes: all(run(attributes) for run in runs))


def comparison(name: str, left: Node, right: Node) -> Node:
    """A comparison by the name of its operator."""
    _, _, compare = COMPARISONS[name]
    key = KEYS.get(left.type)
    one, other = left.run, right.run
    if key is not None:
        return Node(
            _BOOL,
            _guarded(lambda attributes: compare(key(one(attributes)), key(other(attributes)))),
        )
    if right.constant is not None:
        value = right.constant
        if name == "EQ":
            return Node(_BOOL, lambda attributes: one(attributes) == value)
        return Node(_BOOL, lambda attributes: compare(one(attributes), value))
    return Node(_BOOL, lambda attributes: compare(one(attributes), other(attributes)))


def total(left: Node, right: Node) -> Node:
    """``+``, which is an error where the sum of integers does not fit."""
    one, other = left.run, right.run
    if left.type is ValueType.INT64:
        return Node(
            left.type,
            _guarded(lambda attributes: add_integers(one(attributes), other(attributes))),
        )
    return Node(left.type, lambda attributes: one(attributes) + other(attributes))


# --- Functions ----------------------------------------------------------------------------


def choice(condition: Node, one: Node, other: Node) -> Node:
    """One or the other; only what is chosen is evaluated."""
    test, yes, no = condition.run, one.run, other.run
    return Node(
        one.type, lambda attributes: yes(attributes) if test(attributes) else no(attributes)
    )


def applied(function: Function, nodes: Sequence[Node]) -> Node:
    """A function of these values.

    Raises:
        ValueError: if a literal is none that the function can work with.
    """
    apply, runs = function.apply, [node.run for node in nodes]
    if function.prepare is not None and nodes[0].constant is not None:
        apply = function.prepare(nodes[0].constant)
        runs = runs[1:]
    if function.result is ValueType.STRING_MAP:
        value = PlainMap(apply())
        return Node(function.result, lambda _: value)
    if len(runs) == 1:
        run = runs[0]
        return Node(function.result, _guarded(lambda attributes: apply(run(attributes))))
    return Node(
        function.result, _guarded(lambda attributes: apply(*[run(attributes) for run in runs]))
    )


def _guarded(run: Evaluate) -> Evaluate:
    """What a function cannot work with is an error of this evaluation."""

    def evaluate(attributes: Attributes) -> Any:
        try:
            return run(attributes)
        except ValueError as error:
            raise EvaluationError(str(error)) from error

    return evaluate


def _mistyped(name: str, declared: ValueType, value: Any) -> NoReturn:
    # That it is of another type is what the answer is made of.
    kind = type(noted(value)).__name__
    raise EvaluationError(f"the attribute {name} is declared as {declared.name} and came as {kind}")
