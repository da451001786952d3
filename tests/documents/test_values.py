"""Durations and secrets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshregistry.documents import Secret, format_seconds, parse_seconds

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0),
        ("250ms", 0.25),
        ("1m", 60.0),
        ("1h", 3600.0),
        ("1m30s", 90.0),
        ("1h2m3s4ms", 3723.004),
        ("1.5s", 1.5),
        ("0s", 0.0),
    ],
)
def test_durations_are_numbers_with_units(text: str, seconds: float) -> None:
    """Hours, minutes, seconds and milliseconds add up."""
    assert seconds == parse_seconds(text)


@pytest.mark.parametrize("text", ["", "1", "s", "1 s", "-1s", "1s1m", "1d", "1ss", "٣s", "1e3s"])
def test_anything_else_is_no_duration(text: str) -> None:
    """A number without a unit, a wrong order or an unknown unit is refused with examples."""
    with pytest.raises(ValueError, match="write a number with a unit"):
        parse_seconds(text)


@settings(max_examples=100, deadline=None)
@given(st.integers(min_value=0, max_value=10**9))
def test_a_duration_survives_being_written(milliseconds: int) -> None:
    """format_seconds writes what parse_seconds reads."""
    seconds = milliseconds / 1000
    assert seconds == parse_seconds(format_seconds(seconds))


def test_a_secret_is_never_printed() -> None:
    """Neither str, repr nor a format shows it."""
    secret = Secret("hunter2")
    assert secret.read_now() == "hunter2"
    assert {"***"} == {str(secret), repr(secret), f"{secret}", f"{secret!r}"}


def test_a_secret_file_is_read_again(tmp_path: Path) -> None:
    """A rotated credential is seen without a restart, without its trailing newline."""
    path = tmp_path / "token"
    path.write_text("old\n")
    secret = Secret(file=path)
    assert asyncio.run(secret.read()) == "old"
    path.write_text("new\r\n")
    assert secret.read_now() == "new"


def test_a_secret_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable is looked up when the secret is read."""
    secret = Secret(variable="A_TOKEN")
    monkeypatch.setenv("A_TOKEN", "x")
    assert secret.read_now() == "x"
    monkeypatch.delenv("A_TOKEN")
    with pytest.raises(KeyError):
        secret.read_now()
