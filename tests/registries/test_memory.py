"""The memory registry: records that Python code sets."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager

import pytest

from meshregistry.model import ServiceRecord
from meshregistry.registries import Memories, MemoryConfig, MemoryRegistry
from meshregistry.testing import RecordingSink, SinkCall, context

WEB = ServiceRecord.parse("web.shop", port=80, endpoints=["10.0.0.1:80"])
WEB2 = ServiceRecord.parse("web.shop", port=80, endpoints=["10.0.0.2:80"])
DB = ServiceRecord.parse("db.shop", port=5432, protocol="TCP")


@asynccontextmanager
async def running(registry):
    """The registry in an attempt, with the sink that it publishes to."""
    sink = RecordingSink()
    task = asyncio.create_task(registry.run(sink))
    await asyncio.sleep(0)
    try:
        yield sink
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_it_is_synced_from_the_start(run_async):
    """An empty memory registry says at once that there is nothing (contracts, section 10)."""

    async def main():
        async with running(MemoryRegistry()) as sink:
            return sink.calls

    assert (SinkCall("replace", ()),) == run_async(main())


def test_what_was_written_before_is_published_when_it_runs(run_async):
    """Writes count before anybody listens; they arrive as one complete listing."""
    registry = MemoryRegistry()
    registry.upsert(WEB)
    registry.upsert(DB)
    registry.upsert(WEB2)
    registry.remove("db.shop")

    async def main():
        async with running(registry) as sink:
            return sink.calls

    assert (SinkCall("replace", (WEB2,)),) == run_async(main())


def test_what_is_written_while_it_runs_is_published_at_once(run_async):
    """Each write reaches the sink before the call returns, in order."""

    async def main():
        registry = MemoryRegistry()
        async with running(registry) as sink:
            registry.upsert(WEB)
            registry.remove("web.shop")
            registry.remove("web.shop")
            registry.replace([DB])
            return sink.calls

    assert (
        SinkCall("replace", ()),
        SinkCall("upsert", WEB),
        SinkCall("remove", "web.shop"),
        SinkCall("replace", (DB,)),
    ) == run_async(main())


def test_manual_waits_for_a_replace(run_async):
    """With `manual` nothing is published before the first `replace`, which is the whole truth."""

    async def main():
        registry = MemoryRegistry(manual=True)
        registry.upsert(WEB)
        async with running(registry) as sink:
            registry.upsert(WEB2)
            registry.remove("web.shop")
            before = sink.calls
            registry.replace([DB])
            registry.upsert(WEB)
            return before, sink.calls

    before, after = run_async(main())
    assert () == before
    assert (SinkCall("replace", (DB,)), SinkCall("upsert", WEB)) == after


def test_manual_counts_a_replace_before_it_runs(run_async):
    """Who has said everything before the start has said it."""

    async def main():
        registry = MemoryRegistry(manual=True)
        registry.replace([])
        registry.upsert(WEB)
        async with running(registry) as sink:
            return sink.calls

    assert (SinkCall("replace", (WEB,)),) == run_async(main())


def test_the_data_outlives_an_attempt(run_async):
    """A restarted source has what it had, also what was written between the attempts."""

    async def main():
        registry = MemoryRegistry()
        async with running(registry) as first:
            registry.upsert(WEB)
        registry.upsert(DB)
        async with running(registry) as second:
            return first.methods, second.calls

    assert (("replace", "upsert"), (SinkCall("replace", (DB, WEB)),)) == run_async(main())


def test_two_pilots_may_follow_one_registry(run_async):
    """Every attempt that runs gets every write."""

    async def main():
        registry = MemoryRegistry()
        async with running(registry) as first, running(registry) as second:
            registry.upsert(WEB)
            return first.calls == second.calls == (SinkCall("replace", ()), SinkCall("upsert", WEB))

    assert run_async(main())


def test_it_says_what_it_holds():
    """Records are found by key, and listed sorted by key."""
    registry = MemoryRegistry()
    registry.replace([WEB, DB])
    assert WEB is registry.get("web.shop")
    assert registry.get("none") is None
    assert (DB, WEB) == registry.records()


def test_a_listing_that_raises_changes_nothing(run_async):
    """`replace` consumes its iterable before it changes anything (contracts, section 2)."""

    def broken():
        yield DB
        raise RuntimeError("half-way")

    async def main():
        registry = MemoryRegistry()
        registry.upsert(WEB)
        async with running(registry) as sink:
            with pytest.raises(RuntimeError, match="half-way"):
                registry.replace(broken())
            return sink.methods, registry.records()

    assert (("replace",), (WEB,)) == run_async(main())


def test_two_records_of_one_key_are_refused():
    """A listing that contradicts itself changes nothing and says which key."""
    registry = MemoryRegistry()
    with pytest.raises(ValueError, match=r"the key 'web\.shop'"):
        registry.replace([WEB, WEB2])
    assert () == registry.records()


@pytest.mark.parametrize("write", [MemoryRegistry.upsert, lambda r, item: r.replace([item])])
def test_what_is_no_record_is_refused(write):
    """The caller's mistake is raised where it is made."""
    with pytest.raises(TypeError, match="make one"):
        write(MemoryRegistry(), {"host": "web.shop"})


def test_writers_in_many_threads_lose_nothing(run_async):
    """Writes of several threads all arrive, and the sink ends with what the registry holds."""
    registry = MemoryRegistry()
    start = threading.Barrier(5)

    def write(number):
        start.wait()
        for step in range(40):
            registry.upsert(
                ServiceRecord.parse(f"s{step % 7}.shop", port=80, labels={"by": f"{number}-{step}"})
            )
            if step % 3 == 0:
                registry.remove(f"s{(step + number) % 7}.shop")

    async def main():
        async with running(registry) as sink:
            writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
            for writer in writers:
                writer.start()
            start.wait()
            for writer in writers:
                writer.join()
            return sink.records()

    assert {record.key: record for record in registry.records()} == {}
    held = run_async(main())
    assert {record.key: record for record in registry.records()} == held


def test_a_source_has_one_registry_from_the_first_question_on():
    """Asking before opening gives the object that is opened, which learns its options then."""
    memories = Memories()
    early = memories.get("mine")
    early.upsert(WEB)
    assert early is memories.open(MemoryConfig(manual=True), context(source_id="mine"))
    assert early is memories.get("mine")
    assert early is not memories.get("other")


def test_the_options_of_the_settings_count_when_it_is_opened(run_async):
    """`manual: true` holds for a registry that was written to before it was configured."""

    async def main():
        memories = Memories()
        memories.get("mine").upsert(WEB)
        registry = memories.open(MemoryConfig(manual=True), context(source_id="mine"))
        async with running(registry) as sink:
            return sink.calls

    assert () == run_async(main())
