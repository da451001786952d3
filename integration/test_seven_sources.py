"""Seven registries in one catalog, one Envoy: changes arrive, outages and moves cost no request."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self

import pytest

from meshregistry import Pilot, Settings
from meshregistry.agent import bootstrap
from servers.backends import Backend, Traffic, first_answer
from servers.loopback import LoopbackKubernetes
from servers.ports import free_port
from servers.seven import Seven, absent, name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from servers.envoy import Envoy
    from servers.members import Member

    MakeEnvoy = Callable[[Mapping[str, Any]], Envoy]

_ABSENT = absent()
pytestmark = pytest.mark.skipif(_ABSENT is not None, reason=_ABSENT or "")

SHIFT = """
apiVersion: meshregistry.dev/v1
kind: SourceShift
metadata: {name: cart}
spec: {hosts: [cart.service.consul], weights: {eureka: %d, consul: %d}}
"""


class Bench:
    """A pilot that follows all seven, an Envoy, and requests to the service of each."""

    def __init__(self, folder: Path, envoy: MakeEnvoy) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.seven = Seven(folder)
        self.rules = folder / "rules"
        self.flows: dict[str, Traffic] = {}
        self.times: dict[str, float] = {}
        self._envoy = envoy
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _start(self) -> None:
        self.rules.mkdir()
        (self.rules / "shift.yaml").write_text(SHIFT % (100, 0))
        await self._stack.enter_async_context(self.seven)
        self.places: dict[str, tuple[tuple[str, int], tuple[str, int]]] = {}
        for member in self.seven.members:
            self.places[name_of(member)] = await self._backends(name_of(member))
            await member.serve([self.places[name_of(member)][0]])
        settings = Settings.from_dict(
            {
                "sources": self.seven.sources(),
                "rules": [{"kind": "file", "path": str(self.rules)}],
                "identity": {"aliases": {"cart.service.consul": ["eureka/cart"]}},
                "mesh": {"router": {"http_port": self.port}},
                "server": {"xds": "127.0.0.1:0"},
            }
        )
        self.pilot = await self._stack.enter_async_context(
            Pilot(settings, plugins=[LoopbackKubernetes()])
        )
        await self.pilot.synced(timeout=60)
        document = bootstrap(node="edge-1", cluster="edge", xds=self.pilot.xds_address)
        await self._stack.enter_async_context(self._envoy(document))
        for member in self.seven.members:
            name = name_of(member)
            assert await first_answer(self.url, host=member.host) == f"{name}-1"
            self.flows[name] = await self.flow(member.host)

    async def flow(self, host: str) -> Traffic:
        """Requests to a host until the end."""
        return await self._stack.enter_async_context(
            Traffic(self.url, host=host, workers=1, pause=0.01)
        )

    async def backend(self, version: str, **where: Any) -> Backend:
        """A backend until the end."""
        return await self._stack.enter_async_context(Backend(version, **where))

    async def _backends(self, name: str) -> tuple[tuple[str, int], tuple[str, int]]:
        """Where two instances of a service answer: at two addresses with one port, as pods do."""
        first = await self.backend(f"{name}-1")
        second = await self.backend(f"{name}-2", address="127.0.0.2", port=first.port)
        return ("127.0.0.1", first.port), ("127.0.0.2", second.port)

    async def move(self, member: Member) -> None:
        """A second instance comes, and the first one goes; how soon the second one answers."""
        name = name_of(member)
        first, second = self.places[name]
        flow = self.flows[name]
        await member.serve([first, second])
        began = time.perf_counter()
        await flow.until(lambda: flow.answers[f"{name}-2"] > 0, timeout=30)
        self.times[name] = time.perf_counter() - began
        await member.serve([second])
        await flow.only(f"{name}-2", timeout=30)

    async def lose(self, member: Member) -> None:
        """The registry dies and comes back, with requests to all services under way."""
        name = name_of(member)
        await member.kill()
        await self._condition(name, "STALE")
        await self._go_on()
        await member.revive()
        await self._condition(name, "SYNCED")
        await self._go_on()

    async def _go_on(self) -> None:
        for flow in self.flows.values():
            count = flow.requests
            await flow.until(lambda flow=flow, count=count: flow.requests > count + 30)

    async def _condition(self, source: str, wanted: str) -> None:
        async with asyncio.timeout(60):
            while {str(one.id): str(one.condition) for one in self.pilot.sources()}[
                source
            ] != wanted:
                await asyncio.sleep(0.02)

    def failures(self) -> dict[str, list[str]]:
        """What went wrong, by source."""
        return {name: flow.failures for name, flow in self.flows.items() if flow.failures}

    def print_table(self) -> None:
        """Show what was measured."""
        print(f"\n{'kind':12} {'change to Envoy':>16} {'requests':>9} {'failed':>7}")
        for name, flow in self.flows.items():
            took = f"{1000 * self.times[name]:.0f} ms" if name in self.times else "-"
            print(f"{name:12} {took:>16} {flow.requests:>9} {len(flow.failures):>7}")


def test_seven_sources_in_one_catalog(run_async, envoy: MakeEnvoy, tmp_path: Path):
    """Each changes, dies and returns in turn; a service moves from Eureka to Consul: none fails."""

    async def main() -> None:
        async with Bench(tmp_path, envoy) as bench:
            for member in bench.seven.members:
                await bench.move(member)
            for member in bench.seven.members:
                await bench.lose(member)
            await _move_by_weights(bench)
            bench.print_table()
            assert bench.failures() == {}

    run_async(main(), timeout=240)


async def _move_by_weights(bench: Bench) -> None:
    """A service that both know goes from one to the other, and then only the other has it."""
    old = await bench.backend("old")
    new = await bench.backend("new", address="127.0.0.2", port=old.port)
    seven = bench.seven
    id_ = await seven.eureka.server.register("cart", old.port)
    assert await first_answer(bench.url, host="cart.service.consul") == "old"
    flow = bench.flows["moved"] = await bench.flow("cart.service.consul")
    await seven.consul.server.register(
        "cart", new.port, address=new.address, Meta={"protocol": "http"}
    )
    for share in (10, 50, 100):
        (bench.rules / "shift.new").write_text(SHIFT % (100 - share, share))
        (bench.rules / "shift.new").rename(bench.rules / "shift.yaml")
        if share == 100:
            await flow.only("new", timeout=30)
        else:
            before = flow.answers["new"]
            await flow.until(lambda before=before: flow.answers["new"] > before + 10, timeout=30)
            assert flow.answers["old"] > 0
    await seven.eureka.server.done("DELETE", f"/apps/CART/{id_}")
    await bench._go_on()
