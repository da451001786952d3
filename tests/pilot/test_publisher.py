"""When worlds are published, on a clock that the test moves."""

from __future__ import annotations

import asyncio

import pytest

from meshregistry.aggregate import Debouncer
from meshregistry.model import Catalog, CatalogEntry, ServiceRecord
from meshregistry.pilot._publisher import Publisher
from meshregistry.testing import ManualClock


def catalog_of(*hosts):
    """A merged catalog of services without endpoints."""
    return Catalog.of(
        CatalogEntry(service=ServiceRecord.parse(host, port=80).service, endpoints=(), sources=())
        for host in hosts
    )


class Core:
    """A publisher, and the merged catalog that it reads."""

    def __init__(self):
        self.clock = ManualClock()
        self.gate = asyncio.Event()
        self.merged = Catalog()
        self.worlds = []
        self.publisher = Publisher(
            clock=self.clock,
            debouncer=Debouncer(),
            merged=lambda: self.merged,
            publish=self.worlds.append,
        )

    async def __aenter__(self):
        self.task = asyncio.create_task(self.publisher.run(self.gate.wait))
        await self.clock.advance(0)
        return self

    async def __aexit__(self, *_):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def open(self):
        """Let the gate open, and the first world be published."""
        self.gate.set()
        await self.clock.advance(0)

    def say(self, *hosts, is_endpoints_only=False):
        """The merged catalog is now this one."""
        self.merged = catalog_of(*hosts)
        self.publisher.changed(is_endpoints_only)

    @property
    def generations(self):
        """Of the worlds so far."""
        return [world.generation for world in self.worlds]


@pytest.fixture
def core(run_async):
    """``core(steps)``: runs steps with an open core."""

    def run(steps, *, is_open=True):
        async def main():
            async with Core() as made:
                if is_open:
                    await made.open()
                await steps(made)

        run_async(main())

    return run


class TestGate:
    def test_nothing_is_published_before_it_opens(self, core):
        """However old a change is, it waits for the gate."""

        async def steps(core):
            core.say("a.b")
            await core.clock.advance(60)
            assert ([], False) == (core.worlds, core.publisher.has_published)
            await core.open()
            assert [1] == core.generations
            assert core.publisher.catalog == catalog_of("a.b")

        core(steps, is_open=False)

    def test_the_first_world_comes_at_once_and_may_be_empty(self, core):
        """No change is needed: an empty registry is a fact, too."""

        async def steps(core):
            assert [1] == core.generations
            assert 0 == len(core.publisher.catalog)

        core(steps)


class TestDebounce:
    def test_ordinary_changes_wait_for_quiet(self, core):
        """A hundred milliseconds without another change, then all of them together."""

        async def steps(core):
            core.say("a.b")
            await core.clock.advance(0.09)
            core.say("a.b", "c.d")
            await core.clock.advance(0.09)
            assert [1] == core.generations
            await core.clock.advance(0.02)
            assert [1, 2] == core.generations
            assert core.worlds[-1] == catalog_of("a.b", "c.d")

        core(steps)

    def test_no_change_waits_longer_than_ten_seconds(self, core):
        """Although it is never quiet."""

        async def steps(core):
            for number in range(126):
                core.say(f"a{number}.b")
                await core.clock.advance(0.08)
            assert [1, 2] == core.generations[:2]
            assert len(core.generations) == 2

        core(steps)

    def test_endpoints_leave_at_once_and_then_every_50_ms(self, core):
        """The leading edge is not delayed, the rest is spaced."""

        async def steps(core):
            await core.clock.advance(1)
            core.say("a.b", is_endpoints_only=True)
            await core.clock.advance(0)
            assert [1, 2] == core.generations
            core.say("c.d", is_endpoints_only=True)
            await core.clock.advance(0.04)
            assert [1, 2] == core.generations
            await core.clock.advance(0.02)
            assert [1, 2, 3] == core.generations

        core(steps)

    def test_whatever_is_pending_is_published_together(self, core):
        """An endpoint's change takes a waiting service along."""

        async def steps(core):
            await core.clock.advance(1)
            core.say("a.b")
            core.say("a.b", "c.d", is_endpoints_only=True)
            await core.clock.advance(0)
            assert [1, 2] == core.generations
            await core.clock.advance(1)
            assert [1, 2] == core.generations

        core(steps)


class TestEqualWorlds:
    def test_are_not_published(self, core):
        """What came and went is no new world, and nobody waits for it."""

        async def steps(core):
            core.say("a.b")
            core.say()
            target = core.publisher.written
            assert (True, False) == (core.publisher.has_pending, core.publisher.covers(target))
            await core.clock.advance(0.2)
            assert [1] == core.generations
            assert (False, True) == (core.publisher.has_pending, core.publisher.covers(target))

        core(steps)

    def test_are_published_when_something_else_has_changed(self, core):
        """`invalidate` is for settings of the mesh, which no catalog shows; it counts once."""

        async def steps(core):
            core.publisher.invalidate()
            await core.clock.advance(0.2)
            assert [1, 2] == core.generations
            core.say()
            await core.clock.advance(0.2)
            assert [1, 2] == core.generations

        core(steps)


class TestNews:
    def test_a_publication_is_told_after_it_is_current(self, core):
        """Whoever wakes sees the new catalog."""

        async def steps(core):
            news = asyncio.ensure_future(core.publisher.news())
            await asyncio.sleep(0)
            core.say("a.b")
            await core.clock.advance(0.2)
            assert news.done()
            assert 1 == len(core.publisher.catalog)

        core(steps)

    def test_a_change_while_reading_is_part_of_the_world(self, core):
        """Reading the merged catalog may bring in what waited to be merged."""

        async def steps(core):
            def read():
                if core.publisher.written == 1:
                    core.say("late.b")
                return core.merged

            core.publisher._merged = read
            core.say("a.b")
            await core.clock.advance(0.2)
            assert core.publisher.covers(2)
            assert core.worlds[-1] == catalog_of("late.b")
            await core.clock.advance(1)
            assert [1, 2] == core.generations

        core(steps)
