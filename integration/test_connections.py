"""Routes of whole connections, through a real Envoy: TCP by rule, TLS by server name."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from meshregistry import Endpoint, Pilot, ServiceRecord, Settings
from meshregistry.agent import bootstrap, node_id
from meshregistry.model import Labels, Port, Protocol, ProxyRole, Service
from servers.certificates import write_certificate
from servers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path
    from typing import Any

    from servers.envoy import Envoy

    MakeEnvoy = Callable[[Mapping[str, Any]], Envoy]

DOMAIN = "shop.svc.mesh.local"
RULES = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: db, namespace: shop}
spec:
  host: db
  subsets:
    - {name: v1, labels: {version: v1}}
    - {name: v2, labels: {version: v2}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: db, namespace: shop}
spec:
  hosts: [db, old.example, new.example]
  tcp: [{route: [{destination: {host: db, subset: %s}}]}]
  tls:
    - match: [{sniHosts: [old.example]}]
      route: [{destination: {host: db, subset: v1}}]
    - match: [{sniHosts: [new.example]}]
      route: [{destination: {host: db, subset: v2}}]
"""


async def _greet(text: str, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(text.encode())
    writer.close()


@asynccontextmanager
async def greeter(text: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Says a text to whoever connects; gives the port."""
    server = await asyncio.start_server(partial(_greet, text), "127.0.0.1", 0, ssl=tls)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


async def heard(port: int, tls: ssl.SSLContext | None = None, name: str | None = None) -> str:
    """What is said at a port; empty if nobody is there."""
    try:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=tls, server_hostname=name
        )
    except OSError:
        return ""
    try:
        return (await reader.read()).decode()
    finally:
        writer.close()


async def until(expected: str, port: int, *how: Any) -> None:
    """Connect until that is said."""
    async with asyncio.timeout(20):
        while await heard(port, *how) != expected:
            await asyncio.sleep(0.01)


def test_connections_go_by_rule_and_server_name(run_async, envoy: MakeEnvoy, tmp_path: Path):
    """Plain ones by the first route, TLS by its name without being opened; a change is followed."""
    path = tmp_path / "rules.yaml"
    path.write_text(RULES % "v1")
    settings = Settings.from_dict(
        {
            "sources": [{"id": "mine", "kind": "memory"}],
            "rules": [{"kind": "file", "path": str(path)}],
            "server": {"xds": "127.0.0.1:0"},
        }
    )
    plain, secure = free_port(), free_port()
    certificate, key = write_certificate(tmp_path / "db", "old.example", "new.example")
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(certificate, key)
    trust = ssl.create_default_context(cafile=str(certificate))

    async def main() -> None:
        async with AsyncExitStack() as stack:
            pilot = await stack.enter_async_context(Pilot(settings))
            endpoints = [
                Endpoint(
                    address="127.0.0.1",
                    port=await stack.enter_async_context(greeter(version, tls)),
                    service_port=name,
                    labels=Labels({"version": version}),
                )
                for version in ("v1", "v2")
                for name, tls in (("sql", None), ("tls", served))
            ]
            service = Service(
                host=f"db.{DOMAIN}",
                namespace="shop",
                ports=[Port("sql", plain, Protocol.TCP), Port("tls", secure, Protocol.TLS)],
            )
            pilot.memory("mine").upsert(ServiceRecord(service, endpoints))
            node = node_id(ProxyRole.SIDECAR, address="127.0.0.9", name="web", domain=DOMAIN)
            document = bootstrap(node=node, cluster="web", xds=pilot.xds_address)
            await stack.enter_async_context(envoy(document))
            await until("v1", plain)
            assert {await heard(plain) for _ in range(20)} == {"v1"}
            await until("v2", secure, trust, "new.example")
            for _ in range(10):
                assert await heard(secure, trust, "new.example") == "v2"
                assert await heard(secure, trust, "old.example") == "v1"
            path.write_text(RULES % "v2")
            await until("v2", plain)

    run_async(main())
