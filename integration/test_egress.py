"""Services outside of the mesh, called through a real Envoy by rule.

Our own equivalent of Istio's egress tasks: a time-out for a slow service, TLS that begins in
the sidecar, and unknown hosts that are let through or not.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web

from meshregistry import Pilot, Settings
from meshregistry.agent import bootstrap, node_id
from meshregistry.model import ProxyRole
from servers.certificates import write_certificate
from servers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from servers.envoy import Envoy

    MakeEnvoy = Callable[[Mapping[str, Any]], Envoy]

ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: api, namespace: shop}}
spec:
  hosts: [api.example]
  location: MESH_EXTERNAL
  resolution: DNS
  ports: [{{name: http, number: {port}, protocol: HTTP}}]
  endpoints: [{{address: localhost, ports: {{http: {backend}}}}}]
"""
TIMEOUT = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: api, namespace: shop}
spec:
  hosts: [api.example]
  http: [{timeout: 300ms, route: [{destination: {host: api.example}}]}]
"""
ORIGINATION = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: api, namespace: shop}}
spec:
  host: api.example
  trafficPolicy: {{tls: {{mode: SIMPLE, caCertificates: {roots}, sni: api.example}}}}
"""


@asynccontextmanager
async def external(tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A service that is slow at /slow and tells whether it was called over TLS; its port."""

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/slow":
            await asyncio.sleep(30)
        return web.Response(text=request.scheme)

    application = web.Application()
    application.router.add_get("/{tail:.*}", answer)
    runner = web.AppRunner(application, access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    try:
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


class Caller:
    """A workload that calls api.example, or another host, through its sidecar."""

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self._session = session
        self._url = f"http://127.0.0.1:{port}"

    async def ask(self, path: str = "/", host: str = "api.example") -> tuple[int, str]:
        """Status and text of an answer; 0 if there is none."""
        try:
            async with self._session.get(self._url + path, headers={"Host": host}) as answer:
                return answer.status, await answer.text()
        except aiohttp.ClientConnectionError:
            return 0, ""

    async def until(self, expected: tuple[int, str]) -> None:
        """Ask until that is the answer."""
        async with asyncio.timeout(20):
            while await self.ask() != expected:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def called(
    envoy: MakeEnvoy, folder: Path, rules: str, *, tls: ssl.SSLContext | None = None, **mesh: str
) -> AsyncIterator[Caller]:
    """Start all, and give the caller."""
    port = free_port()
    async with AsyncExitStack() as stack:
        backend = await stack.enter_async_context(external(tls))
        (folder / "services.yaml").write_text(ENTRY.format(port=port, backend=backend))
        (folder / "rules.yaml").write_text(rules)
        settings = Settings.from_dict(
            {
                "sources": [
                    {"id": "outside", "kind": "file", "path": str(folder / "services.yaml")}
                ],
                "rules": [{"kind": "file", "path": str(folder / "rules.yaml")}],
                "mesh": mesh,
                "server": {"xds": "127.0.0.1:0"},
            }
        )
        pilot = await stack.enter_async_context(Pilot(settings))
        node = node_id(
            ProxyRole.SIDECAR, address="127.0.0.9", name="web", domain="shop.svc.mesh.local"
        )
        document = bootstrap(node=node, cluster="web", xds=pilot.xds_address)
        await stack.enter_async_context(envoy(document))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield Caller(session, port)


def test_a_slow_service_is_given_up(run_async, envoy: MakeEnvoy, tmp_path: Path):
    """After the rule's time-out, with 504; quick answers pass."""

    async def main() -> None:
        async with called(envoy, tmp_path, TIMEOUT) as caller:
            await caller.until((200, "http"))
            assert (await caller.ask("/slow")) == (504, "upstream request timeout")
            assert await caller.ask() == (200, "http")

    run_async(main())


def test_tls_begins_in_the_sidecar(run_async, envoy: MakeEnvoy, tmp_path: Path):
    """The workload speaks plain HTTP, the service sees HTTPS; its certificate is verified."""
    certificate, key = write_certificate(tmp_path / "api", "api.example")
    stranger, _ = write_certificate(tmp_path / "stranger", "api.example")
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(certificate, key)

    async def main() -> None:
        rules = ORIGINATION.format(roots=certificate)
        async with called(envoy, tmp_path, rules, tls=served) as caller:
            await caller.until((200, "https"))
            path = tmp_path / "rules.yaml"
            path.write_text(ORIGINATION.format(roots=stranger))
            async with asyncio.timeout(20):
                while (answer := await caller.ask())[0] == 200:
                    await asyncio.sleep(0.01)
            assert answer[0] == 503

    run_async(main())


def test_unknown_hosts_are_refused_if_the_mesh_says_so(run_async, envoy: MakeEnvoy, tmp_path: Path):
    """With 502, while the known one is reached."""

    async def main() -> None:
        mesh = {"outbound_traffic_policy": "REGISTRY_ONLY"}
        async with called(envoy, tmp_path, TIMEOUT, **mesh) as caller:
            await caller.until((200, "http"))
            assert (await caller.ask(host="other.example"))[0] == 502

    run_async(main())
