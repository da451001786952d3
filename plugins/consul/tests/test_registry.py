"""Facts of following Consul, on the double that lives in the test."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time

import pytest
from attrs import evolve
from fake_consul import FakeConsul, instance, published

from meshregistry.errors import RegistryAuthError, RegistryProtocolError, RegistryUnavailable
from meshregistry.spi import Secret
from meshregistry.testing import RecordingSink, context
from meshregistry_consul import ConsulConfig, connect, open_registry


class RealClock:
    """Time as it is; pauses of the adapter are shortened."""

    def now(self):
        return time.monotonic()

    async def sleep(self, seconds):
        await asyncio.sleep(min(seconds, 0.02))


@contextlib.asynccontextmanager
async def following(consul, **options):
    """The sink of a registry that runs, and the task; options over impatient ones."""
    options = {"address": consul.address, "wait": 0.5, "timeout": 2.0, **options}
    config = ConsulConfig(**options)
    given = context(clock=RealClock())
    async with connect(config, given) as client:
        sink = RecordingSink()
        given = evolve(given, client=client)
        sink.context = given
        task = asyncio.create_task(open_registry(config, given).run(sink))
        try:
            yield sink, task
        finally:
            task.cancel()
            await asyncio.wait([task])


async def ended(task):
    """What ended it."""
    async with asyncio.timeout(5):
        await asyncio.wait([task])
    return [task.exception()]


def leaves(errors):
    """The single errors in groups of them."""
    for error in errors:
        yield from leaves(error.exceptions) if isinstance(error, BaseExceptionGroup) else (error,)


@pytest.fixture(params=[100, 0], ids=["watching", "sweeping"])
def max_watches(request):
    """Both ways to follow."""
    return request.param


class TestFollowing:
    def test_the_first_word_is_everything(self, run_async, max_watches):
        """One replace with all services."""

        async def main():
            async with FakeConsul() as consul:
                for n in range(5):
                    consul.set(f"s{n}", instance(f"s{n}"))
                async with following(consul, max_watches=max_watches) as (sink, _):
                    await sink.wait_for(lambda sink: sink.calls)
                    first = sink.calls[0]
                    assert "replace" == first.method
                    assert tuple(published(f"s{n}", "10.0.0.1") for n in range(5)) == first.value

        run_async(main())

    def test_flips_of_health_arrive(self, run_async, max_watches):
        """Although they do not move the index of the catalog."""

        async def main():
            async with FakeConsul() as consul:
                consul.set("web", instance("web"))
                async with following(consul, max_watches=max_watches, refresh=1000.0) as (sink, _):
                    await sink.wait_for(lambda sink: "confirm" in sink.methods)
                    consul.set("web", instance("web", status="critical", modified=9), is_check=True)
                    await sink.wait_for(
                        lambda sink: "UNHEALTHY" == str(sink.records()["web"].endpoints[0].health)
                    )

        run_async(main())

    def test_quiet_is_confirmed(self, run_async):
        """A query that returned unchanged says that all is current."""

        async def main():
            async with FakeConsul() as consul, following(consul, wait=0.05) as (sink, _):
                await sink.wait_for(lambda sink: sink.methods.count("confirm") > 2)
                assert ("replace",) == tuple(m for m in sink.methods if m != "confirm")

        run_async(main())

    def test_an_index_that_goes_back_is_asked_anew(self, run_async):
        """What comes after it is seen, and nothing flaps."""

        async def main():
            async with FakeConsul() as consul:
                consul.index = 1000
                consul.set("web", instance("web"))
                async with following(consul) as (sink, _):
                    await sink.wait_for(lambda sink: sink.calls)
                    await asyncio.sleep(0.05)
                    consul.go_back(7)
                    await asyncio.sleep(0.3)
                    consul.set("web", instance("web", "10.0.0.2"))
                    await sink.wait_for(
                        lambda sink: published("web", "10.0.0.2") == sink.records()["web"]
                    )
                    assert sink.context.counts["index_resets"] >= 1
                    assert "remove" not in sink.methods

        run_async(main())

    def test_the_way_changes_with_the_number_of_services(self, run_async):
        """Above max_watches it sweeps, well below it watches again."""

        async def main():
            async with FakeConsul() as consul:
                consul.set("s0", instance("s0"))
                async with following(consul, max_watches=2) as (sink, _):
                    await sink.wait_for(lambda sink: sink.calls)
                    for n in range(1, 4):
                        consul.set(f"s{n}", instance(f"s{n}"))
                    await sink.wait_for(lambda sink: len(sink.records()) == 4)
                    await consul.asked_for("/v1/health/state/any")
                    for n in range(1, 4):
                        consul.set(f"s{n}")
                    await sink.wait_for(lambda sink: list(sink.records()) == ["s0"])
                    consul.set("s0", instance("s0", "10.0.0.9"))
                    await sink.wait_for(
                        lambda sink: published("s0", "10.0.0.9") == sink.records()["s0"]
                    )
                    assert 2 == sink.context.counts["mode_changes"]

        run_async(main())

    def test_a_listing_asks_only_so_many_at_once(self, run_async, max_watches):
        """A hundred services are no storm."""

        async def main():
            async with FakeConsul() as consul:
                for n in range(90):
                    consul.set(f"s{n}", instance(f"s{n}"))
                async with following(consul, max_watches=max_watches, concurrency=4) as (sink, _):
                    await sink.wait_for(lambda sink: sink.calls)
                    assert 4 >= consul.most_running

        run_async(main())

    def test_a_sweep_finds_what_consul_does_not_name(self, run_async):
        """An edit of metadata moves the catalog and names nobody; a write of a node names its node."""

        async def main():
            async with FakeConsul() as consul:
                for n in range(4):
                    consul.set(f"s{n}", instance(f"s{n}", node=f"vm-{n}"))
                async with following(consul, max_watches=0, refresh=0.1) as (sink, _):
                    await sink.wait_for(lambda sink: "confirm" in sink.methods)
                    consul.edit("s3", instance("s3", "10.0.0.3", node="vm-3"))
                    await sink.wait_for(
                        lambda sink: published("s3", "10.0.0.3") == sink.records()["s3"]
                    )
                async with following(consul, max_watches=0, refresh=1000.0) as (sink, _):
                    await sink.wait_for(lambda sink: "confirm" in sink.methods)
                    consul._services["s2"] = [instance("s2", "10.0.0.2", node="vm-2")]
                    consul.move_node("vm-2")
                    await sink.wait_for(
                        lambda sink: published("s2", "10.0.0.2") == sink.records()["s2"]
                    )

        run_async(main())


class TestRights:
    def test_a_token_of_a_file_is_read_again(self, run_async, tmp_path):
        """A refused token is tried anew if the file has another one by then."""

        async def main():
            file = tmp_path / "token"
            file.write_text("one\n")
            async with FakeConsul() as consul:
                consul.token = "one"
                async with following(consul, token=Secret(file=file)) as (sink, task):
                    await sink.wait_for(lambda sink: sink.calls)
                    file.write_text("two")
                    consul.token = "two"
                    consul.set("web", instance("web"))
                    await sink.wait_for(lambda sink: "web" in sink.records())
                    assert not task.done()

        run_async(main())

    def test_a_refused_token_ends_the_attempt(self, run_async, max_watches):
        """The core retries slowly; the token is in no message."""

        async def main():
            async with FakeConsul() as consul:
                consul.token = "other"
                async with following(consul, token=Secret("s3cret"), max_watches=max_watches) as (
                    sink,
                    task,
                ):
                    (error,) = leaves(await ended(task))
                    assert isinstance(error, RegistryAuthError)
                    assert "s3cret" not in str(error)
                    assert () == sink.calls

        run_async(main())

    def test_an_unreadable_token_is_a_fault_of_credentials(self, run_async, tmp_path):
        """It names the option to look at."""

        async def main():
            async with (
                FakeConsul() as consul,
                following(consul, token=Secret(file=tmp_path / "no")) as (_, task),
            ):
                (error,) = leaves(await ended(task))
                assert isinstance(error, RegistryAuthError)
                assert "token_file" in str(error)

        run_async(main())

    def test_what_a_token_no_longer_sees_is_kept(self, run_async, max_watches):
        """A filtered listing says nothing of what it lacks; what is really gone goes."""

        async def main():
            async with FakeConsul() as consul:
                consul.set("web", instance("web"))
                consul.set("pay", instance("pay"))
                async with following(consul, max_watches=max_watches, refresh=0.1) as (sink, _):
                    await sink.wait_for(lambda sink: "confirm" in sink.methods)
                    consul.hidden = {"pay"}
                    consul.set("pay", instance("pay", "10.0.0.2"))
                    await sink.wait_for(lambda sink: "degrade" in sink.methods)
                    consul.set("web")
                    await sink.wait_for(lambda sink: "web" not in sink.records())
                    assert ["pay"] == list(sink.records())
                    consul.hidden = set()
                    consul.set("pay")
                    await sink.wait_for(lambda sink: not sink.records())

        run_async(main())


class TestTrouble:
    @pytest.mark.parametrize(
        ("status", "expected"),
        [(500, RegistryUnavailable), (400, RegistryProtocolError), (403, RegistryAuthError)],
    )
    def test_an_error_in_the_listing_publishes_nothing(self, run_async, status, expected):
        """And is sorted by what is to be done about it."""

        async def main():
            async with FakeConsul() as consul:
                consul.statuses = [status]
                async with following(consul) as (sink, task):
                    (error,) = leaves(await ended(task))
                    assert expected is type(error)
                    assert () == sink.calls

        run_async(main())

    def test_a_busy_agent_is_asked_again(self, run_async):
        """429 and 503 end no attempt, unless they go on."""

        async def main():
            async with FakeConsul() as consul:
                consul.set("web", instance("web"))
                consul.statuses = [429, 503]
                async with following(consul) as (sink, _):
                    await sink.wait_for(lambda sink: "web" in sink.records())

        run_async(main())

    def test_a_server_without_a_leader_is_not_believed(self, run_async):
        """Its stale answer may be empty for that reason."""

        async def main():
            async with FakeConsul() as consul:
                consul.has_leader = False
                async with following(consul) as (sink, task):
                    (error,) = leaves(await ended(task))
                    assert isinstance(error, RegistryUnavailable)
                    assert () == sink.calls

        run_async(main())

    def test_a_server_far_behind_is_not_believed(self, run_async):
        """max_staleness bounds how far."""

        async def main():
            async with FakeConsul() as consul:
                consul.last_contact = 5000
                async with following(consul, max_staleness=1.0) as (_, task):
                    (error,) = leaves(await ended(task))
                    assert "behind its leader" in str(error)

        run_async(main())


class TestDatacenters:
    def test_each_is_a_part(self, run_async):
        """One that cannot be reached degrades its part and leaves the other alone."""

        async def main():
            async with FakeConsul() as consul:
                consul.set("web", instance("web"))
                async with following(consul, datacenters=("dc1", "no-dc")) as (sink, task):
                    await sink.wait_for(lambda sink: "web" in sink.records("dc1"))
                    await sink.wait_for(
                        lambda sink: any(
                            c.method == "degrade" and c.part == "no-dc" for c in sink.calls
                        )
                    )
                    assert ["dc1", "no-dc"] == sink.context.declared
                    assert not task.done()

        run_async(main())

    def test_if_none_can_be_followed_the_attempt_ends(self, run_async):
        """So that the core backs off."""

        async def main():
            options = {"datacenters": ("no-a", "no-b")}
            async with FakeConsul() as consul, following(consul, **options) as (_, task):
                (error,) = leaves(await ended(task))
                assert "No path to datacenter" in str(error)

        run_async(main())


def test_the_question_is_put_as_configured(run_async):
    """Consistency, filters, namespace, partition and datacenter reach Consul."""

    async def main():
        async with FakeConsul() as consul:
            consul.set("web", instance("web"))
            options = {
                "ns": "team",
                "partition": "p",
                "dc": "dc1",
                "filter": "Service.Port == 1",
                "consistency": "consistent",
            }
            async with following(consul, **options) as (sink, _):
                await sink.wait_for(lambda sink: sink.calls)
                asked = dict(reversed(consul.questions))
                common = {"ns": "team", "partition": "p", "dc": "dc1", "consistent": ""}
                assert common.items() <= asked["/v1/catalog/services"].items()
                assert {**common, "filter": "Service.Port == 1"} == asked["/v1/health/service/web"]

    run_async(main())


def test_tls_is_checked_against_the_given_authorities(run_async, tls_file, tmp_path):
    """An agent of another authority is not believed; one of ours is."""

    async def main():
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(tls_file)
        async with FakeConsul(tls) as consul:
            address = f"https://127.0.0.1:{consul.port}"
            async with following(consul, address=address) as (_, task):
                (error,) = leaves(await ended(task))
                assert "TLS" in str(error)
                assert isinstance(error, RegistryUnavailable)
            consul.set("web", instance("web"))
            async with following(consul, address=address, ca_file=tls_file) as (sink, _):
                await sink.wait_for(lambda sink: "web" in sink.records())
            async with following(consul, address=address, ca_file=tmp_path / "no") as (_, task):
                (error,) = leaves(await ended(task))
                assert "ca_file" in str(error)

    run_async(main())
