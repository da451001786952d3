"""Machines: probed from outside, through a real Envoy; and registered in real registries."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from meshregistry import Pilot, ServiceRecord, Settings
from meshregistry.agent import bootstrap, node_id
from meshregistry.errors import ConfigError
from meshregistry.model import ProxyRole
from meshregistry.pilot import registered
from servers.backends import Backend, Traffic, first_answer
from servers.consul import Consul, find_consul
from servers.etcd import Etcd, find_built_etcd
from servers.eureka import RECIPE as EUREKA
from servers.eureka import Eureka
from servers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from servers.envoy import Envoy

    MakeEnvoy = Callable[[Mapping[str, Any]], Envoy]

DOMAIN = "shop.svc.mesh.local"
ADDRESSES = ("127.0.0.1", "127.0.0.2")
DOCUMENTS = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: reviews, namespace: shop}}
spec:
  hosts: [reviews.shop.svc.mesh.local]
  ports: [{{number: {called}, name: http, protocol: HTTP}}]
  location: MESH_INTERNAL
  resolution: STATIC
  workloadSelector: {{labels: {{app: reviews}}}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {{name: reviews, namespace: shop}}
spec:
  metadata: {{labels: {{app: reviews}}}}
  template: {{ports: {{http: {port}}}}}
  probe: {{httpGet: {{port: {probed}, path: /healthz}}, periodSeconds: 1, failureThreshold: 2}}
"""
MEMBER = """
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata:
  name: vm-{address}
  namespace: shop
  annotations: {{istio.io/autoRegistrationGroup: reviews}}
spec: {{address: {address}}}
"""


class Checked(Backend):
    """What a machine answers to a probe: its health, which the test sets."""

    is_well = True

    async def _answer(self, request: web.Request) -> web.Response:
        assert request.path == "/healthz"
        return web.Response(status=200 if self.is_well else 503)


def port_of_both() -> int:
    """A port that is free at every address."""
    while True:
        port = free_port()
        try:
            for address in ADDRESSES:
                with socket.socket() as one:
                    one.bind((address, port))
        except OSError:
            continue
        return port


def test_a_probe_takes_a_machine_out_and_brings_it_back(
    run_async, envoy: MakeEnvoy, tmp_path: Path
):
    """While requests flow and none fails."""

    async def main() -> None:
        called, port, probed = free_port(), port_of_both(), port_of_both()
        text = DOCUMENTS.format(called=called, port=port, probed=probed)
        path = tmp_path / "machines.yaml"
        path.write_text(text + "".join(MEMBER.format(address=one) for one in ADDRESSES))
        settings = Settings.from_dict(
            {
                "sources": [{"id": "machines", "kind": "file", "path": str(path)}],
                "server": {"xds": "127.0.0.1:0"},
            }
        )
        async with AsyncExitStack() as stack:
            for address in ADDRESSES:
                await stack.enter_async_context(Backend(address, address=address, port=port))
            checked = [
                await stack.enter_async_context(Checked("", address=address, port=probed))
                for address in ADDRESSES
            ]
            pilot = await stack.enter_async_context(Pilot(settings))
            node = node_id(ProxyRole.SIDECAR, address="127.0.0.9", name="web", domain=DOMAIN)
            document = bootstrap(node=node, cluster="web", xds=pilot.xds_address)
            await stack.enter_async_context(envoy(document))
            url = f"http://127.0.0.1:{called}/"
            await first_answer(url, host="reviews")
            traffic = await stack.enter_async_context(Traffic(url, host="reviews"))
            await traffic.only(*ADDRESSES)
            checked[1].is_well = False
            await traffic.only(ADDRESSES[0])
            checked[1].is_well = True
            await traffic.only(*ADDRESSES)
            assert [] == traffic.failures

    run_async(main())


# --- Registration -------------------------------------------------------------------------

TOKEN = "of-the-agents"
TTL = 2.0


class Replica:
    """One of several pilots, and requests to it."""

    def __init__(self, pilot: Pilot, session: aiohttp.ClientSession) -> None:
        self.pilot = pilot
        self._session = session

    async def ask(
        self, method: str, path: str = "", document: Any = None, *, token: str = TOKEN
    ) -> tuple[int, Any]:
        """Status and answer."""
        url = f"http://{self.pilot.http_address}/v1/register{path}"
        headers = {"Authorization": f"Bearer {token}"}
        async with self._session.request(method, url, json=document, headers=headers) as answer:
            return answer.status, await answer.json() if answer.content_length else None

    async def has(self, host: str, *endpoints: str) -> float:
        """Wait until these are all healthy endpoints of a host; how long that took."""
        began = time.perf_counter()
        async with asyncio.timeout(30):
            while self._healthy(host) != set(endpoints):
                await asyncio.sleep(0.002)
        return time.perf_counter() - began

    def _healthy(self, host: str) -> set[str]:
        return {
            str(one)
            for found in self.pilot.merged.find(host)
            for one in found.endpoints
            if one.is_sent
        }


@asynccontextmanager
async def etcd_server(folder: Path) -> AsyncIterator[tuple[Any, dict[str, Any]]]:
    """A real etcd, and the source of it."""
    pytest.importorskip("meshregistry_etcd", reason="the plugin is not installed")
    program = find_built_etcd()
    if program is None:
        pytest.skip("no etcd was built: building Kubernetes' servers makes one")
    async with Etcd(program, folder) as etcd:
        yield etcd, {"kind": "etcd", "endpoints": [etcd.endpoint]}


@asynccontextmanager
async def consul_server(folder: Path) -> AsyncIterator[tuple[Any, dict[str, Any]]]:
    """A real Consul, and the source of it."""
    pytest.importorskip("meshregistry_consul", reason="the plugin is not installed")
    program = find_consul()
    if program is None:
        pytest.skip("there is no Consul: build it by the recipe of integration/servers")
    async with Consul(program, folder) as consul:
        yield (
            consul,
            {
                "kind": "consul",
                "address": consul.address,
                "hostname": "{service}.shop.mesh.local",
                "namespace": "shop",
                "health": {"critical": "OMIT"},
            },
        )


@asynccontextmanager
async def eureka_server(folder: Path) -> AsyncIterator[tuple[Any, dict[str, Any]]]:
    """A real Eureka, and the source of it."""
    pytest.importorskip("meshregistry_eureka", reason="the plugin is not installed")
    installed = EUREKA.find()
    if installed is None:
        pytest.skip(EUREKA.reason())
    async with Eureka(installed, folder) as eureka:
        yield (
            eureka,
            {
                "kind": "eureka",
                "eureka_server": eureka.url,
                "registry_fetch_interval": "100ms",
                "hostname": "{name}.shop.mesh.local",
                "service_port": None,
                "namespace": "shop",
            },
        )


SERVERS = {"etcd": etcd_server, "consul": consul_server, "eureka": eureka_server}


@asynccontextmanager
async def replica(stack: AsyncExitStack, source: dict[str, Any]) -> AsyncIterator[Replica]:
    """A pilot that takes registrations, and keeps them in this source."""
    settings = Settings.from_dict(
        {
            "sources": [{"id": "machines", **source}],
            "server": {
                "xds": "127.0.0.1:0",
                "registration": {
                    "source": "machines",
                    "tokens": [{"token": TOKEN, "hosts": ["*.shop.mesh.local"]}],
                },
            },
        }
    )
    session = await stack.enter_async_context(aiohttp.ClientSession())
    async with Pilot(settings) as pilot:
        await pilot.synced(20)
        yield Replica(pilot, session)


@pytest.mark.parametrize("kind", sorted(SERVERS))
def test_replicas_share_what_agents_register(run_async, tmp_path: Path, kind: str):
    """Registered here, seen there; renewed and ended by any of them; it ends with its time."""
    host, endpoint = "reviews.shop.mesh.local", "10.0.0.1:8080"
    machine = {
        "host": host,
        "namespace": "shop",
        "address": "10.0.0.1",
        "port": 8080,
        "labels": {"version": "v1"},
        "locality": "eu/a",
        "ttl": f"{TTL:g}s",
    }

    async def main() -> None:
        async with AsyncExitStack() as stack:
            _, source = await stack.enter_async_context(SERVERS[kind](tmp_path))
            one = await stack.enter_async_context(replica(stack, source))
            two = await stack.enter_async_context(replica(stack, source))

            for token, status in (("wrong", 401), (TOKEN, 201)):
                told = await one.ask("POST", document=machine, token=token)
                assert told[0] == status
            key = told[1]["id"]
            seen = await two.has(host, endpoint)
            found = two.pilot.merged.find(host)[0]
            assert ("shop", "v1", "eu/a") == (
                found.service.namespace,
                found.endpoints[0].labels["version"],
                str(found.endpoints[0].locality),
            )
            other = {**machine, "host": "reviews.bank.mesh.local"}
            assert (await one.ask("POST", document=other))[0] == 403

            # Whoever is asked renews it, for longer than it would last.
            until = time.perf_counter() + 2 * TTL
            while time.perf_counter() < until:
                for each in (one, two, two):
                    status, told = await each.ask("POST", document=machine)
                    assert (status in {200, 201}, told["id"]) == (True, key)
                    await asyncio.sleep(TTL / 6)
                    assert await one.has(host, endpoint) < TTL / 4

            await one.ask("POST", document={**machine, "address": "10.0.0.2", "ttl": "60s"})
            await two.has(host, endpoint, "10.0.0.2:8080")
            status, _ = await two.ask("DELETE", f"/{key}")
            assert status == 204
            await one.has(host, "10.0.0.2:8080")
            await two.has(host, "10.0.0.2:8080")

            await two.ask("POST", document=machine)
            await one.has(host, endpoint, "10.0.0.2:8080")
            ended = await one.has(host, "10.0.0.2:8080")
            print(
                f"{kind}: seen by the other replica after {seen * 1000:.0f} ms, "
                f"gone {ended:.1f} s after the last renewal (ttl {TTL:g} s)"
            )
            assert TTL / 2 < ended < 4 * TTL

    run_async(main(), timeout=100)


@pytest.mark.parametrize("kind", sorted(SERVERS))
def test_a_backend_that_is_away_loses_nothing(run_async, tmp_path: Path, kind: str):
    """503, and what was registered is served until the backend says otherwise."""
    host, endpoint = "reviews.shop.mesh.local", "10.0.0.1:8080"
    machine = {"host": host, "namespace": "shop", "address": "10.0.0.1", "port": 8080}

    async def main() -> None:
        async with AsyncExitStack() as stack:
            server, source = await stack.enter_async_context(SERVERS[kind](tmp_path))
            one = await stack.enter_async_context(replica(stack, source | {"timeout": "2s"}))
            assert (await one.ask("POST", document=machine))[0] == 201
            await one.has(host, endpoint)
            await server.stop()
            status, told = await one.ask("POST", document=machine)
            assert status == 503
            assert "cannot be written to" in told["errors"][0]["error"]
            assert await one.has(host, endpoint) < 1
            await server.start()
            async with asyncio.timeout(30):
                while (await one.ask("POST", document=machine))[0] not in {200, 201}:
                    await asyncio.sleep(0.2)
            await one.has(host, endpoint)

    run_async(main(), timeout=100)


def test_a_program_keeps_itself_registered_in_consul(run_async, tmp_path: Path):
    """As `meshregistry register` does, without any HTTP; when it ends, it is gone."""
    host = "reviews.shop.mesh.local"
    record = ServiceRecord.parse(host, port=8080, endpoints=["10.0.0.1:8080"])

    async def main() -> None:
        async with AsyncExitStack() as stack:
            _, source = await stack.enter_async_context(SERVERS["consul"](tmp_path))
            one = await stack.enter_async_context(replica(stack, source))
            settings = Settings.from_dict({"sources": [{"id": "machines", **source}]})
            async with registered(settings, "machines", record, ttl=1.0):
                await one.has(host, "10.0.0.1:8080")
                await asyncio.sleep(2.5)
                assert await one.has(host, "10.0.0.1:8080") < 0.1
            await one.has(host)
            with pytest.raises(ConfigError, match=r"is no host of this source"):
                async with registered(
                    settings,
                    "machines",
                    ServiceRecord.parse("a.b", port=1, endpoints=["10.0.0.1:1"]),
                ):
                    pass

    run_async(main())
