"""Following the catalog: coalesced, but nothing lost."""

from __future__ import annotations

import asyncio

from meshregistry.model import Catalog, CatalogEntry, ServiceKey, ServiceRecord
from meshregistry.pilot._changes import CatalogChanges


def _catalog(*hosts: str) -> Catalog:
    return Catalog.of(
        CatalogEntry(service=ServiceRecord.parse(host, port=80).service, endpoints=(), sources=())
        for host in hosts
    )


class _Published:
    """A sequence of catalogs, as a pilot publishes them."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog: Catalog | None = catalog
        self.news = asyncio.Event()

    def publish(self, catalog: Catalog | None) -> None:
        self.catalog = catalog
        self.news.set()

    async def newer(self, seen: Catalog) -> Catalog | None:
        while self.catalog is seen:
            self.news.clear()
            await self.news.wait()
        return self.catalog


def _keys(*hosts: str) -> tuple[ServiceKey, ...]:
    return tuple(ServiceKey.parse(host) for host in hosts)


class TestChanges:
    def test_begins_with_everything(self, run_async):
        """Without `since`, the first difference is against the empty catalog."""

        async def main() -> None:
            published = _Published(_catalog("a.b", "c.d"))
            diff = await anext(CatalogChanges(published.newer, None))
            assert diff.added == _keys("a.b", "c.d")

        run_async(main())

    def test_begins_after_what_is_known(self, run_async):
        """With `since`, the first difference is against that."""

        async def main() -> None:
            known = _catalog("a.b")
            published = _Published(known)
            changes = CatalogChanges(published.newer, known)
            waiting = asyncio.ensure_future(anext(changes))
            await asyncio.sleep(0)
            assert not waiting.done()
            published.publish(_catalog("a.b", "c.d"))
            diff = await waiting
            assert (diff.added, diff.removed) == (_keys("c.d"), ())

        run_async(main())

    def test_coalesces_without_loss(self, run_async):
        """A slow consumer sees the net difference of what it missed."""

        async def main() -> None:
            published = _Published(_catalog("a.b"))
            changes = CatalogChanges(published.newer, None)
            await anext(changes)
            published.publish(_catalog("a.b", "c.d"))
            published.publish(_catalog("c.d", "e.f"))
            diff = await anext(changes)
            assert (diff.added, diff.removed) == (_keys("c.d", "e.f"), _keys("a.b"))
            assert changes.catalog is published.catalog

        run_async(main())

    def test_skips_what_came_and_went(self, run_async):
        """A catalog that differs only by its generation is no change."""

        async def main() -> None:
            known = _catalog("a.b")
            published = _Published(known.at(2))
            changes = CatalogChanges(published.newer, known)
            waiting = asyncio.ensure_future(anext(changes))
            await asyncio.sleep(0)
            published.publish(_catalog())
            assert (await waiting).removed == _keys("a.b")

        run_async(main())

    def test_ends_with_the_pilot(self, run_async):
        """When there will be no more, the loop ends."""

        async def main() -> None:
            published = _Published(_catalog("a.b"))
            seen = []
            async for diff in CatalogChanges(published.newer, None):
                seen.append(diff)
                published.publish(None)
            assert len(seen) == 1

        run_async(main())

    def test_ends_when_it_is_closed(self, run_async):
        """After `aclose` there is no further step."""

        async def main() -> None:
            changes = CatalogChanges(_Published(_catalog("a.b")).newer, None)
            await changes.aclose()
            assert [diff async for diff in changes] == []

        run_async(main())
