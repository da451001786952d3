"""A template of somebody else's, as the descriptor in its document has it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from attrs import Factory, field, frozen
from google.protobuf.descriptor import FieldDescriptor as Descriptor

from meshregistry.mixer.foreign._descriptors import Descriptors, message_class
from meshregistry.mixer.foreign._fitting import INT64, WHOLE, Choice
from meshregistry.mixer.spi import (
    Field,
    Fit,
    Form,
    Instance,
    StringMap,
    Template,
    Value,
    ValueType,
    Variety,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

_POLICY = "istio.policy.v1beta1."
_VALUE = f"{_POLICY}Value"
_ANY = "google.protobuf.Any"
_MODEL = "istio.mixer.adapter.model.v1beta1."
_OUTPUT = "OutputMsg"
_SCALARS: Final[Mapping[int, ValueType]] = {
    Descriptor.TYPE_STRING: ValueType.STRING,
    Descriptor.TYPE_DOUBLE: ValueType.DOUBLE,
    Descriptor.TYPE_FLOAT: ValueType.DOUBLE,
    Descriptor.TYPE_BOOL: ValueType.BOOL,
    Descriptor.TYPE_ENUM: ValueType.INT64,
    **dict.fromkeys(WHOLE, ValueType.INT64),
}
_WRAPPED: Final[Mapping[str, ValueType]] = {
    f"{_POLICY}IPAddress": ValueType.IP_ADDRESS,
    f"{_POLICY}TimeStamp": ValueType.TIMESTAMP,
    f"{_POLICY}Duration": ValueType.DURATION,
    f"{_POLICY}EmailAddress": ValueType.EMAIL_ADDRESS,
    f"{_POLICY}DNSName": ValueType.DNS_NAME,
    f"{_POLICY}Uri": ValueType.URI,
    f"{_POLICY}StringMap": ValueType.STRING_MAP,
}

_WELL_KNOWN: Final[Mapping[str, ValueType]] = {
    "google.protobuf.Duration": ValueType.DURATION,
    "google.protobuf.Timestamp": ValueType.TIMESTAMP,
}
"""Messages that outputs may have; in instances they are messages with fields."""


@frozen(kw_only=True)
class ForeignInstance(Instance):
    """An instance of any such template.

    Attributes:
        values: of its fields by name; those of a nested message are a mapping again.
    """

    values: Mapping[str, Any] = field(factory=dict)


@frozen(kw_only=True)
class ForeignMessages:
    """What is said of it on the wire.

    Attributes:
        method: the path of the gRPC method.
        request: the class of its requests.
        result: the class of its results.
        types: the class that says what fields of any type hold; None: there is none.
    """

    method: str
    request: Any
    result: Any
    types: Any


@frozen(kw_only=True)
class ForeignTemplate(Template):
    """A template that a document describes.

    Attributes:
        name: of the document, in full, since each namespace has its own.
        data: the descriptor. Templates are equal if it is, whatever pools it is in.
        messages: what is said of it.
        own_fields: of its instances.
    """

    name: str
    instance_class: type[Instance] = ForeignInstance
    data: bytes = field(repr=False)
    messages: ForeignMessages = field(eq=False, repr=False)
    own_fields: tuple[Field, ...]
    fields: tuple[Field, ...] = field(
        init=False, default=Factory(lambda self: self.own_fields, takes_self=True)
    )

    def instance(self, name: str, values: Mapping[str, Any]) -> Instance:
        return ForeignInstance(name=name, values=values)

    def output_of(self, result: Any) -> dict[str, Value]:
        """What a handler found out, by name; what is zero is not there."""
        # What is not sent cannot be told from what is zero, and is left to defaults.
        message = result if result.DESCRIPTOR.name == _OUTPUT else result.output
        return {
            one.name: _read(one, value)
            for one, value in message.ListFields()
            # Attributes hold no number of 64 bits without a sign.
            if one.name in self.output and (one.type not in WHOLE or INT64.has(value))
        }


def template_of(name: str, descriptors: Descriptors) -> ForeignTemplate:
    """The template of a descriptor.

    Args:
        name: for the template.
        descriptors: as the document has them.

    Raises:
        ValueError: if something is missing in it, or has a type that instances cannot have.
    """
    file, number, title = descriptors.marked()
    if number not in {one.value for one in Variety}:
        raise ValueError(f"{file.name}: {number} is no variety of templates")
    variety = Variety(number)
    services = [one for key, one in file.services_by_name.items() if key.startswith("Handle")]
    if len(services) != 1 or len(services[0].methods) != 1:
        raise ValueError(f"{file.name} must have one service Handle<Name>Service with one method")
    method = services[0].methods[0]
    request, result = method.input_type, method.output_type
    instance = file.message_types_by_name.get("InstanceMsg")
    if instance is None:
        raise ValueError(f"{file.name} has no message InstanceMsg")
    _expect(file, variety, request, result)
    output: Mapping[str, ValueType] = {}
    if variety in {Variety.CHECK_WITH_OUTPUT, Variety.ATTRIBUTE_GENERATOR}:
        if (given := file.message_types_by_name.get(_OUTPUT)) is None:
            raise ValueError(f"{file.name} has no message {_OUTPUT}")
        output = dict(_outputs(given.fields))
    types = file.message_types_by_name.get("Type")
    return ForeignTemplate(
        name=name,
        variety=variety,
        output=output,
        summary=f"{title}, which a document describes",
        data=descriptors.data,
        own_fields=tuple(_fields(instance, (), "")),
        messages=ForeignMessages(
            method=f"/{services[0].full_name}/{method.name}",
            request=message_class(request),
            result=message_class(result),
            types=None if types is None else message_class(types),
        ),
    )


def _expect(file: Any, variety: Variety, request: Any, result: Any) -> None:
    """What is said on the wire of every template has to be in these messages."""
    package = f"{file.package}." if file.package else ""
    instances = "instances" if variety is Variety.REPORT else "instance"
    wanted = [(request, instances, f"{package}InstanceMsg"), (request, "adapter_config", _ANY)]
    match variety:
        case Variety.QUOTA:
            wanted.append((request, "quota_request", f"{_MODEL}QuotaRequest"))
            wanted.append((result, "", f"{_MODEL}QuotaResult"))
        case Variety.CHECK:
            wanted.append((result, "", f"{_MODEL}CheckResult"))
        case Variety.CHECK_WITH_OUTPUT:
            wanted.append((result, "result", f"{_MODEL}CheckResult"))
            wanted.append((result, "output", f"{package}{_OUTPUT}"))
        case Variety.ATTRIBUTE_GENERATOR:
            at = "" if result.name == _OUTPUT else "output"
            wanted.append((result, at, f"{package}{_OUTPUT}"))
    for message, name, kind in wanted:
        own = message.fields_by_name.get(name) if name else None
        found = message if not name else None if own is None else own.message_type
        if found is None or found.full_name != kind:
            at = f"{message.full_name}.{name}" if name else f"the result {message.full_name}"
            raise ValueError(f"{at} must be a {kind}")
        if own is not None and own.is_repeated != (name == "instances"):
            raise ValueError(f"{message.full_name}.{name} is repeated in reports, and only there")
    for message, name in (
        (request, "dedup_id"),
        (file.message_types_by_name["InstanceMsg"], "name"),
    ):
        own = message.fields_by_name.get(name)
        if own is None or own.type != Descriptor.TYPE_STRING or own.is_repeated:
            raise ValueError(f"{message.full_name}.{name} must be a string")


def _fields(message: Any, above: tuple[str, ...], path: str) -> Iterable[Field]:
    if message.full_name in above:
        raise ValueError(f"{path.rstrip('.')}: a message within itself cannot be made")
    for one in message.fields:
        # The name of an instance is given by the server.
        if not above and one.name == "name":
            continue
        yield _field(one, (*above, message.full_name), f"{path}{one.name}")


def _field(one: Any, above: tuple[str, ...], path: str) -> Field:
    of = one.message_type
    if of is not None and _is_map(of):
        kind = of.fields_by_name["key"].type
        if kind != Descriptor.TYPE_STRING and kind not in WHOLE:
            raise ValueError(f"{path}: the keys of a map must be strings or whole numbers")
        item = _single(of.fields_by_name["value"], above, path)
        if item.form is Form.ANY and kind not in WHOLE:
            return Field(name=one.name, number=one.number, form=Form.ANY_BY_NAME)
        return Field(
            name=one.name, number=one.number, form=Form.BY_NAME, item=item, key=WHOLE.get(kind)
        )
    item = _single(one, above, path)
    if one.is_repeated:
        return Field(name=one.name, number=one.number, form=Form.REPEATED, item=item)
    return item


def _single(one: Any, above: tuple[str, ...], path: str) -> Field:
    kind = _type_of(one)
    if kind is not None:
        return Field(
            name=one.name, number=one.number, form=Form.TYPED, value_type=kind, fit=_fit(one)
        )
    if one.message_type is None:
        raise ValueError(
            f"{path}: no expression has bytes; fields are strings, numbers, bool, enumerations and"
            " messages"
        )
    if one.message_type.full_name == _VALUE:
        return Field(name=one.name, number=one.number, form=Form.ANY)
    nested = tuple(_fields(one.message_type, above, f"{path}."))
    return Field(name=one.name, number=one.number, form=Form.NESTED, nested=nested)


def _type_of(one: Any) -> ValueType | None:
    message = one.message_type
    return _SCALARS.get(one.type) if message is None else _WRAPPED.get(message.full_name)


def _fit(one: Any) -> Fit | None:
    """What makes a value of an expression one of the field; None: each is."""
    if one.type == Descriptor.TYPE_ENUM:
        return Choice.of(one.enum_type)
    whole = WHOLE.get(one.type)
    return None if whole == INT64 else whole


def _outputs(fields: Iterable[Any]) -> Iterable[tuple[str, ValueType]]:
    for one in fields:
        if _is_string_map(one):
            yield one.name, ValueType.STRING_MAP
        elif not one.is_repeated and (kind := _output_type(one)) is not None:
            yield one.name, kind
        # Expressions cannot read anything else, so it is as good as not there.


def _output_type(one: Any) -> ValueType | None:
    name = "" if one.message_type is None else one.message_type.full_name
    return _WELL_KNOWN.get(name) or _type_of(one)


def _is_map(message: Any) -> bool:
    names = {"key", "value"}
    return message.GetOptions().map_entry and names <= set(message.fields_by_name)


def _is_string_map(one: Any) -> bool:
    of = one.message_type
    return (
        of is not None
        and _is_map(of)
        and all(of.fields_by_name[name].type == Descriptor.TYPE_STRING for name in ("key", "value"))
    )


def _read(one: Any, value: Any) -> Value:
    if _is_string_map(one):
        return StringMap(dict(value))
    if one.message_type is None:
        return value  # type: ignore[no-any-return]
    name = one.message_type.full_name
    own = value if name in _WELL_KNOWN else value.value
    match _output_type(one):
        case ValueType.TIMESTAMP:
            return own.ToDatetime(tzinfo=UTC)  # type: ignore[no-any-return]  # protobuf tells no types
        case ValueType.DURATION:
            return own.ToTimedelta()  # type: ignore[no-any-return]  # protobuf tells no types
        case ValueType.STRING_MAP:
            return StringMap(dict(own))
        case _:
            return own  # type: ignore[no-any-return]  # protobuf tells no types
