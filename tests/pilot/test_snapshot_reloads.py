"""Snapshots of a pilot whose settings change while it runs."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading

import pytest

from meshregistry import Pilot, Settings
from meshregistry.pilot._snapshot_folder import SnapshotFolder
from meshregistry.spi import Condition

SERVICES = (
    'services: [{host: cart.shop, ports: [{name: http, port: 80}], endpoints: ["10.0.0.1:80"]}]\n'
)
RULE = (
    "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n"
    "metadata: {name: a}\nspec: {host: a.example}\n"
)


class Mesh:
    """Pilots that follow the same files, one after another."""

    def __init__(self, run_async, folder):
        self.run_async = run_async
        self.folder = folder
        self.kept = folder / "kept"
        (folder / "rules").mkdir()
        (folder / "rules" / "rule.yaml").write_text(RULE)
        (folder / "services.yaml").write_text(SERVICES)

    def settings(self, *, interval="10ms", more=(), services="services.yaml", **words):
        """One source and one rule source, with these options."""
        return Settings.from_dict(
            {
                "sources": [
                    {"id": one, "kind": "file", "path": services, **words} for one in ("one", *more)
                ],
                "rules": [{"id": "rules", "kind": "file", "path": "rules", **words}],
                "snapshot": {"path": "kept", "interval": interval},
                "sync_timeout": "10ms",
            },
            base_path=self.folder,
        )

    def run(self, story, settings):
        """Do something in a pilot."""

        async def main():
            async with Pilot(settings, serve=False) as pilot:
                await story(pilot)

        self.run_async(main())

    def origins(self):
        """What each file says that its source follows."""
        return {
            one.name: json.loads(one.read_text().partition("\n")[0])["origin"]
            for one in self.kept.glob("*.jsonl")
        }

    def take_away(self):
        """Nothing can be followed any more."""
        shutil.rmtree(self.folder / "rules")
        (self.folder / "services.yaml").unlink()


async def until(condition):
    """Wait for it."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - files tell no event
            await asyncio.sleep(0.01)


@pytest.fixture
def mesh(run_async, tmp_path):
    """Files that can be followed in more than one way."""
    return Mesh(run_async, tmp_path)


def test_equal_data_of_other_settings_is_written_anew(mesh):
    """Else the next start would refuse what is current, as that of something else."""

    async def reload(pilot):
        await pilot.synced(10)
        await until(lambda: len(mesh.origins()) == 2)
        before = mesh.origins()
        await pilot.reload(mesh.settings(watch="poll"))
        await until(lambda: all(mesh.origins()[one] != before[one] for one in before))

    mesh.run(reload, mesh.settings())
    mesh.take_away()

    async def look(pilot):
        assert len(await pilot.synced(10)) == 1
        assert (pilot.sources()[0].is_restored, pilot.rule_sources()[0].is_restored) == (True, True)
        assert len(pilot.rules.policies) == 1

    mesh.run(look, mesh.settings(watch="poll"))


def test_data_of_former_settings_is_not_kept_as_that_of_others(mesh):
    """What they follow now has not said a word."""

    async def reload(pilot):
        await pilot.synced(10)
        await pilot.reload(mesh.settings(interval="1h", services="missing"))
        await until(lambda: pilot.sources()[0].condition is Condition.STALE)
        assert (len(pilot.catalog), len(pilot.rules.policies)) == (1, 1)

    mesh.run(reload, mesh.settings(interval="1h"))
    assert mesh.origins().keys() == {"rules-rules.jsonl"}


def test_a_source_may_go_while_another_is_written(mesh, monkeypatch):
    """The pilot goes on."""
    is_writing, may_go_on = threading.Event(), threading.Event()
    write = SnapshotFolder.write

    def slow(*words):
        is_writing.set()
        assert may_go_on.wait(10)
        write(*words)

    monkeypatch.setattr(SnapshotFolder, "write", slow)

    async def story(pilot):
        await pilot.synced(10)
        await until(is_writing.is_set)
        await pilot.reload(mesh.settings())
        may_go_on.set()
        await until(lambda: "rules-rules.jsonl" in mesh.origins())
        assert pilot.failed is None

    mesh.run(story, mesh.settings(more=["two"]))
