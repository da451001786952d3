"""The lexical rules of Go, as far as expressions use them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshregistry.mixer.expressions._errors import ExpressionError
from meshregistry.mixer.expressions._tokens import LONGEST, Kind, tokens


def words(text: str) -> list[tuple[Kind, str]]:
    """Kinds and texts, without the end."""
    return [(one.kind, one.text) for one in tokens(text)][:-1]


class TestTokens:
    """One word after the other."""

    def test_everything_at_once(self):
        """Names, numbers, strings and signs, with blanks of any kind between them."""
        assert words('a.b["k"]\t== 1\n&& 1.5e3<.5') == [
            (Kind.NAME, "a"),
            (Kind.SIGN, "."),
            (Kind.NAME, "b"),
            (Kind.SIGN, "["),
            (Kind.STRING, "k"),
            (Kind.SIGN, "]"),
            (Kind.SIGN, "=="),
            (Kind.INT, "1"),
            (Kind.SIGN, "&&"),
            (Kind.FLOAT, "1.5e3"),
            (Kind.SIGN, "<"),
            (Kind.FLOAT, ".5"),
        ]

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ('"a\\tb"', "a\tb"),
            ('"\\x41\\u00e9\\U0001F600\\101"', "Aé😀A"),
            ("`raw \\n`", "raw \\n"),
            ("'x'", "x"),
            ("'\\''", "'"),
            ('"über"', "über"),
            ('""', ""),
        ],
    )
    def test_strings(self, text, value):
        """Three kinds of quotes; escapes in two of them."""
        assert words(text) == [(Kind.STRING, value)]

    @pytest.mark.parametrize(
        ("text", "column"),
        [
            ('"abc', 0),
            ('a == "x\n"', 5),
            ("`abc", 0),
            ("'ab'", 0),
            ("''", 0),
            ('"\\q"', 1),
            ('"a\\\'b"', 2),
            ("'\\\"'", 1),
            ('"\\ud800"', 1),
            ('"\\U00110000"', 1),
            ("0x10", 1),
            ("a # b", 2),
            ("a ~ b", 2),
            ("1_000", 1),
            ("\u0661", 0),
        ],
    )
    def test_faults_have_their_column(self, text, column):
        """The caret goes under the character at fault."""
        with pytest.raises(ExpressionError) as caught:
            words(text)
        assert caught.value.column == column

    def test_a_huge_text_is_refused(self):
        """Before anything is looked at."""
        with pytest.raises(ExpressionError, match="more than"):
            words("a" * (LONGEST + 1))

    @given(st.text(max_size=200))
    def test_any_text_has_tokens_or_a_fault(self, text):
        """Nothing else is raised, and the column is in the text."""
        try:
            column = list(tokens(text))[-1].column
        except ExpressionError as error:
            column = error.column
        assert 0 <= column <= len(text)


class TestCaret:
    """Where the fault is shown."""

    def test_the_line_at_fault_only(self):
        """Of an expression of several lines the one with the fault, tabs kept."""
        error = ExpressionError("bad", text="a ||\n\tb ~ c\n|| d", column=8)
        assert error.caret() == "  \tb ~ c\n  \t  ^"
