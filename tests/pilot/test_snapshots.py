"""A pilot that is started again while its registries are down."""

from __future__ import annotations

import asyncio
import logging
import threading

import attrs
import pytest

from meshregistry import Pilot, ServiceRecord, Settings
from meshregistry.errors import RegistryUnavailable
from meshregistry.pilot import sources_document
from meshregistry.pilot._documents import rules_document
from meshregistry.pilot._snapshot_folder import SnapshotFolder
from meshregistry.rules import RuleSet
from meshregistry.spi import Condition, RegistryKind, Secret, hookimpl

CART = ServiceRecord.parse("cart.shop", port=80, endpoints=["10.0.0.1:80"])
PAY = ServiceRecord.parse("pay.shop", port=80, endpoints=["10.0.0.2:80"])
RULE = (
    "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n"
    "metadata: {name: a}\nspec: {host: a.example}\n"
)
NOW = 1_000_000_000.0
PLANTED = "planted-secret"


@attrs.frozen
class RemoteConfig:
    """Where the backend is, and what opens it."""

    address: str = "one"
    token: Secret | None = None


class Backend:
    """A registry of kind ``remote`` as a plugin: up with records, or down."""

    def __init__(self, *records, is_up=True):
        self.records = records
        self.is_up = is_up
        self.sinks = []

    @hookimpl
    def meshregistry_register_registries(self):
        """The kind."""
        return RegistryKind(name="remote", config_class=RemoteConfig, open=lambda *_: self)

    async def run(self, sink):
        """List, or fail."""
        if not self.is_up:
            raise RegistryUnavailable("connection refused")
        sink.replace(self.records)
        self.sinks.append(sink)
        await asyncio.Event().wait()


class Mesh:
    """Pilots over the same folder, one after another."""

    def __init__(self, run_async, folder):
        self.run_async = run_async
        self.folder = folder
        self.now = NOW
        (folder / "rules").mkdir()
        (folder / "rules" / "a.yaml").write_text(RULE)

    def settings(self, snapshot=None, rules=(), **source):
        """One source, and perhaps rules."""
        source = {"id": "dc1", "kind": "remote", "sync_timeout": "10ms", **source}
        kept = {"path": "kept", "interval": "10ms", **(snapshot or {})}
        return Settings.from_dict(
            {
                "sources": [source],
                "rules": list(rules),
                "snapshot": kept,
                "sync_timeout": "10ms",
                "server": {"xds": "127.0.0.1:0"},
            },
            base_path=self.folder,
        )

    def run(self, backend, story, settings=None, **words):
        """Do something in a pilot."""

        async def main():
            pilot = Pilot(
                settings or self.settings(),
                **{"serve": False, "plugins": [backend], "entry_points": False, **words},
                wall=lambda: self.now,
            )
            async with pilot:
                await story(pilot)

        self.run_async(main())

    def hosts(self, backend, settings=None, **words):
        """The hosts of the first catalog, and the document of the source."""
        found = []

        async def look(pilot):
            catalog = await pilot.synced(timeout=10)
            found.append([str(service.host) for service in catalog.services()])
            (document,) = sources_document(pilot.sources())["sources"]
            found.append(document)

        self.run(backend, look, settings, **words)
        return found

    @property
    def files(self):
        """What is in the folder of the snapshot."""
        return sorted(one.name for one in (self.folder / "kept").glob("*"))


async def synced(pilot):
    """Wait for the first catalog."""
    await pilot.synced(timeout=10)


async def there(file):
    """Wait for a file."""
    async with asyncio.timeout(10):
        while not file.exists():  # noqa: ASYNC110 - files tell no event
            await asyncio.sleep(0.01)


@pytest.fixture
def mesh(run_async, tmp_path):
    """An empty folder."""
    return Mesh(run_async, tmp_path)


def test_what_a_source_said_last_is_served_at_the_next_start(mesh, caplog):
    """As STALE, with its age, said loudly, although the source is required."""
    mesh.run(Backend(CART), synced)
    mesh.now += 3600.0
    hosts, document = mesh.hosts(Backend(is_up=False))
    assert hosts == ["cart.shop"]
    assert (document["condition"], document["is_restored"], document["is_synced"]) == (
        *("STALE", True, False),
    )
    assert document["age"] == pytest.approx(3600.0, abs=5)
    assert (
        "source dc1: what it said until 2001-09-09T01:46:40Z is served from the snapshot, "
        "3600 s old, until it answers"
    ) in [one.message for one in caplog.records if one.levelno == logging.WARNING]


def test_a_second_start_keeps_the_age(mesh):
    """What nobody has confirmed does not grow young by being restored."""
    mesh.run(Backend(CART), synced)
    for hours in (1, 2):
        mesh.now = NOW + hours * 3600.0
        _, document = mesh.hosts(Backend(is_up=False))
        assert document["age"] == pytest.approx(hours * 3600.0, abs=5)


def test_the_registry_replaces_it_when_it_answers(mesh):
    """Also with less."""
    mesh.run(Backend(CART, PAY), synced)
    backend = Backend(PAY, is_up=False)

    async def story(pilot):
        catalog = await pilot.synced(timeout=10)
        assert len(catalog) == 2
        assert pilot.readiness() == ()
        assert pilot.remarks() == ("the source dc1 is served from the snapshot, 0 s old",)
        backend.is_up = True
        async for _ in pilot.changes(since=catalog):
            break
        assert [str(one.host) for one in pilot.catalog.services()] == ["pay.shop"]
        (status,) = pilot.sources()
        assert (status.condition, status.is_restored) == (Condition.SYNCED, False)
        assert pilot.remarks() == ()

    mesh.run(backend, story)


def test_changes_are_written_while_it_runs(mesh):
    """Not only at the end; and nothing is written when nothing changes."""
    backend = Backend(CART)
    file = mesh.folder / "kept" / "source-dc1.jsonl"

    async def story(pilot):
        await synced(pilot)
        await there(file)
        async with asyncio.timeout(10):
            first = file.stat()
            await asyncio.sleep(0.05)
            assert file.stat().st_ino == first.st_ino
            backend.sinks[-1].upsert(PAY)
            while file.stat().st_ino == first.st_ino:  # noqa: ASYNC110 - the same
                await asyncio.sleep(0.01)
        assert "pay.shop" in file.read_text(encoding="utf-8")

    mesh.run(backend, story)
    assert mesh.files == ["current.json", "source-dc1.jsonl"]


def test_it_stays_current_while_nothing_changes(mesh):
    """The age is that of the last moment at which the registry was followed."""

    async def a_day_later(pilot):
        await synced(pilot)
        await there(mesh.folder / "kept" / "source-dc1.jsonl")
        mesh.now += 86_400.0

    mesh.run(Backend(CART), a_day_later)
    assert "1000000000.0" in (mesh.folder / "kept" / "source-dc1.jsonl").read_text()
    mesh.now += 60.0
    hosts, document = mesh.hosts(Backend(is_up=False))
    assert hosts == ["cart.shop"]
    assert document["age"] == pytest.approx(60.0, abs=5)


@pytest.mark.parametrize(
    ("later", "words", "reason"),
    [
        (3601.0, {"snapshot": {"max_age": "1h"}}, "it is too old: it was current until 2001-09-09"),
        (31.0, {"stale_after": "30s"}, "it is too old"),
        (1.0, {"address": "two"}, "it follows something else now"),
    ],
)
def test_what_must_not_be_served_is_not_used(mesh, caplog, later, words, reason):
    """It is said why, and the start gate waits for the registry."""
    mesh.run(Backend(CART), synced)
    mesh.now += later

    async def story(pilot):
        with pytest.raises(TimeoutError, match="not synced: dc1"):
            await pilot.synced(timeout=0.1)

    mesh.run(Backend(is_up=False), story, mesh.settings(**words))
    assert f"the snapshot of source dc1 is not used: {reason}" in caplog.text
    # And what is on disk is left for whoever goes back to the former settings.
    assert mesh.hosts(Backend(is_up=False), mesh.settings({"max_age": None}))[0] == ["cart.shop"]


def test_a_damaged_snapshot_never_stops_the_start(mesh, caplog):
    """It is said, ignored, and replaced."""
    mesh.run(Backend(CART), synced)
    file = mesh.folder / "kept" / "source-dc1.jsonl"
    file.write_text(file.read_text()[:-20])
    assert mesh.hosts(Backend(PAY))[0] == ["pay.shop"]
    assert "the snapshot of source dc1 is not used: source-dc1.jsonl is damaged" in caplog.text
    assert mesh.hosts(Backend(is_up=False))[0] == ["pay.shop"]


def test_core_keys_and_secrets_do_not_matter(mesh):
    """A password that was changed, or a time-out, does not make it another source."""
    mesh.run(Backend(CART), synced, mesh.settings(token=PLANTED))
    changed = mesh.settings(token="other", namespace="shop", stale_after="1h", guard="off")
    assert mesh.hosts(Backend(is_up=False), changed)[0] == ["cart.shop"]


def test_secrets_are_never_in_it(mesh):
    """Neither in the records nor in what identifies the source."""
    mesh.run(Backend(CART), synced, mesh.settings(token=PLANTED))
    for file in (mesh.folder / "kept").iterdir():
        assert PLANTED not in file.read_text(encoding="utf-8")
        assert file.stat().st_mode & 0o777 == 0o600


def test_a_folder_that_cannot_be_written_is_said_and_counted(mesh, caplog):
    """Once; everything else goes on."""
    (mesh.folder / "kept").write_text("a file")

    async def story(pilot):
        await synced(pilot)
        async with asyncio.timeout(10):
            while pilot._core.snapshots.failures < 3:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
        figures = {one.name: dict(one.samples) for one in pilot.statistics()}
        assert sum(figures["meshregistry_snapshot_failures"].values()) >= 3

    mesh.run(Backend(CART), story)
    assert caplog.text.count("cannot be written: ") == 1


def test_a_shadow_is_kept_too(mesh):
    """It is compared with what it said last, and nothing waits for it."""
    settings = mesh.settings(shadow=True)
    mesh.run(Backend(CART), synced, settings)

    async def story(pilot):
        await synced(pilot)
        assert len(pilot.catalog) == 0
        (status,) = pilot.sources()
        assert (status.services, status.is_restored) == (1, True)

    mesh.run(Backend(is_up=False), story, settings)


def test_memory_and_objects_are_not_kept(mesh):
    """What is in them belongs to the program, which sets it anew."""

    async def story(pilot):
        pilot.memory("dc1").upsert(CART)
        await pilot.published(timeout=10)

    mesh.run(Backend(), story, mesh.settings(kind="memory"), registries={"mine": Backend(PAY)})
    assert mesh.files == []


def test_a_disk_that_hangs_does_not_hold_up_the_end(mesh, caplog, monkeypatch):
    """Leaving waits a while, and says so."""
    monkeypatch.setattr("meshregistry.pilot._snapshots._PATIENCE", 0.05)
    answers = threading.Event()
    monkeypatch.setattr(SnapshotFolder, "write", lambda *_: answers.wait(30))
    mesh.run(Backend(CART), synced, mesh.settings({"interval": "1h"}))
    answers.set()
    assert "the snapshot was not written within 0.05 s" in caplog.text


def test_it_leaves_no_thread(mesh):
    """The threads that write are gone with the pilot."""
    mesh.run(Backend(CART), synced)
    for thread in threading.enumerate():
        if "snapshot" in thread.name:
            thread.join(5)
            assert not thread.is_alive()


class TestRules:
    """Rule sources, likewise."""

    FILES = ({"kind": "file", "path": "rules"},)

    def start(self, mesh, backend, check):
        """A pilot with rules; what `check` gives."""
        found = []

        async def story(pilot):
            await synced(pilot)
            found.append(check(pilot))

        mesh.run(backend, story, mesh.settings(rules=self.FILES))
        return found[0]

    def test_documents_are_in_force_from_the_snapshot(self, mesh, caplog):
        """As STALE, with the positions that they had."""
        before = self.start(mesh, Backend(CART), lambda pilot: pilot.rules)
        (mesh.folder / "rules").rename(mesh.folder / "away")

        def check(pilot):
            (document,) = rules_document(pilot.rule_sources())["rule_sources"]
            assert (document["condition"], document["is_synced"], document["is_restored"]) == (
                *("STALE", False, True),
            )
            assert document["documents"] == 1
            assert "the rule source file is in force from the snapshot" in pilot.remarks()
            return pilot.rules

        after = self.start(mesh, Backend(CART), check)
        assert after == before != RuleSet()
        assert "rules file: what it said until" in caplog.text

    def test_the_last_good_version_outlives_a_restart(self, mesh):
        """A document that is broken now, and was good before the start."""

        async def break_it(pilot):
            await synced(pilot)
            (mesh.folder / "rules" / "a.yaml").write_text(RULE.replace("host", "hots"))
            async with asyncio.timeout(10):
                while not any(one.errors for one in pilot.rule_sources()):  # noqa: ASYNC110 - files tell no event
                    await asyncio.sleep(0.01)
            assert pilot.rules == good[0]

        good = [self.start(mesh, Backend(CART), lambda pilot: pilot.rules)]
        mesh.run(Backend(CART), break_it, mesh.settings(rules=self.FILES))

        async def begin_again(pilot):
            async with asyncio.timeout(10):
                while not pilot.rule_sources()[0].is_synced:  # noqa: ASYNC110 - files tell no event
                    await asyncio.sleep(0.01)
            (status,) = pilot.rule_sources()
            assert not status.is_restored
            assert status.errors
            assert pilot.rules == good[0]

        mesh.run(Backend(CART), begin_again, mesh.settings(rules=self.FILES))

    def test_a_file_without_documents_never_stops_the_start(self, mesh, caplog):
        """It is damaged in a way that its format allows."""
        self.start(mesh, Backend(CART), lambda pilot: pilot.rules)
        file = mesh.folder / "kept" / "rules-file.jsonl"
        file.write_text(file.read_text().replace('{"name":"",', '{"name":"east",'))
        assert self.start(mesh, Backend(CART), lambda pilot: pilot.rules) != RuleSet()
        assert "the snapshot of rules file is not used: it holds no documents" in caplog.text

    def test_what_a_file_said_before_it_was_broken_outlives_a_restart(self, mesh):
        """What cannot even be parsed may be any of the documents that its file held."""
        file = mesh.folder / "rules" / "a.yaml"
        both = f"{RULE}---\n{RULE.replace('name: a', 'name: b').replace('a.example', 'b.example')}"
        file.write_text(both)
        good = self.start(mesh, Backend(CART), lambda pilot: pilot.rules)
        assert len(good.policies) == 2
        file.write_text(f"{RULE}---\n{{")

        async def begin_again(pilot):
            async with asyncio.timeout(10):
                while not pilot.rule_sources()[0].is_synced:  # noqa: ASYNC110 - files tell no event
                    await asyncio.sleep(0.01)
            assert pilot.rule_sources()[0].errors
            assert pilot.rules == good

        mesh.run(Backend(CART), begin_again, mesh.settings(rules=self.FILES))
