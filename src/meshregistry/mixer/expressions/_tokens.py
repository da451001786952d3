"""The words of an expression: the lexical rules of Go, as far as expressions use them."""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING

from attrs import frozen

from meshregistry.mixer.expressions._errors import ExpressionError

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST = 64 * 1024
"""Characters of an expression; a longer one is refused."""


class Kind(enum.Enum):
    """What a token is."""

    NAME = "name"
    INT = "int"
    FLOAT = "float"
    STRING = "string"
    SIGN = "sign"
    END = "end"


@frozen
class Token:
    """One word.

    Attributes:
        kind: what it is.
        text: as it stands there; of a string, its value.
        column: of its first character, from 0.
    """

    kind: Kind
    text: str
    column: int


_LAST_CHARACTER = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)
_SPACE = re.compile(r"[ \t\r\n]+")
_NAME = re.compile(r"[^\W\d]\w*")
# Not \d, for which the digits of every script are some.
_NUMBER = re.compile(r"(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)(?:[eE][+-]?[0-9]+)?")
_SIGN = re.compile(r"&&|\|\||==|!=|<=|>=|<<|>>|&\^|[-+*/%&|^!<>()\[\],.=;:{}]")
_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\'\"])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2}))"
)
_QUOTES = frozenset({"'", '"'})
_PLAIN = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    "'": "'",
    '"': '"',
}


def tokens(text: str) -> Iterator[Token]:
    """The tokens of an expression, the last of kind END.

    Raises:
        ExpressionError: at the first character that begins no token.
    """
    if len(text) > LONGEST:
        reason = f"the expression has {len(text)} characters, more than {LONGEST}"
        raise ExpressionError(reason, text=text[:80], column=0)
    place = 0
    while True:
        if space := _SPACE.match(text, place):
            place = space.end()
        if place == len(text):
            yield Token(Kind.END, "", place)
            return
        token, place = _token(text, place)
        yield token


def _token(text: str, place: int) -> tuple[Token, int]:
    """The token that begins here, and where it ends."""
    first = text[place]
    if first in "\"'":
        return _quoted(text, place, first)
    if first == "`":
        end = text.find("`", place + 1)
        if end < 0:
            raise ExpressionError("the string never ends: add `", text=text, column=place)
        return Token(Kind.STRING, text[place + 1 : end], place), end + 1
    if found := _NAME.match(text, place):
        return Token(Kind.NAME, found[0], place), found.end()
    if found := _NUMBER.match(text, place):
        return _number(text, place, found)
    if found := _SIGN.match(text, place):
        return Token(Kind.SIGN, found[0], place), found.end()
    raise ExpressionError(f"the character {first!r} means nothing here", text=text, column=place)


def _number(text: str, place: int, found: re.Match[str]) -> tuple[Token, int]:
    if _NAME.match(text, found.end()):
        reason = "a number ends in a letter: only decimal numbers are known"
        raise ExpressionError(reason, text=text, column=found.end())
    kind = Kind.INT if found[0].isdigit() else Kind.FLOAT
    return Token(kind, found[0], place), found.end()


def _quoted(text: str, start: int, quote: str) -> tuple[Token, int]:
    value: list[str] = []
    place = start + 1
    while place < len(text) and text[place] not in (quote, "\n"):
        if text[place] != "\\":
            value.append(text[place])
            place += 1
            continue
        found = _ESCAPE.match(text, place)
        # A quotation mark is escaped within its own kind only.
        if found is None or found[1] in _QUOTES - {quote}:
            reason = (
                f"the escape {text[place : place + 2]!r} is not known: write \\\\ for a backslash"
            )
            raise ExpressionError(reason, text=text, column=place)
        value.append(_escaped(text, place, found))
        place = found.end()
    if place == len(text) or text[place] == "\n":
        raise ExpressionError(f"the string never ends: add {quote}", text=text, column=start)
    if quote == "'" and len(value) != 1:
        reason = 'single quotes hold one character: write "…" around a text'
        raise ExpressionError(reason, text=text, column=start)
    return Token(Kind.STRING, "".join(value), start), place + 1


def _escaped(text: str, place: int, found: re.Match[str]) -> str:
    plain, byte, short, long, octal = found.groups()
    if plain:
        return _PLAIN[plain]
    code = int(octal, 8) if octal else int(byte or short or long, 16)
    # What is no character of Unicode cannot be in a text, and surrogates are halves of one.
    if code > _LAST_CHARACTER or code in _SURROGATES:
        raise ExpressionError(f"{found[0]} is no character", text=text, column=place)
    return chr(code)
