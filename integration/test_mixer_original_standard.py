"""Our standard configuration in the original server: Istio's metrics and an access log."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from meshregistry.mixer import vocabulary
from meshregistry.mixer._compress import Repeated
from meshregistry.mixer.standard import standard_text
from mixer_both import both, documents, manifest
from servers.ports import free_port

START = datetime(2026, 3, 4, 5, 6, 7, 250_000, tzinfo=UTC)


def test_the_standard_configuration_gives_the_same_metrics(original, tmp_path, run_async):
    """Every series with every label, as Prometheus reads them; and the same access log."""
    port = free_port()
    reports = [
        {
            "context.protocol": "http",
            "context.reporter.kind": reporter,
            "context.time": START,
            "request.time": START,
            "request.method": "GET",
            "request.size": 50,
            "response.code": code,
            "response.size": 500,
            "response.duration": timedelta(milliseconds=30),
            "connection.mtls": reporter == "inbound",
            "source.labels": {"app": "front", "version": "v1"},
            "source.workload.name": "front-v1",
            "destination.labels": {"app": "web"},
            "destination.service.host": "web.shop",
            "destination.service.name": "web",
        }
        for code in (200, 404, 200)
        for reporter in ("inbound", "outbound")
    ]
    reports += [
        {
            "context.protocol": "tcp",
            "context.reporter.kind": "inbound",
            "context.time": START,
            "connection.event": event,
            "connection.sent.bytes": 1000,
            "connection.received.bytes": 100,
            "destination.service.host": "db.shop",
        }
        for event in ("open", "continue", "close")
    ]

    async def main():
        text = standard_text()
        types = {name: one.type.name for name, one in vocabulary.STANDARD.items()}
        theirs = documents(manifest(types)) + "---\n" + text
        for name, more in (("theirs", theirs), ("ours", with_port(text, port))):
            (tmp_path / name).mkdir()
            log = f"{{logStream: FILE, outputPath: {tmp_path / name}.log,"
            (tmp_path / name / "mixer.yaml").write_text(more.replace("{logStream: STDOUT,", log))
        async with both(original, tmp_path / "theirs", tmp_path, ours=tmp_path / "ours") as servers:
            assert () == servers.ours.status().faults
            assert "\terror\t" not in servers.original.log
            assert ["OK", "OK"] == await servers.report(*reports, repeated=Repeated.INDEPENDENT)
            return [await series(one) for one in (servers.original.metrics_port, port)]

    theirs, ours = run_async(main())
    assert theirs == ours
    assert len({name for name, _ in ours}) > 10
    print(f"{len(ours)} series are the same, of {len({name for name, _ in ours})} names")
    logs = [
        sorted((tmp_path / f"{name}.log").read_text().splitlines()) for name in ("theirs", "ours")
    ]
    assert [json.loads(line) for line in logs[0]] == [json.loads(line) for line in logs[1]]
    assert len(reports) == len(logs[0])


def with_port(text, port):
    """The standard configuration with another port for metrics."""
    changed = text.replace(
        "  params:\n    metricsExp", f"  params:\n    port: {port}\n    metricsExp"
    )
    assert changed != text
    return changed


async def series(port):
    """What a page of metrics says of ours, by name and labels."""
    url = f"http://127.0.0.1:{port}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        page = await response.text()
    return {
        # The bound of a bucket is written as 1 there, and as 1.0 here.
        (
            one.name,
            tuple(
                (name, float(value) if name == "le" else value)
                for name, value in sorted(one.labels.items())
            ),
        ): one.value
        for family in text_string_to_metric_families(page)
        for one in family.samples
        if one.name.startswith("istio_") and not one.name.endswith("_created")
    }
