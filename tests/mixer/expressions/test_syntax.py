"""Trees of expressions: Go's precedence, names, calls, durations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshregistry.mixer.expressions._errors import ExpressionError
from meshregistry.mixer.expressions._syntax import (
    DEEPEST,
    Call,
    Constant,
    Nanoseconds,
    Variable,
    nanoseconds,
    parse,
    variables,
)


def shown(expression) -> str:
    """A tree as text."""
    match expression:
        case Constant(value):
            return f"{value.count}ns" if isinstance(value, Nanoseconds) else repr(value)
        case Variable(name):
            return name
        case Call(name, arguments, receiver):
            inner = " ".join(map(shown, arguments))
            before = "" if receiver is None else f"{shown(receiver)}."
            return f"{before}{name}({inner})"


class TestParse:
    """What a text means."""

    @pytest.mark.parametrize(
        ("text", "tree"),
        [
            ("a", "a"),
            ("a.b.c", "a.b.c"),
            ("TRUE", "True"),
            ("false", "False"),
            ("1", "1"),
            ("1.5", "1.5"),
            ('"x"', "'x'"),
            ('"10ms"', "10000000ns"),
            ('"0"', "0ns"),
            ("`1h5m`", "3900000000000ns"),
            ('"0x"', "'0x'"),
            ('a["k"]', "INDEX(a 'k')"),
            ('a.b["k"] | "x"', "OR(INDEX(a.b 'k') 'x')"),
            ('a | "x" + "b"', "ADD(OR(a 'x') 'b')"),
            ("a | b == c", "EQ(OR(a b) c)"),
            ("a || b && c == d + e", "LOR(a LAND(b EQ(c ADD(d e))))"),
            ("a | b | c", "OR(a b c)"),
            ("a | (b | c)", "OR(a OR(b c))"),
            ("a || b || c", "LOR(a b c)"),
            ("a == b == c", "EQ(EQ(a b) c)"),
            ("a + b - c", "SUB(ADD(a b) c)"),
            ("!a", "NOT(a)"),
            ("-1", "SUB(1)"),
            ("(a)", "a"),
            ("f()", "f()"),
            ("f(a, b,)", "f(a b)"),
            ("a.b.startsWith(c)", "a.b.startsWith(c)"),
            ('"x".matches(a)', "'x'.matches(a)"),
            ('(a | "x").endsWith("y")', "OR(a 'x').endsWith('y')"),
            ("f(a).g(b)", "f(a).g(b)"),
            ('a["k"].startsWith("x")', "INDEX(a 'k').startsWith('x')"),
            ('a["k" | "l"]', "INDEX(a OR('k' 'l'))"),
            ("ip(a) == ip(b)", "EQ(ip(a) ip(b))"),
        ],
    )
    def test_trees(self, text, tree):
        """Left to right, tighter operators first."""
        assert shown(parse(text)) == tree

    @pytest.mark.parametrize(
        ("text", "column"),
        [
            ("", 0),
            ("a b", 2),
            ("a ==", 4),
            ("== a", 0),
            ("a.", 2),
            ("a.1", 1),
            ("f(", 2),
            ("f(a b)", 4),
            ("(a", 2),
            ('a["k"', 5),
            ("(a)(b)", 3),
            ("(a).b", 4),
            ("f(a).b", 5),
            ('a["k"].b', 7),
            ("99999999999999999999", 0),
            ("9" * 5_000, 0),
            ("1e999", 0),
            ("a ? b : c", 2),
            ("a; b", 1),
        ],
    )
    def test_faults_have_their_column(self, text, column):
        """What is missing, left over or meaningless is pointed at."""
        with pytest.raises(ExpressionError) as caught:
            parse(text)
        assert caught.value.column == column

    @pytest.mark.parametrize(
        "text",
        [
            "(" * (DEEPEST + 1) + "a" + ")" * (DEEPEST + 1),
            "!" * (DEEPEST + 1) + "a",
            "a" + "+a" * (DEEPEST + 1),
            "a" + "==b==c" * DEEPEST,
            "f(" * 20_000,
            'a["k"]' + '["k"]' * DEEPEST,
            "a.f()" + ".f()" * DEEPEST,
        ],
    )
    def test_depth_is_bounded(self, text):
        """A hostile text is refused, and does not exhaust the stack."""
        with pytest.raises(ExpressionError, match="levels"):
            parse(text)

    def test_long_chains_are_not_deep(self):
        """Hundreds of alternatives are ordinary."""
        tree = parse(" || ".join(f'a == "{number}"' for number in range(2_000)))
        assert isinstance(tree, Call)
        assert len(tree.arguments) == 2_000

    @given(st.text(alphabet="ab.|&=!<>+-()[],\" `'\\1e\n", max_size=60))
    def test_any_text_is_read_or_refused(self, text):
        """Nothing but an `ExpressionError` is raised, and its column is in the text."""
        column = 0
        try:
            parse(text)
        except ExpressionError as error:
            column = error.column
        assert 0 <= column <= len(text)


class TestNanoseconds:
    """Go's text form of durations."""

    @pytest.mark.parametrize(
        ("text", "count"),
        [
            ("0", 0),
            ("1ns", 1),
            ("1.5us", 1_500),
            ("2µs", 2_000),
            (".5s", 500_000_000),
            ("-1m", -60_000_000_000),
            ("1h5m", 3_900_000_000_000),
            ("1", None),
            ("s", None),
            ("", None),
            ("1 s", None),
            ("1d", None),
            ("\u0661s", None),
            ("9999999999h", None),
            ("1" * 5_000 + "s", None),
        ],
    )
    def test_durations(self, text, count):
        """Numbers with units, in a row; what is more than an int64 is a text."""
        assert nanoseconds(text) == count


class TestVariables:
    """Which attributes an expression mentions."""

    def test_all_of_them(self):
        """In receivers, arguments and keys."""
        tree = parse('a.b["x" | c].startsWith(d) || e == 1')
        assert list(variables(tree)) == ["a.b", "c", "d", "e"]
