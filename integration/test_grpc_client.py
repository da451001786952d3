"""An independent peer: the xDS client inside the ordinary grpcio wheel, on `XdsServer`."""

from __future__ import annotations

import json
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

import grpc

from meshregistry.server import XdsServer
from servers import resources
from servers.lines import LineProcess

CALLER = Path(__file__).with_name("servers") / "grpc_caller.py"
TARGET = "echo.shop:50051"
CLUSTER = "echo"
GROUP = "clients"


class GrpcBackend:
    """Answers every unary call with its version."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.port = 0
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])

    async def __aenter__(self) -> Self:
        async def answer(request: bytes, context: object) -> bytes:
            return self.version.encode()

        handler = grpc.unary_unary_rpc_method_handler(answer)
        self._server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler("test.Echo", {"Say": handler})]
        )
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(None)


def caller(xds: str) -> LineProcess:
    """The client in a process of its own, since it reads its bootstrap once, from there."""
    server = {
        "server_uri": xds,
        "channel_creds": [{"type": "insecure"}],
        "server_features": ["xds_v3"],
    }
    config = {"xds_servers": [server], "node": {"id": "caller", "cluster": GROUP}}
    return LineProcess(
        *(sys.executable, str(CALLER), f"xds:///{TARGET}"),
        environment={"GRPC_XDS_BOOTSTRAP_CONFIG": json.dumps(config)},
    )


async def until(client: LineProcess, answer: str) -> None:
    """Call until this is the answer; every other one must be a backend's too."""
    while (last := await client.ask("call")) != answer:
        assert last.startswith("v"), last


def consistent_set(port: int) -> list[object]:
    """The API listener of the target, its route, cluster and assignment."""
    return [
        resources.api_listener(TARGET, "to-echo"),
        resources.route("to-echo", CLUSTER),
        resources.cluster(CLUSTER, eds=resources.source()),
        resources.assignment(CLUSTER, port),
    ]


def test_a_grpc_client_calls_and_follows_an_endpoint_change(run_async):
    """A call over `xds:///` succeeds; after a change of the assignment the other backend answers."""

    async def main() -> None:
        async with AsyncExitStack() as stack:
            one = await stack.enter_async_context(GrpcBackend("v1"))
            two = await stack.enter_async_context(GrpcBackend("v2"))
            server = await stack.enter_async_context(
                XdsServer("127.0.0.1:0", group=lambda node: node.cluster)
            )
            server.publish(GROUP, consistent_set(one.port))
            client = await stack.enter_async_context(caller(server.address))
            assert await client.ask("call") == "v1"
            server.update(GROUP, changed=[resources.assignment(CLUSTER, two.port)])
            assert await server.acknowledged(GROUP, timeout=10) == 1
            await until(client, "v2")

    run_async(main())


def test_a_grpc_client_survives_a_restart_of_the_server(run_async):
    """Calls go on while the server is away, and changes are followed when it is back."""

    async def main() -> None:
        async with AsyncExitStack() as stack:
            one = await stack.enter_async_context(GrpcBackend("v1"))
            two = await stack.enter_async_context(GrpcBackend("v2"))
            async with XdsServer("127.0.0.1:0", group=lambda node: node.cluster) as server:
                server.publish(GROUP, consistent_set(one.port))
                client = await stack.enter_async_context(caller(server.address))
                assert await client.ask("call") == "v1"
            assert await client.ask("call") == "v1"
            async with XdsServer(server.address, group=lambda node: node.cluster) as again:
                again.publish(GROUP, consistent_set(two.port))
                await until(client, "v2")

    run_async(main())
