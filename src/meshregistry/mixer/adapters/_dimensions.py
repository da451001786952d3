"""What quotas are kept for: dimensions as keys, and compared with what a configuration says. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from meshregistry.documents import parse_seconds
from meshregistry.mixer.spi import text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from meshregistry.mixer.spi import InstanceTypes, Quota, Value


class Override(Protocol):
    """A limit for some dimensions."""

    @property
    def dimensions(self) -> Mapping[str, str]:
        """What they must be, as texts."""


class Limit(Protocol):
    """A limit of one instance."""

    @property
    def name(self) -> str:
        """The instance."""

    @property
    def overrides(self) -> Sequence[Override]:
        """Limits that go before it."""


O = TypeVar("O", bound=Override)  # noqa: E741 - the only one

Key = tuple[str, tuple[tuple[str, str], ...]]
"""The instance, and its dimensions as texts."""


def key_of(instance: Quota) -> Key:
    """What the quota of an instance is kept under: all its dimensions count."""
    found = ((name, text_of(value)) for name, value in instance.dimensions.items())
    return instance.name, tuple(sorted(found))


def override_for(instance: Quota, overrides: Iterable[O]) -> O | None:
    """The first override all of whose dimensions are the instance's; it may have more."""
    dimensions = instance.dimensions
    for one in overrides:
        if all(equals(dimensions.get(name), text) for name, text in one.dimensions.items()):
            return one
    return None


def equals(value: Value | None, text: str) -> bool:
    """Whether a value is what a text says, read as the value's type; nothing is ``""``."""
    read = _READERS.get(type(value))
    if read is None:
        return text_of(value) == text
    try:
        return bool(read(text) == value)
    except (ValueError, OverflowError):
        return False


def _time(text: str) -> datetime:
    when = datetime.fromisoformat(text)
    return when if when.tzinfo else when.replace(tzinfo=UTC)


_READERS: Mapping[type, Callable[[str], Any]] = {
    bool: lambda text: {"true": True, "false": False}.get(text.lower()),
    int: int,
    float: float,
    bytes: lambda text: ip_address(text).packed,
    datetime: _time,
    timedelta: lambda text: timedelta(seconds=parse_seconds(text)),
}
"""Types whose values have several spellings."""


def faults_of(limits: Sequence[Limit], instances: Mapping[str, InstanceTypes]) -> Iterable[str]:
    """What is wrong with limits: instances without one, and dimensions that are not there."""
    named = [one.name for one in limits]
    for name in sorted({one for one in named if named.count(one) > 1}):
        yield f"quotas: {name} is listed twice; keep one of them"
    for name in sorted(instances.keys() - set(named)):
        yield f"quotas: rules send {name}, which has no limit; add it, with name and maxAmount"
    for limit in limits:
        types = instances.get(limit.name)
        if types is None:
            continue
        known = types.dimensions()
        for override in limit.overrides:
            for name in sorted(override.dimensions.keys() - known.keys()):
                there = ", ".join(sorted(known)) or "none at all"
                yield f"quotas: {limit.name} has no dimension {name!r}; it has {there}"
