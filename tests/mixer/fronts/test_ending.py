"""A stream that is told to end is read until it is quiet."""

from __future__ import annotations

import asyncio
import gc

import pytest

from meshregistry.mixer.fronts._ending import until_quiet
from meshregistry.testing import run_async


class Messages:
    """A stream of a client: what a test sends; it never ends by itself."""

    def __init__(self):
        self.sent = asyncio.Queue()
        self.cancelled = 0

    def __aiter__(self):
        return self

    async def __anext__(self):
        try:
            message = await self.sent.get()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if message is None:
            raise StopAsyncIteration
        return message


def test_a_client_ends_its_stream():
    """As ever; nothing is left behind."""

    async def main():
        messages = Messages()
        for one in (1, 2, None):
            messages.sent.put_nowait(one)
        return [one async for one in until_quiet(messages, asyncio.Event())]

    assert run_async(main()) == [1, 2]


def test_what_is_on_its_way_is_read():
    """Before the end and after it was told; then nobody reads any more."""

    async def main():
        messages, ending, found = Messages(), asyncio.Event(), []
        messages.sent.put_nowait(1)
        async for one in until_quiet(messages, ending, quiet=0.05, longest=60):
            found.append(one)
            if one == 1:
                ending.set()
                messages.sent.put_nowait(2)
        return found, messages.cancelled

    assert run_async(main()) == ([1, 2], 1)


def test_a_stream_that_is_never_quiet():
    """It ends nevertheless."""

    async def main():
        messages, ending, count = Messages(), asyncio.Event(), 0
        ending.set()
        messages.sent.put_nowait(0)
        async for one in until_quiet(messages, ending, quiet=60, longest=0.05):
            count += 1
            await asyncio.sleep(0.001)
            messages.sent.put_nowait(one)
        return count

    assert run_async(main()) > 1


def test_whoever_reads_may_give_up():
    """Then nothing goes on in the background."""

    async def main():
        messages = Messages()

        async def read():
            async for _ in until_quiet(messages, asyncio.Event()):
                pass

        task = asyncio.create_task(read())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert run_async(main()) == set()


class Broken(Messages):
    """A stream whose connection is gone: whoever is told to stop reading hears of that."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    async def __anext__(self):
        try:
            return await super().__anext__()
        except asyncio.CancelledError:
            raise self.error from None


@pytest.mark.parametrize("error", [StopAsyncIteration(), ConnectionError("reset by peer")])
@pytest.mark.parametrize("given_up", [False, True], ids=["quiet", "given up"])
def test_what_becomes_of_the_last_reading_is_not_left_to_the_loop(error, given_up):
    """Neither its end nor its error: the loop would tell of an exception that nobody took."""
    told = []

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        messages, ending = Broken(error), asyncio.Event()

        async def read():
            return [one async for one in until_quiet(messages, ending, quiet=0.01)]

        task = asyncio.create_task(read())
        await asyncio.sleep(0)
        if given_up:
            task.cancel()
        else:
            ending.set()
        await asyncio.wait((task,))
        del task
        gc.collect()
        return messages.cancelled

    assert run_async(main()) == 1
    assert told == []
