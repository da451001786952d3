"""Templates: what a handler is given of a request, as a class with typed fields.

A template is made from the class of its instances. Each field of the class says its number on
the wire (for adapters in other processes) and what an expression for it must be.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import Any, Protocol

from attrs import Factory, field, fields, frozen
from attrs.validators import matches_re

from meshregistry.mixer._attributes import StringMap, ValueType

_CAMEL = re.compile(r"_([a-z])")
_FIELD = "meshregistry.mixer.field"


class Variety(Enum):
    """What handlers do with the instances of a template; the values are the wire's."""

    CHECK = 0
    """They say whether a request may go on."""
    REPORT = 1
    """They are told what happened."""
    QUOTA = 2
    """They hand out shares of something limited."""
    ATTRIBUTE_GENERATOR = 3
    """They find out more attributes before anything else is asked."""
    CHECK_WITH_OUTPUT = 4
    """They say whether a request may go on, and give values for header operations."""


class Form(Enum):
    """What a field of an instance holds."""

    TYPED = "one value of a fixed type"
    ANY = "one value of any type"
    ANY_BY_NAME = "values of any type, by name"
    NESTED = "fields of its own"
    BY_NAME = "what one field holds, by name"
    """Only templates that documents describe have these two."""
    REPEATED = "a list of what one field holds"


class Fit(Protocol):
    """Makes the value of an expression one that a field holds, which takes less than all."""

    @property
    def types(self) -> frozenset[ValueType]:
        """The types that the expression may have."""

    def __call__(self, value: Any) -> Any:
        """The field's value.

        Raises:
            ValueError: if it is none; says why.
        """


@frozen(kw_only=True)
class Field:
    """One field of a template.

    Attributes:
        name: in Python and in documents; there ``camelCase`` is the same.
        number: on the wire.
        form: what it holds.
        value_type: of its value, if the form is TYPED.
        nested: its fields, if the form is NESTED.
        instance_class: of its value, if the form is NESTED; None: a mapping.
        item: what each of its values holds, if the form is BY_NAME or REPEATED.
        fit: makes values of expressions its own, if the form is TYPED; None: all are.
        key: makes whole numbers its keys, if the form is BY_NAME; None: they are texts.
    """

    name: str
    number: int
    form: Form
    value_type: ValueType | None = None
    nested: tuple[Field, ...] = ()
    instance_class: type[Any] | None = None
    item: Field | None = None
    fit: Fit | None = None
    key: Fit | None = None

    @property
    def camel_name(self) -> str:
        """The name as JSON of protobuf writes it."""
        return _CAMEL.sub(lambda found: found[1].upper(), self.name)


@frozen(kw_only=True)
class Instance:
    """What a handler is given; the base of all classes of instances.

    Attributes:
        name: of the configured instance, ``name.instance.namespace``: by it adapters find
            what their configuration says of it.
    """

    name: str = ""


_ZEROS: Mapping[ValueType, Any] = {
    ValueType.STRING: "",
    ValueType.INT64: 0,
    ValueType.DOUBLE: 0.0,
    ValueType.BOOL: False,
    ValueType.IP_ADDRESS: b"",
    ValueType.STRING_MAP: StringMap(),
}


def typed(number: int, kind: ValueType = ValueType.STRING) -> Any:
    """A field with a value of this type; what is not given is zero, a time or duration None."""
    made = Field(name="", number=number, form=Form.TYPED, value_type=kind)
    return field(default=_ZEROS.get(kind), metadata={_FIELD: made})


def any_value(number: int) -> Any:
    """A field with a value of any type; None if it is not given."""
    return field(default=None, metadata={_FIELD: Field(name="", number=number, form=Form.ANY)})


def any_by_name(number: int) -> Any:
    """A field with values of any type by name."""
    made = Field(name="", number=number, form=Form.ANY_BY_NAME)
    return field(factory=dict, metadata={_FIELD: made})


def nested(number: int, instance_class: type[Any]) -> Any:
    """A field with fields of its own, those of another class."""
    made = Field(name="", number=number, form=Form.NESTED, instance_class=instance_class)
    return field(factory=instance_class, metadata={_FIELD: made})


def fields_of(instance_class: type[Any]) -> tuple[Field, ...]:
    """The fields that a class of instances declares, by number."""
    found = []
    for one in fields(instance_class):
        declared = one.metadata.get(_FIELD)
        if declared is None:
            continue
        found.append(
            Field(
                name=one.name,
                number=declared.number,
                form=declared.form,
                value_type=declared.value_type,
                instance_class=declared.instance_class,
                nested=()
                if declared.instance_class is None
                else fields_of(declared.instance_class),
            )
        )
    return tuple(sorted(found, key=lambda one: one.number))


@frozen(kw_only=True)
class Template:
    """A named kind of instance.

    Attributes:
        name: as documents write it: ``compiledTemplate: metric`` or ``kind: metric``.
        variety: what handlers do with it.
        instance_class: a frozen attrs class below `Instance`, whose fields are made by
            `typed`, `any_value`, `any_by_name` and `nested`.
        output: the attributes that a generator gives, or a check with output, by the name
            after ``$out.`` or ``output.``, with their types.
        summary: one line for the documentation.
    """

    name: str = field(validator=matches_re(r"[a-z][a-z0-9-]*"))
    variety: Variety
    instance_class: type[Instance]
    output: Mapping[str, ValueType] = field(factory=dict)
    summary: str = ""
    fields: tuple[Field, ...] = field(
        init=False,
        default=Factory(lambda self: fields_of(self.instance_class), takes_self=True),
    )

    def instance(self, name: str, values: Mapping[str, Any]) -> Instance:
        """An instance of this template.

        Args:
            name: of the configured instance.
            values: of its fields by name; the others are zero.
        """
        return self.instance_class(name=name, **values)
