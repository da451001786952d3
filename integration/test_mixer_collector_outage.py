"""A real OpenTelemetry Collector is killed and started again: what arrives, and what is counted."""

from __future__ import annotations

import asyncio

import pytest

from mixer_collected import (
    ENTRY,
    HITS,
    NAMESPACE,
    SPANS,
    collector_in,
    events,
    reporting,
    request,
)
from mixer_reporting import configuration
from servers.collector import plain

CODES = [201, 202, 203]


@pytest.fixture
def collector(tmp_path):
    """One that is not started yet."""
    return collector_in(tmp_path)


def codes(collector):
    """The codes of the records that it wrote so far, in their order."""
    return [plain(one["attributes"])["code"][1] for _, one in collector.logs()]


def latest(collector):
    """The last value of each series of the counter."""
    points = (
        point
        for _, metric in collector.metrics()
        if metric["name"] == "hits"
        for point in metric["sum"]["dataPoints"]
    )
    return {plain(one["attributes"])["code"][1]: one["asDouble"] for one in points}


def otlp(collector, protocol, more=""):
    """Parameters of ``opentelemetry`` that send soon."""
    return (
        f"{{endpoint: 'http://{collector.address(protocol)}', protocol: {protocol}, "
        f"batchInterval: 10ms, metricsInterval: 100ms, metrics: {{"
        f"hits.instance.{NAMESPACE}: {{name: hits, kind: COUNTER}}}}{more}}}"
    )


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_all_signals_of_otlp_wait_for_the_collector(run_async, tmp_path, collector, protocol):
    """Nothing is lost, and each attempt that failed is counted."""

    async def main():
        text = configuration(
            "opentelemetry", otlp(collector, protocol), entry=ENTRY, span=SPANS, hits=HITS
        )
        async with collector, reporting(tmp_path, text) as (server, client):
            client.report(request(code=201))
            await collector.until(
                lambda: len(collector.logs()) == len(collector.spans()) == 1, what="one is there"
            )
            # Else it could be killed before it has acknowledged them.
            await until_counted(server, "sent", 2)
            await collector.kill()
            client.report(request(code=202))
            client.report(request(code=202))
            await until_counted(server, "send_errors", 2)
            await until_counted(server, "metric_errors", 2)
            assert 2 == events(server)["sent"]
            await collector.start()
            await collector.until(
                lambda: len(collector.logs()) == len(collector.spans()) == 3, what="all are there"
            )
            await collector.until(
                lambda: latest(collector) == {"201": 1.0, "202": 2.0}, what="the sums are right"
            )
            await until_counted(server, "sent", 6)
            assert {"dropped", "refused"}.isdisjoint(events(server))
        assert [201, 202, 202] == codes(collector)

    run_async(main())


def test_what_does_not_fit_while_it_is_away_is_counted(run_async, tmp_path, collector):
    """The oldest are kept, up to the bound; sums lose nothing."""

    async def main():
        text = configuration(
            "opentelemetry", otlp(collector, "http", ", maxQueue: 5"), entry=ENTRY, hits=HITS
        )
        async with reporting(tmp_path, text) as (server, client):
            for number in range(20):
                client.report(request(code=200 + number))
            await until_counted(server, "dropped", 15)
            async with collector:
                await collector.until(lambda: len(collector.logs()) == 5, what="five are there")
                await collector.until(lambda: len(latest(collector)) == 20, what="sums are there")
                await until_counted(server, "sent", 5)
                assert 15 == events(server)["dropped"]
        assert [200, 201, 202, 203, 204] == codes(collector)
        assert {1.0} == set(latest(collector).values())

    run_async(main())


def test_acknowledged_records_survive_a_kill(run_async, tmp_path, collector):
    """What the collector had got and not yet acknowledged is sent again."""

    async def main():
        params = (
            f"{{address: '{collector.address('forward')}', requireAck: true, "
            "pushIntervalDuration: 10ms, pushTimeoutDuration: 300ms}"
        )
        text = configuration("fluentd", params, entry=ENTRY)
        async with collector, reporting(tmp_path, text) as (server, client):
            client.report(request(code=201))
            await until_counted(server, "sent", 1)
            # Twice, if its acknowledgement took too long.
            await collector.until(lambda: 201 in codes(collector), what="one is there")
            before = events(server).get("send_errors", 0)
            # The kernel takes the record for it; nobody will read it.
            collector.freeze()
            client.report(request(code=202))
            await until_counted(server, "send_errors", before + 1)
            assert 1 == events(server)["sent"]
            await collector.kill()
            client.report(request(code=203))
            await collector.start()
            await collector.until(lambda: set(codes(collector)) == set(CODES), what="all are there")
            await until_counted(server, "sent", 3)
            assert {"dropped", "refused"}.isdisjoint(events(server))

    run_async(main())


def test_without_acknowledgements_what_is_on_its_way_is_lost(run_async, tmp_path, collector):
    """And counted as sent, as the original does; what comes after it arrives."""

    async def main():
        params = f"{{address: '{collector.address('forward')}', pushIntervalDuration: 10ms}}"
        text = configuration("fluentd", params, entry=ENTRY)
        async with collector, reporting(tmp_path, text) as (server, client):
            client.report(request(code=201))
            await collector.until(lambda: codes(collector) == [201], what="one is there")
            collector.freeze()
            client.report(request(code=202))
            await until_counted(server, "sent", 2)
            await collector.kill()
            client.report(request(code=203))
            await until_counted(server, "send_errors", 1)
            await collector.start()
            await collector.until(lambda: 203 in codes(collector), what="the next one is there")
            await until_counted(server, "sent", 3)
        assert [201, 203] == codes(collector)

    run_async(main())


def test_lines_that_nobody_takes_are_lost(run_async, tmp_path, collector):
    """Datagrams know no more; the network's word that nobody listens is counted."""

    async def main():
        params = (
            f"{{address: '{collector.address('statsd')}', prefix: '', metrics: {{"
            f"hits.instance.{NAMESPACE}: {{name: hits, type: COUNTER}}}}}}"
        )
        async with collector:
            text = configuration("dogstatsd", params, hits=HITS)
            async with reporting(tmp_path, text) as (server, client):
                client.report(request(code=201))
                await until_counted(server, "lines", 1)
                await collector.all_lines()
                await collector.kill()
                client.report(request(code=202))
                await until_counted(server, "send_errors", 1)
                await collector.start()
                client.report(request(code=203))
                await until_counted(server, "lines", 3)
                await collector.all_lines()
        found = [
            plain(point["attributes"])["code"][1]
            for _, metric in collector.metrics()
            for point in metric["sum"]["dataPoints"]
        ]
        assert ["201", "203"] == found

    run_async(main())


async def until_counted(server, event, count):
    """Wait until the handler has counted so many."""
    while events(server).get(event, 0) < count:
        await asyncio.sleep(0.01)
