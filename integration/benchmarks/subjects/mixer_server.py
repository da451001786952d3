"""A server of Mixer with or without its cache, or a raw echo: for checks over gRPC.

Started with ``echo``, or the number of outcomes that are kept; prints ``READY address``, and
ends when its input does.
"""

from __future__ import annotations

import asyncio
import sys

import grpc

from benchmarks.subjects.lines import standard_input
from meshregistry.documents import RuleUnit
from meshregistry.mixer.adapters import ADAPTERS
from meshregistry.mixer.server import MixerServer

# What it reads is what policies of a mesh read: ten attributes of 25.
CONFIG = """
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {name: all, namespace: istio-system}
spec: {compiledAdapter: noop}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: caller, namespace: istio-system}
spec:
  compiledTemplate: listentry
  params: {value: source.uid | "nobody"}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: callers, namespace: istio-system}
spec:
  match: >-
    context.protocol == "http" && request.method == "GET"
    && match(request.url_path, "/api/*")
    && destination.service.host.endsWith(".cluster.local")
    && (source.namespace | "") == (destination.service.namespace | "")
  actions: [{handler: all, instances: [caller]}]
  requestHeaderOperations:
  - {name: x-tenant, values: ['request.headers["x-tenant"] | "none"']}
"""


async def serve_echo() -> None:
    """The same method, which gives back the bytes that came."""

    async def echo(request: bytes, _: object) -> bytes:
        return request

    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    method = grpc.unary_unary_rpc_method_handler(echo)
    handlers = grpc.method_handlers_generic_handler("istio.mixer.v1.Mixer", {"Check": method})
    server.add_generic_rpc_handlers((handlers,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await until_left(f"127.0.0.1:{port}")
    await server.stop(0)


async def serve_mixer(cache_size: int) -> None:
    """A whole server."""
    async with MixerServer("127.0.0.1:0", adapters=ADAPTERS, cache_size=cache_size) as server:
        accepted = await server.configure(RuleUnit.of_text("bench.yaml", CONFIG).documents)
        if accepted.faults:
            raise ValueError(accepted.faults[0])
        await until_left(server.address)


async def until_left(address: str) -> None:
    """Say where the server is, and wait for the end of the input."""
    print(f"READY {address}", flush=True)
    await (await standard_input()).read()


if __name__ == "__main__":
    asyncio.run(serve_echo() if sys.argv[1] == "echo" else serve_mixer(int(sys.argv[1])))
