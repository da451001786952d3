"""What the adapters of both servers send for the same reports, read by the same receivers."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from meshregistry.mixer._compress import Repeated
from mixer_both import both, documents, manifest
from servers.forward import ForwardReceiver

START = datetime(2026, 3, 4, 5, 6, 7, 250_000, tzinfo=UTC)
ATTRIBUTES = manifest(
    {
        "connection.mtls": "BOOL",
        "context.reporter.kind": "STRING",
        "destination.namespace": "STRING",
        "request.headers": "STRING_MAP",
        "request.path": "STRING",
        "request.size": "INT64",
        "request.time": "TIMESTAMP",
        "response.code": "INT64",
        "response.duration": "DURATION",
        "response.time": "TIMESTAMP",
        "source.ip": "IP_ADDRESS",
        "source.name": "STRING",
    }
)
REPORTS = [
    {
        "request.time": START,
        "response.time": START + timedelta(milliseconds=1500),
        "request.size": 50,
        "response.code": code,
        "response.duration": timedelta(microseconds=1_500_250),
        "source.ip": bytes([10, 0, 0, 1]),
        "source.name": "ann",
        "connection.mtls": True,
        "request.path": "/a b",
        "request.headers": {
            "x-b3-traceid": "463ac35c9f6413ad48485a3953bb6124",
            "x-b3-spanid": f"a2fb4a1d1a96d3{code % 100:02d}",
            "x-b3-parentspanid": "0020000000000001",
        },
    }
    for code in (200, 404)
]
CODES = (200, 302, 400, 401, 403, 404, 409, 429, 499, 500, 501, 502, 503, 504)
VALUES = {
    "code": "response.code | 0",
    "ip": 'source.ip | ip("0.0.0.0")',
    "name": 'source.name | "nobody"',
    "took": 'response.duration | "0s"',
    "tls": "connection.mtls | false",
    "when": 'request.time | timestamp("2000-01-01T00:00:00Z")',
    "half": "0.5",
}
SPAN = {
    "traceId": 'request.headers["x-b3-traceid"] | ""',
    "spanId": 'request.headers["x-b3-spanid"] | ""',
    "parentSpanId": 'request.headers["x-b3-parentspanid"] | ""',
    "spanName": 'request.path | "/"',
    "startTime": "request.time",
    "endTime": "response.time",
    "httpStatusCode": "response.code | 0",
    "sourceName": 'source.name | "nobody"',
    "sourceIp": 'source.ip | ip("0.0.0.0")',
    "destinationName": '"web"',
    "destinationIp": 'ip("10.0.0.2")',
    "requestTotalSize": "request.size | 0",
    "responseTotalSize": "7",
    "apiProtocol": '"http"',
    "spanTags": {"path": 'request.path | ""', "code": "response.code | 0"},
}


def sending(adapter, params, instances):
    """A handler, and instances that every report sends there."""
    return documents(
        ATTRIBUTES,
        ("handler", "h", {"compiledAdapter": adapter, "params": params}),
        *(
            ("instance", name, {"compiledTemplate": template, "params": fields})
            for name, (template, fields) in instances.items()
        ),
        ("rule", "r", {"actions": [{"handler": "h", "instances": list(instances)}]}),
    )


def metric(value, **dimensions):
    """An instance of the template metric."""
    return "metric", {"value": value, "dimensions": dimensions}


def fqn(name):
    """What adapters call an instance."""
    return f"{name}.instance.istio-system"


@pytest.fixture
def sent(original, tmp_path, run_async):
    """Reports to both servers, whose documents differ in the receiver; what each has received.

    Args of what it gives: `receiver`, an async context manager that gives an address and a
    coroutine function of what it has received; `configured`, the documents for an address;
    `until`, whether that is all.
    """

    def send(receiver, configured, until, reports=REPORTS):
        async def main():
            async with AsyncExitStack() as stack:
                received = []
                for name in ("theirs", "ours"):
                    folder = tmp_path / name
                    folder.mkdir()
                    address, got = await stack.enter_async_context(receiver())
                    (folder / "mixer.yaml").write_text(configured(address))
                    received.append(got)
                servers = await stack.enter_async_context(
                    both(original, tmp_path / "theirs", tmp_path, ours=tmp_path / "ours")
                )
                assert () == servers.ours.status().faults
                assert ["OK", "OK"] == await servers.report(*reports, repeated=Repeated.INDEPENDENT)
                async with asyncio.timeout(20):
                    while not all(until(got()) for got in received):
                        await asyncio.sleep(0.02)
                return [got() for got in received]

        return run_async(main())

    return send


@asynccontextmanager
async def datagrams():
    """Lines of datagrams."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.setblocking(False)
        lines = []

        def got():
            while True:
                try:
                    lines.extend(server.recv(65536).decode().split("\n"))
                except BlockingIOError:
                    return sorted(line for line in lines if line)

        yield f"127.0.0.1:{server.getsockname()[1]}", got


@asynccontextmanager
async def spans():
    """Spans that are posted."""
    found = []

    async def post(request):
        found.extend(await request.json())
        return web.Response(status=202)

    app = web.Application()
    app.router.add_post("/api/v2/spans", post)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/api/v2/spans", lambda: found
    finally:
        await runner.cleanup()


@asynccontextmanager
async def forwarded():
    """Records of Fluentd's protocol."""
    async with ForwardReceiver() as receiver:
        records = []

        def got():
            while not receiver.records.empty():
                records.append(receiver.records.get_nowait())
            return records

        yield receiver.address, got


def test_the_same_lines_for_statsd(sent):
    """Counters, gauges and times, with names made of dimensions."""
    kinds = {
        fqn("count"): {"type": "COUNTER"},
        fqn("size"): {"type": "GAUGE", "nameTemplate": "size.{{.code}}"},
        fqn("took"): {"type": "DISTRIBUTION", "nameTemplate": "{{.name}}-{{ .code }}"},
        fqn("many"): {"type": "DISTRIBUTION"},
    }

    def configured(address):
        params = {"address": address, "prefix": "mx", "flushDuration": "0.1s", "metrics": kinds}
        instances = {
            "count": metric("1"),
            "size": metric("request.size | 0", code="response.code | 0"),
            "took": metric(
                'response.duration | "0s"', code="response.code | 0", name='source.name | ""'
            ),
            "many": metric("request.size | 0"),
        }
        return sending("statsd", params, instances)

    theirs, ours = sent(datagrams, configured, lambda lines: len(lines) >= 8)
    assert theirs == ours
    assert "mx.ann-404:1500.25|ms" in ours


def test_the_same_lines_for_dogstatsd(sent):
    """With tags of dimensions, of the metric and of all."""
    kinds = {
        fqn("count"): {"name": "count", "type": "COUNTER", "tags": {"a": "b", "code": "0"}},
        fqn("took"): {"name": "took", "type": "DISTRIBUTION"},
        fqn("size"): {"name": "size", "type": "GAUGE"},
        fqn("many"): {"name": "many", "type": "DISTRIBUTION"},
    }

    def configured(address):
        params = {
            "address": address,
            "prefix": "mx",
            "sampleRate": 1.0,
            "globalTags": {"site": "x"},
            "metrics": kinds,
        }
        instances = {
            "count": metric("1", code="response.code | 0"),
            "took": metric('response.duration | "0s"', **VALUES),
            "size": metric("request.size | 0"),
            "many": metric("request.size | 0"),
        }
        return sending("dogstatsd", params, instances)

    def split(lines):
        # There numbers have six digits, and tags the order of a map.
        parts = (re.fullmatch(r"(.+):([\d.]+)\|(\w+)\|#(.+)", line).groups() for line in lines)
        return sorted(
            (name, float(at), kind, *sorted(tags.split(","))) for name, at, kind, tags in parts
        )

    theirs, ours = sent(datagrams, configured, lambda lines: len(lines) >= 8)
    assert split(theirs) == split(ours)


def test_the_same_records_for_fluentd(sent):
    """Tag, time and every value; of the name or of a tag of one's own."""

    def configured(address):
        params = {"address": address, "pushIntervalDuration": "0.1s"}
        entry = {"severity": '"warning"', "timestamp": "request.time", "variables": VALUES}
        tagged = entry | {"variables": {"tag": '"mine"', "code": "response.code | 0"}}
        return sending(
            "fluentd", params, {"plain": ("logentry", entry), "tagged": ("logentry", tagged)}
        )

    def read(records):
        # Decision 0021: a point in time is a text; there an extension that only Go knows.
        plain = [
            [tag, when, {key: value for key, value in record.items() if key != "when"}]
            for tag, when, record, *_ in records
        ]
        return sorted(plain, key=lambda one: (one[0], one[2]["code"]))

    theirs, ours = sent(forwarded, configured, lambda records: len(records) >= 4)
    assert read(theirs) == read(ours)
    assert 4 == len(ours)


@pytest.mark.parametrize("is_client", ["true", "false"])
@pytest.mark.parametrize("rewrites", ["true", "false"])
def test_the_same_spans_for_zipkin(sent, is_client, rewrites):
    """Ids, name, kind, times, ends, tags and the sizes at both ends."""

    def configured(url):
        span = SPAN | {"clientSpan": is_client, "rewriteClientSpanId": rewrites}
        params = {"url": url, "sampleProbability": 1.0}
        return sending("zipkin", params, {"span": ("tracespan", span)})

    theirs, ours = (
        sorted(got, key=lambda one: one["tags"]["code"])
        for got in sent(
            spans,
            configured,
            lambda got: len(got) >= len(CODES),
            [REPORTS[0] | {"response.code": code} for code in CODES],
        )
    )
    for span in theirs:
        # Decision 0021: a trace of a library.
        del span["tags"]["opencensus.status_description"]
    assert theirs == ours
    assert {"NOT_FOUND", "UNKNOWN", None} <= {span["tags"].get("error") for span in ours}


def test_the_same_lines_of_stdio(original, tmp_path, run_async):
    """Log entries and metrics, as JSON; a metric's time is the moment of writing."""
    logs = [tmp_path / f"{name}.log" for name in ("theirs", "ours")]

    def configured(log):
        params = {
            "logStream": "FILE",
            "outputPath": str(log),
            "severityLevels": {"loud": 2, "info": "INFO"},
            "metricLevel": "WARNING",
        }
        entry = {"severity": '"loud"', "timestamp": "request.time", "variables": VALUES}
        instances = {"entry": ("logentry", entry), "took": metric(VALUES["took"], **VALUES)}
        return sending("stdio", params, instances)

    async def main():
        for log in logs:
            log.with_suffix("").mkdir()
            (log.with_suffix("") / "mixer.yaml").write_text(configured(log))
        theirs, ours = (log.with_suffix("") for log in logs)
        async with both(original, theirs, tmp_path, ours=ours) as servers:
            assert ["OK", "OK"] == await servers.report(*REPORTS)

    run_async(main())
    theirs, ours = (
        [json.loads(line, object_pairs_hook=list) for line in log.read_text().splitlines()]
        for log in logs
    )

    def comparable(lines):
        metrics = [
            # Decision 0021: an address of a metric is a text; there it is base64.
            [pair for pair in line if pair[0] not in {"time", "ip"}]
            for line in lines
            if dict(line)["instance"] == fqn("took")
        ]
        return sorted([*metrics, *(one for one in lines if dict(one)["instance"] != fqn("took"))])

    assert comparable(theirs) == comparable(ours)
    assert 4 == len(ours)
