"""Reports reach real back ends: Mixer's engine with its own adapters, and who reads the results.

Prometheus, Zipkin and statsd are real. The protocols of Fluentd and OpenTelemetry are read here byte
by byte by receivers of ours; `test_mixer_collector` has a real one.
"""

from __future__ import annotations

import asyncio
import json
import struct
import time

import msgpack
import pytest
from aiohttp import web
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from meshregistry.mixer import MixerClient
from meshregistry.mixer.adapters import ADAPTERS
from meshregistry.mixer.server import MixerServer
from meshregistry.mixer.standard import dashboard, standard_text
from mixer_reporting import (
    ID,
    SPAN,
    START,
    TRACE,
    configuration,
    reporting,
    request,
    traced,
)
from servers.forward import ForwardReceiver
from servers.needed import installed
from servers.ports import free_port
from servers.prometheus import PROMETHEUS, Prometheus
from servers.statsd import STATSD, Statsd
from servers.zipkin import ZIPKIN, Zipkin


def connection(event):
    """The attributes of a report of a TCP connection to a database."""
    return {
        "context.protocol": "tcp",
        "context.reporter.kind": "inbound",
        "context.time": START,
        "connection.event": event,
        "connection.sent.bytes": 1000,
        "connection.received.bytes": 100,
        "destination.service.host": "db.shop",
    }


# What happens again and again: ten requests to each of two services, two connections opened
# and one closed.
ROUND = [
    *([request()] * 6 + [request(code=404)] * 2 + [request(code=503)] * 2),
    *[request("pay", duration=3.0)] * 10,
    *[request(reporter="outbound", code=code) for code in (200, 200, 200, 503)],
    *(connection(event) for event in ("open", "open", "continue", "close")),
]
ROUNDS = 4
INBOUND = 'istio_requests_total{reporter="destination"}'


async def evaluated(prometheus, name, service="web.shop"):
    """What each query of a dashboard gives: by panel, a mapping of labels to value for each.

    All at one moment, as Grafana asks: then rates compare exactly.
    """
    found = {}
    now = time.time()
    for panel in dashboard(name)["panels"]:
        for target in panel["targets"]:
            query = target["expr"].replace("$__rate_interval", "1m").replace("$service", service)
            found.setdefault(panel["title"], []).append(await prometheus.query(query, at=now))
    return found


def near(value):
    """A number as Prometheus computes it."""
    return pytest.approx(value, rel=1e-6)


def only(panel):
    """The value of a panel that is one number."""
    ((value,),) = [list(one.values()) for one in panel]
    return value


def test_prometheus_has_istios_metrics_and_the_dashboards_show_them(run_async, tmp_path):
    """Known traffic through the standard configuration, and an access log of it."""
    folder = installed(PROMETHEUS)
    port = free_port()
    text = (
        standard_text()
        .replace("  params:\n    metricsExp", f"  params:\n    port: {port}\n    metricsExp")
        .replace("{logStream: STDOUT,", "{logStream: FILE, outputPath: access.log,")
    )

    async def main():
        async with (
            reporting(tmp_path, text) as mixer,
            Prometheus(folder, tmp_path, [f"127.0.0.1:{port}"]) as prometheus,
        ):
            for number in range(1, ROUNDS + 1):
                await mixer.report(*ROUND)
                await prometheus.until(f"sum({INBOUND}) == {20 * number}")
            await check_metrics(prometheus)
            check_mesh(await evaluated(prometheus, "mesh"))
            check_service(await evaluated(prometheus, "service"))

    run_async(main())
    check_access_log(tmp_path / "access.log")


async def check_metrics(prometheus):
    """Every label of Istio's is there with its value."""
    (labels,) = await prometheus.until(f'{INBOUND[:-1]},response_code="404"}}')
    found = dict(one.split("=", 1) for one in labels.split(","))
    assert {
        "__name__": "istio_requests_total",
        "reporter": "destination",
        "request_protocol": "http",
        "response_code": "404",
        "source_app": "front",
        "source_version": "v1",
        "source_workload": "front-v1",
        "source_workload_namespace": "shop",
        "source_principal": "unknown",
        "destination_app": "web",
        "destination_version": "v2",
        "destination_workload": "web-v2",
        "destination_workload_namespace": "shop",
        "destination_principal": "unknown",
        "destination_service": "web.shop",
        "destination_service_name": "web",
        "destination_service_namespace": "shop",
        "response_flags": "-",
        "connection_security_policy": "mutual_tls",
        "permissive_response_code": "none",
        "permissive_response_policyid": "none",
    } == {name: value for name, value in found.items() if name not in {"instance", "job"}}
    for metric, value in {
        "istio_request_duration_seconds_count": 24,
        "istio_request_bytes_sum": 24 * 50,
        "istio_response_bytes_sum": 24 * 500,
        "istio_tcp_sent_bytes_total": 4 * 1000,
        "istio_tcp_received_bytes_total": 4 * 100,
        "istio_tcp_connections_opened_total": 2,
        "istio_tcp_connections_closed_total": 1,
    }.items():
        await prometheus.until(f"sum({metric}) == {value * ROUNDS}")


def check_mesh(panels):
    """The panels of the mesh: shares and quantiles of the traffic, exactly."""
    total = only(panels["Requests"])
    assert total > 0
    assert near(0.9) == only(panels["Success rate"])
    assert near(total / 10) == only(panels["4xx"])
    assert near(total / 10) == only(panels["5xx"])
    web, pay = "destination_service=web.shop", "destination_service=pay.shop"
    assert [{web: near(total / 2), pay: near(total / 2)}] == panels["Requests by service"]
    assert [{web: near(0.8), pay: near(1.0)}] == panels["Success rate by service"]
    # Within a bucket, Prometheus takes values to be spread evenly.
    for title, share in (("median", 0.5), ("90 %", 0.9), ("99 %", 0.99)):
        assert [{web: near(0.025 + share * 0.025), pay: near(2.5 + share * 2.5)}] == panels[
            f"Latency by service, {title}"
        ]
    (sent,), (received,) = (
        panels["TCP bytes sent by service"],
        panels["TCP bytes received by service"],
    )
    assert {"destination_service=db.shop"} == set(sent)
    assert near(10.0) == only([sent]) / only([received])


def check_service(panels):
    """Those of the service web."""
    seen = only(panels["Requests, as the service sees them"])
    assert near(seen * 0.4) == only(panels["Requests, as its clients see them"])
    assert near(0.75) == only(panels["Success rate, as its clients see it"])
    assert near(0.8) == only(panels["Success rate, as the service sees it"])
    caller = "source_workload=front-v1,source_workload_namespace=shop"
    assert [{caller: near(seen)}] == panels["Requests by caller"]
    assert [
        {
            "response_code=200,response_flags=-": near(seen * 0.6),
            "response_code=404,response_flags=-": near(seen * 0.2),
            "response_code=503,response_flags=-": near(seen * 0.2),
        }
    ] == panels["Requests by answer"]
    version = "destination_version=v2,destination_workload=web-v2"
    assert [{version: near(seen)}] == panels["Requests by version"]
    assert [near(0.0375), near(0.0475), near(0.04975)] == [only([one]) for one in panels["Latency"]]
    assert [near(55.0), near(91.0)] == [only([one]) for one in panels["Size of requests"]]
    assert [near(550.0), near(910.0)] == [only([one]) for one in panels["Size of responses"]]
    policy = "connection_security_policy=mutual_tls"
    assert [{policy: near(seen)}] == panels["Requests by mutual TLS"]


def check_access_log(path):
    """A line of JSON for each request and each report of a connection."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(ROUND) * ROUNDS == len(lines)
    first = lines[0]
    assert ("info", "2026-03-04T05:06:07.000000Z") == (first["level"], first["time"])
    assert "accesslog.instance.istio-system" == first["instance"]
    assert {
        "method": "GET",
        "url": "/orders",
        "responseCode": 200,
        "latency": "30ms",
        "destinationServiceHost": "web.shop",
        "sourceApp": "front",
        "sourceIp": "0.0.0.0",
        "reporter": "destination",
    }.items() <= first.items()
    last = lines[len(ROUND) - 1]
    assert "tcpaccesslog.instance.istio-system" == last["instance"]
    assert ("close", 1000) == (last["connectionEvent"], last["sentBytes"])


def test_open_connections_of_a_service(run_async, tmp_path):
    """The panel is their number, whatever the window; a changed configuration keeps counting."""
    folder = installed(PROMETHEUS)
    port = free_port()
    text = (
        standard_text()
        .replace("  params:\n    metricsExp", f"  params:\n    port: {port}\n    metricsExp")
        .replace(
            "compiledAdapter: stdio\n  params: {logStream: STDOUT, outputAsJson: true}",
            "compiledAdapter: noop",
        )
    )

    async def main():
        async with (
            reporting(tmp_path, text) as mixer,
            Prometheus(folder, tmp_path, [f"127.0.0.1:{port}"]) as prometheus,
        ):
            await mixer.report(*ROUND)
            await mixer.use(text.replace("metricsExpiryDuration: 10m", "metricsExpiryDuration: 5m"))
            await mixer.report(*ROUND)
            await prometheus.until(f"sum({INBOUND}) == 40")
            shown = [{}]
            async with asyncio.timeout(20):
                # Nothing is shown after a scrape that took too long.
                while shown == [{}]:
                    panels = await evaluated(prometheus, "service", "db.shop")
                    shown = panels["Open TCP connections"]
            assert 2.0 == only(shown)

    run_async(main())


def test_reports_of_a_client_reach_prometheus(run_async, tmp_path):
    """Over gRPC, in batches, through a server that follows its folder."""
    folder = installed(PROMETHEUS)
    port = free_port()
    config = tmp_path / "mixer"
    config.mkdir()
    (config / "standard.yaml").write_text(
        standard_text()
        .replace("  params:\n    metricsExp", f"  params:\n    port: {port}\n    metricsExp")
        .replace("{logStream: STDOUT,", "{logStream: FILE, outputPath: access.log,"),
        encoding="utf-8",
    )

    async def main():
        async with (
            MixerServer("127.0.0.1:0", config=config, adapters=ADAPTERS) as server,
            Prometheus(folder, tmp_path, [f"127.0.0.1:{port}"]) as prometheus,
        ):
            assert () == server.status().faults
            async with MixerClient([server.address]) as client:
                for one in ROUND * 10:
                    client.report(one)
            by_code = await prometheus.until(
                f"sum by (response_code) ({INBOUND}) and on() (sum({INBOUND}) == 200)"
            )
            assert {"response_code=200": 160, "response_code=404": 20, "response_code=503": 20} == (
                by_code
            )

    run_async(main())
    lines = (config / "access.log").read_text(encoding="utf-8").splitlines()
    assert len(ROUND) * 10 == len(lines)


def test_zipkin_has_both_sides_of_a_call(run_async, tmp_path):
    """The client's span is the parent of the server's, with names, tags and duration."""
    folder = installed(ZIPKIN)

    async def main():
        async with Zipkin(folder, tmp_path) as zipkin:
            params = f"{{url: '{zipkin.url}/api/v2/spans', sampleProbability: 1}}"
            text = configuration("zipkin", params, span=("tracespan", SPAN))
            async with reporting(tmp_path, text) as mixer:
                await mixer.report(traced("outbound"), traced("inbound"))
            spans = {one["kind"]: one for one in await zipkin.trace(TRACE)}
            client, server = spans["CLIENT"], spans["SERVER"]
            assert (ID, client["id"]) == (server["id"], server["parentId"])
            assert ("front-v1", "web") == (
                client["localEndpoint"]["serviceName"],
                server["localEndpoint"]["serviceName"],
            )
            assert {"http.method": "GET", "http.status_code": "200"} == server["tags"]
            assert (30_000, "/orders") == (server["duration"], server["name"])

    # A program of Java, which may take its time to start.
    run_async(main(), timeout=120)


def test_statsd_counts_and_times(run_async, tmp_path):
    """Names made of dimensions, counters summed up, durations in milliseconds, gauges below zero."""
    folder = installed(STATSD)
    hits = ("metric", "{value: '1', dimensions: {to: 'destination.service.name | \"\"'}}")
    took = ("metric", "{value: 'response.duration | \"0ms\"'}")
    size = ("metric", "{value: response.size}")

    async def main():
        async with Statsd(folder, tmp_path) as statsd:
            params = (
                f"{{address: '{statsd.address}', prefix: mesh, metrics: {{"
                "hits.instance.istio-system: {type: COUNTER, nameTemplate: 'hits.{{.to}}'}, "
                "took.instance.istio-system: {type: DISTRIBUTION, nameTemplate: took}, "
                "size.instance.istio-system: {type: GAUGE, nameTemplate: size}}}"
            )
            text = configuration("statsd", params, hits=hits, took=took, size=size)
            async with reporting(tmp_path, text) as mixer:
                for _ in range(50):
                    await mixer.report(request(), {**request("pay"), "response.size": -7})
            await statsd.until("timers", "mesh.took", ([30] * 100).__eq__)
            await statsd.until("counters", "mesh.hits.web", (50).__eq__)
            await statsd.until("counters", "mesh.hits.pay", (50).__eq__)
            await statsd.until("gauges", "mesh.size", (-7).__eq__)

    run_async(main())


def test_a_forward_protocol_receiver_gets_records(run_async, tmp_path):
    """Written by msgpack, read by msgpack."""

    async def main():
        entry = (
            "logentry",
            (
                "{severity: '\"info\"', timestamp: request.time, "
                "variables: {code: response.code | 0, took: 'response.duration | \"0ms\"', "
                "tag: '\"access\"'}}"
            ),
        )
        async with ForwardReceiver() as receiver:
            params = f"{{address: '{receiver.address}', integerDuration: true}}"
            text = configuration("fluentd", params, entry=entry)
            async with reporting(tmp_path, text) as mixer:
                await mixer.report(request(), request(code=503))
            found = [await receiver.records.get(), await receiver.records.get()]
        name = "entry.instance.istio-system"
        when = msgpack.ExtType(0, struct.pack(">II", int(START.timestamp()), 0))
        assert [
            ["access", when, {"code": code, "took": 30, "name": name, "severity": "info"}, {}]
            for code in (200, 503)
        ] == found

    run_async(main())


def test_an_otlp_collector_gets_spans_and_metrics(run_async, tmp_path):
    """Over HTTP, in the binary form."""
    requests = asyncio.Queue()

    async def take(asked):
        requests.put_nowait((asked.path, await asked.read()))
        return web.Response()

    async def main():
        app = web.Application()
        app.router.add_post("/v1/{signal}", take)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        params = (
            f"{{endpoint: 'http://127.0.0.1:{runner.addresses[0][1]}', metrics: {{"
            "hits.instance.istio-system: {name: hits, kind: COUNTER}}}"
        )
        hits = ("metric", "{value: '1', dimensions: {to: 'destination.service.name | \"\"'}}")
        text = configuration("opentelemetry", params, span=("tracespan", SPAN), hits=hits)
        async with reporting(tmp_path, text) as mixer:
            await mixer.report(traced("inbound"), traced("inbound"))
        await runner.cleanup()
        found = dict([requests.get_nowait() for _ in range(requests.qsize())])
        assert {"/v1/metrics", "/v1/traces"} == set(found)
        spans = trace_service_pb2.ExportTraceServiceRequest.FromString(found["/v1/traces"])
        (first, _) = spans.resource_spans[0].instrumentation_library_spans[0].spans
        assert (TRACE, ID) == (first.trace_id.hex(), first.span_id.hex())
        sums = metrics_service_pb2.ExportMetricsServiceRequest.FromString(found["/v1/metrics"])
        (metric,) = sums.resource_metrics[0].instrumentation_library_metrics[0].metrics
        assert ("hits", [2.0]) == (
            metric.name,
            [one.as_double for one in metric.sum.data_points],
        )

    run_async(main())
