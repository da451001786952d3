"""A pilot for threaded programs: the same names, blocking."""

from __future__ import annotations

import inspect
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from meshregistry import Endpoint, Pilot
from meshregistry.errors import ConfigError
from meshregistry.model import ServiceKey
from meshregistry.pilot import ThreadedPilot

PILOTS = "meshregistry-pilot"


def pilot_threads():
    """The threads of pilots that are alive."""
    return [one for one in threading.enumerate() if one.name.startswith(PILOTS)]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    """Whatever a test does, no thread of a pilot survives it."""
    yield
    assert [] == pilot_threads()


def public(cls):
    """The public names of a class."""
    return {name for name, _ in inspect.getmembers(cls) if not name.startswith("_")}


class TestNames:
    def test_are_those_of_the_pilot(self):
        """But for what makes a pilot, reports its faults, or waits for ever."""
        only_async = {"in_thread", "discover", "fail", "wait_failed", "drain", "source_order"}
        assert public(Pilot) - only_async == public(ThreadedPilot)

    @pytest.mark.parametrize("name", ["synced", "published", "changes", "explain", "reload"])
    def test_take_the_same_arguments(self, name):
        """A program may change from one to the other."""
        ours, theirs = (inspect.signature(getattr(cls, name)) for cls in (Pilot, ThreadedPilot))
        assert ours.parameters.keys() == theirs.parameters.keys()


class TestUse:
    def test_the_whole_in_a_threaded_program(self, memory_settings, record):
        """Written from this thread, served from the pilot's."""
        with Pilot.in_thread(memory_settings) as pilot:
            pilot.memory("mine").upsert(record("a.b", "10.0.0.1:80"))
            assert pilot.published(timeout=5) == pilot.catalog.generation
            assert 1 == len(pilot.synced(timeout=5)) == len(pilot.merged)
            assert {"xds", "http", "admin", "probes"} == set(pilot.addresses())
            assert pilot.addresses()["xds"] == pilot.xds_address
            assert pilot.addresses()["http"] == pilot.http_address
            assert (None, (), (), ()) == (
                pilot.failed,
                pilot.health(),
                pilot.readiness(),
                pilot.unsynced(),
            )
            assert ["mine"] == [status.id for status in pilot.sources()]
            assert {"proxies": []} == pilot.proxies_document()
            assert pilot.resources_document("edge", "cds")["types"]
            assert pilot.explain("a.b", "edge")["resources"]["types"]
            assert pilot.statistics()
            assert list(pilot.collector.collect())
            assert () == pilot.reload(memory_settings).applied

    def test_memory_works_before_entering(self, memory_settings, record):
        """As with the pilot itself."""
        pilot = Pilot.in_thread(memory_settings, serve=False)
        pilot.memory("mine").upsert(record("a.b", "10.0.0.1:80"))
        with pilot:
            assert 1 == len(pilot.synced(timeout=5))

    def test_many_threads_may_use_it(self, memory_settings, record):
        """Each write is in the world that its thread waits for."""
        with Pilot.in_thread(memory_settings, serve=False) as pilot:

            def write(number):
                key = ServiceKey.parse(f"a{number}.b")
                pilot.memory("mine").upsert(record(f"a{number}.b", "10.0.0.1:80"))
                pilot.published(timeout=5)
                return key in pilot.catalog

            with ThreadPoolExecutor(4) as pool:
                assert [True] * 12 == list(pool.map(write, range(12)))

    def test_timeouts_are_those_of_the_pilot(self, make_settings):
        """They name the source."""
        settings = make_settings({"id": "mine", "kind": "memory", "manual": True})
        with (
            Pilot.in_thread(settings, serve=False) as pilot,
            pytest.raises(TimeoutError, match="not synced: mine"),
        ):
            pilot.synced(timeout=0.01)


class TestChanges:
    def test_block_and_end_on_exit(self, memory_settings, record):
        """A follower in another thread sees each change and then its loop ends."""
        seen, told = [], threading.Event()

        def follow(changes):
            for diff in changes:
                seen.extend(diff.added)
                told.set()

        with Pilot.in_thread(memory_settings, serve=False) as pilot:
            follower = threading.Thread(target=follow, args=[pilot.changes()])
            follower.start()
            pilot.memory("mine").upsert(record("a.b", "10.0.0.1:80"))
            assert told.wait(5)
        follower.join(5)
        assert not follower.is_alive()
        assert [ServiceKey.parse("a.b")] == seen

    def test_of_a_pilot_that_was_left_are_over(self, memory_settings):
        """A loop that comes late ends, too."""
        with Pilot.in_thread(memory_settings, serve=False) as pilot:
            changes = pilot.changes()
        assert [] == list(changes)


class TestLife:
    def test_an_error_on_entering_leaves_no_thread(self, make_settings):
        """Whether of the settings or of an address; the fixture looks for the thread."""
        with pytest.raises(ConfigError, match="nonsense"):
            Pilot.in_thread(make_settings({"id": "x", "kind": "nonsense"})).__enter__()
        with socket.create_server(("127.0.0.1", 0)) as taken:
            busy = f"127.0.0.1:{taken.getsockname()[1]}"
            with pytest.raises(OSError, match=busy):
                Pilot.in_thread(
                    make_settings(server={"xds": busy, "http": "127.0.0.1:0"})
                ).__enter__()

    def test_leaving_leaves_no_thread(self, memory_settings):
        """Neither the pilot's nor those of its loop."""
        before = threading.active_count()
        with Pilot.in_thread(memory_settings):
            assert 1 == len(pilot_threads())
        assert [] == [one for one in threading.enumerate() if one.name.startswith("asyncio")]
        assert before >= threading.active_count() - _grpc_threads()

    def test_it_is_entered_once(self, memory_settings):
        """As the pilot."""
        pilot = Pilot.in_thread(memory_settings, serve=False)
        with pilot, pytest.raises(RuntimeError, match="entered once"):
            pilot.__enter__()
        with pytest.raises(RuntimeError, match="entered once"):
            pilot.__enter__()

    def test_leaving_twice_is_harmless(self, memory_settings):
        """Exit is idempotent."""
        pilot = Pilot.in_thread(memory_settings, serve=False)
        with pilot:
            pass
        pilot.__exit__(None, None, None)

    def test_outside_it_says_how_to_get_in(self, memory_settings):
        """Before and after."""
        pilot = Pilot.in_thread(memory_settings, serve=False)
        with pytest.raises(RuntimeError, match="use it within `with`"):
            pilot.synced()
        with pilot:
            pass
        with pytest.raises(RuntimeError, match="use it within `with`"):
            _ = pilot.catalog

    def test_a_call_that_waits_when_it_is_left_ends(self, make_settings):
        """With an error that says why."""
        settings = make_settings({"id": "mine", "kind": "memory", "manual": True})
        errors, waiting = [], threading.Event()

        def wait(pilot):
            waiting.set()
            try:
                pilot.synced()
            except RuntimeError as error:
                errors.append(str(error))

        with Pilot.in_thread(settings, serve=False) as pilot:
            thread = threading.Thread(target=wait, args=[pilot])
            thread.start()
            assert waiting.wait(5)
        thread.join(5)
        assert 1 == len(errors)

    def test_its_own_thread_must_not_wait_for_itself(self, memory_settings):
        """That would be for ever."""
        with Pilot.in_thread(memory_settings, serve=False) as pilot:

            async def call():
                return pilot.catalog

            with pytest.raises(RuntimeError, match="would wait for itself"):
                pilot._run(call())


class TestFork:
    def test_every_method_raises(self, memory_settings, monkeypatch):
        """Threads do not survive a fork; the error says what to do instead."""
        with Pilot.in_thread(memory_settings) as pilot:
            endpoint = Endpoint(address="10.0.0.1", port=80)
            arguments = {
                "memory": ["mine"],
                "explain": ["a.b"],
                "diff": ["mine", "mine"],
                "resources_document": ["edge"],
                "reload": [memory_settings],
                "serving": [endpoint],
                "drained": [endpoint],
            }
            with monkeypatch.context() as forked:
                forked.setattr(os, "getpid", lambda: -1)
                for name in public(ThreadedPilot):
                    with pytest.raises(RuntimeError, match="before a fork"):
                        getattr(pilot, name)(*arguments.get(name, []))
                for leave in (pilot.__enter__, pilot.__exit__):
                    with pytest.raises(RuntimeError, match="start one in each worker process"):
                        leave()
            assert pilot.published(timeout=5)


def _grpc_threads():
    """Threads that gRPC keeps for the whole process."""
    return sum(not one.name.startswith("meshregistry") for one in threading.enumerate()) - 1
