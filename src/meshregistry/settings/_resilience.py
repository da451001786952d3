"""What is kept when a registry fails: the guard of a source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve, field, frozen
from attrs.validators import ge, gt, le

from meshregistry.documents import AnyNode, MappingNode, ScalarNode, Seconds

if TYPE_CHECKING:
    from collections.abc import Callable

_OFF, _ON = frozenset({"off", "false"}), frozenset({"on", "true"})


@frozen(kw_only=True)
class GuardSettings:
    """When the loss of many endpoints at once is withheld.

    Attributes:
        enabled: false: never.
        window: seconds in which the loss happens.
        share: fewer healthy endpoints than this share of the window's most are too few.
        at_least: how many endpoints a loss has, to be one.
        confirm_after: seconds after which a loss is believed that the registry upholds;
            null: never.
    """

    enabled: bool = True
    window: Seconds = field(default=Seconds(60.0), validator=gt(Seconds(0.0)))
    share: float = field(default=0.5, validator=[ge(0), le(1)])
    at_least: int = field(default=10, validator=ge(1))
    confirm_after: Seconds | None = Seconds(600.0)


def guard_in_full(source: MappingNode) -> MappingNode:
    """The same source with ``guard: off`` and ``guard: on`` written as mappings."""
    return _in_full(source, "guard", _guard)


def _in_full(mapping: MappingNode, name: str, full: Callable[[ScalarNode], AnyNode]) -> MappingNode:
    entries = (
        (key, full(value) if key.text == name and isinstance(value, ScalarNode) else value)
        for key, value in mapping.entries
    )
    return evolve(mapping, entries=tuple(entries))


def _guard(value: ScalarNode) -> AnyNode:
    text = value.text.lower()
    if not value.is_plain or text not in _OFF | _ON:
        return value
    return _mapping(value, "enabled", "false" if text in _OFF else "true")


def _mapping(value: ScalarNode, name: str, text: str) -> MappingNode:
    key, inner = evolve(value, text=name), evolve(value, text=text)
    return MappingNode(
        file=value.file,
        line=value.line,
        column=value.column,
        path=value.path,
        entries=((key, inner),),
    )
