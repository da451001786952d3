"""Follows one datacenter: a complete listing, then news of names and of each service."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Never

from attrs import evolve

from meshregistry.errors import RegistryAuthError
from meshregistry_consul._convert import names_filter, selected_names
from meshregistry_consul._index import BURST, Cursor, Pace
from meshregistry_consul._news import follow_news
from meshregistry_consul._publisher import Publisher
from meshregistry_consul._sweep import Sweep

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from meshregistry.spi import RegistryContext, Sink
    from meshregistry_consul._client import Answer, ConsulClient
    from meshregistry_consul._config import ConsulConfig

_LONGEST_NAMES_WAIT = 60.0
# Whole tables are megabytes, so they are asked for this much less often.
_TABLE_SLOWNESS = 4
# The number of services may swing by so much about `max_watches` before the way changes back.
_HYSTERESIS = 0.8

Names = dict[str, tuple[str, ...]]


class _OtherWay(Exception):
    """The number of services has crossed `max_watches`: list anew and follow the other way."""


class Follower:
    """One attempt at one datacenter.

    Args:
        client: to ask.
        config: of the source.
        context: of the source.
        sink: of the source, or of the part that is this datacenter.
        dc: its name; empty for the agent's own.
        listed: is called after each complete listing.
    """

    def __init__(
        self,
        client: ConsulClient,
        config: ConsulConfig,
        context: RegistryContext,
        *,
        sink: Sink,
        dc: str,
        listed: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self._config = config
        self._context = context
        self._sink = sink
        self._dc = dc
        self._listed = listed
        self._known = client.known.setdefault(dc, set())
        self._publisher = Publisher(sink, config, self._known)
        self._slots = asyncio.Semaphore(config.concurrency)
        self._is_sweeping = False

    async def run(self) -> None:
        """Follow until cancelled.

        Raises:
            RegistryError: if Consul cannot be followed; also as a group of such errors.
        """
        while True:
            listing, names = await self._names(Cursor())
            answers = await self._every(names, listing)
            self._publisher.replace(answers)
            self._listed()
            indexes = {name: answer.index for name, answer in answers.items()}
            del answers  # what was said of thousands of services is not kept
            self._is_sweeping = len(names) > self._config.max_watches
            try:
                async with asyncio.TaskGroup() as group:
                    if self._is_sweeping:
                        await self._sweep(group, listing, names)
                    else:
                        await self._watch_all(group, listing, names, indexes)
            except* _OtherWay:
                self._context.count("mode_changes")

    # --- Questions ------------------------------------------------------------------

    async def _names(self, cursor: Cursor) -> tuple[Answer, Names]:
        answer = await self._client.get(
            "/v1/catalog/services",
            dc=self._dc,
            filter_=names_filter(self._config),
            cursor=cursor,
            wait=min(self._config.wait, _LONGEST_NAMES_WAIT),
        )
        names = selected_names(answer.body, self._config)
        if not answer.body and answer.hides_by_default and not self._config.catalog_filter:
            # Not even Consul's own service: an anonymous caller is shown an empty world.
            msg = "Consul shows nothing to a caller without a token; set token, token_file or token_env"
            raise RegistryAuthError(msg)
        return answer, names

    async def ask(self, name: str) -> Answer:
        """One service as it is now; only so many at once."""
        async with self._slots:
            return await self._health(name, Cursor())

    async def _health(self, name: str, cursor: Cursor) -> Answer:
        return await self._client.get(
            f"/v1/health/service/{name}",
            dc=self._dc,
            filter_=self._config.filter,
            cursor=cursor,
            wait=self._config.wait,
        )

    async def _every(self, names: Names, listing: Answer) -> dict[str, Answer]:
        """An answer for each service, by so many askers as may ask at once."""
        wanted = iter([*names, *(self._hidden(names) if listing.is_filtered else ())])
        answers: dict[str, Answer] = {}

        async def asker() -> None:
            for name in wanted:
                answers[name] = await self.ask(name)

        async with asyncio.TaskGroup() as group:
            for _ in range(self._config.concurrency):
                group.create_task(asker())
        return answers

    def _hidden(self, names: Names) -> list[str]:
        """Names that a filtered listing lacks: each is asked for before it counts as gone."""
        return sorted(self._known - names.keys())

    # --- Ways to follow -------------------------------------------------------------

    async def _follow_names(
        self, listing: Answer, names: Names, told: Callable[[Names], None]
    ) -> Never:
        """Tell the selected names after each move of the catalog."""
        seen = names
        said = listing.digest

        async def ask(cursor: Cursor) -> Answer:
            nonlocal seen
            answer, seen = await self._names(cursor)
            return answer

        def listed(answer: Answer, has_moved: bool) -> None:
            nonlocal said
            # The rights of a token change what it is told and move no index.
            if has_moved or answer.digest != said:
                said = answer.digest
                hidden = self._hidden(seen) if answer.is_filtered else []
                told(seen | dict.fromkeys(hidden, ()))
                limit = self._config.max_watches
                if self._is_sweeping:
                    is_to_sweep = len(seen) > limit * _HYSTERESIS
                else:
                    is_to_sweep = len(seen) > limit
                if is_to_sweep != self._is_sweeping:
                    raise _OtherWay
            self._sink.confirm()

        await self.follow(ask, listed, _after(listing))

    async def follow(
        self,
        ask: Callable[[Cursor], Awaitable[Answer]],
        told: Callable[[Answer, bool], None],
        cursor: Cursor,
        slowness: int = 1,
    ) -> Never:
        """Follow the news of one query, as the settings have it."""
        await follow_news(
            ask,
            told,
            context=self._context,
            pace=Pace(self._config.min_interval * slowness, BURST // slowness),
            cursor=cursor,
        )

    async def _watch_all(
        self,
        group: asyncio.TaskGroup,
        listing: Answer,
        names: Names,
        indexes: dict[str, int],
    ) -> Never:
        """A query that waits for each service; names come and go with the catalog's news."""
        watches = {
            name: group.create_task(self._watch(name, Cursor().after(index)))
            for name, index in indexes.items()
        }

        def told(now: Names) -> None:
            for name in sorted(watches.keys() - now.keys()):
                # A task that has been cancelled publishes nothing more.
                watches.pop(name).cancel()
                self._publisher.remove(name)
            for name in sorted(now.keys() - watches.keys()):
                watches[name] = group.create_task(self._watch(name, Cursor()))

        await self._follow_names(listing, names, told)

    async def _watch(self, name: str, cursor: Cursor) -> Never:
        async def ask(cursor: Cursor) -> Answer:
            if not cursor.is_blocking:
                return await self.ask(name)
            answer = await self._health(name, cursor)
            if answer.body:
                return answer
            # The streaming backend of agents does not say what it has left out for want of
            # rights, so nothing is gone before a plain query has said so.
            return evolve(await self.ask(name), index=answer.index)

        def told(answer: Answer, _has_moved: bool) -> None:
            self._publisher.publish(name, answer)

        await self.follow(ask, told, cursor)

    async def _sweep(self, group: asyncio.TaskGroup, listing: Answer, names: Names) -> Never:
        """One query for all checks and one for all nodes; services are asked for as need be."""
        sweep = Sweep(self._config, self._context, self._publisher, self.ask)
        group.create_task(
            self.follow(
                partial(self._table, "/v1/health/state/any"),
                sweep.checks_told,
                Cursor(),
                _TABLE_SLOWNESS,
            )
        )
        group.create_task(
            self.follow(
                partial(self._table, "/v1/catalog/nodes"),
                sweep.nodes_told,
                Cursor(),
                _TABLE_SLOWNESS,
            )
        )
        sweep.start(group, names)
        await self._follow_names(listing, names, sweep.names_told)

    async def _table(self, path: str, cursor: Cursor) -> Answer:
        return await self._client.get(path, dc=self._dc, cursor=cursor, wait=self._config.wait)


def _after(listing: Answer) -> Cursor:
    return Cursor().after(listing.index, listing.content_hash)
