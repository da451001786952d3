"""A mesh with one workload and its Envoys, configured by our pilot alone.

The workload calls its own service: the request leaves by the outbound listener of its sidecar and
comes back by the inbound one, so that both sides report.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self

import aiohttp

from meshregistry import Endpoint, Pilot, ServiceRecord, Settings
from meshregistry.agent import bootstrap, node_id
from meshregistry.model import Port, Protocol, ProxyRole, Service
from servers.backends import Echo
from servers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from servers.envoy import Envoy

    MakeEnvoy = Callable[[Mapping[str, Any]], Envoy]

DOMAIN = "shop.svc.mesh.local"
WEB, DB = f"web.{DOMAIN}", f"db.{DOMAIN}"
SIDECAR = "127.0.0.9"


class Workload:
    """A pilot, a workload behind two services, and as many Envoys as a test wants.

    Args:
        make_envoy: makes one.
        mixer: ``mesh.mixer`` of the settings.
        namespace: of the services.
    """

    def __init__(
        self, make_envoy: MakeEnvoy, mixer: Mapping[str, Any], *, namespace: str = "shop"
    ) -> None:
        self._namespace = namespace
        self.web_port, self.db_port, self.edge_port = free_port(), free_port(), free_port()
        self._make_envoy = make_envoy
        self._mixer = mixer
        self._stack = AsyncExitStack()
        self.echo = Echo("v1")

    async def __aenter__(self) -> Self:
        enter = self._stack.enter_async_context
        await enter(self.echo)
        self._database = await asyncio.start_server(_parrot, "127.0.0.1", 0)
        self._stack.callback(self._database.close)
        settings = Settings.from_dict(
            {
                "sources": [{"id": "mine", "kind": "memory"}],
                "mesh": {
                    "mixer": {"request_headers": ["x-user"], **self._mixer},
                    "router": {"http_port": self.edge_port},
                },
                "server": {"xds": "127.0.0.1:0"},
            }
        )
        self.pilot = await enter(Pilot(settings))
        database = self._database.sockets[0].getsockname()[1]
        for host, port, name, protocol, target in (
            (WEB, self.web_port, "http", Protocol.HTTP, self.echo.port),
            (DB, self.db_port, "tcp", Protocol.TCP, database),
        ):
            self.pilot.memory("mine").upsert(
                ServiceRecord(
                    Service(
                        host=host, namespace=self._namespace, ports=[Port(name, port, protocol)]
                    ),
                    [Endpoint(address=SIDECAR, port=target, service_port=name)],
                )
            )
        # Else an Envoy could be ready with nothing.
        await self.pilot.published(timeout=20)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def sidecar(self) -> Envoy:
        """Start the workload's sidecar."""
        node = node_id(ProxyRole.SIDECAR, address=SIDECAR, name="web-1.shop", domain=DOMAIN)
        return await self._start(node)

    async def router(self) -> Envoy:
        """Start a router beside it."""
        return await self._start("edge-1")

    async def _start(self, node: str) -> Envoy:
        config = bootstrap(node=node, cluster="test", xds=self.pilot.xds_address)
        envoy = await self._stack.enter_async_context(self._make_envoy(config))
        await envoy.ready()
        return envoy

    async def get(self, path: str, *, edge: bool = False, **headers: str) -> tuple[int, Any, Any]:
        """Status, body and headers of an answer."""
        url = f"http://127.0.0.1:{self.edge_port if edge else self.web_port}{path}"
        sent = {"Host": WEB} | {name.replace("_", "-"): text for name, text in headers.items()}
        async with aiohttp.ClientSession() as http, http.get(url, headers=sent) as answer:
            is_json = answer.content_type == "application/json"
            body = await answer.json() if is_json else await answer.text()
            return answer.status, body, answer.headers

    async def until(self, path: str, status: int) -> None:
        """Ask until the answer has this status."""
        async with asyncio.timeout(20):
            while (await self.get(path))[0] != status:
                await asyncio.sleep(0.02)


async def _parrot(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1000):
        writer.write(data * 2)
    writer.close()
