"""The way onto the loop keeps the order of each thread's calls."""

from __future__ import annotations

import asyncio
import threading

import pytest

from meshregistry.aggregate._inbox import Inbox


def in_thread(call):
    """Run a call in a thread and wait for it, with the loop standing still."""
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


@pytest.fixture
def done():
    """What was carried out, in order."""
    return []


@pytest.fixture
def faults():
    """What calls have raised."""
    return []


@pytest.fixture
def inbox(faults):
    """An inbox that is not open yet."""
    return Inbox(faults.append)


def test_calls_from_the_loops_own_thread_are_carried_out_at_once(run_async, inbox, done):
    """The caller sees their effect when `post` returns."""

    async def main():
        inbox.open()
        assert inbox.post(lambda: done.append(1))
        assert done == [1]

    run_async(main())


def test_calls_from_a_thread_are_carried_out_by_the_loop_in_order(run_async, inbox, done):
    """Not in the thread."""

    async def main():
        inbox.open()
        here = threading.get_ident()
        in_thread(
            lambda: [inbox.post(lambda n=n: done.append((n, threading.get_ident()))) for n in "abc"]
        )
        assert done == []
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert done == [("a", here), ("b", here), ("c", here)]

    run_async(main())


def test_a_call_on_the_loop_comes_after_what_threads_have_posted(run_async, inbox, done):
    """So a hand-over from a thread to the loop keeps its order, however it is made."""

    async def main():
        inbox.open()
        in_thread(lambda: inbox.post(lambda: done.append("thread")))
        inbox.post(lambda: done.append("loop"))
        assert done == ["thread", "loop"]

    run_async(main())


def test_a_call_that_posts_waits_for_a_later_turn(run_async, inbox, done):
    """Nothing is carried out within something else."""

    async def main():
        inbox.open()

        def outer():
            inbox.post(lambda: done.append("inner"))
            done.append("outer")

        inbox.post(outer)
        assert done == ["outer"]
        await asyncio.sleep(0)
        assert done == ["outer", "inner"]

    run_async(main())


def test_a_call_that_raises_is_reported_and_the_next_is_carried_out(run_async, inbox, done, faults):
    """A fault of the core never reaches the adapter that happened to call."""

    async def main():
        inbox.open()
        fault = ZeroDivisionError()

        def bad():
            raise fault

        in_thread(lambda: (inbox.post(bad), inbox.post(lambda: done.append(1))))
        inbox.drain()
        assert faults == [fault]
        assert done == [1]

    run_async(main())


def test_a_closed_inbox_accepts_nothing(run_async, inbox, done):
    """Neither before it was opened nor after it was closed; what came before is carried out."""

    async def main():
        assert not inbox.post(lambda: done.append("early"))
        inbox.open()
        in_thread(lambda: inbox.post(lambda: done.append("in time")))
        inbox.close()
        assert not inbox.post(lambda: done.append("late"))
        assert done == ["in time"]

    run_async(main())


def test_a_closed_loop_accepts_nothing(run_async, inbox, done):
    """A loop that ended without closing its inbox is not called any more."""

    async def main():
        inbox.open()

    run_async(main())
    assert not inbox.post(lambda: done.append(1))
    assert done == []


def test_a_loop_that_closes_during_the_call_accepts_nothing(run_async, inbox, done):
    """Its end races with its threads; whoever loses is told."""

    class Closing:
        def is_closed(self):
            return False

        def call_soon_threadsafe(self, call):
            raise RuntimeError

    async def main():
        inbox.open()

    run_async(main())
    inbox._loop = Closing()
    answers = []
    in_thread(lambda: answers.append(inbox.post(lambda: done.append(1))))
    assert answers == [False]
