"""Config classes: what they may contain, their JSON Schema, and values back to documents.

A config class is a frozen attrs class of a small set of types (contracts, section 3). The
set is small so that every class has a schema and every fault has a place and a remedy.
"""

from __future__ import annotations

import enum
import functools
import inspect
import types
import typing
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any, Literal, Union

import attrs
import cattrs

from meshregistry.documents._values import Seconds, Secret, format_seconds

Scalars = Mapping[type, Callable[[str], Any]]
"""Types beside the standard ones, each with the function that reads it from a text."""

SECRET_SUFFIXES = ("_file", "_env")
_PLAIN = (str, int, bool, float)
_DURATION = r"^(?=\d)(\d+(\.\d+)?h)?(\d+(\.\d+)?m(?!s))?(\d+(\.\d+)?s)?(\d+(\.\d+)?ms)?$"


@attrs.frozen
class ConfigField:
    """One field of a config class.

    Attributes:
        key: what users write, which is also the argument of the class.
        hint: its type.
        is_required: whether it has no default.
        attribute: attrs' own description.
        is_secret: whether users may also write ``<key>_file`` and ``<key>_env``.
        keys: all keys that users may write for it.
    """

    key: str
    hint: Any
    is_required: bool
    attribute: attrs.Attribute[Any]
    is_secret: bool
    keys: tuple[str, ...]


def config_fields(cls: type[Any]) -> tuple[ConfigField, ...]:
    """The fields of a class with their types resolved.

    Remembered, since a class does not change and resolving costs more than all the rest.

    Raises:
        NameError: if a type is not known at run time.
    """
    return _config_fields(typing.cast("Hashable", cls))


@functools.lru_cache(maxsize=256)
def _config_fields(cls: Any) -> tuple[ConfigField, ...]:
    hints = typing.get_type_hints(cls)
    return tuple(_field(one, hints[one.name]) for one in attrs.fields(cls) if one.init)


def _field(attribute: attrs.Attribute[Any], hint: Any) -> ConfigField:
    # A key that is a word of Python has an alias like `from_`.
    key = (attribute.alias or attribute.name).removesuffix("_")
    is_secret = unwrap_optional(hint)[0] is Secret
    return ConfigField(
        key=key,
        hint=hint,
        is_required=attribute.default is attrs.NOTHING,
        attribute=attribute,
        is_secret=is_secret,
        keys=(key, *(key + suffix for suffix in SECRET_SUFFIXES if is_secret)),
    )


def unwrap_optional(hint: Any) -> tuple[Any, bool]:
    """The type inside ``X | None``, and whether it was one."""
    if typing.get_origin(hint) in {Union, types.UnionType}:
        inner = [one for one in typing.get_args(hint) if one is not type(None)]
        if len(inner) == 1:
            return inner[0], True
    return hint, False


def is_enum(hint: Any) -> bool:
    """Whether a type is an enumeration."""
    return isinstance(hint, type) and issubclass(hint, enum.Enum)


def check_class(
    cls: type[Any], *, reserved: typing.Iterable[str] = (), scalars: Scalars | None = None
) -> tuple[str, ...]:
    """Say what a config class must not contain; an empty answer means that it is fine.

    Args:
        cls: the class.
        reserved: keys that belong to somebody else.
        scalars: types that are allowed beside the standard ones.
    """
    return tuple(_class_faults(cls, cls.__name__, frozenset(reserved), scalars or {}, ()))


def _class_faults(
    cls: type[Any],
    path: str,
    reserved: frozenset[str],
    scalars: Scalars,
    inside: tuple[type[Any], ...],
) -> typing.Iterator[str]:
    if not attrs.has(cls):
        yield f"{path} is not an attrs class: decorate it with attrs.frozen"
        return
    if cls in inside:
        yield f"{path} contains itself: a config class must not be recursive"
        return
    if not _is_frozen(cls):
        yield f"{path} is not frozen: decorate it with attrs.frozen"
    try:
        fields = config_fields(cls)
    except (NameError, TypeError) as error:
        yield f"{path} has a type that is not known at run time ({error}): import it outside TYPE_CHECKING"
        return
    seen: set[str] = set()
    for one in fields:
        place = f"{path}.{one.key}"
        for key in one.keys:
            if key in reserved:
                yield f"{path}.{key} is a key of the core: give the field another name"
            if key in seen:
                yield f"{path}.{key} is taken twice: a secret also has the keys {', '.join(one.keys)}"
            seen.add(key)
        yield from _type_faults(one.hint, place, scalars, (*inside, cls))


def _type_faults(
    hint: Any, place: str, scalars: Scalars, inside: tuple[type[Any], ...]
) -> typing.Iterator[str]:
    hint, _ = unwrap_optional(hint)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint in _PLAIN or hint in {Seconds, Secret, Path} or hint in scalars:
        return
    if origin is Literal and all(isinstance(one, (str, int)) for one in args):
        return
    if is_enum(hint):
        if not all(isinstance(one.value, str) for one in hint):
            yield f"{place} is an Enum with values other than str: use texts"
    elif origin in {list, tuple, dict} and args:
        if origin is dict and args[0] is not str:
            yield f"{place} is a dict whose keys are not str: use dict[str, …]"
        for inner in args[1:] if origin is dict else args:
            if inner is not Ellipsis:
                yield from _type_faults(inner, f"{place}[]", scalars, inside)
    elif isinstance(hint, type) and attrs.has(hint):
        yield from _class_faults(hint, place, frozenset(), scalars, inside)
    else:
        name = getattr(hint, "__name__", None) if isinstance(hint, type) else None
        yield (
            f"{place} is of the type {name or hint}: use str, int, bool, float, Seconds, Secret, "
            "Path, Literal, Enum, list[…], tuple[…], dict[str, …], Optional or a frozen attrs class"
        )


def _is_frozen(cls: type[Any]) -> bool:
    # attrs says so itself since 25.4; before, only by what it has put in the class.
    props = getattr(cls, "__attrs_props__", None)
    if props is not None:
        return bool(props.is_frozen)
    return getattr(cls.__setattr__, "__name__", "") == "_frozen_setattrs"


def json_schema(cls: type[Any], *, scalars: Scalars | None = None) -> dict[str, Any]:
    """The JSON Schema (2020-12) of the documents that `cls` is structured from."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_class_schema(cls, scalars or {}),
    }


def _class_schema(cls: type[Any], scalars: Scalars) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    required: list[str] = []
    choices: list[dict[str, Any]] = []
    for one in config_fields(cls):
        schema = _type_schema(one.hint, scalars)
        default = one.attribute.default
        if default is not attrs.NOTHING and not isinstance(default, attrs.Factory):  # type: ignore[arg-type]  # a class, which the stubs call a function
            plain = unstructure(default, one.hint)
            if plain not in (None, "***"):
                schema["default"] = plain
        properties[one.key] = schema
        for key in one.keys[1:]:
            properties[key] = {"type": "string"}
        if one.is_required and one.is_secret:
            choices.append({"oneOf": [{"required": [key]} for key in one.keys]})
        elif one.is_required:
            required.append(one.key)
    found: dict[str, Any] = {"type": "object", "title": cls.__name__}
    if summary := (inspect.getdoc(cls) or "").partition("\n")[0]:
        found["description"] = summary
    found |= {"properties": properties, "additionalProperties": False}
    if required:
        found["required"] = required
    if choices:
        found["allOf"] = choices
    return found


def _type_schema(hint: Any, scalars: Scalars) -> dict[str, Any]:
    hint, is_optional = unwrap_optional(hint)
    if is_optional:
        return {"anyOf": [_type_schema(hint, scalars), {"type": "null"}]}
    if typing.get_origin(hint) in {dict, list, tuple}:
        return _collection_schema(typing.get_origin(hint), typing.get_args(hint), scalars)
    hint = str if hint in scalars else hint
    if typing.get_origin(hint) is Literal or is_enum(hint):
        return {"enum": [getattr(one, "value", one) for one in typing.get_args(hint) or hint]}
    if attrs.has(hint) and hint is not Secret:
        return _class_schema(hint, scalars)
    if hint is Seconds:
        return {"type": "string", "pattern": _DURATION}
    names = {int: "integer", bool: "boolean", float: "number"}
    return {} if hint is Any else {"type": names.get(hint, "string")}


def _collection_schema(origin: Any, args: tuple[Any, ...], scalars: Scalars) -> dict[str, Any]:
    if origin is dict:
        return {"type": "object", "additionalProperties": _type_schema(args[1], scalars)}
    if origin is tuple and args[-1] is not Ellipsis:
        items = [_type_schema(inner, scalars) for inner in args]
        return {"type": "array", "prefixItems": items, "minItems": len(args), "maxItems": len(args)}
    return {"type": "array", "items": _type_schema(args[0], scalars)}


def unstructure(value: Any, hint: Any = None) -> Any:
    """Plain values that `from_plain` and `structure` turn into an equal value again.

    Secrets are the exception: they come out as ``***``.
    """
    converter = cattrs.Converter(use_alias=True)
    converter.register_unstructure_hook(Seconds, format_seconds)
    converter.register_unstructure_hook(Secret, str)
    converter.register_unstructure_hook(Path, str)
    return converter.unstructure(value, unstructure_as=hint)
