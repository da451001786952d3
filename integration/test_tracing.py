"""What a real Envoy reports: spans to Zipkin and OpenTelemetry, figures to statsd."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self

import grpc
from aiohttp import web

from meshregistry import Endpoint, Pilot, ServiceRecord, Settings
from meshregistry.agent import bootstrap, node_id
from meshregistry.model import Port, Protocol, ProxyRole, Service
from servers.backends import Echo, first_answer
from servers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from servers.envoy import Envoy

    MakeEnvoy = Callable[[Mapping[str, Any]], Envoy]

DOMAIN = "shop.svc.mesh.local"


class Collector(Echo):
    """Takes spans, as Zipkin's API of version 2 does.

    Attributes:
        spans: that came, in order.
    """

    def __init__(self) -> None:
        super().__init__("collector")
        self.spans: list[dict[str, Any]] = []

    async def _answer(self, request: web.Request) -> web.Response:
        assert request.path == "/api/v2/spans"
        self.spans += await request.json()
        return web.Response(status=202)


class OtlpCollector:
    """Takes spans, as OTLP over gRPC does (OpenTelemetry Protocol, "OTLP/gRPC").

    Attributes:
        requests: serialised, in order.
        port: where it listens, once entered.
    """

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers(
            [
                grpc.method_handlers_generic_handler(
                    "opentelemetry.proto.collector.trace.v1.TraceService",
                    {"Export": grpc.unary_unary_rpc_method_handler(self._export)},
                )
            ]
        )
        self.port = self._server.add_insecure_port("127.0.0.1:0")

    async def _export(self, request: bytes, _context: object) -> bytes:
        self.requests.append(request)
        return b""

    async def __aenter__(self) -> Self:
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(None)


async def traced(stack: AsyncExitStack, envoy: MakeEnvoy, tracing: dict[str, Any]) -> str:
    """Start a sidecar of a mesh with this tracing; gives the URL of a traced service."""
    backend = await stack.enter_async_context(Echo("v1"))
    settings = Settings.from_dict(
        {
            "sources": [{"id": "mine", "kind": "memory"}],
            "mesh": {"tracing": {**tracing, "sampling": 100.0}},
            "server": {"xds": "127.0.0.1:0"},
        }
    )
    pilot = await stack.enter_async_context(Pilot(settings))
    port = free_port()
    service = Service(
        host=f"reviews.{DOMAIN}", namespace="shop", ports=[Port("http", port, Protocol.HTTP)]
    )
    endpoint = Endpoint(address="127.0.0.1", port=backend.port, service_port="http")
    pilot.memory("mine").upsert(ServiceRecord(service, [endpoint]))
    node = node_id(ProxyRole.SIDECAR, address="127.0.0.9", name="web", domain=DOMAIN)
    document = bootstrap(node=node, cluster="web-frontend", xds=pilot.xds_address)
    await stack.enter_async_context(envoy(document))
    return f"http://127.0.0.1:{port}/book"


def test_a_request_leaves_a_span(run_async, envoy: MakeEnvoy):
    """With the proxy's own name, and the headers that an application hands on."""

    async def main() -> None:
        async with AsyncExitStack() as stack:
            collector = await stack.enter_async_context(Collector())
            tracing = {"provider": "zipkin", "address": f"127.0.0.1:{collector.port}"}
            seen = await first_answer(await traced(stack, envoy, tracing), host="reviews")
            assert "x-b3-traceid" in seen
            async with asyncio.timeout(20):
                while not collector.spans:
                    await asyncio.sleep(0.01)
            span = collector.spans[0]
            assert span["localEndpoint"]["serviceName"] == "web-frontend"
            assert span["tags"]["http.url"].endswith("/book")
            assert span["tags"]["http.status_code"] == "200"

    run_async(main())


def test_a_request_leaves_a_span_at_an_opentelemetry_collector(
    run_async, envoy: MakeEnvoy, monkeypatch
):
    """Under the trace that the application was told, and the name of the proxy's environment."""
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=web-frontend")

    async def main() -> None:
        async with AsyncExitStack() as stack:
            collector = await stack.enter_async_context(OtlpCollector())
            tracing = {"provider": "opentelemetry", "address": f"127.0.0.1:{collector.port}"}
            seen = await first_answer(await traced(stack, envoy, tracing), host="reviews")
            # A header traceparent (W3C Trace Context): version, trace, span, flags.
            found = re.search(r"traceparent\W+00-([0-9a-f]{32})-", seen, re.IGNORECASE)
            assert found, seen
            trace_id = found[1]
            async with asyncio.timeout(20):
                while not any(bytes.fromhex(trace_id) in one for one in collector.requests):
                    await asyncio.sleep(0.01)
            sent = b"".join(collector.requests)
            assert b"web-frontend" in sent
            assert b"/book" in sent

    run_async(main())


class Statsd(asyncio.DatagramProtocol):
    """Takes figures over UDP.

    Attributes:
        lines: that came, in order.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []

    def datagram_received(self, data: bytes, _address: object) -> None:
        self.lines += data.decode().splitlines()


def test_figures_go_to_statsd(run_async, envoy: MakeEnvoy):
    """As the bootstrap says."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport, statsd = await loop.create_datagram_endpoint(Statsd, local_addr=("127.0.0.1", 0))
        port = transport.get_extra_info("sockname")[1]
        document = bootstrap(
            node="edge-1", cluster="edge", xds="127.0.0.1:1", statsd=f"127.0.0.1:{port}"
        )
        async with envoy(document), asyncio.timeout(30):
            while not any(line.startswith("envoy.server.uptime:") for line in statsd.lines):
                await asyncio.sleep(0.01)
        transport.close()

    run_async(main())
