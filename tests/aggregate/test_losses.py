"""The guard in the whole: told of, ended by time, by operators and by settings."""

from __future__ import annotations

import asyncio
import logging

import pytest
from attrs import evolve

from meshregistry.aggregate import Guard, GuardPolicy
from meshregistry.errors import RegistryUnavailable
from meshregistry.model import RecordKey, ServiceRecord

GUARD = GuardPolicy(at_least=2, confirm_after=60.0)
MANY = ServiceRecord.parse("cart.shop", port=80, endpoints=[f"10.0.0.{n}:80" for n in range(1, 9)])
FEW = ServiceRecord.parse("cart.shop", port=80, endpoints=["10.0.0.1:80"])


@pytest.fixture
def guarded(run_async, kit, caplog):
    """Runs a story with a guarded source that has listed eight endpoints."""
    caplog.set_level(logging.INFO, "meshregistry.aggregate")

    def tell(story, **words):
        one = kit.Scripted("a", kit.listing(MANY), guard=GUARD)

        async def main():
            watched = kit.Watched(one, **words)
            async with watched.supervisor:
                await watched.rest()
                await story(watched, one)
                assert watched.supervisor.fault is None

        run_async(main())
        return [record.message for record in caplog.records]

    return tell


def count(watched):
    """How many endpoints are in the merged catalog."""
    return len(watched.supervisor.catalog.endpoints("cart.shop"))


def test_a_loss_is_shown_and_said(guarded):
    """In the status, with how it ends, and once in the log."""

    async def story(watched, one):
        one.sink.replace([])
        await watched.clock.advance(20.0)
        one.sink.upsert(FEW)
        await watched.rest()
        assert count(watched) == 8
        status = watched.status()
        assert (status.withheld, status.losses) == (7, 1)
        (part,) = status.parts
        loss = part.loss
        assert (loss.before, loss.after, loss.age, loss.remaining) == (8, 1, 20.0, 40.0)

    (said,) = guarded(story)
    assert "source a: of 8 healthy endpoints 0 are left" in said
    assert "after 60 s" in said
    assert "meshregistry sources accept a" in said


def test_a_loss_that_is_upheld_is_believed(guarded):
    """After `confirm_after`, with nothing but time."""

    async def story(watched, one):
        one.sink.replace([FEW])
        await watched.clock.advance(59.0)
        assert count(watched) == 8
        await watched.clock.advance(2.0)
        assert count(watched) == 1
        assert (watched.status().withheld, watched.status().losses) == (0, 1)

    said = guarded(story)
    assert "upheld the loss: of 8 healthy endpoints, nothing is withheld" in said[-1]


def test_nobody_upholds_a_loss_while_the_registry_is_away(guarded):
    """Time runs out only when it is followed again."""

    async def story(watched, one):
        one.sink.replace([FEW])
        await watched.rest()
        one.sink.degrade(RegistryUnavailable("gone"))
        await watched.clock.advance(300.0)
        assert count(watched) == 8
        one.sink.confirm()
        await watched.rest()
        assert count(watched) == 1

    guarded(story)


def test_recovery_is_said(guarded):
    """And is no warning."""

    async def story(watched, one):
        one.sink.replace([FEW])
        one.sink.replace([MANY])
        await watched.rest()
        one.sink.replace([FEW])
        await watched.rest()
        one.sink.replace([MANY])
        await watched.rest()
        assert (count(watched), watched.status().losses) == (8, 2)

    said = guarded(story)
    assert said[-1] == "source a: nothing is withheld any more"


def test_what_operators_accept_is_believed_at_once(guarded):
    """Also what they accept before it happens; they are asked by part and age."""
    accepted = []

    async def story(watched, one):
        one.sink.replace([FEW])
        await watched.clock.advance(5.0)
        assert count(watched) == 8
        accepted.append(5.0)
        watched.supervisor.review()
        await watched.rest()
        assert count(watched) == 1
        one.sink.replace([MANY])
        accepted.append(0.0)
        one.sink.replace([FEW])
        await watched.rest()
        assert count(watched) == 1

    said = guarded(story, accepts=lambda part, age: str(part) == "a" and age in accepted)
    assert said.count("source a: the loss of 7 healthy endpoints is accepted; 1 are left") == 2


def test_settings_without_guard_believe_at_once(guarded):
    """Whoever switches it off means it."""

    async def story(watched, one):
        one.sink.replace([FEW])
        await watched.rest()
        assert count(watched) == 8
        watched.supervisor.reconfigure([evolve(one.source, guard=None)])
        assert count(watched) == 1

    guarded(story)


def test_a_source_that_is_removed_takes_its_loss_along(guarded):
    """And nobody asks for it any more."""

    async def story(watched, one):
        one.sink.replace([FEW])
        await watched.rest()
        watched.supervisor.reconfigure([])
        await watched.clock.advance(300.0)
        assert count(watched) == 0

    guarded(story)


def test_data_that_is_dropped_as_stale_is_no_loss(run_async, kit):
    """What `stale_after` says is stronger."""
    one = kit.Scripted("a", kit.listing(MANY), guard=GUARD, stale_after=30.0)

    async def main():
        watched = kit.Watched(one)
        async with watched.supervisor:
            await watched.rest()
            one.sink.degrade(RegistryUnavailable("gone"))
            await watched.clock.advance(31.0)
            assert count(watched) == 0
            assert watched.status().withheld == 0

    run_async(main())


def test_what_happened_while_nobody_looked_may_have_been_accepted_then(guarded):
    """A replica that was cut off, and one that was down, follow the others."""
    asked = []

    def accepts(part, age):
        asked.append(age)
        return age >= 30.0

    async def story(watched, one):
        one.sink.degrade(RegistryUnavailable("gone"))
        await watched.clock.advance(30.0)
        one.sink.replace([FEW])
        await watched.rest()
        assert count(watched) == 1
        assert asked == [30.0]

    guarded(story, accepts=accepts)


def parted(*names, **settings):
    """A script that lists eight endpoints in each of these parts."""

    async def script(sink, context):
        context.parts(names)
        for name in names:
            sink.part(name).replace([evolve(MANY, key=RecordKey(name))])
        if settings.get("fails"):
            raise RegistryUnavailable("again")
        await asyncio.Event().wait()

    return script


def test_messages_during_a_loss_cost_no_count_of_it(run_async, kit, monkeypatch):
    """What is withheld is counted when somebody asks, and when a loss begins."""
    counted = []
    count_it = Guard.loss

    def counting(self, part, held):
        counted.append(part)
        return count_it(self, part, held)

    monkeypatch.setattr(Guard, "loss", counting)
    one = kit.Scripted("a", kit.listing(MANY), guard=GUARD)

    async def main():
        watched = kit.Watched(one)
        async with watched.supervisor:
            await watched.rest()
            one.sink.replace([])
            for _ in range(20):
                one.sink.upsert(FEW)
                await watched.rest()
            assert len(counted) == 1
            assert watched.status().withheld == 7
            assert len(counted) == 2

    run_async(main())


class TestParts:
    """A part that the registry does not know any more."""

    def story(self, run_async, kit, then):
        """Two parts at first, and one of them in the second run."""
        one = kit.Scripted(*("a", parted("east", "west", fails=True), parted("east")), guard=GUARD)

        async def main():
            watched = kit.Watched(one)
            async with watched.supervisor:
                await watched.rest()
                await watched.clock.advance(2.0)
                assert len(one.sinks) == 2
                await then(watched, one)
                assert watched.supervisor.fault is None

        run_async(main())

    def test_is_withheld_as_any_loss(self, run_async, kit):
        """A list of datacenters that is cut short takes nothing away."""

        async def then(watched, one):
            east, west = watched.status().parts
            assert (east.loss, west.loss.withheld, west.loss.after) == (None, 8, 0)
            assert watched.status().is_synced
            assert len(watched.supervisor.records("a")) == 2
            await watched.clock.advance(61.0)
            assert len(watched.supervisor.records("a")) == 1
            assert watched.status().withheld == 0

        self.story(run_async, kit, then)

    def test_goes_at_once_if_the_settings_are_others(self, run_async, kit):
        """Whoever takes a datacenter out of the settings means it."""

        async def then(watched, one):
            watched.supervisor.reconfigure([evolve(one.source, fingerprint="other")])
            await watched.rest()
            assert len(watched.supervisor.records("a")) == 1
            assert watched.status().withheld == 0

        self.story(run_async, kit, then)
