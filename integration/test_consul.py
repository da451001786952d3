"""The Consul adapter on a real Consul: what operators do, and how soon the catalog knows."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import AsyncExitStack, asynccontextmanager
from statistics import median
from typing import TYPE_CHECKING, Any, Self

import pytest

import meshregistry_consul
from meshregistry import Pilot, Settings
from meshregistry.model import Endpoint, Locality, Port, Protocol, RecordKey, Service, ServiceRecord
from meshregistry.spi import Condition, Secret
from meshregistry.testing import RegistryConformance, TcpProxy
from meshregistry_consul._client import ConsulClient
from servers.consul import Consul, find_consul

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NODE = "backends"
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
        found = self.pilot.merged.find(f"{name}.service.consul")
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
    # What the adapter says is to be seen, also when that is a loss of much.
    source = {"id": "dc1", "kind": "consul", "address": consul.address, "guard": False, **options}
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
    """What many services cost; `make bench-adapters` measures a thousand of them."""

    def test_idle_costs_few_requests(self, run_async, consul_binary: str, tmp_path: Path, asked):
        """Fifty services, each watched: what is asked in a minute."""

        async def main() -> None:
            async with Consul(consul_binary, tmp_path) as consul:
                await _fill(consul, services=50, each=10)
                async with following(consul):
                    await asyncio.sleep(1)
                    asked.clear()
                    await asyncio.sleep(20)
                    print(f"\nconsul, 50 services watched: {len(asked)} requests in 20 s when idle")
                    assert len(asked) <= 10

        run_async(main(), timeout=120)


async def _watch(seen: Followed, flaps: list[str]) -> None:
    """Note every moment at which the catalog lacks what is there."""
    while True:
        if 9000 not in seen.endpoints("web"):
            flaps.append("web is missing")
        await asyncio.sleep(0.001)


def _is_unhealthy(seen: Followed, name: str) -> bool:
    return any("UNHEALTHY" == str(one.health) for one in seen.service(name).endpoints)


async def _fill(consul: Consul, *, services: int, each: int) -> None:
    """Services on a node without an agent, since an agent takes out what it does not know."""
    await consul.put("/v1/catalog/register", {"Node": NODE, "Address": "127.0.0.1"})
    operations = []
    for number in range(services):
        name = f"s{number}"
        operations += [
            {
                "Service": {
                    "Verb": "set",
                    "Node": NODE,
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
        ]
        operations.append(_check(name, "passing"))
        if len(operations) > 64 - each or number == services - 1:
            await consul.write(*operations)
            operations = []


def _check(name: str, status: str) -> dict[str, Any]:
    check = {
        "Node": NODE,
        "CheckID": f"check:{name}",
        "Name": "is it well",
        "ServiceID": f"{name}-0",
        "Status": status,
    }
    return {"Check": {"Verb": "set", "Check": check}}


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """The path of every request of the adapter."""
    paths: list[str] = []
    get = ConsulClient.get

    async def counted(self: ConsulClient, path: str, **more: Any) -> Any:
        paths.append(path)
        return await get(self, path, **more)

    monkeypatch.setattr(ConsulClient, "get", counted)
    return paths


class RealBackend:
    """A real Consul behind a proxy that breaks, slows and silences it."""

    def __init__(self, binary: str, folder: Path) -> None:
        self._server = Consul(binary, folder, with_acl=True)
        self._stack = AsyncExitStack()
        self._had: dict[str, int] = {}
        self.folder = folder

    async def __aenter__(self) -> Self:
        server = await self._stack.enter_async_context(self._server)
        self.proxy = await self._stack.enter_async_context(TcpProxy("127.0.0.1", server.port))
        self.token_file = self.folder / "token"
        await self._prepare()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    async def _prepare(self) -> None:
        await self._server.put("/v1/catalog/register", {"Node": NODE, "Address": "127.0.0.1"})
        self._accessor, secret = await self._server.make_token(f"t{time.monotonic_ns()}", RULES)
        self.token_file.write_text(secret)

    async def put(self, record: ServiceRecord) -> ServiceRecord:
        name = str(record.service.host)
        addresses = [one.address for one in record.endpoints]
        await self._write(name, addresses)
        endpoints = [
            Endpoint(
                address=one,
                port=8080,
                service_port="http",
                cluster="dc1",
                locality=Locality("dc1"),
            )
            for one in addresses
        ]
        service = Service(f"{name}.service.consul", ports=[Port("http", 8080, Protocol.HTTP)])
        return ServiceRecord(service, endpoints, key=RecordKey(name))

    async def remove(self, key: str) -> None:
        await self._write(key, [])

    async def garble(self, key: str) -> None:
        await self._write(key, ["not an address"])

    async def _write(self, name: str, addresses: list[str]) -> None:
        """One transaction, so that nobody sees half of it."""
        had, self._had[name] = self._had.get(name, 0), len(addresses)
        ids = [f"{name}-{number}" for number in range(max(had, len(addresses)))]
        services = [
            {
                "Verb": "set",
                "Node": NODE,
                "Service": {"ID": id_, "Service": name, "Address": one, "Port": 8080},
            }
            for id_, one in zip(ids, addresses, strict=False)
        ]
        gone = [
            {"Verb": "delete", "Node": NODE, "Service": {"ID": id_, "Service": name}}
            for id_ in ids[len(addresses) :]
        ]
        if services or gone:
            await self._server.write(*({"Service": one} for one in [*services, *gone]))

    def break_(self) -> None:
        self.proxy.break_()

    def truncate(self) -> None:
        self.proxy.truncate(300)

    def silence(self) -> None:
        self.proxy.silence()

    def slow(self, seconds: float) -> None:
        self.proxy.slow(seconds)

    async def refuse_credentials(self) -> None:
        await self._server.delete(f"/v1/acl/token/{self._accessor}")

    async def heal(self) -> None:
        self.proxy.heal()
        tokens = await self._server.get("/v1/acl/tokens")
        if self._accessor not in [one["AccessorID"] for one in tokens]:
            await self._prepare()

    async def wipe(self) -> None:
        await self._server.stop(signal.SIGKILL)
        self._server.wipe()
        self._had.clear()
        await self._server.start()
        await self._prepare()

    def attempts(self) -> int:
        return self.proxy.connections


class Conformance(RegistryConformance):
    """The rules for adapters on the real server."""

    __test__ = False
    kind = meshregistry_consul.meshregistry_register_registries()
    capabilities = (
        "garble",
        "outage",
        "writes_in_outage",
        "truncate",
        "silence",
        "slow",
        "credentials",
        "wipe",
        "attempts",
        "atomic",
    )
    latency = 10.0
    changes = 2000
    max_watches = 100

    @pytest.fixture
    def backend(self, consul_binary: str, tmp_path: Path) -> RealBackend:
        """A server for each test."""
        return RealBackend(consul_binary, tmp_path)

    def config(self, backend: RealBackend) -> meshregistry_consul.ConsulConfig:
        """Impatient settings, so that tests take seconds."""
        return meshregistry_consul.ConsulConfig(
            address=f"http://{backend.proxy.address}",
            token=Secret(file=backend.token_file),
            wait=1.0,
            timeout=1.5,
            min_interval=0.0,
            max_watches=self.max_watches,
            refresh=0.2,
        )


class TestConformanceWatching(Conformance):
    """A query that waits for each service."""

    __test__ = True


class TestConformanceSweeping(Conformance):
    """Queries for whole tables."""

    __test__ = True
    max_watches = 0
