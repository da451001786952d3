"""The functions that expressions may call, with their types."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

from attrs import field, frozen

from meshregistry.mixer._attributes import StringMap, ValueType
from meshregistry.mixer._patterns import linear
from meshregistry.mixer.expressions._comparing import dns_key, email_key, uri_key

_STRING, _BOOL, _INT64 = ValueType.STRING, ValueType.BOOL, ValueType.INT64
# RFC 3339, section 5.6.
_TIMESTAMP = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt](\d{2}:\d{2}:\d{2})(\.\d+)?([Zz]|[+-]\d{2}:\d{2})", re.ASCII
)


@frozen(kw_only=True)
class Function:
    """One function.

    Attributes:
        name: as it is called.
        parameters: their types.
        result: the type of what it gives.
        apply: takes the values, the receiver first; raises `ValueError` for those that it
            cannot work with.
        receiver: the type of what stands before the dot; None: nothing does.
        prepare: makes `apply` once for a constant first value, such as a pattern; raises
            `ValueError` if that is wrong.
        summary: for the documentation.
    """

    name: str
    parameters: tuple[ValueType, ...] = ()
    result: ValueType
    apply: Callable[..., Any] = field(eq=False)
    receiver: ValueType | None = None
    prepare: Callable[[Any], Callable[..., Any]] | None = field(default=None, eq=False)
    summary: str


def matches_pattern(pattern: str) -> Callable[[str], bool]:
    """A search for a regular expression, in time that follows the length of the text.

    Raises:
        ValueError: if the pattern is wrong.
    """
    compiled = linear(pattern)
    return lambda text: compiled.search(text) is not None


def match(text: str, pattern: str) -> bool:
    """Whether a text is a pattern with one star at its end or, else, at its beginning."""
    if pattern.endswith("*"):
        return text.startswith(pattern[:-1])
    if pattern.startswith("*"):
        return text.endswith(pattern[1:])
    return text == pattern


def timestamp(text: str) -> datetime:
    """A time as RFC 3339 writes it; what is finer than a microsecond is cut.

    Raises:
        ValueError: if it is none.
    """
    found = _TIMESTAMP.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a time: write 2006-01-02T15:04:05Z")
    date, clock, fraction, zone = found.groups()
    cut = (fraction or "")[:7]
    if zone[1:3] >= "24":
        raise ValueError(f"{text!r} is not a time: no zone is a day or more away")
    try:
        return datetime.fromisoformat(f"{date}T{clock}{cut}{zone.upper()}").astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{text!r} is outside of the years 1 to 9999 in UTC") from error


def address(text: str) -> bytes:
    """An address from its text. One with a zone means something to one machine only.

    Raises:
        ValueError: if it is none.
    """
    if "%" in text:
        raise ValueError(f"{text!r} has a zone, which holds on one machine only: leave it out")
    return ip_address(text).packed


def lower(text: str) -> str:
    """The text in lower case, each character by itself: whatever stands beside it, it is the same."""
    return text.lower() if text.isascii() else "".join(one.lower()[0] for one in text)


def _checked(key: Callable[[str], object]) -> Callable[[str], str]:
    def check(text: str) -> str:
        key(text)
        return text

    return check


FUNCTIONS: tuple[Function, ...] = (
    Function(
        name="match",
        parameters=(_STRING, _STRING),
        result=_BOOL,
        apply=match,
        summary="the text is the pattern, whose last or, else, first character may be a star",
    ),
    Function(
        name="matches",
        receiver=_STRING,
        parameters=(_STRING,),
        result=_BOOL,
        apply=lambda pattern, text: matches_pattern(pattern)(text),
        prepare=matches_pattern,
        summary="the regular expression before the dot (RE2) is found in the text, as in "
        '`"^/a".matches(request.path)`',
    ),
    Function(
        name="startsWith",
        receiver=_STRING,
        parameters=(_STRING,),
        result=_BOOL,
        apply=str.startswith,
        summary="the text before the dot begins with the other",
    ),
    Function(
        name="endsWith",
        receiver=_STRING,
        parameters=(_STRING,),
        result=_BOOL,
        apply=str.endswith,
        summary="the text before the dot ends with the other",
    ),
    Function(
        name="ip",
        parameters=(_STRING,),
        result=ValueType.IP_ADDRESS,
        apply=address,
        summary="an IPv4 or IPv6 address from its text",
    ),
    Function(
        name="timestamp",
        parameters=(_STRING,),
        result=ValueType.TIMESTAMP,
        apply=timestamp,
        summary="a time from its text by RFC 3339",
    ),
    Function(
        name="dnsName",
        parameters=(_STRING,),
        result=ValueType.DNS_NAME,
        apply=_checked(dns_key),
        summary="a DNS name; case and a last dot do not count when names are compared",
    ),
    Function(
        name="email",
        parameters=(_STRING,),
        result=ValueType.EMAIL_ADDRESS,
        apply=_checked(email_key),
        summary="an e-mail address; its domain is compared as a DNS name",
    ),
    Function(
        name="uri",
        parameters=(_STRING,),
        result=ValueType.URI,
        apply=_checked(uri_key),
        summary="a URI; scheme, and host of web addresses, are compared without regard to case",
    ),
    Function(
        name="emptyStringMap",
        result=ValueType.STRING_MAP,
        apply=StringMap,
        summary="a map without entries",
    ),
    Function(
        name="conditionalString",
        parameters=(_BOOL, _STRING, _STRING),
        result=_STRING,
        apply=lambda condition, one, other: one if condition else other,
        summary="one text or the other; both are evaluated",
    ),
    Function(
        name="toLower",
        parameters=(_STRING,),
        result=_STRING,
        apply=lower,
        summary="the text in lower case",
    ),
    Function(
        name="reverse",
        parameters=(_STRING,),
        result=_STRING,
        apply=lambda text: text[::-1],
        summary="the characters of the text, the last one first",
    ),
    Function(
        name="size",
        parameters=(_STRING,),
        result=_INT64,
        apply=lambda text: len(text.encode()),
        summary="the bytes of the text as UTF-8",
    ),
)
"""All but ``conditional`` and the operators, whose types depend on their operands."""


def by_name(functions: Iterable[Function] = FUNCTIONS) -> Mapping[str, Function]:
    """Functions by name."""
    return {one.name: one for one in functions}
