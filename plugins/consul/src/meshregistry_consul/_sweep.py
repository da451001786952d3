"""Many services: a few queries for whole tables, and single services as need be."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Never

from meshregistry_consul._due import (
    Due,
    affected_by_checks,
    affected_by_nodes,
    check_states,
    node_stamps,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from meshregistry.spi import RegistryContext
    from meshregistry_consul._client import Answer
    from meshregistry_consul._config import ConsulConfig
    from meshregistry_consul._due import CheckKey, CheckState
    from meshregistry_consul._publisher import Publisher

SAFETY = 20
"""How many times slower than `refresh` the round is in which nothing is known to have moved."""

Names = dict[str, tuple[str, ...]]


class Sweep:
    """Which services to ask for, and the tasks that do.

    Args:
        config: of the source.
        context: of the source.
        publisher: is told the answers.
        ask: asks for one service, bounded in concurrency.
    """

    def __init__(
        self,
        config: ConsulConfig,
        context: RegistryContext,
        publisher: Publisher,
        ask: Callable[[str], Awaitable[Answer]],
    ) -> None:
        self._config = config
        self._context = context
        self._publisher = publisher
        self._ask = ask
        self._due = Due()
        self._wake = asyncio.Semaphore(0)
        self._names: Names = {}
        self._checks: Mapping[CheckKey, CheckState] | None = None
        self._nodes: Mapping[str, int] | None = None

    def start(self, group: asyncio.TaskGroup, names: Names) -> None:
        """Begin, with the names that have just been listed."""
        self._names = names
        for _ in range(self._config.concurrency):
            group.create_task(self._urgent())
        group.create_task(self._rounds())
        group.create_task(self._safety())

    # --- News -----------------------------------------------------------------------

    def names_told(self, names: Names) -> None:
        """The catalog has moved: some services are named by it, of others nothing is known."""
        before, self._names = self._names, names
        for name in sorted(before.keys() - names.keys()):
            self._due.drop(name)
            self._publisher.remove(name)
        self._named({name for name, tags in names.items() if before.get(name) != tags})
        self._due.round(names)

    def checks_told(self, answer: Answer, _has_moved: bool) -> None:
        """Checks came, went or changed; the first answer may have missed some of them."""
        states = check_states(answer.body)
        before, self._checks = self._checks, states
        if before is None:
            self._due.round(self._names)
            return
        services, nodes = affected_by_checks(before, states)
        self._named(services | self._publisher.on_nodes(nodes))

    def nodes_told(self, answer: Answer, _has_moved: bool) -> None:
        """Nodes came, went or changed."""
        stamps = node_stamps(answer.body)
        before, self._nodes = self._nodes, stamps
        if before is not None:
            self._named(self._publisher.on_nodes(affected_by_nodes(before, stamps)))

    def _named(self, services: set[str]) -> None:
        wanted = sorted(services & self._names.keys())
        self._due.name(wanted)
        for _ in wanted:
            self._wake.release()

    # --- Tasks ----------------------------------------------------------------------

    async def _urgent(self) -> Never:
        while True:
            await self._wake.acquire()
            if (name := self._due.take_urgent()) is not None:
                await self._refetch(name)

    async def _rounds(self) -> Never:
        """One service after another, so that a round takes about `refresh`."""
        while True:
            if (name := self._due.take_round()) is not None:
                await self._refetch(name)
            pause = self._config.refresh / max(1, len(self._names))
            await self._context.clock.sleep(pause * self._context.random.uniform(0.5, 1.0))

    async def _safety(self) -> Never:
        """Whatever was missed is found in the end."""
        while True:
            spread = self._context.random.uniform(0.9, 1.1)
            await self._context.clock.sleep(self._config.refresh * SAFETY * spread)
            self._due.round(self._names)

    async def _refetch(self, name: str) -> None:
        answer = await self._ask(name)
        # It may have gone while it was asked for.
        if name in self._names:
            self._publisher.publish(name, answer)
