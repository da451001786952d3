"""Instances written into the messages of their templates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from meshregistry.mixer.foreign import ForeignInstance
from meshregistry.mixer.spi import Form, StringMap, ValueType

if TYPE_CHECKING:
    from meshregistry.mixer.spi import Field, InstanceTypes, Value

Types = Mapping[str, ValueType]

_SCALARS: Final = frozenset({ValueType.STRING, ValueType.INT64, ValueType.DOUBLE, ValueType.BOOL})
"""The types that are no messages."""
_ONEOF: Final = {one: f"{one.name.lower()}_value" for one in ValueType}


def write_instance(message: Any, instance: Any, types: InstanceTypes | None) -> None:
    """Write an instance into its message.

    Args:
        message: of the template's class.
        instance: of the template.
        types: what its fields of any type hold, which tells a URI from another text.
    """
    message.name = instance.name
    if types is not None:
        values = instance.values if isinstance(instance, ForeignInstance) else instance
        _write(message, values, types.template.fields, types.types, "")


def _write(message: Any, given: Any, fields: tuple[Field, ...], types: Types, start: str) -> None:
    for one in fields:
        value = given.get(one.name) if isinstance(given, dict) else getattr(given, one.name)
        if value is not None:
            _WRITERS[one.form](message, value, one, types, f"{start}{one.name}")


def _write_single(message: Any, value: Any, one: Field, types: Types, place: str) -> None:
    if one.value_type in _SCALARS:
        setattr(message, one.name, value)
    # Nobody has an address, a name or a map that is empty.
    elif value or one.form is not Form.TYPED:
        _write_below(getattr(message, one.name), value, one, types, place)


def _write_any_by_name(message: Any, value: Any, one: Field, types: Types, place: str) -> None:
    target = getattr(message, one.name)
    for name, each in value.items():
        _write_value(target[name], each, types.get(f"{place}[{name}]"))


def _write_by_name(message: Any, value: Any, one: Field, types: Types, place: str) -> None:
    target, item = getattr(message, one.name), one.item or one
    for name, each in value.items():
        if item.value_type in _SCALARS:
            target[name] = each
        else:
            _write_below(target[name], each, item, types, f"{place}[{name}]")


def _write_repeated(message: Any, value: Any, one: Field, types: Types, place: str) -> None:
    target, item = getattr(message, one.name), one.item or one
    for at, each in enumerate(value):
        if item.value_type in _SCALARS:
            target.append(each)
        else:
            _write_below(target.add(), each, item, types, f"{place}[{at}]")


_WRITERS: Final[Mapping[Form, Callable[[Any, Any, Field, Types, str], None]]] = {
    Form.TYPED: _write_single,
    Form.ANY: _write_single,
    Form.NESTED: _write_single,
    Form.ANY_BY_NAME: _write_any_by_name,
    Form.BY_NAME: _write_by_name,
    Form.REPEATED: _write_repeated,
}


def _write_below(message: Any, value: Any, one: Field, types: Types, place: str) -> None:
    """What is a message of its own."""
    match one.form:
        case Form.ANY:
            _write_value(message, value, types.get(place))
        case Form.NESTED:
            message.SetInParent()
            _write(message, value, one.nested, types, f"{place}.")
        case _:
            _write_wrapped(message, value)


def _write_value(message: Any, value: Value, kind: ValueType | None) -> None:
    kind = kind or _KINDS[type(value)]
    if kind in _SCALARS:
        setattr(message, _ONEOF[kind], value)
    else:
        wrapped = getattr(message, _ONEOF[kind])
        wrapped.SetInParent()
        _write_wrapped(wrapped, value)


def _write_wrapped(message: Any, value: Value) -> None:
    match value:
        case datetime():
            message.value.FromDatetime(value)
        case timedelta():
            message.value.FromTimedelta(value)
        case StringMap():
            message.value.update(value.entries)
        case _:
            message.value = value


_KINDS: Mapping[type, ValueType] = {
    str: ValueType.STRING,
    bool: ValueType.BOOL,
    int: ValueType.INT64,
    float: ValueType.DOUBLE,
    bytes: ValueType.IP_ADDRESS,
    datetime: ValueType.TIMESTAMP,
    timedelta: ValueType.DURATION,
    StringMap: ValueType.STRING_MAP,
}
