"""The floor: grpc.aio that writes bytes made beforehand, and reads ACKs without a look."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from typing import TYPE_CHECKING

import grpc
from envoy.service.discovery.v3 import discovery_pb2

from benchmarks.messages import WORKLOADS, Workload, assignment, changed, cluster
from benchmarks.subjects.lines import standard_input
from meshregistry.model import CLUSTER

if TYPE_CHECKING:
    from collections.abc import Callable

SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"


def response(workload: Workload, version: int) -> bytes:
    """The whole response for a version of the workload."""
    made = discovery_pb2.DiscoveryResponse(
        version_info=f"{version:016x}", type_url=workload.type_url, nonce=f"{version:x}"
    )
    made.resources.add().Pack(changed(workload, version))
    if workload.type_url == CLUSTER:
        for index in range(1, workload.clusters):
            made.resources.add().Pack(cluster(index))
    return made.SerializeToString()


class Writer:
    """Writes the newest bytes to every stream, one write at a time."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._wakes: set[Callable[[], None]] = set()

    def push(self, body: bytes) -> None:
        """Offer bytes to every stream."""
        self._body = body
        for wake in self._wakes:
            wake()

    async def stream(self, _: object, context: grpc.aio.ServicerContext) -> None:
        """One stream, until the client leaves."""
        news = asyncio.Event()
        self._wakes.add(news.set)
        reading = asyncio.create_task(self._read(context))
        reading.add_done_callback(lambda _: news.set())
        # Being cancelled says that the client has left: nothing to report.
        with contextlib.suppress(asyncio.CancelledError):
            await self._write(news, reading, context)
        self._wakes.discard(news.set)
        reading.cancel()

    async def _write(
        self, news: asyncio.Event, reading: asyncio.Task[None], context: grpc.aio.ServicerContext
    ) -> None:
        written = None
        while not reading.done():
            while written is not self._body:
                written = self._body
                await context.write(written)
            await news.wait()
            news.clear()

    async def _read(self, context: grpc.aio.ServicerContext) -> None:
        while await context.read() is not grpc.aio.EOF:
            pass


async def main(workload_name: str) -> None:
    """Serve until the input ends."""
    workload = WORKLOADS[workload_name]
    # The assignments of the large set are never asked for; made as in the other servers.
    _ = [assignment(index, workload.endpoints) for index in range(workload.clusters)]
    commands = await standard_input()
    writer = Writer(response(workload, 0))
    server = grpc.aio.server(
        options=[
            ("grpc.so_reuseport", 0),
            ("grpc.server.max_pending_requests", 10_000),
            ("grpc.server.max_pending_requests_hard_limit", 20_000),
        ]
    )
    handler = grpc.stream_stream_rpc_method_handler(writer.stream)
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(SERVICE, {"StreamAggregatedResources": handler})]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print("READY", f"127.0.0.1:{port}", flush=True)
    version = 0
    while await commands.readline():
        version += 1
        body = response(workload, version)
        start = time.time_ns()
        writer.push(body)
        print("PUSHED", start, flush=True)
    await server.stop(5)


asyncio.run(main(sys.argv[1]))
