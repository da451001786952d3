"""Facts of the kind `mesos` over the wire, on the master that lives in the test."""

from __future__ import annotations

import logging

import pytest
from aiohttp import web
from fake_mesos import FakeMaster, published, task
from mesos_attempts import Attempt

import meshregistry_mesos
from meshregistry.errors import RegistryAuthError, RegistryProtocolError, RegistryUnavailable
from meshregistry.spi import Secret
from meshregistry.testing import FakeContext
from meshregistry_mesos import MesosConfig
from meshregistry_mesos._master import MesosClient

KIND = meshregistry_mesos.meshregistry_register_registries()[0]
WEB = published("web", "10.0.0.1")


def attempt(*masters, **options):
    """One attempt against some masters: impatient, but for a loop that stands still a while."""
    words = {"heartbeats": 50, "timeout": 1.0} | options
    addresses = tuple(one if isinstance(one, str) else one.address for one in masters)
    return Attempt(KIND, MesosConfig(masters=addresses, **words))


def test_a_stream_that_comes_byte_by_byte_is_read(run_async):
    """State and events."""

    async def main():
        async with FakeMaster() as master:
            master.is_split = True
            master.add(task("a", ip="10.0.0.1"))
            async with attempt(master) as run:
                await run.shows(WEB)
                master.add(task("b", ip="10.0.0.2"))
                await run.shows(published("web", "10.0.0.1", "10.0.0.2"))

    run_async(main())


def test_a_large_state_is_read_in_threads(run_async, monkeypatch):
    """Its JSON, its tasks and its services, so that the loop turns meanwhile."""
    called = []
    in_thread = FakeContext.in_thread

    def noted(self, call, *words):
        called.append(call.__name__)
        return in_thread(self, call, *words)

    monkeypatch.setattr(FakeContext, "in_thread", noted)

    async def main():
        async with FakeMaster() as master:
            places = [f"10.0.{n // 200}.{n % 200 + 1}" for n in range(400)]
            master.add(*(task(f"t{n}", ip=ip) for n, ip in enumerate(places)))
            async with attempt(master) as run:
                await run.shows(published("web", *places))
                assert ["loads", "listed", "services"] == called

    run_async(main())


def test_the_leader_is_followed_from_a_redirect(run_async):
    """Whose address is relative to the protocol, and may be unknown without credentials."""

    async def main():
        async with FakeMaster() as leader, FakeMaster() as standby:
            leader.add(task("a", ip="10.0.0.1"))
            standby.leader = leader.address
            async with attempt(standby) as run:
                await run.shows(WEB)
                assert ["SUBSCRIBE"] == standby.calls
                assert ["SUBSCRIBE", "GET_MASTER"] == leader.calls

    run_async(main())


def test_credentials_go_to_named_masters_only(run_async):
    """A leader that the settings do not name is refused with what to do; then it is asked."""

    async def main():
        async with FakeMaster() as leader, FakeMaster() as standby:
            leader.add(task("a", ip="10.0.0.1"))
            leader.password = "mesh:planted"
            standby.leader = leader.address
            words = {"username": "mesh", "password": Secret("planted")}
            async with attempt(standby, **words) as run:
                error = await run.failure()
                assert isinstance(error, RegistryUnavailable)
                assert f"{leader.address} as the leader, which is not among masters" in str(error)
                assert [] == leader.calls
            async with attempt(standby, leader, **words) as run:
                await run.shows(WEB)

    run_async(main())


def test_masters_that_redirect_in_circles_are_unavailable(run_async):
    """And not asked for ever."""

    async def main():
        async with FakeMaster() as one, FakeMaster() as other:
            one.leader, other.leader = other.address, one.address
            async with attempt(one) as run:
                assert "redirects from" in str(await run.failure())
            assert 5 == len(one.calls) + len(other.calls)

    run_async(main())


def test_the_next_master_is_asked_if_one_cannot_answer(run_async):
    """Recovering, or not there; if none can, the first reason is told."""

    async def main():
        async with FakeMaster() as recovering, FakeMaster() as leader:
            recovering.is_recovering = True
            leader.add(task("a", ip="10.0.0.1"))
            async with attempt("http://127.0.0.1:9", recovering, leader) as run:
                await run.shows(WEB)
            async with attempt(recovering, "http://127.0.0.1:9") as run:
                error = await run.failure()
                assert isinstance(error, RegistryUnavailable)
                assert "503 Master has not finished recovery" in str(error)

    run_async(main())


def test_missing_heartbeats_mean_a_lost_connection(run_async):
    """After so many of them, whatever else is open."""

    async def main():
        async with FakeMaster(heartbeat=0.2) as master:
            master.add(task("a", ip="10.0.0.1"))
            async with attempt(master, heartbeats=2) as run:
                await run.shows(WEB)
                await run.until(lambda: "confirm" in run.sink.methods, "heartbeats confirm")
                master.is_silent = True
                error = await run.failure()
                assert isinstance(error, RegistryUnavailable)
                assert "no heartbeat of" in str(error)

    run_async(main())


def test_what_mesos_does_not_tell_a_listing_finds(run_async):
    """Every `resync`, by a new subscription; the old one is left once the new one has begun."""

    async def main():
        async with FakeMaster() as master:
            master.add(task("a", ip="10.0.0.1"))
            async with attempt(master, resync=0.1) as run:
                await run.shows(WEB)
                # Late, and with no event for it: the state is the same.
                master.tasks["a"]["statuses"][0]["container_status"]["network_infos"][0][
                    "ip_addresses"
                ][0]["ip_address"] = "10.0.0.2"
                await run.shows(published("web", "10.0.0.2"))
                await run.until(lambda: run.context.counts["listings"] > 3, "more listings")
                await run.until(lambda: master.subscribers == 1, "one subscription")
                assert "remove" not in run.sink.methods

    run_async(main())


def test_a_listing_that_fails_leaves_the_subscription(run_async):
    """What it says is current for as long as it goes on."""

    async def main():
        async with FakeMaster() as master:
            master.add(task("a", ip="10.0.0.1"))
            async with attempt(master, resync=0.05) as run:
                await run.shows(WEB)
                master.is_recovering = True
                asked = len(master.calls)
                await run.until(lambda: len(master.calls) > asked, "a listing is tried")
                master.add(task("b", ip="10.0.0.2"))
                await run.shows(published("web", "10.0.0.1", "10.0.0.2"))

    run_async(main())


def test_a_task_that_reappears_is_listed(run_async):
    """The update of a task that was lost does not say what it is."""

    async def main():
        async with FakeMaster() as master:
            master.add(task("a", ip="10.0.0.1"))
            async with attempt(master) as run:
                await run.shows(WEB)
                lost = master.tasks["a"]
                master.update("a", "TASK_LOST")
                await run.shows()
                master.tasks["a"] = lost
                master.update("a", "TASK_RUNNING", ip="10.0.0.1")
                await run.shows(WEB)

    run_async(main())


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ("{", "is no JSON"),
        ('{"type": "HEARTBEAT"}', "not SUBSCRIBED"),
        ("7", "is not that of Mesos"),
    ],
)
def test_another_stream_is_not_mesos(run_async, record, reason):
    """And says so."""

    async def main():
        async def answer(request):
            if (await request.json())["type"] == "GET_MASTER":
                return web.json_response({"get_master": {"master_info": {"id": "m"}}})
            return web.Response(text=f"{len(record)}\n{record}")

        async with serving(answer) as address, attempt(address) as run:
            error = await run.failure()
            assert isinstance(error, RegistryProtocolError)
            assert reason in str(error)

    run_async(main())


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, RegistryAuthError),
        (403, RegistryAuthError),
        (404, RegistryProtocolError),
        (429, RegistryUnavailable),
        (500, RegistryUnavailable),
        (301, RegistryProtocolError),
    ],
)
def test_answers_without_success_are_told_apart(run_async, status, expected):
    """By how soon it is worth asking again."""

    async def main():
        async def answer(_request):
            return web.Response(status=status, text="no")

        async with serving(answer) as address, attempt(address) as run:
            assert isinstance(await run.failure(), expected)

    run_async(main())


def test_a_planted_secret_stands_nowhere(run_async, caplog):
    """Neither in logs nor in errors nor in the options as they print."""

    async def main():
        async with FakeMaster() as master:
            master.password = "mesh:other"
            words = {"username": "mesh", "password": Secret("planted-7")}
            async with attempt(master, **words) as run:
                error = await run.failure()
                assert isinstance(error, RegistryAuthError)
                return f"{error!r} {run.config!r} {run.context!r} {run.sink.calls!r}"

    with caplog.at_level(logging.DEBUG):
        said = run_async(main())
    assert "planted-7" not in said + caplog.text


def test_a_rotated_secret_is_tried_at_once(run_async, tmp_path, monkeypatch):
    """A file that has changed since the question was sent."""
    file = tmp_path / "password"
    file.write_text("old\n")

    async def main():
        async with FakeMaster() as master:
            master.add(task("a", ip="10.0.0.1"))
            master.password = "mesh:new"
            sent = MesosClient._sent

            async def rotating(self, *words):
                response = await sent(self, *words)
                file.write_text("new\n")
                return response

            monkeypatch.setattr(MesosClient, "_sent", rotating)
            async with attempt(master, username="mesh", password=Secret(file=file)) as run:
                await run.shows(WEB)

    run_async(main())


def test_a_token_of_dcos_is_sent_in_its_form(run_async):
    """``token=`` and no ``Bearer``."""

    async def main():
        async with FakeMaster() as master, attempt(master, token=Secret("jwt")) as run:
            await run.until(lambda: "replace" in run.sink.methods)
            assert {"token=jwt"} == set(master.seen)

    run_async(main())


class serving:  # noqa: N801 - used as a function
    """A server that answers every call like this; gives its address."""

    def __init__(self, answer):
        self._answer = answer

    async def __aenter__(self):
        app = web.Application()
        app.router.add_post("/api/v1", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def __aexit__(self, *_):
        await self._runner.cleanup()
