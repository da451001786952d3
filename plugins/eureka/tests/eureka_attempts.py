"""Registries that follow doubles, by a clock that the test advances."""

from __future__ import annotations

import asyncio
import contextlib

from attrs import evolve

from meshregistry.spi import Secret
from meshregistry.testing import ManualClock, RecordingSink, context
from meshregistry_eureka import EurekaConfig, connect, open_registry

INTERVAL = 5.0


class Followed:
    """A registry that runs, its sink, and the time by which it asks."""

    def __init__(self, sink, task, clock):
        self.sink, self.task, self.clock = sink, task, clock

    async def poll(self, seconds=INTERVAL):
        """Let it ask once more; back when it has taken in the answer."""
        await self.clock.advance(1.11 * seconds)
        await self.clock.sleeping()

    async def ended(self):
        """What ended it, when it asks the next time."""
        await self.clock.advance(1.11 * INTERVAL)
        async with asyncio.timeout(5):
            await asyncio.wait([self.task])
        return self.task.exception()

    @property
    def records(self):
        """What it has published."""
        return self.sink.records()

    @property
    def counts(self):
        """What it has counted."""
        return self.sink.context.counts


@contextlib.asynccontextmanager
async def follower(*servers, **options):
    """A source of these doubles: each call is an attempt to follow them, with one client."""
    urls = ",".join(one if isinstance(one, str) else one.url for one in servers)
    config = EurekaConfig(**{"eureka_server": Secret(urls), "timeout": 2.0, **options})
    clock = ManualClock()
    given = context(clock=clock)

    async with connect(config, given) as client:
        given = evolve(given, client=client)

        @contextlib.asynccontextmanager
        async def attempt():
            sink = RecordingSink()
            sink.context = given
            task = asyncio.create_task(open_registry(config, given).run(sink))
            try:
                yield Followed(sink, task, clock)
            finally:
                task.cancel()
                await asyncio.wait([task])

        yield attempt


@contextlib.asynccontextmanager
async def started(*servers, **options):
    """A registry that follows these doubles, and has begun."""
    async with follower(*servers, **options) as attempt, attempt() as seen:
        yield seen


@contextlib.asynccontextmanager
async def following(*servers, **options):
    """The same, once it has listed everything."""
    async with started(*servers, **options) as seen:
        await seen.clock.sleeping()
        yield seen
