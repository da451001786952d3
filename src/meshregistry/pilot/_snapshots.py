"""Keeps what sources and rule sources said last, and brings it back at the next start."""

from __future__ import annotations

import asyncio
import logging
import operator
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import frozen

from meshregistry.aggregate import Kept, News, RecordCodec, start_thread
from meshregistry.documents import Instant, restored, stored
from meshregistry.pilot._snapshot_folder import (
    Head,
    SnapshotError,
    SnapshotFolder,
    StoredPart,
    file_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshregistry.aggregate import Archive, Source
    from meshregistry.pilot._rule_feeds import RuleFeed
    from meshregistry.pilot._rule_sources import RuleSources
    from meshregistry.settings import SnapshotSettings
    from meshregistry.spi import Clock

_log = logging.getLogger("meshregistry.pilot")
_PATIENCE = 5.0
_REFRESH = 60.0
"""Seconds after which it is written anew that nothing has changed."""

T = TypeVar("T")
_Items = Mapping[str, tuple[Any, ...]]


@frozen(kw_only=True)
class _Shelf:
    """Where the items of one source are kept.

    Attributes:
        what: ``source`` or ``rules``.
        id: of the source.
        origin: names what it follows.
        oldest: seconds; what was current longer ago is dropped in any case. None: nothing.
        kept: what there is, part by part.
        restore: takes it back.
        plain: makes JSON of an item.
        item: makes an item of JSON.
    """

    what: str
    id: str
    origin: str
    oldest: float | None
    kept: Callable[[], Mapping[str, Kept[Any]]]
    restore: Callable[[Mapping[str, Kept[Any]]], None]
    plain: Callable[[Any], Any]
    item: Callable[[Any], Any]

    @property
    def file(self) -> str:
        return file_name(self.what, self.id)

    def __str__(self) -> str:
        return f"{self.what} {self.id}"


class Snapshots:
    """The snapshot of one pilot.

    Args:
        settings: where, and how.
        archive: of the sources.
        rules: the rule sources.
        clock: of the core.
        wall: gives the time of day, in seconds since the epoch.

    Attributes:
        failures: how often something could not be written.
    """

    def __init__(
        self,
        settings: SnapshotSettings,
        archive: Archive,
        rules: RuleSources,
        *,
        clock: Clock,
        wall: Callable[[], float],
    ) -> None:
        self.failures = 0
        self._settings = settings
        self._archive = archive
        self._rules = rules
        self._clock = clock
        self._wall = wall
        self._folder = SnapshotFolder(settings.path)
        self._codec = RecordCodec()
        self._written: dict[str, tuple[str, _Items]] = {}
        self._current: dict[str, dict[str, float]] = {}
        self._refreshed: float | None = None
        self._news = News()
        self._writing = asyncio.Lock()

    # --- At the start -------------------------------------------------------------

    async def restore(self) -> None:
        """Bring back what can be used; say what is used, and what is not and why."""
        for shelf in self._shelves():
            try:
                read = partial(self._folder.read, shelf.what, shelf.id, shelf.item)
                found = await _in_thread(read)
                if found is not None:
                    self._restore(shelf, *found)
            except SnapshotError as error:
                _log.warning("the snapshot of %s is not used: %s", shelf, error)

    def _restore(self, shelf: _Shelf, head: Head, parts: Mapping[str, StoredPart]) -> None:
        """Take a file.

        Raises:
            SnapshotError: if it does not belong to the source, or is too old.
        """
        if head.origin != shelf.origin:
            raise SnapshotError("it follows something else now: its kind or its options differ")
        now, core = self._wall(), self._clock.now()
        limits = [one for one in (self._settings.max_age, shelf.oldest) if one is not None]
        ages = {name: max(0.0, now - part.current) for name, part in parts.items()}
        fresh = {
            name: Kept(part.items, core - ages[name])
            for name, part in parts.items()
            if ages[name] <= min(limits, default=ages[name])
        }
        if not fresh:
            newest = max((part.current for part in parts.values()), default=head.written)
            msg = f"it is too old: it was current until {Instant(newest)}"
            raise SnapshotError(msg)
        shelf.restore(fresh)
        items = {name: part.items for name, part in shelf.kept().items()}
        self._written[shelf.file] = shelf.origin, items
        self._current[shelf.file] = {name: parts[name].current for name in parts}
        _log.warning(
            "%s: what it said until %s is served from the snapshot, %.0f s old, until it answers",
            *(shelf, Instant(min(parts[name].current for name in fresh))),
            max(ages[name] for name in fresh),
        )

    # --- While running ------------------------------------------------------------

    async def run(self) -> None:
        """Write what has changed, again and again, until cancelled."""
        while True:
            await self._clock.sleep(self._settings.interval)
            await self._write(is_last=False)

    async def finish(self) -> None:
        """Write what has changed, for the last time; waits a while for the disk."""
        writing = asyncio.ensure_future(self._write(is_last=True))
        done, _ = await asyncio.wait({writing}, timeout=_PATIENCE)
        if not done:
            writing.cancel()
            _log.warning("the snapshot was not written within %g s", _PATIENCE)

    async def _write(self, *, is_last: bool) -> None:
        async with self._writing:
            await self._write_changes(is_last=is_last)

    async def _write_changes(self, *, is_last: bool) -> None:
        now, core = self._wall(), self._clock.now()
        has_changed = False
        # All at one moment: sources may come and go while the first ones are written.
        for shelf, kept in [(one, one.kept()) for one in self._shelves()]:
            parts = {
                name: StoredPart(part.items, now - max(0.0, core - part.current))
                for name, part in kept.items()
            }
            items = {name: part.items for name, part in kept.items()}
            origin, written = self._written.get(shelf.file, ("", None))
            if kept and not (origin == shelf.origin and _is_same(written, items)):
                head = Head(what=shelf.what, id=shelf.id, origin=shelf.origin, written=now)
                if not await self._tried(partial(self._folder.write, head, parts, shelf.plain)):
                    continue
                self._written[shelf.file] = shelf.origin, items
                has_changed = True
            if kept:
                self._current[shelf.file] = {name: one.current for name, one in parts.items()}
        is_due = self._refreshed is None or core - self._refreshed >= _REFRESH
        if not self._current or not (has_changed or is_due or is_last):
            return
        if await self._tried(partial(self._folder.write_index, dict(self._current))):
            self._refreshed = core

    async def _tried(self, write: Callable[[], None]) -> bool:
        """Write in a thread; what is wrong with the disk is said, and changes nothing else."""
        try:
            await _in_thread(write)
        except OSError as error:
            self.failures += 1
            text = f"{error.strerror or error}"
            if self._news.is_new(None, text, self._clock.now()):
                _log.warning("the snapshot in %s cannot be written: %s", self._settings.path, text)
            return False
        self._news.forget(None)
        return True

    # --- What is kept -------------------------------------------------------------

    def _shelves(self) -> Iterator[_Shelf]:
        for source in self._archive.sources:
            if source.origin:
                yield self._source(source)
        for feed in self._rules.feeds:
            yield self._feed(feed)

    def _source(self, source: Source) -> _Shelf:
        archive, name = self._archive, source.id
        return _Shelf(
            what="source",
            id=name,
            origin=source.origin,
            oldest=source.stale_after,
            kept=lambda: archive.kept(name),
            restore=lambda parts: archive.restore(name, parts),
            plain=self._codec.plain,
            item=self._codec.record,
        )

    def _feed(self, feed: RuleFeed) -> _Shelf:
        rules, name = self._rules, feed.id

        def kept() -> Mapping[str, Kept[Any]]:
            found = rules.kept(name)
            return {} if found is None else {"": found}

        def restore(parts: Mapping[str, Kept[Any]]) -> None:
            if "" not in parts:
                raise SnapshotError("it holds no documents")
            rules.restore(name, parts[""])

        return _Shelf(
            what="rules",
            id=name,
            origin=feed.origin,
            oldest=None,
            kept=kept,
            restore=restore,
            plain=stored,
            item=restored,
        )


async def _in_thread(call: Callable[[], T]) -> T:
    result, _ = start_thread(call, "meshregistry-snapshot")
    return await result


def _is_same(one: _Items | None, other: _Items) -> bool:
    """Whether both are the same objects; comparing what they say would take too long."""
    return (
        one is not None
        and one.keys() == other.keys()
        and all(len(one[name]) == len(other[name]) for name in one)
        and all(all(map(operator.is_, one[name], other[name])) for name in one)
    )
