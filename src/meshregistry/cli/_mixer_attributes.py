"""Attributes from the words of a command line."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from meshregistry.documents import parse_seconds, suggestion
from meshregistry.mixer import AttributeBag, ValueType
from meshregistry.mixer.vocabulary import STANDARD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_WORD = re.compile(r"(?P<name>[^=\[]+)(?:\[(?P<key>[^\]]*)\])?=(?P<value>.*)", re.DOTALL)
_BOOLEANS = {"true": True, "false": False}


def attributes(words: Iterable[str]) -> AttributeBag:
    """A bag of ``NAME=VALUE`` and, for entries of maps, ``NAME[KEY]=VALUE``.

    Values are read by the types of the standard vocabulary.

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
        attribute = STANDARD.get(name)
        if attribute is None:
            raise click.UsageError(f"unknown attribute {name}: {suggestion(name, STANDARD)}")
        if (key is not None) != (attribute.type is ValueType.STRING_MAP):
            form = f"{name}[KEY]=VALUE" if key is None else f"{name}=VALUE"
            raise click.UsageError(f"{name} is {attribute.type.name}: write {form}")
        if key is not None:
            maps.setdefault(name, {})[key] = value
            continue
        try:
            values[name] = _READ.get(attribute.type, str)(value)
        except ValueError as error:
            raise click.UsageError(f"{name} is {attribute.type.name}: {error}") from error
    return STANDARD.bag({**values, **maps})


def _boolean(text: str) -> bool:
    if text not in _BOOLEANS:
        raise ValueError(f"{text!r} is neither true nor false")
    return _BOOLEANS[text]


_READ: Mapping[ValueType, Callable[[str], object]] = {
    ValueType.INT64: int,
    ValueType.DOUBLE: float,
    ValueType.BOOL: _boolean,
    ValueType.TIMESTAMP: datetime.fromisoformat,
    ValueType.DURATION: lambda text: timedelta(seconds=float(parse_seconds(text))),
}
