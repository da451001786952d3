"""What the core gives an adapter."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest

from meshregistry.aggregate._context import SourceContext, SourceLogger
from meshregistry.model import SourceId
from meshregistry.testing import ManualClock

if TYPE_CHECKING:
    from meshregistry.spi import RegistryContext

DC = SourceId("dc")


@pytest.fixture
def declared():
    """The parts that were declared."""
    return []


@pytest.fixture
def context(declared):
    """The context of one source."""
    made = SourceContext(
        source_id=DC,
        logger=SourceLogger(logging.getLogger("meshregistry.aggregate"), DC),
        clock=ManualClock(),
        random=Random(1),
        mesh_domain="mesh.local",
        base_path=Path("settings"),
        user_agent="meshregistry/test",
        declare=declared.append,
    )
    kept: RegistryContext = made
    return kept


def test_a_blocking_call_runs_in_a_daemon_thread_of_the_source(run_async, context):
    """Named after source and function, with the caller's context variables."""
    variable = contextvars.ContextVar("variable")

    def work(one, *, two):
        thread = threading.current_thread()
        return thread.daemon, "dc" in thread.name, one, two, variable.get()

    async def main():
        variable.set("here")
        return await context.in_thread(work, 1, two=2)

    assert run_async(main()) == (True, True, 1, 2, "here")


def test_an_error_in_the_thread_goes_to_who_awaits_it(run_async, context):
    """Ones that would stop the loop or that a future refuses are wrapped."""

    def work(error):
        raise error

    async def main():
        with pytest.raises(KeyError):
            await context.in_thread(work, KeyError("k"))
        for error in (SystemExit(1), StopIteration()):
            with pytest.raises(RuntimeError, match="in a thread"):
                await context.in_thread(work, error)

    run_async(main())


def test_a_call_that_has_ended_is_not_running(run_async, context):
    """Not even before the loop has told those who wait for its end."""

    async def main():
        await context.in_thread(str)
        for ended in context.running:
            while not ended.done():  # noqa: ASYNC110 - the turn in which it ends is meant
                await asyncio.sleep(0)
        assert context.running == {}

    run_async(main())


def test_a_call_that_nobody_awaits_any_more_ends_quietly(run_async, context):
    """Cancelling the wait leaves the thread; its result or error is dropped."""
    go = threading.Event()

    def work():
        go.wait()
        raise ValueError

    async def main():
        for call in (work, go.wait):
            waiting = asyncio.ensure_future(context.in_thread(call))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
        assert sorted(context.running.values()) == ["Event.wait", work.__qualname__]
        ended = list(context.running)
        go.set()
        await asyncio.wait(ended)
        assert context.running == {}

    run_async(main())


def test_a_call_that_outlives_the_loop_ends_quietly(run_async, context):
    """There is nobody left to be told."""
    go, begun = threading.Event(), threading.Event()
    threads = []

    def work():
        threads.append(threading.current_thread())
        begun.set()
        go.wait()

    async def main():
        context.in_thread(work)
        assert begun.wait(timeout=5)

    run_async(main())
    go.set()
    threads[0].join()
    assert not threads[0].is_alive()


def test_parts_are_declared_as_a_copy(context, declared):
    """In order of precedence."""
    names = iter(["west", "east"])
    context.parts(names)
    assert declared == [("west", "east")]


def test_counters_add_up(context):
    """From any thread."""
    context.count("requests")
    context.count("requests", 4)
    thread = threading.Thread(target=context.count, args=["errors"])
    thread.start()
    thread.join()
    assert context.counts == {"requests": 5, "errors": 1}


def test_the_logger_says_which_source(context, caplog):
    """In the text for people and as a field for machines."""
    context.logger.warning("no %s", "answer", extra={"attempt": 2})
    (logged,) = caplog.records
    assert logged.getMessage() == "source dc: no answer"
    assert (logged.source, logged.attempt) == ("dc", 2)
