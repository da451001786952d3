"""Reports reach a real OpenTelemetry Collector, by OTLP and by the forward protocol.

A client of ours reports to a server of ours, whose adapters send to the collector's receivers; what
these have understood is what it writes down.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mixer_collected import (
    AT,
    CLIENT_SPAN,
    END,
    ENTRY,
    HITS,
    NAMESPACE,
    OPEN,
    SPAN,
    SPANS,
    TOOK,
    TRACE,
    collector_in,
    nanos,
    reporting,
    request,
)
from mixer_reporting import configuration
from servers.collector import plain

VARIABLES = {
    "code": ("int", 200),
    "share": ("double", 0.25),
    "mtls": ("bool", True),
    "ip": ("string", "10.0.0.7"),
    "at": ("string", "2026-03-04T05:06:07.123456Z"),
    "took": ("string", "30.001ms"),
    "labels": ("kvlist", {"app": ("string", "front"), "version": ("string", "v1")}),
    "url": ("string", "/orders/ü"),
}


@pytest.fixture
def collector(tmp_path):
    """One that is not started yet."""
    return collector_in(tmp_path)


@pytest.mark.parametrize("has_tag", [False, True])
def test_records_by_the_forward_protocol(run_async, tmp_path, collector, has_tag):
    """The tag, the time to the microsecond, and every variable in its own type."""
    template, fields = ENTRY
    name = ("string", f"entry.instance.{NAMESPACE}")
    expected = {**VARIABLES, "severity": ("string", "Warning"), "fluent.tag": name}
    more = ""
    if has_tag:
        fields = fields.replace("url:", "tag: '\"access\"', url:")
        more = ", integerDuration: true"
        expected |= {"fluent.tag": ("string", "access"), "name": name, "took": ("int", 30)}

    async def main():
        params = f"{{address: '{collector.address('forward')}'{more}}}"
        async with collector:
            text = configuration("fluentd", params, entry=(template, fields))
            async with reporting(tmp_path, text) as (_, client):
                client.report(request())
                client.report(request(code=503))
            await collector.until(lambda: len(collector.logs()) == 2, what="records are there")
        for code, (_, record) in zip((200, 503), collector.logs(), strict=True):
            assert nanos(AT) == record["timeUnixNano"]
            assert {**expected, "code": ("int", code)} == plain(record["attributes"])

    run_async(main())


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_everything_by_otlp(run_async, tmp_path, collector, protocol):
    """Records, spans and metrics arrive field by field as they were reported."""

    async def main():
        params = (
            f"{{endpoint: 'http://{collector.address(protocol)}', protocol: {protocol}, "
            "headers: {X-Tenant: shop}, resource: {service.name: mixer, site: east}, metrics: {"
            f"hits.instance.{NAMESPACE}: {{name: mesh.hits, kind: COUNTER, description: of all}}, "
            f"took.instance.{NAMESPACE}: {{name: mesh.took, kind: DISTRIBUTION, unit: s, "
            "buckets: {explicitBuckets: {bounds: [0.01, 1]}}}, "
            f"open.instance.{NAMESPACE}: {{name: mesh.open, kind: GAUGE, unit: By}}}}}}"
        )
        text = configuration(
            "opentelemetry",
            params,
            entry=ENTRY,
            span=SPANS,
            hits=HITS,
            took=TOOK,
            open=OPEN,
        )
        began = datetime.now(UTC)
        async with collector:
            async with reporting(tmp_path, text) as (_, client):
                client.report(request(reporter="outbound"))
                client.report(request(code=503, size=700, took=2_000_000))
            await collector.until(
                lambda: (
                    [2, 2] == [len(collector.logs()), len(collector.spans())]
                    and {"mesh.hits", "mesh.took", "mesh.open"}
                    == {one["name"] for _, one in collector.metrics()}
                ),
                what="all is there",
            )
        for group, _ in (*collector.logs(), *collector.spans(), *collector.metrics()):
            assert {"service.name": ("string", "mixer"), "site": ("string", "east")} == (
                group["resource"]
            )
            assert "meshregistry.mixer" == group["scope"]
        check_records(collector)
        check_spans(collector)
        check_metrics(collector, began)

    run_async(main())


def check_records(collector):
    """Severity, both times, body and typed attributes."""
    (_, first), (_, second) = collector.logs()
    assert (nanos(AT), 13, "Warning") == (
        first["timeUnixNano"],
        first["severityNumber"],
        first["severityText"],
    )
    assert int(first["observedTimeUnixNano"]) > int(nanos(AT))
    assert {"stringValue": f"entry.instance.{NAMESPACE}"} == first["body"]
    assert VARIABLES == plain(first["attributes"])
    assert {**VARIABLES, "code": ("int", 503), "took": ("string", "2s")} == (
        plain(second["attributes"])
    )


def check_spans(collector):
    """Ids, kinds, parents, times, status and attributes."""
    client, server = sorted((one for _, one in collector.spans()), key=lambda one: -one["kind"])
    for one in (client, server):
        assert (TRACE, "/orders/ü", nanos(AT), nanos(END)) == (
            one["traceId"],
            one["name"],
            one["startTimeUnixNano"],
            one["endTimeUnixNano"],
        )
    assert (CLIENT_SPAN, "", 3, {}) == (
        client["spanId"],
        client.get("parentSpanId", ""),
        client["kind"],
        client["status"],
    )
    assert (SPAN, CLIENT_SPAN, 2, {"code": 2}) == (
        server["spanId"],
        server["parentSpanId"],
        server["kind"],
        server["status"],
    )
    assert {
        "http.method": ("string", "GET"),
        "size": ("int", 700),
        "http.response.status_code": ("int", 503),
        "source.name": ("string", "front-v1"),
        "source.address": ("string", "10.0.0.7"),
        "destination.name": ("string", "web"),
        "http.request.body.size": ("int", 50),
    } == plain(server["attributes"])


def check_metrics(collector, began):
    """Kinds, temporality, units, values, attributes and times of the last state of each."""
    latest = {one["name"]: one for _, one in collector.metrics()}
    hits, took, size = (latest[f"mesh.{name}"] for name in ("hits", "took", "open"))
    assert (2, True, "of all") == (
        hits["sum"]["aggregationTemporality"],
        hits["sum"]["isMonotonic"],
        hits["description"],
    )
    assert {"200": 1.0, "503": 1.0} == {
        plain(one["attributes"])["code"][1]: one["asDouble"] for one in hits["sum"]["dataPoints"]
    }
    (point,) = took["histogram"]["dataPoints"]
    assert ("s", 2, "2", 2.030001, ["0", "1", "1"], [0.01, 1]) == (
        took["unit"],
        took["histogram"]["aggregationTemporality"],
        point["count"],
        point["sum"],
        point["bucketCounts"],
        point["explicitBounds"],
    )
    assert {"to": ("string", "web")} == plain(point["attributes"])
    (gauge,) = size["gauge"]["dataPoints"]
    assert ("By", 700.0) == (size["unit"], gauge["asDouble"])
    for one in (*hits["sum"]["dataPoints"], point, gauge):
        assert int(nanos(began)) <= int(one["startTimeUnixNano"]) <= int(one["timeUnixNano"])
