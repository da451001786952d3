"""The Mesos adapter on a real master and real agents: what operators do, and how soon it is known."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import AsyncExitStack, asynccontextmanager
from statistics import median
from typing import TYPE_CHECKING, Any, Self

import pytest

import meshregistry_mesos
from meshregistry import Pilot, Settings
from meshregistry.model import (
    Endpoint,
    Health,
    Locality,
    Port,
    Protocol,
    RecordKey,
    Service,
    ServiceRecord,
)
from meshregistry.spi import Condition, Secret
from meshregistry.testing import RegistryConformance, TcpProxy
from servers.mesos import Mesos, find_mesos
from servers.mesos_framework import Framework
from servers.mesos_recipe import MESOS

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path


@pytest.fixture(scope="module")
def installed() -> Path:
    """The folder of a real Mesos."""
    folder = find_mesos()
    if folder is None:
        pytest.skip(MESOS.reason())
    return folder


class Followed:
    """A pilot with one Mesos source, and the time that things take to reach its catalog."""

    def __init__(self, pilot: Pilot) -> None:
        self.pilot = pilot
        self.times: list[float] = []

    def service(self, name: str) -> Any:
        """The merged service, or None."""
        found = self.pilot.merged.find(f"{name}.marathon.mesos")
        return found[0] if found else None

    def endpoints(self, name: str) -> dict[str, Endpoint]:
        """Its endpoints by address; none if it is not there."""
        entry = self.service(name)
        return {one.address: one for one in entry.endpoints} if entry else {}

    async def until(self, holds: Callable[[], bool], what: str, *, timeout: float = 20) -> None:
        """Wait for the catalog."""
        began = time.perf_counter()
        while not holds():
            assert time.perf_counter() - began < timeout, (
                f"{what}: not within {timeout} s; {self.pilot.sources()}"
            )
            await asyncio.sleep(0.001)

    async def after(
        self, change: Coroutine[Any, Any, None], holds: Callable[[], bool], what: str
    ) -> None:
        """Make a change and wait for the catalog.

        The time from the framework's call counts: the catalog often knows before the
        framework has had its answer.
        """
        began = time.perf_counter()
        waiting = asyncio.create_task(self.until(holds, what))
        await change
        await waiting
        self.times.append(time.perf_counter() - began)

    @property
    def condition(self) -> Condition:
        """Of the source."""
        return self.pilot.sources()[0].condition


@asynccontextmanager
async def following(*masters: str, **options: Any):
    """A pilot that has synced with this cluster."""
    source = {"id": "dc", "kind": "mesos", "masters": list(masters), **options}
    settings = Settings.from_dict({"sources": [source], "server": {"xds": "127.0.0.1:0"}})
    async with Pilot(settings, plugins=[meshregistry_mesos], entry_points=False) as pilot:
        await pilot.synced(timeout=20)
        yield Followed(pilot)


class TestOperators:
    """What happens to a cluster in production."""

    def test_tasks_come_change_and_go(self, run_async, installed: Path, tmp_path: Path):
        """Started, failing its check, well again, killed; the service with the last task."""

        async def main() -> None:
            async with Mesos(installed, tmp_path) as mesos, Framework(mesos) as framework:
                await framework.launch("web.0", "web", {8080: "http"}, ip="10.0.0.1")
                async with following(mesos.address) as seen:
                    assert {"10.0.0.1"} == set(seen.endpoints("web"))
                    for number in range(1, 11):
                        id_, ip = f"web.{number}", f"10.0.1.{number}"
                        labels = {"version": "v2"}
                        await seen.after(
                            framework.launch(id_, "web", {8080: "http"}, ip=ip, labels=labels),
                            lambda ip=ip: ip in seen.endpoints("web"),
                            "started",
                        )
                        assert labels == dict(seen.endpoints("web")[ip].labels)
                        await seen.after(
                            framework.say(id_, healthy=False, **CHECKED),
                            lambda ip=ip: _is(seen, "web", ip, Health.UNHEALTHY),
                            "a failed check",
                        )
                        await seen.after(
                            framework.say(id_, healthy=True, **CHECKED),
                            lambda ip=ip: _is(seen, "web", ip, Health.HEALTHY),
                            "a passed check",
                        )
                        await seen.after(
                            framework.kill(id_),
                            lambda ip=ip: ip not in seen.endpoints("web"),
                            "killed",
                        )
                    await seen.after(
                        framework.kill("web.0"),
                        lambda: seen.service("web") is None,
                        "the last one killed",
                    )
                    milliseconds = [1000 * one for one in seen.times]
                    print(
                        f"\nmesos: from the framework's call to the catalog p50 {median(milliseconds):.1f} ms, "
                        f"worst {max(milliseconds):.1f} ms of {len(milliseconds)}"
                    )

        run_async(main())

    def test_discovery_information_is_used(self, run_async, installed: Path, tmp_path: Path):
        """Ports, protocols, virtual addresses, labels; the agent says where it is."""

        async def main() -> None:
            attributes = "region:eu;zone:eu-1;rack:7"
            async with (
                Mesos(installed, tmp_path, attributes=attributes) as mesos,
                Framework(mesos) as framework,
            ):
                ports = [
                    {
                        "number": 31_000,
                        "name": "http-api",
                        "protocol": "tcp",
                        "labels": {"labels": [{"key": "VIP_0", "value": "/api:8000"}]},
                    },
                    {"number": 31_001, "name": "metrics", "protocol": "udp"},
                ]
                await framework.launch(
                    "api.1",
                    "api.prod",
                    {},
                    labels={"team": "mesh"},
                    discovery={"version": "1.2", "ports": {"ports": ports}},
                    allocated=(31_000, 31_001),
                )
                async with following(mesos.address, attributes=["rack"]) as seen:
                    entry = seen.service("api-prod")
                    assert {
                        "http-api": (8000, Protocol.HTTP),
                        "metrics": (10_000, Protocol.UDP),
                    } == {one.name: (one.number, one.protocol) for one in entry.service.ports}
                    (api, metrics) = sorted(entry.endpoints, key=lambda one: one.port)
                    assert ("127.0.0.1", 31_000, 31_001) == (api.address, api.port, metrics.port)
                    assert Locality("eu", "eu-1", "7") == api.locality
                    labels = {"team": "mesh", "version": "1.2", "rack": "7"}
                    assert labels == dict(api.labels)
                    (vip,) = seen.pilot.merged.find("api.marathon.l4lb.thisdcos.directory")
                    assert [31_000] == [one.port for one in vip.endpoints]
                    assert [8000] == [one.number for one in vip.service.ports]

        run_async(main())

    def test_tasks_without_discovery_are_found_by_their_resources(
        self, run_async, installed: Path, tmp_path: Path
    ):
        """The ports that a task was given, on its agent; tasks without any are no service."""

        async def main() -> None:
            async with Mesos(installed, tmp_path) as mesos, Framework(mesos) as framework:
                await framework.launch("old.1", "old", {}, allocated=(31_100,), bare=True)
                await framework.launch("batch.1", "batch", {}, bare=True)
                async with following(mesos.address) as seen:
                    (endpoint,) = seen.service("old").endpoints
                    assert ("127.0.0.1", 31_100) == (endpoint.address, endpoint.port)
                    assert seen.service("batch") is None

        run_async(main())

    def test_a_framework_is_torn_down(self, run_async, installed: Path, tmp_path: Path):
        """All its services go, and those of another stay, also of the same name."""

        async def main() -> None:
            async with (
                Mesos(installed, tmp_path) as mesos,
                Framework(mesos) as framework,
                Framework(mesos, "aurora") as other,
                Framework(mesos, "chronos") as unwanted,
            ):
                await framework.launch("web.1", "web", {8080: "http"}, ip="10.0.0.1")
                await other.launch("web.1", "web", {8080: "http"}, ip="10.0.0.2")
                await unwanted.launch("job.1", "job", {8080: "http"}, ip="10.0.0.3")
                async with following(mesos.address, exclude_frameworks=["chron*"]) as seen:
                    assert {"10.0.0.1"} == set(seen.endpoints("web"))
                    assert not seen.pilot.merged.find("job.chronos.mesos")
                    await framework.teardown()
                    await seen.until(lambda: seen.service("web") is None, "torn down")
                    (entry,) = seen.pilot.merged.find("web.aurora.mesos")
                    assert ["10.0.0.2"] == [one.address for one in entry.endpoints]

        run_async(main())

    def test_a_master_that_is_started_again_removes_nothing_at_once(
        self, run_async, installed: Path, tmp_path: Path
    ):
        """STALE while it is away, and while its agents are; once they are back, it is believed."""

        async def main() -> None:
            async with Mesos(installed, tmp_path) as mesos, Framework(mesos) as framework:
                await framework.launch("web.1", "web", {8080: "http"}, ip="10.0.0.1")
                async with following(mesos.address) as seen:
                    watching = asyncio.create_task(_watch(seen))
                    await mesos.stop(signal.SIGKILL)
                    await seen.until(lambda: Condition.STALE is seen.condition, "STALE")
                    await asyncio.sleep(1)
                    assert {"10.0.0.1"} == set(seen.endpoints("web"))
                    assert not watching.done(), "an outage removed data"
                    watching.cancel()
                    # Its task died with its agent, which says so by coming back without it.
                    began = time.perf_counter()
                    await mesos.start()
                    await seen.until(lambda: seen.service("web") is None, "believed")
                    await seen.until(lambda: Condition.SYNCED is seen.condition, "SYNCED")
                    took = time.perf_counter() - began
                    print(f"\nmesos, killed and started again: {took:.1f} s to the catalog")
                    async with Framework(mesos) as again:
                        await again.launch("web.1", "web", {8080: "http"}, ip="10.0.0.9")
                        await seen.until(
                            lambda: {"10.0.0.9"} == set(seen.endpoints("web")), "news after it"
                        )

        run_async(main(), timeout=90)

    def test_agents_that_do_not_come_back_are_kept_for_a_while(
        self, run_async, installed: Path, tmp_path: Path
    ):
        """A master with an empty registry is no statement about agents: STALE, then believed."""

        async def main() -> None:
            async with (
                Mesos(installed, tmp_path, agents=2) as mesos,
                Framework(mesos) as framework,
            ):
                await framework.launch("web.1", "web", {8080: "http"}, ip="10.0.0.1")
                async with following(mesos.address, recovery="6s", timeout="2s") as seen:
                    await mesos.stop(signal.SIGKILL)
                    mesos.wipe()
                    # With none of them, nobody comes back.
                    mesos.count = 0
                    await mesos.start()
                    await seen.until(
                        lambda: "has not heard of 2 agents" in str(seen.pilot.sources()[0].error),
                        "the new master is waited for",
                    )
                    assert {"10.0.0.1"} == set(seen.endpoints("web"))
                    assert Condition.STALE is seen.condition
                    await seen.until(lambda: seen.service("web") is None, "believed")
                    await seen.until(lambda: Condition.SYNCED is seen.condition, "SYNCED")

        run_async(main(), timeout=90)

    def test_an_agent_that_is_given_up_takes_its_tasks_along(
        self, run_async, installed: Path, tmp_path: Path
    ):
        """Marked as gone by an operator; the other agent's tasks stay, of the same service."""

        async def main() -> None:
            async with (
                Mesos(installed, tmp_path, agents=2) as mesos,
                Framework(mesos) as framework,
            ):
                number = 0
                while len({str(one) for one in framework.agents.values()}) < 2:
                    number += 1
                    ip = f"10.0.0.{number}"
                    await framework.launch(f"web.{number}", "web", {8080: "http"}, ip=ip)
                gone = framework.agents["web.1"]
                stay = {
                    f"10.0.0.{id_.partition('.')[2]}"
                    for id_, agent in framework.agents.items()
                    if agent != gone
                }
                async with following(mesos.address) as seen:
                    assert number == len(seen.endpoints("web"))
                    await mesos.call("MARK_AGENT_GONE", mark_agent_gone={"agent_id": gone})
                    await seen.until(lambda: stay == set(seen.endpoints("web")), "given up")

        run_async(main())

    def test_a_connection_that_is_cut_is_opened_again(
        self, run_async, installed: Path, tmp_path: Path
    ):
        """Nothing is missing for a moment; what happened meanwhile is known at once."""

        async def main() -> None:
            async with (
                Mesos(installed, tmp_path) as mesos,
                Framework(mesos) as framework,
                TcpProxy("127.0.0.1", mesos.port) as proxy,
            ):
                await framework.launch("web.1", "web", {8080: "http"}, ip="10.0.0.1")
                async with following(f"http://{proxy.address}") as seen:
                    watching = asyncio.create_task(_watch(seen))
                    for number in range(2, 5):
                        proxy.break_()
                        await seen.until(lambda: Condition.STALE is seen.condition, "STALE")
                        ip = f"10.0.0.{number}"
                        await framework.launch(f"web.{number}", "web", {8080: "http"}, ip=ip)
                        proxy.heal()
                        await seen.until(lambda ip=ip: ip in seen.endpoints("web"), "what is new")
                    assert not watching.done(), "a cut connection removed data"
                    watching.cancel()

        run_async(main(), timeout=90)

    def test_the_next_master_is_asked(self, run_async, installed: Path, tmp_path: Path):
        """An address at which nobody listens is passed over."""

        async def main() -> None:
            async with Mesos(installed, tmp_path) as mesos, Framework(mesos) as framework:
                await framework.launch("web.1", "web", {8080: "http"}, ip="10.0.0.1")
                async with following("http://127.0.0.1:9", mesos.address) as seen:
                    assert {"10.0.0.1"} == set(seen.endpoints("web"))

        run_async(main())

    def test_credentials_are_checked(self, run_async, installed: Path, tmp_path: Path):
        """The right ones read; wrong ones make the source FAILED, and stand nowhere."""

        async def main() -> None:
            async with (
                Mesos(installed, tmp_path, password="planted-right") as mesos,
                Framework(mesos) as framework,
            ):
                await framework.launch("web.1", "web", {8080: "http"}, ip="10.0.0.1")
                good = {"username": "mesh", "password": "planted-right"}
                async with following(mesos.address, **good) as seen:
                    assert {"10.0.0.1"} == set(seen.endpoints("web"))
                source = {
                    "id": "dc",
                    "kind": "mesos",
                    "masters": [mesos.address],
                    "username": "mesh",
                    "password": "planted-wrong",
                }
                settings = Settings.from_dict(
                    {"sources": [source], "server": {"xds": "127.0.0.1:0"}}
                )
                async with Pilot(
                    settings, plugins=[meshregistry_mesos], entry_points=False
                ) as pilot:
                    while Condition.FAILED is not pilot.sources()[0].condition:
                        await asyncio.sleep(0.01)
                    assert "refuses the credentials" in str(pilot.sources()[0].error)
                    assert "planted" not in str(pilot.sources())

        run_async(main())


class TestSize:
    """What many tasks cost."""

    def test_a_thousand_tasks(self, run_async, installed: Path, tmp_path: Path):
        """Listed, and then one change among them."""

        async def main() -> None:
            async with Mesos(installed, tmp_path) as mesos, Framework(mesos) as framework:
                for number in range(1000):
                    name, ip = f"s{number % 100}", f"10.1.{number // 250}.{number % 250 + 1}"
                    await framework.launch(f"t{number}", name, {8080: "http"}, ip=ip)
                began = time.perf_counter()
                async with following(mesos.address) as seen:
                    listed = time.perf_counter() - began
                    assert 10 == len(seen.endpoints("s7"))
                    for number in range(10):
                        ip = f"10.2.0.{number + 1}"
                        await seen.after(
                            framework.launch(f"n{number}", "s7", {8080: "http"}, ip=ip),
                            lambda ip=ip: ip in seen.endpoints("s7"),
                            "a new task",
                        )
                    print(
                        f"\nmesos, 1,000 tasks of 100 services: listed in {listed:.2f} s, "
                        f"then a new task after p50 {1000 * median(seen.times):.1f} ms"
                    )

        run_async(main(), timeout=120)


CHECKED = {"reason": "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED"}
"""What makes a master tell of a status whose state is the same."""


def _is(seen: Followed, name: str, address: str, health: Health) -> bool:
    found = seen.endpoints(name).get(address)
    return found is not None and health is found.health


async def _watch(seen: Followed) -> None:
    """End at the first moment at which the catalog lacks what is there."""
    while "10.0.0.1" in seen.endpoints("web"):
        await asyncio.sleep(0.001)


class RealBackend:
    """A real Mesos behind a proxy that breaks, slows and silences it."""

    def __init__(self, installed: Path, folder: Path) -> None:
        self._mesos = Mesos(installed, folder, password="good")
        self._stack = AsyncExitStack()
        self._had: dict[str, dict[str, str]] = {}
        self._count = 0

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._mesos)
        self.proxy = await self._stack.enter_async_context(TcpProxy("127.0.0.1", self._mesos.port))
        self._framework = await self._stack.enter_async_context(Framework(self._mesos))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    async def put(self, record: ServiceRecord) -> ServiceRecord:
        name = str(record.service.host)
        addresses = [one.address for one in record.endpoints]
        await self._set(name, dict.fromkeys(addresses, 8080))
        service = Service(f"{name}.marathon.mesos", ports=[Port("http", 8080, Protocol.HTTP)])
        endpoints = [Endpoint(address=one, port=8080, service_port="http") for one in addresses]
        return ServiceRecord(service, endpoints, key=RecordKey(f"marathon/{name}"))

    async def remove(self, key: str) -> None:
        await self._set(key.removeprefix("marathon/"), {})

    async def garble(self, key: str) -> None:
        await self._set(key.removeprefix("marathon/"), {"10.0.0.250": 70_000})

    async def _set(self, name: str, wanted: dict[str, int]) -> None:
        """Tasks that are needed first, so that the service is never without one."""
        had = self._had.setdefault(name, {})
        for address, port in wanted.items():
            if address not in had:
                self._count += 1
                had[address] = f"{name}.{self._count}"
                await self._framework.launch(had[address], name, {port: "http"}, ip=address)
        for address in [one for one in had if one not in wanted]:
            await self._framework.kill(had.pop(address))

    def break_(self) -> None:
        self.proxy.break_()

    def truncate(self) -> None:
        self.proxy.truncate(300)

    def silence(self) -> None:
        self.proxy.silence()

    def slow(self, seconds: float) -> None:
        self.proxy.slow(seconds)

    async def refuse_credentials(self) -> None:
        """A master takes other credentials when it is started, which ends its tasks."""
        await self._restart("other")

    async def heal(self) -> None:
        if self._mesos.password != "good":
            # Nobody looks before the tasks run again.
            self.proxy.break_()
            had, self._had = self._had, {}
            await self._restart("good")
            for name, tasks in had.items():
                await self._set(name, dict.fromkeys(tasks, 8080))
        self.proxy.heal()

    async def _restart(self, password: str) -> None:
        await self._mesos.stop(signal.SIGKILL)
        self._mesos.password = password
        await self._mesos.start()
        self._framework = await self._stack.enter_async_context(Framework(self._mesos))

    async def wipe(self) -> None:
        await self._mesos.stop(signal.SIGKILL)
        self._mesos.wipe()
        self._had.clear()
        await self._mesos.start()
        self._framework = await self._stack.enter_async_context(Framework(self._mesos))

    def attempts(self) -> int:
        return self.proxy.connections


class TestConformance(RegistryConformance):
    """The rules for adapters on the real master."""

    kind = meshregistry_mesos.meshregistry_register_registries()[0]
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
    )
    # A master sends a heartbeat each 15 s, so that silence is noticed after one and a half.
    latency = 30.0
    changes = 2000

    @pytest.fixture
    def backend(self, installed: Path, tmp_path: Path) -> RealBackend:
        """A cluster for each test."""
        return RealBackend(installed, tmp_path)

    def config(self, backend: RealBackend) -> meshregistry_mesos.MesosConfig:
        """Impatient settings, so that tests take seconds."""
        return meshregistry_mesos.MesosConfig(
            masters=(f"http://{backend.proxy.address}",),
            username="mesh",
            password=Secret("good"),
            heartbeats=1,
            timeout=1.5,
        )
