"""Policy and telemetry of a mesh, whole: every part is the real one, and they stand together.

A stock Envoy that our pilot alone configures asks and tells two servers, each a process started
by the command; they share one folder of documents and one Redis. Prometheus and Zipkin are real.
Fluentd's protocol is read by a receiver of ours.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self

import pytest

from mixer_workload import WEB, Workload
from servers.forward import ForwardReceiver
from servers.needed import installed
from servers.ours import serving_mixer
from servers.prometheus import PROMETHEUS, Prometheus
from servers.redis import REDIS, Redis
from servers.zipkin import ZIPKIN, Zipkin

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mixer_workload import MakeEnvoy

LIMIT, ASKED = 10, 30
TRACE, CALL = "463ac35c9f6413ad48485a3953bb6124", "a2fb4a1d1a96d312"
HANDLERS = """
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {{name: shared, namespace: istio-system}}
spec:
  compiledAdapter: redisquota
  params:
    redisServerUrl: "{redis}"
    quotas:
    - {{name: orders.instance.istio-system, maxAmount: {limit}, validDuration: 1h}}
---
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {{name: deny, namespace: istio-system}}
spec: {{compiledAdapter: denier, params: {{status: {{code: 7, message: not for you}}}}}}
---
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {{name: spans, namespace: istio-system}}
spec:
  compiledAdapter: zipkin
  params: {{url: "{zipkin}/api/v2/spans", sampleProbability: 1, batchInterval: 100ms}}
---
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {{name: records, namespace: istio-system}}
spec:
  compiledAdapter: fluentd
  params: {{address: "{receiver}", pushIntervalDuration: 100ms}}
"""
INSTANCES = """
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: orders, namespace: istio-system}
spec: {compiledTemplate: quota, params: {dimensions: {service: destination.service.host}}}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: always, namespace: istio-system}
spec: {compiledTemplate: checknothing}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: span, namespace: istio-system}
spec:
  compiledTemplate: tracespan
  params:
    traceId: request.headers["x-b3-traceid"]
    spanId: request.headers["x-b3-spanid"]
    spanName: request.path
    startTime: request.time
    endTime: response.time
    httpStatusCode: response.code
    clientSpan: context.reporter.kind == "outbound"
    rewriteClientSpanId: "true"
    destinationName: destination.service.name
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: record, namespace: istio-system}
spec:
  compiledTemplate: logentry
  params:
    severity: '"info"'
    timestamp: request.time
    variables: {path: request.path, code: response.code, reporter: context.reporter.kind}
"""
RULES = """
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: deny, namespace: istio-system}
spec:
  match: match(request.path | "-", "/forbidden*")
  actions: [{handler: deny, instances: [always]}]
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: limit, namespace: istio-system}
spec:
  match: (request.path | "-") == "/orders"
  actions: [{handler: shared, instances: [orders]}]
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: service, namespace: istio-system}
spec:
  match: (request.path | "-") == "/headers"
  requestHeaderOperations: [{name: x-service, values: [destination.service.host]}]
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: trace, namespace: istio-system}
spec:
  match: (request.headers["x-b3-traceid"] | "") != "" && (response.code | 0) != 0
  actions: [{handler: spans, instances: [span]}]
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: record, namespace: istio-system}
spec:
  match: (response.code | 0) != 0
  actions: [{handler: records, instances: [record]}]
"""


class Whole:
    """All parts, and a table of what was seen of them.

    Args:
        folder: for files and logs.
        make_envoy: makes an Envoy.
        servers: where the real servers are: Redis, Zipkin, Prometheus.
    """

    def __init__(self, folder: Path, make_envoy: MakeEnvoy, servers: tuple[Path, ...]) -> None:
        self._folder = folder
        self._make_envoy = make_envoy
        self._servers = servers
        self._stack = AsyncExitStack()
        self.logs = [folder / f"mixer-{number}.log" for number in (1, 2)]
        self.mixers: list[AsyncExitStack] = []
        self.watched: list[str] = []
        self.seen: list[tuple[str, str]] = []

    async def __aenter__(self) -> Self:
        enter = self._stack.enter_async_context
        redis, zipkin, prometheus = self._servers
        self.redis = await enter(Redis(redis, self._folder))
        self.zipkin = await enter(Zipkin(zipkin, self._folder))
        self.receiver = await enter(ForwardReceiver())
        documents = self._folder / "policies"
        documents.mkdir()
        handlers = HANDLERS.format(
            redis=self.redis.address,
            zipkin=self.zipkin.url,
            receiver=self.receiver.address,
            limit=LIMIT,
        )
        for name, text in {"handlers": handlers, "instances": INSTANCES, "rules": RULES}.items():
            (documents / f"{name}.yaml").write_text(text, encoding="utf-8")
        addresses = []
        for log in self.logs:
            server = await enter(AsyncExitStack())
            words = ("--standard", "--address", "127.0.0.1:0", "--monitoring", "127.0.0.1:0")
            said = await server.enter_async_context(serving_mixer(*words, str(documents), log=log))
            assert "0" == said["faults"], log.read_text(encoding="utf-8")
            self.mixers.append(server)
            addresses.append(said["mixer"])
            self.watched.append(said["monitoring"])
        self.prometheus = await enter(Prometheus(prometheus, self._folder, self.watched))
        both = ", ".join(addresses)
        mixer = {"check": both, "report": both, "quotas": {"orders": 1}}
        self.mesh = await enter(Workload(self._make_envoy, mixer))
        await self.mesh.sidecar()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def note(self, what: str, seen: object) -> None:
        """A line of the table."""
        self.seen.append((what, str(seen)))

    def table(self) -> str:
        """All lines."""
        width = max(len(what) for what, _ in self.seen)
        return "\n".join(f"{what:{width}}  {seen}" for what, seen in self.seen)

    def access_log(self) -> list[dict[str, Any]]:
        """The lines of JSON among what the servers have printed."""
        texts = [log.read_text() for log in self.logs]
        # The last line may be only half there.
        lines = [line for text in texts for line in text[: text.rfind("\n") + 1].splitlines()]
        return [json.loads(line) for line in lines if line.startswith("{")]


@pytest.fixture
def whole(
    run_async: Any, envoy: MakeEnvoy, tmp_path: Path
) -> Callable[[Callable[[Whole], Any]], None]:
    """Runs a coroutine function with all parts, and prints the table."""
    servers = tuple(installed(one) for one in (REDIS, ZIPKIN, PROMETHEUS))

    def run(main: Callable[[Whole], Any]) -> None:
        async def inside() -> None:
            async with Whole(tmp_path, envoy, servers) as parts:
                await main(parts)
                print(parts.table())

        run_async(inside(), timeout=180)

    return run


def test_a_mesh_has_policy_and_telemetry(whole):
    """Checked, changed, limited, counted, traced, recorded and logged."""

    async def main(parts: Whole) -> None:
        await requests_are_checked(parts)
        await a_quota_runs_out(parts)
        await prometheus_has_istios_metrics(parts)
        await zipkin_has_the_spans(parts)
        await a_record_arrives(parts)
        await there_is_an_access_log(parts)
        await one_server_is_enough(parts)

    whole(main)


async def requests_are_checked(parts: Whole) -> None:
    """One goes on, one is denied, one reaches the service with a header more."""
    headers = {"x_b3_traceid": TRACE, "x_b3_spanid": CALL, "x_b3_sampled": "1"}
    status, body, _ = await parts.mesh.get("/book", **headers)
    assert (200, "/book") == (status, body["path"])
    parts.note("GET /book", status)
    status, body, _ = await parts.mesh.get("/forbidden/fruit")
    assert (403, "PERMISSION_DENIED:deny.istio-system:not for you") == (status, body)
    parts.note("GET /forbidden/fruit", f"{status} {body}")
    status, body, _ = await parts.mesh.get("/headers")
    assert (200, WEB) == (status, body["headers"]["x-service"])
    parts.note("GET /headers, at the service", f"x-service: {body['headers']['x-service']}")


async def a_quota_runs_out(parts: Whole) -> None:
    """After as many as it has, with everybody asking at once and both servers answering."""
    answers = await asyncio.gather(*(parts.mesh.get("/orders") for _ in range(ASKED)))
    codes = Counter(status for status, _, _ in answers)
    assert {200: LIMIT, 429: ASKED - LIMIT} == codes
    assert LIMIT == sum(body["path"] == "/orders" for status, body, _ in answers if status == 200)
    asked = 'sum by (instance) (mixer_runtime_dispatches_total{handler=~"shared.*"})'
    by_server = await parts.prometheus.until(f"{asked} and on() (sum({asked}) == {ASKED})")
    assert {f"instance={one}" for one in parts.watched} == set(by_server)
    shares = " + ".join(str(int(one)) for one in by_server.values())
    parts.note(f"GET /orders, {ASKED} at once", f"{codes[200]} times 200, {codes[429]} times 429")
    parts.note("checks of the quota, by server", shares)


async def prometheus_has_istios_metrics(parts: Whole) -> None:
    """Each request counts once for either side, whichever server was told of it."""
    for reporter in ("destination", "source"):
        chosen = f'reporter="{reporter}",destination_service="{WEB}"'
        count = f"sum by (response_code) (istio_requests_total{{{chosen}}})"
        found = await parts.prometheus.until(f"{count} and on() (sum({count}) == {ASKED + 3})")
        assert {
            "response_code=200": LIMIT + 2,
            "response_code=403": 1,
            "response_code=429": ASKED - LIMIT,
        } == found
        told = ", ".join(f"{labels[-3:]}: {int(value)}" for labels, value in sorted(found.items()))
        parts.note(f'istio_requests_total{{reporter="{reporter}"}}', told)
    checks = "sum by (outcome) (mixer_envoy_checks_total) > 0"
    assert {
        "outcome=allowed": LIMIT + 2,
        "outcome=denied": ASKED - LIMIT + 1,
    } == await parts.prometheus.until(f"{checks} and on() (sum({checks}) == {ASKED + 3})")


async def zipkin_has_the_spans(parts: Whole) -> None:
    """Of both sides of the call, one below the other."""
    found: dict[str, Any] = {}
    async with asyncio.timeout(20):
        while set(found) != {"CLIENT", "SERVER"}:
            found = {one["kind"]: one for one in await parts.zipkin.trace(TRACE)}
            await asyncio.sleep(0.05)
    client, server = found["CLIENT"], found["SERVER"]
    assert (CALL, client["id"]) == (server["id"], server["parentId"])
    assert ("/book", "200") == (server["name"], server["tags"]["http.status_code"])
    spans = ", ".join(f"{kind} {one['name']} {one['duration']} µs" for kind, one in found.items())
    parts.note("spans in Zipkin", spans)


async def a_record_arrives(parts: Whole) -> None:
    """At a receiver of the forward protocol, for each request and side."""
    found: list[Any] = []
    async with asyncio.timeout(20):
        while len(found) < 2 * (ASKED + 3):
            found.append(await parts.receiver.records.get())
    records = Counter((one["path"], one["code"], one["reporter"]) for _, _, one, *_ in found)
    for reporter in ("inbound", "outbound"):
        assert 1 == records["/forbidden/fruit", 403, reporter]
        assert LIMIT == records["/orders", 200, reporter]
    parts.note("records by the forward protocol", f"{len(found)} (a receiver of ours)")


async def there_is_an_access_log(parts: Whole) -> None:
    """A line of JSON for each request and side, in what the servers print."""
    async with asyncio.timeout(20):
        while len(parts.access_log()) < 2 * (ASKED + 3):
            await asyncio.sleep(0.05)
    (line,) = [
        one
        for one in parts.access_log()
        if (one["url"], one["reporter"]) == ("/forbidden/fruit", "destination")
    ]
    assert {"responseCode": 403, "destinationServiceHost": WEB, "method": "GET"}.items() <= (
        line.items()
    )
    shown = {name: line[name] for name in ("method", "url", "responseCode", "reporter", "latency")}
    parts.note("a line of the access log", json.dumps(shown))


async def one_server_is_enough(parts: Whole) -> None:
    """When the other ends, requests and connections are asked about at the one that is left."""
    await parts.mixers[0].aclose()
    asked = [await parts.mesh.get(f"/book/{number}") for number in range(20)]
    assert {200: 20} == Counter(status for status, _, _ in asked)
    assert {403: 20} == Counter([(await parts.mesh.get("/forbidden"))[0] for _ in range(20)])
    assert 429 == (await parts.mesh.get("/orders"))[0]
    for _ in range(4):
        reader, writer = await asyncio.open_connection("127.0.0.1", parts.mesh.db_port)
        writer.write(b"x")
        assert b"xx" == await reader.read(10)
        writer.close()
    parts.note(
        "with one server gone",
        "20 of 20 allowed, 20 of 20 denied, quota exhausted, 4 of 4 connections",
    )
