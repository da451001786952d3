"""The whole of the pure core: sources and their messages in, one merged catalog out.

Time is an argument, and nothing here waits: the supervisor tells it what happened and asks
it what changed. The catalog is a function of what the sources said last and of their
order; the order in which their words arrived never matters.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from meshregistry.aggregate._completion import Completion, RecordTrace
from meshregistry.aggregate._followed import Followed
from meshregistry.aggregate._guard import Guard, GuardPolicy, Loss
from meshregistry.aggregate._kept import Kept
from meshregistry.aggregate._merge import Contribution
from meshregistry.aggregate._merger import Merger
from meshregistry.aggregate._statuses import source_status
from meshregistry.aggregate._table import SourceTable, Stage
from meshregistry.aggregate._updates import Fault, Message, PartId, Replace, Update
from meshregistry.errors import RegistryUnavailable
from meshregistry.model import Catalog, CatalogDiff, MergePolicy, ServiceKey, SourceId
from meshregistry.spi import Condition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from meshregistry.aggregate._merger import Adjust
    from meshregistry.aggregate._part import Part
    from meshregistry.aggregate._source import Source, SourceStatus
    from meshregistry.errors import RegistryError
    from meshregistry.model import RecordTransform, ServiceRecord


class Aggregation:
    """Sources, their parts, their records and the catalog that they make.

    Args:
        policy: says how a service is merged.
        stages: pure steps before the guard and the source table.
        transforms: change records before the merge, in this order.
    """

    def __init__(
        self,
        policy: Callable[[ServiceKey], MergePolicy],
        stages: Iterable[Stage] = (),
        transforms: Iterable[RecordTransform] = (),
    ) -> None:
        self._sources: dict[SourceId, Followed] = {}
        self._rank: dict[SourceId, int] = {}
        self._guard = Guard(self._guarded)
        self._table = SourceTable((*stages, self._guard))
        self._transforms = tuple(transforms)
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
            followed = self._sources.setdefault(source.id, Followed(source))
            if followed.source != source:
                if followed.source.is_shadow != source.is_shadow:
                    self._dirty |= {name for one in self.records(source.id) for name in one.names}
                if source.guard is None:
                    self._unguard(followed, now)
                followed.is_rearranged = True
                is_other = followed.source.origin != source.origin
                with self._watching(followed, followed.parts):
                    followed.source = source
                    for part in followed.parts.values():
                        part.restart(now)
                        part.is_foreign |= is_other
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

    def restore(
        self, part: PartId, records: Iterable[ServiceRecord], age: float, now: float
    ) -> None:
        """Take what a snapshot holds of a part, before its first run.

        Args:
            part: STALE until its first listing.
            records: in the registry's own words.
            age: seconds since they were last known to be current.
            now: the time.
        """
        followed = self._sources[part.source]
        msg = "what it said before the start is served, from a snapshot, until it answers"
        followed.part(part.part).restore(RegistryUnavailable(msg, source=part.source), now - age)
        self._apply(followed, part, Replace(tuple(records)), now)

    def declare(self, source: SourceId, names: Iterable[str]) -> None:
        """The registry names the parts that must sync, in order of precedence."""
        followed = self._sources[source]
        followed.declared = tuple(dict.fromkeys(names))
        self._dirty |= self._table.shared(PartId(source, name) for name in followed.parts)

    def receive(self, part: PartId, message: Message, now: float) -> tuple[Fault, ...]:
        """A sink of the source's current run was called; the records that transforms fail at."""
        followed = self._sources[part.source]
        faults = self._heard(followed, part, message, now)
        if isinstance(message, Replace):
            self._drop_former_parts(followed, now)
        return faults

    def fail(
        self, source: SourceId, condition: Condition, error: RegistryError, now: float
    ) -> None:
        """The attempt has ended; all data stays."""
        followed = self._sources[source]
        with self._watching(followed, followed.parts):
            for name in {*followed.parts, *followed.counted}:
                followed.part(name).leave(condition, error, now)

    def expire(self, source: SourceId, now: float) -> None:
        """Drop the data of parts that have not been SYNCED for `stale_after`.

        And believe the losses that their registries have upheld for `confirm_after`.
        """
        for part, deadline in self._expiries(source):
            if deadline <= now:
                self._forget(part)
        for part, deadline in self._confirmations(source):
            if deadline <= now:
                self.release(part, now)

    def release(self, part: PartId, now: float) -> None:
        """Believe what a part has lost: show what its registry says."""
        update = self._guard.release(part, self._table.given(part))
        if update is not None:
            self._apply(self._sources[part.source], part, update, now)

    def transform(self, transforms: Iterable[RecordTransform]) -> None:
        """Change records with these transforms from now on, those that are held included."""
        self._transforms = tuple(transforms)
        for part in self._table.parts():
            complete = self._completion(self._sources[part.source])
            self._dirty |= self._table.complete_again(part, complete).services

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

    def traces(self, source: SourceId) -> tuple[RecordTrace, ...]:
        """What each record of a source is called, and by which transforms, as they came."""
        complete = self._completion(self._sources[source])
        return tuple(
            RecordTrace(part, record, *complete.trace(record))
            for part in self._table.parts()
            if part.source == source
            for record in self._table.given(part).values()
        )

    def is_restored(self, source: SourceId) -> bool:
        """Whether anything of a source comes from a snapshot."""
        return self._sources[source].is_restored

    def kept(self, source: SourceId, now: float) -> Mapping[str, Kept[ServiceRecord]]:
        """What is to be kept of a source, part by part: what has ever been listed.

        But for what something else said, that the source followed under other settings.
        """
        parts = self._sources[source].parts
        return {
            name: Kept(tuple(self._table.given(PartId(source, name)).values()), part.current(now))
            for name, part in sorted(parts.items())
            if (part.has_synced or part.is_restored) and not part.is_foreign
        }

    def condition(self, source: SourceId) -> tuple[Condition, RegistryError | None]:
        """The condition of a source, and why it is not SYNCED."""
        worst = self._sources[source].worst
        return worst.condition, worst.error

    def has_synced(self, source: SourceId) -> bool:
        """Whether each part that must sync has done so at least once."""
        return self._sources[source].has_synced

    def next_expiry(self, source: SourceId) -> float | None:
        """When `expire` has something to do for this source; None if never."""
        due = (*self._expiries(source), *self._confirmations(source))
        return min((deadline for _, deadline in due), default=None)

    def loss(self, part: PartId) -> Loss | None:
        """What a part has lost and the guard withholds; the cost follows what that is."""
        return self._guard.loss(part, self._table.given(part))

    def losing(self, source: SourceId) -> Mapping[PartId, tuple[float, float]]:
        """The parts of which something is withheld; costs next to nothing.

        With when that was noticed, and when it began at the earliest.
        """
        parts = (PartId(source, name) for name in sorted(self._sources[source].parts))
        found = ((part, self._guard.times(part)) for part in parts)
        return {part: times for part, times in found if times is not None}

    def status(self, source: SourceId, now: float) -> SourceStatus:
        """All that is known of a source, but for the counters of its adapter."""
        followed = self._sources[source]
        shown = [
            name
            for name in sorted(followed.parts, key=lambda name: self._rank_of(PartId(source, name)))
            if name in followed.counted or followed.parts[name].has_synced
        ]
        found = [loss for part in self.losing(source) if (loss := self.loss(part)) is not None]
        return source_status(followed, shown, self._table, found, now)

    # --- How ------------------------------------------------------------------------

    def _completion(self, followed: Followed) -> Completion:
        return Completion(followed.source, self._transforms)

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
    def _watching(self, followed: Followed, parts: Mapping[str, Part]) -> Iterator[None]:
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

    def _heard(
        self, followed: Followed, part: PartId, message: Message, now: float
    ) -> tuple[Fault, ...]:
        state = followed.part(part.part)
        last_seen = now if state.left is None else state.left
        with self._watching(followed, {part.part: state}):
            updates = state.receive(message, now)
        was_lost = self._guard.is_lost(part)
        faults: list[Fault] = []
        for update in updates:
            faults += self._apply(followed, part, update, now)
        if self._guard.is_lost(part) and not was_lost:
            followed.losses += 1
            self._guard.backdate(part, last_seen)
        return tuple(faults)

    def _drop_former_parts(self, followed: Followed, now: float) -> None:
        """Forget parts that only a former run knew, once this run is complete.

        Else a datacenter that was taken out of the settings would be served for ever. A
        run knows a part if it declared it, asked for its sink or listed it. Unless the
        settings are others, too, a guarded part that is not known any more counts as one of
        which nothing is listed.
        """
        if not all(followed.part(name).has_listed for name in followed.required):
            return
        for name, part in tuple(followed.parts.items()):
            if part.has_listed or part.is_open or name in followed.required:
                continue
            place = PartId(followed.source.id, name)
            if followed.source.guard is not None and not followed.is_rearranged:
                self._heard(followed, place, Replace(()), now)
            if followed.is_rearranged or not self._guard.is_lost(place):
                self._forget(place)
                del followed.parts[name]
        followed.is_rearranged = False

    def _apply(
        self, followed: Followed, part: PartId, update: Update, now: float
    ) -> tuple[Fault, ...]:
        applied = self._table.apply(part, update, self._completion(followed), now)
        self._dirty |= applied.services
        return applied.faults

    def _forget(self, part: PartId) -> None:
        self._guard.forget(part)
        self._dirty |= self._table.forget(part).services

    def _guarded(self, source: SourceId) -> GuardPolicy | None:
        return self._sources[source].source.guard

    def _unguard(self, followed: Followed, now: float) -> None:
        for name in followed.parts:
            part = PartId(followed.source.id, name)
            self.release(part, now)
            self._guard.forget(part)

    def _confirmations(self, source: SourceId) -> list[tuple[PartId, float]]:
        """When losses are believed; not while nobody upholds them."""
        return [
            (part, deadline)
            for part in self.losing(source)
            if self._is_current(part) and (deadline := self._guard.deadline(part)) is not None
        ]

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
