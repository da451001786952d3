"""Type-checked, never run: the pilot in a program of one's own."""

from __future__ import annotations

import asyncio
from typing import assert_type

import meshregistry
from meshregistry import Catalog, Pilot, ServiceRecord, Settings


async def only_the_catalog() -> None:
    """One live catalog of all registries, nothing served."""
    async with Pilot(Settings.load("mesh.yaml"), serve=False) as pilot:
        catalog = await pilot.synced(timeout=10)
        assert_type(catalog, Catalog)
        print([service.host for service in catalog.services()])
        async for diff in pilot.changes(since=catalog):
            print(diff.added, diff.changed, diff.removed)


async def the_whole() -> None:
    """A registry that is set from code, served."""
    settings = Settings.from_dict(
        {"sources": [{"id": "mine", "kind": "memory"}], "server": {"xds": "127.0.0.1:0"}}
    )
    async with Pilot(settings) as pilot:
        pilot.memory("mine").upsert(
            ServiceRecord.parse("reviews.shop", port=9080, endpoints=["10.0.0.1:9080"])
        )
        assert_type(await pilot.published(), int)
        print(pilot.xds_address, pilot.http_address)


def from_threads() -> None:
    """The same names, blocking."""
    with Pilot.in_thread(Settings.load("mesh.yaml")) as pilot:
        assert_type(pilot.synced(timeout=10), Catalog)


asyncio.run(only_the_catalog())
asyncio.run(the_whole())
from_threads()


def a_name_that_there_is_not() -> None:
    """Checkers find it, although names are imported when they are used."""
    print(meshregistry.NoSuchName)  # type: ignore[attr-defined]  # what is shown
