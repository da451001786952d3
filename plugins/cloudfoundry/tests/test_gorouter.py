"""Facts of following routes, on the NATS that lives in the test."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time

import pytest
from fake_nats import FakeNats, message

from meshregistry.errors import RegistryAuthError, RegistryUnavailable
from meshregistry.model import Resolution
from meshregistry.spi import Secret
from meshregistry.testing import RecordingSink, context
from meshregistry_cloudfoundry import GorouterConfig, open_gorouter

PLANTED = "planted-secret"


class RealClock:
    """Time as it is."""

    def now(self):
        return time.monotonic()

    async def sleep(self, seconds):
        await asyncio.sleep(max(seconds, 0))


@contextlib.asynccontextmanager
async def following(nats, **options):
    """The sink of a registry that runs, and the task; options over impatient ones."""
    options = {
        "servers": (nats.address,) if nats else (),
        "register_interval": 0.05,
        "sweep": 0.05,
        "connect_timeout": 1.0,
        **options,
    }
    given = context(clock=RealClock())
    sink = RecordingSink()
    sink.context = given
    task = asyncio.create_task(open_gorouter(GorouterConfig(**options), given).run(sink))
    try:
        yield sink, task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def ended(task):
    """What ended it."""
    async with asyncio.timeout(5):
        await asyncio.wait([task])
    return task.exception()


async def until(holds):
    """Wait for a condition of a double."""
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - a condition of a double, not of an event
            await asyncio.sleep(0.002)


class TestFollowing:
    def test_the_first_word_comes_after_two_intervals(self, run_async):
        """With what was heard meanwhile, in one replace."""

        async def main():
            async with FakeNats() as nats, following(nats, register_interval=0.2) as (sink, _):
                began = time.monotonic()
                await until(lambda: nats.subscribers)
                for number in range(5):
                    nats.publish("router.register", message(f"r{number}.example", "10.0.0.1"))
                await sink.wait_for(lambda sink: sink.calls)
                assert time.monotonic() - began >= 0.4
                assert "replace" == sink.calls[0].method
                assert {f"r{number}.example" for number in range(5)} == set(sink.records())

        run_async(main())

    def test_a_router_is_asked_for_its_interval(self, run_async):
        """And nothing else is published: a start would make every emitter repeat everything."""

        async def main():
            async with FakeNats() as nats:
                nats.greeting = {"minimumRegisterIntervalInSeconds": 3600}
                async with following(nats) as (sink, _):
                    await until(lambda: nats.published)
                    await asyncio.sleep(0.3)
                    assert () == sink.calls
                    assert [("router.greet", b"")] == nats.published
                    # A router that starts says another one.
                    nats.publish("router.start", {"minimumRegisterIntervalInSeconds": 0.01})
                    await sink.wait_for(lambda sink: sink.calls)

        run_async(main())

    def test_a_start_is_published_if_it_is_asked_for(self, run_async):
        """In the words of a router."""

        async def main():
            async with FakeNats() as nats, following(nats, announce=True, register_interval=7.0):
                await until(lambda: len(nats.published) > 1)
                subject, content = nats.published[1]
                assert "router.start" == subject
                said = json.loads(content)
                assert (7, 120) == (
                    said["minimumRegisterIntervalInSeconds"],
                    said["pruneThresholdInSeconds"],
                )

        run_async(main())

    def test_a_burst_for_one_route_is_few_records(self, run_async):
        """A record of a thousand endpoints is not made a thousand times."""

        async def main():
            async with FakeNats() as nats, following(nats) as (sink, _):
                await sink.wait_for(lambda sink: sink.calls)
                for number in range(1000):
                    nats.publish(
                        "router.register",
                        message("r.example", f"10.0.{number // 250}.{number % 250}"),
                    )
                await sink.wait_for(
                    lambda sink: (
                        "r.example" in sink.records()
                        and len(sink.records()["r.example"].endpoints) == 1000
                    )
                )
                assert sink.methods.count("upsert") < 100

        run_async(main())

    def test_quiet_is_confirmed_and_repetitions_publish_nothing(self, run_async):
        """A source without news is alive."""

        async def main():
            async with FakeNats() as nats, following(nats) as (sink, _):
                await sink.wait_for(lambda sink: sink.calls)
                for _ in range(5):
                    nats.publish("router.register", message("r.example", "10.0.0.1"))
                    await asyncio.sleep(0.03)
                await sink.wait_for(lambda sink: sink.methods.count("confirm") > 2)
                assert 1 == sink.methods.count("upsert")

        run_async(main())

    def test_other_subjects_are_passed_over(self, run_async):
        """One subscription hears them, too."""

        async def main():
            async with FakeNats() as nats, following(nats) as (sink, _):
                await sink.wait_for(lambda sink: sink.calls)
                nats.publish("router.active_apps", b"\x78\x9c")
                nats.publish("router.register", message("r.example", "router.internal"))
                await sink.wait_for(lambda sink: "upsert" in sink.methods)
                assert Resolution.DNS is sink.records()["r.example"].service.resolution
                assert "degrade" not in sink.methods

        run_async(main())

    def test_internal_routes_lead_to_containers(self, run_async):
        """If the settings say at which port; as their service discovery registers them."""

        async def main():
            told = {"host": "10.255.0.1", "uris": ["cart.apps.internal", "0.cart.apps.internal"]}
            async with FakeNats() as nats:
                async with following(nats, internal_port=8080, backends="tls-only") as (sink, _):
                    await sink.wait_for(lambda sink: sink.calls)
                    nats.publish("service-discovery.register", told)
                    await sink.wait_for(lambda sink: len(sink.records()) == 2)
                    record = sink.records()["cart.apps.internal"]
                    assert 8080 == record.service.ports[0].number
                    assert ["10.255.0.1:8080"] == [str(one) for one in record.endpoints]
                    nats.publish("service-discovery.unregister", told)
                    await sink.wait_for(lambda sink: not sink.records())
                async with following(nats) as (sink, _):
                    await sink.wait_for(lambda sink: sink.calls)
                    nats.publish("service-discovery.register", told)
                    nats.publish("router.register", message("r.example", "10.0.0.1"))
                    await sink.wait_for(lambda sink: "upsert" in sink.methods)
                    assert {"r.example"} == set(sink.records())

        run_async(main())

    def test_a_message_without_a_route_is_reported_and_the_report_ends(self, run_async):
        """By a new listing: there is no other way to take it back."""

        async def main():
            async with FakeNats() as nats, following(nats, stale_threshold=0.3) as (sink, _):
                await sink.wait_for(lambda sink: sink.calls)
                nats.publish("router.register", b"nonsense")
                await sink.wait_for(lambda sink: "degrade" in sink.methods)
                await sink.wait_for(lambda sink: sink.methods.count("replace") == 2)
                assert () == sink.calls[-1].faulty
                assert 1 == sink.context.counts["malformed_messages"]

        run_async(main())


class TestTrouble:
    def test_a_connection_lost_before_everything_was_heard_ends_the_attempt(self, run_async):
        """Half of it says nothing."""

        async def main():
            async with FakeNats() as nats, following(nats, register_interval=60.0) as (sink, task):
                await until(lambda: nats.subscribers)
                nats.disconnect()
                assert isinstance(await ended(task), RegistryUnavailable)
                assert () == sink.calls

        run_async(main())

    def test_in_an_outage_plain_routes_end_and_protected_ones_stay(self, run_async):
        """Although there is no connection, and the source is STALE."""

        async def main():
            async with FakeNats() as nats, following(nats) as (sink, _):
                await until(lambda: nats.subscribers)
                nats.publish(
                    "router.register", message("p.example", "10.0.0.1", tls=False, threshold=1)
                )
                nats.publish("router.register", message("t.example", "10.0.0.2", threshold=1))
                await sink.wait_for(lambda sink: sink.records())
                await nats.stop()
                await sink.wait_for(lambda sink: "remove" in sink.methods)
                assert {"t.example"} == set(sink.records())
                last = [call for call in sink.calls if call.method == "degrade"][-1]
                assert isinstance(last.value, RegistryUnavailable)

        run_async(main())

    def test_refused_credentials_end_the_attempt_once_nothing_can_expire_any_more(self, run_async):
        """Until then plain routes are watched: nobody would between two attempts."""

        async def main():
            async with FakeNats() as nats:
                nats.user, nats.password = "mesh", PLANTED
                options = {"user": "mesh", "password": Secret(PLANTED)}
                async with following(nats, **options) as (sink, task):
                    await until(lambda: nats.subscribers)
                    nats.publish(
                        "router.register", message("p.example", "10.0.0.1", tls=False, threshold=1)
                    )
                    nats.publish("router.register", message("t.example", "10.0.0.2", threshold=1))
                    await sink.wait_for(lambda sink: sink.records())
                    nats.password = "other"
                    nats.disconnect("Authorization Violation")
                    await sink.wait_for(lambda sink: "degrade" in sink.methods)
                    assert not task.done()
                    assert isinstance(await ended(task), RegistryAuthError)
                    assert {"t.example"} == set(sink.records())

        run_async(main())

    def test_secrets_are_never_printed(self, run_async, caplog):
        """Neither by errors nor by logs, also of the library."""
        caplog.set_level(logging.DEBUG)

        async def main():
            async with FakeNats() as nats:
                nats.user, nats.password = "mesh", "other"
                options = {"user": "mesh", "password": Secret(PLANTED)}
                async with following(nats, **options) as (_, task):
                    error = await ended(task)
                    shown = []
                    while error is not None:
                        shown.append(repr(error))
                        error = error.__cause__ or error.__context__
                    assert "refuses the credentials" in shown[0]
                    assert PLANTED not in "".join(shown) + caplog.text

        run_async(main())

    def test_a_server_without_tls_is_sent_no_credentials(self, run_async):
        """If TLS was asked for: somebody in between could have taken the offer out."""

        async def main():
            async with FakeNats() as nats:
                nats.user, nats.password = "mesh", PLANTED
                server = nats.address.replace("nats:", "tls:")
                options = {"user": "mesh", "password": Secret(PLANTED), "servers": (server,)}
                async with following(nats, **options) as (_, task):
                    error = await ended(task)
                    assert isinstance(error, RegistryUnavailable)
                    assert "no credentials are sent" in str(error)
                    assert 0 == nats.connects

        run_async(main())

    def test_a_subscription_that_is_not_allowed_is_a_refusal(self, run_async):
        """And what to allow is in the README."""

        async def main():
            async with FakeNats() as nats:
                for subject in ("router.*", "service-discovery.*"):
                    nats.denied = {subject}
                    async with following(nats, internal_port=8080) as (_, task):
                        error = await ended(task)
                        assert isinstance(error, RegistryAuthError)
                        assert f"subscribe to {subject}" in str(error)
                        assert "permissions in the README" in str(error)

        run_async(main())

    def test_a_question_that_is_not_allowed_does_no_harm(self, run_async):
        """Then the interval of the settings counts."""

        async def main():
            async with FakeNats() as nats:
                nats.denied = {"router.greet"}
                async with following(nats) as (sink, _):
                    await sink.wait_for(lambda sink: sink.calls)
                    assert "degrade" not in sink.methods

        run_async(main())

    def test_a_fault_of_ours_is_not_hidden_by_the_library(self, run_async, monkeypatch):
        """nats-py would log it, and the route would be missing for ever."""

        def broken(_data, _config, **_more):
            raise KeyError("ours")

        monkeypatch.setattr("meshregistry_cloudfoundry._gorouter.read_message", broken)

        async def main():
            async with FakeNats() as nats, following(nats) as (_, task):
                await until(lambda: nats.subscribers)
                nats.publish("router.register", b"{}")
                assert isinstance(await ended(task), KeyError)

        run_async(main())

    def test_another_server_is_taken(self, run_async):
        """Whichever comes first."""

        async def main():
            async with FakeNats() as nats:
                async with FakeNats() as dead:
                    pass
                for servers in ((dead.address, nats.address), (nats.address, dead.address)):
                    async with following(nats, servers=servers) as (sink, _):
                        await sink.wait_for(lambda sink: sink.calls)

        run_async(main())

    def test_credentials_that_cannot_be_read_are_a_refusal(self, run_async, tmp_path):
        """The file is named."""

        async def main():
            async with FakeNats() as nats:
                options = {"user": "mesh", "password": Secret(file=tmp_path / "absent")}
                async with following(nats, **options) as (_, task):
                    error = await ended(task)
                    assert isinstance(error, RegistryAuthError)
                    assert "absent" in str(error)

        run_async(main())

    @pytest.mark.parametrize("content", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"INFO nonsense\r\n"])
    def test_what_is_no_nats_is_named(self, run_async, content):
        """With its address."""

        async def main():
            async def answer(_reader, writer):
                writer.write(content)
                await writer.drain()
                writer.close()

            server = await asyncio.start_server(answer, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            async with server, following(None, servers=(f"127.0.0.1:{port}",)) as (_, task):
                error = await ended(task)
                assert isinstance(error, RegistryUnavailable)
                assert str(port) in str(error)

        run_async(main())
