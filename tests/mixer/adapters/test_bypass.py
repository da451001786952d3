"""``bypass`` hands instances to an adapter in another process."""

from __future__ import annotations

import base64
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct

from meshregistry.documents import RuleUnit
from meshregistry.errors import MixerError
from meshregistry.mixer import StringMap
from meshregistry.mixer.adapters import ADAPTERS
from meshregistry.mixer.adapters._backend_messages import messages_of, types_message
from meshregistry.mixer.config import Known, snapshot
from meshregistry.mixer.proto.adapter_v1beta1_pb2 import (
    CheckResult,
    CloseSessionRequest,
    CloseSessionResponse,
    CreateSessionRequest,
    CreateSessionResponse,
    QuotaResult,
    ReportResult,
    ValidateRequest,
    ValidateResponse,
)
from meshregistry.mixer.proto.policy_v1beta1_pb2 import DirectHttpResponse
from meshregistry.mixer.spi import (
    AUTHORIZATION,
    LIST_ENTRY,
    METRIC,
    QUOTA,
    TEMPLATES,
    TRACE_SPAN,
    Action,
    Authorization,
    Code,
    DirectResponse,
    InstanceTypes,
    ListEntry,
    Metric,
    Quota,
    QuotaRequest,
    Status,
    Subject,
    TraceSpan,
    ValueType,
)

BACKEND = "istio.mixer.adapter.model.v1beta1.InfrastructureBackend"
CHECKS = ("l: listentry {value: source.name}",)


class Backend:
    """An adapter in another process, as far as the wire goes."""

    def __init__(self):
        self.got, self.answers, self.fault = [], {}, None

    def handlers(self):
        own = {
            "Validate": (ValidateRequest, ValidateResponse()),
            "CreateSession": (CreateSessionRequest, CreateSessionResponse(session_id="s1")),
            "CloseSession": (CloseSessionRequest, CloseSessionResponse()),
        }
        services = {BACKEND: own}
        for template, answer in (
            (LIST_ENTRY, CheckResult()),
            (METRIC, ReportResult()),
            (QUOTA, QuotaResult()),
            (AUTHORIZATION, CheckResult()),
            (TRACE_SPAN, ReportResult()),
        ):
            messages = messages_of(template)
            _, service, method = messages.method.split("/")
            services[service] = {method: (messages.request, answer)}
        return [
            grpc.method_handlers_generic_handler(
                service, {name: self._method(name, *one) for name, one in methods.items()}
            )
            for service, methods in services.items()
        ]

    def _method(self, name, request_class, answer):
        async def answered(request, context):
            self.got.append((name, request))
            if self.fault is not None:
                await context.abort(self.fault, "not now")
            return self.answers.get(name, answer)

        return grpc.unary_unary_rpc_method_handler(
            answered,
            request_deserializer=request_class.FromString,
            response_serializer=lambda one: one.SerializeToString(),
        )


@asynccontextmanager
async def backend(credentials=None):
    """It, and its address."""
    made, server = Backend(), grpc.aio.server()
    server.add_generic_rpc_handlers(made.handlers())
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield made, f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


@pytest.fixture
def with_backend(adapters, run_async):
    """Runs a coroutine function with a handler, its context and the other process."""

    def run(call, more="", instances=CHECKS):
        async def main():
            async with backend() as (made, address):
                params = f"{{backendAddress: '{address}'{more}}}"
                async with adapters.running("bypass", params, instances) as (handler, context):
                    await call(handler, context, made)
                return made

        return run_async(main())

    return run


def test_a_check_is_asked_and_answered(with_backend):
    """The instance with its name, a dedup id and the configuration; the answer as it is."""

    async def call(handler, context, made):
        made.answers["HandleListEntry"] = CheckResult(valid_use_count=3)
        made.answers["HandleListEntry"].status.code = 7
        made.answers["HandleListEntry"].status.message = "no"
        made.answers["HandleListEntry"].valid_duration.nanos = 500_000_000
        answer = await handler.check(ListEntry(name="l.instance.ns", value="ann"))
        assert Status(Code.PERMISSION_DENIED, "no") == answer.status
        assert (0.5, 3) == (answer.valid_duration, answer.valid_use_count)

    ((name, request),) = with_backend(call, ", params: {rate: 3, names: [a], on: true}").got
    assert "HandleListEntry" == name
    assert ("l.instance.ns", "ann") == (request.instance.name, request.instance.value.string_value)
    assert 32 == len(request.dedup_id)
    assert "type.googleapis.com/google.protobuf.Struct" == request.adapter_config.type_url
    struct = Struct.FromString(request.adapter_config.value)
    assert {"rate": 3.0, "names": ["a"], "on": True} == {
        **struct,
        "names": list(struct["names"]),
    }


def test_any_message_can_be_the_configuration(with_backend):
    """Its type and its bytes, as they are."""
    encoded = base64.b64encode(b"\x08\x01").decode()

    async def call(handler, context, made):
        await handler.check(ListEntry(name="l.instance.ns"))

    more = f", params: {{'@type': type.googleapis.com/my.Params, value: {encoded}}}"
    ((_, request),) = with_backend(call, more).got
    assert "type.googleapis.com/my.Params" == request.adapter_config.type_url
    assert b"\x08\x01" == request.adapter_config.value


def test_a_quota_is_asked_by_its_instance(with_backend):
    """Amount, effort and id go there; amount, duration and status come back."""
    name = "q.instance.ns"

    async def call(handler, context, made):
        result = QuotaResult()
        result.quotas[name].granted_amount = 2
        result.quotas[name].valid_duration.seconds = 5
        made.answers["HandleQuota"] = result
        request = QuotaRequest(amount=3, is_best_effort=True, deduplication_id="x")
        answer = await handler.quota(Quota(name=name, dimensions={"code": 200}), request)
        assert (2, 5.0) == (answer.amount, answer.valid_duration)
        made.answers["HandleQuota"] = QuotaResult()
        with pytest.raises(MixerError, match=r"says nothing of q\.instance\.ns"):
            await handler.quota(Quota(name=name), request)

    got = with_backend(call, instances=("q: quota {dimensions: {code: response.code}}",)).got
    request = got[0][1]
    assert 200 == request.instance.dimensions["code"].int64_value
    assert ("x", 3, True) == (
        request.dedup_id,
        request.quota_request.quotas[name].amount,
        request.quota_request.quotas[name].best_effort,
    )


def test_a_report_goes_in_one_call(with_backend):
    """All instances of a template; each value in its own type."""
    values = {
        "a": "text",
        "b": 1.5,
        "c": True,
        "d": b"\x0a\x00\x00\x01",
        "e": datetime(2026, 1, 1, tzinfo=UTC),
        "f": timedelta(seconds=1.5),
        "g": StringMap({"k": "v"}),
    }

    async def call(handler, context, made):
        one = Metric(name="m.instance.ns", value=7, dimensions=values)
        await handler.report([one, Metric(name="m.instance.ns", value=8)])

    ((_, request),) = with_backend(call, instances=("m: metric {value: response.size}",)).got
    first, second = request.instances
    assert (7, 8) == (first.value.int64_value, second.value.int64_value)
    read = first.dimensions
    assert ("text", 1.5, True) == (
        read["a"].string_value,
        read["b"].double_value,
        read["c"].bool_value,
    )
    assert values["d"] == read["d"].ip_address_value.value
    assert 1767225600 == read["e"].timestamp_value.value.seconds
    assert (1, 500_000_000) == (
        read["f"].duration_value.value.seconds,
        read["f"].duration_value.value.nanos,
    )
    assert {"k": "v"} == dict(read["g"].string_map_value.value)


def test_nested_and_typed_fields_are_written(with_backend):
    """As the templates have them."""

    async def call(handler, context, made):
        subject = Subject(user="ann", properties={"ip": b"\x0a\x00\x00\x01"})
        action = Action(path="/x")
        await handler.check(Authorization(name="a.instance.ns", subject=subject, action=action))
        when = datetime(2026, 1, 1, tzinfo=UTC)
        span = TraceSpan(name="s.instance.ns", start_time=when, source_ip=b"\x01" * 4)
        await handler.report([span])

    got = with_backend(call, instances=("a: authorization {}", "s: tracespan {}")).got
    instance = got[0][1].instance
    assert ("ann", "/x") == (instance.subject.user, instance.action.path)
    assert b"\x0a\x00\x00\x01" == instance.subject.properties["ip"].ip_address_value.value
    (span,) = got[1][1].instances
    assert (1767225600, b"\x01" * 4) == (span.start_time.value.seconds, span.source_ip.value)
    assert not span.HasField("end_time")


def test_a_session_is_begun_used_and_closed(with_backend):
    """Validated first; its id goes where the configuration would."""

    async def call(handler, context, made):
        await handler.check(ListEntry(name="l.instance.ns", value="ann"))

    got = with_backend(call, ", sessionBased: true, params: {a: b}").got
    assert ["Validate", "CreateSession", "HandleListEntry", "CloseSession"] == [n for n, _ in got]
    create, handle, close = (request for _, request in got[1:])
    assert "b" == Struct.FromString(create.adapter_config.value)["a"]
    inferred = create.inferred_types["l.instance.ns"]
    assert "type.googleapis.com/listentry.Type" == inferred.type_url
    assert ValueType.STRING.value == messages_of(LIST_ENTRY).types.FromString(inferred.value).value
    assert b"s1" == handle.adapter_config.value
    assert "s1" == close.session_id


def test_a_denial_says_how_the_caller_is_answered(with_backend):
    """In a detail of its status; details of other types are passed over."""
    said = DirectHttpResponse(code=451, body="no", headers={"x-why": "law"})
    denial = CheckResult()
    denial.status.code = 7
    denial.status.details.add(type_url="type.googleapis.com/other.Type", value=b"\xff")
    denial.status.details.add(
        type_url="type.googleapis.com/istio.policy.v1beta1.DirectHttpResponse",
        value=said.SerializeToString(),
    )

    async def call(handler, context, made):
        assert (await handler.check(ListEntry(name="l.instance.ns"))).response is None
        made.answers["HandleListEntry"] = denial
        answer = await handler.check(ListEntry(name="l.instance.ns"))
        assert DirectResponse(code=451, body="no", headers={"x-why": "law"}) == answer.response

    with_backend(call)


def test_a_denial_holds_although_its_detail_cannot_be_read(with_backend, caplog):
    """As a failure it would be for the caller's policy to decide, which may allow."""
    denial = CheckResult()
    denial.status.code = 7
    denial.status.details.add(
        type_url="type.googleapis.com/istio.policy.v1beta1.DirectHttpResponse", value=b"\xff"
    )

    async def call(handler, context, made):
        made.answers["HandleListEntry"] = denial
        answer = await handler.check(ListEntry(name="l.instance.ns"))
        assert (answer.status.code, answer.response) == (Code.PERMISSION_DENIED, None)

    with_backend(call)
    assert "a detail cannot be read" in caplog.text


def test_a_session_may_have_the_empty_id(adapters, run_async):
    """It is begun once and closed like any other."""

    async def main():
        async with backend() as (made, address):
            made.answers["CreateSession"] = CreateSessionResponse()
            params = f"{{backendAddress: '{address}', sessionBased: true}}"
            async with adapters.running("bypass", params, CHECKS) as (handler, _):
                await handler.check(ListEntry(name="l.instance.ns"))
                await handler.check(ListEntry(name="l.instance.ns"))
            return made.got

    got = run_async(main())
    assert ["Validate", "CreateSession", "HandleListEntry", "HandleListEntry", "CloseSession"] == [
        name for name, _ in got
    ]


def test_a_refused_configuration_fails_the_start(adapters, run_async):
    """With the other process' words."""

    async def main():
        async with backend() as (made, address):
            made.answers["Validate"] = ValidateResponse()
            made.answers["Validate"].status.code = 3
            made.answers["Validate"].status.message = "rate is missing"
            params = f"{{backendAddress: '{address}', sessionBased: true}}"
            handler, _ = adapters.open("bypass", params, CHECKS)
            with pytest.raises(MixerError, match="INVALID_ARGUMENT:rate is missing"):
                await handler.start()

    run_async(main())


def test_a_process_that_was_started_anew_gets_a_new_session(with_backend):
    """The call that finds out fails, the next one does not."""

    async def call(handler, context, made):
        made.fault = grpc.StatusCode.NOT_FOUND
        with pytest.raises(MixerError, match="NOT_FOUND: not now"):
            await handler.check(ListEntry(name="l.instance.ns"))
        made.fault = None
        await handler.check(ListEntry(name="l.instance.ns"))
        assert (2, 1) == (context.counts["sessions"], context.counts["failed_calls"])

    with_backend(call, ", sessionBased: true")


def test_a_process_that_is_not_there_stops_no_handler(adapters, run_async):
    """Its checks fail until it is."""

    async def main():
        params = "{backendAddress: '127.0.0.1:1', sessionBased: true}"
        async with adapters.running("bypass", params, CHECKS) as (handler, context):
            with pytest.raises(MixerError, match="UNAVAILABLE"):
                await handler.check(ListEntry(name="l.instance.ns"))
            assert 2 == context.counts["failed_calls"]

    run_async(main())


@pytest.mark.parametrize("is_mutual", [False, True])
def test_a_connection_is_secured(adapters, run_async, certificate, is_mutual):
    """By certificates of one side or of both; who has none of his own is not let in."""
    own, key = (file.read_bytes() for file in certificate)
    credentials = grpc.ssl_server_credentials(
        [(key, own)], own if is_mutual else None, require_client_auth=is_mutual
    )
    known = "caCertificates: collector.pem, serverName: localhost"
    shown = f"{known}, privateKey: collector.key, clientCertificate: collector.pem"

    async def asked(address, authentication):
        params = f"{{backendAddress: '{address}', authentication: {{{authentication}}}}}"
        async with adapters.running("bypass", params, CHECKS) as (handler, _):
            return await handler.check(ListEntry(name="l.instance.ns"))

    async def main():
        async with backend(credentials) as (_, address):
            right = f"mutual: {{{shown}}}" if is_mutual else f"tls: {{{known}}}"
            assert (await asked(address, right)).status.is_ok
            wrong = f"tls: {{{known}}}" if is_mutual else "tls: {serverName: localhost}"
            with pytest.raises(MixerError, match="UNAVAILABLE"):
                await asked(address, wrong)

    run_async(main())


def test_types_are_told_by_their_place():
    """Also below other fields, and of values by name."""
    types = {
        "subject.properties[ip]": ValueType.IP_ADDRESS,
        "action.properties[x]": ValueType.DURATION,
    }
    made = types_message(InstanceTypes(name="a", template=AUTHORIZATION, types=types))
    assert {"ip": 6} == dict(made.subject.properties)
    assert {"x": 10} == dict(made.action.properties)


def test_a_type_that_python_does_not_tell_is_told(with_backend):
    """A URI is no other text."""

    async def call(handler, context, made):
        await handler.check(ListEntry(name="l.instance.ns", value="http://x"))

    ((_, request),) = with_backend(call, instances=("l: listentry {value: uri(source.name)}",)).got
    assert "http://x" == request.instance.value.uri_value.value


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ("{backendAddress: nowhere}", "spec.params.backendAddress"),
        ("{backendAddress: 'a:1', params: {'@type': x}}", "spec.params.params"),
        ("{backendAddress: 'a:1', params: {'@type': x, value: '!'}}", "spec.params.params"),
        ("{backendAddress: 'a:1', params: [1]}", "spec.params.params"),
        ("{backendAddress: 'a:1', authentication: {}}", "spec.params.authentication"),
        (
            "{backendAddress: 'a:1', authentication: {mutual: {privateKey: k}}}",
            "spec.params.authentication",
        ),
        (
            "{backendAddress: 'a:1', authentication: {tls: {privateKey: k}}}",
            "spec.params.authentication",
        ),
    ],
)
def test_faults_are_found_before_anything_runs(adapters, params, field):
    """At their field."""
    plan, (fault,) = adapters.plan("bypass", params, CHECKS)
    assert plan is None
    assert fault.startswith(f"{field}: ")


REMOTE = """
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {name: h, namespace: ns}
spec:
  adapter: mine
  connection: {address: "127.0.0.1:9070", timeout: 2s, authentication: {tls: {caCertificates: c}}}
  params: {camelCase: 1, nested: {some_thing: [a]}}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: l, namespace: ns}
spec: {compiledTemplate: listentry, params: {value: source.name}}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: r, namespace: ns}
spec: {actions: [{handler: h, instances: [l]}]}
"""


def read(text):
    """The handlers of documents, and what is wrong."""
    unit, faults = RuleUnit.of_text("mixer.yaml", text), []
    made = snapshot(unit.documents, Known.of(ADAPTERS, TEMPLATES), faults)
    return made.handlers, [f"{one.field}: {one.reason}" for one in faults]


def test_a_handler_with_an_address_is_one_of_bypass():
    """Its parameters go to the other process as they are written."""
    (plan,), faults = read(REMOTE)
    assert ("bypass", []) == (plan.adapter.name, faults)
    config = plan.config
    assert ("127.0.0.1:9070", 2.0) == (config.backend_address, config.timeout)
    assert "c" == config.authentication.tls.ca_certificates
    assert {"camelCase": 1, "nested": {"some_thing": ["a"]}} == config.params


def test_such_a_handler_stays_when_its_document_moves():
    """Lines of the file are no part of the configuration."""
    (before,), _ = read(REMOTE)
    (after,), _ = read(f"# moved\n\n{REMOTE}")
    assert before == after


def test_faults_of_a_connection_are_at_their_place():
    """The words are the document's."""
    for old, new, place in (
        ("127.0.0.1:9070", "nowhere", "spec.connection.address"),
        ("tls: {caCertificates: c}", "tls: {tokenPath: c}", "authentication.tls.token"),
    ):
        _, (fault, *_) = read(REMOTE.replace(old, new))
        assert place in fault
