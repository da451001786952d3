"""From a tree to an instance of a config class, with every fault at its place.

Our own walk: cattrs knows no positions, and coerces what must not be coerced.
"""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import attrs
from attrs import define, evolve

from meshregistry.documents._classes import (
    ConfigField,
    Scalars,
    config_fields,
    is_enum,
    unwrap_optional,
)
from meshregistry.documents._nodes import (
    AnyNode,
    MappingNode,
    Position,
    ScalarNode,
    SequenceNode,
    child_path,
)
from meshregistry.documents._values import Path, Seconds, Secret, parse_seconds
from meshregistry.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")
_LONGEST_SHOWN = 40


class _Wrong(Exception):
    """A value could not be made; why is in the list of faults."""


def structure(
    node: AnyNode,
    cls: type[T],
    *,
    base_path: Path | None = None,
    scalars: Scalars | None = None,
) -> T:
    """Make an instance of a config class.

    Booleans and numbers are never coerced: a plain text is one if it is written as one
    (``true``, ``80``), a quoted text never is, and ``yes`` is only a text. An empty value,
    ``~`` and ``null`` are None where that is allowed.

    Args:
        node: a mapping.
        cls: a class that `check_class` has no objections to.
        base_path: the folder that relative paths start from.
        scalars: types beside the standard ones, each with the function that reads a text
            and raises ValueError.

    Raises:
        ConfigError: all faults, joined.
    """
    faults: list[ConfigError] = []
    made = attempt(node, cls, faults, base_path=base_path, scalars=scalars)
    if made is None:
        raise ConfigError.joined(faults)
    return made


def attempt(
    node: AnyNode,
    cls: type[T],
    faults: list[ConfigError],
    *,
    base_path: Path | None = None,
    scalars: Scalars | None = None,
) -> T | None:
    """The same for a caller that has more to report: faults are added to the list.

    None means that there were some.
    """
    walk = _Walk(base_path, scalars or {}, faults)
    try:
        return typing.cast("T", walk.instance(node, cls))
    except _Wrong:
        return None


@define
class _Walk:
    base_path: Path | None
    scalars: Scalars
    faults: list[ConfigError]

    def wrong(self, node: Position, reason: str, remedy: str = "") -> _Wrong:
        """Note a fault; raise the answer."""
        self.faults.append(node.fault(reason, remedy))
        return _Wrong()

    def instance(self, node: AnyNode, cls: type[Any]) -> Any:
        if not isinstance(node, MappingNode):
            raise self.wrong(node, f"must be a mapping, not {node.kind}", "write key: value")
        before = len(self.faults)
        fields = config_fields(cls)
        self.faults.extend(node.unknown(key for one in fields for key in one.keys))
        values: dict[str, Any] = {}
        for one in fields:
            try:
                given = self.field(node, one)
            except _Wrong:
                continue
            if given is not attrs.NOTHING:
                values[one.key] = given
        for one in fields:
            self.validate(node, one, values)
        if len(self.faults) > before:
            raise _Wrong
        try:
            return cls(
                **{
                    one.attribute.alias or one.key: values[one.key]
                    for one in fields
                    if one.key in values
                }
            )
        except (ValueError, TypeError) as error:
            raise self.wrong(node, _reason(error)) from None

    def field(self, node: MappingNode, one: ConfigField) -> Any:
        """The value of one field, or NOTHING if its default shall count."""
        if one.is_secret:
            return self.secret_field(node, one)
        below = node.get(one.key)
        if below is not None:
            return self.value(below, one.hint)
        if one.is_required:
            raise self.missing(node, one)
        return attrs.NOTHING

    def missing(self, node: MappingNode, one: ConfigField) -> _Wrong:
        ways = " or ".join(f"{key}:" for key in one.keys)
        place = evolve(node, path=child_path(node.path, one.key))
        return self.wrong(place, "the key is missing", f"add {ways}")

    def secret_field(self, node: MappingNode, one: ConfigField) -> Any:
        given = [key for key in one.keys if key in node]
        if len(given) > 1:
            raise self.wrong(
                node.get(given[1]) or node,
                f"{' and '.join(given)} are given together",
                "keep one of them",
            )
        if not given:
            if one.is_required:
                raise self.missing(node, one)
            return attrs.NOTHING
        below = node.get(given[0])
        if below is None:  # pragma: no cover - the key was just seen
            raise _Wrong
        if given[0] == one.key:
            return self.value(below, one.hint)
        if given[0].endswith("_file"):
            return Secret(file=self.value(below, Path))
        return Secret(variable=self.value(below, str))

    def validate(self, node: MappingNode, one: ConfigField, values: Mapping[str, Any]) -> None:
        """Run the field's own validator now, to learn which field an objection belongs to."""
        validator = one.attribute.validator
        if one.key not in values or validator is None:
            return
        value = values[one.key]
        try:
            if callable(one.attribute.converter):
                value = one.attribute.converter(value)
            validator(_Partial(dict(values)), one.attribute, value)
        except (ValueError, TypeError) as error:
            place = next(below for key in one.keys if (below := node.get(key)) is not None)
            self.wrong(place, _reason(error).replace(f"'{one.attribute.name}' ", ""))

    def value(self, node: AnyNode, hint: Any) -> Any:
        hint, is_optional = unwrap_optional(hint)
        if is_optional and isinstance(node, ScalarNode) and node.is_null:
            return None
        if hint is Any:
            return node
        if typing.get_origin(hint) in {dict, list, tuple}:
            return self.collection(node, typing.get_origin(hint), typing.get_args(hint))
        if hint not in self.scalars and hint is not Secret and attrs.has(hint):
            return self.instance(node, hint)
        return self.scalar(node, hint)

    def collection(self, node: AnyNode, origin: Any, args: tuple[Any, ...]) -> Any:
        if origin is dict:
            return self.mapping(node, args[1])
        if origin is tuple and args[-1] is not Ellipsis:
            return self.fixed(node, args)
        return origin(self.items(node, args[0]))

    def mapping(self, node: AnyNode, hint: Any) -> dict[str, Any]:
        if not isinstance(node, MappingNode):
            raise self.wrong(node, f"must be a mapping, not {node.kind}", "write key: value")
        return dict(
            self.all([(key.text, below) for key, below in node.entries], [hint] * len(node))
        )

    def items(self, node: AnyNode, hint: Any) -> list[Any]:
        if not isinstance(node, SequenceNode):
            raise self.wrong(node, f"must be a list, not {node.kind}", "write [a, b]")
        found = self.all([("", below) for below in node.items], [hint] * len(node))
        return [value for _, value in found]

    def fixed(self, node: AnyNode, hints: tuple[Any, ...]) -> tuple[Any, ...]:
        if not isinstance(node, SequenceNode) or len(node) != len(hints):
            raise self.wrong(node, f"must be a list of {len(hints)} values", "write [a, b]")
        return tuple(
            value for _, value in self.all([("", below) for below in node.items], list(hints))
        )

    def all(self, pairs: list[tuple[str, AnyNode]], hints: list[Any]) -> list[tuple[str, Any]]:
        """Every value, so that one fault does not hide the next."""
        before = len(self.faults)
        found = []
        for (key, below), hint in zip(pairs, hints, strict=True):
            try:
                found.append((key, self.value(below, hint)))
            except _Wrong:
                continue
        if len(self.faults) > before:
            raise _Wrong
        return found

    def scalar(self, node: AnyNode, hint: Any) -> Any:
        if not isinstance(node, ScalarNode):
            raise self.wrong(node, f"must be {_wanted(hint)}, not {node.kind}", "write one value")
        if hint in {bool, int, float}:
            return self.number(node, hint)
        if node.is_null and not node.is_expanded:
            raise self.wrong(
                node,
                f"must be {_wanted(hint)}, not nothing",
                "write a value, or leave the key out; quote the text if you mean it",
            )
        if hint is str:
            return node.text
        if hint is Secret:
            return Secret(node.text)
        if hint is Path:
            return self.base_path / node.text if self.base_path else Path(node.text)
        parse = parse_seconds if hint is Seconds else self.scalars.get(hint)
        if parse is None:
            return self.choice(node, hint)
        try:
            return parse(node.text)
        except ValueError as error:
            reason, _, remedy = _reason(error).partition(": ")
            raise self.wrong(node, reason, remedy) from None

    def number(self, node: ScalarNode, hint: Any) -> Any:
        value: object
        if hint is bool:
            value, remedy = node.as_bool(), "write true or false, without quotes"
        elif hint is int:
            value, remedy = node.as_int(), "write digits only, without quotes"
        else:
            value, remedy = node.as_float(), "write a number such as 0.5, without quotes"
        if value is None:
            given = f"{node.kind} {_shown(node)}".removesuffix(" ")
            raise self.wrong(node, f"must be {_wanted(hint)}, not {given}", remedy)
        return value

    def choice(self, node: ScalarNode, hint: Any) -> Any:
        choices = (
            {one.value: one for one in hint}
            if is_enum(hint)
            else {_text(one): one for one in typing.get_args(hint)}
        )
        value = choices.get(node.text)
        if value is None or (
            not isinstance(value, str) and not is_enum(hint) and not node.is_plain
        ):
            raise self.wrong(
                node,
                f"{_shown(node)} is not one of the choices",
                f"write {_either(list(choices))}",
            )
        return value


class _Partial:
    """What a validator sees as its instance: the values so far."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__.update(values)


def _wanted(hint: Any) -> str:
    names = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        Seconds: "a duration such as 1s",
        Path: "a path",
    }
    if typing.get_origin(hint) is Literal or is_enum(hint):
        return "one of the choices"
    return names.get(hint, "a text")


def _shown(node: ScalarNode) -> str:
    if node.is_null:
        return ""
    text = node.text if len(node.text) <= _LONGEST_SHOWN else node.text[:_LONGEST_SHOWN] + "…"
    return repr(text)


def _either(names: list[str]) -> str:
    *most, last = names
    return " or ".join(filter(None, (", ".join(most), last)))


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _reason(error: Exception) -> str:
    # attrs' own validators pass the attribute and the value as further arguments.
    return str(error.args[0]) if error.args else type(error).__name__
