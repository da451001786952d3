"""Facts of failovers: a new leader knows an agent's tasks when the agent has come back to it."""

from __future__ import annotations

from fake_mesos import AGENT, FakeMaster, agent, published, task
from mesos_attempts import Attempt

import meshregistry_mesos
from meshregistry.testing import ManualClock
from meshregistry_mesos import MesosConfig

KIND = meshregistry_mesos.meshregistry_register_registries()[0]
WEB = published("web", "10.0.0.1")


def attempt(master, clock=None, **options):
    """One attempt against a master: impatient, but for a loop that stands still a while."""
    words = {"heartbeats": 50, "timeout": 1.0} | options
    return Attempt(KIND, MesosConfig(masters=(master.address,), **words), clock=clock)


def test_nothing_is_removed_until_agents_are_back(run_async):
    """Then their tasks are what they say; the source is STALE meanwhile, and says why."""

    async def main():
        async with FakeMaster() as master:
            other = agent("S1", ip="10.9.0.2")
            master.agents["S1"] = other
            gone = task("b", "api", ip="10.0.0.2", agent_id={"value": "S1"})
            master.add(task("a", ip="10.0.0.1"), gone)
            async with attempt(master) as run:
                both = [WEB, published("api", "10.0.0.2")]
                await run.shows(*both)
                master.fail_over()
                await run.failure()
                run.start()
                await run.shows(*both)
                await run.until(lambda: bool(run.errors), "the report")
                assert "has not heard of 2 agents yet" in run.errors[-1]
                assert "degrade" == run.sink.methods[-1]
                master.come_back(agent(), task("a", ip="10.0.0.1"))
                await run.until(lambda: "1 agents yet" in run.errors[-1], "one is back")
                # The other one comes back without what it ran.
                master.come_back(other)
                await run.shows(WEB)
                await run.until(lambda: "confirm" == run.sink.methods[-1], "it is confirmed")

    run_async(main())


def test_agents_that_do_not_come_back_are_given_up(run_async):
    """Once the new leader has led for `recovery`, on its own clock."""

    async def main():
        clock = ManualClock()
        async with FakeMaster(heartbeat=0.02) as master:
            master.add(task("a", ip="10.0.0.1"))
            async with attempt(master, clock=clock, recovery=600.0) as run:
                await run.shows(WEB)
                master.fail_over()
                master.elected -= 400
                await run.failure()
                run.start()
                await run.shows(WEB)
                await clock.advance(190)
                await run.until(lambda: bool(run.errors), "the report")
                await run.shows(WEB)
                await clock.advance(15)
                await run.shows()
                await run.until(lambda: "confirm" == run.sink.methods[-1], "it is confirmed")

    run_async(main())


def test_a_leader_of_long_standing_is_believed(run_async):
    """Whoever has not come back to it by now is not expected."""

    async def main():
        async with FakeMaster() as master:
            master.add(task("a", ip="10.0.0.1"))
            async with attempt(master) as run:
                await run.shows(WEB)
                master.fail_over()
                master.elected -= 3600
                await run.failure()
                run.start()
                await run.shows()
                await run.until(lambda: bool(run.sink.calls), "the listing")

    run_async(main())


def test_a_first_listing_waits_for_agents_of_which_nothing_is_known(run_async):
    """It would be half of one; what was restored from a snapshot stays meanwhile."""

    async def main():
        async with FakeMaster() as master:
            late = {"id": {"value": AGENT}}
            master.fail_over(agents=[agent("S1", ip="10.9.0.2")], recovered=[late])
            there = task("b", "api", ip="10.0.0.2", agent_id={"value": "S1"})
            master.add(there)
            async with attempt(master) as run:
                await run.until(lambda: bool(run.errors), "the report")
                master.add(task("c", "api", ip="10.0.0.3", agent_id={"value": "S1"}))
                master.tell("HEARTBEAT")
                assert "replace" not in run.sink.methods
                master.come_back(agent(), task("a", ip="10.0.0.1"))
                await run.shows(WEB, published("api", "10.0.0.2", "10.0.0.3"))
                first = next(one for one in run.sink.calls if one.method == "replace")
                assert 2 == len(first.value)

    run_async(main())


def test_a_first_listing_waits_no_longer_than_recovery(run_async):
    """What there is, is published then."""

    async def main():
        clock = ManualClock()
        async with FakeMaster(heartbeat=0.02) as master:
            master.fail_over(agents=[agent()], recovered=[{"id": {"value": "S1"}}])
            master.add(task("a", ip="10.0.0.1"))
            async with attempt(master, clock=clock) as run:
                await run.until(lambda: bool(run.errors), "the report")
                assert "replace" not in run.sink.methods
                await clock.advance(601)
                await run.shows(WEB)

    run_async(main())
