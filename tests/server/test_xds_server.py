"""`XdsServer` on loopback, with a small fake of an xDS client."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from time import perf_counter

import grpc
import grpc.aio
import pytest
from envoy.config.cluster.v3 import cluster_pb2

from meshregistry.errors import InconsistentResources, Rejected
from meshregistry.model import CLUSTER, ENDPOINT, LISTENER, ROUTE, Resource, Verdict
from meshregistry.server import Observers, XdsServer


@asynccontextmanager
async def serving(**options):
    """A server whose groups are the nodes' clusters, and a channel to it."""
    options = {"group": lambda node: node.cluster, **options}
    async with (
        XdsServer("127.0.0.1:0", **options) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        yield server, channel


@asynccontextmanager
async def following(*clients):
    """Accept all that these clients are sent."""
    tasks = [asyncio.create_task(client.follow_all()) for client in clients]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def opaque(name: str, content: bytes = b"", **fields) -> Resource:
    """A cluster that nobody looks into."""
    return Resource(type_url=CLUSTER, name=name, bytes=content, **fields)


def test_the_program_of_the_interface_page(run_async, ads_client, edge_set, assignment):
    """Publish one consistent set, wait until every proxy holds it, change one assignment."""
    cluster, endpoints, listener, route = edge_set

    async def main():
        async with XdsServer("127.0.0.1:0", group=lambda node: node.cluster) as server:
            async with grpc.aio.insecure_channel(server.address) as channel:
                client = ads_client(channel)
                await client.ask(CLUSTER)
                await client.ask(ENDPOINT, "web")
                await client.ask(LISTENER)
                await client.ask(ROUTE, "routes")
                server.publish("edge", [cluster, endpoints, listener, route])
                async with following(client):
                    while await server.acknowledged("edge", timeout=5) == 0:
                        await asyncio.sleep(0.01)
                    server.update("edge", changed=[assignment("web", 1, 2)], removed=[])
                    assert 1 == await server.acknowledged("edge", timeout=5)
                assert assignment("web", 1, 2).SerializeToString() in client.held.values()
                client.call.cancel()

    run_async(main())
