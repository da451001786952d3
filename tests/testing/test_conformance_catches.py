"""The kit passes an adapter that keeps the contract, and fails one for each rule that it breaks."""

from __future__ import annotations

import asyncio
import runpy
import socket
import threading
import time
from pathlib import Path

import pytest
from attrs import frozen

from meshregistry.errors import RegistryUnavailable
from meshregistry.spi import RegistryKind
from meshregistry.testing import RegistryConformance

# Tests are no package, so what stands beside them is run for its names.
BESIDE = runpy.run_path(str(Path(__file__).with_name("conformance_store.py")))
Store, StoreRegistry, labelled = (BESIDE[one] for one in ("Store", "StoreRegistry", "labelled"))

EVERYTHING = (
    "atomic",
    "attempts",
    "credentials",
    "garble",
    "outage",
    "silence",
    "slow",
    "truncate",
    "wipe",
    "writes_in_outage",
)


@frozen(kw_only=True)
class StoreConfig:
    """Which store to follow."""

    store: Store


def kind_of(registry_class):
    """The kind of an adapter class."""
    return RegistryKind(
        name="store",
        config_class=StoreConfig,
        open=lambda config, context: registry_class(config.store, context),
    )


class Quick(RegistryConformance):
    """With times for a backend that answers at once."""

    capabilities = EVERYTHING
    settle = 0.05
    outage = 0.4
    slowness = 0.4
    # A program that never rests gets less than that only if ten others want the processor, too.
    cpu_share = 0.1
    changes = 2_000

    @pytest.fixture
    def backend(self):
        """An empty store."""
        return Store()

    def config(self, backend):
        """It needs nothing else."""
        return StoreConfig(store=backend)


class TestGoodAdapter(Quick):
    """Every rule, without a skip."""

    kind = kind_of(StoreRegistry)


# --- Adapters that break one rule each ----------------------------------------------------


class NeverSyncs(StoreRegistry):
    """Publishes record by record and never says that it is complete."""

    def publish(self, sink, entries):
        for record in self.converted(entries)[0]:
            sink.upsert(record)


class EmptyFirst(StoreRegistry):
    """Says that there is nothing, then what there is."""

    async def run(self, sink):
        sink.replace([])
        await super().run(sink)


class NamesFirst(StoreRegistry):
    """Publishes names, then their endpoints."""

    def publish(self, sink, entries):
        sink.replace([self.record(name, ()) for name, _ in entries])
        asyncio.get_running_loop().call_later(0.02, super().publish, sink, entries)


class Returns(StoreRegistry):
    """Lists once and is done."""

    async def run(self, sink):
        self.publish(sink, await self.read())


class SeesNoNews(StoreRegistry):
    """Publishes the first listing only."""

    async def wait(self, version):
        await asyncio.Event().wait()


class SeesNoChange(StoreRegistry):
    """Publishes what is new and what is gone, never what has changed."""

    async def run(self, sink):
        known = {}
        while True:
            version = self.store.version
            records, faults = self.converted(await self.read())
            known = {one.key: known.get(one.key, one) for one in records}
            sink.replace(known.values(), faulty=faults)
            await self.wait(version)


class HalfAChange(StoreRegistry):
    """Takes the endpoints away before it brings the new ones."""

    def publish(self, sink, entries):
        first = [self.record(name, (value or ())[:1]) for name, value in entries]
        if len(entries) > 1:
            sink.replace(first)
            asyncio.get_running_loop().call_later(0.02, super().publish, sink, entries)


class NeverRemoves(StoreRegistry):
    """Adds to what it knew."""

    def __init__(self, *words):
        super().__init__(*words)
        self.known = {}

    def publish(self, sink, entries):
        self.known.update(entries)
        super().publish(sink, self.known.items())


class CountsLooks(StoreRegistry):
    """Puts the number of the listing into a label."""

    patience = 0.01

    def record(self, name, addresses):
        return labelled(super().record(name, addresses), seen=str(self.store.asked))


class CountsWrites(StoreRegistry):
    """Puts the number of the write into a label."""

    def record(self, name, addresses):
        record = super().record(name, addresses)
        is_rewritten = name == "equal-1" and self.store.version > 1
        return labelled(record, version=str(self.store.version)) if is_rewritten else record


class FlapsOnRestart(StoreRegistry):
    """Begins each attempt with an empty listing."""

    async def run(self, sink):
        entries = await self.read()
        if self.store.asked > 1:
            sink.replace([])
            await asyncio.sleep(0.01)
        self.publish(sink, entries)
        await super().run(sink)


class DropsMalformed(StoreRegistry):
    """Passes over what it cannot read."""

    def converted(self, entries):
        return super().converted(entries)[0], []


class OneForAll(StoreRegistry):
    """Refuses the listing for one record."""

    def converted(self, entries):
        records, faults = super().converted(entries)
        if faults:
            raise RegistryUnavailable(str(faults[0]))
        return records, faults


class EmptyOnOutage(StoreRegistry):
    """Takes an error for an empty listing, and then tells of it."""

    async def run(self, sink):
        try:
            await super().run(sink)
        except RegistryUnavailable:
            sink.replace([])
            raise


class RaisesItsOwn(StoreRegistry):
    """Lets the errors of its client through."""

    async def read(self):
        return [entry async for entry in self.store.listing()]


class FindsNoDeletions(StoreRegistry):
    """Goes on after an outage from what it knew before it."""

    def publish(self, sink, entries):
        self.store.known.update(entries)
        super().publish(sink, self.store.known.items())


class Storm(StoreRegistry):
    """Tries again at once."""

    async def run(self, sink):
        while True:
            try:
                await super().run(sink)
            except RegistryUnavailable as error:
                sink.degrade(error)
                await asyncio.sleep(0.001)


class Spins(StoreRegistry):
    """Waits for the backend by looking all the time."""

    async def run(self, sink):
        while True:
            try:
                await super().run(sink)
            except RegistryUnavailable as error:
                sink.degrade(error)
                while self.store.trouble is not None:  # noqa: ASYNC110 - that is its fault
                    await asyncio.sleep(0)


class HalfListing(StoreRegistry):
    """Publishes what has come when the listing breaks off, and then tells of it."""

    async def run(self, sink):
        while True:
            version, entries = self.store.version, []
            try:
                async for entry in self.store.listing():
                    entries.append(entry)  # noqa: PERF401 - kept when the listing breaks off
            except EOFError as error:
                self.publish(sink, entries)
                raise RegistryUnavailable("the listing broke off; try again") from error
            self.publish(sink, entries)
            await self.wait(version)


class Patient(StoreRegistry):
    """Waits for ever on a silent connection."""

    patience = None


class Blocks(StoreRegistry):
    """Waits for the backend on the loop."""

    async def read(self):
        time.sleep(1.5 * self.store.delay)  # noqa: ASYNC251 - that is its fault
        return await super().read()


class NoAuthError(StoreRegistry):
    """Takes refused credentials for an outage."""

    async def read(self):
        try:
            return [entry async for entry in self.store.listing()]
        except OSError as error:
            raise RegistryUnavailable("something is wrong; try again") from error


class WaitsForMore(StoreRegistry):
    """Believes that versions only grow."""

    async def run(self, sink):
        known = -1
        while True:
            if self.store.version > known:
                known = self.store.version
                self.publish(sink, await self.read())
            await self.wait(known)
            await asyncio.sleep(0.01)


class Lingers(StoreRegistry):
    """Takes its time to end, whatever it does."""

    async def run(self, sink):
        try:
            try:
                await super().run(sink)
            except RegistryUnavailable as error:
                sink.degrade(error)
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0.4)
            raise


class LeavesTask(StoreRegistry):
    """Starts a task that nobody ends."""

    async def run(self, sink):
        task = asyncio.create_task(asyncio.Event().wait())
        self.store.left.append(task.done)
        await super().run(sink)


class LeavesThread(StoreRegistry):
    """Starts a thread that nobody ends."""

    async def run(self, sink):
        end = threading.Event()
        self.store.left.append(end.set)
        threading.Thread(target=end.wait, daemon=True).start()
        await super().run(sink)


class LeavesSocket(StoreRegistry):
    """Opens a socket that nobody closes."""

    async def run(self, sink):
        self.store.left.append(socket.socket().close)
        await super().run(sink)


class Remembers(StoreRegistry):
    """Keeps every listing."""

    def publish(self, sink, entries):
        self.store.left.append(self.converted(entries)[0].clear)
        super().publish(sink, entries)


class RaisesAside(StoreRegistry):
    """Raises where nobody looks."""

    async def run(self, sink):
        def fail():
            raise KeyError("aside")

        asyncio.get_running_loop().call_soon(fail)
        await super().run(sink)


CATCHES = [
    (
        NeverSyncs,
        "nothing_is_published_before_the_listing_is_complete",
        "the start gate is open: not within",
    ),
    (
        EmptyFirst,
        "nothing_is_published_before_the_listing_is_complete",
        "synced before its listing was complete",
    ),
    (
        NamesFirst,
        "nothing_is_published_before_the_listing_is_complete",
        "synced before its listing was complete",
    ),
    (Returns, "a_backend_without_news_leaves_the_source_synced", "attempt"),
    (CountsLooks, "a_backend_without_news_leaves_the_source_synced", "the catalog changes"),
    (RaisesAside, "a_backend_without_news_leaves_the_source_synced", "nobody handled.*aside"),
    (SeesNoNews, "a_new_record_arrives", "'new-2' should be"),
    (SeesNoChange, "a_change_arrives", "'change-2' should be"),
    (HalfAChange, "a_change_arrives", "half a change"),
    (NeverRemoves, "a_removed_record_goes_and_no_other", "the removed record is gone: not within"),
    (CountsWrites, "equal_input_publishes_nothing", "equal input was published"),
    (FlapsOnRestart, "a_new_attempt_keeps_the_data", "missing for a while"),
    (DropsMalformed, "a_malformed_record_harms_no_other", "is reported.*not within"),
    (OneForAll, "a_malformed_record_harms_no_other", "is reported.*not within"),
    (DropsMalformed, "a_record_malformed_from_the_start_harms_no_other", "nobody is told"),
    (
        OneForAll,
        "a_record_malformed_from_the_start_harms_no_other",
        "the start gate is open: not within",
    ),
    (EmptyOnOutage, "an_outage_keeps_the_data", "took data away"),
    (RaisesItsOwn, "an_outage_keeps_the_data", "no RegistryError"),
    (EmptyOnOutage, "a_start_in_an_outage_publishes_nothing", "taken for an empty backend"),
    (FindsNoDeletions, "changes_made_in_an_outage_arrive_after_it", "in the outage is gone: not"),
    (Storm, "an_outage_costs_little", "a retry storm"),
    (Spins, "an_outage_costs_little", "kept the processor busy"),
    (HalfListing, "a_half_read_listing_publishes_nothing", "published as a complete one"),
    (Patient, "a_silent_connection_is_given_up", "'silent-2' should be"),
    (Blocks, "a_slow_backend_delays_and_does_not_block", "the loop stood still"),
    (NoAuthError, "refused_credentials_are_retried_slowly", "raise RegistryAuthError: not within"),
    (WaitsForMore, "a_backend_that_lost_its_state_is_believed", "not within"),
    (Lingers, "leaving_is_prompt", "took"),
    (Lingers, "leaving_in_an_outage_is_prompt", "took"),
    (Lingers, "leaving_a_slow_backend_is_prompt", "took"),
    (LeavesTask, "nothing_is_left_behind", r"task\(s\) behind"),
    (LeavesThread, "nothing_is_left_behind", r"thread\(s\) behind"),
    (LeavesSocket, "nothing_is_left_behind", r"socket or file\(s\) behind"),
    (Remembers, "memory_stays_flat", "keeps something of each"),
]


def case_of(registry_class, **words):
    """A test class for an adapter."""
    return type("Case", (Quick,), {"kind": kind_of(registry_class), **words})()


@pytest.mark.parametrize(
    ("broken", "rule", "words"), CATCHES, ids=[f"{one.__name__}-{rule}" for one, rule, _ in CATCHES]
)
def test_a_broken_adapter_fails_the_rule_that_it_breaks(broken, rule, words):
    """The failure says what the adapter did."""
    backend = Store()
    # Most never do what is awaited; one does it late.
    latency = 5.0 if broken is Blocks else 1.0
    case = case_of(broken, latency=latency, promptness=0.25 if broken is Lingers else 1.0)
    try:
        with pytest.raises(AssertionError, match=words):
            getattr(case, f"test_{rule}")(backend)
    finally:
        for left in backend.left:
            left()


def test_every_rule_is_broken_by_somebody():
    """No rule of the kit is one that cannot fail."""
    rules = {name for name in dir(RegistryConformance) if name.startswith("test_")}
    assert rules == {f"test_{rule}" for _, rule, _ in CATCHES}


def test_a_misspelt_capability_is_an_error():
    """It is found when the class is made, and the right words are listed."""
    with pytest.raises(TypeError, match=r"no capability 'outtage'; use some of .*outage"):
        case_of(StoreRegistry, capabilities=("outtage",))


def test_a_capability_without_its_method_is_an_error():
    """What is promised must be there."""

    class Bare:
        put = remove = print

    case = case_of(StoreRegistry, capabilities=("wipe",))
    with pytest.raises(TypeError, match="Bare has no method wipe, which the capability 'wipe'"):
        case.test_a_new_record_arrives(Bare())


def test_a_backend_that_does_not_say_what_to_expect_is_an_error():
    """`put` returns the record that the adapter should publish."""

    class Silent(Store):
        def put(self, record):
            super().put(record)

    with pytest.raises(TypeError, match=r"backend\.put returned None"):
        case_of(StoreRegistry).test_a_new_record_arrives(Silent())


def test_a_skip_names_the_missing_capability():
    """Whoever reads the report knows what to add."""
    case = case_of(StoreRegistry, capabilities=("outage",))
    with pytest.raises(
        pytest.skip.Exception, match=r"Case lacks the capability 'writes_in_outage'"
    ):
        case.test_changes_made_in_an_outage_arrive_after_it(Store())


def test_a_backend_may_be_a_context():
    """It is entered on the loop of the test, left after it, and its methods may be coroutines."""
    seen = []

    class Entered(Store):
        async def __aenter__(self):
            seen.append(asyncio.get_running_loop().is_running())
            return self

        async def __aexit__(self, *exc_info):
            seen.append("left")

        async def put(self, record):
            return super().put(record)

    case_of(StoreRegistry).test_a_new_record_arrives(Entered())
    assert [True, "left"] == seen


def test_what_the_author_must_give_is_said():
    """A class without a configuration says what it lacks."""
    case = type("Case", (RegistryConformance,), {"kind": kind_of(StoreRegistry)})()
    with pytest.raises(NotImplementedError, match=r"Case needs a method config\(self, backend\)"):
        case.test_a_new_record_arrives(Store())
