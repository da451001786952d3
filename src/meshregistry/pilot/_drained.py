"""Waiting until no proxy is led to an endpoint any more, so that its process can be stopped."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from meshregistry.model import Catalog, Endpoint, Health
    from meshregistry.pilot._peers import PeerAnswer, Peers
    from meshregistry.pilot._waiting import Waiting
    from meshregistry.server import Holders, Hub

_SHOWN = 5


@frozen(kw_only=True)
class Drained:
    """No proxy that was asked is led to the endpoint any more.

    Attributes:
        endpoint: that is drained, as text.
        proxies: ids of this replica's proxies that held it while it was waited for, sorted:
            each has acknowledged a configuration without it, or its stream has ended.
        peers: the other replicas that say the same of their proxies, by URL. Proxies of
            replicas that ``server.peers`` does not name are not covered.
    """

    endpoint: str
    proxies: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()

    def __str__(self) -> str:
        count = len(self.proxies)
        proxies = f"{count} proxy has" if count == 1 else f"{count} proxies have"
        others = (
            f"as have those of {', '.join(self.peers)}"
            if self.peers
            else "those of other replicas were not asked: server.peers names none"
        )
        return f"{self.endpoint} is drained: {proxies} let go of it; {others}"


def served(catalog: Catalog, endpoint: Endpoint) -> tuple[tuple[str, Health], ...]:
    """The services whose proxies are led to an endpoint by a catalog, and its health there."""
    return tuple(
        (str(entry.key), one.health)
        for entry in catalog.at_address(endpoint.address)
        for one in entry.endpoints
        if one.is_sent
        and (one.address, one.port) == (endpoint.address, endpoint.port)
        and (not endpoint.network or one.network in {"", endpoint.network})
    )


def drained_document(
    endpoint: Endpoint,
    services: Mapping[str, Health],
    proxies: Sequence[str],
    peers: Sequence[PeerAnswer],
    *,
    is_published: bool,
) -> dict[str, Any]:
    """How far an endpoint is drained at this moment, as ``/debug/drained`` shows it."""
    is_held = bool(services or proxies or any(not one.is_drained for one in peers))
    return {
        "endpoint": str(endpoint),
        "is_drained": is_published and not is_held,
        "is_published": is_published,
        "services": list(services),
        "health": sorted({str(health) for health in services.values()}),
        "proxies": list(proxies),
        "peers": [
            {
                "url": one.url,
                "is_drained": one.is_drained,
                "proxies": list(one.proxies),
                "error": one.error or None,
            }
            for one in peers
        ],
    }


class DrainWait:
    """Waits for one endpoint.

    Args:
        endpoint: that is to be let go of.
        hub: of the proxies.
        holders: who may hold it.
        waiting: of the pilot: fails if the pilot does.
        services: those that lead to it, published or about to be.
        is_published: whether anything is: before, proxies may have what an earlier process said.
        news: how to wait for the next publication.
        said: how to wait for what the sources have said before.
        peers: the other replicas.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        hub: Hub,
        holders: Holders,
        waiting: Waiting,
        services: Callable[[], Mapping[str, Health]],
        is_published: Callable[[], bool],
        news: Callable[[], Awaitable[bool]],
        said: Callable[[], Awaitable[None]],
        peers: Peers,
    ) -> None:
        self._endpoint = endpoint
        self._hub = hub
        self._holders = holders
        self._waiting = waiting
        self._services = services
        self._is_published = is_published
        self._news = news
        self._said = said
        self._peers = peers
        self._answers: tuple[PeerAnswer, ...] = ()

    async def run(self, timeout: float | None) -> Drained:
        """Wait.

        Raises:
            TimeoutError: names who is still led there.
            PilotFailed: if the core has failed.
        """
        bound = asyncio.timeout(timeout)
        try:
            async with bound:
                await self._said()
                await self._until_let_go()
                await self._until_peers_agree()
        except TimeoutError:
            if not bound.expired():
                raise
            msg = f"{self._endpoint} is not drained within {timeout:g} s: {self._laggards()}"
            raise TimeoutError(msg) from None
        return Drained(
            endpoint=str(self._endpoint),
            proxies=tuple(sorted(self._holders.seen)),
            peers=tuple(one.url for one in self._answers),
        )

    async def _until_let_go(self) -> None:
        changed = asyncio.Event()

        def look_at(stream: Any) -> None:
            self._holders.look_at(stream)
            changed.set()

        stop = self._hub.watch(look_at)
        try:
            self._holders.look()
            while not self._is_published() or self._services() or self._holders.nodes:
                self._waiting.check_running()
                if await self._next(changed):
                    # Other sets are offered now.
                    self._holders.look()
        finally:
            stop()

    async def _next(self, changed: asyncio.Event) -> bool:
        """Wait for news of streams or of worlds; whether there is another world."""
        changed.clear()
        tasks: list[asyncio.Future[bool]] = [
            asyncio.ensure_future(self._news()),
            asyncio.create_task(changed.wait()),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return tasks[0].done()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _until_peers_agree(self) -> None:
        while True:
            self._answers = await self._peers.ask(self._endpoint)
            self._waiting.check_running()
            if all(one.is_drained for one in self._answers):
                return
            await self._peers.pause()

    def _laggards(self) -> str:
        """Who is to blame, and what can be done."""
        if not self._is_published():
            return (
                "nothing is published yet, and proxies may have what they were told before; "
                "see why with: meshregistry sources"
            )
        if services := self._services():
            return (
                f"it still serves {', '.join(services)}; take it out of its registry, or write a "
                f"Drain document: meshregistry drain HOST {self._endpoint}"
            )
        if nodes := self._holders.nodes:
            return f"{_some(nodes)} did not acknowledge; see meshregistry proxies"
        late = [
            f"{one.url} ({one.error or _some(one.proxies) or 'it still serves it'})"
            for one in self._answers
            if not one.is_drained
        ]
        return f"not so at {', '.join(late) or 'the replicas of server.peers'}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
