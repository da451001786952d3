"""The Eureka adapter on real servers: what operators do, and how soon the catalog knows."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any, Self

import pytest
from attrs import evolve
from py_eureka_client import eureka_basic

import meshregistry_eureka
from meshregistry import Pilot, Settings
from meshregistry.errors import RegistryUnavailable
from meshregistry.model import Endpoint, Port, Protocol, RecordKey, Service, ServiceRecord
from meshregistry.pilot import registered
from meshregistry.spi import Condition, Secret
from meshregistry.testing import RecordingSink, RegistryConformance, TcpProxy, context
from servers.eureka import RECIPE, Eureka, two_peers

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(RECIPE.find() is None, reason=RECIPE.reason())

_START = 95.0


class Shared:
    """One server for many tests, each of which has a loop of its own; a start takes seconds."""

    def __init__(self, folder: Path) -> None:
        installed = RECIPE.find()
        assert installed is not None
        self.server = Eureka(installed, folder)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="eureka", daemon=True)

    def __enter__(self) -> Self:
        # Processes are watched without a signal handler, so they may be started in a thread.
        self._thread.start()
        self._there(self.server.start()).result(_START)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._there(self.server.stop(signal.SIGKILL)).result(_START)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def restart(self) -> None:
        """Kill it, with all that it knows, and start it again."""
        await asyncio.wrap_future(self._there(self.server.stop(signal.SIGKILL)))
        await asyncio.wrap_future(self._there(self.server.start()))

    def _there(self, call: Coroutine[Any, Any, None]) -> Any:
        return asyncio.run_coroutine_threadsafe(call, self._loop)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """The server of this module."""
    with Shared(tmp_path_factory.mktemp("eureka")) as one:
        yield one


@pytest.fixture
def eureka(shared: Shared) -> Eureka:
    """The same, empty."""
    asyncio.run(shared.server.clear())
    return shared.server


class Followed:
    """A pilot with one Eureka source, and the time that things take to reach its catalog."""

    def __init__(self, pilot: Pilot) -> None:
        self.pilot = pilot
        self.times: list[float] = []

    def endpoints(self, name: str) -> dict[int, Endpoint]:
        """Its endpoints by port; none if it is not there."""
        found = self.pilot.merged.find(name)
        return {one.port: one for one in found[0].endpoints} if found else {}

    def health(self, name: str, port: int) -> str:
        """Of one endpoint; empty if it is not there."""
        one = self.endpoints(name).get(port)
        return "" if one is None else str(one.health)

    async def until(
        self, holds: Callable[[], bool], what: str, *, timeout: float = 20, is_timed: bool = False
    ) -> None:
        """Wait for the catalog; the time may count as one from change to catalog."""
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


def _settings(server: str, **options: Any) -> Settings:
    source = {
        "id": "e",
        "kind": "eureka",
        "eureka_server": server,
        "registry_fetch_interval": "50ms",
        **options,
    }
    return Settings.from_dict({"sources": [source], "server": {"xds": "127.0.0.1:0"}})


@asynccontextmanager
async def following(server: str, **options: Any):
    """A pilot that has synced with the first of these servers that answers."""
    async with Pilot(
        _settings(server, **options), plugins=[meshregistry_eureka], entry_points=False
    ) as pilot:
        seen = Followed(pilot)
        await seen.until(lambda: Condition.SYNCED is seen.condition, "SYNCED")
        yield seen


class TestOperators:
    """What an operator does to one server."""

    def test_instances_come_change_and_go(self, run_async, eureka: Eureka):
        """Registered, overridden, moved, relabelled, cancelled: by deltas alone."""

        async def main() -> None:
            await eureka.register("web", 9000)
            async with following(eureka.url) as seen:
                assert {9000} == set(seen.endpoints("web"))
                for port in range(9100, 9105):
                    id_ = await eureka.register("web", port, metadata={"version": "v2"})
                    await seen.until(
                        lambda port=port: port in seen.endpoints("web"), "new", is_timed=True
                    )
                    assert {"version": "v2"} == dict(seen.endpoints("web")[port].labels)
                    path = f"/apps/WEB/{id_}"
                    await eureka.done("PUT", f"{path}/status?value=OUT_OF_SERVICE")
                    await seen.until(
                        lambda port=port: "DRAINING" == seen.health("web", port),
                        "an override",
                        is_timed=True,
                    )
                    await eureka.done("DELETE", f"{path}/status?value=UP")
                    await seen.until(
                        lambda port=port: "HEALTHY" == seen.health("web", port),
                        "the override taken back",
                        is_timed=True,
                    )
                    await eureka.cancel("web", id_)
                    await seen.until(
                        lambda port=port: port not in seen.endpoints("web"), "gone", is_timed=True
                    )
                id_ = await eureka.register("web", 9000, metadata={"zone": "a"})
                await seen.until(
                    lambda: "a" == seen.endpoints("web")[9000].locality.zone, "metadata"
                )
                await eureka.register("web", 9000, status="DOWN", metadata={"zone": "a"})
                await seen.until(lambda: "UNHEALTHY" == seen.health("web", 9000), "DOWN")
                await eureka.register("late", 9500, vipAddress="late,later", securePort=_port(9600))
                await seen.until(lambda: bool(seen.endpoints("later")), "a new application")
                assert {9500} == set(seen.endpoints("later"))
                assert {9500, 9600} == set(seen.endpoints("late"))
                await eureka.cancel("late", "127.0.0.1:late:9500")
                await seen.until(lambda: not seen.endpoints("late"), "an application that is gone")
                assert Condition.SYNCED is seen.condition
                milliseconds = [1000 * one for one in seen.times]
                print(
                    f"\neureka, asked each 50 ms: change to catalog p50 {median(milliseconds):.0f} ms,"
                    f" worst {max(milliseconds):.0f} ms of {len(milliseconds)}"
                )

        run_async(main(), timeout=120)

    def test_deltas_suffice(self, run_async, eureka: Eureka):
        """The hash code that we compute is the server's, whatever the states: no full fetch."""

        async def main() -> None:
            for number, status in enumerate(["UP", "DOWN", "STARTING", "OUT_OF_SERVICE", "ODD"]):
                await eureka.register("web", 9000 + number, status=status)
            async with following(eureka.url, full_fetch_interval="1h") as seen:
                for port in range(9100, 9110):
                    await eureka.register("web", port)
                    await eureka.cancel("web", "127.0.0.1:web:9000")
                    await eureka.register("web", 9000, status="UP")
                await seen.until(lambda: 15 == len(seen.endpoints("web")), "the last one")
                # Long enough for the server to forget what it told in deltas.
                await asyncio.sleep(7)
                await eureka.cancel("web", "127.0.0.1:web:9001")
                await seen.until(lambda: 9001 not in seen.endpoints("web"), "after it")
                counts = seen.pilot.sources()[0].counters
                assert 1 == counts["full_fetches"]
                assert 0 == counts.get("hash_mismatches", 0)

        run_async(main(), timeout=60)

    def test_a_lease_that_runs_out_takes_its_instance(self, run_async, eureka: Eureka):
        """Kept while it is renewed; gone when the server evicts it."""

        async def main() -> None:
            id_ = await eureka.register("web", 9000, lease=2)
            async with following(eureka.url) as seen:
                deadline = time.monotonic() + 6
                while time.monotonic() < deadline:
                    await eureka.done("PUT", f"/apps/WEB/{id_}")
                    assert {9000} == set(seen.endpoints("web"))
                    await asyncio.sleep(0.5)
                await seen.until(lambda: not seen.endpoints("web"), "evicted")

        run_async(main(), timeout=60)

    def test_what_breaks_clients_that_read_xml_breaks_nothing(self, run_async, eureka: Eureka):
        """A control character in metadata spoils the XML of all; the adapter asks for JSON.

        This is why the adapter reads answers itself: py-eureka-client asks for XML.
        """

        async def main() -> None:
            await eureka.register("web", 9000, metadata={"git_sha": "1", "a/b": "2"})
            read = await eureka_basic.get_applications(eureka.url)
            (instance,) = read.applications[0].instances
            assert {"git__sha", "a_.002fb"} == set(instance.metadata)
            await eureka.register("pay", 9100, metadata={"x": "a\x01b"})
            with pytest.raises(SyntaxError, match="invalid character"):
                await eureka_basic.get_applications(eureka.url)
            async with following(eureka.url) as seen:
                labels = seen.endpoints("web")[9000].labels
                assert {"git_sha": "1", "a/b": "2"} == dict(labels)
                assert {"x": "a\x01b"} == dict(seen.endpoints("pay")[9100].labels)

        run_async(main())

    def test_a_service_registers_itself(self, run_async, eureka: Eureka):
        """Registered, renewed beyond its lease, and gone at once when the context ends."""

        async def main() -> None:
            record = ServiceRecord(
                Service("web", ports=[Port("http", 80, Protocol.HTTP)]),
                [Endpoint(address="127.0.0.1", port=9000, labels={"version": "v1"})],
            )
            async with following(eureka.url) as seen:
                async with registered(_settings(eureka.url), "e", record, ttl=1.0):
                    await seen.until(lambda: 9000 in seen.endpoints("web"), "registered")
                    await asyncio.sleep(4)
                    assert "v1" == seen.endpoints("web")[9000].labels["version"]
                await seen.until(lambda: not seen.endpoints("web"), "deregistered", timeout=1.5)

        run_async(main())


def _port(number: int) -> dict[str, Any]:
    return {"$": number, "@enabled": "true"}


class TestPeers:
    """Two servers that copy each other."""

    def test_a_killed_peer_takes_nothing_away(self, run_async, tmp_path: Path):
        """The other one is followed without a gap; killed too, everything is kept as STALE."""

        async def main() -> None:
            installed = RECIPE.find()
            assert installed is not None
            async with two_peers(installed, tmp_path) as (first, second):
                for port in range(9000, 9020):
                    await (first if port % 2 else second).register("web", port)
                everything = set(range(9000, 9020))
                both = f"{first.url},{second.url}"
                # Copies are made in batches, after a registration has been accepted.
                for peer in (first, second):
                    await _until_at(peer, 20)
                async with following(both) as seen:
                    assert everything == set(seen.endpoints("web"))
                    flaps: list[str] = []
                    watching = asyncio.create_task(_watch(seen, everything, flaps))
                    await first.stop(signal.SIGKILL)
                    began = time.perf_counter()
                    await second.register("web", 9100)
                    await seen.until(lambda: 9100 in seen.endpoints("web"), "from the other peer")
                    print(f"\neureka, peer killed: news after {time.perf_counter() - began:.2f} s")
                    assert Condition.SYNCED is seen.condition
                    assert 1 == seen.pilot.sources()[0].counters["failovers"]
                    # Once it is back and has copied everything, it serves again.
                    await first.start()
                    await _until_at(first, 21)
                    await second.stop(signal.SIGKILL)
                    await first.register("web", 9101)
                    await seen.until(lambda: 9101 in seen.endpoints("web"), "from the first again")
                    await first.stop(signal.SIGKILL)
                    await seen.until(lambda: Condition.STALE is seen.condition, "STALE")
                    await asyncio.sleep(0.5)
                    assert everything <= set(seen.endpoints("web"))
                    watching.cancel()
                    assert not flaps

        run_async(main(), timeout=240)

    def test_a_server_that_starts_again_is_not_believed_at_once(self, run_async, tmp_path: Path):
        """It lists nothing, or answers 403 if it is told to wait; both end the attempt.

        Once an instance has registered again, what is listed is believed.
        """

        async def main() -> None:
            installed = RECIPE.find()
            assert installed is not None
            async with Eureka(installed, tmp_path) as server:
                config = meshregistry_eureka.EurekaConfig(eureka_server=Secret(server.url))
                given = context()
                async with meshregistry_eureka.connect(config, given) as client:
                    follow = partial(_attempt, config, evolve(given, client=client))
                    await server.register("web", 9000)
                    assert {"web"} == await follow()
                    await server.stop(signal.SIGKILL)
                    await server.start()
                    with pytest.raises(RegistryUnavailable, match="lists nothing"):
                        await follow()
                    await server.stop(signal.SIGKILL)
                    # Without the second, Spring counts the empty copy as one instance.
                    server.options |= {
                        "eureka.server.wait-time-in-ms-when-sync-empty": "5000",
                        "eureka.instance.registry.default-open-for-traffic-count": "0",
                    }
                    await server.start(status=403)
                    with pytest.raises(RegistryUnavailable, match="sync-empty"):
                        await follow()
                    await server.register("pay", 9100)
                    while 200 != await server.status("GET", "/apps"):
                        await asyncio.sleep(0.1)
                    assert {"pay"} == await follow()

        run_async(main(), timeout=120)


async def _attempt(config: meshregistry_eureka.EurekaConfig, given: Any) -> set[str]:
    """The services that one attempt lists."""
    sink = RecordingSink()
    running = asyncio.create_task(meshregistry_eureka.open_registry(config, given).run(sink))
    listed = asyncio.create_task(sink.wait_for(lambda sink: sink.calls))
    await asyncio.wait([running, listed], return_when=asyncio.FIRST_COMPLETED)
    for task in (running, listed):
        task.cancel()
    ended, _ = await asyncio.gather(running, listed, return_exceptions=True)
    if not isinstance(ended, asyncio.CancelledError):
        raise ended
    return set(sink.records())


async def _until_at(peer: Eureka, number: int) -> None:
    deadline = time.monotonic() + 20
    while len(known := await peer.instances()) < number:
        assert time.monotonic() < deadline, f"only {len(known)} of {number} came to a peer"
        await asyncio.sleep(0.1)


async def _watch(seen: Followed, wanted: set[int], flaps: list[str]) -> None:
    """Note every moment at which the catalog lacks what is there."""
    while True:
        if missing := wanted - set(seen.endpoints("web")):
            flaps.append(f"missing: {missing}")
        await asyncio.sleep(0.001)


class RealBackend:
    """The real server behind a proxy that breaks, slows and silences it."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._server = shared.server
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._server.clear()
        self.proxy = await self._stack.enter_async_context(TcpProxy("127.0.0.1", self._server.port))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    async def put(self, record: ServiceRecord) -> ServiceRecord:
        name = str(record.service.host)
        addresses = [one.address for one in record.endpoints]
        await self._write(name, addresses)
        endpoints = [Endpoint(address=one, port=8080, service_port="http") for one in addresses]
        service = Service(name, ports=[Port("http", 80, Protocol.HTTP)])
        return ServiceRecord(service, endpoints, key=RecordKey(name))

    async def remove(self, key: str) -> None:
        await self._write(key, [])

    async def garble(self, key: str) -> None:
        await self._write(key, ["not an address"])

    async def _write(self, name: str, addresses: list[str]) -> None:
        """New ones first: an instance is written by itself, so that states in between show."""
        wanted = {f"{name}-{number}": one for number, one in enumerate(addresses)}
        had = [id_ for app, id_ in await self._server.instances() if app == name.upper()]
        for id_, address in wanted.items():
            await self._server.register(name, 8080, address=address, id=id_)
        for id_ in had:
            if id_ not in wanted:
                await self._server.cancel(name, id_)

    def break_(self) -> None:
        self.proxy.break_()

    def truncate(self) -> None:
        self.proxy.truncate(300)

    def silence(self) -> None:
        self.proxy.silence()

    def slow(self, seconds: float) -> None:
        self.proxy.slow(seconds)

    def heal(self) -> None:
        self.proxy.heal()

    async def wipe(self) -> None:
        await self._shared.restart()

    def attempts(self) -> int:
        return self.proxy.connections


class TestConformance(RegistryConformance):
    """The rules for adapters on the real server, which asks for no credentials."""

    kind = meshregistry_eureka.meshregistry_register_registries()
    capabilities = (
        "garble",
        "outage",
        "writes_in_outage",
        "truncate",
        "silence",
        "slow",
        "wipe",
        "attempts",
    )
    latency = 10.0
    # Each change is three requests to a server that takes milliseconds for one.
    changes = 300
    timeout = 100.0

    @pytest.fixture
    def backend(self, shared: Shared) -> RealBackend:
        """The server of this module, emptied for each test."""
        return RealBackend(shared)

    def config(self, backend: RealBackend) -> meshregistry_eureka.EurekaConfig:
        """Impatient settings, so that tests take seconds."""
        return meshregistry_eureka.EurekaConfig(
            eureka_server=Secret(f"http://{backend.proxy.address}/eureka"),
            registry_fetch_interval=0.02,
            timeout=1.5,
        )
