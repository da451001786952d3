"""Parameters as they are written, encoded as the message that an adapter describes."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import FieldDescriptor as Descriptor
from google.protobuf.json_format import Parse, ParseError
from google.protobuf.message import DecodeError

from meshregistry.documents import (
    AnyNode,
    MappingNode,
    ScalarNode,
    SequenceNode,
    suggestion,
    to_plain,
)
from meshregistry.mixer._nodes import as_truth
from meshregistry.mixer.expressions import nanoseconds
from meshregistry.mixer.foreign._descriptors import Descriptors, message_class
from meshregistry.mixer.foreign._fitting import WHOLE

if TYPE_CHECKING:
    from meshregistry.errors import ConfigError

_PARAMS = "Params"
_SPECIAL = frozenset(
    f"google.protobuf.{name}"
    for name in (
        *("Duration", "Timestamp", "Struct", "Value", "ListValue"),
        *("BoolValue", "BytesValue", "DoubleValue", "FloatValue", "StringValue"),
        *("Int32Value", "Int64Value", "UInt32Value", "UInt64Value"),
    )
)
"""Messages that JSON writes in a way of their own."""
_DURATION = "google.protobuf.Duration"


def encoded(
    node: MappingNode, descriptors: Descriptors, faults: list[ConfigError]
) -> tuple[str, bytes]:
    """Parameters as type and value of an ``Any``.

    Args:
        node: as they are written.
        descriptors: of the adapter's configuration, with a message ``Params``.
        faults: filled with what is wrong, at its place.

    Raises:
        ValueError: if there is no message ``Params``.
    """
    described = descriptors.file_with(_PARAMS).message_types_by_name[_PARAMS]
    message = message_class(described)()
    _Writer(faults).message(node, message)
    try:
        value = message.SerializeToString(deterministic=True)
    except (DecodeError, ValueError) as error:
        # proto2 has fields that must be there.
        faults.append(node.fault(str(error)))
        value = b""
    return f"type.googleapis.com/{described.full_name}", value


class _Writer:
    def __init__(self, faults: list[ConfigError]) -> None:
        self._faults = faults

    def message(self, node: AnyNode, message: Any) -> None:
        """Everything that is written of one message."""
        if message.DESCRIPTOR.full_name in _SPECIAL:
            self._special(node, message)
            return
        if not isinstance(node, MappingNode):
            self._fault(node, "a mapping", "write {…}")
            return
        known = {one.camelcase_name: one for one in message.DESCRIPTOR.fields}
        known |= {one.json_name: one for one in message.DESCRIPTOR.fields}
        known |= message.DESCRIPTOR.fields_by_name
        self._faults += node.unknown(known)
        given: dict[str, str] = {}
        for key, value in node.entries:
            one = known.get(key.text)
            if one is None or (isinstance(value, ScalarNode) and value.is_null):
                continue
            group = one.name if one.containing_oneof is None else one.containing_oneof.name
            if (before := given.setdefault(group, key.text)) != key.text:
                self._faults.append(key.fault(f"{before} is given already", "take one of them out"))
                continue
            self._field(value, message, one)

    def _special(self, node: AnyNode, message: Any) -> None:
        name = message.DESCRIPTOR.full_name
        if name == _DURATION:
            # As Go writes them, where JSON knows seconds only.
            found = nanoseconds(node.text) if isinstance(node, ScalarNode) else None
            if found is None:
                self._faults.append(node.fault(f"is no {name}", "write 1m30s or 250ms"))
            else:
                message.FromNanoseconds(found)
            return
        try:
            Parse(json.dumps(to_plain(node)), message)
        except ParseError as error:
            self._faults.append(node.fault(f"is no {name}: {error}"))

    def _field(self, node: AnyNode, message: Any, one: Any) -> None:
        of = one.message_type
        if of is not None and of.GetOptions().map_entry:
            self._map(node, getattr(message, one.name), of)
        elif one.is_repeated:
            self._list(node, getattr(message, one.name), one)
        elif of is not None:
            own = getattr(message, one.name)
            own.SetInParent()
            self.message(node, own)
        elif (value := self._scalar(node, one)) is not None:
            setattr(message, one.name, value)

    def _map(self, node: AnyNode, entries: Any, entry: Any) -> None:
        if not isinstance(node, MappingNode):
            self._fault(node, "a mapping", "write key: value")
            return
        kind, of = entry.fields_by_name["key"], entry.fields_by_name["value"]
        for key, value in node.entries:
            own = self._scalar(key, kind)
            if own is None:
                continue
            if of.message_type is not None:
                self.message(value, entries[own])
            elif (made := self._scalar(value, of)) is not None:
                entries[own] = made

    def _list(self, node: AnyNode, items: Any, one: Any) -> None:
        if not isinstance(node, SequenceNode):
            self._fault(node, "a list", "write - before each")
            return
        for item in node:
            if one.message_type is not None:
                self.message(item, items.add())
            elif (made := self._scalar(item, one)) is not None:
                items.append(made)

    def _scalar(self, node: AnyNode, one: Any) -> Any:
        """The value of a field; None, and a fault, if it is none."""
        if not isinstance(node, ScalarNode):
            self._fault(node, "one value", "write it without - and :")
            return None
        match one.type:
            case Descriptor.TYPE_STRING:
                made: Any = node.text
            case Descriptor.TYPE_BYTES:
                made = self._bytes(node)
            case Descriptor.TYPE_ENUM:
                made = self._choice(node, one.enum_type)
            case Descriptor.TYPE_BOOL:
                made = self._expected(node, as_truth(node), "true or false")
            case Descriptor.TYPE_DOUBLE | Descriptor.TYPE_FLOAT:
                made = self._expected(node, node.as_float(), "a number")
            case _:
                made = self._whole(node, one.type)
        return made

    def _whole(self, node: ScalarNode, kind: int) -> Any:
        # JSON has 64 bits in quotes.
        number = ScalarNode(file=node.file, text=node.text).as_int()
        wanted = WHOLE[kind]
        return self._expected(node, number if wanted.has(number) else None, str(wanted))

    def _expected(self, node: ScalarNode, value: Any, what: str) -> Any:
        if value is None:
            self._faults.append(node.fault(f"{node.text!r} must be {what}"))
        return value

    def _bytes(self, node: ScalarNode) -> bytes | None:
        try:
            return base64.b64decode(node.text, validate=True)
        except binascii.Error as error:
            self._faults.append(node.fault(f"is not base64: {error}"))
            return None

    def _choice(self, node: ScalarNode, kind: Any) -> int | None:
        by_name = {one.name: one.number for one in kind.values}
        number = node.as_int()
        if node.text in by_name:
            return int(by_name[node.text])
        if number is not None and number in by_name.values():
            return number
        remedy = suggestion(node.text, by_name)
        self._faults.append(node.fault(f"{node.text!r} is no {kind.name}", remedy))
        return None

    def _fault(self, node: AnyNode, what: str, remedy: str) -> None:
        self._faults.append(node.fault(f"must be {what}, not {node.kind}", remedy))
