"""The file registry while it probes the workloads of groups."""

from __future__ import annotations

import asyncio
import contextlib
from random import Random

from meshregistry.registries import FileConfig, FileRegistry
from meshregistry.registries._probe import Answer
from meshregistry.registries._prober import FIRST_ANSWERS
from meshregistry.testing import ManualClock, RecordingSink, context

DOCUMENTS = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: reviews}
spec:
  hosts: [reviews]
  ports: [{number: 80, name: http}]
  resolution: STATIC
  workloadSelector: {labels: {app: reviews}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: reviews}
spec:
  metadata: {labels: {app: reviews}}
  template: {ports: {http: 8080}}
  probe: {tcpSocket: {port: 8080}, failureThreshold: 1}
"""
MEMBER = """
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: vm-%s, annotations: {istio.io/autoRegistrationGroup: reviews}}
spec: {address: %s}
"""


class Machines:
    """Stands for the network: what each address answers, if it does."""

    def __init__(self) -> None:
        self.up: dict[str, bool] = {}
        self.silent: set[str] = set()
        self.asked: list[str] = []

    async def __call__(self, target, _agent):
        """Ask one."""
        self.asked.append(target.address)
        if target.address in self.silent:
            await asyncio.Event().wait()
        return Answer(self.up.get(target.address, True), "")


@contextlib.asynccontextmanager
async def running(path, machines):
    """A registry that runs, with its sink and its clock."""
    clock, sink = ManualClock(), RecordingSink()
    registry = FileRegistry(
        FileConfig(path=path, watch="poll"),
        context(clock=clock, base_path=path.parent, random=Random(0)),
        ask=machines,
    )
    task = asyncio.create_task(registry.run(sink))
    try:
        yield sink, clock
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def documents(tmp_path, *addresses):
    """A file with a group of these machines."""
    path = tmp_path / "machines.yaml"
    members = "".join(MEMBER % (one.rpartition(".")[2], one) for one in addresses)
    path.write_text(DOCUMENTS + members)
    return path


def health(sink):
    """The health of each machine, as it was last published."""
    records = sink.records()
    if not records:
        return {}
    (record,) = records.values()
    return {one.address: str(one.health) for one in record.endpoints}


async def eventually(clock, sink, wanted):
    """Let time pass until this is published."""
    for _ in range(200):
        if health(sink) == wanted:
            return
        await clock.advance(0.25)
        await asyncio.sleep(0.005)  # files are read in a thread
    assert health(sink) == wanted


def test_nothing_is_published_before_everybody_was_asked(tmp_path, run_async):
    """The very first listing says who answers: a start takes nobody out of service."""

    async def main():
        machines = Machines()
        machines.up["10.0.0.2"] = False
        async with running(documents(tmp_path, "10.0.0.1", "10.0.0.2"), machines) as (sink, clock):
            wanted = {"10.0.0.1": "HEALTHY", "10.0.0.2": "UNHEALTHY"}
            await eventually(clock, sink, wanted)
            assert ("replace",) == sink.methods[:1]
            assert clock.now() <= FIRST_ANSWERS

    run_async(main())


def test_a_machine_that_is_silent_holds_up_nobody_for_long(tmp_path, run_async):
    """After some seconds what is known is published, and what comes later is, too."""

    async def main():
        machines = Machines()
        machines.silent.add("10.0.0.2")
        machines.up["10.0.0.1"] = False
        async with running(documents(tmp_path, "10.0.0.1", "10.0.0.2"), machines) as (sink, clock):
            await eventually(clock, sink, {"10.0.0.1": "UNHEALTHY", "10.0.0.2": "UNHEALTHY"})
            assert clock.now() >= FIRST_ANSWERS
            machines.up["10.0.0.1"] = True
            await eventually(clock, sink, {"10.0.0.1": "HEALTHY", "10.0.0.2": "UNHEALTHY"})

    run_async(main())


def test_a_change_of_health_is_published_and_is_no_listing(tmp_path, run_async):
    """It says nothing about whether the files can be read."""

    async def main():
        machines = Machines()
        path = documents(tmp_path, "10.0.0.1")
        async with running(path, machines) as (sink, clock):
            await eventually(clock, sink, {"10.0.0.1": "HEALTHY"})
            machines.up["10.0.0.1"] = False
            await eventually(clock, sink, {"10.0.0.1": "UNHEALTHY"})
            assert 1 == sink.methods.count("replace")
            assert "upsert" in sink.methods

    run_async(main())


def test_a_new_machine_is_unhealthy_until_it_answers(tmp_path, run_async):
    """And the others stay what they are."""

    async def main():
        machines = Machines()
        async with running(documents(tmp_path, "10.0.0.1"), machines) as (sink, clock):
            await eventually(clock, sink, {"10.0.0.1": "HEALTHY"})
            machines.silent.add("10.0.0.2")
            documents(tmp_path, "10.0.0.1", "10.0.0.2")
            await eventually(clock, sink, {"10.0.0.1": "HEALTHY", "10.0.0.2": "UNHEALTHY"})

    run_async(main())


def test_who_left_is_asked_no_more(tmp_path, run_async):
    """Once the files do not name it."""

    async def main():
        machines = Machines()
        async with running(documents(tmp_path, "10.0.0.1", "10.0.0.2"), machines) as (sink, clock):
            await eventually(clock, sink, {"10.0.0.1": "HEALTHY", "10.0.0.2": "HEALTHY"})
            documents(tmp_path, "10.0.0.1")
            await eventually(clock, sink, {"10.0.0.1": "HEALTHY"})
            machines.asked.clear()
            for _ in range(25):
                await clock.advance(1)
            assert {"10.0.0.1"} == set(machines.asked)

    run_async(main())
