"""``opentelemetry`` sends metrics, logs and spans by OTLP.

What arrives is read with the messages of xds-protos, which others have made: older ones, of the
same numbers.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from aiohttp import web
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from meshregistry.mixer import StringMap
from meshregistry.mixer.adapters import _otlp_messages as otlp_messages
from meshregistry.mixer.adapters._opentelemetry import OpenTelemetryMetric
from meshregistry.mixer.adapters._series import Series
from meshregistry.mixer.adapters._spans import Ids
from meshregistry.mixer.proto import otlp_pb2
from meshregistry.mixer.spi import LogEntry, Metric, TraceSpan

REQUESTS = {
    "traces": trace_service_pb2.ExportTraceServiceRequest,
    "metrics": metrics_service_pb2.ExportMetricsServiceRequest,
    "logs": logs_service_pb2.ExportLogsServiceRequest,
}
START = datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=UTC)
NANOSECONDS = 1772600767000089000
INSTANCES = ("l: logentry {}", "s: tracespan {}")
TRACE, ID, PARENT = "463ac35c9f6413ad", "a2fb4a1d1a96d312", "0020000000000001"


class Collector:
    """Keeps the requests of each signal, with their headers."""

    def __init__(self):
        self.got = asyncio.Queue()
        self.answer = b""
        self.status = 200

    def take(self, signal, body, headers):
        self.got.put_nowait((signal, REQUESTS[signal].FromString(body), headers))

    async def next(self, signal):
        """The next request, which is of this signal."""
        found, request, headers = await self.got.get()
        assert signal == found
        return request, headers


@asynccontextmanager
async def http_collector(tls=None):
    """A collector, and the parameters to reach it; with TLS if certificate and key are given."""
    collector = Collector()

    async def take(request):
        assert "application/x-protobuf" == request.content_type
        collector.take(request.match_info["signal"], await request.read(), request.headers)
        return web.Response(status=collector.status, body=collector.answer)

    app = web.Application()
    app.router.add_post("/base/v1/{signal}", take)
    runner = web.AppRunner(app)
    await runner.setup()
    context = None
    if tls is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*tls)
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    where = f"localhost:{runner.addresses[0][1]}/base/"
    try:
        yield collector, f"endpoint: '{'https' if tls else 'http'}://{where}'"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def grpc_collector(tls=None):
    """The same over gRPC."""
    collector = Collector()

    class Service(grpc.GenericRpcHandler):
        def service(self, details):
            word = details.method.split(".")[3]
            signal = "traces" if word == "trace" else word

            async def export(body, context):
                if collector.status != 200:
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "later")
                collector.take(signal, body, dict(context.invocation_metadata()))
                return collector.answer

            return grpc.unary_unary_rpc_method_handler(export)

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Service(),))
    if tls is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        pair = tls[1].read_bytes(), tls[0].read_bytes()
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    await server.start()
    where = f"{'https' if tls else 'http'}://localhost:{port}"
    try:
        yield collector, f"protocol: grpc, endpoint: '{where}'"
    finally:
        await server.stop(None)


COLLECTORS = pytest.mark.parametrize("listening", [http_collector, grpc_collector])


def attributes(values):
    """Attributes as plain values."""
    return {one.key: plain(one.value) for one in values}


def plain(value):
    """One value."""
    kind = value.WhichOneof("value")
    found = getattr(value, kind)
    return attributes(found.values) if kind == "kvlist_value" else found


def span(**fields):
    """A span of a server."""
    given = {
        "name": "s.instance.ns",
        "trace_id": TRACE,
        "span_id": ID,
        "parent_span_id": PARENT,
        "span_name": "web.prod/*",
        "start_time": START,
        "end_time": START + timedelta(milliseconds=1.5),
    }
    return TraceSpan(**{**given, **fields})


@COLLECTORS
def test_a_span(adapters, run_async, listening):
    """Ids in bytes, nanoseconds, tags as attributes, a server's fault as an error."""

    async def main():
        async with listening() as (collector, params):
            async with adapters.running(
                "opentelemetry", f"{{{params}, resource: {{service.name: m}}}}", INSTANCES
            ) as (handler, context):
                tags = {"a": 1, "b": StringMap({"c": "d"}), "e": 0.5, "f": True}
                await handler.report(
                    [span(span_tags=tags, http_status_code=503, destination_ip=b"\x0a\0\0\x02")]
                )
            request, _ = await collector.next("traces")
            (group,) = request.resource_spans
            assert {"service.name": "m"} == attributes(group.resource.attributes)
            (scoped,) = group.instrumentation_library_spans
            assert "meshregistry.mixer" == scoped.instrumentation_library.name
            (found,) = scoped.spans
            assert ("0" * 16 + TRACE, ID, PARENT) == (
                found.trace_id.hex(),
                found.span_id.hex(),
                found.parent_span_id.hex(),
            )
            assert ("web.prod/*", 2, 2) == (found.name, found.kind, found.status.code)
            assert NANOSECONDS == found.start_time_unix_nano
            assert NANOSECONDS + 1_500_000 == found.end_time_unix_nano
            assert {
                "a": 1,
                "b": {"c": "d"},
                "e": 0.5,
                "f": True,
                "http.response.status_code": 503,
                "destination.address": "10.0.0.2",
            } == attributes(found.attributes)
            assert {"sent": 1} == context.counts

    run_async(main())


@COLLECTORS
def test_a_log_record(adapters, run_async, listening):
    """The name of the instance is the body, variables are attributes, severities have numbers."""

    async def main():
        async with listening() as (collector, params):
            async with adapters.running("opentelemetry", f"{{{params}}}", INSTANCES) as (
                handler,
                _,
            ):
                for severity in ("Warning", "odd"):
                    await handler.report(
                        [
                            LogEntry(
                                name="l.instance.ns",
                                timestamp=START,
                                severity=severity,
                                variables={"url": "/", "took": timedelta(seconds=1)},
                            )
                        ]
                    )
            request, _ = await collector.next("logs")
            (scoped,) = request.resource_logs[0].instrumentation_library_logs
            first, second = scoped.logs
            assert ("Warning", 13, NANOSECONDS) == (
                first.severity_text,
                first.severity_number,
                first.time_unix_nano,
            )
            assert "l.instance.ns" == first.body.string_value
            assert {"took": "1s", "url": "/"} == attributes(first.attributes)
            assert 0 == second.severity_number

    run_async(main())


METRICS = (
    "metrics: {hits.instance.ns: {name: hits, kind: COUNTER}, "
    "size.instance.ns: {name: size, kind: DISTRIBUTION, unit: By, "
    "buckets: {explicit_buckets: {bounds: [10, 20]}}}, level.instance.ns: {kind: GAUGE}}"
)
MEASURED = (
    "hits: metric {value: '1', dimensions: {to: 'destination.name | \"\"'}}",
    "size: metric {value: request.size | 0}",
    "level: metric {value: '1.5'}",
)


@pytest.mark.parametrize(
    ("when", "nanoseconds"),
    [
        (START, NANOSECONDS),
        (datetime.min.replace(tzinfo=UTC), 0),
        (datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC), 0),
        (datetime.max.replace(tzinfo=UTC), 2**64 - 1),
    ],
)
def test_a_time_that_a_message_cannot_hold_is_the_nearest(when, nanoseconds):
    """It comes with a request, and must not end the report of all that came with it."""
    ids = Ids(TRACE, ID, "")
    record = otlp_messages.record(LogEntry(timestamp=when), START)
    span = otlp_messages.span(TraceSpan(), ids, when, when)
    assert {nanoseconds} == {
        record.time_unix_nano,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
    }


def test_a_sum_does_not_begin_after_it_is_sent():
    """Also if the clock was set back meanwhile, and however seconds are rounded."""
    series = Series("COUNTER", (), (), 1)
    series.observe(Metric(value=1), START.timestamp())
    for passed in (-3600, 0, 3600):
        now = START + timedelta(seconds=passed)
        made = otlp_messages.metric("m", OpenTelemetryMetric(kind="COUNTER"), series, now)
        (point,) = made.sum.data_points
        assert point.start_time_unix_nano <= point.time_unix_nano == otlp_messages.nanoseconds(now)


@COLLECTORS
def test_metrics_are_sums_at_intervals(adapters, run_async, listening):
    """Cumulative and monotonic where they count; the last ones are sent when it closes."""

    async def main():
        async with listening() as (collector, params):
            async with adapters.running("opentelemetry", f"{{{params}, {METRICS}}}", MEASURED) as (
                handler,
                context,
            ):
                await handler.report(
                    [Metric(name="hits.instance.ns", value=2, dimensions={"to": "web"})]
                )
                await handler.report(
                    [Metric(name="size.instance.ns", value=value) for value in (5, 15, 99)]
                )
                await handler.report([Metric(name="level.instance.ns", value=-1.5)])
                await context.clock.advance(30)
                request, _ = await collector.next("metrics")
                found = {
                    one.name: one
                    for one in request.resource_metrics[0]
                    .instrumentation_library_metrics[0]
                    .metrics
                }
                (hits,) = found["hits"].sum.data_points
                assert (2.0, {"to": "web"}) == (hits.as_double, attributes(hits.attributes))
                assert hits.time_unix_nano - hits.start_time_unix_nano == 30 * 10**9
                assert (True, 2) == (
                    found["hits"].sum.is_monotonic,
                    found["hits"].sum.aggregation_temporality,
                )
                (size,) = found["size"].histogram.data_points
                assert (3, 119.0, [1, 1, 1], [10.0, 20.0], "By") == (
                    size.count,
                    size.sum,
                    list(size.bucket_counts),
                    list(size.explicit_bounds),
                    found["size"].unit,
                )
                (level,) = found["level.instance.ns"].gauge.data_points
                assert -1.5 == level.as_double
                await handler.report(
                    [Metric(name="hits.instance.ns", value=1, dimensions={"to": "web"})]
                )
            request, _ = await collector.next("metrics")
            metrics = request.resource_metrics[0].instrumentation_library_metrics[0].metrics
            assert [3.0] == [
                one.sum.data_points[0].as_double for one in metrics if one.name == "hits"
            ]

    run_async(main())


@COLLECTORS
def test_headers_and_the_credential(adapters, run_async, listening, tmp_path):
    """The credential is read anew from its file for each request."""
    token = tmp_path / "token"

    async def main():
        async with listening() as (collector, params):
            more = f"{params}, headers: {{X-Tenant: shop}}, authorizationFile: token, batchSize: 1"
            async with adapters.running("opentelemetry", f"{{{more}}}", INSTANCES) as (handler, _):
                for secret in ("Bearer one", "Bearer two"):
                    token.write_text(f"{secret}\n", encoding="utf-8")
                    await handler.report([span()])
                    _, headers = await collector.next("traces")
                    assert (secret, "shop") == (headers["authorization"], headers["x-tenant"])

    run_async(main())


@pytest.mark.parametrize(
    "fault",
    [
        ("authorizationEnv: NOT_SET_ANYWHERE", "variable NOT_SET_ANYWHERE is not set"),
        ("authorizationFile: absent", "absent cannot be read: "),
        ("authorizationFile: latin", "latin cannot be read: 'utf-8'"),
    ],
)
def test_a_credential_that_is_not_there(adapters, run_async, tmp_path, caplog, fault):
    """It is said which; what waits is kept for later, and nothing is sent without it."""
    option, reason = fault
    (tmp_path / "latin").write_bytes(b"Bearer \xff")

    async def main():
        async with http_collector() as (collector, params):
            text = f"{{{params}, {option}, batchSize: 1, timeout: 2s}}"
            async with adapters.running("opentelemetry", text, INSTANCES) as (handler, context):
                await handler.report([span()])
            # Tried as soon as it is there, if there is time for that, and once more at the end.
            errors = context.counts.pop("send_errors")
            assert errors in {1, 2}
            assert {"dropped": 1} == context.counts
            assert collector.got.empty()

    run_async(main())
    (record,) = [one for one in caplog.records if reason in one.getMessage()]
    assert record.exc_info is None


@COLLECTORS
def test_a_credential_that_no_header_can_hold(adapters, run_async, listening, tmp_path, caplog):
    """As in a file that is being written: metrics are sent with the next one that can."""

    async def main():
        async with listening() as (collector, params):
            (tmp_path / "token").write_text("Bearer a\nb")
            text = f"{{{params}, {METRICS}, authorizationFile: {tmp_path}/token}}"
            async with adapters.running("opentelemetry", text, MEASURED) as (handler, context):
                await handler.report([Metric(name="level.instance.ns", value=1)])
                await context.clock.advance(30)
                while not context.counts["metric_errors"]:  # noqa: ASYNC110 - counted in the other end's time
                    await asyncio.sleep(0.001)
                (tmp_path / "token").write_text("Bearer c")
                await context.clock.advance(30)
                _, headers = await collector.next("metrics")
                assert "Bearer c" == headers["authorization"]

    run_async(main())
    told = [one for one in caplog.records if "cannot be sent for now" in one.message]
    assert 1 == len(told)
    assert told[0].exc_info


@COLLECTORS
def test_a_collector_with_a_certificate_of_ones_own(adapters, run_async, listening, certificate):
    """It is believed with the file of who vouches for it, and not without."""

    async def main():
        async with listening(certificate) as (collector, params):
            for more, count in (
                (", caFile: collector.pem", {"sent": 1}),
                (", caFile: none.pem", {"send_errors": 1, "dropped": 1}),
                ("", {"send_errors": 1, "dropped": 1}),
            ):
                text = f"{{{params}{more}, timeout: 2s}}"
                async with adapters.running("opentelemetry", text, INSTANCES) as (handler, context):
                    await handler.report([span()])
                assert count == context.counts
            assert 1 == collector.got.qsize()

    run_async(main())


@COLLECTORS
def test_what_a_collector_rejects_is_counted(adapters, run_async, listening):
    """It says how much of a request it did not take."""

    async def main():
        async with listening() as (collector, params):
            made = otlp_pb2.ExportServiceResponse()
            made.partial_success.rejected = 1
            made.partial_success.error_message = "too old"
            collector.answer = made.SerializeToString()
            async with adapters.running("opentelemetry", f"{{{params}}}", INSTANCES) as (
                handler,
                context,
            ):
                await handler.report([span(), span()])
            assert {"sent": 2, "refused": 1} == context.counts

    run_async(main())


@COLLECTORS
def test_a_busy_collector_is_asked_again(adapters, run_async, listening):
    """The spans wait for it."""

    async def main():
        async with listening() as (collector, params):
            collector.status = 503
            async with adapters.running(
                "opentelemetry", f"{{{params}, batchSize: 1}}", INSTANCES
            ) as (handler, context):
                await handler.report([span()])
                while not context.counts["send_errors"]:  # noqa: ASYNC110 - counted in the other end's time
                    await asyncio.sleep(0.001)
                collector.status = 200
            assert 1 == context.counts["sent"]

    run_async(main())


@COLLECTORS
def test_metrics_that_cannot_be_sent_are_in_the_next_ones(adapters, run_async, listening):
    """They are sums, so none is kept for another attempt."""

    async def main():
        async with listening() as (collector, params):
            collector.status = 503
            async with adapters.running("opentelemetry", f"{{{params}, {METRICS}}}", MEASURED) as (
                handler,
                context,
            ):
                for _ in range(2):
                    await handler.report(
                        [Metric(name="hits.instance.ns", value=1, dimensions={"to": "web"})]
                    )
                await context.clock.advance(30)
                while not context.counts["metric_errors"]:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.001)
                collector.status = 200
            while collector.got.qsize():
                request, _ = await collector.next("metrics")
            metrics = request.resource_metrics[0].instrumentation_library_metrics[0].metrics
            assert [2.0] == [one.sum.data_points[0].as_double for one in metrics]

    run_async(main())


def test_that_metrics_cannot_be_sent_is_told_once(adapters, run_async, caplog):
    """And once that it works again; each failure is counted."""
    caplog.set_level("INFO", "meshregistry.mixer")

    async def main():
        async with http_collector() as (collector, params):
            collector.status = 503
            async with adapters.running("opentelemetry", f"{{{params}, {METRICS}}}", MEASURED) as (
                handler,
                context,
            ):
                await handler.report(
                    [Metric(name="hits.instance.ns", value=1, dimensions={"to": "web"})]
                )
                for count in (1, 2, 3):
                    await context.clock.advance(30)
                    while context.counts["metric_errors"] < count:  # noqa: ASYNC110 - as above
                        await asyncio.sleep(0.001)
                collector.status = 200
            assert 1 == context.counts["sent_metrics"]

    run_async(main())
    told = [one.message for one in caplog.records if "metrics" in one.message]
    assert ["metrics cannot be sent for now", "sending metrics works again"] == [
        one.partition(":")[0] for one in told
    ]


def test_a_refusal_over_grpc_is_final(adapters, run_async):
    """Such as by a server that does not know the method."""

    async def main():
        server = grpc.aio.server()
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        params = f"{{protocol: grpc, endpoint: 'http://127.0.0.1:{port}'}}"
        async with adapters.running("opentelemetry", params, INSTANCES) as (handler, context):
            await handler.report([span()])
        await server.stop(None)
        assert {"refused": 1} == context.counts

    run_async(main())


def test_what_cannot_be_sent_as_a_span(adapters, run_async):
    """Is skipped without ids or times, and left out by sampling; both are counted."""

    async def main():
        params = "{sampleProbability: 0}"
        async with adapters.running("opentelemetry", params, INSTANCES) as (handler, context):
            await handler.report([span(trace_id=""), span(start_time=None), span()])
        assert {"skipped": 2, "unsampled": 1} == context.counts

    run_async(main())


def test_series_without_observations_expire(adapters, run_async):
    """Those that have not changed for that long are not sent again."""

    async def main():
        async with http_collector() as (collector, params):
            async with adapters.running(
                "opentelemetry", f"{{{params}, metricsExpiry: 45s, {METRICS}}}", MEASURED
            ) as (handler, context):
                await handler.report(
                    [Metric(name="hits.instance.ns", value=2, dimensions={"to": "web"})]
                )
                for _ in range(2):
                    await context.clock.advance(30)
                    await collector.next("metrics")
                while not context.counts["expired_series"]:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.001)
                await context.clock.advance(30)
            assert collector.got.empty()

    run_async(main())


@pytest.mark.parametrize(
    ("params", "fault"),
    [
        ("endpoint: collector", "is no URL of a server"),
        ("sampleProbability: 1.5", "must be from 0 to 1"),
        ("batchSize: 0", "must be more than 0"),
        ("metrics: {}", "rules send hits.instance.ns here"),
        ("metrics: {hits.instance.ns: {}}", "has no kind"),
        (
            "metrics: {hits.instance.ns: {name: a, kind: GAUGE}, b: {name: a, kind: GAUGE}}",
            "the name a is there 2 times",
        ),
    ],
)
def test_faults_of_the_configuration(adapters, params, fault):
    """Found before anything is opened."""
    plan, faults = adapters.plan("opentelemetry", f"{{{params}}}", MEASURED[:1])
    assert plan is None
    assert fault in "; ".join(faults)
