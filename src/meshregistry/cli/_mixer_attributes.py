"""Attributes from the words of a command line."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from difflib import get_close_matches
from ipaddress import ip_address
from typing import TYPE_CHECKING

import click

from meshregistry.documents import parse_seconds
from meshregistry.mixer import AttributeBag, ValueType
from meshregistry.mixer.vocabulary import STANDARD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from meshregistry.mixer import Manifest

MANIFESTS = "--manifests"
_WORD = re.compile(r"(?P<name>[^=\[]+)(?:\[(?P<key>[^\]]*)\])?=(?P<value>.*)", re.DOTALL)
_BOOLEANS = {"true": True, "false": False}
_INT64 = 2**63
_TIME = "write one such as 2026-01-02T03:04:05Z"


def attributes(words: Iterable[str], manifest: Manifest = STANDARD) -> AttributeBag:
    """A bag of ``NAME=VALUE`` and, for entries of maps, ``NAME[KEY]=VALUE``.

    Values are read by the types of the manifest.

    Raises:
        click.UsageError: for a word that is none of this.
    """
    values: dict[str, object] = {}
    maps: dict[str, dict[str, str]] = {}
    for word in words:
        found = _WORD.fullmatch(word)
        if found is None:
            raise click.UsageError(
                f"{word!r} is no attribute: write NAME=VALUE, such as request.path=/, or "
                "NAME[KEY]=VALUE, such as request.headers[user]=me"
            )
        name, key, value = found["name"], found["key"], found["value"]
        attribute = manifest.get(name)
        if attribute is None:
            near = get_close_matches(name, manifest, n=1)
            what = f"did you mean {near[0]}?" if near else f"name what declares it with {MANIFESTS}"
            raise click.UsageError(f"unknown attribute {name}: {what}")
        if (key is not None) != (attribute.type is ValueType.STRING_MAP):
            form = f"{name}[KEY]=VALUE" if key is None else f"{name}=VALUE"
            raise click.UsageError(f"{name} is {attribute.type.name}: write {form}")
        if key in maps.get(name, ()) or name in values:
            given = name if key is None else f"{name}[{key}]"
            raise click.UsageError(f"{given} is given twice: leave one of them out")
        if key is not None:
            maps.setdefault(name, {})[key] = value
            continue
        try:
            values[name] = _READ.get(attribute.type, str)(value)
        except ValueError as error:
            raise click.UsageError(f"{name} is {attribute.type.name}: {error}") from error
    return manifest.bag({**values, **maps})


def _number(text: str) -> int:
    try:
        number = int(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a whole number") from error
    if not -_INT64 <= number < _INT64:
        raise ValueError(f"{text} does not fit into 64 bits")
    return number


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a time: {_TIME}") from error
    if found.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone: {_TIME}")
    return found


def _boolean(text: str) -> bool:
    if text not in _BOOLEANS:
        raise ValueError(f"{text!r} is neither true nor false")
    return _BOOLEANS[text]


_READ: Mapping[ValueType, Callable[[str], object]] = {
    ValueType.INT64: _number,
    ValueType.DOUBLE: float,
    ValueType.BOOL: _boolean,
    ValueType.IP_ADDRESS: lambda text: ip_address(text).packed,
    ValueType.TIMESTAMP: _time,
    ValueType.DURATION: lambda text: timedelta(seconds=float(parse_seconds(text))),
}
