"""From a tree to a function: types are checked once, and evaluation is a chain of closures.

Nothing is ever given to Python's own compiler. Where Mixer's expressions have no value —
an attribute is absent, an address cannot be read — the closure raises `EvaluationError`;
only on the left of ``|`` is an absent attribute, or entry of a map, no error.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from attrs import frozen

from meshregistry.mixer._attributes import ValueType
from meshregistry.mixer.expressions._closures import (
    Evaluate,
    Node,
    all_of,
    any_of,
    applied,
    choice,
    comparison,
    constant,
    entry,
    first,
    total,
    variable,
    whole,
)
from meshregistry.mixer.expressions._errors import ExpressionError
from meshregistry.mixer.expressions._functions import FUNCTIONS, Function, by_name
from meshregistry.mixer.expressions._operators import COMPARISONS, SUM
from meshregistry.mixer.expressions._syntax import Call, Constant, Expression, Variable, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from meshregistry.mixer._manifest import Attribute

_BINARY, _CHOICE = 2, 3
_BOOL, _STRING, _MAP = ValueType.BOOL, ValueType.STRING, ValueType.STRING_MAP
_STANDARD = by_name(FUNCTIONS)


@frozen
class Compiled:
    """An expression that can be evaluated.

    Attributes:
        text: as it was written.
        type: of its value.
        evaluate: gives the value for the attributes of a request; raises `EvaluationError`.
        constant: the value if it is a literal, else None.
    """

    text: str
    type: ValueType
    evaluate: Evaluate
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
    run = whole(node.run) if node.type is _MAP else node.run
    return Compiled(text, node.type, run, node.constant)


class _Compiler:
    def __init__(
        self, text: str, manifest: Mapping[str, Attribute], functions: Mapping[str, Function]
    ) -> None:
        self._text = text
        self._manifest = manifest
        self._functions = functions

    def node(self, tree: Expression) -> Node:
        match tree:
            case Constant(value):
                return constant(value)
            case Variable():
                return self._variable(tree)
        chains: Mapping[str, Callable[[Call], Node]] = {
            "OR": self._alternatives,
            "LOR": self._logic,
            "LAND": self._logic,
        }
        pairs: Mapping[str, Callable[[Call], Node]] = {
            "INDEX": self._index,
            # Of signs that are unary, too, only the binary ones mean something.
            **({"ADD": self._sum} if len(tree.arguments) == _BINARY else {}),
            **dict.fromkeys(COMPARISONS, self._comparison),
        }
        name = tree.name if tree.receiver is None else ""
        # Signs may be written as the functions that they stand for, with any arguments.
        given = len(tree.arguments)
        if (name in chains and given < _BINARY) or (name in pairs and given != _BINARY):
            raise self._fault(f"{name} takes 2 arguments, not {given}", tree)
        forms = {**chains, **pairs, "conditional": self._conditional}
        return forms.get(name, self._call)(tree)

    # --- Attributes and maps --------------------------------------------------------------

    def _variable(self, tree: Variable) -> Node:
        name = tree.name
        attribute = self._manifest.get(name)
        if attribute is None:
            near = difflib.get_close_matches(name, list(self._manifest), n=1)
            hint = f": did you mean {near[0]}?" if near else ": declare it in an attributemanifest"
            if not near and "." not in name:
                # YAML takes quotes off, so they have to stand in others.
                hint += f""", or write '"{name}"' for a text"""
            raise self._fault(f"unknown attribute {name}{hint}", tree)
        return variable(name, attribute.type)

    def _index(self, tree: Call) -> Node:
        target, key = tree.arguments
        container, index = self.node(target), self.node(key)
        self._expect(container, _MAP, target, "what stands before [")
        self._expect(index, _STRING, key, "the key")
        return entry(container, index)

    def _alternatives(self, tree: Call) -> Node:
        """``|``: the first that is not absent; the last is an error if it is."""
        nodes = [self.node(one) for one in tree.arguments]
        for one, node in zip(tree.arguments, nodes, strict=True):
            self._expect(node, nodes[0].type, one, "the alternative")
        return first(nodes)

    # --- Operators ------------------------------------------------------------------------

    def _logic(self, tree: Call) -> Node:
        nodes = [self.node(one) for one in tree.arguments]
        for one, node in zip(tree.arguments, nodes, strict=True):
            self._expect(node, _BOOL, one, f"an operand of {'||' if tree.name == 'LOR' else '&&'}")
        return any_of(nodes) if tree.name == "LOR" else all_of(nodes)

    def _comparison(self, tree: Call) -> Node:
        sign, types, _ = COMPARISONS[tree.name]
        left, right = self._pair(tree, sign, types)
        return comparison(tree.name, left, right)

    def _sum(self, tree: Call) -> Node:
        left, right = self._pair(tree, "+", SUM)
        return total(left, right)

    def _pair(self, tree: Call, sign: str, types: frozenset[ValueType]) -> tuple[Node, Node]:
        left, right = (self.node(one) for one in tree.arguments)
        if left.type not in types:
            names = ", ".join(sorted(one.name for one in types))
            reason = f"{sign} knows no {left.type.name}: it takes {names}"
            raise self._fault(reason, tree.arguments[0])
        self._expect(right, left.type, tree.arguments[1], f"the right side of {sign}")
        return left, right

    # --- Functions ------------------------------------------------------------------------

    def _conditional(self, tree: Call) -> Node:
        if len(tree.arguments) != _CHOICE:
            reason = f"conditional takes 3 arguments, not {len(tree.arguments)}"
            raise self._fault(reason, tree)
        condition, one, other = (self.node(argument) for argument in tree.arguments)
        self._expect(condition, _BOOL, tree.arguments[0], "conditional arg 1")
        self._expect(other, one.type, tree.arguments[2], "conditional arg 3")
        return choice(condition, one, other)

    def _call(self, tree: Call) -> Node:
        function = self._functions.get(tree.name)
        if function is None:
            near = difflib.get_close_matches(tree.name, list(self._functions), n=1)
            there_are = f": there are {', '.join(sorted({*self._functions, 'conditional'}))}"
            hint = f": did you mean {near[0]}?" if near else _SIGNS.get(tree.name, there_are)
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
        try:
            return applied(function, nodes)
        except ValueError as error:
            raise self._fault(str(error), tree) from error

    def _check_receiver(self, function: Function, tree: Call) -> None:
        if (tree.receiver is None) != (function.receiver is None):
            form = "x." if function.receiver is not None else ""
            names = ", ".join("…" for _ in function.parameters)
            raise self._fault(f"call it as {form}{function.name}({names})", tree)

    # --- Faults ---------------------------------------------------------------------------

    def _expect(self, node: Node, kind: ValueType, tree: Expression, what: str) -> None:
        if node.type is not kind:
            reason = f"{what}: got {node.type.name}, expected {kind.name}"
            if node.type is ValueType.DURATION and isinstance(tree, Constant):
                reason += ' (a text that reads as a duration is one, such as "0" and "10ms")'
            raise self._fault(reason, tree)

    def _fault(self, reason: str, tree: Expression) -> ExpressionError:
        return ExpressionError(reason, text=self._text, column=tree.column)


_SIGNS = {
    "ADD": ": there is no + before a number",
    "NOT": ": there is no !, write x == false",
    "SUB": ": there is no - and there are no negative numbers",
    "MUL": ": there is no *",
    "QUO": ": there is no /",
    "REM": ": there is no %",
}
