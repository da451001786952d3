"""What Envoy would refuse in a text."""

from __future__ import annotations

import pytest

from meshregistry.rules._wire import (
    expression_fault,
    header_name_fault,
    header_value_fault,
    substitution_fault,
    text_fault,
)


@pytest.mark.parametrize("name", ["x", "X-A", "a_b.c", "x1"])
def test_header_names(name):
    """Tokens of RFC 9110."""
    assert not header_name_fault(name)


@pytest.mark.parametrize("name", ["", "a b", "a:", ":path", "é", "a\n"])
def test_no_header_names(name):
    """Pseudo headers are names only where they are asked for."""
    assert "not a header name" in header_name_fault(name)
    assert not header_name_fault(":path", is_pseudo_allowed=True)


@pytest.mark.parametrize(
    "value", ["", "a b", "100%%", "%PROTOCOL%", "%REQ(x-a?y):3%", "%DOWNSTREAM_REMOTE_ADDRESS%"]
)
def test_header_values(value):
    """Percent signs are doubled, or enclose a command."""
    assert not header_value_fault(value)


@pytest.mark.parametrize("value", ["100%", "%x%", "%", "a\nb", "\x00"])
def test_no_header_values(value):
    """Each with what to do."""
    assert ": " in header_value_fault(value)


def test_texts():
    """Tabs are printable enough."""
    assert not text_fault("a\tb")
    assert "control character" in text_fault("a\rb")


@pytest.mark.parametrize("text", ["", "a.*", r"\\1", r"(?i)a", r"(?P<n>a)", r"\.", "(?:a|b)"])
def test_expressions(text):
    """In RE2's syntax."""
    assert not expression_fault(text)


@pytest.mark.parametrize(
    "text", ["(", r"(a)\1", "a(?=b)", "a(?!b)", "(?<=a)b", "(?>a)", r"a\Z", r"(?P<n>a)(?P=n)"]
)
def test_no_expressions(text):
    """Back references and looking around are what RE2 leaves out."""
    assert "the expression" in expression_fault(text)


def test_substitutions():
    """A reference needs its group; 0 is the whole."""
    assert not substitution_fault("(a)", r"\1\0\\")
    assert "refers to no group" in substitution_fault("(a)", r"\2")
    assert "refers to no group" in substitution_fault("a", r"\n")
