"""Lines of ``statsd`` and ``dogstatsd`` reach a real OpenTelemetry Collector, which knows tags."""

from __future__ import annotations

from collections import defaultdict

import pytest

from mixer_collected import (
    HITS,
    NAMESPACE,
    OPEN,
    TOOK,
    collector_in,
    reporting,
    request,
)
from mixer_reporting import configuration
from servers.collector import plain

INSTANCES = {"hits": HITS, "took": TOOK, "open": OPEN}


@pytest.fixture
def collector(tmp_path):
    """One that is not started yet."""
    return collector_in(tmp_path)


def sums(collector):
    """What the statsd receiver has added up, by name and attributes."""
    found = defaultdict(int)
    for _, metric in collector.metrics():
        for point in metric.get("sum", {}).get("dataPoints", ()):
            assert (1, True) == (
                metric["sum"]["aggregationTemporality"],
                metric["sum"]["isMonotonic"],
            )
            found[_key(metric, point)] += int(point["asInt"])
    return dict(found)


def gauges(collector):
    """The last value of each gauge, by name and attributes."""
    return {
        _key(metric, point): point["asDouble"]
        for _, metric in collector.metrics()
        for point in metric.get("gauge", {}).get("dataPoints", ())
    }


def summaries(collector):
    """Count, sum, least and greatest of timers and histograms, by name and attributes."""
    found = {}
    for _, metric in collector.metrics():
        for point in metric.get("summary", {}).get("dataPoints", ()):
            ends = [one.get("value", 0) for one in point["quantileValues"]]
            one = (int(point["count"]), point["sum"], ends[0], ends[-1])
            before = found.get(_key(metric, point))
            if before is not None:
                one = (
                    one[0] + before[0],
                    one[1] + before[1],
                    min(one[2], before[2]),
                    max(one[3], before[3]),
                )
            found[_key(metric, point)] = one
    return found


def _key(metric, point):
    tags = plain(point.get("attributes", []))
    assert {"string"} >= {kind for kind, _ in tags.values()}
    return (metric["name"], *sorted(f"{name}={value}" for name, (_, value) in tags.items()))


def test_lines_of_statsd(run_async, tmp_path, collector):
    """Counters, gauges, below zero too, and timers."""

    async def main():
        params = (
            f"{{address: '{collector.address('statsd')}', prefix: mesh, "
            "metrics: {"
            f"hits.instance.{NAMESPACE}: {{type: COUNTER, "
            "nameTemplate: 'hits.{{.to}}.{{.code}}'}, "
            f"took.instance.{NAMESPACE}: {{type: DISTRIBUTION, nameTemplate: took}}, "
            f"open.instance.{NAMESPACE}: {{type: GAUGE, nameTemplate: 'open.{{{{.to}}}}'}}}}}}"
        )
        async with collector:
            async with reporting(tmp_path, configuration("statsd", params, **INSTANCES)) as (
                _,
                client,
            ):
                for size in (*range(99), -7):
                    client.report(request(size=size, took=1_500))
                    client.report(request("pay", code=404, size=3, took=20_000_000))
            await collector.all_lines()
            assert sums(collector) == {("mesh.hits.web.200",): 100, ("mesh.hits.pay.404",): 100}
            assert gauges(collector) == {("mesh.open.web",): -7, ("mesh.open.pay",): 3}
            assert summaries(collector)[("mesh.took",)] == (
                200,
                pytest.approx(100 * 20_001.5),
                1.5,
                20_000,
            )

    run_async(main())


@pytest.mark.parametrize(
    ("adapter", "params"),
    [
        ("statsd", "samplingRate: 0.5, metrics: {hits: {type: COUNTER, nameTemplate: hits}}"),
        ("dogstatsd", "sampleRate: 0.5, prefix: '', metrics: {hits: {name: hits, type: COUNTER}}"),
    ],
)
def test_sampled_lines_are_multiplied_by_the_receiver(
    run_async, tmp_path, collector, adapter, params
):
    """About half of them are sent, and each counts twice."""

    async def main():
        named = params.replace("{hits:", f"{{hits.instance.{NAMESPACE}:")
        text = configuration(
            adapter,
            f"{{address: '{collector.address('statsd')}', {named}}}",
            hits=("metric", "{value: '1'}"),
        )
        async with collector:
            async with reporting(tmp_path, text) as (_, client):
                for _ in range(400):
                    client.report(request())
            await collector.all_lines()
            found = sums(collector)
            assert [("hits",)] == list(found)
            count = found[("hits",)]
            assert (0, True) == (count % 2, 300 < count < 500)

    run_async(main())


@pytest.mark.parametrize("buffer", [0, 10])
def test_lines_of_dogstatsd(run_async, tmp_path, collector, buffer):
    """Dimensions arrive as tags; one without a value does not cost the line."""

    async def main():
        params = (
            f"{{address: '{collector.address('statsd')}', bufferLength: {buffer}, "
            "globalTags: {site: 'east:1'}, metrics: {"
            f"hits.instance.{NAMESPACE}: {{name: hits, type: COUNTER, tags: {{own: 'yes'}}}}, "
            f"took.instance.{NAMESPACE}: {{name: took, type: DISTRIBUTION}}, "
            f"open.instance.{NAMESPACE}: {{name: open, type: GAUGE}}}}}}"
        )
        text = configuration("dogstatsd", params, **INSTANCES)
        async with collector:
            async with reporting(tmp_path, text) as (_, client):
                for _ in range(25):
                    client.report(request(took=1_500))
                client.report(request("a,b|c#d", size=-7) | {"source.user": "ü:1"})
            await collector.all_lines()
            site = "site=east:1"
            assert sums(collector) == {
                ("istio.hits", "code=200", "own=yes", site, "to=web"): 25,
                ("istio.hits", "code=200", "own=yes", site, "to=a_b_c_d"): 1,
            }
            assert gauges(collector) == {
                ("istio.open", site, "to=web"): 500,
                ("istio.open", "from=ü:1", site, "to=a_b_c_d"): -7,
            }
            assert summaries(collector) == {
                ("istio.took", site, "to=web"): (25, 37.5, 1.5, 1.5),
                ("istio.took", site, "to=a_b_c_d"): (1, 30.001, 30.001, 30.001),
            }

    run_async(main())
