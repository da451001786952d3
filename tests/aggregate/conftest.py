"""A supervisor on a manual clock, with registries that do what a script says."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from meshregistry.aggregate import Schedule, Source, Supervisor
from meshregistry.model import MergePolicy, SourceId
from meshregistry.testing import ManualClock


class Scripted:
    """A source whose attempts run one script each; the last script runs for ever after.

    A script is ``async def script(sink, context)``.
    """

    def __init__(self, name, *scripts, **words):
        self.scripts = list(scripts) or [wait]
        self.sinks = []
        self.contexts = []
        self.source = Source(id=SourceId(name), kind="scripted", open=self.open, **words)

    def open(self, context):
        """A registry for the next script."""
        self.contexts.append(context)
        return Attempt(self, self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0])

    @property
    def sink(self):
        """The sink of the latest attempt."""
        return self.sinks[-1]


class Attempt:
    """The registry of one attempt."""

    def __init__(self, scripted, script):
        self.scripted = scripted
        self.script = script

    async def run(self, sink):
        """Do what the script says."""
        self.scripted.sinks.append(sink)
        await self.script(sink, self.scripted.contexts[-1])


async def wait(sink, context):
    """A script that says nothing until it is cancelled."""
    await asyncio.Event().wait()


def listing(*records):
    """A script that lists records and then waits."""

    async def script(sink, context):
        sink.replace(records)
        await asyncio.Event().wait()

    return script


def raising(error, *records):
    """A script that fails, after a listing if there are records."""

    async def script(sink, context):
        if records:
            sink.replace(records)
        raise error

    return script


class Watched:
    """A supervisor on a manual clock that keeps what it tells."""

    def __init__(self, *scripted, policy=lambda _: MergePolicy(), on_change=None, **words):
        self.clock = ManualClock()
        self.changes = []
        self.conditions = []
        self.supervisor = Supervisor(
            [one.source for one in scripted],
            clock=self.clock,
            random=Random(1),
            mesh_domain="mesh.local",
            base_path=Path(),
            user_agent="meshregistry/test",
            policy=policy,
            on_change=on_change or self.changes.append,
            on_condition=lambda *news: self.conditions.append(news),
            # No jitter: a test knows when the next attempt comes.
            soon=Schedule(first=1.0, highest=8.0, floor=1.0),
            slowly=Schedule(first=60.0, highest=600.0, floor=1.0),
            **words,
        )

    async def rest(self):
        """Let all tasks run until they wait."""
        await self.clock.advance(0.0)

    @property
    def hosts(self):
        """The hosts of the merged catalog."""
        return [str(service.host) for service in self.supervisor.catalog.services()]

    @property
    def told(self):
        """The conditions that were told, as (source, condition)."""
        return [(str(source), str(condition)) for source, condition, _ in self.conditions]

    def status(self, place=0):
        """The status of one source."""
        return self.supervisor.statuses()[place]


class Kit:
    """What the tests of this folder build with."""

    Scripted = Scripted
    Watched = Watched
    wait = staticmethod(wait)
    listing = staticmethod(listing)
    raising = staticmethod(raising)


@pytest.fixture(scope="session")
def kit():
    """``kit.Watched(kit.Scripted("a", kit.listing(record)))`` and so on."""
    return Kit
