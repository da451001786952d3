"""Handlers that cannot be opened, or hang: tried again, closed, and nothing of them is left."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from meshregistry.errors import MissingExtraError
from meshregistry.mixer.server._dispatch import DispatchFailed
from meshregistry.mixer.server._engine import Engine
from meshregistry.mixer.server._fleet import PAUSES, Fleet
from meshregistry.mixer.server._mixer import Mixer
from meshregistry.mixer.server._running import Surroundings
from meshregistry.mixer.server._statistics import server_metrics
from meshregistry.testing import ManualClock

DOWN = ConnectionError("nobody there")
FAULT = "ConnectionError: nobody there"


@pytest.fixture
def documents(document, handler):
    """A handler that is asked by every check."""
    return (
        handler("a"),
        document("instance", "i", "compiledTemplate: checknothing"),
        document("rule", "r", "actions: [{handler: a, instances: [i]}]"),
    )


class Stage:
    """A fleet on a clock of the test."""

    def __init__(self, **times):
        self.clock = ManualClock()
        self.around = Surroundings(
            random=random.Random(1), base_path=Path(), now=self.clock.now, sleep=self.clock.sleep
        )
        self.fleet = Fleet(self.around, **times)

    @property
    def faults(self):
        """What each handler lacks."""
        return [one.fault for one in self.fleet.running]


async def hang(_):
    """An answer that never comes."""
    await asyncio.Event().wait()


async def leak(_):
    """The end of a task that the handler itself has cancelled."""
    task = asyncio.create_task(asyncio.Event().wait())
    await asyncio.sleep(0)
    task.cancel()
    await task


async def until(condition):
    """Give way until something is so."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is awaited happens in the fleet
            await asyncio.sleep(0)


class TestPause:
    def test_doubles_up_to_a_minute(self):
        """Half of each step is drawn by lot, so that servers do not come back together."""
        draw = random.Random(1)
        for failures, step in ((1, 1.0), (2, 2.0), (6, 32.0), (7, 60.0), (100_000, 60.0)):
            drawn = [PAUSES.delay(failures, draw) for _ in range(100)]
            assert step / 2 <= min(drawn) < max(drawn) <= step


class TestRetry:
    """A handler that cannot be opened."""

    def test_it_is_tried_until_it_opens(self, run_async, bench, documents, caplog):
        """More and more slowly; it is told once that it failed, and once that it is open."""
        caplog.set_level("INFO")

        async def main():
            stage = Stage()
            bench.answers["a", "start"] = DOWN
            found = await stage.fleet.prepare(bench.snapshot(*documents))
            assert [FAULT] == stage.faults
            waits = []
            for attempts in range(2, 5):
                await stage.clock.sleeping()
                (deadline,) = stage.clock.deadlines
                waits.append(deadline - stage.clock.now())
                await stage.clock.advance(waits[-1])
                assert attempts == len(bench.asked("start"))
            assert [True] * 3 == [
                step / 2 <= wait <= step for step, wait in zip((1, 2, 4), waits, strict=True)
            ]
            del bench.answers["a", "start"]
            await stage.clock.advance(8)
            assert [""] == stage.faults
            assert len(bench.asked("start")) == 5
            assert () == stage.clock.deadlines
            await stage.fleet.release(found)

        run_async(main())
        assert bench.asked("close") == ["a"]
        assert [
            f"a.istio-system: could not be opened, and is tried again: {FAULT}",
            "a.istio-system: is open now",
        ] == caplog.messages
        assert caplog.records[0].exc_info is None

    def test_a_missing_extra_is_told_in_one_line(self, run_async, bench, documents, caplog):
        """With what to install; no traceback stands before it."""

        async def main():
            stage = Stage()
            bench.answers["a", "start"] = MissingExtraError("mixer-redis", "redis")
            found = await stage.fleet.prepare(bench.snapshot(*documents))
            (fault,) = stage.faults
            assert fault.startswith("this needs the package 'redis'")
            await stage.fleet.release(found)

        run_async(main())
        (record,) = caplog.records
        assert record.levelname == "ERROR"
        assert "pip install 'meshregistry[mixer-redis]'" in record.getMessage()
        assert record.exc_info is None

    def test_a_file_that_is_not_there_is_told_in_one_line(
        self, run_async, bench, documents, caplog
    ):
        """With its path, whatever adapter wants it; no traceback."""

        async def main():
            stage = Stage()
            bench.answers["a", "start"] = FileNotFoundError(2, "No such file", "/etc/ca.pem")
            found = await stage.fleet.prepare(bench.snapshot(*documents))
            assert ["/etc/ca.pem: No such file"] == stage.faults
            await stage.fleet.release(found)

        run_async(main())
        (record,) = caplog.records
        assert record.getMessage().endswith("is tried again: /etc/ca.pem: No such file")
        assert record.exc_info is None

    def test_the_status_has_the_latest_reason(self, run_async, bench, documents):
        """Although the log has the first."""

        async def main():
            stage = Stage()
            bench.answers["a", "start"] = DOWN
            found = await stage.fleet.prepare(bench.snapshot(*documents))
            bench.answers["a", "start"] = ValueError("of no use")
            await stage.clock.advance(1)
            assert ["ValueError: of no use"] == stage.faults
            await stage.fleet.release(found)

        run_async(main())

    def test_checks_fail_until_then(self, run_async, bench, documents, tracked):
        """And succeed afterwards, by the same configuration."""

        async def main():
            stage = Stage()
            engine = Engine(stage.around)
            bench.answers["a", "start"] = DOWN
            await engine.swap(bench.snapshot(*documents))
            async with engine.request() as dispatcher:
                with pytest.raises(DispatchFailed, match=f"could not be opened: {FAULT}"):
                    await dispatcher.check(tracked())
            del bench.answers["a", "start"]
            await stage.clock.advance(1)
            async with engine.request() as dispatcher:
                assert (await dispatcher.check(tracked())).status.is_ok
            await engine.close()

        run_async(main())

    def test_figures_show_it_until_then(self, run_async, bench, documents):
        """How many handlers wait to be opened."""

        async def main():
            stage = Stage()
            engine = Engine(stage.around)
            mixer = Mixer(engine, now=stage.clock.now)

            def failed():
                figures = server_metrics(engine, mixer, 0)
                (found,) = (one for one in figures if one.name == "mixer_handlers_failed")
                return [value for _, value in found.samples]

            bench.answers["a", "start"] = DOWN
            await engine.swap(bench.snapshot(*documents))
            assert [1] == failed()
            del bench.answers["a", "start"]
            await stage.clock.advance(1)
            assert [0] == failed()
            await engine.close()

        run_async(main())

    def test_it_ends_with_the_configuration(self, run_async, bench, documents):
        """Nobody tries any more, and what was never open is not closed."""

        async def main():
            stage = Stage()
            bench.answers["a", "start"] = DOWN
            found = await stage.fleet.prepare(bench.snapshot(*documents))
            await stage.clock.sleeping()
            await stage.fleet.release(found)
            assert () == stage.fleet.running
            await stage.clock.advance(1000)
            assert ["a"] == bench.asked("start")
            assert [] == bench.asked("close")

        run_async(main())

    def test_an_attempt_ends_with_the_configuration(self, run_async, bench, documents):
        """One that hangs is cancelled; releasing does not wait for its time to be over."""

        async def main():
            stage = Stage(starting=1000, closing=1000)
            bench.answers["a", "start"] = DOWN
            found = await stage.fleet.prepare(bench.snapshot(*documents))
            bench.answers["a", "start"] = hang
            await stage.clock.advance(1)
            assert len(bench.asked("start")) == 2
            await stage.fleet.release(found)
            assert () == stage.fleet.running
            assert [] == bench.asked("close")

        run_async(main())

    @pytest.mark.parametrize("closing", [0.01, 1000])
    def test_one_that_opens_too_late_is_closed(self, run_async, bench, documents, closing):
        """Although it took no notice of the end, within the time for closing or after it."""
        go_on = asyncio.Event()

        async def stubborn(_):
            while not go_on.is_set():
                try:
                    await go_on.wait()
                except asyncio.CancelledError:
                    if closing > 1:
                        return

        async def main():
            stage = Stage(closing=closing)
            bench.answers["a", "start"] = DOWN
            found = await stage.fleet.prepare(bench.snapshot(*documents))
            bench.answers["a", "start"] = stubborn
            await stage.clock.advance(1)
            await stage.fleet.release(found)
            assert () == stage.fleet.running
            go_on.set()
            await until(lambda: bench.asked("close") == ["a"])

        run_async(main())

    def test_the_next_configuration_tries_at_once(self, run_async, bench, documents):
        """And both have the handler, which is closed after the last of them."""

        async def main():
            stage = Stage()
            bench.answers["a", "start"] = DOWN
            first = await stage.fleet.prepare(bench.snapshot(*documents))
            del bench.answers["a", "start"]
            second = await stage.fleet.prepare(bench.snapshot(*documents))
            assert [""] == stage.faults
            assert [*first.values()] == [*second.values()]
            await stage.fleet.release(first)
            assert [] == bench.asked("close")
            await stage.fleet.release(second)
            assert ["a"] == bench.asked("close")
            assert len(bench.asked("start")) == 2

        run_async(main())

    def test_two_do_not_try_at_a_time(self, run_async, bench, documents):
        """A configuration that comes during an attempt takes its outcome."""

        async def main():
            stage = Stage()
            bench.answers["a", "start"] = DOWN
            first = await stage.fleet.prepare(bench.snapshot(*documents))
            go_on = asyncio.Event()
            bench.answers["a", "start"] = lambda _: go_on.wait()
            await stage.clock.advance(1)
            second = asyncio.create_task(stage.fleet.prepare(bench.snapshot(*documents)))
            await asyncio.sleep(0)
            # The first one goes meanwhile, and the attempt goes on for the second.
            await stage.fleet.release(first)
            go_on.set()
            found = await second
            assert [""] == stage.faults
            assert len(bench.asked("start")) == 2
            await stage.fleet.release(found)
            assert ["a"] == bench.asked("close")

        run_async(main())


class TestHanging:
    """A handler that hangs."""

    def test_it_keeps_nobody_waiting(self, run_async, bench, documents):
        """It counts as one that could not be opened; and closing gives it up."""

        async def main():
            fleet = Stage(starting=0.01, closing=0.01).fleet
            bench.answers["a", "start"] = hang
            found = await fleet.prepare(bench.snapshot(*documents))
            assert [one.fault for one in fleet.running] == ["it had not started within 0.01 s"]
            await fleet.release(found)
            bench.answers = {("a", "close"): hang}
            await fleet.release(await fleet.prepare(bench.snapshot(*documents)))
            assert fleet.running == ()

        run_async(main())

    def test_it_is_not_listed_before_its_first_attempt_is_over(self, run_async, bench, documents):
        """There is nothing to say of it yet."""

        async def main():
            stage = Stage(starting=1000)
            bench.answers["a", "start"] = hang
            task = asyncio.create_task(stage.fleet.prepare(bench.snapshot(*documents)))
            await until(lambda: bench.asked("start"))
            assert () == stage.fleet.running
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert [] == bench.asked("close")

        run_async(main())


class TestExiting:
    """A handler that calls `sys.exit` ends nobody but itself."""

    def test_when_it_starts(self, run_async, bench, documents, caplog):
        """It could not be opened, and is tried again."""

        async def main():
            stage = Stage()
            bench.answers["a", "start"] = SystemExit(3)
            found = await stage.fleet.prepare(bench.snapshot(*documents))
            assert ["SystemExit: 3"] == stage.faults
            await stage.clock.sleeping()
            await stage.clock.advance(1)
            assert ["SystemExit: 3"] == stage.faults
            del bench.answers["a", "start"]
            await stage.clock.sleeping()
            await stage.clock.advance(2)
            assert [""] == stage.faults
            await stage.fleet.release(found)

        run_async(main())
        assert caplog.messages[0] == "a.istio-system: could not be opened, and is tried again"

    def test_when_it_is_closed(self, run_async, bench, documents, document, caplog):
        """It is told, and those after it are closed, too."""

        async def main():
            spec = "compiledAdapter: double\nparams: {is: b}"
            second = document("rule", "s", "actions: [{handler: b, instances: [i]}]")
            bench.answers["a", "close"] = SystemExit(3)
            engine = await bench.start(*documents, document("handler", "b", spec), second)
            await engine.close()
            assert engine.handlers == ()

        run_async(main())
        assert sorted(bench.asked("close")) == ["a", "b"]
        assert ["a.istio-system: could not be closed"] == caplog.messages

    def test_an_interrupt_is_of_the_user(self, run_async, bench, documents):
        """It ends the program while a handler starts, as anywhere else."""
        bench.answers["a", "start"] = KeyboardInterrupt()
        with pytest.raises(KeyboardInterrupt):
            run_async(bench.start(*documents))


class TestLeaking:
    """A handler that lets out the cancellation of something of its own."""

    def test_when_it_starts(self, run_async, bench, documents):
        """It could not be opened, as with any other fault; the configuration is in force."""

        async def main():
            stage = Stage()
            bench.answers["a", "start"] = leak
            found = await stage.fleet.prepare(bench.snapshot(*documents))
            (fault,) = stage.faults
            assert fault.startswith("CancelledError: ")
            del bench.answers["a", "start"]
            await stage.clock.sleeping()
            await stage.clock.advance(1)
            assert [""] == stage.faults
            await stage.fleet.release(found)

        run_async(main())

    def test_when_it_is_closed(self, run_async, bench, documents, document, caplog):
        """It is told, and those after it are closed, too."""

        async def main():
            spec = "compiledAdapter: double\nparams: {is: b}"
            second = document("rule", "s", "actions: [{handler: b, instances: [i]}]")
            bench.answers["a", "close"] = leak
            engine = await bench.start(*documents, document("handler", "b", spec), second)
            await engine.close()
            assert engine.handlers == ()

        run_async(main())
        assert sorted(bench.asked("close")) == ["a", "b"]
        assert ["a.istio-system: could not be closed"] == caplog.messages
