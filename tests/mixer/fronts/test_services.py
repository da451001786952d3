"""The services of Envoy on a server's port, asked over gRPC."""

from __future__ import annotations

import asyncio
from typing import get_args

import aiohttp
import grpc
import pytest
from attrs import evolve
from envoy.service.accesslog.v3 import als_pb2
from envoy.service.auth.v3 import external_auth_pb2
from envoy.service.ratelimit.v3 import rls_pb2

from meshregistry.documents import RuleUnit
from meshregistry.mixer import MixerClient, Status
from meshregistry.mixer.client import QuotaRule, QuotaRules
from meshregistry.mixer.fronts import EnvoyFronts, FrontOptions
from meshregistry.mixer.fronts._counts import CountName, front_metrics
from meshregistry.mixer.server import MixerServer, Mode, SheddingConfig
from meshregistry.mixer.spi import CheckAnswer, DirectResponse, QuotaAnswer
from meshregistry.testing import run_async


@pytest.fixture
def rules(document):
    """Check, quota and report at the double."""
    return (
        document(
            "instance",
            "q",
            "compiledTemplate: quota\nparams: {dimensions: {path: 'request.path | \"-\"'}}",
        ),
        document(
            "instance",
            "m",
            "compiledTemplate: metric\n"
            "params: {value: '1', dimensions: {code: 'response.code | 0', "
            "event: 'connection.event | \"-\"', uid: 'context.reporter.uid | \"-\"'}}",
        ),
        document(
            "rule",
            "r",
            'match: request.path != "/free"\nactions: [{handler: h, instances: [nothing, q]}]',
        ),
        document("rule", "reports", "actions: [{handler: h, instances: [m]}]"),
    )


async def check(channel, path="/", metadata=(), **extensions):
    """Ask as Envoy's HTTP filter does."""
    request = external_auth_pb2.CheckRequest()
    request.attributes.request.http.path = path
    request.attributes.request.http.id = "7"
    request.attributes.context_extensions.update(
        {name.replace("__", "."): text for name, text in extensions.items()}
    )
    method = channel.unary_unary(
        "/envoy.service.auth.v3.Authorization/Check",
        request_serializer=external_auth_pb2.CheckRequest.SerializeToString,
        response_deserializer=external_auth_pb2.CheckResponse.FromString,
    )
    return await method(request, metadata=metadata)


def test_a_check_is_answered_and_cached(house, rules):
    """The server's own cache answers what was answered before; denials, too."""
    house.answer = CheckAnswer(
        status=Status(7, "no"),
        valid_duration=60.0,
        valid_use_count=100,
        response=DirectResponse(code=451, body="sorry"),
    )

    async def main():
        async with house.served(*rules) as channel:
            answers = [await check(channel) for _ in range(3)]
        assert [451] * 3 == [one.denied_response.status.code for one in answers]
        hits = [one.dynamic_metadata.fields["check.cache_hit"].bool_value for one in answers]
        assert [False, True, True] == hits
        assert 1 == house.checks
        assert {"checks denied": 3} == house.fronts.counts

    run_async(main())


def test_a_connection_is_checked(house, rules):
    """By a status alone."""
    house.answer = CheckAnswer(status=Status(7, "no"), valid_duration=60.0)

    async def main():
        async with house.served(*rules) as channel:
            method = channel.unary_unary(
                "/envoy.service.auth.v3.Authorization/Check",
                request_serializer=external_auth_pb2.CheckRequest.SerializeToString,
                response_deserializer=external_auth_pb2.CheckResponse.FromString,
            )
            answer = await method(external_auth_pb2.CheckRequest())
        # A rule that asks for a path is not for connections.
        assert (0, 0) == (answer.status.code, house.checks)

    run_async(main())


def test_quotas_are_charged_by_filter_route_and_program(house, rules):
    """The route's statement replaces the filter's, the program's adds to it."""
    options = FrontOptions(quotas=QuotaRules([QuotaRule({"q": 3})]))

    async def main():
        async with house.served(*rules, options=options) as channel:
            filtered = (("x-mixer-attributes", "mixer.quotas=q%3D9"),)
            assert 0 == (await check(channel, metadata=filtered, mixer__quotas="q=2")).status.code
            house.quota = QuotaAnswer(amount=11)
            refused = await check(channel, metadata=filtered)
        amounts = [request.amount for _, request in house.quotas]
        assert [5, 12] == amounts
        assert {"7q"} == {request.deduplication_id for _, request in house.quotas}
        assert 429 == refused.denied_response.status.code
        assert "RESOURCE_EXHAUSTED:Quota is exhausted for: q" == refused.denied_response.body

    run_async(main())


@pytest.mark.parametrize("what", ["answer", "quota"])
def test_a_failure_is_an_error_of_the_call(house, rules, what):
    """Envoy's own fail policy decides what it means."""
    setattr(house, what, RuntimeError("broken"))

    async def main():
        async with house.served(*rules) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await check(channel, mixer__quotas="q")
        assert grpc.StatusCode.INTERNAL == failed.value.code()
        assert "broken" in failed.value.details()
        assert {"checks failed": 1} == house.fronts.counts

    run_async(main())


def test_a_late_server_is_not_there(house, rules):
    """Checks and quotas are turned away, reports dropped and counted."""
    shedding = SheddingConfig(mode=Mode.ENFORCE, rate=0.001, burst=1)

    async def main():
        async with house.served(*rules, shedding=shedding) as channel:
            await check(channel)
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await check(channel)
            assert grpc.StatusCode.RESOURCE_EXHAUSTED == failed.value.code()
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await limit(channel, [("quota", "q")])
            assert grpc.StatusCode.RESOURCE_EXHAUSTED == failed.value.code()
            await stream(channel, [logs(codes=[200, 200])])
        assert {
            "checks allowed": 1,
            "checks turned away": 1,
            "quotas turned away": 1,
            "reports dropped": 2,
        } == house.fronts.counts

    run_async(main())


def test_a_server_without_a_configuration_is_away():
    """So Envoys go to another one; a program may configure it after it has begun to listen."""
    fronts = EnvoyFronts()

    async def main():
        async with (
            MixerServer("127.0.0.1:0", fronts=[fronts]) as server,
            grpc.aio.insecure_channel(server.address) as channel,
        ):
            for asked in (
                check(channel),
                limit(channel, [("quota", "q")]),
                stream(channel, [logs(codes=[200])]),
            ):
                with pytest.raises(grpc.aio.AioRpcError) as failed:
                    await asked
                assert grpc.StatusCode.UNAVAILABLE == failed.value.code()
                assert "no configuration yet" in failed.value.details()
        assert {"checks failed": 1, "quotas failed": 1, "reports dropped": 1} == fronts.counts

    run_async(main())


async def limit(channel, *descriptors):
    """Ask as Envoy's rate-limit filter does."""
    request = rls_pb2.RateLimitRequest(domain="q")
    for pairs in descriptors:
        one = request.descriptors.add()
        for key, value in pairs:
            one.entries.add(key=key, value=value)
    method = channel.unary_unary(
        "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit",
        request_serializer=rls_pb2.RateLimitRequest.SerializeToString,
        response_deserializer=rls_pb2.RateLimitResponse.FromString,
    )
    return await method(request)


def test_rate_limits_are_quotas(house, rules):
    """Policy is not asked; an unknown quota is granted, a failing one is an error."""

    async def main():
        async with house.served(*rules) as channel:
            found = await limit(channel, [("request.path", "/a")], [("quota", "other")])
            assert (1, [1, 1]) == (found.overall_code, [one.code for one in found.statuses])
            house.quota = QuotaAnswer()
            assert 2 == (await limit(channel, [("request.path", "/a")])).overall_code
            house.quota = RuntimeError("broken")
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await limit(channel, [("request.path", "/a")])
            assert grpc.StatusCode.INTERNAL == failed.value.code()
        assert 0 == house.checks
        assert [{"path": "/a"}] * 3 == [dimensions for dimensions, _ in house.quotas]
        counts = {"quotas granted": 1, "quotas refused": 1, "quotas failed": 1}
        assert counts == house.fronts.counts

    run_async(main())


@pytest.fixture
def bound(document):
    """An API and charges of the service ``web.shop``, and reports of the operation."""
    return (
        document(
            "HTTPAPISpec",
            "api",
            """
            attributes: {attributes: {api.service: {stringValue: orders}}}
            patterns:
            - attributes: {attributes: {api.operation: {stringValue: read}}}
              uriTemplate: /orders/{id}
            """,
        ),
        document(
            "HTTPAPISpecBinding", "b", "services: [{service: web.shop}]\napiSpecs: [{name: api}]"
        ),
        document(
            "QuotaSpec",
            "limit",
            """
            rules:
            - match: [{clause: {api.operation: {exact: read}, request.api_key: {regex: ".+"}}}]
              quotas: [{quota: q, charge: 2}]
            """,
        ),
        document(
            "QuotaSpecBinding", "b", "services: [{service: web.shop}]\nquotaSpecs: [{name: limit}]"
        ),
        document(
            "instance",
            "said",
            """
            compiledTemplate: metric
            params: {value: '1', dimensions: {operation: 'api.operation | "-"', key: 'request.api_key | "-"'}}
            """,
        ),
        document("rule", "says", "actions: [{handler: h, instances: [said]}]"),
    )


WEB = {"destination__service__host": "web.shop"}


def test_quotas_are_charged_by_documents(house, rules, bound):
    """By the service, and by what its API says of the request, beside all else that is charged."""
    options = FrontOptions(
        quotas=lambda bag: {"q": 10} if bag.get("api.operation") == "read" else {}
    )

    async def main():
        async with house.served(*rules, *bound, options=options) as channel:
            for path, more in (
                ("/orders/7?key=k", WEB),
                ("/orders/7", WEB),
                ("/other?key=k", WEB),
                ("/orders/7?key=k", {}),
                ("/orders/7?key=k", {**WEB, "mixer__quotas": "q=100"}),
            ):
                assert 0 == (await check(channel, path, **more)).status.code
        assert [12, 10, 112] == [request.amount for _, request in house.quotas]

    run_async(main())


def test_checks_and_reports_agree_on_the_api(house, rules, bound, document):
    """A rule that reads the operation denies, and the report has it, too."""
    house.answer = CheckAnswer(status=Status(7, "no"), valid_duration=60.0)
    denying = document(
        "rule",
        "denies",
        'match: api.operation == "read"\nactions: [{handler: h, instances: [nothing]}]',
    )

    async def main():
        async with house.served(*rules[:1], *bound, denying) as channel:
            assert 403 == (await check(channel, "/orders/7", **WEB)).denied_response.status.code
            assert 0 == (await check(channel, "/other", **WEB)).status.code
            message = als_pb2.StreamAccessLogsMessage()
            for path in ("/orders/7?key=k", "/other"):
                entry = message.http_logs.log_entry.add()
                entry.request.path = path
                entry.common_properties.custom_tags["destination.service.host"] = "web.shop"
            await stream(channel, [message])
        assert [("read", "k"), ("-", "-")] == [
            (one["operation"], one["key"]) for one in house.reports
        ]

    run_async(main())


def test_changed_documents_are_in_force_for_the_next_request(house, rules, bound, document):
    """Without the charge there is none, and no API without its document."""

    async def main():
        async with house.served(*rules, *bound) as channel:
            await check(channel, "/orders/7?key=k", **WEB)
            units = [RuleUnit.of_text("mixer.yaml", one) for one in rules]
            handler = [
                document("handler", "h", "compiledAdapter: double\nparams: {}"),
                document("instance", "nothing", "compiledTemplate: checknothing"),
            ]
            units += [RuleUnit.of_text("mixer.yaml", one) for one in handler]
            accepted = await house.server.configure(
                [one for unit in units for one in unit.documents]
            )
            assert () == accepted.faults
            await check(channel, "/orders/7?key=k", **WEB)
        assert [2] == [request.amount for _, request in house.quotas]

    run_async(main())


def test_another_client_is_not_described(house, rules, bound):
    """By Mixer's own protocol the client says what it wants; documents change nothing."""

    async def main():
        async with house.served(*rules, *bound), MixerClient(house.server.address) as client:
            await client.check(
                {"request.path": "/orders/7?key=k", "destination.service.host": "web.shop"}
            )
        assert [] == house.quotas

    run_async(main())


def logs(codes=(), events=(), node=""):
    """A message of an access-log stream."""
    message = als_pb2.StreamAccessLogsMessage()
    if node:
        message.identifier.node.id = node
    for code in codes:
        entry = message.http_logs.log_entry.add()
        entry.response.response_code.value = code
    for kind in events:
        entry = message.tcp_logs.log_entry.add()
        entry.common_properties.access_log_type = kind
        entry.common_properties.stream_id = "s"
    return message


async def stream(channel, messages):
    """Send these messages on one stream, and end it."""
    method = channel.stream_unary(
        "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs",
        request_serializer=als_pb2.StreamAccessLogsMessage.SerializeToString,
        response_deserializer=als_pb2.StreamAccessLogsResponse.FromString,
    )
    await method(iter(messages))


def test_each_message_of_a_log_is_one_batch_of_reports(house, rules):
    """The first message says who reports, for all that follow."""

    async def main():
        async with house.served(*rules) as channel:
            await stream(channel, [logs([200], node="edge"), logs([404, 500]), logs(events=[1, 3])])
        expected = [(200, "-"), (404, "-"), (500, "-"), (0, "open"), (0, "close")]
        assert expected == [(one["code"], one["event"]) for one in house.reports]
        assert {"edge"} == {one["uid"] for one in house.reports}
        assert {"reports": 5} == house.fronts.counts

    run_async(main())


def test_a_server_ends_the_streams_of_envoys(house, rules):
    """They do not: it would wait for them as long as calls may take, here for an hour."""

    async def main():
        async with asyncio.timeout(20):
            async with house.served(*rules, drain=3_600):
                channel = grpc.aio.insecure_channel(house.server.address)
                call = channel.stream_unary(
                    "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs",
                    request_serializer=als_pb2.StreamAccessLogsMessage.SerializeToString,
                )()
                await call.write(logs([200]))
                await call.write(logs([404]))
                # What comes after them on the same connection is answered, so they are there.
                await check(channel)
            assert await call.code() is grpc.StatusCode.OK
            await channel.close()
        return [one["code"] for one in house.reports]

    assert run_async(main()) == [200, 404]


def test_reports_that_fail_are_counted(house, rules, monkeypatch):
    """Also what was stated in vain; the stream goes on."""

    async def broken(_self, _instances):
        raise RuntimeError("broken")

    monkeypatch.setattr(house.double, "report", broken)

    async def main():
        async with house.served(*rules) as channel:
            message = logs([200])
            common = message.http_logs.log_entry[0].common_properties
            common.custom_tags["destination.port"] = "x"
            starting = logs([200])
            starting.http_logs.log_entry[0].common_properties.access_log_type = 4
            await stream(channel, [starting, message, message])
        counts = {"reports": 2, "reports failed": 2, "stated attributes refused": 2}
        assert counts == house.fronts.counts

    run_async(main())


def test_what_was_stated_in_vain_is_counted(house, rules, caplog):
    """And logged, but not each time."""

    async def main():
        async with house.served(*rules) as channel:
            for _ in range(3):
                await check(channel, destination__port="x")

    run_async(main())
    assert 3 == house.fronts.counts["stated attributes refused"]
    said = [one.message for one in caplog.records if one.name == "meshregistry.mixer.fronts"]
    assert ["stated attributes refused (1 so far): destination.port is not of its type"] == said


def test_options_are_checked():
    """A bound of none would be a bound of all."""
    with pytest.raises(ValueError, match="connections"):
        FrontOptions(connections=0)
    with pytest.raises(TypeError, match="trust"):
        evolve(FrontOptions(), trust=None)


def test_a_server_shows_what_its_fronts_count(house, rules):
    """With its own figures, for Prometheus; what has not happened is 0."""
    house.answer = CheckAnswer(status=Status(7, "no"))

    async def main():
        async with house.served(*rules, monitoring="127.0.0.1:0") as channel:
            for _ in range(2):
                await check(channel)
            url = f"http://{house.server.monitoring_address}/metrics"
            async with aiohttp.ClientSession() as http, http.get(url) as answer:
                return await answer.text()

    lines = run_async(main()).splitlines()
    assert {
        'mixer_envoy_checks_total{outcome="denied"} 2.0',
        'mixer_envoy_checks_total{outcome="allowed"} 0.0',
        'mixer_envoy_quotas_total{outcome="granted"} 0.0',
        "mixer_envoy_attributes_refused_total 0.0",
        "mixer_config_errors 0.0",
    } <= set(lines)


@pytest.mark.parametrize("name", get_args(CountName))
def test_every_count_has_a_metric(name):
    """It is one sample of one metric."""
    values = [value for one in front_metrics({name: 3}) for _, value in one.samples]
    assert [3.0] == [value for value in values if value]
