"""From a tree to a function: types are checked once, and evaluation is a chain of closures.

Nothing is ever given to Python's own compiler. Where Mixer's expressions have no value —
an attribute is absent, an address cannot be read — the closure raises `EvaluationError`;
only on the left of ``|`` is an absent attribute, or entry of a map, no error.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
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
from meshregistry.mixer.expressions._errors import EvaluationError, ExpressionError
from meshregistry.mixer.expressions._functions import FUNCTIONS, Function, by_name
from meshregistry.mixer.expressions._operators import COMPARISONS, SUM, add_integers
from meshregistry.mixer.expressions._syntax import (
    Call,
    Constant,
    Expression,
    Nanoseconds,
    Variable,
    parse,
)

if TYPE_CHECKING:
    from meshregistry.mixer._manifest import Attribute

Evaluate = Callable[[Attributes], Any]

_BINARY, _CHOICE = 2, 3
_BOOL, _STRING, _MAP = ValueType.BOOL, ValueType.STRING, ValueType.STRING_MAP
_MAPS = frozenset({PlainMap, TrackedMap})
_PYTHON: Mapping[ValueType, frozenset[type]] = {
    ValueType.INT64: frozenset({int}),
    ValueType.DOUBLE: frozenset({float}),
    ValueType.BOOL: frozenset({bool}),
    ValueType.TIMESTAMP: frozenset({datetime}),
    ValueType.DURATION: frozenset({timedelta}),
    ValueType.IP_ADDRESS: frozenset({bytes}),
    ValueType.STRING_MAP: _MAPS,
}
_TEXT = frozenset({str})
_CONSTANTS: Mapping[type, ValueType] = {
    str: ValueType.STRING,
    bool: ValueType.BOOL,
    int: ValueType.INT64,
    float: ValueType.DOUBLE,
    Nanoseconds: ValueType.DURATION,
}
_STANDARD = by_name(FUNCTIONS)


@frozen
class Compiled:
    """An expression that can be evaluated.

    Attributes:
        text: as it was written.
        type: of its value.
        evaluate: gives the value for the attributes of a request; raises `EvaluationError`.
    """

    text: str
    type: ValueType
    evaluate: Evaluate


@frozen
class _Node:
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


def compile_expression(
    text: str,
    manifest: Mapping[str, Attribute],
    *,
    expected: ValueType | None = None,
    functions: Mapping[str, Function] = _STANDARD,
) -> Compiled:
    """Read, check and compile an expression.

    Args:
        text: of the expression.
        manifest: the attributes that it may use.
        expected: the type that it must have; None: any.
        functions: those that it may call.

    Raises:
        ExpressionError: with the column at fault.
    """
    tree = parse(text)
    node = _Compiler(text, manifest, functions).node(tree)
    if expected is not None and node.type is not expected:
        reason = f"expected type {expected.name}, got {node.type.name}"
        raise ExpressionError(reason, text=text, column=tree.column)
    return Compiled(text, node.type, _whole(node.run) if node.type is _MAP else node.run)


def _whole(run: Evaluate) -> Evaluate:
    def evaluate(attributes: Attributes) -> StringMap:
        found: StringMap = run(attributes).whole()
        return found

    return evaluate


class _Compiler:
    def __init__(
        self, text: str, manifest: Mapping[str, Attribute], functions: Mapping[str, Function]
    ) -> None:
        self._text = text
        self._manifest = manifest
        self._functions = functions

    def node(self, tree: Expression) -> _Node:
        match tree:
            case Constant(value):
                return _constant(value)
            case Variable():
                return self._variable(tree)
        forms: Mapping[str, Callable[[Call], _Node]] = {
            "OR": self._alternatives,
            "LOR": self._logic,
            "LAND": self._logic,
            "INDEX": self._index,
            "conditional": self._conditional,
            # Of signs that are unary, too, only the binary ones mean something.
            **({"ADD": self._sum} if len(tree.arguments) == _BINARY else {}),
            **dict.fromkeys(COMPARISONS, self._comparison),
        }
        return forms.get(tree.name if tree.receiver is None else "", self._call)(tree)

    # --- Attributes and maps --------------------------------------------------------------

    def _variable(self, tree: Variable) -> _Node:
        name = tree.name
        attribute = self._manifest.get(name)
        if attribute is None:
            near = difflib.get_close_matches(name, list(self._manifest), n=1)
            hint = f": did you mean {near[0]}?" if near else ": declare it in an attributemanifest"
            raise self._fault(f"unknown attribute {name}{hint}", tree)
        declared = attribute.type
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

        return _Node(declared, run, find)

    def _index(self, tree: Call) -> _Node:
        target, key = tree.arguments
        container, index = self.node(target), self.node(key)
        self._expect(container, _MAP, target, "what stands before [")
        self._expect(index, _STRING, key, "the key")
        find_map, run_map = container.find or container.run, container.run
        if index.constant is not None:
            constant: str = index.constant

            def run_constant(attributes: Attributes) -> str:
                found: str | None = run_map(attributes).entry(constant)
                return "" if found is None else found

            def find_constant(attributes: Attributes) -> str | Absent:
                view = find_map(attributes)
                found: str | None = None if view is ABSENT else view.entry(constant)
                return ABSENT if found is None else found

            return _Node(_STRING, run_constant, find_constant)
        find_key, run_key = index.find or index.run, index.run

        def run(attributes: Attributes) -> str:
            found: str | None = run_map(attributes).entry(run_key(attributes))
            return "" if found is None else found

        def find(attributes: Attributes) -> str | Absent:
            view = find_map(attributes)
            name = ABSENT if view is ABSENT else find_key(attributes)
            found: str | None = None if name is ABSENT else view.entry(name)
            return ABSENT if found is None else found

        return _Node(_STRING, run, find)

    def _alternatives(self, tree: Call) -> _Node:
        """``|``: the first that is not absent; the last is an error if it is."""
        nodes = [self.node(one) for one in tree.arguments]
        for one, node in zip(tree.arguments, nodes, strict=True):
            self._expect(node, nodes[0].type, one, "the alternative")
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

        find = None if last.find is None else chain(last.find)
        return _Node(last.type, chain(last.run), find)

    # --- Operators ------------------------------------------------------------------------

    def _logic(self, tree: Call) -> _Node:
        runs = []
        for one in tree.arguments:
            node = self.node(one)
            self._expect(node, _BOOL, one, f"an operand of {'||' if tree.name == 'LOR' else '&&'}")
            runs.append(node.run)
        if tree.name == "LOR":
            return _Node(_BOOL, lambda attributes: any(run(attributes) for run in runs))
        return _Node(_BOOL, lambda attributes: all(run(attributes) for run in runs))

    def _comparison(self, tree: Call) -> _Node:
        sign, types, compare = COMPARISONS[tree.name]
        left, right = self._pair(tree, sign, types)
        key = KEYS.get(left.type)
        one, other = left.run, right.run
        if key is not None:
            return _Node(
                _BOOL,
                _guarded(lambda attributes: compare(key(one(attributes)), key(other(attributes)))),
            )
        if right.constant is not None:
            constant = right.constant
            if tree.name == "EQ":
                return _Node(_BOOL, lambda attributes: one(attributes) == constant)
            return _Node(_BOOL, lambda attributes: compare(one(attributes), constant))
        return _Node(_BOOL, lambda attributes: compare(one(attributes), other(attributes)))

    def _sum(self, tree: Call) -> _Node:
        left, right = self._pair(tree, "+", SUM)
        one, other = left.run, right.run
        if left.type is ValueType.INT64:
            return _Node(
                left.type,
                _guarded(lambda attributes: add_integers(one(attributes), other(attributes))),
            )
        return _Node(left.type, lambda attributes: one(attributes) + other(attributes))

    def _pair(self, tree: Call, sign: str, types: frozenset[ValueType]) -> tuple[_Node, _Node]:
        left, right = (self.node(one) for one in tree.arguments)
        if left.type not in types:
            names = ", ".join(sorted(one.name for one in types))
            reason = f"{sign} knows no {left.type.name}: it takes {names}"
            raise self._fault(reason, tree.arguments[0])
        self._expect(right, left.type, tree.arguments[1], f"the right side of {sign}")
        return left, right

    # --- Functions ------------------------------------------------------------------------

    def _conditional(self, tree: Call) -> _Node:
        if len(tree.arguments) != _CHOICE:
            reason = f"conditional takes 3 arguments, not {len(tree.arguments)}"
            raise self._fault(reason, tree)
        condition, one, other = (self.node(argument) for argument in tree.arguments)
        self._expect(condition, _BOOL, tree.arguments[0], "conditional arg 1")
        self._expect(other, one.type, tree.arguments[2], "conditional arg 3")
        test, yes, no = condition.run, one.run, other.run
        return _Node(
            one.type,
            lambda attributes: yes(attributes) if test(attributes) else no(attributes),
        )

    def _call(self, tree: Call) -> _Node:
        function = self._functions.get(tree.name)
        if function is None:
            near = difflib.get_close_matches(tree.name, list(self._functions), n=1)
            hint = f": did you mean {near[0]}?" if near else _SIGNS.get(tree.name, "")
            raise self._fault(f"unknown function: {tree.name}{hint}", tree)
        self._check_receiver(function, tree)
        wanted, given = len(function.parameters), len(tree.arguments)
        if wanted != given:
            raise self._fault(f"{tree.name} takes {wanted} arguments, not {given}", tree)
        nodes = []
        if tree.receiver is not None and function.receiver is not None:
            node = self.node(tree.receiver)
            self._expect(node, function.receiver, tree.receiver, f"what {tree.name} is called on")
            nodes.append(node)
        for number, (kind, one) in enumerate(
            zip(function.parameters, tree.arguments, strict=True), 1
        ):
            node = self.node(one)
            self._expect(node, kind, one, f"{tree.name} arg {number}")
            nodes.append(node)
        return _Node(function.result, self._applied(function, nodes, tree))

    def _check_receiver(self, function: Function, tree: Call) -> None:
        if (tree.receiver is None) != (function.receiver is None):
            form = "x." if function.receiver is not None else ""
            names = ", ".join("…" for _ in function.parameters)
            raise self._fault(f"call it as {form}{function.name}({names})", tree)

    def _applied(self, function: Function, nodes: list[_Node], tree: Call) -> Evaluate:
        apply, runs = function.apply, [node.run for node in nodes]
        if function.prepare is not None and nodes[0].constant is not None:
            try:
                apply = function.prepare(nodes[0].constant)
            except ValueError as error:
                raise self._fault(str(error), tree) from error
            runs = runs[1:]
        if function.result is _MAP:
            value = PlainMap(apply())
            return lambda _: value
        if len(runs) == 1:
            run = runs[0]
            return _guarded(lambda attributes: apply(run(attributes)))
        return _guarded(lambda attributes: apply(*[run(attributes) for run in runs]))

    # --- Faults ---------------------------------------------------------------------------

    def _expect(self, node: _Node, kind: ValueType, tree: Expression, what: str) -> None:
        if node.type is not kind:
            reason = f"{what}: typeError got {node.type.name}, expected {kind.name}"
            if node.type is ValueType.DURATION and isinstance(tree, Constant):
                reason += ' (a text that reads as a duration is one, such as "0" and "10ms")'
            raise self._fault(reason, tree)

    def _fault(self, reason: str, tree: Expression) -> ExpressionError:
        return ExpressionError(reason, text=self._text, column=tree.column)


_SIGNS = {
    "NOT": ": there is no !, write x == false",
    "SUB": ": there is no - and there are no negative numbers",
    "MUL": ": there is no *",
    "QUO": ": there is no /",
    "REM": ": there is no %",
}


def _constant(value: str | float | bool | Nanoseconds) -> _Node:
    kind = _CONSTANTS[type(value)]
    if isinstance(value, Nanoseconds):
        value_of: Any = timedelta(microseconds=value.count // 1000)
    else:
        value_of = value
    return _Node(kind, lambda _: value_of, None, value_of)


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
