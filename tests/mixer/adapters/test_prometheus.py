"""``prometheus`` sums up metrics for a page that all handlers of a server share."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from meshregistry.errors import MissingExtraError, MixerError
from meshregistry.mixer.spi import Metric
from meshregistry.testing import free_port

HITS = "hits: metric {value: '1', dimensions: {code: response.code | 0, to: 'destination.name | \"\"'}}"
TOOK = "took: metric {value: 'response.duration | \"0ms\"', dimensions: {}}"
HIT = "hits.instance.ns"
COUNT = f"{{instanceName: {HIT}, name: hits_total, kind: COUNTER, labelNames: [to, code]}}"


def hit(code=200, to="web", value=1):
    """An observation."""
    return Metric(name=HIT, value=value, dimensions={"to": to, "code": code})


def params(*metrics, more=", port: 0, host: 127.0.0.1"):
    """Parameters with these metrics."""
    return f"{{metrics: [{', '.join(metrics)}]{more}}}"


async def page(handler, accept=""):
    """The lines of the page but those that describe."""
    url = f"http://127.0.0.1:{handler.port}/metrics"
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, headers={"Accept": accept} if accept else {}) as answer,
    ):
        text = await answer.text()
    return [line for line in text.splitlines() if not line.startswith("#")], text


def test_a_counter_is_served_under_istios_name(adapters, run_async):
    """With its labels, its help and its type."""

    async def main():
        async with adapters.running("prometheus", params(COUNT), (HITS,)) as (handler, _):
            await handler.report([hit(), hit(), hit(code=503, to='a"b\n')])
            lines, text = await page(handler)
            assert [
                'istio_hits_total{code="200",to="web"} 2.0',
                r'istio_hits_total{code="503",to="a\"b\n"} 1.0',
            ] == sorted(lines)
            assert "# TYPE istio_hits_total counter" in text
            assert "# HELP istio_hits_total istio_hits_total" in text

    run_async(main())


def test_openmetrics_for_who_asks(adapters, run_async):
    """As Prometheus does."""

    async def main():
        async with adapters.running("prometheus", params(COUNT), (HITS,)) as (handler, _):
            _, text = await page(handler, "application/openmetrics-text; version=1.0.0")
            assert text.endswith("# EOF\n")

    run_async(main())


def test_a_counter_keeps_its_name_without_the_ending(adapters, run_async):
    """No ending is added to what the configuration says, as by the original."""
    named = COUNT.replace("hits_total", "hits")

    async def main():
        async with adapters.running("prometheus", params(named), (HITS,)) as (handler, _):
            await handler.report([hit()])
            lines, _ = await page(handler)
            assert ['istio_hits{code="200",to="web"} 1.0'] == sorted(lines)

    run_async(main())


def test_a_distribution_has_cumulative_buckets(adapters, run_async):
    """Count and sum stand beside them; a duration is in seconds."""
    metric = (
        "{instanceName: took.instance.ns, name: took, kind: DISTRIBUTION, namespace: own, "
        "buckets: {explicit_buckets: {bounds: [0.1, 1]}}}"
    )

    async def main():
        async with adapters.running("prometheus", params(metric), (TOOK,)) as (handler, _):
            for milliseconds in (50, 500, 5000):
                value = timedelta(milliseconds=milliseconds)
                await handler.report([Metric(name="took.instance.ns", value=value)])
            lines, _ = await page(handler)
            assert [
                'own_took_bucket{le="0.1"} 1.0',
                'own_took_bucket{le="1.0"} 2.0',
                'own_took_bucket{le="+Inf"} 3.0',
                "own_took_count 3.0",
                "own_took_sum 5.55",
            ] == lines

    run_async(main())


def test_series_expire(adapters, run_async):
    """Those that were not observed for that long, at the next look."""
    expiring = params(
        COUNT,
        more=", port: 0, host: 127.0.0.1, metricsExpirationPolicy: {metricsExpiryDuration: 10m}",
    )

    async def main():
        async with adapters.running("prometheus", expiring, (HITS,)) as (handler, context):
            await handler.report([hit(to="old"), hit(to="kept")])
            await context.clock.advance(590)
            await handler.report([hit(to="kept")])
            await context.clock.advance(320)
            lines, _ = await page(handler)
            assert ['istio_hits_total{code="200",to="kept"} 2.0'] == lines
            assert 1 == context.counts["expired_series"]

    run_async(main())


def test_a_new_configuration_keeps_the_values_of_what_stays(adapters, run_async):
    """The next handler opens before the former closes; what is defined otherwise begins anew."""
    other = COUNT.replace("hits_total", "other").replace(HIT, "o.instance.ns")
    instances = (HITS, HITS.replace("hits", "o"))
    changed = other.replace("COUNTER", "GAUGE")

    async def main():
        former, _ = adapters.open("prometheus", params(COUNT, other), instances)
        await former.start()
        second = Metric(name="o.instance.ns", value=5, dimensions={"to": "web", "code": 1})
        await former.report([hit(), second])
        following, _ = adapters.open("prometheus", params(COUNT, changed), instances)
        await following.start()
        assert former.port == following.port
        await former.close()
        await following.report([hit()])
        lines, _ = await page(following)
        assert ['istio_hits_total{code="200",to="web"} 2.0'] == lines
        # The former one has taken nothing along that is not its own.
        await following.report([second])
        lines, _ = await page(following)
        assert [
            'istio_hits_total{code="200",to="web"} 2.0',
            'istio_other{code="1",to="web"} 5.0',
        ] == sorted(lines)
        await following.close()
        with pytest.raises(aiohttp.ClientError):
            await page(following)

    run_async(main())


def test_the_programs_own_registry(adapters, run_async):
    """A program that serves metrics itself shows these, too, and no port is opened."""
    registry = adapters.services["prometheus_registry"] = CollectorRegistry()

    async def main():
        async with adapters.running("prometheus", params(COUNT, more=""), (HITS,)) as (handler, _):
            await handler.report([hit()])
            assert 0 == handler.port
            assert b'istio_hits_total{code="200",to="web"} 1.0' in generate_latest(registry)

    run_async(main())
    assert b"" == generate_latest(registry)


def test_a_bad_value_fails_alone(adapters, run_async, caplog):
    """The others of the report are taken, and the call says what was wrong.

    A metric that is full refuses new series without failing every call from then on.
    """

    async def main():
        few = params(COUNT, more=", port: 0, host: 127.0.0.1, maxSeries: 1")
        async with adapters.running("prometheus", few, (HITS,)) as (handler, context):
            with pytest.raises(MixerError, match="cannot fall by 2"):
                await handler.report([hit(), hit(value=-2), hit()])
            await handler.report([hit(to="z"), hit(), hit(to="y")])
            lines, _ = await page(handler)
            assert ['istio_hits_total{code="200",to="web"} 3.0'] == lines
            assert {"bad_values": 1, "refused_series": 2} == context.counts

    run_async(main())
    assert 1 == sum("may not have more" in one.message for one in caplog.records)


def test_a_port_in_use_fails_the_start(adapters, run_async):
    """And leaves nothing behind."""

    async def main():
        port = free_port()
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", port)
        handler, _ = adapters.open(
            "prometheus", params(COUNT, more=f", host: 127.0.0.1, port: {port}"), (HITS,)
        )
        with pytest.raises(MixerError, match="Address already in use; name a free port"):
            await handler.start()
        server.close()
        await server.wait_closed()
        await handler.start()
        await handler.close()

    run_async(main())


@pytest.mark.parametrize(
    ("metric", "fault"),
    [
        (COUNT.replace(", code", ""), "its labels are not the dimensions of hits.instance.ns"),
        (COUNT.replace("COUNTER", "UNSPECIFIED"), "it has no kind"),
        (COUNT.replace("hits_total", "'7%'"), "this cannot be a name"),
        (
            COUNT.replace("COUNTER", "DISTRIBUTION, buckets: {explicitBuckets: {bounds: []}}"),
            "rise",
        ),
        (COUNT.replace("code]", "le]").replace("COUNTER", "DISTRIBUTION"), "le cannot be a label"),
        (f"{COUNT}, {COUNT}", "the name istio_hits_total is there 2 times"),
        (COUNT.replace(HIT, "no.instance.ns"), "nothing says what becomes of it"),
    ],
)
def test_faults_of_the_configuration(adapters, metric, fault):
    """Are found before anything is opened, at the field."""
    plan, faults = adapters.plan("prometheus", params(metric), (HITS,))
    assert plan is None
    assert fault in "; ".join(faults)
    assert all(one.startswith("spec.params.metrics: ") for one in faults)


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        (", port: 70000", "port: must be from 0 to 65535"),
        (", maxSeries: 0", "maxSeries: must be at least 1"),
        (
            ", metricsExpirationPolicy: {metricsExpiryDuration: 0s}",
            "metricsExpirationPolicy: metricsExpiryDuration must be more than 0, such as 10m",
        ),
    ],
)
def test_faults_beside_the_metrics(adapters, more, fault):
    """At their fields."""
    _, faults = adapters.plan("prometheus", params(COUNT, more=more), (HITS,))
    assert [f"spec.params.{fault}"] == faults


def test_a_value_that_is_no_number_is_a_fault(adapters):
    """The type of the expression tells."""
    instance = HITS.replace("value: '1'", "value: request.time | context.time")
    _, faults = adapters.plan("prometheus", params(COUNT), (instance,))
    assert ["has a value of type TIMESTAMP"] == [
        one.partition("hits.instance.ns ")[2].partition(";")[0] for one in faults
    ]


def test_odd_names_are_made_fit(adapters):
    """As the original does it."""
    odd = COUNT.replace("hits_total", "/a.b/c d-e")
    plan, faults = adapters.plan("prometheus", params(odd), (HITS,))
    assert [] == faults
    assert "istio_a_b_c_de" == plan.config.metrics[0].full_name


def test_without_the_extra_it_says_what_to_install(adapters, monkeypatch):
    """When the handler is opened, and not before."""
    monkeypatch.delitem(sys.modules, "meshregistry.mixer.adapters._exposition", raising=False)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(MissingExtraError, match=r"meshregistry\[mixer-server\]"):
        adapters.open("prometheus", params(COUNT), (HITS,))
