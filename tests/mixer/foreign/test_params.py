"""Parameters of adapters, encoded by the descriptor of their document."""

from __future__ import annotations

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message_factory import GetMessageClass

from meshregistry.documents import RuleUnit
from meshregistry.mixer.foreign import Descriptors, encoded
from mixer_templates import parameters

DESCRIPTORS = Descriptors(
    parameters(
        "mine",
        "string text = 1; int64 long_number = 2; uint32 small = 3; double part = 4; bool is_on = 5;"
        "bytes raw = 6; Level level = 7; map<string, string> table = 8; map<int64, Below> by_id = 9;"
        "repeated Below several = 10; repeated string names = 11; Below below = 12;"
        "google.protobuf.Duration wait = 13; google.protobuf.Struct free = 14;"
        "oneof either { string one = 15; string other = 16; }",
        "message Below { string a = 1; } enum Level { LOW = 0; HIGH = 5; }",
    )
)


def written(text):
    """The type, the message as JSON has it, and the faults."""
    (document,) = RuleUnit.of_text(
        "x.yaml", f"apiVersion: v1\nkind: x\nmetadata: {{name: x}}\nspec: {text}\n"
    ).documents
    faults = []
    kind, value = encoded(document.root.get("spec"), DESCRIPTORS, faults)
    described = DESCRIPTORS.file_with("Params").message_types_by_name["Params"]
    message = GetMessageClass(described).FromString(value)
    assert "type.googleapis.com/mine.Params" == kind
    return MessageToDict(message), [f"{one.line}: {one.field}: {one.reason}" for one in faults]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", {}),
        ("{text: 1}", {"text": "1"}),
        ("{longNumber: -7, small: 4294967295}", {"longNumber": "-7", "small": 4294967295}),
        ("{long_number: '9223372036854775807'}", {"longNumber": "9223372036854775807"}),
        ("{part: 0.5, isOn: true, raw: AAE=}", {"part": 0.5, "isOn": True, "raw": "AAE="}),
        ("{level: HIGH}", {"level": "HIGH"}),
        ("{level: 5}", {"level": "HIGH"}),
        ("{table: {a: b, '': c}}", {"table": {"a": "b", "": "c"}}),
        ("{byId: {7: {a: b}}}", {"byId": {"7": {"a": "b"}}}),
        ("{several: [{a: b}, {}]}", {"several": [{"a": "b"}, {}]}),
        ("{names: [a, b], below: {a: b}}", {"names": ["a", "b"], "below": {"a": "b"}}),
        ("{wait: 1.5s}", {"wait": "1.500s"}),
        ("{wait: 1m30s}", {"wait": "90s"}),
        ("{wait: 250ms, isOn: yes}", {"wait": "0.250s", "isOn": True}),
        ("{free: {a: [1, null]}}", {"free": {"a": [1.0, None]}}),
        ("{text: null, other: x}", {"other": "x"}),
    ],
)
def test_values_are_written_as_json_of_protocol_buffers_has_them(text, said):
    """In either spelling of names; nothing is nothing."""
    assert (said, []) == written(text)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{texd: 1}", "spec.texd: "),
        ("{longNumber: 1.5}", "spec.longNumber: '1.5' must be a whole number from -922"),
        ("{small: -1}", "spec.small: '-1' must be a whole number from 0 to 4294967295"),
        ("{part: x}", "spec.part: 'x' must be a number"),
        ("{isOn: 1}", "spec.isOn: '1' must be true or false"),
        ("{raw: '?'}", "spec.raw: is not base64"),
        ("{level: MEDIUM}", "spec.level: 'MEDIUM' is no Level"),
        ("{text: [a]}", "spec.text: must be one value, not a list"),
        ("{table: [a]}", "spec.table: must be a mapping, not a list"),
        ("{table: {a: {b: c}}}", "spec.table.a: must be one value, not a mapping"),
        ("{byId: {x: {}}}", "spec.byId.x: 'x' must be a whole number"),
        ("{several: {a: b}}", "spec.several: must be a list, not a mapping"),
        ("{several: [{b: c}]}", "spec.several[0].b: "),
        ("{below: x}", "spec.below: must be a mapping, not a text"),
        ("{wait: {seconds: 1}}", "spec.wait: is no google.protobuf.Duration"),
        ("{isOn: 'true'}", "spec.isOn: 'true' must be"),
        ("{free: x}", "spec.free: is no google.protobuf.Struct"),
        ("{wait: soon}", "spec.wait: is no google.protobuf.Duration"),
        ("{one: a, other: b}", "spec.other: one is given already"),
    ],
)
def test_a_fault_names_its_field(text, fault):
    """And its line."""
    _, (said,) = written(text)
    assert said.startswith("4: " + fault), said
