"""Registrations in memory: they end by themselves."""

from __future__ import annotations

import asyncio

from meshregistry.model import Hostname, RecordKey, ServiceKey, ServiceRecord
from meshregistry.registries import Memories, MemoryConfig
from meshregistry.testing import context

RECORD = ServiceRecord.parse("reviews.shop", port=80, endpoints=["10.0.0.1:80"], namespace="shop")
SERVICE = ServiceKey("shop", Hostname("reviews.shop"))


def registrar():
    """A registrar, and what it writes into."""
    memories = Memories()
    made = context()
    return memories.registrar(MemoryConfig(), made), memories.get(made.source_id)


async def gone(registry):
    """Wait until nothing is registered."""
    while registry.records():  # noqa: ASYNC110 - a timer of the loop tells nobody
        await asyncio.sleep(0.005)


def test_it_ends_unless_it_is_renewed(run_async):
    """After its time, and not before."""

    async def main():
        made, registry = registrar()
        loop = asyncio.get_running_loop()
        await made.register(RECORD, 0.05)
        began = loop.time()
        assert RECORD.endpoints == registry.records()[0].endpoints
        await gone(registry)
        assert loop.time() - began >= 0.04

    run_async(main())


def test_a_renewal_counts_from_now_and_writes_what_is_gone(run_async):
    """An earlier end is forgotten."""

    async def main():
        made, registry = registrar()
        loop = asyncio.get_running_loop()
        lease = await made.register(RECORD, 0.1)
        await asyncio.sleep(0.06)
        await lease.renew()
        began = loop.time()
        await gone(registry)
        assert loop.time() - began >= 0.09
        await lease.renew()
        assert 1 == len(registry.records())
        await lease.deregister()
        assert () == registry.records()

    run_async(main())


def test_it_is_ended_by_its_identity_and_touches_nothing_else(run_async):
    """What the program itself has set stays."""

    async def main():
        made, registry = registrar()
        registry.upsert(RECORD)
        await made.register(RECORD, 60)
        assert 2 == len(registry.records())
        for _ in range(2):
            await made.deregister(SERVICE, [one.key for one in RECORD.endpoints])
        assert [RecordKey("reviews.shop")] == [one.key for one in registry.records()]

    run_async(main())
