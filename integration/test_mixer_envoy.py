"""Stock Envoys that our pilot alone configures check, are limited, and report."""

from __future__ import annotations

import asyncio
import signal
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from meshregistry.mixer import AttributeBag, forwarded_header
from meshregistry.mixer.fronts import FrontOptions, Trust
from meshregistry.mixer.spi import DirectResponse
from mixer_mesh import Mesh, document
from mixer_workload import DB, WEB
from servers.needed import installed
from servers.redis import REDIS, Redis

if TYPE_CHECKING:
    from collections.abc import Callable

    from mixer_workload import MakeEnvoy


@pytest.fixture
def mesh(run_async: Any, envoy: MakeEnvoy) -> Callable[..., None]:
    """Runs a coroutine function on a mesh with these words in ``mesh.mixer``."""

    def run(main: Callable[[Mesh], Any], **mixer: Any) -> None:
        async def inside() -> None:
            async with Mesh(envoy, **mixer) as mesh:
                await main(mesh)

        run_async(inside())

    return run


def test_a_request_is_allowed_denied_and_changed(mesh):
    """By the answer to the check; operations reach the service, and the caller."""

    async def main(mesh: Mesh) -> None:
        await mesh.sidecar()
        status, body, _ = await mesh.get("/book")
        assert (200, "/book") == (status, body["path"])
        status, body, _ = await mesh.get("/forbidden/fruit")
        assert (403, "PERMISSION_DENIED:judge.istio-system:not for you") == (status, body)
        status, body, headers = await mesh.get("/headers", x_secret="s", x_host="mine")
        assert 200 == status
        assert (WEB, None) == (body["headers"]["x-host"], body["headers"].get("x-secret"))
        assert "yes" == headers["x-answer"]
        _, body, _ = await mesh.get("/book", x_istio_attributes="AAAA", x_secret="s")
        assert "x-istio-attributes" not in body["headers"]
        assert "s" == body["headers"]["x-secret"]
        assert ["/book", "/forbidden/fruit", "/headers", "/book"] == mesh.judge.checks

    mesh(main)


@pytest.mark.parametrize("code", [204, 304])
def test_a_response_that_has_no_content_passes_two_envoys(mesh, code):
    """One that is sent with a body is none: the caller's Envoy made a 502 of it."""

    async def main(mesh: Mesh) -> None:
        mesh.judge.response = DirectResponse(code=code, body="of this there is nothing")
        await mesh.sidecar()
        for _ in range(2):
            status, body, headers = await mesh.get("/forbidden")
            assert (code, "", "0") == (status, body, headers.get("content-length", "0"))

    mesh(main)


def test_a_request_is_reported_by_both_sides(mesh):
    """With code, bytes, duration, service and the side on which the proxy stands."""

    async def main(mesh: Mesh) -> None:
        mesh.judge.valid = 60.0
        await mesh.sidecar()
        for _ in range(2):
            _, _, headers = await mesh.get("/book?x=1", x_user="eve")
        await mesh.get("/forbidden")
        both = {"host": WEB, "name": "web", "namespace": "shop", "uid": "kubernetes://web-1.shop"}
        both |= {"path": "/book?x=1", "code": 200, "protocol": "http", "user": "eve", "flags": "-"}
        inbound = await mesh.judge.told(2, kind="inbound", **both)
        outbound = await mesh.judge.told(2, kind="outbound", **both)
        for one in (*inbound, *outbound):
            assert int(headers["content-length"]) == one["size"]
            assert one["total_size"] > one["size"] > 0
            assert timedelta() < one["took"] < timedelta(seconds=20)
            assert 0 == one["request_size"]
            # The service's port is that of its sidecar, on either side.
            assert mesh.echo.port == one["port"]
        assert {("kubernetes://web-1.shop", "?")} == {
            (one["destination_uid"], one["source_uid"]) for one in inbound
        }
        assert {("?", "kubernetes://web-1.shop")} == {
            (one["destination_uid"], one["source_uid"]) for one in outbound
        }
        # The first check was a call of the handler, the second one was not.
        assert [False, True] == sorted(one["hit"] for one in inbound)
        (denied,) = await mesh.judge.told(kind="inbound", path="/forbidden")
        error = "PERMISSION_DENIED:judge.istio-system:not for you"
        assert (403, "UAEX", error) == (denied["code"], denied["flags"], denied["error"])

    mesh(main)


def test_a_quota_runs_out(mesh):
    """Requests beyond it are answered 429; those that no rule limits are not."""

    async def main(mesh: Mesh) -> None:
        mesh.judge.quota_left, mesh.judge.valid = 3, 60.0
        await mesh.sidecar()
        codes = [(await mesh.get("/limited"))[0] for _ in range(5)]
        assert [200, 200, 200, 429, 429] == codes
        assert (await mesh.get("/limited"))[1] == "RESOURCE_EXHAUSTED:Quota is exhausted for: rate"
        assert 200 == (await mesh.get("/book"))[0]

    mesh(main, quotas={"rate": 1})


def counted_in(address: str, on_failure: str) -> str:
    """Documents that let two requests for ``/counted`` pass in an hour, as long as Redis counts."""
    handler = f"""
        compiledAdapter: redisquota
        params:
          redisServerUrl: {address}
          onFailure: {on_failure}
          quotas: [{{name: counted.instance.istio-system, maxAmount: 2, validDuration: 1h}}]
        """
    rule = """
        match: request.path == "/counted"
        actions: [{handler: counter, instances: [counted]}]
        """
    instance = "compiledTemplate: quota\nparams: {dimensions: {host: destination.service.host}}"
    return "---\n".join(
        (
            document("handler", "counter", handler),
            document("instance", "counted", instance),
            document("rule", "counted", rule),
        )
    )


@pytest.mark.parametrize("policy", ["GRANT", "UNAVAILABLE", "DENY"])
def test_without_redis_requests_go_by_the_policy_of_the_quota(run_async, envoy, tmp_path, policy):
    """The same Envoy and server all the while; when Redis is back, empty, it counts again."""
    redis = Redis(installed(REDIS), tmp_path)
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "counted.yaml").write_text(counted_in(redis.address, policy))
    without, again = (429, 200) if policy == "DENY" else (200, 429)

    async def main() -> None:
        async with redis, Mesh(envoy, folder=folder, quotas={"counted": 1}) as mesh:

            async def codes(count: int) -> list[int]:
                return [(await mesh.get("/counted"))[0] for _ in range(count)]

            await mesh.sidecar()
            assert [200, 200, 429] == await codes(3)
            await redis.stop(signal.SIGKILL)
            assert [without] * 5 == await codes(5)
            assert 200 == (await mesh.get("/book"))[0]
            await redis.start()
            # What the policy does not say is Redis's word.
            await mesh.until("/counted", again)
            assert [again, 429] == await codes(2)

    run_async(main())


async def goes_on(mesh: Mesh, kind: str) -> None:
    """Wait until both directions are reported: together, or in turn if the time was between them."""
    async with asyncio.timeout(20):
        told: list[dict[str, Any]] = []
        while (5, 10) != (sum(one["received"] for one in told), sum(one["sent"] for one in told)):
            await asyncio.sleep(0.01)
            told = await mesh.judge.told(kind=kind, event="continue")


def test_a_connection_is_reported_as_it_opens_goes_on_and_closes(mesh):
    """By both sides; bytes are those since the last report, and those in all."""

    async def main(mesh: Mesh) -> None:
        await mesh.sidecar()
        reader, writer = await asyncio.open_connection("127.0.0.1", mesh.db_port)
        writer.write(b"12345")
        assert b"1234512345" == await reader.readexactly(10)
        for kind in ("inbound", "outbound"):
            await goes_on(mesh, kind)
        writer.write(b"678")
        assert b"678678" == await reader.readexactly(6)
        writer.close()
        for kind in ("inbound", "outbound"):
            (closed,) = await mesh.judge.told(kind=kind, event="close")
            assert (DB, "tcp", 8) == (closed["host"], closed["protocol"], closed["received_total"])
            assert timedelta() < closed["lasted"] < timedelta(seconds=20)
            every = [one for one in mesh.judge.reports if one["connection"] == closed["connection"]]
            assert "open" == every[0]["event"]
            assert "close" == every[-1]["event"]
            assert (8, 16) == (
                sum(one["received"] for one in every),
                sum(one["sent"] for one in every),
            )
        # The inbound side asked, by the name of the service.
        assert [DB] == mesh.judge.checks

    mesh(main, tcp_report_interval="0.1s")


def test_a_router_asks_about_the_service_that_a_route_leads_to(mesh):
    """And reports as one that stands elsewhere."""

    async def main(mesh: Mesh) -> None:
        await mesh.sidecar()
        await mesh.router()
        assert 403 == (await mesh.get("/forbidden", edge=True))[0]
        status, body, _ = await mesh.get("/headers", edge=True)
        assert (200, WEB) == (status, body["headers"]["x-host"])
        (edge,) = await mesh.judge.told(uid="edge-1", path="/headers")
        assert ("outbound", WEB, 200) == (edge["kind"], edge["host"], edge["code"])
        # The router denied it: the sidecar never saw the request.
        await mesh.judge.told(uid="edge-1", path="/forbidden")
        assert 1 == mesh.judge.checks.count("/forbidden")
        assert 2 == mesh.judge.checks.count("/headers")

    mesh(main)


@pytest.mark.parametrize("is_open", [True, False])
def test_without_a_server_requests_fail_as_the_mesh_says(mesh, is_open):
    """The server's cache is gone with it, so the policy holds for all; reports follow later."""

    async def main(mesh: Mesh) -> None:
        mesh.judge.valid = 600.0
        await mesh.sidecar()
        assert 200 == (await mesh.get("/book"))[0]
        await mesh.stop_mixer()
        expected = 200 if is_open else 503
        codes = {path: (await mesh.get(path))[0] for path in ("/book", "/new", "/forbidden")}
        assert dict.fromkeys(codes, expected) == codes
        reader, writer = await asyncio.open_connection("127.0.0.1", mesh.db_port)
        writer.write(b"x")
        assert (b"xx" if is_open else b"") == await reader.read(10)
        writer.close()
        before = len(mesh.judge.reports)
        await mesh.start_mixer()
        await mesh.until("/forbidden", 403)
        assert 200 == (await mesh.get("/book"))[0]
        await mesh.judge.told(kind="inbound", path="/forbidden", code=403)
        assert len(mesh.judge.reports) > before

    mesh(main, fail_open=is_open, timeout="2s")


def test_a_hot_cache_answers_without_the_handler(mesh):
    """Answers hold in the server for as long as they are valid; Envoy itself keeps none."""

    async def main(mesh: Mesh) -> None:
        mesh.judge.valid = 600.0
        await mesh.sidecar()
        for _ in range(20):
            assert 200 == (await mesh.get("/book"))[0]
            assert 403 == (await mesh.get("/forbidden"))[0]
        assert ["/book", "/forbidden"] == mesh.judge.checks
        assert (20, 20) == (
            mesh.fronts.counts["checks allowed"],
            mesh.fronts.counts["checks denied"],
        )

    mesh(main)


def test_a_registry_can_say_what_it_likes(mesh):
    """What Envoy would take for commands in the metadata of its calls arrives as it is."""
    hostile = "a%b&c=%REQ(x)%+d%%"

    async def main(mesh: Mesh) -> None:
        await mesh.sidecar()
        _, body, _ = await mesh.get("/headers")
        assert hostile == body["headers"]["x-namespace"]
        await mesh.judge.told(kind="inbound", namespace=hostile, code=200)

    mesh(main, namespace=hostile)


def test_a_denied_connection_is_closed(mesh):
    """Before a byte has reached the service; the end is reported all the same."""

    async def main(mesh: Mesh) -> None:
        mesh.judge.denied = DB
        await mesh.sidecar()
        reader, writer = await asyncio.open_connection("127.0.0.1", mesh.db_port)
        writer.write(b"12345")
        assert b"" == await reader.read(10)
        writer.close()
        await mesh.judge.told(kind="outbound", host=DB, event="close", received_total=5)
        assert {"checks denied": 1} == {
            name: count for name, count in mesh.fronts.counts.items() if "checks" in name
        }

    mesh(main)


def test_a_denied_call_of_grpc_has_a_status_of_grpc(mesh):
    """Envoy makes it of the code of HTTP; the report says which protocol it was."""

    async def main(mesh: Mesh) -> None:
        await mesh.sidecar()
        kind = {"content_type": "application/grpc"}
        status, _, headers = await mesh.get("/forbidden.Service/Call", **kind)
        assert (200, "7") == (status, headers["grpc-status"])
        await mesh.judge.told(kind="inbound", protocol="grpc", flags="UAEX")

    mesh(main)


@pytest.mark.parametrize(("network", "caller"), [("127.0.0.0/8", "u"), ("10.0.0.0/8", "nobody")])
def test_forwarded_attributes_are_believed_of_whom_is_trusted(mesh, network, caller):
    """By the address that Envoy sees; the service gets no such header in either case."""

    async def main(mesh: Mesh) -> None:
        await mesh.sidecar()
        _, value = forwarded_header(AttributeBag({"source.uid": "u"}))
        _, body, _ = await mesh.get("/headers", x_istio_attributes=value)
        assert caller == body["headers"]["x-caller"]
        assert "x-istio-attributes" not in body["headers"]

    mesh(main, options=FrontOptions(trust=Trust(networks=[network])))
