"""Expressions as trees: constants, attributes and calls; operators are calls by name.

The grammar is that of Go's expressions, of which only some forms mean anything: literals,
names with dots, ``x["k"]``, calls, parentheses, and unary and binary operators with Go's
precedence. So ``a | b == c`` is ``(a | b) == c``.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, TypeAlias

from attrs import field, frozen

from meshregistry.mixer.expressions._errors import ExpressionError
from meshregistry.mixer.expressions._tokens import Kind, Token, tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

DEEPEST = 100
"""Levels of nesting; a deeper expression is refused, whoever wrote it."""

_INT64 = 2**63
_INT64_DIGITS = 19
_LONGEST_DURATION = 100
_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9}
_UNITS |= {"m": 60 * 10**9, "h": 3600 * 10**9}
# Not \d, for which the digits of every script are some.
_DURATION = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+")
_DURATION_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")

_BINARY = {
    "||": (1, "LOR"),
    "&&": (2, "LAND"),
    "==": (3, "EQ"),
    "!=": (3, "NEQ"),
    "<": (3, "LT"),
    "<=": (3, "LEQ"),
    ">": (3, "GT"),
    ">=": (3, "GEQ"),
    "+": (4, "ADD"),
    "-": (4, "SUB"),
    "|": (4, "OR"),
    "^": (4, "XOR"),
    "*": (5, "MUL"),
    "/": (5, "QUO"),
    "%": (5, "REM"),
    "<<": (5, "SHL"),
    ">>": (5, "SHR"),
    "&": (5, "AND"),
    "&^": (5, "AND_NOT"),
}
_CHAINED = frozenset({"LOR", "LAND", "OR"})
_UNARY = {"!": "NOT", "-": "SUB", "+": "ADD", "^": "XOR", "&": "AND", "*": "MUL"}


@frozen
class Nanoseconds:
    """A duration that was written as a text such as ``1h5m``."""

    count: int


@frozen
class Constant:
    """A literal."""

    value: str | int | float | bool | Nanoseconds
    column: int = field(eq=False)


@frozen
class Variable:
    """An attribute, by its whole name."""

    name: str
    column: int = field(eq=False)


@frozen
class Call:
    """A function or an operator.

    Attributes:
        name: of the function; operators have upper case names such as ``EQ``.
        arguments: in order, without the receiver; of ``||``, ``&&`` and ``|`` as many as are
            written in a row.
        receiver: what stands before the dot, if anything does.
        column: where the name or the sign stands.
    """

    name: str
    arguments: tuple[Expression, ...]
    receiver: Expression | None
    column: int = field(eq=False)


Expression: TypeAlias = Constant | Variable | Call


def parse(text: str) -> Expression:
    """Read an expression.

    Raises:
        ExpressionError: with the column at fault.
    """
    reader = _Parser(text, tokens(text))
    found = reader.binary(1)
    reader.expect_end()
    return found


def variables(expression: Expression) -> Iterator[str]:
    """The names of all attributes that an expression mentions, in order; some more than once."""
    match expression:
        case Variable(name):
            yield name
        case Call(_, arguments, receiver):
            if receiver is not None:
                yield from variables(receiver)
            for one in arguments:
                yield from variables(one)


def nanoseconds(text: str) -> int | None:
    """The duration that a text says in Go's form, such as ``1.5s`` and ``0``; None if it says none."""
    if text in ("0", "+0", "-0"):
        return 0
    if len(text) > _LONGEST_DURATION or not _DURATION.fullmatch(text):
        return None
    total = sum(_part(number, _UNITS[unit]) for number, unit in _DURATION_PART.findall(text))
    if total >= _INT64:
        return None
    return -total if text.startswith("-") else total


def _part(number: str, unit: int) -> int:
    whole, _, fraction = number.partition(".")
    # Integers only: a float would lose nanoseconds of long durations.
    return int(whole or "0") * unit + (
        int(fraction) * unit // 10 ** len(fraction) if fraction else 0
    )


class _Parser:
    """Precedence climbing over the tokens of one expression."""

    def __init__(self, text: str, found: Iterator[Token]) -> None:
        self._text = text
        self._tokens = found
        self._token = next(found)
        self._depth = 0

    def expect_end(self) -> None:
        if self._token.kind is not Kind.END:
            hint = ": write == to compare" if self._token.text == "=" else ""
            raise self._fault(f"{self._shown()} is left over{hint}")

    def binary(self, lowest: int) -> Expression:
        """Operators of at least this precedence, all from left to right."""
        depth = self._depth
        self._deeper()
        left, chain = self._unary(), ""
        while (known := self._operator(lowest)) is not None:
            precedence, name = known
            sign = self._next()
            right = self.binary(precedence + 1)
            if chain == name and isinstance(left, Call):
                left = Call(name, (*left.arguments, right), None, left.column)
                continue
            # Each turn makes the tree deeper, unless it lengthens a chain.
            self._deeper()
            left = Call(name, (left, right), None, sign.column)
            chain = name if name in _CHAINED else ""
        self._depth = depth
        return left

    def _operator(self, lowest: int) -> tuple[int, str] | None:
        if self._token.kind is not Kind.SIGN:
            return None
        known = _BINARY.get(self._token.text)
        return known if known is not None and known[0] >= lowest else None

    def _unary(self) -> Expression:
        token = self._token
        if token.kind is Kind.SIGN and token.text in _UNARY:
            self._next()
            self._deeper()
            inner = self._unary()
            self._depth -= 1
            return Call(_UNARY[token.text], (inner,), None, token.column)
        return self._primary()

    def _primary(self) -> Expression:
        found = self._operand()
        while self._token.kind is Kind.SIGN and self._token.text in {".", "[", "("}:
            sign = self._next()
            # Each turn makes the tree deeper; where the operators end it is shallow again.
            self._deeper()
            if sign.text == "[":
                key = self.binary(1)
                self._expect("]")
                found = Call("INDEX", (found, key), None, sign.column)
            elif sign.text == "(":
                raise self._fault("only a function can be called", at=sign)
            else:
                found = self._selected(found)
        return found

    def _selected(self, receiver: Expression) -> Expression:
        """What follows a dot after anything but a plain chain of names: a call."""
        name = self._name("after the dot")
        if not self._is_sign("("):
            raise self._fault(f"{name.text} is no attribute of this: only calls follow it", at=name)
        return Call(name.text, self._arguments(), receiver, name.column)

    def _operand(self) -> Expression:
        token = self._next()
        match token.kind:
            case Kind.STRING:
                count = nanoseconds(token.text)
                value = token.text if count is None else Nanoseconds(count)
                return Constant(value, token.column)
            case Kind.INT:
                digits = token.text.lstrip("0") or "0"
                if len(digits) > _INT64_DIGITS or int(digits) >= _INT64:
                    raise self._fault(f"{digits[:40]} is more than an int64 holds", at=token)
                return Constant(int(digits), token.column)
            case Kind.FLOAT:
                number = float(token.text)
                if math.isinf(number):
                    raise self._fault("the number is more than a double holds", at=token)
                return Constant(number, token.column)
            case Kind.NAME:
                return self._chain(token)
        if token.kind is Kind.SIGN and token.text == "(":
            inner = self.binary(1)
            self._expect(")")
            return inner
        if token.kind is Kind.END:
            raise self._fault("the expression ends too early", at=token)
        raise self._fault(f"{token.text!r} begins no value", at=token)

    def _chain(self, first: Token) -> Expression:
        """A name with dots: an attribute, a call, or a call of a method of an attribute."""
        names = [first]
        while self._is_sign("."):
            self._next()
            names.append(self._name("after the dot"))
        *before, last = names
        if self._is_sign("("):
            receiver = self._attribute(before) if before else None
            return Call(last.text, self._arguments(), receiver, last.column)
        return self._attribute(names)

    def _attribute(self, names: list[Token]) -> Expression:
        name = ".".join(one.text for one in names)
        if name.lower() in {"true", "false"}:
            return Constant(name.lower() == "true", names[0].column)
        return Variable(name, names[0].column)

    def _arguments(self) -> tuple[Expression, ...]:
        self._expect("(")
        found: list[Expression] = []
        while not self._is_sign(")"):
            found.append(self.binary(1))
            if not self._is_sign(","):
                break
            self._next()
        self._expect(")")
        return tuple(found)

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._fault(f"the expression is nested in more than {DEEPEST} levels")

    def _is_sign(self, text: str) -> bool:
        return self._token.kind is Kind.SIGN and self._token.text == text

    def _next(self) -> Token:
        token = self._token
        if token.kind is not Kind.END:
            self._token = next(self._tokens)
        return token

    def _name(self, where: str) -> Token:
        if self._token.kind is not Kind.NAME:
            raise self._fault(f"a name is missing {where}")
        return self._next()

    def _expect(self, sign: str) -> None:
        if not self._is_sign(sign):
            raise self._fault(f"{sign!r} is missing before {self._shown()}")
        self._next()

    def _shown(self) -> str:
        return "the end" if self._token.kind is Kind.END else repr(self._token.text)

    def _fault(self, reason: str, *, at: Token | None = None) -> ExpressionError:
        return ExpressionError(reason, text=self._text, column=(at or self._token).column)
