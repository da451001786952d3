"""``zipkin`` posts spans as JSON."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from meshregistry.mixer.adapters._spans import ids_of, is_sampled
from meshregistry.mixer.spi import TraceSpan
from meshregistry.testing import free_port

START = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
SPAN = ("s: tracespan {}",)
TRACE, ID, PARENT = "463ac35c9f6413ad48485a3953bb6124", "a2fb4a1d1a96d312", "0020000000000001"
OTHER = "9d9164ded28611b9"


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


@asynccontextmanager
async def zipkin(status=202):
    """A server that takes spans: what it was given, and its URL."""
    got = []

    async def take(request):
        got.append((request.headers["Content-Type"], await request.json()))
        return web.Response(status=status, text="no thanks")

    app = web.Application()
    app.router.add_post("/api/v2/spans", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield got, f"http://127.0.0.1:{runner.addresses[0][1]}/api/v2/spans"
    finally:
        await runner.cleanup()


@pytest.fixture
def posted(adapters, run_async):
    """The spans that a server is given, and the counters of the handler."""

    def post(*spans, status=202, more=", sampleProbability: 1"):
        async def main():
            async with zipkin(status) as (got, url):
                params = f"{{url: '{url}'{more}}}"
                async with adapters.running("zipkin", params, SPAN) as (handler, context):
                    await handler.report(spans)
            assert {"application/json"} >= {kind for kind, _ in got}
            return [one for _, batch in got for one in batch], context.counts

        return run_async(main())

    return post


def test_a_span_of_a_server(posted):
    """With the destination as its endpoint, sizes as annotations, and the code as a tag."""
    (found,), counts = posted(
        span(
            destination_name="web-1",
            destination_ip=b"\x0a\x00\x00\x02",
            http_status_code=503,
            span_tags={"ok": False, "took": timedelta(seconds=2)},
            request_total_size=10,
            response_total_size=20,
        )
    )
    began = 1772600767000000
    assert found == {
        "traceId": TRACE,
        "id": ID,
        "parentId": PARENT,
        "name": "web.prod/*",
        "kind": "SERVER",
        "timestamp": began,
        "duration": 1500,
        "localEndpoint": {"serviceName": "web-1", "ipv4": "10.0.0.2"},
        "tags": {
            "ok": "false",
            "took": "2s",
            "http.status_code": "503",
            "error": "UNAVAILABLE",
        },
        "annotations": [
            {"timestamp": began, "value": "Received 10 bytes"},
            {"timestamp": began + 1500, "value": "Sent 20 bytes"},
        ],
    }
    assert {"sent": 1} == counts


@pytest.mark.parametrize(
    ("code", "tags", "error"),
    [
        (0, {}, None),
        (200, {}, None),
        (399, {}, None),
        (404, {}, "NOT_FOUND"),
        (500, {}, "UNKNOWN"),
        (404, {"error": "mine"}, "mine"),
    ],
)
def test_a_failed_request_has_the_tag_error(posted, code, tags, error):
    """By its status of HTTP; a tag of one's own stays."""
    (found,), _ = posted(span(http_status_code=code, span_tags=tags))
    assert error == found["tags"].get("error")


def test_a_span_of_a_client(posted):
    """With the source as its endpoint; what is not known has the original's words."""
    named = span(
        client_span=True, source_name="shop", source_ip=bytes(15) + b"\x01", parent_span_id=""
    )
    (first, second), _ = posted(named, span(client_span=True, end_time=START))
    assert ("CLIENT", {"serviceName": "shop", "ipv6": "::1"}) == (
        first["kind"],
        first["localEndpoint"],
    )
    assert "parentId" not in first
    assert {"serviceName": "default", "ipv4": "0.0.0.0"} == second["localEndpoint"]
    assert 1 == second["duration"]


def test_the_client_gets_another_id(posted):
    """And becomes the parent of the server's span, which keeps the id of the call."""
    rewritten = {"rewrite_client_span_id": True, "parent_span_id": PARENT}
    (client, server), _ = posted(span(client_span=True, **rewritten), span(**rewritten))
    assert (OTHER, PARENT) == (client["id"], client["parentId"])
    assert (ID, OTHER) == (server["id"], server["parentId"])


@pytest.mark.parametrize(
    "fields",
    [
        {"trace_id": "x" * 16},
        {"trace_id": "0" * 32},
        {"trace_id": "abc"},
        {"span_id": ""},
        {"span_id": "0" * 16},
        {"start_time": None},
        {"end_time": None},
    ],
)
def test_a_span_without_ids_or_times_is_skipped(posted, fields):
    """And counted; the others are sent."""
    found, counts = posted(span(**fields), span())
    assert [ID] == [one["id"] for one in found]
    assert {"skipped": 1, "sent": 1} == counts


def test_sampling_is_by_trace():
    """All spans of a trace are kept or none; about the share that is wanted."""
    traces = [f"{number * 0x9E3779B97F4A7C15 % (1 << 64):016x}" for number in range(1, 4001)]
    kept = [one for one in traces if is_sampled(one, 0.25)]
    assert 900 < len(kept) < 1100
    assert all(is_sampled("f" * 16 + one, 0.25) for one in kept)
    assert not any(is_sampled(one, 0.0) for one in traces)
    assert all(is_sampled(one, 1.0) for one in traces)


def test_without_a_probability_nothing_is_sent(posted):
    """As with the original."""
    found, counts = posted(span(), more="")
    assert ([], {"unsampled": 1}) == (found, counts)


def test_a_refusal_is_final(posted):
    """A request that the server does not understand is not sent again."""
    found, counts = posted(span(), status=400)
    assert 1 == len(found)
    assert {"refused": 1} == counts


def test_a_server_in_trouble_is_asked_again(adapters, run_async):
    """Until it takes the spans."""

    async def main():
        async with zipkin(503) as (got, url):
            params = f"{{url: '{url}', sampleProbability: 1, batchSize: 1}}"
            async with adapters.running("zipkin", params, SPAN) as (handler, context):
                await handler.report([span()])
                await context.clock.sleeping()
                assert {"send_errors": 1} == context.counts
        assert 2 == len(got)

    run_async(main())


def test_a_server_that_is_away_is_asked_again(adapters, run_async):
    """No call fails; what is left when the handler closes is counted."""

    async def main():
        url = f"http://127.0.0.1:{free_port()}/api/v2/spans"
        params = f"{{url: '{url}', sampleProbability: 1}}"
        async with adapters.running("zipkin", params, SPAN) as (handler, context):
            await handler.report([span()])
        assert {"send_errors": 1, "dropped": 1} == context.counts

    run_async(main())


def test_upper_case_ids_are_the_same():
    """Ids are written in lower case, as Zipkin wants them."""
    ids = ids_of(span(trace_id=TRACE.upper(), span_id=ID.upper()))
    assert (TRACE, ID, PARENT) == (ids.trace, ids.span, ids.parent)


@pytest.mark.parametrize(
    ("params", "fault"),
    [
        ("{}", "url"),
        ("{url: 'zipkin:9411'}", "'zipkin:9411' is no URL of a server"),
        ("{url: 'http://[z'}", "is no URL"),
        ("{url: 'http://z', sampleProbability: 2}", "must be from 0 to 1"),
        ("{url: 'http://z', batchSize: 0}", "must be at least 1"),
        ("{url: 'http://z', timeout: 0s}", "must be more than 0"),
    ],
)
def test_faults_of_the_configuration(adapters, params, fault):
    """Found before anything is opened."""
    plan, faults = adapters.plan("zipkin", params, SPAN)
    assert plan is None
    assert fault in "; ".join(faults)
