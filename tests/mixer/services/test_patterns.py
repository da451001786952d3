"""Regular expressions in what documents say of services."""

from __future__ import annotations

import subprocess
import sys

import pytest

from meshregistry.mixer.services import ApiPattern, Clause

SLOW = "(a+)+b"


def clause(pattern):
    """Whether a charge's condition holds."""
    return Clause(regex=pattern).is_match


def path(pattern):
    """Whether a path is that of an operation."""
    api = ApiPattern({}, regex=pattern)
    return lambda text: api.is_match("GET", text)


@pytest.mark.parametrize("kind", [clause, path])
def test_no_pattern_takes_longer_than_its_text(kind):
    """What Python's expressions have and RE2 has not is refused; so nothing backtracks."""
    for pattern in ("(?=a)a", r"(a)\1"):
        with pytest.raises(ValueError, match="is not a regular expression \\(RE2\\): invalid"):
            kind(pattern)
    is_match = kind(SLOW)
    assert not is_match("a" * 10_000)
    assert is_match("a" * 10_000 + "b")


@pytest.mark.parametrize("kind", [clause, path])
def test_the_whole_text_counts(kind):
    """And texts that cannot be sent match nothing."""
    assert [True, False, False] == [kind("/a|/ab")(text) for text in ("/ab", "/abc", "x/a")]
    assert not kind(".*")("/\ud800")


def test_a_client_without_re2_has_pythons():
    """With digits and words as RE2 has them."""
    code = (
        "import sys; sys.modules['re2'] = None\n"
        "from meshregistry.mixer import Clause, ApiPattern\n"
        "print(Clause(regex='(?=a)a+').is_match('aa'), Clause(regex='a').is_match('aa'))\n"
        "print(Clause(regex=r'\\d').is_match('\\u0664'), ApiPattern({}, regex='/a+').is_match('', '/aa'))\n"
        "for wrong in ('(', 'a{99999999999}'):\n"
        "    try:\n"
        "        Clause(regex=wrong)\n"
        "    except ValueError as error:\n"
        "        print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    first, second, *wrong = done.stdout.splitlines()
    assert ("True False", "False True") == (first, second)
    assert wrong[0].startswith("'(' is not a regular expression: missing )")
    assert wrong[1].startswith("'a{99999999999}' is not a regular expression: ")
