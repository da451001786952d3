"""Test environments along a chain of three services, through a real Envoy."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web

from meshregistry import Endpoint, Pilot, ServiceRecord, Settings
from meshregistry.agent import bootstrap, node_id
from meshregistry.model import Labels, Port, Protocol, ProxyRole, Service
from servers.backends import Backend, first_answer
from servers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import Any

    from servers.envoy import Envoy

    MakeEnvoy = Callable[[Mapping[str, Any]], Envoy]

DOMAIN = "shop.svc.mesh.local"
RULES = """
apiVersion: meshregistry.dev/v1
kind: Environment
metadata: {name: alice}
spec: {match: {headers: {x-env: {exact: alice}}}}
---
apiVersion: meshregistry.dev/v1
kind: Environment
metadata: {name: bob}
spec: {match: {headers: {x-env: {exact: bob}}}, fallback: alice}
"""


class Hop(Backend):
    """Answers with who served the request, from here to the end of the chain.

    Args:
        version: of this one.
        following: host and port of the next service, as the sidecar listens for it.
    """

    def __init__(self, version: str, following: tuple[str, int] | None = None) -> None:
        super().__init__(version)
        self._following = following

    async def _answer(self, request: web.Request) -> web.Response:
        rest = ""
        if self._following is not None:
            host, port = self._following
            headers = {"Host": host}
            if "x-env" in request.headers:
                headers["x-env"] = request.headers["x-env"]
            async with (
                aiohttp.ClientSession(headers=headers) as session,
                session.get(f"http://127.0.0.1:{port}/") as answer,
            ):
                rest = f" {await answer.text()}"
        return web.Response(text=self.version + rest)


def test_requests_stay_in_their_environment(run_async, envoy: MakeEnvoy, tmp_path: Path):
    """Each of the chain's calls; what an environment lacks, its fallback or the common one has.

    An environment that comes and goes fails no request.
    """
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    settings = Settings.from_dict(
        {
            "sources": [{"id": "mine", "kind": "memory"}],
            "rules": [{"kind": "file", "path": str(path)}],
            "server": {"xds": "127.0.0.1:0"},
        }
    )
    ports = {name: free_port() for name in ("web", "reviews", "ratings")}
    following = {
        "web": ("reviews", ports["reviews"]),
        "reviews": ("ratings", ports["ratings"]),
        "ratings": None,
    }

    async def main() -> None:
        async with AsyncExitStack() as stack:
            pilot = await stack.enter_async_context(Pilot(settings))

            async def endpoint(name: str, env: str) -> Endpoint:
                hop = await stack.enter_async_context(Hop(f"{name}-{env}", following[name]))
                labels = Labels({"env": env} if env != "common" else {})
                return Endpoint(
                    address="127.0.0.1", port=hop.port, service_port="http", labels=labels
                )

            def publish(name: str, *endpoints: Endpoint) -> None:
                service = Service(
                    host=f"{name}.{DOMAIN}",
                    namespace="shop",
                    ports=[Port("http", ports[name], Protocol.HTTP)],
                )
                pilot.memory("mine").upsert(ServiceRecord(service, endpoints))

            common = {name: await endpoint(name, "common") for name in ports}
            for name, one in common.items():
                publish(name, one)
            node = node_id(ProxyRole.SIDECAR, address="127.0.0.9", name="web", domain=DOMAIN)
            document = bootstrap(node=node, cluster="web", xds=pilot.xds_address)
            await stack.enter_async_context(envoy(document))
            url = f"http://127.0.0.1:{ports['web']}/"
            session = await stack.enter_async_context(
                aiohttp.ClientSession(headers={"Host": "web"})
            )
            await first_answer(url, host="web")

            async def chain(env: str = "") -> str:
                headers = {"x-env": env} if env else {}
                async with session.get(url, headers=headers) as answer:
                    assert answer.status == 200
                    return await answer.text()

            async def until(env: str, expected: str) -> None:
                """Every answer on the way is a whole chain; the last one is the expected."""
                async with asyncio.timeout(10):
                    while (found := await chain(env)) != expected:
                        assert len(found.split()) == 3, found

            everybody = "web-common reviews-common ratings-common"
            assert await chain("alice") == everybody
            publish("reviews", common["reviews"], await endpoint("reviews", "alice"))
            publish("ratings", common["ratings"], await endpoint("ratings", "bob"))
            await until("alice", "web-common reviews-alice ratings-common")
            await until("bob", "web-common reviews-alice ratings-bob")
            for _ in range(20):
                assert await chain() == everybody
                assert await chain("carol") == everybody
                assert await chain("alice") == "web-common reviews-alice ratings-common"
                assert await chain("bob") == "web-common reviews-alice ratings-bob"
            publish("reviews", common["reviews"])
            await until("alice", everybody)
            assert await chain("bob") == "web-common reviews-common ratings-bob"

    run_async(main())
