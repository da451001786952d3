"""Consul, etcd and Kubernetes at once: one catalog, one Envoy, and no request lost with a registry."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from meshregistry import Pilot, Settings
from meshregistry.agent import bootstrap
from meshregistry.model import ServiceRecord
from meshregistry.spi import RegistryKind, hookimpl
from servers.backends import Backend, Traffic, first_answer
from servers.ports import free_port
from servers.three import POD, ThreeRegistries, absent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshregistry.spi import Registry, RegistryContext, Sink

_ABSENT = absent()
pytestmark = pytest.mark.skipif(
    _ABSENT is not None, reason=f"there is no {_ABSENT}: `make integration` builds it"
)

SETTINGS = Path(__file__).parents[1] / "docs" / "how-to" / "three-registries" / "mesh.yaml"
HOSTS = {
    "consul": "web.service.consul",
    "etcd": "web.etcd.test",
    "k8s": "web.default.svc.mesh.local",
}


class _OnLoopback:
    """A sink that says 127.0.0.1 for the pod's address, where its backend really listens."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sink, name)

    def replace(self, records: Iterable[ServiceRecord], **more: Any) -> None:
        self._sink.replace([_on_loopback(record) for record in records], **more)

    def upsert(self, record: ServiceRecord) -> None:
        self._sink.upsert(_on_loopback(record))

    def part(self, name: str) -> _OnLoopback:
        return _OnLoopback(self._sink.part(name))


def _on_loopback(record: ServiceRecord) -> ServiceRecord:
    endpoints = [
        evolve(one, address="127.0.0.1") if one.address == POD else one for one in record.endpoints
    ]
    return ServiceRecord(record.service, endpoints, key=record.key)


class _Run:
    """The real adapter, with such a sink."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def run(self, sink: Sink) -> None:
        await self._registry.run(_OnLoopback(sink))


class LoopbackKubernetes:
    """A plugin: the kind ``kubernetes`` for a cluster whose pods are backends on this machine."""

    def __init__(self) -> None:
        (self.real,) = (one for one in Pilot.discover().kinds() if one.name == "kubernetes")

    @hookimpl
    def meshregistry_register_registries(self) -> RegistryKind:
        def open_registry(config: Any, context: RegistryContext) -> _Run:
            return _Run(self.real.open(config, context))

        return RegistryKind(
            name="kubernetes-on-loopback",
            config_class=self.real.config_class,
            open=open_registry,
            connect=self.real.connect,
        )


def _settings(three: ThreeRegistries, router_port: int) -> Settings:
    there = three.environment()
    return Settings.from_dict(
        {
            "sources": [
                {"id": "consul", "kind": "consul", "address": there["CONSUL_HTTP_ADDR"]},
                {"id": "etcd", "kind": "etcd", "endpoints": [there["ETCD_ENDPOINT"]]},
                {"id": "k8s", "kind": "kubernetes-on-loopback", "kubeconfig": there["KUBECONFIG"]},
            ],
            "mesh": {"router": {"http_port": router_port}},
            "server": {"xds": "127.0.0.1:0"},
        }
    )


def test_no_request_fails_while_each_registry_is_killed_in_turn(run_async, envoy, tmp_path):
    """Envoy reaches the backends of all three, and goes on while one after the other dies."""

    async def main() -> None:
        port = free_port()
        async with AsyncExitStack() as stack:
            backends = {name: await stack.enter_async_context(Backend(name)) for name in HOSTS}
            three = await stack.enter_async_context(ThreeRegistries(tmp_path))
            await three.register(*(backend.port for backend in backends.values()))
            pilot = await stack.enter_async_context(
                Pilot(_settings(three, port), plugins=[LoopbackKubernetes()])
            )
            began = time.perf_counter()
            await pilot.synced(timeout=30)
            print(f"\nthree sources synced in {time.perf_counter() - began:.2f} s", end="")
            document = bootstrap(node="edge-1", cluster="edge", xds=pilot.xds_address)
            await stack.enter_async_context(envoy(document))
            url = f"http://127.0.0.1:{port}/"
            flows = {}
            for name, host in HOSTS.items():
                assert await first_answer(url, host=host) == name
                flows[name] = await stack.enter_async_context(Traffic(url, host=host, workers=1))
            kill = {
                "consul": lambda: three.consul.stop(signal.SIGKILL),
                "etcd": three.etcd.kill,
                "k8s": three.kubernetes.kill,
            }
            for name, ends in kill.items():
                began = time.perf_counter()
                await ends()
                await _condition(pilot, name, "STALE")
                print(f"\n{name} killed: STALE after {time.perf_counter() - began:.2f} s", end="")
                for flow in flows.values():
                    count = flow.requests
                    await flow.until(lambda flow=flow, count=count: flow.requests > count + 50)
            assert [] == [failure for flow in flows.values() for failure in flow.failures]
            assert {name: {name} for name in HOSTS} == {
                name: set(flow.answers) for name, flow in flows.items()
            }

    run_async(main(), timeout=180)


async def _condition(pilot: Pilot, source: str, wanted: str) -> None:
    async with asyncio.timeout(60):
        while {str(one.id): str(one.condition) for one in pilot.sources()}[source] != wanted:
            await asyncio.sleep(0.02)


def test_the_settings_of_the_how_to_page_show_all_three(run_async, tmp_path):
    """As a newcomer would type it: each service once, with its source."""

    async def main() -> None:
        async with ThreeRegistries(tmp_path) as three:
            await three.register(9001, 9002, 9003)
            command = [Path(sys.executable).with_name("meshregistry"), "services", "-o", "json"]
            process = await asyncio.create_subprocess_exec(
                *(*command, "-c", SETTINGS),
                env=three.environment() | {"PATH": "/usr/bin"},
                stdout=asyncio.subprocess.PIPE,
            )
            answer, _ = await process.communicate()
            assert process.returncode == 0
            shown = {one["host"]: one["sources"] for one in json.loads(answer)["services"]}
            assert {host: [name] for name, host in HOSTS.items()} == {
                host: shown[host] for host in HOSTS.values()
            }

    run_async(main(), timeout=120)
