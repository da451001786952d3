"""Adapters and templates that documents describe, on the wire."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime

import grpc
import pytest

from meshregistry.mixer.adapters import ADAPTERS
from meshregistry.mixer.foreign import Descriptors, template_of
from meshregistry.mixer.proto.adapter_v1beta1_pb2 import (
    CloseSessionRequest,
    CloseSessionResponse,
    CreateSessionRequest,
    CreateSessionResponse,
    ValidateRequest,
    ValidateResponse,
)
from meshregistry.mixer.server import MixerServer
from meshregistry.mixer.spi import ValueType
from mixer_both import Asker, documents
from mixer_templates import (
    CHECK,
    CHECK_WITH_OUTPUT,
    GENERATOR,
    QUOTA,
    REPORT,
    parameters,
    template,
)

POLICY = ".istio.policy.v1beta1"
FIELDS = (
    f"string key = 1; {POLICY}.Value any_one = 2; map<string, {POLICY}.Value> any_by_name = 3;"
    f" map<string, string> texts = 4; map<string, Below> all = 5; repeated string names = 6;"
    f" repeated Below several = 7; Below below = 8; {POLICY}.TimeStamp at = 9;"
    f" map<string, {POLICY}.Uri> sites = 10; repeated {POLICY}.Value values = 11;"
    f" Level level = 12; repeated Level levels = 13; map<int32, {POLICY}.Value> by_number = 14;"
    " map<int64, Level> by_size = 15; fixed32 small = 16; float part = 17;"
)
BELOW = (
    f"message Below {{ {POLICY}.Value of = 1; string import = 2; }}\n"
    f"message Type {{ ValueType.Of any_one = 2; map<string, ValueType.Of> any_by_name = 3;"
    " BelowType below = 8; map<int32, ValueType.Of> by_number = 14; }\n"
    "enum Level { LOW = 0; HIGH = 5; }\n"
    "message BelowType { ValueType.Of of = 1; }\n"
    "message ValueType { enum Of { NONE = 0; STRING = 1; INT64 = 2; } }\n"
)
PARAMS = {
    "key": "source.name",
    "anyOne": "request.size",
    "anyByName": {"name": "source.name", "site": 'uri("http://a/")'},
    "texts": {"a": "source.name"},
    "all": {"a": {"of": "request.size"}},
    "names": ["source.name", '"x"'],
    "several": [{"import": "source.name"}],
    "below": {"of": "source.name"},
    "at": "request.time",
    "sites": {"a": 'uri("http://b/")'},
    "values": ["request.size", 'uri("http://c/")'],
    "level": '"HIGH"',
    "levels": ['"HIGH"', 0],
    "by_number": {-3: "source.name"},
    "by_size": {4: 5},
    "small": "request.size",
    "part": 0.5,
}
ASKED = {
    "source.name": "ann",
    "request.size": 7,
    "request.time": datetime(2026, 1, 1, tzinfo=UTC),
}
SESSION = {
    "Validate": (ValidateRequest, ValidateResponse(status={})),
    "CreateSession": (CreateSessionRequest, CreateSessionResponse(session_id="s1", status={})),
    "CloseSession": (CloseSessionRequest, CloseSessionResponse(status={})),
}


class Away(grpc.GenericRpcHandler):
    """An adapter in another process, made from the descriptor."""

    def __init__(self, descriptor):
        self.messages = template_of("mine", Descriptors(descriptor)).messages
        self.answer = self.messages.result()
        self.got = []

    def service(self, details):
        name = details.method.rpartition("/")[2]
        if details.method == self.messages.method:
            request_class, answer = self.messages.request, self.answer
        else:
            request_class, answer = SESSION[name]

        async def answered(request, _context):
            self.got.append((name, request))
            return answer

        return grpc.unary_unary_rpc_method_handler(
            answered,
            request_deserializer=request_class.FromString,
            response_serializer=lambda one: one.SerializeToString(),
        )


@pytest.fixture
def with_away(tmp_path):
    """Enters a server with one described adapter and one instance of its template."""

    @asynccontextmanager
    async def enter(descriptor, params, *, more=None, bindings=None, rule=None, others=()):
        away, server = Away(descriptor), grpc.aio.server()
        server.add_generic_rpc_handlers((away,))
        address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        adapter = {"templates": ["mine"], "config": parameters("mine", "int64 rate = 1;")}
        instance = {"template": "mine", "params": params}
        action = {"handler": "h", "instances": ["i"], "name": "x"}
        (tmp_path / "mixer.yaml").write_text(
            documents(
                ("template", "mine", {"descriptor": descriptor}),
                ("adapter", "away", adapter | (more or {})),
                (
                    "handler",
                    "h",
                    {"adapter": "away", "connection": {"address": address}, "params": {"rate": 3}},
                ),
                ("instance", "i", instance | ({"attributeBindings": bindings} if bindings else {})),
                ("rule", "r", {"actions": [action]} | (rule or {})),
                *others,
            )
        )
        try:
            async with (
                MixerServer("127.0.0.1:0", config=tmp_path, adapters=ADAPTERS) as own,
                Asker(own.address) as asker,
            ):
                assert () == own.status().faults
                yield asker, away
        finally:
            await server.stop(None)

    return enter


def test_every_shape_of_field_is_sent(with_away, run_async):
    """With the type of each value, and the configuration beside it."""

    async def main():
        async with with_away(template("mine", CHECK, FIELDS, more=BELOW), PARAMS) as (asker, away):
            away.answer.valid_use_count = 3
            answer = await asker.check(ASKED)
            assert (0, 3) == (answer.code, answer.uses)
            return away.got

    ((name, request),) = run_async(main())
    one = request.instance
    assert ("HandleMine", "i.instance.istio-system", "ann") == (name, one.name, one.key)
    assert 7 == one.any_one.int64_value
    assert "ann" == one.any_by_name["name"].string_value
    assert "http://a/" == one.any_by_name["site"].uri_value.value
    assert {"a": "ann"} == dict(one.texts)
    assert 7 == one.all["a"].of.int64_value
    assert ["ann", "x"] == list(one.names)
    assert ["ann"] == [getattr(each, "import") for each in one.several]
    assert "ann" == one.below.of.string_value
    assert 1767225600 == one.at.value.seconds
    assert "http://b/" == one.sites["a"].value
    assert [7, 0] == [each.int64_value for each in one.values]
    assert "http://c/" == one.values[1].uri_value.value
    assert (5, [5, 0], {4: 5}) == (one.level, list(one.levels), dict(one.by_size))
    assert "ann" == one.by_number[-3].string_value
    assert (7, 0.5) == (one.small, one.part)
    config = request.adapter_config
    assert ("type.googleapis.com/mine.Params", b"\x08\x03") == (config.type_url, config.value)
    assert 32 == len(request.dedup_id)


def test_a_session_is_told_the_types(with_away, run_async):
    """Of what has a place in the message `Type`; then its id goes where the configuration would."""
    descriptor = template("mine", CHECK, FIELDS, more=BELOW)

    async def main():
        more = {"session_based": True}
        async with with_away(descriptor, PARAMS, more=more) as (asker, away):
            await asker.check(ASKED)
        return away

    away = run_async(main())
    assert ["Validate", "CreateSession", "HandleMine", "CloseSession"] == [n for n, _ in away.got]
    create, handle = away.got[1][1], away.got[2][1]
    assert b"\x08\x03" == create.adapter_config.value
    inferred = create.inferred_types["i.instance.istio-system"]
    assert "type.googleapis.com/mine.Type" == inferred.type_url
    types = away.messages.types.FromString(inferred.value)
    assert (2, 1) == (types.any_one, types.below.of)
    assert {"name": ValueType.STRING.value, "site": ValueType.URI.value} == dict(types.any_by_name)
    assert {-3: ValueType.STRING.value} == dict(types.by_number)
    assert b"s1" == handle.adapter_config.value


def test_a_template_without_types_has_sessions_too(with_away, run_async):
    """Nothing is said of its instances then."""
    descriptor = template("mine", CHECK, "string key = 1;")

    async def main():
        more = {"session_based": True}
        async with with_away(descriptor, {"key": '"k"'}, more=more) as (asker, away):
            assert 0 == (await asker.check({})).code
            return away.got

    got = run_async(main())
    assert {} == dict(got[1][1].inferred_types)


def test_output_becomes_a_header(with_away, run_async):
    """Of an answer that allows; what is zero is not there, so that a default counts."""
    descriptor = template(
        "mine", CHECK_WITH_OUTPUT, "string key = 1;", "string a = 1; string b = 2;"
    )
    rule = {
        "requestHeaderOperations": [
            {"name": "x-a", "values": ["x.output.a"]},
            {"name": "x-b", "values": ['x.output.b | "none"']},
        ]
    }

    async def main():
        async with with_away(descriptor, {"key": '"k"'}, rule=rule) as (asker, away):
            away.answer.output.a = "one"
            away.answer.result.valid_duration.seconds = 5
            answer = await asker.check({})
            assert (0, 5.0) == (answer.code, answer.seconds)
            away.answer.result.status.code = 7
            return answer, await asker.check({"source.name": "other"})

    allowed, denied = run_async(main())
    assert 'value: "one"' in allowed.route
    assert 'value: "none"' in allowed.route
    assert (7, "") == (denied.code, denied.route)


def test_quota_is_granted_by_it(with_away, run_async):
    """Asked by the name of the instance."""
    name = "i.instance.istio-system"

    async def main():
        descriptor = template("mine", QUOTA, "string key = 1;")
        async with with_away(descriptor, {"key": '"k"'}) as (asker, away):
            away.answer.quotas[name].granted_amount = 2
            away.answer.quotas[name].valid_duration.seconds = 7
            answer = await asker.check({}, {"i": 3}, deduplication_id="id")
            return answer.quotas["i"][:2], away.got

    granted, ((_, request),) = run_async(main())
    assert (2, 7.0) == granted
    assert (3, "idi") == (request.quota_request.quotas[name].amount, request.dedup_id)


def test_reports_go_together(with_away, run_async):
    """All of a batch in one call."""

    async def main():
        descriptor = template("mine", REPORT, "string key = 1;")
        async with with_away(descriptor, {"key": "source.name"}) as (asker, away):
            assert "OK" == await asker.report([{"source.name": "ann"}, {"source.name": "bob"}])
            return away.got

    ((_, request),) = run_async(main())
    assert ["ann", "bob"] == [one.key for one in request.instances]


def test_attributes_are_found_out_by_it(with_away, run_async):
    """Before anything else is asked."""
    descriptor = template("mine", GENERATOR, "string key = 1;", "string user = 1;")
    others = (
        (
            "handler",
            "no",
            {"compiledAdapter": "denier", "params": {"status": {"code": 7, "message": "no"}}},
        ),
        ("instance", "all", {"compiledTemplate": "checknothing"}),
        (
            "rule",
            "deny",
            {
                "match": 'source.user == "ann"',
                "actions": [{"handler": "no", "instances": ["all"]}],
            },
        ),
    )

    async def main():
        bindings = {"source.user": "$out.user"}
        given = {"bindings": bindings, "others": others}
        async with with_away(descriptor, {"key": 'source.name | ""'}, **given) as (asker, away):
            away.answer.user = "ann"
            denied = await asker.check({})
            away.answer.user = "bob"
            return denied.code, (await asker.check({"source.name": "x"})).code

    assert (7, 0) == run_async(main())
