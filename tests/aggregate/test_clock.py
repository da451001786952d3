"""Real time, bounded waits, and alarms on any clock."""

from __future__ import annotations

import asyncio

from meshregistry.aggregate._clock import Alarm, SystemClock, wait_within
from meshregistry.testing import ManualClock


def test_the_system_clock_never_goes_back(run_async):
    """Sleeping moves it on."""

    async def main():
        clock = SystemClock()
        before = clock.now()
        await clock.sleep(0)
        return clock.now() - before

    assert run_async(main()) >= 0


def test_a_bounded_wait_ends_with_the_last_future(run_async):
    """The clock need not move."""

    async def main():
        loop = asyncio.get_running_loop()
        one, other = loop.create_future(), loop.create_future()
        waiting = asyncio.ensure_future(wait_within(ManualClock(), 5.0, [one, other]))
        one.set_result(None)
        await asyncio.sleep(0)
        other.set_result(None)
        assert await waiting == frozenset()
        assert await wait_within(ManualClock(), 5.0, [one]) == frozenset()

    run_async(main())


def test_a_bounded_wait_ends_with_the_clock(run_async):
    """What is not done is told, and not cancelled."""

    async def main():
        clock = ManualClock()
        late = asyncio.get_running_loop().create_future()
        waiting = asyncio.ensure_future(wait_within(clock, 5.0, [late]))
        await clock.advance(4.9)
        assert not waiting.done()
        await clock.advance(0.2)
        assert await waiting == {late}
        assert not late.cancelled()

    run_async(main())


def test_an_alarm_rings_at_its_latest_deadline(run_async):
    """Moving it forgets the one before; None silences it."""

    async def main():
        clock, rung = ManualClock(), []
        alarm = Alarm(clock, rung.append)
        alarm.set(1.0)
        alarm.set(2.0)
        await clock.advance(1.5)
        assert rung == []
        await clock.advance(0.5)
        assert rung == [2.0]
        alarm.set(3.0)
        alarm.set(None)
        await clock.advance(5.0)
        assert rung == [2.0]
        alarm.set(9.0)
        await alarm.close()

    run_async(main())


def test_an_alarm_may_be_set_while_it_rings(run_async):
    """It then rings again."""

    async def main():
        clock, rung = ManualClock(), []

        def ring(now):
            rung.append(now)
            alarm.set(now + 1.0 if now < 3 else None)

        alarm = Alarm(clock, ring)
        alarm.set(1.0)
        await clock.advance(5.0)
        await alarm.close()
        assert rung == [1.0, 2.0, 3.0]

    run_async(main())


class Hasty:
    """A clock whose sleep ends a tick too early."""

    def now(self):
        return 0.999

    async def sleep(self, seconds):
        await asyncio.sleep(0)


def test_an_alarm_never_rings_before_its_deadline(run_async):
    """A timer that fires a tick early is told the time of the deadline."""

    async def main():
        rung = []
        alarm = Alarm(Hasty(), rung.append)
        alarm.set(1.0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert rung == [1.0]
        await alarm.close()

    run_async(main())
