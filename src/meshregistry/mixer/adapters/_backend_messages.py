"""The messages of templates for adapters in other processes, made from our classes of instances.

For each template there is a service ``Handle<Name>Service`` in the template's own package, with
one method. Its request holds one instance, or several of a report, and the configuration.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.message_factory import GetMessageClass

from meshregistry.mixer.foreign import ForeignMessages, ForeignTemplate
from meshregistry.mixer.proto import adapter_v1beta1_pb2, policy_v1beta1_pb2
from meshregistry.mixer.proto._pool import POOL
from meshregistry.mixer.spi import TEMPLATES, Form, ValueType, Variety

if TYPE_CHECKING:
    from meshregistry.mixer.spi import Field, InstanceTypes, Template

_NAME_NUMBER = 72_295_727
"""The number of the field with an instance's name."""
_POLICY = ".istio.policy.v1beta1"
_ADAPTER = ".istio.mixer.adapter.model.v1beta1"
_SCALARS: Final = {
    ValueType.STRING: FieldDescriptorProto.TYPE_STRING,
    ValueType.INT64: FieldDescriptorProto.TYPE_INT64,
    ValueType.DOUBLE: FieldDescriptorProto.TYPE_DOUBLE,
    ValueType.BOOL: FieldDescriptorProto.TYPE_BOOL,
}
_WRAPPED: Final = {
    ValueType.IP_ADDRESS: "IPAddress",
    ValueType.TIMESTAMP: "TimeStamp",
    ValueType.DURATION: "Duration",
    ValueType.EMAIL_ADDRESS: "EmailAddress",
    ValueType.DNS_NAME: "DNSName",
    ValueType.URI: "Uri",
    ValueType.STRING_MAP: "StringMap",
}
_MESSAGE, _ENUM = FieldDescriptorProto.TYPE_MESSAGE, FieldDescriptorProto.TYPE_ENUM


@frozen(kw_only=True)
class Messages:
    """What is said of one template.

    Attributes:
        method: the path of the gRPC method.
        request: the class of its requests.
        result: the class of its results.
        types: the class that says what fields of any type hold.
    """

    method: str
    request: Any
    result: Any
    types: Any


def messages_of(template: Template) -> Messages | ForeignMessages:
    """The messages of a template; those of ours are made when they are asked for first."""
    if isinstance(template, ForeignTemplate):
        return template.messages
    return _made(template.name)


@cache
def _made(package: str) -> Messages:
    template = next(one for one in TEMPLATES if one.name == package)
    name = template.instance_class.__name__
    file = FileDescriptorProto(
        name=f"meshregistry/mixer/templates/{package}.proto", package=package, syntax="proto3"
    )
    file.dependency.extend(
        (
            "google/protobuf/any.proto",
            adapter_v1beta1_pb2.DESCRIPTOR.name,
            policy_v1beta1_pb2.DESCRIPTOR.name,
        )
    )
    _add(file, f".{package}", "InstanceMsg", template.fields, is_type=False)
    _field(file.message_type[0], "name", _NAME_NUMBER, FieldDescriptorProto.TYPE_STRING)
    _add(file, f".{package}", "Type", template.fields, is_type=True)
    request = file.message_type.add(name=f"Handle{name}Request")
    is_report = template.variety is Variety.REPORT
    instances = "instances" if is_report else "instance"
    _field(request, instances, 1, _MESSAGE, f".{package}.InstanceMsg", is_repeated=is_report)
    _field(request, "adapter_config", 2, _MESSAGE, ".google.protobuf.Any")
    _field(request, "dedup_id", 3, FieldDescriptorProto.TYPE_STRING)
    if template.variety is Variety.QUOTA:
        _field(request, "quota_request", 4, _MESSAGE, f"{_ADAPTER}.QuotaRequest")
    POOL.AddSerializedFile(file.SerializeToString())
    results = {
        Variety.REPORT: adapter_v1beta1_pb2.ReportResult,
        Variety.QUOTA: adapter_v1beta1_pb2.QuotaResult,
    }
    return Messages(
        method=f"/{package}.Handle{name}Service/Handle{name}",
        request=_class(f"{package}.Handle{name}Request"),
        result=results.get(template.variety, adapter_v1beta1_pb2.CheckResult),
        types=_class(f"{package}.Type"),
    )


def _class(name: str) -> Any:
    return GetMessageClass(POOL.FindMessageTypeByName(name))


def _add(
    file: FileDescriptorProto,
    package: str,
    name: str,
    fields: tuple[Field, ...],
    *,
    is_type: bool,
) -> None:
    """A message with these fields, or with what those of any type hold."""
    message = file.message_type.add(name=name)
    kind = _ENUM if is_type else _MESSAGE
    value = f"{_POLICY}.ValueType" if is_type else f"{_POLICY}.Value"
    for one in fields:
        match one.form:
            case Form.ANY:
                _field(message, one.name, one.number, kind, value)
            case Form.ANY_BY_NAME:
                entry = message.nested_type.add(name=f"{one.name.title().replace('_', '')}Entry")
                entry.options.map_entry = True
                _field(entry, "key", 1, FieldDescriptorProto.TYPE_STRING)
                _field(entry, "value", 2, kind, value)
                place = f"{package}.{name}.{entry.name}"
                _field(message, one.name, one.number, _MESSAGE, place, is_repeated=True)
            case Form.NESTED:
                below = f"{one.name.capitalize()}{'Type' if is_type else 'Msg'}"
                _field(message, one.name, one.number, _MESSAGE, f"{package}.{below}")
                _add(file, package, below, one.nested, is_type=is_type)
            case Form.TYPED if not is_type and one.value_type is not None:
                wrapped = _WRAPPED.get(one.value_type)
                if wrapped is None:
                    _field(message, one.name, one.number, _SCALARS[one.value_type])
                else:
                    _field(message, one.name, one.number, _MESSAGE, f"{_POLICY}.{wrapped}")


def _field(
    message: DescriptorProto,
    name: str,
    number: int,
    kind: FieldDescriptorProto.Type.ValueType,
    type_name: str = "",
    *,
    is_repeated: bool = False,
) -> None:
    one = message.field.add(name=name, number=number, type=kind)
    one.label = (
        FieldDescriptorProto.LABEL_REPEATED if is_repeated else FieldDescriptorProto.LABEL_OPTIONAL
    )
    if type_name:
        one.type_name = type_name


def types_message(types: InstanceTypes) -> Any:
    """The message that says what an instance's fields of any type hold; None: there is none."""
    kind_of_types = messages_of(types.template).types
    if kind_of_types is None:
        return None
    message = kind_of_types()
    for place, kind in types.types.items():
        path, _, name = place.partition("[")
        *above, last = path.split(".")
        target = message
        for each in above:
            target = getattr(target, each, None)
        own = getattr(target, "DESCRIPTOR", None)
        field = None if own is None else own.fields_by_name.get(last)
        # Those below values by name and in lists have no place there: each value tells its type.
        if field is None or (name and not name.endswith("]")):
            continue
        is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
        if not (is_map if name else field.enum_type is not None and not field.is_repeated):
            continue
        if name:
            key = field.message_type.fields_by_name["key"]
            is_text = key.type == FieldDescriptorProto.TYPE_STRING
            getattr(target, last)[name[:-1] if is_text else int(name[:-1])] = kind.value
        else:
            setattr(target, last, kind.value)
    return message
