"""What is kept when a registry fails: the guard of a source, and the snapshot on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve, field, frozen
from attrs.validators import ge, gt, le

from meshregistry.documents import AnyNode, MappingNode, Path, ScalarNode, Seconds

if TYPE_CHECKING:
    from collections.abc import Callable

_WORDS = {"off": "false", "on": "true"}


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


@frozen(kw_only=True)
class SnapshotSettings:
    """Where and how to keep what the sources said last.

    Attributes:
        path: a folder; it is made if it is not there.
        max_age: seconds; what was current longer ago is not used. null: however old.
        interval: seconds between two looks for changes to write.
    """

    path: Path
    max_age: Seconds | None = Seconds(86400.0)
    interval: Seconds = field(default=Seconds(10.0), validator=gt(Seconds(0.0)))


def guard_in_full(source: MappingNode) -> MappingNode:
    """The same source with ``guard: off`` and ``guard: on`` written as mappings."""
    return _in_full(source, "guard", _guard)


def snapshot_in_full(settings: MappingNode) -> MappingNode:
    """The same settings with ``snapshot: DIR`` written as a mapping."""
    return _in_full(settings, "snapshot", _snapshot)


def _in_full(mapping: MappingNode, name: str, full: Callable[[ScalarNode], AnyNode]) -> MappingNode:
    entries = (
        (key, full(value) if key.text == name and isinstance(value, ScalarNode) else value)
        for key, value in mapping.entries
    )
    return evolve(mapping, entries=tuple(entries))


def _guard(value: ScalarNode) -> AnyNode:
    if value.text in _WORDS:
        return _mapping(evolve(value, is_plain=True), "enabled", _WORDS[value.text])
    return value if value.as_bool() is None else _mapping(value, "enabled", value.text)


def _snapshot(value: ScalarNode) -> AnyNode:
    return value if value.is_null else _mapping(value, "path", value.text)


def _mapping(value: ScalarNode, name: str, text: str) -> MappingNode:
    key, inner = evolve(value, text=name), evolve(value, text=text)
    return MappingNode(
        file=value.file,
        line=value.line,
        column=value.column,
        path=value.path,
        entries=((key, inner),),
    )
