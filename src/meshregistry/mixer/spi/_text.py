"""Values as text, as adapters write them into labels, tags and keys."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from decimal import Decimal
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Any

from meshregistry.mixer._attributes import StringMap, Value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_ADDRESS_SIZES = (4, 16)
_MILLISECOND, _SECOND, _MINUTE, _HOUR = 1_000, 1_000_000, 60_000_000, 3_600_000_000


def text_of(value: Value | None) -> str:
    """The text of a value: numbers in decimal, addresses, times and durations in Go's forms."""
    return "" if value is None else _TEXTS[type(value)](value)


def _address(value: bytes) -> str:
    if len(value) not in _ADDRESS_SIZES:
        return value.hex()
    address = ip_address(value)
    # An IPv4 address has one text, also in the 16 bytes that programs in Go keep it in.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def _number(value: float) -> str:
    if not math.isfinite(value):
        return {math.inf: "+Inf", -math.inf: "-Inf"}.get(value, "NaN")
    # The shortest digits that say this number, without an exponent.
    return format(Decimal(repr(value)), "f").removesuffix(".0")


def _time(value: datetime) -> str:
    return value.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _map(value: StringMap) -> str:
    return "&".join(f"{key}={value[key]}" for key in sorted(value))


def duration_text(value: timedelta) -> str:
    """A duration as Go prints it, such as ``1h0m1.5s`` and ``250ms``."""
    count = (value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds
    if not count:
        return "0s"
    sign, count = ("-", -count) if count < 0 else ("", count)
    if count < _MILLISECOND:
        return f"{sign}{count}µs"
    if count < _SECOND:
        return f"{sign}{_point(count, _MILLISECOND)}ms"
    text = ""
    for size, unit in ((_HOUR, "h"), (_MINUTE, "m")):
        if count >= size or text:
            text += f"{count // size}{unit}"
            count %= size
    return f"{sign}{text}{_point(count, _SECOND)}s"


def _point(count: int, size: int) -> str:
    whole, rest = divmod(count, size)
    digits = len(str(size)) - 1
    return f"{whole}.{rest:0{digits}d}".rstrip("0").rstrip(".")


_TEXTS: Mapping[type, Callable[[Any], str]] = {
    str: str,
    bool: lambda value: "true" if value else "false",
    int: str,
    float: _number,
    bytes: _address,
    datetime: _time,
    timedelta: duration_text,
    StringMap: _map,
}
