"""Attributes that an operator's Envoy configuration states as text. Pure.

They come as ``context_extensions``, as custom tags of a log, as entries of a rate limit's
descriptor, or for whole filters in the gRPC metadata of Envoy's calls.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import parse_qsl

from attrs import field, frozen

from meshregistry.mixer import AttributeBag, BagBuilder, StringMap, Value, ValueType
from meshregistry.mixer.vocabulary import STANDARD

ATTRIBUTES_METADATA: Final = "x-mixer-attributes"
"""The gRPC metadata in which a filter's configuration states attributes, form-urlencoded."""

QUOTAS: Final = "mixer.quotas"
"""The key that stands for no attribute: what a request is charged, as ``name=amount,name``."""

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)s")
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_INT64 = range(-(1 << 63), 1 << 63)


@frozen(kw_only=True)
class Statics:
    """What was stated.

    Attributes:
        bag: the attributes, of their declared types; what is not declared is text.
        quotas: amounts by the names of quotas.
        refused: names of attributes whose text does not fit their type.
    """

    bag: AttributeBag = field(factory=AttributeBag)
    quotas: Mapping[str, int] = field(factory=dict)
    refused: tuple[str, ...] = ()


def statics(pairs: Iterable[tuple[str, str]]) -> Statics:
    """Read stated attributes; of two with one name the last counts."""
    builder = BagBuilder()
    quotas: dict[str, int] = {}
    refused: list[str] = []
    for name, text in pairs:
        if name == QUOTAS:
            quotas = charges(text)
            continue
        value = typed_value(name, text)
        if value is None:
            refused.append(name)
        else:
            builder.set(name, value)
    return Statics(bag=builder.build(), quotas=quotas, refused=tuple(refused))


def of_metadata(metadata: Iterable[tuple[str, str | bytes]] | None) -> tuple[tuple[str, str], ...]:
    """What the metadata of a call state, not yet converted."""
    return tuple(
        pair
        for name, value in metadata or ()
        if name == ATTRIBUTES_METADATA and isinstance(value, str)
        for pair in parse_qsl(value, errors="replace")
    )


def charges(text: str) -> dict[str, int]:
    """Amounts by the names of quotas, of ``name=amount,name``; what is malformed is left out."""
    found: dict[str, int] = {}
    for one in text.split(","):
        name, _, amount = (part.strip() for part in one.partition("="))
        number = _integer(amount or "1")
        if _NAME.fullmatch(name) and number is not None and number > 0:
            found[name] = number
    return found


def typed_value(name: str, text: str) -> Value | None:
    """The text as the attribute's declared type; None if it does not fit."""
    declared = STANDARD.get(name)
    if declared is None:
        return text
    return _READERS.get(declared.type, _text)(text)


def _text(text: str) -> Value | None:
    return text


def _integer(text: str) -> int | None:
    # `int` would also take digits of other scripts, underscores and any length.
    if not re.fullmatch(r"[+-]?[0-9]{1,19}", text):
        return None
    number = int(text)
    return number if number in _INT64 else None


def _bool(text: str) -> Value | None:
    return {"true": True, "false": False}.get(text.strip().lower())


def _address(text: str) -> Value | None:
    try:
        return ip_address(text.strip()).packed
    except ValueError:
        return None


def _time(text: str) -> Value | None:
    try:
        found = datetime.fromisoformat(text.strip())
        return None if found.tzinfo is None else AttributeBag({"t": found})["t"]
    except (ValueError, OverflowError):
        return None


def _duration(text: str) -> Value | None:
    found = _DURATION.fullmatch(text.strip())
    try:
        return AttributeBag({"d": timedelta(seconds=float(found[1]))})["d"] if found else None
    except (ValueError, OverflowError):
        return None


def _map(text: str) -> Value | None:
    try:
        found: Any = json.loads(text)
        return StringMap(found) if isinstance(found, dict) else None
    except (ValueError, TypeError, RecursionError):
        return None


_READERS: Mapping[ValueType, Callable[[str], Value | None]] = {
    ValueType.INT64: _integer,
    ValueType.BOOL: _bool,
    ValueType.IP_ADDRESS: _address,
    ValueType.TIMESTAMP: _time,
    ValueType.DURATION: _duration,
    ValueType.STRING_MAP: _map,
}
