"""The Consul adapter on a real Consul: what operators do, and how soon the catalog knows."""

from __future__ import annotations

import asyncio
import signal
import time
import tracemalloc
from contextlib import AsyncExitStack, asynccontextmanager
from statistics import median
from typing import TYPE_CHECKING, Any

import meshregistry_consul
import pytest

from meshregistry import Pilot, Settings
from meshregistry.model import Endpoint, Locality, Port, Protocol, RecordKey, Service, ServiceRecord
from meshregistry.spi import Condition, Secret
from meshregistry.testing import RegistryConformance, TcpProxy
from servers.consul import Consul, find_consul

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RULES = 'service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }'


@pytest.fixture(scope="module")
def consul_binary() -> str:
    """The path of a real Consul."""
    binary = find_consul()
    if binary is None:
        pytest.skip("there is no Consul: build it by the recipe of integration/servers")
    return binary


class Followed:
    """A pilot with one Consul source, and the time that things take to reach its catalog."""

    def __init__(self, pilot: Pilot) -> None:
        self.pilot = pilot
        self.times: list[float] = []

    def service(self, name: str) -> Any:
        """The merged service, or None."""
        found = self.pilot.catalog.find(f"{name}.service.consul")
        return found[0] if found else None

    def endpoints(self, name: str) -> dict[int, Endpoint]:
        """Its endpoints by port; none if it is not there."""
        entry = self.service(name)
        return {one.port: one for one in entry.endpoints} if entry else {}

    async def until(
        self, holds: Callable[[], bool], what: str, *, timeout: float = 20, is_timed: bool = True
    ) -> None:
        """Wait for the catalog; the time counts as one from change to catalog."""
        began = time.perf_counter()
        while not holds():
            assert time.perf_counter() - began < timeout, (
                f"{what}: not within {timeout} s; {self.pilot.sources()}"
            )
            await asyncio.sleep(0.001)
        if is_timed:
            self.times.append(time.perf_counter() - began)

    @property
    def condition(self) -> Condition:
        """Of the source."""
        return self.pilot.sources()[0].condition

    def print_times(self, what: str) -> None:
        """Show median and worst."""
        milliseconds = [1000 * one for one in self.times]
        print(
            f"\nconsul, {what}: change to catalog p50 {median(milliseconds):.1f} ms, "
            f"worst {max(milliseconds):.1f} ms of {len(milliseconds)}"
        )


@asynccontextmanager
async def following(consul: Consul, **options: Any):
    """A pilot that has synced with this server."""
    source = {"id": "dc1", "kind": "consul", "address": consul.address, **options}
    settings = Settings.from_dict({"sources": [source], "server": {"xds": "127.0.0.1:0"}})
    async with Pilot(settings, plugins=[meshregistry_consul], entry_points=False) as pilot:
        await pilot.synced(timeout=20)
        yield Followed(pilot)


class TestOperators:
    """What happens to a registry in production."""

    def test_instances_come_change_and_go(self, run_async, consul_binary: str, tmp_path: Path):
        """Registered, failing, in maintenance, of another port name, deregistered."""

        async def main() -> None:
            async with Consul(consul_binary, tmp_path) as consul:
                await consul.register("web", 9000)
                async with following(consul) as seen:
                    assert {9000} == set(seen.endpoints("web"))
                    for round_ in range(10):
                        port = 9100 + round_
                        await consul.register("web", port, Tags=["v2"], Meta={"round": str(round_)})
                        await seen.until(
                            lambda port=port: port in seen.endpoints("web"), "registered"
                        )
                        labels = seen.endpoints("web")[port].labels
                        assert {"v2": "", "round": str(round_)} == dict(labels)
                        await consul.put(f"/v1/agent/check/fail/check:web-{port}")
                        await seen.until(
                            lambda port=port: (
                                "UNHEALTHY" == str(seen.endpoints("web")[port].health)
                            ),
                            "a failed check",
                        )
                        await consul.put(f"/v1/agent/check/pass/check:web-{port}")
                        await seen.until(
                            lambda port=port: "HEALTHY" == str(seen.endpoints("web")[port].health),
                            "a passing check",
                        )
                        await consul.put(f"/v1/agent/service/deregister/web-{port}")
                        await seen.until(
                            lambda port=port: port not in seen.endpoints("web"), "deregistered"
                        )
                        await asyncio.sleep(1.5)
                    await consul.register("web", 9000, Meta={"protocol": "grpc-api"})
                    await seen.until(
                        lambda: (
                            ["grpc-api"] == [one.name for one in seen.service("web").service.ports]
                        ),
                        "a port of another name",
                    )
                    assert Protocol.GRPC is seen.service("web").service.ports[0].protocol
                    await consul.register("late", 9500)
                    await seen.until(lambda: bool(seen.endpoints("late")), "a new service")
                    await consul.put("/v1/agent/service/deregister/late-9500")
                    await seen.until(lambda: seen.service("late") is None, "a service that is gone")
                    seen.print_times("watching")

        run_async(main(), timeout=120)

    def test_a_killed_server_takes_nothing_away(
        self, run_async, consul_binary: str, tmp_path: Path
    ):
        """STALE while it is down, then as before without a flap; what changed is found."""

        async def main() -> None:
            async with Consul(consul_binary, tmp_path) as consul:
                await consul.register("web", 9000)
                async with following(consul) as seen:
                    flaps = []
                    watching = asyncio.create_task(_watch(seen, flaps))
                    await consul.stop(signal.SIGKILL)
                    await seen.until(
                        lambda: Condition.STALE is seen.condition, "STALE", is_timed=False
                    )
                    await asyncio.sleep(1)
                    await consul.start()
                    began = time.perf_counter()
                    await consul.register("web", 9001)
                    await seen.until(
                        lambda: {9000, 9001} == set(seen.endpoints("web")),
                        "after the restart",
                        timeout=40,
                    )
                    assert Condition.SYNCED is seen.condition
                    print(
                        f"\nconsul, started again after kill -9: {time.perf_counter() - began:.1f} s to the catalog"
                    )
                    watching.cancel()
                    assert not flaps

        run_async(main(), timeout=120)

    def test_a_wiped_server_is_believed(self, run_async, consul_binary: str, tmp_path: Path):
        """Its index starts again from little; what it has lost is gone, what is new is there."""

        async def main() -> None:
            async with Consul(consul_binary, tmp_path) as consul:
                for port in range(9000, 9020):
                    await consul.register("web", port)
                async with following(consul) as seen:
                    await consul.stop(signal.SIGKILL)
                    consul.wipe()
                    await consul.start()
                    await consul.register("new", 9100)
                    await seen.until(
                        lambda: {9100} == set(seen.endpoints("new")), "what is new", timeout=40
                    )
                    await seen.until(
                        lambda: seen.service("web") is None, "what is lost", timeout=40
                    )
                    await consul.register("new", 9101)
                    await seen.until(lambda: 9101 in seen.endpoints("new"), "news after it")

        run_async(main(), timeout=120)

    def test_a_revoked_token_keeps_the_data(self, run_async, consul_binary: str, tmp_path: Path):
        """Rotated in time, nothing happens; revoked, FAILED, and everything is kept."""

        async def main() -> None:
            async with Consul(consul_binary, tmp_path, with_acl=True) as consul:
                await consul.register("web", 9000)
                old, secret = await consul.make_token("old", RULES)
                new, newer_secret = await consul.make_token("new", RULES)
                file = tmp_path / "token"
                file.write_text(secret)
                async with following(consul, token_file=str(file), wait="1s") as seen:
                    conditions = set()
                    file.write_text(newer_secret + "\n")
                    await consul.delete(f"/v1/acl/token/{old}")
                    deadline = time.monotonic() + 3
                    while time.monotonic() < deadline:
                        conditions.add(seen.condition)
                        await asyncio.sleep(0.05)
                    await consul.register("web", 9001)
                    await seen.until(lambda: 9001 in seen.endpoints("web"), "after rotation")
                    assert {Condition.SYNCED} == conditions
                    await consul.delete(f"/v1/acl/token/{new}")
                    await seen.until(lambda: Condition.FAILED is seen.condition, "FAILED")
                    assert {9000, 9001} == set(seen.endpoints("web"))
                    shown = str(seen.pilot.sources())
                    assert secret not in shown
                    assert newer_secret not in shown

        run_async(main(), timeout=120)

    def test_rights_that_shrink_remove_nothing(self, run_async, consul_binary: str, tmp_path: Path):
        """A listing that the token no longer sees in full is no statement about what it lacks."""

        async def main() -> None:
            async with Consul(consul_binary, tmp_path, with_acl=True) as consul:
                await consul.register("web", 9000)
                await consul.register("pay", 9100)
                _, secret = await consul.make_token("team", RULES)
                async with following(consul, token=secret, wait="1s") as seen:
                    assert seen.endpoints("web")
                    policies = await consul.get("/v1/acl/policies")
                    (policy,) = [one["ID"] for one in policies if one["Name"] == "team"]
                    rules = 'service_prefix "web" { policy = "read" } node_prefix "" { policy = "read" }'
                    await consul.put(f"/v1/acl/policy/{policy}", {"Name": "team", "Rules": rules})
                    await seen.until(lambda: bool(seen.pilot.sources()[0].faulty), "the report")
                    await consul.register("web", 9001)
                    await seen.until(lambda: 9001 in seen.endpoints("web"), "what may be seen")
                    assert {9100} == set(seen.endpoints("pay"))
                    await consul.put("/v1/agent/service/deregister/web-9000")
                    await consul.put("/v1/agent/service/deregister/web-9001")
                    await seen.until(lambda: seen.service("web") is None, "what is really gone")
                    assert {9100} == set(seen.endpoints("pay"))

        run_async(main(), timeout=120)

    def test_other_datacenters_are_parts(self, run_async, consul_binary: str, tmp_path: Path):
        """One that cannot be reached leaves the other as it is."""

        async def main() -> None:
            async with Consul(consul_binary, tmp_path) as consul:
                await consul.register("web", 9000)
                source = {
                    "id": "all",
                    "kind": "consul",
                    "address": consul.address,
                    "datacenters": ["dc1", "nowhere"],
                }
                settings = Settings.from_dict(
                    {"sources": [source], "server": {"xds": "127.0.0.1:0"}}
                )
                async with Pilot(
                    settings, plugins=[meshregistry_consul], entry_points=False
                ) as pilot:

                    def parts() -> dict[str, Condition]:
                        return {one.name: one.condition for one in pilot.sources()[0].parts}

                    deadline = time.monotonic() + 10
                    while (
                        parts().get("dc1") is not Condition.SYNCED
                        or parts().get("nowhere") is not Condition.STALE
                    ):
                        assert time.monotonic() < deadline, pilot.sources()
                        await asyncio.sleep(0.01)

        run_async(main(), timeout=60)

    def test_tenancy_on_a_server_without_it_is_named(
        self, run_async, consul_binary: str, tmp_path: Path
    ):
        """The error says what is wrong and which options to look at."""

        async def main() -> None:
            async with Consul(consul_binary, tmp_path) as consul:
                source = {"id": "all", "kind": "consul", "address": consul.address, "ns": "team"}
                settings = Settings.from_dict(
                    {"sources": [source], "server": {"xds": "127.0.0.1:0"}}
                )
                async with Pilot(
                    settings, plugins=[meshregistry_consul], entry_points=False
                ) as pilot:
                    while pilot.sources()[0].error is None:
                        await asyncio.sleep(0.01)
                    assert "Namespaces are a Consul Enterprise feature" in str(
                        pilot.sources()[0].error
                    )

        run_async(main(), timeout=30)


class TestSize:
    """A thousand services."""

    def test_a_thousand_services_of_ten(self, run_async, consul_binary: str, tmp_path: Path):
        """Swept, not watched: a few requests a minute when idle, and flips are seen at once."""

        async def main() -> None:
            async with Consul(consul_binary, tmp_path) as consul:
                await _fill(consul, services=1000, each=10)
                async with AsyncExitStack() as stack:
                    proxy = await stack.enter_async_context(TcpProxy("127.0.0.1", consul.port))
                    tracemalloc.start()
                    before = tracemalloc.get_traced_memory()[0]
                    began = time.perf_counter()
                    options = {"address": f"http://{proxy.address}"}
                    seen = await stack.enter_async_context(following(consul, **options))
                    took = time.perf_counter() - began
                    memory = tracemalloc.get_traced_memory()[0] - before
                    tracemalloc.stop()
                    endpoints = sum(len(entry.endpoints) for entry in seen.pilot.catalog)
                    assert 10_000 == endpoints
                    await seen.until(lambda: Condition.SYNCED is seen.condition, "SYNCED")
                    # The round that follows a listing has to end before the source is idle.
                    await asyncio.sleep(35)
                    bytes_up = proxy.bytes_up
                    await asyncio.sleep(20)
                    idle = (proxy.bytes_up - bytes_up) * 3
                    seen.times.clear()
                    for number in range(10):
                        check = f"check:s{number}-0"
                        await _check(consul, f"s{number}", check, "critical")
                        await seen.until(
                            lambda number=number: (
                                "UNHEALTHY"
                                in {
                                    str(one.health) for one in seen.endpoints(f"s{number}").values()
                                }
                            ),
                            "a flip",
                        )
                        await asyncio.sleep(1.5)
                    print(
                        f"\nconsul, 1,000 services x 10: listed in {took:.1f} s (traced), "
                        f"{memory / 1e6:.0f} MB, {idle} bytes a minute asked when idle"
                    )
                    seen.print_times("sweeping, flips of health")

        run_async(main(), timeout=240)

    def test_idle_costs_few_requests(self, run_async, consul_binary: str, tmp_path: Path):
        """Fifty services, each watched: what is asked in half a minute, by Consul's own count."""

        async def main() -> None:
            async with Consul(consul_binary, tmp_path) as consul:
                await _fill(consul, services=50, each=10)
                async with following(consul):
                    await asyncio.sleep(1)
                    before = await _requests(consul)
                    await asyncio.sleep(30)
                    asked = 2 * (await _requests(consul) - before - 1)
                    print(
                        f"\nconsul, 50 services watched: {asked} requests ended a minute when idle"
                    )
                    assert asked <= 60

        run_async(main(), timeout=90)


async def _watch(seen: Followed, flaps: list[str]) -> None:
    """Note every moment at which the catalog lacks what is there."""
    while True:
        if 9000 not in seen.endpoints("web"):
            flaps.append("web is missing")
        await asyncio.sleep(0.001)


async def _fill(consul: Consul, *, services: int, each: int) -> None:
    for number in range(services):
        name = f"s{number}"
        await consul.write(
            *(
                {
                    "Service": {
                        "Verb": "set",
                        "Node": "meshnode",
                        "Service": {
                            "ID": f"{name}-{one}",
                            "Service": name,
                            "Address": f"10.{number // 250}.{number % 250}.{one + 1}",
                            "Port": 8080,
                            "Tags": ["v1"],
                            "Meta": {"version": "1"},
                        },
                    }
                }
                for one in range(each)
            )
        )
        await _check(consul, name, f"check:{name}-0", "passing")


async def _check(consul: Consul, name: str, check: str, status: str) -> None:
    await consul.write(
        {
            "Check": {
                "Verb": "set",
                "Check": {
                    "Node": "meshnode",
                    "CheckID": check,
                    "Name": "is it well",
                    "ServiceID": f"{name}-0",
                    "Status": status,
                },
            }
        }
    )


async def _requests(consul: Consul) -> int:
    counted = await consul.get("/v1/agent/metrics")
    return sum(one["Count"] for one in counted["Samples"] if one["Name"] == "consul.api.http")
