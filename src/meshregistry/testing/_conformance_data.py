"""The rules about data: when it may be published, that it is whole, and what removes it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from meshregistry.spi import Condition
from meshregistry.testing._conformance_bench import Bench, Case, rule

if TYPE_CHECKING:
    from meshregistry.model import ServiceRecord
    from meshregistry.testing._conformance_source import FollowedSource


class DataRules(Case):
    """See `RegistryConformance`."""

    @rule()
    async def test_a_backend_without_news_leaves_the_source_synced(self, bench: Bench) -> None:
        """The source becomes SYNCED by one attempt, with whatever there is, and stays so."""
        await bench.put("idle-1", "10.0.0.1")
        async with bench.following() as source:
            await source.opened()
            await asyncio.sleep(self.settle)
            changes = source.changes
            await asyncio.sleep(self.settle)
            status = source.status
            assert status.condition is Condition.SYNCED, (
                f"nothing happened and the source did not stay SYNCED: {source.describe()}"
            )
            assert status.attempts == 1, (
                f"run must follow the backend until it is cancelled: {source.describe()}"
            )
            assert source.changes == changes, "the catalog changes although the backend does not"

    @rule()
    async def test_nothing_is_published_before_the_listing_is_complete(self, bench: Bench) -> None:
        """Sync before data: the first sight of the backend is all of it, each record whole."""
        records = [await bench.put(f"sync-{n}", f"10.1.0.{n}", f"10.1.1.{n}") for n in range(1, 6)]
        async with bench.following() as source:
            await source.opened()
            at_sync = source.at_sync or {}
            await source.shows(*records)
            assert all(at_sync.get(one.key) == one for one in records), (
                "the source synced before its listing was complete: the first data call must be "
                f"a replace with everything, and then only these were held whole: "
                f"{[one.key for one in records if at_sync.get(one.key) == one]}"
            )
            came_whole(source, *records)

    @rule()
    async def test_a_new_record_arrives(self, bench: Bench) -> None:
        """What is added later is published, beside what was there."""
        first = await bench.put("new-1", "10.2.0.1")
        async with bench.following() as source:
            await source.shows(first)
            second = await bench.put("new-2", "10.2.0.2", "10.2.0.3")
            await source.shows(first, second)
            never_lost(source, first)

    @rule()
    async def test_a_change_arrives(self, bench: Bench) -> None:
        """Endpoints come and go, while the record and its neighbour are never missing."""
        neighbour = await bench.put("change-1", "10.3.0.1")
        before = await bench.put("change-2", "10.3.0.2", "10.3.0.3")
        async with bench.following() as source:
            await source.shows(neighbour, before)
            mark = len(source.history)
            more = await bench.put("change-2", "10.3.0.2", "10.3.0.3", "10.3.0.4")
            await source.shows(neighbour, more)
            less = await bench.put("change-2", "10.3.0.4")
            await source.shows(neighbour, less)
            never_lost(source, neighbour, before, since=mark)
            if bench.can("atomic"):
                for held in source.history[mark:]:
                    assert held[before.key] in (before, more, less), (
                        f"half a change was published: {held[before.key]!r}"
                    )

    @rule()
    async def test_a_removed_record_goes_and_no_other(self, bench: Bench) -> None:
        """Removal is published; what comes back under the same name is what it is now."""
        gone = await bench.put("gone-1", "10.4.0.1")
        stays = await bench.put("gone-2", "10.4.0.2")
        async with bench.following() as source:
            await source.shows(gone, stays)
            await bench.remove(gone)
            await source.until(lambda: source.lacks([gone.key]), "the removed record is gone")
            never_lost(source, stays)
            back = await bench.put("gone-1", "10.4.0.3")
            await source.shows(back, stays)
            assert source.condition is Condition.SYNCED, source.describe()

    @rule()
    async def test_equal_input_publishes_nothing(self, bench: Bench) -> None:
        """Writing what is there already changes nothing, nor does reading it anew."""
        record = await bench.put("equal-1", "10.5.0.1", "10.5.0.2")
        async with bench.following() as source:
            await source.shows(record)
            mark = len(source.history)
            await bench.put("equal-1", "10.5.0.1", "10.5.0.2")
            # What comes after it in the backend tells that the write has been seen.
            marker = await bench.put("equal-2", "10.5.0.3")
            await source.shows(marker)
            source.restart()
            await source.until(lambda: source.status.attempts == 2, "the source is opened again")  # noqa: PLR2004 - the second attempt
            await source.synced()
            await asyncio.sleep(self.settle)
            for held in source.history[mark:]:
                assert held.get(record.key) == record, (
                    "equal input was published as a change: the same record was "
                    f"{record!r} and then {held.get(record.key)!r}"
                )

    @rule()
    async def test_a_new_attempt_keeps_the_data(self, bench: Bench) -> None:
        """While the adapter is opened again, nothing is missing at any time."""
        records = [await bench.put(f"again-{n}", f"10.6.0.{n}") for n in range(1, 4)]
        async with bench.following() as source:
            await source.shows(*records)
            mark = len(source.history)
            for _ in range(3):
                attempts = source.status.attempts
                source.restart()
                await source.until(
                    lambda attempts=attempts: source.status.attempts > attempts,  # type: ignore[misc]  # mypy cannot infer a lambda with a default
                    "the source is opened again",
                )
                await source.synced()
            late = await bench.put("again-4", "10.6.0.4")
            await source.shows(*records, late)
            never_lost(source, *records, since=mark)

    @rule("garble")
    async def test_a_malformed_record_harms_no_other(self, bench: Bench) -> None:
        """It keeps its last good version and is reported; all others go on; repair mends it."""
        bad = await bench.put("garble-1", "10.7.0.1")
        good = await bench.put("garble-2", "10.7.0.2")
        async with bench.following() as source:
            await source.shows(bad, good)
            await bench.ask("garble", bad.key)
            await source.until(
                lambda: bool(source.status.faulty),
                "the malformed record is reported, by faulty= or degrade(RecordError)",
            )
            good = await bench.put("garble-2", "10.7.0.3")
            late = await bench.put("garble-3", "10.7.0.4")
            await source.shows(good, late)
            assert source.condition is Condition.SYNCED, (
                f"one malformed record must not change the condition: {source.describe()}"
            )
            assert source.held.get(bad.key) == bad, (
                "a malformed record must keep its last good version, "
                f"{bad!r}, and is {source.held.get(bad.key)!r}"
            )
            never_lost(source, bad, good)
            mended = await bench.put("garble-1", "10.7.0.5")
            await source.shows(mended, good, late)
            await source.until(
                lambda: not source.status.faulty, "nothing is reported of the mended record"
            )

    @rule("garble")
    async def test_a_record_malformed_from_the_start_harms_no_other(self, bench: Bench) -> None:
        """A source syncs although one record can never be read; it appears once it can."""
        bad = await bench.put("start-1", "10.8.0.1")
        good = [await bench.put(f"start-{n}", f"10.8.0.{n}") for n in (2, 3)]
        await bench.ask("garble", bad.key)
        async with bench.following() as source:
            await source.opened()
            await source.shows(*good)
            assert source.condition is Condition.SYNCED, source.describe()
            faulty = {key for _part, key in source.status.faulty}
            assert faulty & {bad.key, None}, (
                f"nobody is told of the malformed record {bad.key!r}: {source.describe()}"
            )
            mended = await bench.put("start-1", "10.8.0.4")
            await source.shows(mended, *good)


def came_whole(source: FollowedSource, *records: ServiceRecord) -> None:
    """These records were published together, and never in another version."""
    for held in source.history:
        seen = [one for one in records if one.key in held]
        assert len(seen) in (0, len(records)), (
            f"a listing was published in pieces: first {[one.key for one in seen]}"
        )
        for record in seen:
            assert held[record.key] == record, (
                f"half a record was published: {held[record.key]!r} instead of {record!r}"
            )


def never_lost(source: FollowedSource, *records: ServiceRecord, since: int = 0) -> None:
    """Once it was there, a record is there in every later state, in whatever version."""
    for record in records:
        was_seen = since > 0
        for held in source.history[since:]:
            was_seen = was_seen or record.key in held
            assert record.key in held or not was_seen, (
                f"the record {record.key!r} was missing for a while although nobody removed it"
            )
