"""Documents of the Kubernetes Gateway API, and a real Envoy at the edge that does what they say."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import aiohttp

from meshregistry import Endpoint, Pilot, ServiceRecord, Settings
from meshregistry.agent import bootstrap
from meshregistry.model import Port, Protocol, Service
from servers.backends import Echo
from servers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from servers.envoy import Envoy

    MakeEnvoy = Callable[[Mapping[str, Any]], Envoy]

RULES = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge, namespace: shop}}
spec:
  gatewayClassName: meshregistry
  listeners:
    - {{name: web, port: {web}, protocol: HTTP, hostname: "*.example"}}
    - {{name: inner, port: {inner}, protocol: HTTP}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: shop, namespace: shop}}
spec:
  parentRefs: [{{name: edge, sectionName: web}}]
  hostnames: [shop.example]
  rules:
    - backendRefs: [{{name: v1, port: 80}}]
    - matches: [{{path: {{value: /api}}}}]
      filters:
        - {{type: URLRewrite, urlRewrite: {{path: {{type: ReplacePrefixMatch, replacePrefixMatch: /}}}}}}
        - {{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: x-by, value: edge}}]}}}}
      backendRefs: [{{name: v2, port: 80}}]
    - matches: [{{path: {{type: Exact, value: /api/exact}}}}]
      backendRefs: [{{name: v1, port: 80}}]
    - matches: [{{path: {{value: /gone}}}}]
    - matches: [{{path: {{value: /far}}}}]
      backendRefs: [{{name: far, namespace: pay, port: 80}}]
    - matches: [{{path: {{value: /away}}}}]
      filters:
        - type: RequestRedirect
          requestRedirect: {{path: {{type: ReplacePrefixMatch, replacePrefixMatch: /there}}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: inner, namespace: shop}}
spec:
  parentRefs: [{{name: edge, sectionName: inner}}]
  rules: [{{backendRefs: [{{name: v2, port: 80}}]}}]
"""
GRANT = """
---
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: far, namespace: pay}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: shop}]
  to: [{group: "", kind: Service}]
"""


def test_requests_go_by_gateway_and_routes(run_async, envoy: MakeEnvoy, tmp_path: Path):
    """Sections, hosts, the specification's order, filters, what is not there and what is granted."""
    web, inner = free_port(), free_port()
    path = tmp_path / "rules.yaml"
    text = RULES.format(web=web, inner=inner)
    path.write_text(text)
    settings = Settings.from_dict(
        {
            "sources": [{"id": "mine", "kind": "memory"}],
            "rules": [{"kind": "file", "path": str(path)}],
            "server": {"xds": "127.0.0.1:0"},
        }
    )

    async def main() -> None:
        async with AsyncExitStack() as stack:
            pilot = await stack.enter_async_context(Pilot(settings))
            for name, namespace in (("v1", "shop"), ("v2", "shop"), ("far", "pay")):
                backend = await stack.enter_async_context(Echo(name))
                service = Service(
                    host=f"{name}.{namespace}.svc.mesh.local",
                    namespace=namespace,
                    ports=[Port("http", 80, Protocol.HTTP)],
                )
                endpoint = Endpoint(address="127.0.0.1", port=backend.port, service_port="http")
                pilot.memory("mine").upsert(ServiceRecord(service, [endpoint]))
            # Else Envoy might answer for the first service before it knows the others.
            await pilot.published()
            labels = {"LABELS": {"gateway.networking.k8s.io/gateway-name": "edge"}}
            document = bootstrap(
                node="edge-1", cluster="edge", xds=pilot.xds_address, metadata=labels
            )
            await stack.enter_async_context(envoy(document))
            session = await stack.enter_async_context(aiohttp.ClientSession())

            async def ask(
                where: str, port: int = web, host: str = "shop.example"
            ) -> tuple[int, dict[str, Any]]:
                url = f"http://127.0.0.1:{port}{where}"
                try:
                    async with session.get(
                        url, headers={"Host": host}, allow_redirects=False
                    ) as answer:
                        is_json = answer.content_type == "application/json"
                        seen = (
                            await answer.json()
                            if is_json
                            else {"to": answer.headers.get("location")}
                        )
                        return answer.status, seen
                except aiohttp.ClientConnectionError:
                    return 0, {}

            async def until(status: int, where: str) -> None:
                async with asyncio.timeout(20):
                    while (await ask(where))[0] != status:
                        await asyncio.sleep(0.01)

            await until(200, "/")
            assert (await ask("/"))[1]["version"] == "v1"
            status, seen = await ask("/api/books?q=1")
            assert (status, seen["version"], seen["path"]) == (200, "v2", "/books?q=1")
            assert seen["headers"]["x-by"] == "edge"
            assert (await ask("/api/exact"))[1]["version"] == "v1"
            assert (await ask("/apis"))[1]["version"] == "v1"
            assert (await ask("/gone"))[0] == 500
            status, seen = await ask("/away/x")
            assert (status, seen["to"]) == (302, "http://shop.example/there/x")
            assert (await ask("/", host="other.example"))[0] == 404
            assert (await ask("/", inner, host="any.host"))[1]["version"] == "v2"
            assert (await ask("/far"))[0] == 503
            path.write_text(text + GRANT)
            await until(200, "/far")
            assert (await ask("/far"))[1]["version"] == "far"

    run_async(main())
