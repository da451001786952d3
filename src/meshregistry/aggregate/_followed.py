"""A source that is followed, with its parts: what they make of its condition. Pure."""

from __future__ import annotations

from attrs import Factory, define

from meshregistry.aggregate._part import Part
from meshregistry.aggregate._source import Source
from meshregistry.spi import Condition

_WORST_FIRST = (Condition.FAILED, Condition.STALE, Condition.STARTING, Condition.SYNCED)


@define
class Followed:
    """A source and what has become of its parts."""

    source: Source
    parts: dict[str, Part] = Factory(dict)
    declared: tuple[str, ...] = ()
    attempts: int = 0
    losses: int = 0
    is_rearranged: bool = False

    def part(self, name: str) -> Part:
        return self.parts.setdefault(name, Part())

    @property
    def required(self) -> tuple[str, ...]:
        """The parts without which a run is not complete."""
        return self.declared or ("",)

    @property
    def counted(self) -> tuple[str, ...]:
        """The parts that make up the source's condition.

        Those declared, and those that have spoken of themselves; the unnamed part if there
        is no other.
        """
        spoken = (
            name
            for name in sorted(self.parts)
            if self.parts[name].has_spoken
            and self.parts[name].condition is not Condition.STARTING
            and name not in self.declared
        )
        return (*self.declared, *spoken) or ("",)

    @property
    def condition(self) -> Condition:
        found = {self.part(name).condition for name in self.counted}
        return next(condition for condition in _WORST_FIRST if condition in found)

    @property
    def worst(self) -> Part:
        condition = self.condition
        return next(
            part for name in self.counted if (part := self.part(name)).condition is condition
        )

    @property
    def is_restored(self) -> bool:
        """Whether anything of it comes from a snapshot, and not from its registry."""
        return any(part.is_restored for part in self.parts.values())

    @property
    def has_synced(self) -> bool:
        names = self.declared or self.counted
        return all(self.part(name).has_synced for name in names)
