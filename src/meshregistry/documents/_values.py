"""The types beside Python's own that settings and config classes are made of."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import NewType, Self

from attrs import field, frozen

__all__ = ["Instant", "Path", "Seconds", "Secret", "format_seconds", "parse_seconds"]

Seconds = NewType("Seconds", float)
"""A span of time; users write ``1s``, ``250ms``, ``5m``, ``1h`` or ``1m30s``."""

_SPAN = re.compile(
    r"(?:(?P<h>\d+(?:\.\d+)?)h)?(?:(?P<m>\d+(?:\.\d+)?)m(?!s))?"
    r"(?:(?P<s>\d+(?:\.\d+)?)s)?(?:(?P<ms>\d+(?:\.\d+)?)ms)?",
    re.ASCII,
)
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def parse_seconds(text: str) -> Seconds:
    """Read hours, minutes, seconds and milliseconds, from large to small.

    Raises:
        ValueError: if the text is not such a span.
    """
    match = _SPAN.fullmatch(text)
    if not text or match is None:
        msg = f"{text!r} is not a duration: write a number with a unit, such as 250ms, 1s or 1m30s"
        raise ValueError(msg)
    parts = ((_UNITS[unit], number) for unit, number in match.groupdict().items() if number)
    # Rounding to nanoseconds makes 250ms the number 0.25 and not one near it.
    return Seconds(round(sum(unit * float(number) for unit, number in parts), 9))


def format_seconds(seconds: float) -> str:
    """The shortest text that `parse_seconds` reads as the same span, to the nanosecond."""
    rest = round(seconds, 9)
    if rest and rest < 1:
        return f"{_digits(rest * 1000)}ms"
    text = ""
    for unit in ("h", "m"):
        count = int(rest // _UNITS[unit])
        rest = round(rest - count * _UNITS[unit], 9)
        text += f"{count}{unit}" if count else ""
    return f"{text}{_digits(rest)}s" if rest or not text else text


def _digits(number: float) -> str:
    return f"{number:.9f}".rstrip("0").rstrip(".")


class Instant(float):
    """A point in time, in seconds since the epoch; users write RFC 3339.

    A time without a zone is one of UTC.
    """

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``2026-01-31T12:00:00Z``.

        Raises:
            ValueError: if the text is not a time.
        """
        try:
            made = datetime.fromisoformat(text)
        except ValueError:
            msg = f"{text!r} is not a time: write one such as 2026-01-31T12:00:00Z"
            raise ValueError(msg) from None
        return cls((made if made.tzinfo else made.replace(tzinfo=UTC)).timestamp())

    def __str__(self) -> str:
        text = datetime.fromtimestamp(self, UTC).isoformat(timespec="microseconds")
        return text.removesuffix("+00:00").removesuffix(".000000") + "Z"


@frozen(repr=False)
class Secret:
    """A text that is never printed: inline, in a file, or in the environment.

    Users write ``token: …``, ``token_file: path`` or ``token_env: NAME``. A file is read
    again at every `read`, so a rotated credential is seen without a restart.

    Attributes:
        file: where it is read from, if from a file.
        variable: the environment variable that holds it, if one does.
    """

    _value: str | None = field(default=None)
    file: Path | None = None
    variable: str | None = None

    async def read(self) -> str:
        """The secret as it is now, without a trailing newline.

        The file is small and local, so it is read where the caller stands.

        Raises:
            OSError: if the file cannot be read.
            KeyError: if the environment variable is not set.
        """
        return self.read_now()

    def read_now(self) -> str:
        """The same for callers without a loop."""
        if self.file is not None:
            return self.file.read_text(encoding="utf-8").rstrip("\r\n")
        if self.variable is not None:
            return os.environ[self.variable]
        return self._value or ""

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__
