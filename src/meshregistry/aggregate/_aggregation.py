"""The whole of the pure core: sources and their messages in, one merged catalog out.

Time is an argument, and nothing here waits: the supervisor tells it what happened and asks
it what changed. The catalog is a function of what the sources said last and of their
order; the order in which their words arrived never matters.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from attrs import Factory, define

from meshregistry.aggregate._merge import Contribution
from meshregistry.aggregate._merger import Merger
from meshregistry.aggregate._part import Part
from meshregistry.aggregate._source import PartStatus, Source, SourceStatus
from meshregistry.aggregate._table import SourceTable, Stage
from meshregistry.aggregate._updates import Message, PartId, Replace
from meshregistry.model import Catalog, CatalogDiff, MergePolicy, ServiceKey, SourceId
from meshregistry.spi import Condition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from meshregistry.aggregate._merger import Adjust
    from meshregistry.errors import RegistryError
    from meshregistry.model import ServiceRecord

_WORST_FIRST = (Condition.FAILED, Condition.STALE, Condition.STARTING, Condition.SYNCED)


@define
class _Followed:
    """A source and what has become of its parts."""

    source: Source
    parts: dict[str, Part] = Factory(dict)
    declared: tuple[str, ...] = ()
    attempts: int = 0

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
    def has_synced(self) -> bool:
        names = self.declared or self.counted
        return all(self.part(name).has_synced for name in names)


class Aggregation:
    """Sources, their parts, their records and the catalog that they make.

    Args:
        policy: says how a service is merged.
        stages: pure steps before the source table.
    """

    def __init__(
        self, policy: Callable[[ServiceKey], MergePolicy], stages: Iterable[Stage] = ()
    ) -> None:
        self._sources: dict[SourceId, _Followed] = {}
        self._rank: dict[SourceId, int] = {}
        self._table = SourceTable(stages)
        self._merger = Merger(self._contributions, policy)
        self._dirty: set[ServiceKey] = set()

    # --- What happens ---------------------------------------------------------------

    def arrange(self, sources: Sequence[Source], now: float) -> None:
        """Follow these sources, in this order of precedence.

        Only a removed id removes data. A changed source keeps its data as STALE until its
        new run's first listing.
        """
        wanted = {source.id: source for source in sources}
        for gone in self._sources.keys() - wanted.keys():
            for name in tuple(self._sources[gone].parts):
                self._forget(PartId(gone, name))
            del self._sources[gone]
        for source in sources:
            followed = self._sources.setdefault(source.id, _Followed(source))
            if followed.source != source:
                if followed.source.is_shadow != source.is_shadow:
                    self._dirty |= {one.service.key for one in self.records(source.id)}
                with self._watching(followed, followed.parts):
                    followed.source = source
                    for part in followed.parts.values():
                        part.restart(now)
                # Other settings may mean other parts: the new run declares its own.
                self.declare(source.id, ())
        rank = {source.id: place for place, source in enumerate(sources)}
        if rank != self._rank:
            self._rank = rank
            self._dirty |= self._table.shared(self._table.parts())

    def begin(self, source: SourceId) -> None:
        """An attempt to follow the source begins."""
        followed = self._sources[source]
        is_first = not followed.attempts
        followed.attempts += 1
        for part in followed.parts.values():
            part.begin()
        if followed.source.is_synced_at_start and is_first:
            followed.part("").start_synced()

    def declare(self, source: SourceId, names: Iterable[str]) -> None:
        """The registry names the parts that must sync, in order of precedence."""
        followed = self._sources[source]
        followed.declared = tuple(dict.fromkeys(names))
        self._dirty |= self._table.shared(PartId(source, name) for name in followed.parts)

    def receive(self, part: PartId, message: Message, now: float) -> None:
        """A sink of the source's current run was called."""
        followed = self._sources[part.source]
        state = followed.part(part.part)
        with self._watching(followed, {part.part: state}):
            updates = state.receive(message, now)
        for update in updates:
            applied = self._table.apply(part, update, followed.source.completed)
            self._dirty |= applied.services
        if isinstance(message, Replace):
            self._drop_former_parts(followed)

    def fail(
        self, source: SourceId, condition: Condition, error: RegistryError, now: float
    ) -> None:
        """The attempt has ended; all data stays."""
        followed = self._sources[source]
        with self._watching(followed, followed.parts):
            for name in {*followed.parts, *followed.counted}:
                followed.part(name).leave(condition, error, now)

    def expire(self, source: SourceId, now: float) -> None:
        """Drop the data of parts that have not been SYNCED for `stale_after`."""
        for part, deadline in self._expiries(source):
            if deadline <= now:
                self._dirty |= self._table.forget(part).services

    def merge_again(self) -> None:
        """Let the next `settle` merge every service that several records speak of."""
        self._dirty |= self._table.shared(self._table.parts())

    def adjust(self, adjust: Adjust, is_concerned: Callable[[ServiceKey], bool]) -> None:
        """Apply this step after each merge from now on.

        Args:
            adjust: pure.
            is_concerned: says for which services it may differ from the former one.
        """
        self._merger.adjust = adjust
        self._dirty |= {key for key in self.catalog.by_key if is_concerned(key)}

    def settle(self) -> CatalogDiff:
        """Merge what has changed since the last call; a falsy difference if nothing has."""
        dirty, self._dirty = self._dirty, set()
        return self._merger.update(dirty) if dirty else CatalogDiff()

    # --- What is known --------------------------------------------------------------

    @property
    def catalog(self) -> Catalog:
        """The merged catalog as of the last `settle`."""
        return self._merger.catalog

    @property
    def sources(self) -> tuple[Source, ...]:
        """The sources, in order of precedence."""
        return tuple(self._sources[one].source for one in sorted(self._sources, key=self._place))

    def records(self, source: SourceId) -> tuple[ServiceRecord, ...]:
        """All that a source says, completed by its settings, before the merge."""
        return tuple(
            record
            for part in self._table.parts()
            if part.source == source
            for record in self._table.records(part).values()
        )

    def condition(self, source: SourceId) -> tuple[Condition, RegistryError | None]:
        """The condition of a source, and why it is not SYNCED."""
        worst = self._sources[source].worst
        return worst.condition, worst.error

    def has_synced(self, source: SourceId) -> bool:
        """Whether each part that must sync has done so at least once."""
        return self._sources[source].has_synced

    def next_expiry(self, source: SourceId) -> float | None:
        """When the next data of this source is to be dropped; None if never."""
        return min((deadline for _, deadline in self._expiries(source)), default=None)

    def status(self, source: SourceId, now: float) -> SourceStatus:
        """All that is known of a source, but for the counters of its adapter."""
        followed = self._sources[source]
        shown = [
            name
            for name in sorted(followed.parts, key=lambda name: self._rank_of(PartId(source, name)))
            if name in followed.counted or followed.parts[name].has_synced
        ]
        parts = tuple(self._part_status(followed, name, now) for name in shown)
        condition, error = self.condition(source)
        ages = [self._age(followed.part(name), now) for name in followed.counted]
        services = {
            record.service.key
            for name in shown
            for record in self._table.records(PartId(source, name)).values()
        }
        return SourceStatus(
            id=source,
            kind=followed.source.kind,
            condition=condition,
            is_shadow=followed.source.is_shadow,
            is_synced=followed.has_synced,
            age=None if None in ages else max(age for age in ages if age is not None),
            services=len(services),
            endpoints=sum(part.endpoints for part in parts),
            error=error,
            attempts=followed.attempts,
            parts=parts,
        )

    # --- How ------------------------------------------------------------------------

    def _part_status(self, followed: _Followed, name: str, now: float) -> PartStatus:
        part = followed.part(name)
        records = self._table.records(PartId(followed.source.id, name)).values()
        return PartStatus(
            name=name,
            condition=part.condition,
            age=self._age(part, now),
            services=len({record.service.key for record in records}),
            endpoints=sum(len(record.endpoints) for record in records),
            error=part.error,
            faulty=dict(part.faults),
            is_declared=name in followed.declared,
        )

    @staticmethod
    def _age(part: Part, now: float) -> float | None:
        return None if part.heard is None else now - part.heard

    def _place(self, source: SourceId) -> int:
        return self._rank[source]

    def _rank_of(self, part: PartId) -> tuple[int, int, str]:
        """Sources in their order; parts as declared, then the others by name.

        Parts that were not declared have no order but that of arrival, which must not
        matter: two replicas would disagree.
        """
        declared = self._sources[part.source].declared
        place = declared.index(part.part) if part.part in declared else len(declared)
        return self._rank[part.source], place, part.part

    def _contributions(self, key: ServiceKey) -> list[Contribution]:
        found = sorted(
            self._table.contributions(key), key=lambda one: (self._rank_of(one[0]), one[1].key)
        )
        return [
            Contribution(part.source, record, self._is_current(part))
            for part, record in found
            if not self._sources[part.source].source.is_shadow
        ]

    def _is_current(self, part: PartId) -> bool:
        return self._sources[part.source].part(part.part).condition is Condition.SYNCED

    @contextmanager
    def _watching(self, followed: _Followed, parts: Mapping[str, Part]) -> Iterator[None]:
        """Merge again what a part shares with others if it becomes current, or ceases to be.

        Health, weight and labels of an endpoint come from the first source that is.
        """
        before = [(name, part, part.condition is Condition.SYNCED) for name, part in parts.items()]
        yield
        turned = [
            PartId(followed.source.id, name)
            for name, part, was_current in before
            if (part.condition is Condition.SYNCED) != was_current
        ]
        self._dirty |= self._table.shared(turned)

    def _drop_former_parts(self, followed: _Followed) -> None:
        """Forget parts that only a former run knew, once this run is complete.

        Else a datacenter that was taken out of the settings would be served for ever. A
        run knows a part if it declared it, asked for its sink or listed it.
        """
        if not all(followed.part(name).has_listed for name in followed.required):
            return
        for name, part in tuple(followed.parts.items()):
            if not (part.has_listed or part.is_open or name in followed.required):
                self._forget(PartId(followed.source.id, name))
                del followed.parts[name]

    def _forget(self, part: PartId) -> None:
        self._dirty |= self._table.forget(part).services

    def _expiries(self, source: SourceId) -> list[tuple[PartId, float]]:
        followed = self._sources[source]
        seconds = followed.source.stale_after
        if seconds is None:
            return []
        return [
            (key, part.left + seconds)
            for name, part in followed.parts.items()
            if part.left is not None and self._table.records(key := PartId(source, name))
        ]
