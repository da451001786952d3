"""One rule source: attempts, what its sink takes, and what becomes of it after failures."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import asynccontextmanager
from random import Random

import pytest

from meshregistry.aggregate import Backoff, Schedule, SourceLogger
from meshregistry.documents import RuleUnit
from meshregistry.errors import RegistryUnavailable
from meshregistry.pilot._rule_feeds import RuleFeed
from meshregistry.pilot._rule_runner import RuleRunner, RuleSourceContext
from meshregistry.registries import FileConfig
from meshregistry.spi import Condition, RuleSourceKind

ONE = "apiVersion: g/v1\nkind: K\nmetadata: {name: one}\n"
TWO = ONE.replace("one", "two")
AT_ONCE = Schedule(first=0.0, highest=0.0)


class Clock:
    """Time that passes at once."""

    def now(self):
        return 0.0

    async def sleep(self, seconds):
        del seconds
        await asyncio.sleep(0)


class Followed:
    """A runner whose attempts are the given coroutine functions; the last one waits for ever."""

    def __init__(self, *attempts, connect=None):
        self.listings = []
        self._attempts = iter(attempts)
        self.context = RuleSourceContext(
            source_id="r",
            logger=SourceLogger(logging.getLogger("meshregistry.pilot"), "r"),
            clock=Clock(),
            random=Random(1),
            mesh_domain="mesh.local",
            base_path=None,
            user_agent="x",
            declare=lambda _: None,
        )
        kind = RuleSourceKind(name="k", config_class=FileConfig, open=lambda *_: self)
        self.runner = RuleRunner(
            RuleFeed(id="r", kind=kind, config=None, connect=connect),
            self.context,
            backoff=Backoff(Random(1), soon=AT_ONCE, slowly=AT_ONCE),
            publish=self.listings.append,
        )

    async def run(self, sink):
        attempt = next(self._attempts, None)
        if attempt is None:
            await asyncio.Event().wait()
        await attempt(sink)

    @property
    def names(self):
        """The names of the documents of each publication."""
        return [[one.key.name for one in listing.documents] for listing in self.listings]


def follow(run_async, followed):
    """Run it until nothing happens any more."""

    async def main():
        task = asyncio.create_task(followed.runner.run())
        for _ in range(50):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run_async(main())


def test_what_comes_before_the_listing_is_held_and_laid_over_it(run_async):
    """So that a watch may begin before the listing ends."""

    async def attempt(sink):
        sink.put(RuleUnit.of_text("b", TWO))
        sink.remove("a")
        sink.confirm()
        sink.replace([RuleUnit.of_text("a", ONE)])
        sink.put(RuleUnit.of_text("a", ONE))
        sink.remove("b")
        await asyncio.Event().wait()

    followed = Followed(attempt)
    follow(run_async, followed)
    assert followed.names == [["two"], ["one", "two"], ["one"]]
    assert followed.runner.condition is Condition.SYNCED


def test_an_attempt_that_fails_keeps_what_is_known(run_async, caplog):
    """And is told once, however often it fails."""

    async def good(sink):
        sink.replace([RuleUnit.of_text("a", ONE)])
        raise RegistryUnavailable("gone away")

    async def bad(_sink):
        raise RegistryUnavailable("gone away")

    followed = Followed(good, bad, bad)
    follow(run_async, followed)
    assert followed.names == [["one"]]
    assert followed.runner.condition is Condition.STALE
    assert [one.message for one in caplog.records] == ["source r: gone away; its rules are kept"]


@pytest.mark.parametrize("is_fault", [True, False])
def test_a_fault_of_a_plugin_is_told_from_its_return(run_async, is_fault):
    """Both are restarted."""

    async def attempt(_sink):
        if is_fault:
            raise KeyError("x")

    followed = Followed(attempt)
    follow(run_async, followed)
    expected = Condition.FAILED if is_fault else Condition.STALE
    assert followed.runner.condition is expected
    assert ("at fault" if is_fault else "returned") in str(followed.runner.error)


def test_a_degraded_source_is_mended_by_a_confirmation(run_async):
    """Its documents were there all the time."""

    async def attempt(sink):
        sink.replace([])
        sink.degrade(RegistryUnavailable("slow"))
        assert followed.runner.condition is Condition.STALE
        sink.confirm()
        await asyncio.Event().wait()

    followed = Followed(attempt)
    follow(run_async, followed)
    assert (followed.runner.condition, followed.runner.error) == (Condition.SYNCED, None)


def test_a_sink_of_an_ended_attempt_does_nothing(run_async):
    """Also from another thread, and whatever it is given."""
    sinks = []

    async def attempt(sink):
        sinks.append(sink)
        sink.replace([])
        raise RegistryUnavailable("gone")

    async def late(sink):
        thread = threading.Thread(target=sinks[0].replace, args=([RuleUnit.of_text("a", ONE)],))
        thread.start()
        thread.join()
        sinks[0].replace(1 // 0 for _ in range(1))
        other = threading.Thread(target=sink.replace, args=([RuleUnit.of_text("b", TWO)],))
        other.start()
        other.join()
        await asyncio.Event().wait()

    followed = Followed(attempt, late)
    follow(run_async, followed)
    assert followed.names == [[], ["two"]]


def test_the_client_is_opened_once(run_async):
    """And closed at the end."""
    seen = []

    @asynccontextmanager
    async def connect(_context):
        seen.append("opened")
        try:
            yield "client"
        finally:
            seen.append("closed")

    async def attempt(_sink):
        seen.append(followed.context.client)
        raise RegistryUnavailable("gone")

    followed = Followed(attempt, attempt, connect=connect)
    follow(run_async, followed)
    assert seen == ["opened", "client", "client", "closed"]
