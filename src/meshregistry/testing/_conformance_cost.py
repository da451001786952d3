"""The rules about cost: leaving is prompt and complete, and memory stays flat."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
import tracemalloc
from typing import TYPE_CHECKING

from meshregistry.testing._conformance_bench import Bench, Case, rule

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshregistry.model import ServiceRecord
    from meshregistry.testing._conformance_source import FollowedSource

_ROUNDS = 3
_BATCH = 10
_SPANS = 5
_HOSTS = 4
# What bounded caches of libraries (of parsed URLs, for one) may add to a span while they fill,
# and what a change may leave: less than the smallest thing that an adapter could keep of each.
_GROWTH = 24_000
_GROWTH_PER_CHANGE = 16


class CostRules(Case):
    """See `RegistryConformance`."""

    @rule()
    async def test_leaving_is_prompt(self, bench: Bench) -> None:
        """Cancelling ends the adapter at once, while it waits for news."""
        record = await bench.put("leave-1", "10.21.0.1")
        async with bench.following() as source:
            await source.shows(record)
            await asyncio.sleep(self.settle)
            began = time.monotonic()
        self._was_prompt(began, "while it waited for news")

    @rule("outage")
    async def test_leaving_in_an_outage_is_prompt(self, bench: Bench) -> None:
        """Cancelling ends the adapter at once, while it tries to connect."""
        await bench.put("leave-2", "10.22.0.1")
        await bench.ask("break_")
        async with bench.following():
            await asyncio.sleep(self.settle)
            began = time.monotonic()
        self._was_prompt(began, "in an outage")
        await bench.ask("heal")

    @rule("slow")
    async def test_leaving_a_slow_backend_is_prompt(self, bench: Bench) -> None:
        """Cancelling ends the adapter at once, while an answer is outstanding."""
        await bench.put("leave-3", "10.23.0.1")
        await bench.ask("slow", 4 * self.promptness)
        async with bench.following():
            await asyncio.sleep(self.settle)
            began = time.monotonic()
        self._was_prompt(began, "while the backend was slow")
        await bench.ask("heal")

    @rule()
    async def test_nothing_is_left_behind(self, bench: Bench) -> None:
        """After an adapter has been cancelled there is no task, thread or socket of it."""
        record = await bench.put("left-1", "10.24.0.1")

        async def once() -> None:
            async with bench.following() as source:
                await source.shows(record)
                source.restart()
                await source.until(
                    lambda: source.status.attempts > 1,
                    "the source is opened again",
                )
                await source.synced()
            await self._gone(lambda: sum(not task.done() for task in source.tasks), "task")

        # The first round makes what a library makes once for the whole process.
        await once()
        threads, descriptors = await self._settled(_threads), await self._settled(_descriptors)
        for _ in range(_ROUNDS):
            await once()
        await self._gone(lambda: _threads() - threads, "thread")
        await self._gone(lambda: _descriptors() - descriptors, "socket or file")

    @rule()
    async def test_memory_stays_flat(self, bench: Bench) -> None:
        """After `changes` changes the process holds what it held before; the last one counts."""
        was_tracing = tracemalloc.is_tracing()
        share = self.changes // _SPANS
        grown = []
        async with bench.following(remembers=False) as source:
            await self._change(bench, source, share // 2)
            if not was_tracing:
                tracemalloc.start()
            try:
                await self._change(bench, source, share // 2)
                for _ in range(_SPANS):
                    before = _traced()
                    await self._change(bench, source, share)
                    grown.append(_traced() - before)
            finally:
                if not was_tracing:
                    tracemalloc.stop()
        # A cache that fills or a module that loads does so once; a leak grows in every span.
        least, allowed = min(grown), _GROWTH + _GROWTH_PER_CHANGE * share
        assert least <= allowed, (
            f"each {share} changes of {_HOSTS} records left at least {least} bytes in memory, "
            f"more than {allowed}: the adapter keeps something of each"
        )

    async def _change(self, bench: Bench, source: FollowedSource, count: int) -> None:
        """Change a few records so many times in all, and see the last versions arrive."""
        records: dict[str, ServiceRecord] = {}
        for number in range(1, count + 1):
            host = f"flat-{number % _HOSTS}"
            address = f"10.25.{number // 250 % 250}.{number % 250 + 1}"
            records[host] = await bench.put(host, address)
            if number % _BATCH == 0 or number == count:
                await source.shows(*records.values())

    def _was_prompt(self, began: float, when: str) -> None:
        took = time.monotonic() - began
        assert took <= self.promptness, (
            f"the adapter was cancelled {when} and took {took:.1f} s to end, "
            f"more than {self.promptness:g} s"
        )

    async def _gone(self, excess: Callable[[], int], what: str) -> None:
        deadline = time.monotonic() + self.latency
        while (number := excess()) > 0:
            if time.monotonic() > deadline:
                names = sorted(thread.name for thread in threading.enumerate())
                tasks = sorted(str(task.get_coro()) for task in asyncio.all_tasks())
                msg = (
                    f"the adapter left {number} {what}(s) behind; threads: {names}, tasks: {tasks}"
                )
                raise AssertionError(msg)
            await asyncio.sleep(0.01)

    async def _settled(self, count: Callable[[], int]) -> int:
        """A number once it has ceased to fall."""
        lowest = count()
        for _ in range(10):
            await asyncio.sleep(self.settle / 10)
            lowest = min(lowest, count())
        return lowest


def _threads() -> int:
    return threading.active_count()


def _descriptors() -> int:
    """How many files, sockets, pipes and watches the process has open."""
    return len(os.listdir("/dev/fd"))  # noqa: PTH208 - names are all that is wanted


def _traced() -> int:
    gc.collect()
    current, _peak = tracemalloc.get_traced_memory()
    return current
