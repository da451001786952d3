"""The header in which a calling proxy forwards attributes to the called one."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from meshregistry.mixer._attributes import AttributeBag, StringMap, Value
from meshregistry.mixer._times import read_duration, read_time, write_duration, write_time
from meshregistry.mixer.client._extra import DecodeError
from meshregistry.mixer.proto.mixer_v1_pb2 import Attributes

if TYPE_CHECKING:
    from collections.abc import Iterator

FORWARDED_HEADER = "x-istio-attributes"

ACCEPTED = frozenset(
    {
        "source.uid",
        "source.namespace",
        "destination.service.name",
        "destination.service.uid",
        "destination.service.host",
        "destination.service.namespace",
    }
)
"""What is read of the header; all else is ignored."""


def forwarded_header(bag: AttributeBag) -> tuple[str, str]:
    """Name and value of the header that forwards these attributes."""
    message = Attributes()
    for name, value in sorted(bag.entries.items()):
        _write(message.attributes[name], value)
    data = message.SerializeToString(deterministic=True)
    return FORWARDED_HEADER, base64.b64encode(data).decode()


def read_forwarded(text: str) -> AttributeBag:
    """The accepted attributes of a header; none if it cannot be read.

    Those are texts that are not empty. Believe them only of callers that you trust: anybody
    can write a header.
    """
    return AttributeBag(
        {
            name: value
            for name, value in forwarded_attributes(text).entries.items()
            if name in ACCEPTED and isinstance(value, str) and value
        }
    )


def forwarded_attributes(text: str) -> AttributeBag:
    """All attributes of a header; none if it cannot be read."""
    try:
        message = Attributes.FromString(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError, DecodeError):
        return AttributeBag()
    return AttributeBag.of_checked(dict(_read(message)))


def _write(target: Attributes.AttributeValue, value: Value) -> None:
    writers = {
        str: "string_value",
        bool: "bool_value",
        int: "int64_value",
        float: "double_value",
        bytes: "bytes_value",
    }
    field = writers.get(type(value))
    if field is not None:
        setattr(target, field, value)
    elif isinstance(value, StringMap):
        target.string_map_value.SetInParent()
        target.string_map_value.entries.update(value.entries)
    else:
        _write_times(target, value)


def _write_times(target: Attributes.AttributeValue, value: Value) -> None:
    if isinstance(value, timedelta):
        target.duration_value.SetInParent()
        write_duration(target.duration_value, value)
    elif isinstance(value, datetime):
        target.timestamp_value.SetInParent()
        write_time(target.timestamp_value, value)


def _read(message: Attributes) -> Iterator[tuple[str, Value]]:
    for name, said in message.attributes.items():
        kind = said.WhichOneof("value")
        if kind is None:
            continue
        value = getattr(said, kind)
        if kind == "string_map_value":
            value = StringMap(value.entries)
        elif kind == "duration_value":
            value = read_duration(value)
        elif kind == "timestamp_value":
            value = read_time(value)
        if value is not None:
            yield name, value
