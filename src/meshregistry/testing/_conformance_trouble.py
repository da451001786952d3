"""The rules about trouble: outages, refused credentials, lost state, slow and half answers."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from meshregistry.errors import RegistryAuthError
from meshregistry.spi import Condition
from meshregistry.testing._conformance_bench import Bench, Case, rule
from meshregistry.testing._conformance_data import came_whole, never_lost
from meshregistry.testing._conformance_source import SLOWLY

if TYPE_CHECKING:
    from meshregistry.testing._conformance_source import FollowedSource

_TICK = 0.01


class TroubleRules(Case):
    """See `RegistryConformance`."""

    @rule("outage")
    async def test_an_outage_keeps_the_data(self, bench: Bench) -> None:
        """The source is STALE and keeps everything; it recovers by itself, without a flap."""
        records = [await bench.put(f"outage-{n}", f"10.11.0.{n}") for n in (1, 2)]
        async with bench.following() as source:
            await source.shows(*records)
            mark = len(source.history)
            await bench.ask("break_")
            await _stale(source)
            await asyncio.sleep(self.outage)
            assert source.condition is Condition.STALE, source.describe()
            assert source.holds(records), f"an outage took data away: {source.describe()}"
            await bench.ask("heal")
            await source.synced()
            late = await bench.put("outage-3", "10.11.0.3")
            await source.shows(*records, late)
            never_lost(source, *records, since=mark)

    @rule("outage")
    async def test_a_start_in_an_outage_publishes_nothing(self, bench: Bench) -> None:
        """Not synced, tried again, no empty listing; once the backend is there, all is."""
        records = [await bench.put(f"cold-{n}", f"10.12.0.{n}") for n in (1, 2)]
        await bench.ask("break_")
        async with bench.following() as source:
            await _stale(source)
            await asyncio.sleep(self.settle)
            assert not source.is_open, (
                "an outage was taken for an empty backend: a failed listing says nothing"
            )
            await bench.ask("heal")
            await source.opened()
            await source.shows(*records)
            came_whole(source, *records)

    @rule("outage", "writes_in_outage")
    async def test_changes_made_in_an_outage_arrive_after_it(self, bench: Bench) -> None:
        """The difference is found, deletions included, and nothing else moves."""
        changed = await bench.put("during-1", "10.13.0.1")
        gone = await bench.put("during-2", "10.13.0.2")
        stays = await bench.put("during-3", "10.13.0.3")
        async with bench.following() as source:
            await source.shows(changed, gone, stays)
            mark = len(source.history)
            await bench.ask("break_")
            await _stale(source)
            now = await bench.put("during-1", "10.13.0.4")
            await bench.remove(gone)
            new = await bench.put("during-4", "10.13.0.5")
            await bench.ask("heal")
            await source.shows(now, stays, new)
            await source.until(
                lambda: source.lacks([gone.key]), "what was removed in the outage is gone"
            )
            await source.synced()
            never_lost(source, changed, stays, since=mark)

    @rule("outage")
    async def test_an_outage_costs_little(self, bench: Bench) -> None:
        """No retry storm: attempts are spaced and the processor rests."""
        record = await bench.put("cost-1", "10.14.0.1")
        async with bench.following() as source:
            await source.shows(record)
            await bench.ask("break_")
            await _stale(source)
            asked, opened = await bench.attempts(), source.status.attempts
            began, used = time.monotonic(), time.process_time()
            await asyncio.sleep(self.outage)
            took = time.monotonic() - began
            share = (time.process_time() - used) / took
            per_second = (await bench.attempts() - asked) / took
            assert per_second <= self.attempts_per_second, (
                f"a retry storm: {per_second:.0f} attempts a second against a backend that is "
                f"down, of which {source.status.attempts - opened} in all were the core's; "
                "raise RegistryUnavailable, or wait before trying again"
            )
            assert share <= self.cpu_share, (
                f"an outage kept the processor busy for {share:.0%} of the time"
            )
            await bench.ask("heal")
            await source.synced()

    @rule("truncate")
    async def test_a_half_read_listing_publishes_nothing(self, bench: Bench) -> None:
        """Answers that break off half-way are failures, at the start and later."""
        records = [await bench.put(f"half-{n}", f"10.15.0.{n}") for n in range(1, 21)]
        await bench.ask("truncate")
        async with bench.following() as source:
            await _stale(source)
            await asyncio.sleep(self.settle)
            assert not source.is_open, "half a listing was published as a complete one"
            await bench.ask("heal")
            await source.shows(*records)
            mark = len(source.history)
            await bench.ask("truncate")
            await _stale(source)
            await asyncio.sleep(self.outage)
            assert source.holds(records), f"half a listing removed records: {source.describe()}"
            await bench.ask("heal")
            await source.synced()
            await source.shows(*records)
            never_lost(source, *records, since=mark)

    @rule("silence")
    async def test_a_silent_connection_is_given_up(self, bench: Bench) -> None:
        """A half-open connection is noticed within `latency`, and what has changed arrives."""
        first = await bench.put("silent-1", "10.16.0.1")
        async with bench.following() as source:
            await source.shows(first)
            await bench.ask("silence")
            second = await bench.put("silent-2", "10.16.0.2")
            await source.shows(first, second)
            never_lost(source, first)

    @rule("slow")
    async def test_a_slow_backend_delays_and_does_not_block(self, bench: Bench) -> None:
        """Changes arrive late; meanwhile the loop turns and nothing is missing."""
        first = await bench.put("slow-1", "10.17.0.1")
        async with bench.following() as source:
            await source.shows(first)
            await bench.ask("slow", self.slowness)
            pause = asyncio.create_task(_longest_pause())
            second = await bench.put("slow-2", "10.17.0.2")
            await source.shows(first, second)
            pause.cancel()
            longest = await pause
            assert longest < self.slowness, (
                f"the loop stood still for {longest:.2f} s while the backend was slow: what "
                "blocks belongs into context.in_thread"
            )
            never_lost(source, first)
            await bench.ask("heal")

    @rule("credentials")
    async def test_refused_credentials_are_retried_slowly(self, bench: Bench) -> None:
        """FAILED with RegistryAuthError, data kept, hardly any retry, recovery by itself."""
        record = await bench.put("auth-1", "10.18.0.1")
        async with bench.following() as source:
            await source.shows(record)
            mark = len(source.history)
            await bench.ask("refuse_credentials")
            await source.until(
                lambda: source.condition is Condition.FAILED,
                "refused credentials make the source FAILED: raise RegistryAuthError",
            )
            assert isinstance(source.status.error, RegistryAuthError), source.describe()
            attempts = source.status.attempts
            asked = await bench.attempts()
            await asyncio.sleep(SLOWLY.first / 2)
            assert source.status.attempts <= attempts + 1, source.describe()
            allowed = max(3.0, self.attempts_per_second * SLOWLY.first / 4)
            assert await bench.attempts() - asked <= allowed, (
                "credentials that were refused are tried again and again; raise "
                "RegistryAuthError and leave it to the core to retry slowly"
            )
            assert source.holds([record]), f"refused credentials took data: {source.describe()}"
            await bench.ask("heal")
            await source.synced()
            late = await bench.put("auth-2", "10.18.0.2")
            await source.shows(record, late)
            never_lost(source, record, since=mark)

    @rule("wipe")
    async def test_a_backend_that_lost_its_state_is_believed(self, bench: Bench) -> None:
        """Its empty listing is a statement; what comes after it is followed without a stall."""
        records = [await bench.put(f"wipe-{n}", f"10.19.0.{n}") for n in (1, 2)]
        async with bench.following() as source:
            await source.shows(*records)
            await bench.ask("wipe")
            bench.expected.clear()
            new = await bench.put("wipe-3", "10.19.0.3")
            await source.shows(new)
            await source.until(
                lambda: source.lacks(one.key for one in records),
                "what the backend has lost is gone",
            )
            await source.synced()
            changed = await bench.put("wipe-3", "10.19.0.4")
            await source.shows(changed)


async def _stale(source: FollowedSource) -> None:
    await source.until(
        lambda: source.condition is Condition.STALE,
        "a backend that does not answer makes the source STALE: raise RegistryUnavailable, "
        "or degrade",
    )


async def _longest_pause() -> float:
    """The longest time for which the loop did nothing; until cancelled."""
    longest, last = 0.0, time.monotonic()
    try:
        while True:
            await asyncio.sleep(_TICK)
            now = time.monotonic()
            longest, last = max(longest, now - last), now
    except asyncio.CancelledError:
        return max(longest, time.monotonic() - last)
