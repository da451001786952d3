"""Regular expressions of whoever writes documents or sends requests: RE2 where it is installed.

RE2 takes time in proportion to the text, whatever the pattern is. Python's own expressions can
take for ever for a pattern like ``(a+)+b``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

try:
    import re2
except ModuleNotFoundError:
    # A client has no extra for it.
    re2 = None

if TYPE_CHECKING:
    from collections.abc import Callable


def linear(pattern: str) -> Any:
    """A pattern of RE2, which has to be installed.

    Raises:
        ValueError: if it is none, such as one that looks ahead or refers back.
    """
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        # The library's errors hold bytes.
        reason = b"".join(one for one in error.args if isinstance(one, bytes)).decode()
        raise ValueError(f"{pattern!r} is not a regular expression (RE2): {reason}") from error


def whole(pattern: str) -> Callable[[str], bool]:
    """Whether a whole text matches; by Python's expressions where there is no RE2.

    Raises:
        ValueError: if the pattern is none.
    """
    if re2 is None:
        try:
            # Digits, words and blanks are those of ASCII in RE2.
            python = re.compile(pattern, re.ASCII)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
        return lambda text: python.fullmatch(text) is not None
    compiled = linear(pattern)

    def is_match(text: str) -> bool:
        try:
            return compiled.fullmatch(text) is not None
        except UnicodeEncodeError:
            # Half a character matches nothing; a request may have one.
            return False

    return is_match
