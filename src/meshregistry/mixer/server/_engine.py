"""The configuration in force, exchanged without losing a request.

Every request is carried out by the configuration that was in force when it began. One that is
replaced lives until its last request is over; then its handlers are closed, unless the next
one goes on using them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

from attrs import define, field

from meshregistry.errors import MixerUnavailable
from meshregistry.mixer.config import Snapshot
from meshregistry.mixer.server._dispatch import Dispatcher
from meshregistry.mixer.server._fleet import Fleet
from meshregistry.mixer.server._running import Running, Surroundings

DEADLINE = 5.0
"""Seconds that one call of a handler may take."""


class NoConfiguration(MixerUnavailable):
    """Requests cannot be carried out yet, or not any more."""


@define(eq=False)
class _Generation(AbstractAsyncContextManager[Dispatcher]):
    """One configuration and the requests that it carries out."""

    snapshot: Snapshot
    running: Mapping[int, Running]
    dispatcher: Dispatcher
    requests: int = 0
    is_retired: bool = False
    idle: asyncio.Event = field(factory=asyncio.Event)

    async def __aenter__(self) -> Dispatcher:
        self.requests += 1
        return self.dispatcher

    async def __aexit__(self, *_: object) -> None:
        self.requests -= 1
        if self.is_retired and not self.requests:
            self.idle.set()


class Engine:
    """Carries out requests by the configuration in force.

    Args:
        around: what handlers share.
        deadline: seconds that one call of a handler may take.
    """

    def __init__(self, around: Surroundings, *, deadline: float = DEADLINE) -> None:
        self._fleet = Fleet(around)
        self._deadline = deadline
        self._current: _Generation | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._swapping = asyncio.Lock()
        self._ready = asyncio.Event()
        self._is_over = False
        self.counts: Counter[tuple[str, str]] = Counter()

    @property
    def snapshot(self) -> Snapshot | None:
        """The configuration in force; None before the first, and after the last."""
        return None if self._current is None else self._current.snapshot

    @property
    def handlers(self) -> tuple[Running, ...]:
        """The handlers that run, those of retired configurations included."""
        return self._fleet.running

    @property
    def is_over(self) -> bool:
        """Whether it has been closed, for good."""
        return self._is_over

    async def ready(self) -> None:
        """Wait for the first configuration."""
        await self._ready.wait()

    async def swap(self, snapshot: Snapshot) -> None:
        """Put a configuration into force: for every request that begins from now on.

        Raises:
            NoConfiguration: if it has been closed: nobody would end the handlers any more.
        """
        async with self._swapping:
            if self._is_over:
                raise NoConfiguration("the server has ended, and takes no configuration any more")
            running = await self._fleet.prepare(snapshot)
            dispatcher = Dispatcher(snapshot, running, deadline=self._deadline, counts=self.counts)
            former, self._current = self._current, _Generation(snapshot, running, dispatcher)
            self._ready.set()
            self.counts["config", "swaps"] += 1
        if former is not None:
            self._retire(former)

    def request(self) -> AbstractAsyncContextManager[Dispatcher]:
        """The configuration in force, for as long as the request takes.

        Raises:
            NoConfiguration: if there is none yet, or none any more.
        """
        generation = self._current
        if generation is None:
            raise NoConfiguration("there is no configuration yet: await ready() first")
        return generation

    async def close(self) -> None:
        """End every handler after its last call."""
        async with self._swapping:
            former, self._current = self._current, None
            self._is_over = True
            self._ready.clear()
        if former is not None:
            self._retire(former)
        await asyncio.gather(*self._retiring)

    def _retire(self, generation: _Generation) -> None:
        generation.is_retired = True
        if not generation.requests:
            generation.idle.set()
        task = asyncio.create_task(self._release(generation), name="meshregistry-mixer-retire")
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _release(self, generation: _Generation) -> None:
        await generation.idle.wait()
        await self._fleet.release(generation.running)
