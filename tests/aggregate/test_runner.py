"""Attempts: opened anew, restarted with back-off, ended for good (contracts, section 2)."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager

import pytest

from meshregistry.errors import (
    RecordError,
    RegistryAuthError,
    RegistryProtocolError,
    RegistryUnavailable,
)
from meshregistry.model import ServiceRecord

CART = ServiceRecord.parse("cart.shop", port=80, endpoints=["10.0.0.1:80"])
GONE = RegistryUnavailable("the connection is lost")


def test_for_each_attempt_the_core_calls_open_again(run_async, kit):
    """After a failure a new registry is made, and its sink is a new one."""
    one = kit.Scripted("a", kit.raising(GONE), kit.raising(GONE), kit.listing(CART))

    async def main():
        watched = kit.Watched(one)
        async with watched.supervisor:
            await watched.clock.advance(0.5)
            assert len(one.sinks) == 1
            await watched.clock.advance(1.0)
            assert len(one.sinks) == 2
            await watched.clock.advance(2.0)
            assert len(one.sinks) == 3
            assert watched.hosts == ["cart.shop"]
            assert watched.status().attempts == 3

    run_async(main())
    assert len(set(map(id, one.contexts))) == 1


def test_returning_while_not_cancelled_is_a_protocol_error_and_is_restarted(run_async, kit):
    """The data of the listing before stays, as STALE."""

    async def returning(sink, context):
        sink.replace([CART])

    one = kit.Scripted("a", returning, kit.wait)

    async def main():
        watched = kit.Watched(one)
        async with watched.supervisor:
            await watched.rest()
            assert watched.told == [("a", "SYNCED"), ("a", "STALE")]
            assert isinstance(watched.status().error, RegistryProtocolError)
            assert watched.hosts == ["cart.shop"]
            await watched.clock.advance(1.0)
            assert len(one.sinks) == 2

    run_async(main())


def test_an_exception_outside_the_tree_is_a_fault_with_one_traceback(run_async, kit, caplog):
    """FAILED, slow retry; the second time there is no line at all until an hour has passed."""
    one = kit.Scripted("a", kit.raising(ZeroDivisionError("bug")))

    async def main():
        watched = kit.Watched(one)
        async with watched.supervisor:
            await watched.clock.advance(59.0)
            assert watched.told == [("a", "FAILED")]
            assert len(one.sinks) == 1
            await watched.clock.advance(1.0)
            assert len(one.sinks) == 2
            await watched.clock.advance(4000.0)

    run_async(main())
    errors = [logged for logged in caplog.records if logged.levelname == "ERROR"]
    assert [bool(logged.exc_info) for logged in errors] == [True, False]
    assert "ZeroDivisionError: bug" in errors[0].getMessage()


def test_refused_credentials_fail_the_source_and_retry_slowly(run_async, kit):
    """The data stays."""
    refused = RegistryAuthError("the token is refused")
    one = kit.Scripted("a", kit.raising(refused, CART), kit.wait)

    async def main():
        watched = kit.Watched(one)
        async with watched.supervisor:
            await watched.clock.advance(59.0)
            assert watched.told == [("a", "SYNCED"), ("a", "FAILED")]
            assert watched.hosts == ["cart.shop"]
            assert len(one.sinks) == 1
            await watched.clock.advance(2.0)
            assert len(one.sinks) == 2

    run_async(main())


def test_back_off_resets_after_the_first_replace(run_async, kit):
    """An attempt that has listed fails as if it were the first."""
    one = kit.Scripted(
        "a", *[kit.raising(GONE)] * 3, kit.raising(GONE, CART), kit.raising(GONE), kit.wait
    )

    async def main():
        watched = kit.Watched(one)
        async with watched.supervisor:
            await watched.clock.advance(1.0 + 2.0 + 4.0)
            assert len(one.sinks) == 4
            await watched.clock.advance(1.0)
            assert len(one.sinks) == 5

    run_async(main())


def test_a_registry_that_cannot_be_opened_is_retried(run_async, kit):
    """Whatever `open` raises is sorted as if `run` had raised it."""
    one = kit.Scripted("a")
    answers = [GONE]
    inner = one.open

    def failing(context):
        if answers:
            raise answers.pop()
        return inner(context)

    object.__setattr__(one.source, "open", failing)

    async def main():
        watched = kit.Watched(one)
        async with watched.supervisor:
            await watched.rest()
            assert watched.told == [("a", "STALE")]
            await watched.clock.advance(1.0)
            assert len(one.sinks) == 1

    run_async(main())


class Panic(BaseException):
    """As bindings of other languages raise it."""


@pytest.mark.parametrize("leaked", [asyncio.CancelledError(), SystemExit(3), Panic("index 7")])
def test_a_registry_cannot_end_the_server(run_async, kit, leaked):
    """A leaked cancellation, an exit or a panic is a fault like any other."""
    one = kit.Scripted("a", kit.raising(leaked), kit.listing(CART))

    async def main():
        watched = kit.Watched(one)
        async with watched.supervisor:
            await watched.rest()
            assert watched.told == [("a", "FAILED")]
            await watched.clock.advance(60.0)
            assert watched.hosts == ["cart.shop"]

    run_async(main())


def test_one_client_serves_all_attempts(run_async, kit):
    """It is opened once per source, and closed when the source is left."""
    events = []

    @asynccontextmanager
    async def connect(context):
        events.append("open")
        yield "client"
        events.append("close")

    async def use(sink, context):
        events.append(context.client)
        raise GONE

    async def main():
        watched = kit.Watched(kit.Scripted("a", use, use, kit.wait, connect=connect))
        async with watched.supervisor:
            await watched.clock.advance(5.0)
            assert events == ["open", "client", "client"]

    run_async(main())
    assert events == ["open", "client", "client", "close"]


@pytest.mark.parametrize("error", [ValueError("already closed"), SystemExit(3), Panic("index 7")])
def test_a_client_that_cannot_be_made_is_retried(run_async, kit, caplog, error):
    """And one that cannot be closed is logged."""
    answers = [GONE]

    @asynccontextmanager
    async def connect(context):
        if answers:
            raise answers.pop()
        yield "client"
        raise error

    async def main():
        watched = kit.Watched(kit.Scripted("a", kit.listing(CART), connect=connect))
        async with watched.supervisor:
            await watched.rest()
            assert watched.told == [("a", "STALE")]
            await watched.clock.advance(1.0)
            assert watched.hosts == ["cart.shop"]

    run_async(main())
    assert caplog.records[-1].getMessage() == "source a: the client could not be closed"
    assert caplog.records[-1].exc_info[1] is error


def test_a_sink_of_an_ended_run_is_silent(run_async, kit):
    """Its calls are counted as ignored, also after everything has been left."""
    one = kit.Scripted("a", kit.raising(GONE, CART), kit.listing(CART))

    async def main():
        watched = kit.Watched(one)
        async with watched.supervisor:
            await watched.clock.advance(1.0)
            one.sinks[0].replace([])
            assert watched.hosts == ["cart.shop"]
            assert watched.status().counters == {"ignored_calls": 1}
        one.sink.replace([])
        assert watched.hosts == ["cart.shop"]
        return watched

    watched = run_async(main())
    one.sink.remove(CART.key)
    assert watched.status().counters == {"ignored_calls": 3}


def test_faults_of_records_are_logged_on_change(run_async, kit, caplog):
    """Each with its key; the same again is not."""

    async def script(sink, context):
        sink.replace([CART], faulty=[RecordError("no port", key="pay")])
        sink.degrade(RecordError("no port", key="pay"))
        sink.degrade(RecordError("no host", key="pay"))
        sink.degrade(GONE)
        sink.degrade(GONE)
        await asyncio.Event().wait()

    async def main():
        watched = kit.Watched(kit.Scripted("a", script))
        async with watched.supervisor:
            await watched.rest()

    run_async(main())
    assert [logged.getMessage() for logged in caplog.records] == [
        "source a: record 'pay' of a: no port; its last good version is kept",
        "source a: record 'pay' of a: no host; its last good version is kept",
        "source a: the connection is lost; the data of a is kept",
    ]


def test_leaving_waits_5_s_for_a_thread_and_then_names_it(run_async, kit):
    """The warning says source and function; the server leaves all the same."""
    go = threading.Event()

    async def stuck(sink, context):
        await context.in_thread(go.wait)

    async def main():
        watched = kit.Watched(kit.Scripted("a", stuck))
        await watched.supervisor.__aenter__()
        await watched.rest()
        leaving = asyncio.ensure_future(watched.supervisor.__aexit__(None, None, None))
        await watched.clock.advance(4.9)
        assert not leaving.done()
        await watched.clock.advance(0.2)
        with pytest.raises(ResourceWarning, match=r"source 'a': Event\.wait is still running"):
            await leaving

    run_async(main())
    go.set()


def test_leaving_waits_for_a_thread_that_ends_in_time(run_async, kit):
    """Without a warning."""
    go = threading.Event()

    async def blocked(sink, context):
        await context.in_thread(go.wait)

    async def main():
        watched = kit.Watched(kit.Scripted("a", blocked))
        async with watched.supervisor:
            await watched.rest()
            asyncio.get_running_loop().call_later(0, go.set)

    run_async(main())


def test_leaving_names_a_registry_that_ignores_its_cancellation(run_async, kit):
    """It is waited for as long as a thread is."""
    end = asyncio.Event()

    async def stubborn(sink, context):
        while not end.is_set():
            try:
                await end.wait()
            except asyncio.CancelledError:
                continue

    async def main():
        watched = kit.Watched(kit.Scripted("a", stubborn))
        await watched.supervisor.__aenter__()
        await watched.rest()
        leaving = asyncio.ensure_future(watched.supervisor.__aexit__(None, None, None))
        await watched.clock.advance(5.0)
        with pytest.raises(ResourceWarning, match=r"source 'a': Attempt\.run is still running"):
            await leaving
        end.set()

    run_async(main())


def test_leaving_cancels_a_registry_once(run_async, kit):
    """What it awaits while it closes its client is not interrupted."""
    closed = []

    async def careful(sink, context):
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(3):
                await asyncio.sleep(0)
            closed.append(True)

    async def main():
        watched = kit.Watched(kit.Scripted("a", careful))
        async with watched.supervisor:
            await watched.rest()

    run_async(main())
    assert [True] == closed
