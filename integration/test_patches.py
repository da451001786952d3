"""The plugin of docs/how-to/patch-resources.md, and a real Envoy that obeys it."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import aiohttp

from meshregistry import Endpoint, Pilot, ServiceRecord, Settings
from meshregistry.agent import bootstrap, node_id
from meshregistry.model import Port, Protocol, ProxyRole, Service
from servers.backends import Echo, first_answer
from servers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from servers.envoy import Envoy

    MakeEnvoy = Callable[[Mapping[str, Any]], Envoy]

PAGE = Path(__file__).parent.parent / "docs" / "how-to" / "patch-resources.md"
DOMAIN = "shop.svc.mesh.local"
LIVE_PORT = 15999


def plugin(port: int) -> ModuleType:
    """The page's plugin, with a port that is free on this machine."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert str(LIVE_PORT) in code
    module = ModuleType("limits")
    exec(code.replace(str(LIVE_PORT), str(port)), module.__dict__)
    return module


def test_a_plugin_changes_and_adds_listeners(run_async, envoy: MakeEnvoy):
    """A body beyond the limit is refused, a small one passes; the added listener answers."""

    async def main() -> None:
        async with AsyncExitStack() as stack:
            backend = await stack.enter_async_context(Echo("v1"))
            live, port = free_port(), free_port()
            settings = Settings.from_dict(
                {
                    "sources": [{"id": "mine", "kind": "memory"}],
                    "server": {"xds": "127.0.0.1:0"},
                }
            )
            pilot = Pilot(settings, plugins=[plugin(live)], entry_points=False)
            await stack.enter_async_context(pilot)
            service = Service(
                host=f"reviews.{DOMAIN}",
                namespace="shop",
                ports=[Port("http", port, Protocol.HTTP)],
            )
            endpoint = Endpoint(address="127.0.0.1", port=backend.port, service_port="http")
            pilot.memory("mine").upsert(ServiceRecord(service, [endpoint]))
            node = node_id(ProxyRole.SIDECAR, address="127.0.0.9", name="web", domain=DOMAIN)
            document = bootstrap(node=node, cluster="web", xds=pilot.xds_address)
            document["node"].setdefault("metadata", {})["LABELS"] = {"tier": "edge"}
            await stack.enter_async_context(envoy(document))
            url = f"http://127.0.0.1:{port}/book"
            await first_answer(url, host="reviews")
            session = await stack.enter_async_context(aiohttp.ClientSession())
            headers = {"host": "reviews"}
            for size, status in ((900, 200), (1100, 413)):
                async with session.post(url, data=b"x" * size, headers=headers) as answer:
                    assert status == answer.status
            async with session.get(f"http://127.0.0.1:{live}/") as answer:
                assert 204 == answer.status
            unlabelled = node_id(ProxyRole.SIDECAR, address="127.0.0.8", name="w", domain=DOMAIN)
            listeners = pilot.resources_document(unlabelled, "lds")["types"][0]["resources"]
            assert "live" in {one["name"] for one in listeners}
            assert "max_request_bytes" not in str(listeners)

    run_async(main())
