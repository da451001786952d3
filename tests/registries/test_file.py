"""The file registry as the core runs it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading

import pytest

from meshregistry.documents import from_plain, structure
from meshregistry.errors import RegistryUnavailable
from meshregistry.registries import FileConfig, FileRegistry, document_faults
from meshregistry.testing import ManualClock, RecordingSink, context


def service(host, endpoint="10.0.0.1:80"):
    """The text of a document."""
    return f"services: [{{host: {host}, ports: [{{port: 80}}], endpoints: ['{endpoint}']}}]\n"


class Events:
    """Stands for the file system: the test says when there is a hint."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.calls: list[list[str]] = []
        self.hint = lambda: None
        self.stops: list[threading.Event] = []
        self.started = threading.Semaphore(0)

    async def watching(self):
        """Wait until a watch has begun that was not waited for before."""
        assert await asyncio.to_thread(self.started.acquire, timeout=10)

    def __call__(self, folders, path, hint, stop):
        """Watch, in a thread."""
        self.calls.append([folder.name for folder in folders])
        self.hint = hint
        self.stops.append(stop)
        self.started.release()
        if self.failure is not None:
            raise self.failure
        stop.wait(30)


class NotingClock(ManualClock):
    """A manual clock that tells when somebody goes to sleep."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: asyncio.Queue[float] = asyncio.Queue()

    async def sleep(self, seconds):
        """Note it, and sleep."""
        self.noted.put_nowait(seconds)
        await super().sleep(seconds)

    async def slept(self, *, at_most):
        """Wait for a sleep of so many seconds at most."""
        while await self.noted.get() > at_most:
            pass


@contextlib.asynccontextmanager
async def running(path, *, events=None, watch="auto"):
    """A registry that runs, with its sink and clock."""
    clock = NotingClock()
    sink = RecordingSink()
    registry = FileRegistry(
        FileConfig(path=path, watch=watch),
        context(clock=clock, base_path=path.parent),
        watch=events or Events(),
    )
    task = asyncio.create_task(registry.run(sink))
    try:
        yield sink, clock
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def calls(number, method=None):
    """A condition: so many calls, of this method."""
    return lambda sink: sum(method in {None, one} for one in sink.methods) >= number


@pytest.fixture
def folder(tmp_path):
    """A folder of one document."""
    path = tmp_path / "services"
    path.mkdir()
    (path / "a.yaml").write_text(service("a"))
    return path


def test_the_first_word_is_a_complete_listing(folder, run_async):
    """Everything there is, in one replace."""

    async def main():
        async with running(folder) as (sink, _):
            await sink.wait_for(calls(1))
            assert sink.methods[0] == "replace"
            assert list(sink.records()) == ["a"]

    run_async(main())


def test_an_event_is_a_hint_and_hashes_decide(folder, run_async):
    """A hint without a change confirms, one with a change replaces."""

    async def main():
        events = Events()
        async with running(folder, events=events) as (sink, clock):
            await events.watching()
            await clock.sleeping()
            events.hint()
            await sink.wait_for(calls(1, "confirm"))
            (folder / "a.yaml").write_text(service("a", "10.0.0.2:80"))
            await clock.sleeping()
            events.hint()
            await sink.wait_for(calls(2, "replace"))
            assert ["10.0.0.2:80"] == [str(e) for e in sink.records()["a"].endpoints]

    run_async(main())


def test_all_is_looked_at_again_every_30_s(folder, run_async):
    """Events may be lost."""

    async def main():
        async with running(folder) as (sink, clock):
            await sink.wait_for(calls(1))
            (folder / "b.yaml").write_text(service("b"))
            await clock.sleeping()
            await clock.advance(29)
            assert sink.methods == ("replace",)
            await clock.advance(1)
            await sink.wait_for(calls(2))
            assert list(sink.records()) == ["a", "b"]

    run_async(main())


def test_poll_looks_every_2_s_and_watches_nothing(folder, run_async):
    """For file systems without events."""

    async def main():
        events = Events()
        async with running(folder, events=events, watch="poll") as (sink, clock):
            await sink.wait_for(calls(1))
            await clock.sleeping()
            await clock.advance(2)
            await sink.wait_for(calls(1, "confirm"))
        assert events.calls == []

    run_async(main())


def test_a_removed_file_is_confirmed_half_a_second_later(folder, run_async):
    """Not after 30 s, and not at once."""

    async def main():
        events = Events()
        async with running(folder, events=events) as (sink, clock):
            await events.watching()
            await clock.sleeping()
            (folder / "a.yaml").unlink()
            events.hint()
            await clock.slept(at_most=1)
            assert list(sink.records()) == ["a"]
            await clock.advance(0.6)
            await sink.wait_for(calls(2, "replace"))
            assert sink.records() == {}

    run_async(main())


def test_a_missing_path_degrades_until_it_is_there(tmp_path, run_async):
    """The nearest existing parent is watched, and nothing is published."""

    async def main():
        events = Events()
        path = tmp_path / "x" / "services"
        async with running(path, events=events) as (sink, clock):
            await sink.wait_for(calls(1))
            (call,) = sink.calls
            assert isinstance(call.value, RegistryUnavailable)
            assert str(call.value) == (
                "there is no file or folder services; make it, or correct path:"
            )
            await events.watching()
            await clock.sleeping()
            path.mkdir(parents=True)
            (path / "a.yaml").write_text(service("a"))
            events.hint()
            await sink.wait_for(calls(1, "replace"))
            assert list(sink.records()) == ["a"]
            assert [tmp_path.name] == events.calls[0]
            await events.watching()
            assert ["x", "services"] == events.calls[-1]
            assert [True, False] == [stop.is_set() for stop in events.stops]

    run_async(main())


def test_a_broken_document_is_reported_with_its_key(folder, run_async):
    """File, line and field are named, and the record stays."""

    async def main():
        events = Events()
        async with running(folder, events=events) as (sink, clock):
            await events.watching()
            await clock.sleeping()
            (folder / "a.yaml").write_text(service("a", "10.0.0.2"))
            events.hint()
            await sink.wait_for(calls(2, "replace"))
            (fault,) = sink.calls[-1].faulty
            assert (fault.key, ["10.0.0.1:80"]) == (
                "a",
                [str(e) for e in sink.records()["a"].endpoints],
            )
            assert str(fault).startswith(
                "services/a.yaml:1:55: services[0].endpoints[0]: '10.0.0.2'"
            )

    run_async(main())


def test_a_watch_that_fails_is_replaced_by_looking_more_often(folder, run_async, caplog):
    """Said once; each round tries to watch again."""

    async def main():
        events = Events(OSError("no more watches"))
        async with running(folder, events=events) as (sink, clock):
            await sink.wait_for(calls(1))
            for number in (1, 2):
                await clock.slept(at_most=2)
                await clock.advance(2)
                await sink.wait_for(calls(number, "confirm"))
        assert len(events.calls) >= 2

    with caplog.at_level(logging.WARNING):
        run_async(main())
    (record,) = caplog.records
    assert "are not told (no more watches): looking every 2 s" in record.getMessage()


def test_leaving_stops_the_watch(folder, run_async):
    """At once, and nothing is left behind."""

    async def main():
        events = Events()
        async with running(folder, events=events) as (_, clock):
            await events.watching()
            await clock.sleeping()
            assert [False] == [stop.is_set() for stop in events.stops]
        assert [True] == [stop.is_set() for stop in events.stops]

    run_async(main())


def test_the_options_are_structured_from_the_settings(tmp_path):
    """Relative paths start from the settings' folder."""
    node = from_plain({"path": "services/", "watch": "poll"})
    config = structure(node, FileConfig, base_path=tmp_path)
    assert config == FileConfig(path=tmp_path / "services", watch="poll")


def test_check_names_every_fault_of_a_folder(folder):
    """Without running anything; a good folder has none."""
    assert document_faults(folder) == []
    (folder / "b.yaml").write_text("services: [{host: b}]\n---\na: [\n")
    (folder / "c.yaml").symlink_to("c.yaml")
    faults = document_faults(folder)
    assert ["b.yaml:1", "b.yaml:4", "c.yaml:None"] == [
        f"{fault.file.rpartition('/')[2]}:{fault.line}" for fault in faults
    ]
    assert all(fault.remedy for fault in faults)
    (missing,) = document_faults(folder / "none")
    assert missing.message.endswith(
        "none: cannot be read: No such file or directory; correct the path"
    )
