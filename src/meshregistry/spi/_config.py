"""The types that a plugin's config class may use beside Python's own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NewType

from attrs import field, frozen

__all__ = ["Path", "Seconds", "Secret"]

Seconds = NewType("Seconds", float)
"""A span of time; users write ``1s``, ``250ms``, ``5m`` or ``1h``."""


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
