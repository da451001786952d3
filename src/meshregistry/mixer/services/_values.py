"""Attributes as documents write them: ``{attributes: {name: {stringValue: text}}}``."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from meshregistry.documents import MappingNode, Position, ScalarNode, parse_seconds
from meshregistry.mixer._nodes import Reader, snake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from meshregistry.documents import AnyNode
    from meshregistry.errors import ConfigError

Stated = tuple[str, object, Position]
"""An attribute by name, its value, and where that stands."""

_REMEDY: Final = "write attributes: {attributes: {api.service: {stringValue: shop}}}"


def read_attributes(reader: Reader) -> tuple[Stated, ...]:
    """The attributes under the field ``attributes`` of a spec or a pattern."""
    outer = reader.mapping("attributes")
    for key, _ in outer.entries:
        if key.text != "attributes":
            reader.faults.append(key.fault("is not where attributes stand", _REMEDY))
    inner = Reader(outer.only(["attributes"]), reader.faults).mapping("attributes")
    return tuple(_stated(inner, reader.faults))


def _stated(node: MappingNode, faults: list[ConfigError]) -> Iterable[Stated]:
    for key, value in node.entries:
        if not isinstance(value, MappingNode) or len(value) != 1:
            faults.append(value.fault("must be one value with its type", "write {stringValue: …}"))
            continue
        ((kind, given),) = value.entries
        read = _READERS.get(snake(kind.text))
        if read is None:
            faults.append(
                kind.fault(f"{kind.text!r} is no type of values", "write stringValue, for one")
            )
            continue
        try:
            yield key.text, read(given), given
        except (ValueError, OverflowError) as error:
            faults.append(given.fault(str(error), f"write what {kind.text} takes"))


def _text(node: AnyNode) -> str:
    if not isinstance(node, ScalarNode):
        msg = f"must be a text, not {node.kind}"
        raise ValueError(msg)  # noqa: TRY004 - a fault of the document
    return node.text


def _bool(node: AnyNode) -> bool:
    found = {"true": True, "false": False}.get(_text(node))
    if found is None:
        raise ValueError("must be true or false")
    return found


def _bytes(node: AnyNode) -> bytes:
    return base64.b64decode(_text(node), validate=True)


def _time(node: AnyNode) -> datetime:
    return datetime.fromisoformat(_text(node))


def _duration(node: AnyNode) -> timedelta:
    return timedelta(seconds=parse_seconds(_text(node)))


def _map(node: AnyNode) -> dict[str, str]:
    entries = node.get("entries") if isinstance(node, MappingNode) and len(node) == 1 else None
    if not isinstance(entries, MappingNode):
        raise ValueError("must be {entries: {…}}")  # noqa: TRY004 - a fault of the document
    return {key.text: _text(value) for key, value in entries.entries}


_READERS: Mapping[str, Callable[[Any], object]] = {
    "string_value": _text,
    "int64_value": lambda node: int(_text(node)),
    "double_value": lambda node: float(_text(node)),
    "bool_value": _bool,
    "bytes_value": _bytes,
    "timestamp_value": _time,
    "duration_value": _duration,
    "string_map_value": _map,
}
