"""Configurations are exchanged without losing a request."""

from __future__ import annotations

import asyncio

import pytest

from meshregistry.errors import MixerUnavailable
from meshregistry.mixer.spi import CheckAnswer

INSTANCE = "compiledTemplate: checknothing"
RULE = (
    "apiVersion: config.istio.io/v1alpha2\nkind: rule\n"
    "metadata: {{name: {name}, namespace: istio-system}}\n"
    "spec: {{actions: [{{handler: {name}, instances: [i]}}]}}\n"
)


@pytest.fixture
def documents(document, handler):
    """A handler that is asked by every check, with a word in its parameters."""

    def write(name="a", word=""):
        return (
            handler(name, word=word),
            document("instance", "i", INSTANCE),
            document("rule", "r", f"actions: [{{handler: {name}, instances: [i]}}]"),
        )

    return write


class TestSwap:
    """From one configuration to the next."""

    def test_what_did_not_change_goes_on_running(self, run_async, bench, documents, tracked):
        """An equal handler is not opened again; another word is another handler."""

        async def main():
            engine = await bench.start(*documents())
            await engine.swap(bench.snapshot(*documents()))
            assert bench.asked("start") == ["a"]
            await engine.swap(bench.snapshot(*documents(word="other")))
            assert bench.asked("start") == ["a", "a"]
            await engine.close()
            assert bench.asked("close") == ["a", "a"]
            assert engine.handlers == ()

        run_async(main())

    def test_a_request_keeps_its_configuration(self, run_async, bench, documents, tracked):
        """The former handler is closed after its last call, and gets no new one."""

        async def main():
            engine = await bench.start(*documents("a"))
            arrived, go_on = asyncio.Event(), asyncio.Event()

            async def wait(_):
                arrived.set()
                await go_on.wait()
                return CheckAnswer(valid_duration=1.0)

            bench.answers["a", "check"] = wait

            async def check():
                async with engine.request() as dispatcher:
                    return await dispatcher.check(tracked())

            first = asyncio.create_task(check())
            await arrived.wait()
            await engine.swap(bench.snapshot(*documents("b")))
            await check()
            assert bench.asked("check") == ["a", "b"]
            assert bench.asked("close") == []
            go_on.set()
            assert (await first).valid_duration == 1.0
            async with asyncio.timeout(5):
                while bench.asked("close") != ["a"]:  # noqa: ASYNC110 - the task is not ours to wait for
                    await asyncio.sleep(0)
            await engine.close()
            assert bench.asked("close") == ["a", "b"]

        run_async(main())

    def test_without_a_configuration_requests_wait(self, run_async, bench, documents):
        """Or are told to."""

        async def main():
            engine = await bench.start(*documents())
            await engine.ready()
            await engine.close()
            with pytest.raises(MixerUnavailable, match="there is no configuration yet"):
                async with engine.request():
                    pass

        run_async(main())

    def test_a_handler_that_fails_to_close_is_closed_all_the_same(
        self, run_async, bench, documents
    ):
        """And nothing of it is left."""

        async def main():
            bench.answers["a", "close"] = ValueError("x")
            engine = await bench.start(*documents())
            await engine.close()
            assert engine.handlers == ()

        run_async(main())

    def test_what_could_not_be_opened_is_tried_again(self, run_async, bench, documents):
        """With the next configuration, although it is equal."""

        async def main():
            bench.answers["a", "start"] = ValueError("x")
            engine = await bench.start(*documents())
            assert [one.fault for one in engine.handlers] == ["ValueError: x"]
            bench.answers.clear()
            await engine.swap(bench.snapshot(*documents()))
            async with asyncio.timeout(5):
                while [one.fault for one in engine.handlers] != [""]:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0)
            await engine.close()

        run_async(main())

    def test_a_swap_that_comes_too_late_opens_nothing(self, run_async, bench, documents):
        """Nobody would close it; one that began before the end is closed with the others."""

        async def main():
            engine = await bench.start(*documents("a"))
            arrived, go_on = asyncio.Event(), asyncio.Event()

            async def slow(_):
                arrived.set()
                await go_on.wait()

            bench.answers["b", "start"] = slow
            calls = [engine.swap(bench.snapshot(*documents("b")))]
            calls += [engine.close(), engine.swap(bench.snapshot(*documents("c")))]
            tasks = []
            for call in calls:
                tasks.append(asyncio.create_task(call))
                await arrived.wait()
                await asyncio.sleep(0)
            go_on.set()
            *_, late = await asyncio.gather(*tasks, return_exceptions=True)
            assert isinstance(late, MixerUnavailable)
            assert "the server has ended" in str(late)
            assert ["a", "b"] == bench.asked("start") == sorted(bench.asked("close"))
            assert engine.handlers == ()

        run_async(main())

    def test_a_swap_that_is_cancelled_leaves_nothing(self, run_async, bench, documents, handler):
        """What it had opened is closed, and what it shares with the one in force runs on."""

        async def main():
            engine = await bench.start(*documents("a"))
            arrived = asyncio.Event()

            async def hang(_):
                arrived.set()
                await asyncio.Event().wait()

            bench.answers["c", "start"] = hang
            more = [handler(name) + f"---\n{RULE.format(name=name)}" for name in ("b", "c")]
            swap = asyncio.create_task(engine.swap(bench.snapshot(*documents("a"), *more)))
            await arrived.wait()
            swap.cancel()
            await asyncio.gather(swap, return_exceptions=True)
            assert bench.asked("close") == ["b"]
            assert [one.plan.title for one in engine.handlers] == ["a.istio-system"]
            await engine.close()
            assert bench.asked("close") == ["b", "a"]
            assert engine.handlers == ()

        run_async(main())

    def test_closing_waits_for_a_swap(self, run_async, bench, documents):
        """So that the handlers of the new configuration are closed, too."""

        async def main():
            engine = await bench.start(*documents("a"))
            arrived, go_on = asyncio.Event(), asyncio.Event()

            async def wait(_):
                arrived.set()
                await go_on.wait()

            bench.answers["b", "start"] = wait
            swap = asyncio.create_task(engine.swap(bench.snapshot(*documents("b"))))
            await arrived.wait()
            close = asyncio.create_task(engine.close())
            await asyncio.sleep(0)
            go_on.set()
            await asyncio.gather(swap, close)
            assert sorted(bench.asked("close")) == ["a", "b"]
            assert engine.handlers == ()

        run_async(main())
