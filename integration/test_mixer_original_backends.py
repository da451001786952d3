"""Adapters in other processes: the original's behind our server, and one behind both servers."""

from __future__ import annotations

import base64
import re
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import grpc.aio
import pytest
from attrs import evolve
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from meshregistry.mixer import Code
from meshregistry.mixer.adapters import ADAPTERS
from meshregistry.mixer.adapters._backend_messages import messages_of
from meshregistry.mixer.proto.adapter_v1beta1_pb2 import (
    CheckResult,
    CloseSessionResponse,
    CreateSessionRequest,
    CreateSessionResponse,
    QuotaResult,
    ReportResult,
    ValidateRequest,
    ValidateResponse,
)
from meshregistry.mixer.proto.policy_v1beta1_pb2 import DirectHttpResponse
from meshregistry.mixer.server import MixerServer
from meshregistry.mixer.spi import CHECK_NOTHING, METRIC, QUOTA
from mixer_both import Asker, both, documents, manifest
from servers.original_mixer import original_backend

ATTRIBUTES = manifest(
    {
        "context.reporter.kind": "STRING",
        "destination.namespace": "STRING",
        "request.path": "STRING",
        "request.time": "TIMESTAMP",
        "response.code": "INT64",
        "response.duration": "DURATION",
        "source.ip": "IP_ADDRESS",
        "source.labels": "STRING_MAP",
        "source.name": "STRING",
    }
)
CONTROLLER = "/istio.testing.mixer.policybackend.ControllerService/GetReports"
MODEL = "/istio.mixer.adapter.model.v1beta1.InfrastructureBackend"
# What the original's `bypass` hands on as it is. It fails with addresses and maps, and makes texts
# of names and URIs, for which its messages have types.
SIMPLE = {
    "code": "response.code | 0",
    "name": 'source.name | ""',
    "took": 'response.duration | "0s"',
    "when": 'request.time | timestamp("2000-01-01T00:00:00Z")',
    "half": "0.5",
    "is": "true",
}
DIMENSIONS = SIMPLE | {
    "site": 'uri("http://a/")',
    "host": 'dnsName("a.b")',
    "mail": 'email("a@b.c")',
    "ip": 'source.ip | ip("0.0.0.0")',
    "labels": "source.labels | emptyStringMap()",
}
REPORT = {
    "response.code": 404,
    "source.ip": bytes([10, 0, 0, 1]),
    "source.labels": {"app": "a"},
    "source.name": "ann",
    "response.duration": timedelta(milliseconds=1500),
    "request.time": datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC),
}


def configured(address, params=None, *, dimensions=DIMENSIONS, **more):
    """Documents that send a check, a quota and a report to the adapter at an address."""
    handler = {"backendAddress": address, **more} | ({} if params is None else {"params": params})
    quota = {"compiledTemplate": "quota", "params": {"dimensions": {"who": 'source.name | ""'}}}
    metric = {
        "compiledTemplate": "metric",
        "params": {"value": 'response.duration | "0s"', "dimensions": dimensions},
    }
    return documents(
        ATTRIBUTES,
        ("handler", "away", {"compiledAdapter": "bypass", "params": handler}),
        ("instance", "nothing", {"compiledTemplate": "checknothing"}),
        ("instance", "calls", quota),
        ("instance", "seen", metric),
        *(
            ("rule", name, {"actions": [{"handler": "away", "instances": [name]}]})
            for name in ("nothing", "calls", "seen")
        ),
    )


@pytest.fixture
def folder(tmp_path):
    """For documents."""
    made = tmp_path / "config"
    made.mkdir()
    return made


# --- The original's -----------------------------------------------------------------------


def params(check):
    """The configuration of the original's policy back end: its first field has what it answers."""
    message = b"\x0a" + bytes([len(check)]) + check
    return {
        "@type": "type.googleapis.com/policy.Params",
        "value": base64.b64encode(message).decode(),
    }


@pytest.fixture
def with_policy(original, folder, tmp_path):
    """Enters our server before the original's policy back end; how to ask it, and its address."""

    @asynccontextmanager
    async def enter(params=None, **more):
        async with original_backend(original, "policy", tmp_path) as address:
            (folder / "mixer.yaml").write_text(configured(address, params, **more))
            async with (
                MixerServer("127.0.0.1:0", config=folder, adapters=ADAPTERS) as server,
                Asker(server.address) as asker,
            ):
                assert ((), [""]) == (
                    server.status().faults,
                    [one[1] for one in server.status().handlers],
                )
                yield asker, address

    return enter


def test_the_originals_back_end_decides(with_policy, run_async):
    """Its configuration goes with each call; what it answers, with duration and uses, counts."""

    async def main():
        # Allowed (field 1), for 30 s (2) and 5 uses (3).
        async with with_policy(params(b"\x08\x01\x12\x02\x08\x1e\x18\x05")) as (asker, _):
            answer = await asker.check({})
            assert (Code.OK, 30.0, 5) == (answer.code, answer.seconds, answer.uses)
        async with with_policy(params(b"\x08\x00")) as (asker, _):
            answer = await asker.check({})
            assert Code.UNAUTHENTICATED == answer.code
            assert "away.istio-system:bypass-backend-unauthenticated" == answer.message

    run_async(main())


def test_the_originals_back_end_is_told(with_policy, run_async):
    """A metric with a value of each type, in the template's own messages."""

    async def main():
        async with with_policy() as (asker, address):
            assert "OK" == await asker.report([REPORT, {}])
            async with grpc.aio.insecure_channel(address) as channel:
                return await channel.unary_unary(CONTROLLER)(b"")

    first, second = (metric_of(one) for one in entries(run_async(main())))
    assert "seen.instance.istio-system" == first.name
    assert timedelta(milliseconds=1500) == first.value.duration_value.value.ToTimedelta()
    dimensions = first.dimensions
    assert 404 == dimensions["code"].int64_value
    assert b"\x0a\0\0\1" == dimensions["ip"].ip_address_value.value[-4:]
    assert {"app": "a"} == dict(dimensions["labels"].string_map_value.value)
    assert "http://a/" == dimensions["site"].uri_value.value
    assert "a.b" == dimensions["host"].dns_name_value.value
    assert "a@b.c" == dimensions["mail"].email_address_value.value
    assert 1772600767 == dimensions["when"].timestamp_value.value.seconds
    assert (0.5, True) == (dimensions["half"].double_value, dimensions["is"].bool_value)
    assert "" == second.dimensions["name"].string_value


def entries(response):
    """What is repeated in a message whose first field is one."""
    first = DescriptorProto(name="Response")
    first.field.add(
        name="all",
        number=1,
        type=FieldDescriptorProto.TYPE_BYTES,
        label=FieldDescriptorProto.LABEL_REPEATED,
    )
    file = FileDescriptorProto(name="response.proto", syntax="proto3", message_type=[first])
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName("Response")).FromString(response).all


def metric_of(packed):
    """The instance in an `Any`."""
    request = messages_of(METRIC).request()
    request.instances.add().MergeFromString(AnyMessage.FromString(packed).value)
    return request.instances[0]


# --- One for both -------------------------------------------------------------------------


class Recorder:
    """An adapter in another process that remembers what it is asked, and answers what it is told."""

    def __init__(self):
        self.got = []
        self.answers = {
            "Validate": ValidateResponse(status={}),
            "CreateSession": CreateSessionResponse(session_id="s", status={}),
            "CloseSession": CloseSessionResponse(status={}),
            "HandleCheckNothing": CheckResult(),
            "HandleMetric": ReportResult(),
            "HandleQuota": QuotaResult(),
        }

    def service(self, _details):
        """Any method of any service."""
        name = _details.method.rpartition("/")[2]

        async def answered(request, _context):
            self.got.append((_details.method, request))
            return self.answers[name].SerializeToString()

        return grpc.unary_unary_rpc_method_handler(answered)


class _All(grpc.GenericRpcHandler):
    def __init__(self, recorder):
        self._recorder = recorder

    def service(self, details):
        return self._recorder.service(details)


@pytest.fixture
def with_recorder(original, folder, tmp_path):
    """Enters a recorder with both servers before it."""

    @asynccontextmanager
    async def enter(**more):
        recorder, server = Recorder(), grpc.aio.server()
        server.add_generic_rpc_handlers((_All(recorder),))
        address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        try:
            (folder / "mixer.yaml").write_text(configured(address, dimensions=SIMPLE, **more))
            async with both(original, folder, tmp_path) as servers:
                yield recorder, servers
        finally:
            await server.stop(None)

    return enter


def decoded(method, data):
    """A request of a template, and its id apart, which is random."""
    by_method = {messages_of(one).method: one for one in (CHECK_NOTHING, METRIC, QUOTA)}
    request = messages_of(by_method[method]).request.FromString(data)
    identity = request.dedup_id
    request.ClearField("dedup_id")
    # Ours has an empty one, the original none.
    request.ClearField("adapter_config")
    return request, identity


def test_both_ask_the_same(with_recorder, run_async):
    """Method, instance with its name and values of every type, quota and its id."""

    async def main():
        async with with_recorder() as (recorder, servers):
            for asker in servers.askers:
                await asker.check({"source.name": "ann"}, {"calls": 3}, deduplication_id="id")
                assert "OK" == await asker.report([REPORT, {}])
            return recorder.got[:3], recorder.got[3:]

    theirs, ours = run_async(main())
    assert ["HandleCheckNothing", "HandleQuota", "HandleMetric"] == [
        method.rpartition("/")[2] for method, _ in ours
    ]
    for (method, said), (own_method, own) in zip(theirs, ours, strict=True):
        assert method == own_method
        (request, identity), (own_request, own_identity) = (
            decoded(method, said),
            decoded(method, own),
        )
        assert request == own_request
        assert bool(identity) == bool(own_identity)
        if method.endswith("HandleQuota"):
            assert ("idcalls", "idcalls") == (identity, own_identity)


def test_both_hand_on_what_is_answered(with_recorder, run_async):
    """Status, duration, uses, how the caller is answered, and quota."""
    denial = CheckResult(valid_use_count=3)
    denial.status.code, denial.status.message = 7, "not you"
    denial.valid_duration.seconds = 30
    said = DirectHttpResponse(code=451, body="no", headers={"x-why": "law"})
    denial.status.details.add().MergeFromString(packed(said))
    granted = QuotaResult()
    granted.quotas["calls.instance.istio-system"].granted_amount = 2
    granted.quotas["calls.instance.istio-system"].valid_duration.seconds = 7

    async def main():
        async with with_recorder() as (recorder, servers):
            recorder.answers["HandleQuota"] = granted
            theirs, ours = await servers.check({}, {"calls": 3})
            assert theirs == ours
            assert (2, 7.0) == ours.quotas["calls"][:2]
            recorder.answers["HandleCheckNothing"] = denial
            theirs, ours = await servers.check({})
            assert theirs == ours
            assert (7, "away.istio-system:not you", 30.0, 3) == (
                ours.code,
                ours.message,
                ours.seconds,
                ours.uses,
            )
            for word in ("direct_response_code: 451", 'body: "no"', 'name: "x-why"'):
                assert word in ours.route

    run_async(main())


def test_both_choose_the_same_status_of_http(with_recorder, run_async):
    """For each code, if the adapter leaves it to them; a cookie is a header of its own."""
    said = DirectHttpResponse(headers={"Set-Cookie": "a=1,b=2", "x-why": "law"})

    async def main():
        async with with_recorder() as (recorder, servers):
            chosen = {}
            for code in list(Code)[1:]:
                answer = CheckResult(valid_use_count=1)
                answer.status.code, answer.status.message = code, "x"
                answer.status.details.add().MergeFromString(packed(said))
                recorder.answers["HandleCheckNothing"] = answer
                theirs, ours = await servers.check({})
                assert evolve(theirs, route="") == evolve(ours, route="")
                assert parts(theirs.route) == parts(ours.route)
                chosen[code] = ours.route
            return chosen

    def parts(route):
        # The order of headers is that of a map there, and their names keep their capitals.
        return sorted(re.findall(r"{.*?}|direct_\w+: \d+", route.lower(), re.DOTALL))

    chosen = run_async(main())
    assert "direct_response_code: 412" in chosen[Code.FAILED_PRECONDITION]
    assert 2 == chosen[Code.NOT_FOUND].count('name: "set-cookie"')


def packed(message):
    """A message as a detail of a status."""
    return AnyMessage(
        type_url=f"type.googleapis.com/{message.DESCRIPTOR.full_name}",
        value=message.SerializeToString(),
    ).SerializeToString()


def test_both_begin_sessions_with_the_same_words(with_recorder, run_async):
    """The types of the instances; we also say which session a call is of, as the protocol has it."""

    async def main():
        async with with_recorder(sessionBased=True) as (recorder, servers):
            await servers.check({})
            return recorder.got

    got = run_async(main())
    began = [one for one in got if one[0].startswith(MODEL)]
    # Our server opens a handler when it is first needed, or at once; the original at once.
    assert [f"{MODEL}/{name}" for name in ("Validate", "CreateSession")] * 2 == [
        method for method, _ in began[:4]
    ]
    for (_, theirs), (method, ours) in zip(began[:2], began[2:4], strict=True):
        message = ValidateRequest if method.endswith("Validate") else CreateSessionRequest
        types, own = (
            {
                name: (one.type_url.rpartition("/")[2], one.value)
                for name, one in message.FromString(data).inferred_types.items()
            }
            for data in (theirs, ours)
        )
        assert types.keys() == own.keys()
        name = "calls.instance.istio-system"
        assert types[name] == own[name]
    handled = [data for method, data in got if method.endswith("HandleCheckNothing")]
    request = messages_of(CHECK_NOTHING).request
    assert [b"", b"s"] == [request.FromString(one).adapter_config.value for one in handled]
