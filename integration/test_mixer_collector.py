"""Reports reach a real OpenTelemetry Collector, over every protocol that it takes of ours."""

from __future__ import annotations

import pytest

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
from servers.collector import Collector, collector_program, plain, plain_value

NANOS = int(START.timestamp()) * 10**9
ENTRY = (
    "logentry",
    (
        "{severity: '\"warning\"', timestamp: request.time, variables: {"
        "code: response.code | 0, secure: connection.mtls | false, half: '0.5', "
        "took: 'response.duration | \"0ms\"', from: 'source.ip | ip(\"10.0.0.1\")', "
        "labels: source.labels, tag: '\"access\"'}}"
    ),
)
HITS = (
    "metric",
    (
        "{value: '1', dimensions: {to: 'destination.service.name | \"\"', "
        "code: response.code | 0, plain: 'source.name | \"a b\"'}}"
    ),
)
TOOK = ("metric", "{value: 'response.duration | \"0ms\"', dimensions: {}}")
SIZE = ("metric", "{value: response.size | 0, dimensions: {}}")


@pytest.fixture(scope="module")
def program():
    """Of the collector."""
    return collector_program()


def scoped(kind):
    """Takes the entries of all scopes from a line: ``logRecords``, ``metrics`` or ``spans``."""
    outer, inner = {
        "logRecords": ("resourceLogs", "scopeLogs"),
        "metrics": ("resourceMetrics", "scopeMetrics"),
        "spans": ("resourceSpans", "scopeSpans"),
    }[kind]

    def take(line):
        return [
            {**entry, "resource": plain(resource["resource"].get("attributes", []))}
            for resource in line.get(outer, ())
            for scope in resource.get(inner, ())
            for entry in scope.get(kind, ())
        ]

    return take


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_otlp(run_async, tmp_path, program, protocol):
    """Spans, records and metrics of each kind, with the types that they had."""
    params = (
        "{endpoint: '%s', protocol: %s, resource: {service.name: mixer, zone: a}, metrics: {"
        "hits.instance.istio-system: {name: hits, kind: COUNTER, description: all, unit: '1'}, "
        "size.instance.istio-system: {name: size, kind: GAUGE, unit: By}, "
        "took.instance.istio-system: {name: took, kind: DISTRIBUTION, unit: s, "
        "buckets: {explicit_buckets: {bounds: [0.01, 0.1]}}}}}"
    )

    async def main():
        async with Collector(program, tmp_path) as collector:
            endpoint = f"http://{collector.address(protocol)}"
            text = configuration(
                "opentelemetry",
                params % (endpoint, protocol),
                span=("tracespan", SPAN),
                entry=ENTRY,
                hits=HITS,
                size=SIZE,
                took=TOOK,
            )
            async with reporting(tmp_path, text) as mixer:
                await mixer.report(
                    traced("outbound"),
                    traced("inbound"),
                    {**traced("inbound"), "response.code": 503},
                )
            return (
                await collector.read("traces", scoped("spans"), lambda found: len(found) >= 3),
                await collector.read("logs", scoped("logRecords"), lambda found: len(found) >= 3),
                await collector.read("metrics", scoped("metrics"), lambda found: len(found) >= 3),
            )

    spans, records, metrics = run_async(main())
    resource = {"service.name": "mixer", "zone": "a"}
    assert all(one["resource"] == resource for one in (*spans, *records, *metrics))
    check_spans(spans)
    check_records(records)
    check_metrics({one["name"]: one for one in metrics})


def check_spans(spans):
    """The client's span is the parent of the servers' ones; only 5xx is an error."""
    client, server, broken = spans
    assert {TRACE} == {one["traceId"] for one in spans}
    # The client's id is made anew, since both sides know the same one.
    assert (3, 2) == (client["kind"], server["kind"])
    assert (ID, client["spanId"], "/orders") == (
        server["spanId"],
        server["parentSpanId"],
        server["name"],
    )
    assert (str(NANOS), str(NANOS + 30_000_000)) == (
        server["startTimeUnixNano"],
        server["endTimeUnixNano"],
    )
    said = plain(server["attributes"])
    assert (200, "GET") == (said["http.response.status_code"], said["http.method"])
    assert ({}, {"code": 2}) == (server["status"], broken["status"])


def check_records(records):
    """Variables keep their types; the name of the instance is the text."""
    *_, last = records
    assert str(NANOS) == last["timeUnixNano"]
    assert (13, "warning", "entry.instance.istio-system") == (
        last["severityNumber"],
        last["severityText"],
        plain_value(last["body"]),
    )
    said = plain(last["attributes"])
    labels = plain(said.pop("labels")["values"])
    assert {"app": "front", "version": "v1"} == labels
    assert {
        "code": 503,
        "secure": True,
        "half": 0.5,
        "took": "30ms",
        "from": "10.0.0.1",
        "tag": "access",
    } == said


def check_metrics(metrics):
    """Sums since the beginning, by dimensions; last values; distributions by buckets."""
    hits, size, took = (metrics[name] for name in ("hits", "size", "took"))
    assert ("all", "1", 2, True) == (
        hits["description"],
        hits["unit"],
        hits["sum"]["aggregationTemporality"],
        hits["sum"]["isMonotonic"],
    )
    counted = {
        plain(one["attributes"])["code"]: one["asDouble"] for one in hits["sum"]["dataPoints"]
    }
    assert {"200": 2, "503": 1} == counted
    assert {"to": "web", "plain": "a b"}.items() <= plain(
        hits["sum"]["dataPoints"][0]["attributes"]
    ).items()
    assert [500] == [one["asDouble"] for one in size["gauge"]["dataPoints"]]
    (point,) = took["histogram"]["dataPoints"]
    assert ("3", ["0", "3", "0"], [0.01, 0.1]) == (
        point["count"],
        point["bucketCounts"],
        point["explicitBounds"],
    )
    assert 0.09 == pytest.approx(point["sum"])


def test_the_forward_protocol_of_fluentd(run_async, tmp_path, program):
    """Records arrive with time and types, and again after the receiver was away."""

    async def main():
        async with Collector(program, tmp_path) as collector:
            params = (
                f"{{address: '{collector.address('forward')}', integerDuration: true, "
                "pushIntervalDuration: 10ms}"
            )
            text = configuration("fluentd", params, entry=ENTRY)
            async with reporting(tmp_path, text) as mixer:
                await mixer.report(request())
                first = await collector.read("logs", scoped("logRecords"), len)
                await collector.stop()
                await mixer.report(request(code=503))
                await collector.start()
                await mixer.report(request(code=404))
                await collector.read("logs", scoped("logRecords"), has_codes(503, 404))
            return first[0]

    record = run_async(main())
    assert str(NANOS) == record["timeUnixNano"]
    said = plain(record["attributes"])
    assert {
        "code": 200,
        "secure": True,
        "half": 0.5,
        "took": 30,
        "from": "10.0.0.1",
        "name": "entry.instance.istio-system",
        "severity": "warning",
        "fluent.tag": "access",
    } == {name: said[name] for name in said if name != "labels"}
    assert {"app": "front", "version": "v1"} == plain(said["labels"]["values"])


def has_codes(*codes):
    """Whether records of all these codes are there."""
    return lambda found: set(codes) <= {plain(one["attributes"])["code"] for one in found}


@pytest.mark.parametrize("adapter", ["statsd", "dogstatsd"])
def test_lines_of_statsd(run_async, tmp_path, program, adapter):
    """Counters are summed up, gauges are last values; dogstatsd's dimensions are attributes."""
    names = {"statsd": "nameTemplate", "dogstatsd": "name"}
    metrics = ", ".join(
        f"{name}.instance.istio-system: {{type: {kind}, {names[adapter]}: {name}}}"
        for name, kind in (("hits", "COUNTER"), ("size", "GAUGE"), ("took", "DISTRIBUTION"))
    )
    extra = ", globalTags: {zone: a}" if adapter == "dogstatsd" else ""

    async def main():
        async with Collector(program, tmp_path) as collector:
            params = (
                f"{{address: '{collector.address('statsd')}', prefix: mesh., "
                f"metrics: {{{metrics}}}{extra}}}"
            )
            text = configuration(adapter, params, hits=HITS, size=SIZE, took=TOOK)
            async with reporting(tmp_path, text) as mixer:
                await mixer.report(*[request()] * 50, *[request(code=503)] * 10)
                return await collector.read("metrics", scoped("metrics"), is_complete)

    found = run_async(main())
    points = [one for metric in named(found, "hits") for one in metric["sum"]["dataPoints"]]
    if adapter == "dogstatsd":
        by_code = {}
        for one in points:
            said = plain(one["attributes"])
            assert {"to": "web", "plain": "a b", "zone": "a"}.items() <= said.items()
            by_code[said["code"]] = by_code.get(said["code"], 0) + int(one["asInt"])
        assert {"200": 50, "503": 10} == by_code
    sizes = [one for metric in named(found, "size") for one in metric["gauge"]["dataPoints"]]
    assert {500} == {one["asDouble"] for one in sizes}
    times = [one for metric in named(found, "took") for one in metric["gauge"]["dataPoints"]]
    assert {30} == {one["asDouble"] for one in times}


def named(found, name):
    """The metrics of this name; of one interval each."""
    return [one for one in found if one["name"] == f"mesh.{name}"]


def is_complete(found):
    """Whether all sixty requests have been counted."""
    points = [one for metric in named(found, "hits") for one in metric["sum"]["dataPoints"]]
    return sum(int(one["asInt"]) for one in points) == 60 and named(found, "took") != []
