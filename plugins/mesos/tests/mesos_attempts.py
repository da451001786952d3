"""One attempt of either kind against servers that live in the test, and what it tells the core."""

from __future__ import annotations

import asyncio
import contextlib

from meshregistry.testing import ManualClock, RecordingSink, SystemClock, context


class Attempt:
    """An async context manager: a client for the life of a source, and one attempt with it.

    Args:
        kind: the `RegistryKind`.
        config: its options.
        clock: which moves by itself unless a manual one is given.
    """

    def __init__(self, kind, config, *, clock: ManualClock | None = None):
        self.kind = kind
        self.config = config
        self.sink = RecordingSink()
        self._base = context(clock=clock or SystemClock())
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self):
        client = await self._stack.enter_async_context(self.kind.connect(self.config, self._base))
        self.context = context(clock=self._base.clock, client=client, counts=self._base.counts)
        self.start()
        return self

    async def __aexit__(self, *_):
        await self.stop()
        await self._stack.aclose()

    def start(self):
        """Begin another attempt, with a sink of its own."""
        self.sink = RecordingSink()
        self.task = asyncio.create_task(self.kind.open(self.config, self.context).run(self.sink))

    async def stop(self):
        """End it."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def until(self, holds, what="it comes about"):
        """Wait for a fact while the attempt goes on."""
        async with asyncio.timeout(5):
            while not holds():
                assert not self.task.done(), f"{what}: {self.task.exception()!r}"
                await asyncio.sleep(0.002)

    async def shows(self, *records):
        """Wait until exactly these records are held."""
        wanted = {one.key: one for one in records}
        await self.until(lambda: self.sink.records() == wanted, f"{sorted(wanted)} are held")

    async def failure(self):
        """What it raises."""
        async with asyncio.timeout(5):
            (result,) = await asyncio.gather(self.task, return_exceptions=True)
        return result

    @property
    def errors(self):
        """What was reported, as texts."""
        return [str(one.value) for one in self.sink.calls if one.method == "degrade"]
