"""Asking workloads that are really there."""

from __future__ import annotations

import asyncio
import contextlib
import sys

import grpc.aio
import pytest
from aiohttp import web
from google.protobuf.wrappers_pb2 import Int32Value, StringValue

from meshregistry.registries._probe import GrpcCheck, HttpGet, Probe, Target, TcpConnect
from meshregistry.registries._probe_calls import ask

AGENT = "meshregistry/test"


async def asked(check, address="127.0.0.1", timeout=5.0):
    """How one probe ends."""
    return await ask(Target(address, Probe(check=check, timeout=timeout)), AGENT)


@contextlib.asynccontextmanager
async def http_server(seen, path=None):
    """A program with a page for each status; gives its port."""

    async def page(request):
        seen.append((request.headers["Host"], request.headers["User-Agent"]))
        status = int(request.match_info["status"])
        if status == 0:
            await asyncio.sleep(60)
        return web.Response(status=status, headers={"Location": "/500"})

    app = web.Application()
    app.add_routes([web.get("/{status}", page)])
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.UnixSite(runner, path) if path else web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield 0 if path else runner.addresses[0][1]
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("status", "is_healthy"), [(200, True), (302, True), (399, True), (400, False), (503, False)]
)
def test_http_is_healthy_by_its_status(run_async, status, is_healthy):
    """From 200 to 399; where a redirection leads to is not asked."""

    async def main():
        seen = []
        async with http_server(seen) as port:
            answer = await asked(HttpGet(port, f"/{status}"))
            assert [(f"127.0.0.1:{port}", AGENT)] == seen
        assert (is_healthy, "" if is_healthy else f"status {status}") == (
            answer.is_success,
            answer.reason,
        )

    run_async(main())


def test_http_sends_the_headers_of_the_probe(run_async):
    """A Host of its own replaces the usual one."""

    async def main():
        seen = []
        async with http_server(seen) as port:
            headers = (("Host", "reviews.shop"), ("User-Agent", "kube-probe"))
            assert (await asked(HttpGet(port, "/200", headers=headers))).is_success
        assert [("reviews.shop", "kube-probe")] == seen

    run_async(main())


def test_no_answer_in_time_is_a_failure(run_async):
    """However patient the machine is."""

    async def main():
        async with http_server([]) as port:
            answer = await asked(HttpGet(port, "/0"), timeout=0.1)
        assert (False, "no answer within 0.1 s") == (answer.is_success, answer.reason)

    run_async(main())


def test_a_unix_socket_is_asked_over_http_and_tcp(run_async, tmp_path):
    """The port of the probe says nothing there."""

    async def main():
        path = str(tmp_path / "s")
        async with http_server([], path):
            assert (await asked(TcpConnect(1), f"unix://{path}")).is_success
            assert (await asked(HttpGet(1, "/200"), f"unix://{path}")).is_success
        assert not (await asked(TcpConnect(1), f"unix://{path}")).is_success

    run_async(main())


def test_whoever_accepts_a_connection_is_healthy(run_async):
    """And whoever refuses it is not, whatever is asked."""

    async def main():
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            assert (await asked(TcpConnect(port))).is_success
            assert (await asked(TcpConnect(port, "127.0.0.1"), "192.0.2.1")).is_success
        for check in (TcpConnect(port), HttpGet(port), GrpcCheck(port)):
            answer = await asked(check)
            assert not answer.is_success
            assert answer.reason

    run_async(main())


@pytest.mark.parametrize(("status", "is_healthy"), [(0, False), (1, True), (2, False)])
def test_grpc_is_healthy_if_it_says_serving(run_async, status, is_healthy):
    """And says so of the service that was asked for."""

    async def main():
        names = []

        async def check(request, _):
            names.append(request.value)
            return Int32Value(value=status)

        handler = grpc.unary_unary_rpc_method_handler(
            check, StringValue.FromString, Int32Value.SerializeToString
        )
        server = grpc.aio.server()
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler})]
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            answer = await asked(GrpcCheck(port, "shop.Reviews"))
            assert ["shop.Reviews"] == names
            assert is_healthy == answer.is_success
        finally:
            await server.stop(None)

    run_async(main())


def test_without_the_package_the_answer_says_what_to_install(run_async, monkeypatch):
    """Nobody is healthy without having been asked."""
    monkeypatch.setitem(sys.modules, "aiohttp", None)

    async def main():
        answer = await asked(HttpGet(80))
        assert not answer.is_success
        assert "meshregistry[server]" in answer.reason

    run_async(main())
