"""Mixer reports for a real OpenTelemetry Collector: what the tests with one share."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from meshregistry.mixer import MixerClient
from meshregistry.mixer.adapters import ADAPTERS
from meshregistry.mixer.server import MixerServer
from servers.collector import Collector, collector_program

AT = datetime(2026, 3, 4, 5, 6, 7, 123_456, tzinfo=UTC)
END = AT + timedelta(microseconds=30_001)
TRACE, SPAN = "463ac35c9f6413ad48485a3953bb6124", "a2fb4a1d1a96d312"
CLIENT_SPAN = f"{int(SPAN, 16) ^ 0x3F6A2EC3C810C2AB:016x}"
"""What a client's span is called if the server's has the same id."""
NAMESPACE = "istio-system"

ENTRY = (
    "logentry",
    (
        "{severity: '\"Warning\"', timestamp: request.time, variables: {"
        "code: response.code, share: '0.25', mtls: connection.mtls, ip: source.ip, "
        "at: context.time, took: response.duration, labels: source.labels, url: request.path}}"
    ),
)
SPANS = (
    "tracespan",
    (
        "{traceId: 'request.headers[\"x-b3-traceid\"]', "
        "spanId: 'request.headers[\"x-b3-spanid\"]', "
        'parentSpanId: \'request.headers["x-b3-parentspanid"] | ""\', '
        "spanName: request.path, startTime: request.time, endTime: response.time, "
        'httpStatusCode: response.code, clientSpan: context.reporter.kind == "outbound", '
        "rewriteClientSpanId: 'true', sourceName: source.workload.name, sourceIp: source.ip, "
        "destinationName: destination.service.name, requestSize: request.size, "
        "spanTags: {http.method: request.method, size: response.size}}"
    ),
)
HITS = (
    "metric",
    "{value: '1', dimensions: {to: destination.service.name, code: response.code}}",
)
TOOK = ("metric", "{value: response.duration, dimensions: {to: destination.service.name}}")
OPEN = (
    "metric",
    (
        "{value: response.size, "
        "dimensions: {to: destination.service.name, from: 'source.user | \"\"'}}"
    ),
)


def collector_in(folder):
    """A collector that is not started yet; without the program the test skips."""
    data = folder / "collector"
    data.mkdir()
    return Collector(collector_program(), data)


def request(service="web", *, code=200, reporter="inbound", size=500, took=30_001):
    """The attributes of a request."""
    return {
        "context.reporter.kind": reporter,
        "context.time": AT,
        "request.time": AT,
        "response.time": END,
        "request.method": "GET",
        "request.path": "/orders/ü",
        "request.size": 50,
        "request.headers": {"x-b3-traceid": TRACE, "x-b3-spanid": SPAN},
        "response.code": code,
        "response.size": size,
        "response.duration": timedelta(microseconds=took),
        "connection.mtls": True,
        "source.ip": b"\x0a\x00\x00\x07",
        "source.labels": {"app": "front", "version": "v1"},
        "source.workload.name": "front-v1",
        "destination.service.name": service,
    }


@asynccontextmanager
async def reporting(folder, text):
    """A server with these documents, and a client of it; at the end all is flushed."""
    (folder / "mixer").mkdir(exist_ok=True)
    (folder / "mixer" / "mixer.yaml").write_text(text, encoding="utf-8")
    async with MixerServer("127.0.0.1:0", config=folder / "mixer", adapters=ADAPTERS) as server:
        assert () == server.status().faults
        async with MixerClient([server.address]) as client:
            yield server, client


def events(server):
    """What the handler has counted, by event."""
    (found,) = [one for one in server.metrics() if one.name == "mixer_handler_events"]
    return {labels["event"]: int(value) for labels, value in found.samples}


def nanos(when):
    """As the JSON of OTLP has times."""
    return str((when - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000)
