"""Consul, etcd and Kubernetes at once: one catalog, one Envoy, and no request lost with a registry."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from meshregistry import Pilot, Settings
from meshregistry.agent import bootstrap
from servers.backends import Backend, Traffic, first_answer
from servers.loopback import LoopbackKubernetes
from servers.ports import free_port
from servers.three import ThreeRegistries, absent

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
