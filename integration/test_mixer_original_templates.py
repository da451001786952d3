"""Templates that documents describe: the same ones before the original's adapter and in both servers."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from attrs import evolve
from google.protobuf.message_factory import GetMessageClass

from meshregistry.mixer.foreign import Descriptors, template_of
from mixer_both import both, documents, manifest
from mixer_templates import (
    CHECK,
    CHECK_WITH_OUTPUT,
    GENERATOR,
    QUOTA,
    REPORT,
    parameters,
    template,
)
from servers.original_mixer import original_backend

ATTRIBUTES = manifest(
    {
        "context.reporter.kind": "STRING",
        "destination.namespace": "STRING",
        "request.size": "INT64",
        "request.time": "TIMESTAMP",
        "response.duration": "DURATION",
        "source.ip": "IP_ADDRESS",
        "source.labels": "STRING_MAP",
        "source.name": "STRING",
    }
)
KEYVAL = (
    (
        "template",
        "keyval",
        {
            "descriptor": template(
                "keyval", CHECK_WITH_OUTPUT, "string key = 1;", "string value = 2;"
            )
        },
    ),
    (
        "adapter",
        "keyval",
        {
            "description": "looks keys up",
            "session_based": False,
            "templates": ["keyval"],
            "config": parameters("keyval", "map<string, string> table = 1;"),
        },
    ),
    ("instance", "who", {"template": "keyval", "params": {"key": 'source.name | "nobody"'}}),
    (
        "rule",
        "look-up",
        {
            "actions": [{"handler": "lookup", "instances": ["who"], "name": "found"}],
            "requestHeaderOperations": [{"name": "x-group", "values": ["found.output.value"]}],
            "responseHeaderOperations": [
                {
                    "name": "x-known",
                    "values": ['found.output.value | "none"'],
                    "operation": "APPEND",
                }
            ],
        },
    ),
)


def configured(address, table):
    """Documents with the original's adapter, described by documents of our own."""
    handler = {
        "adapter": "keyval",
        "connection": {"address": address},
        "params": {"table": table},
    }
    return documents(ATTRIBUTES, *KEYVAL, ("handler", "lookup", handler))


@pytest.fixture
def with_keyval(original, tmp_path):
    """Enters both servers before the original's adapter ``keyval``."""

    @asynccontextmanager
    async def enter():
        folder = tmp_path / "config"
        folder.mkdir()
        async with original_backend(original, "keyval", tmp_path) as address:
            table = {"ann": "admin", "bob": "", "": "anonymous"}
            (folder / "mixer.yaml").write_text(configured(address, table))
            async with both(original, folder, tmp_path) as servers:
                assert () == servers.ours.status().faults
                yield servers

    return enter


def test_keyval_is_served_alike(with_keyval, run_async):
    """What it finds is a header's value; what it does not find is a denial with a body."""

    async def main():
        async with with_keyval() as servers:
            return [
                await servers.check(asked)
                for asked in (
                    {"source.name": "ann"},
                    {"source.name": "bob"},
                    {},
                    {"source.name": ""},
                )
            ]

    ann, bob, nobody, empty = run_async(main())
    for theirs, ours in (ann, bob, nobody, empty):
        assert theirs == ours
    assert (0, 5.0) == (ann[1].code, ann[1].seconds)
    assert 'value: "admin"' in ann[1].route
    assert 5 == nobody[1].code
    assert "not found" in nobody[1].route


# --- Every shape of field, before a recorder ----------------------------------------------

POLICY = ".istio.policy.v1beta1"
FIELDS = (
    f"string text = 1; int64 number = 2; double half = 3; bool is_on = 4; {POLICY}.Value any = 5;"
    f" map<string, {POLICY}.Value> values = 6; map<string, string> texts = 7;"
    " map<string, int64> numbers = 8; Below below = 9; map<string, Below> all = 10;"
    f" {POLICY}.TimeStamp when = 11; {POLICY}.Duration took = 12; {POLICY}.IPAddress ip = 13;"
    f" {POLICY}.Uri site = 14; {POLICY}.DNSName host = 15;"
    f" repeated string names = 16; repeated Below several = 17; repeated {POLICY}.Value list = 18;"
    " Level level = 19; Level chosen = 20; repeated Level levels = 21; map<int32, string> by_int = 22;"
    " map<uint64, Below> by_long = 23; float part = 24; int32 i = 25; uint32 u = 26; sint32 s = 27;"
    " fixed32 f = 28; sfixed64 g = 29; uint64 n = 30; repeated sint64 all_numbers = 31;"
)
BELOW = (
    f"message Below {{ {POLICY}.Value any = 1; string text = 2; Deeper deeper = 3; }}\n"
    "message Deeper { string text = 1; }\n"
    "enum Level { LOW = 0; HIGH = 5; ANN = 6; }\n"
)
PARAMS = {
    "text": "source.name",
    "number": "request.size",
    "half": 5,
    "is_on": True,
    "any": "response.duration",
    "values": {
        "text": "source.name",
        "number": "request.size",
        "half": "0.5",
        "is": "true",
        "when": "request.time",
        "took": "response.duration",
        "site": 'uri("http://a/")',
        "host": 'dnsName("a.b")',
        "mail": 'email("a@b.c")',
        "ip": "source.ip",
    },
    "texts": {"a": "source.name", "b": '"x"'},
    "numbers": {"a": "request.size"},
    "below": {"any": "source.name", "text": '"y"', "deeper": {"text": "source.name"}},
    "all": {"a": {"any": "request.size"}},
    "when": "request.time",
    "took": "response.duration",
    "ip": "source.ip",
    "site": 'uri("http://b/")',
    "host": 'dnsName("c.d")',
    "names": ["source.name", '"x"'],
    "several": [{"text": "source.name"}, {"any": "request.size"}],
    "list": ["source.name", "request.size"],
    "level": '"HIGH"',
    "chosen": 'conditional(source.name == "ann", "ANN", "LOW")',
    "levels": ['"HIGH"', 6],
    "by_int": {"-3": "source.name"},
    "by_long": {"4": {"text": "source.name"}},
    "part": 0.5,
    "i": -7,
    "u": "request.size",
    "s": "request.size",
    "f": "request.size",
    "g": -8,
    "n": "request.size",
    "all_numbers": ["request.size", -2],
}
ASKED = {
    "source.name": "ann",
    "request.size": 7,
    "request.time": datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC),
    "response.duration": timedelta(milliseconds=1500),
    "source.ip": bytes([10, 0, 0, 1]),
    "source.labels": {"app": "a"},
}
CONFIG = parameters(
    "mine",
    "string text = 1; int64 long_number = 2; bool is_on = 3; double part = 4; Level level = 5;"
    " map<string, string> table = 6; Below below = 7; repeated string names = 8;"
    " repeated Below several = 9; google.protobuf.Duration wait = 10;"
    " google.protobuf.Timestamp since = 11; uint32 small = 12; float part_too = 13;"
    " map<string, Below> by_name = 14; repeated int64 numbers = 15; repeated Level levels = 16;",
    "message Below { string a = 1; } enum Level { LOW = 0; HIGH = 5; }",
)
# With one key in each map: their order is not that of the document there.
GIVEN = {
    "text": "a",
    "long_number": 7,
    "is_on": True,
    "part": 0.5,
    "level": "HIGH",
    "table": {"a": "b"},
    "below": {"a": "b"},
    "names": ["a", "b"],
    "several": [{"a": "b"}],
    "since": "2026-03-04T05:06:07Z",
    "small": 7,
    "partToo": 0.5,
    "by_name": {"a": {"a": "b"}},
    "numbers": [1, -2],
    "levels": ["LOW", "HIGH"],
    "wait": "1m30s",
}


class Recorder(grpc.GenericRpcHandler):
    """An adapter that remembers what it is asked, and answers what it is told."""

    def __init__(self, descriptor):
        self.messages = template_of("mine", Descriptors(descriptor)).messages
        self.answer = self.messages.result()
        self.got = []

    def service(self, details):
        assert details.method == self.messages.method

        async def answered(request, _context):
            self.got.append(self.messages.request.FromString(request))
            return self.answer.SerializeToString()

        return grpc.unary_unary_rpc_method_handler(answered)


@pytest.fixture
def with_recorder(original, tmp_path):
    """Enters both servers before a recorder with a template and parameters."""

    @asynccontextmanager
    async def enter(descriptor, params, given, config, *, more=(), bindings=None, **rule):
        folder = tmp_path / "config"
        folder.mkdir()
        recorder, server = Recorder(descriptor), grpc.aio.server()
        server.add_generic_rpc_handlers((recorder,))
        address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        handler = {"adapter": "away", "connection": {"address": address}} | given
        action = {"handler": "h", "instances": ["i"], "name": "x"}
        (folder / "mixer.yaml").write_text(
            documents(
                ATTRIBUTES,
                ("template", "mine", {"descriptor": descriptor}),
                ("adapter", "away", {"templates": ["mine"]} | config),
                ("handler", "h", handler),
                ("instance", "i", {"template": "mine", "params": params} | (bindings or {})),
                ("rule", "r", {"actions": [action]} | rule),
                *more,
            )
        )
        try:
            async with both(original, folder, tmp_path) as servers:
                assert () == servers.ours.status().faults
                yield servers, recorder
        finally:
            await server.stop(None)

    return enter


def without_id(request):
    """What is the same for every call."""
    assert request.dedup_id
    request.ClearField("dedup_id")
    return request


def test_both_send_the_same_fields(with_recorder, run_async):
    """Of every type, in maps and in messages; and parameters of every type."""
    descriptor = template("mine", CHECK, FIELDS, more=BELOW)

    async def main():
        given = {"params": GIVEN}
        async with with_recorder(descriptor, PARAMS, given, {"config": CONFIG}) as (servers, away):
            away.answer.valid_use_count = 3
            theirs, ours = await servers.check(ASKED)
            assert theirs == ours
            assert (0, 3) == (ours.code, ours.uses)
            return away.got

    theirs, ours = map(without_id, run_async(main()))
    assert theirs.instance == ours.instance
    assert "c.d" == ours.instance.host.value
    assert (5, 6, -7) == (ours.instance.level, ours.instance.chosen, ours.instance.i)
    assert theirs.adapter_config.type_url == ours.adapter_config.type_url
    params = Descriptors(CONFIG).file_with("Params").message_types_by_name["Params"]
    read = GetMessageClass(params).FromString
    assert read(theirs.adapter_config.value) == read(ours.adapter_config.value)
    assert 90 == read(ours.adapter_config.value).wait.seconds


def test_only_ours_refuses_what_does_not_fit(with_recorder, run_async):
    """The original tells its adapter another number; an enumeration without the name fails both."""
    fields = "uint32 small = 1; Level level = 2;"
    descriptor = template("mine", CHECK, fields, more="enum Level { LOW = 0; HIGH = 5; }")
    params = {"small": "request.size", "level": "source.name"}

    async def main():
        async with with_recorder(descriptor, params, {}, {}) as (servers, away):
            large = await servers.check({"request.size": (1 << 32) + 5, "source.name": "HIGH"})
            got = [one.instance.small for one in away.got]
            return large, got, await servers.check({"request.size": 5, "source.name": "NONE"})

    (theirs, ours), got, unknown = run_async(main())
    assert [5] == got
    assert (0, "INTERNAL") == (theirs.code, ours.code)
    assert ["INTERNAL"] * 2 == [one.code for one in unknown]


def test_neither_sends_a_configuration_that_is_not_described(with_recorder, run_async):
    """Nor an empty one."""

    async def main():
        descriptor = template("mine", CHECK, "string key = 1;")
        async with with_recorder(descriptor, {"key": '"k"'}, {}, {}) as (servers, away):
            await servers.check({})
            return away.got

    theirs, ours = map(without_id, run_async(main()))
    assert theirs == ours
    assert not ours.HasField("adapter_config")


@pytest.mark.parametrize("code", [0, 7, 5, 16])
def test_both_use_the_output_alike(with_recorder, run_async, code):
    """In headers of what is allowed; a map's entries, and a default for what is zero."""
    descriptor = template(
        "mine",
        CHECK_WITH_OUTPUT,
        "string key = 1;",
        "string a = 1; string b = 2; map<string, string> m = 3; bool is = 4; int64 n = 5;"
        " Level level = 6; fixed32 f = 7; sint64 s = 8; float part = 9;",
        "enum Level { LOW = 0; HIGH = 5; }",
    )
    values = [
        "x.output.a",
        'x.output.b | "none"',
        'x.output.m["k"] | "no key"',
        'x.output.m["l"] | "no key"',
        'conditional(x.output.is, "yes", "no")',
        'conditional(x.output.n == 7, "seven", "other")',
        'conditional(x.output.level == 5, "high", "low")',
        'conditional(x.output.f == 8, "eight", "other")',
        'conditional(x.output.s == 9, "nine", "other")',
        'conditional(x.output.part == 0.5, "half", "other")',
    ]
    rule = {
        "requestHeaderOperations": [
            {"name": f"x-{at}", "values": [value]} for at, value in enumerate(values)
        ]
    }

    async def main():
        entered = with_recorder(descriptor, {"key": '"k"'}, {}, {}, **rule)
        async with entered as (servers, away):
            said = away.answer
            said.result.status.code, said.result.status.message = code, "m" if code else ""
            said.result.valid_duration.seconds = 5
            said.output.a, said.output.n = "one", 7
            said.output.level, said.output.f, said.output.s, said.output.part = 5, 8, 9, 0.5
            setattr(said.output, "is", True)
            said.output.m["k"] = "v"
            return await servers.check({})

    theirs, ours = run_async(main())
    assert theirs == ours
    assert code == ours.code
    for word in ("one", "none", "v", "no key", "yes", "seven", "high", "eight", "nine", "half"):
        assert (f'value: "{word}"' in ours.route) == (code == 0)


def test_quotas_go_there_alike(with_recorder, run_async):
    """The amount and its id; and what is granted comes back."""
    name = "i.instance.istio-system"

    async def main():
        descriptor = template("mine", QUOTA, "string key = 1;")
        async with with_recorder(descriptor, {"key": '"k"'}, {}, {}) as (servers, away):
            away.answer.quotas[name].granted_amount = 2
            away.answer.quotas[name].valid_duration.seconds = 7
            answers = [
                await one.check({}, {"i": 3}, deduplication_id="id") for one in servers.askers
            ]
            return answers, away.got

    (theirs, ours), (asked, own) = run_async(main())
    assert theirs == ours
    assert (2, 7.0) == ours.quotas["i"][:2]
    assert asked == own
    assert ("idi", 3) == (own.dedup_id, own.quota_request.quotas[name].amount)


def test_reports_go_there_alike(with_recorder, run_async):
    """All of a batch together."""

    async def main():
        descriptor = template("mine", REPORT, FIELDS, more=BELOW)
        async with with_recorder(descriptor, PARAMS, {}, {}) as (servers, away):
            for asker in servers.askers:
                assert "OK" == await asker.report([ASKED, ASKED | {"source.name": "bob"}])
            return away.got

    theirs, ours = map(without_id, run_async(main()))
    assert theirs == ours
    assert ["ann", "bob"] == [one.text for one in ours.instances]


def test_both_learn_attributes_alike(with_recorder, run_async):
    """What a rule then matches; what the caller said itself counts more."""
    descriptor = template("mine", GENERATOR, "string key = 1;", "string user = 1; int64 n = 2;")
    more = (
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
                "match": 'source.name == "ann" && request.size == 7',
                "actions": [{"handler": "no", "instances": ["all"]}],
            },
        ),
    )
    bindings = {"attributeBindings": {"source.name": "output.user", "request.size": "output.n"}}

    async def main():
        entered = with_recorder(descriptor, {"key": '"k"'}, {}, {}, more=more, bindings=bindings)
        async with entered as (servers, away):
            away.answer.user, away.answer.n = "ann", 7
            return [await servers.check(one) for one in ({}, {"source.name": "bob"})]

    learnt, said = run_async(main())
    assert [7, 0] == [ours.code for _, ours in (learnt, said)]
    for theirs, ours in (learnt, said):
        assert evolve(theirs, references=ours.references) == ours
        assert theirs.references <= ours.references
    # Whoever says it is answered otherwise, so the answer must not be kept for everybody.
    assert ("source.name", None, "absent") in learnt[1].references - learnt[0].references
