"""Templates made from the descriptors of documents."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from meshregistry.mixer import StringMap
from meshregistry.mixer.foreign import Descriptors, ForeignInstance, template_of
from meshregistry.mixer.spi import Field, Form, ValueType, Variety
from mixer_templates import (
    CHECK,
    CHECK_WITH_OUTPUT,
    GENERATOR,
    QUOTA,
    REPORT,
    described,
    parameters,
    template,
)

POLICY = ".istio.policy.v1beta1"


def made(*args, **kwargs):
    """The template of a descriptor that is made from these parts."""
    return template_of("mine.template.ns", Descriptors(template("mine", *args, **kwargs)))


def refused(text):
    """What is wrong with a descriptor."""
    with pytest.raises(ValueError, match=r".") as caught:
        template_of("x", Descriptors(text))
    return str(caught.value)


def changed(text, change):
    """A descriptor, changed; its last file is the template's."""
    files = FileDescriptorSet.FromString(base64.b64decode(text))
    change(files)
    return base64.b64encode(files.SerializeToString()).decode()


@pytest.mark.parametrize(
    ("written", "field"),
    [
        ("string a = 3;", (3, Form.TYPED, ValueType.STRING)),
        ("int64 a = 3;", (3, Form.TYPED, ValueType.INT64)),
        ("double a = 3;", (3, Form.TYPED, ValueType.DOUBLE)),
        ("bool a = 3;", (3, Form.TYPED, ValueType.BOOL)),
        (f"{POLICY}.IPAddress a = 3;", (3, Form.TYPED, ValueType.IP_ADDRESS)),
        (f"{POLICY}.TimeStamp a = 3;", (3, Form.TYPED, ValueType.TIMESTAMP)),
        (f"{POLICY}.Duration a = 3;", (3, Form.TYPED, ValueType.DURATION)),
        (f"{POLICY}.StringMap a = 3;", (3, Form.TYPED, ValueType.STRING_MAP)),
        (f"{POLICY}.Value a = 3;", (3, Form.ANY, None)),
        (f"map<string, {POLICY}.Value> a = 3;", (3, Form.ANY_BY_NAME, None)),
    ],
)
def test_fields_have_the_types_of_the_descriptor(written, field):
    """Those that expressions know, and values of any type; the server gives the name."""
    (own,) = made(CHECK, written).fields
    assert ("a", *field) == (own.name, own.number, own.form, own.value_type)


def test_maps_lists_and_messages_hold_fields():
    """Of one type, or of their own."""
    by_name, several, below = made(
        REPORT,
        "map<string, int64> m = 1; repeated Below r = 2; Below b = 3;",
        more="message Below { string a = 1; }",
    ).fields
    inner = (Field(name="a", number=1, form=Form.TYPED, value_type=ValueType.STRING),)
    assert (Form.BY_NAME, ValueType.INT64) == (by_name.form, by_name.item.value_type)
    assert (Form.REPEATED, inner) == (several.form, several.item.nested)
    assert (Form.NESTED, inner) == (below.form, below.nested)


@pytest.mark.parametrize(
    ("kind", "least", "most"),
    [
        *((one, -(1 << 31), (1 << 31) - 1) for one in ("int32", "sint32", "sfixed32")),
        *((one, 0, (1 << 32) - 1) for one in ("uint32", "fixed32")),
        *((one, 0, (1 << 64) - 1) for one in ("uint64", "fixed64")),
    ],
)
def test_whole_numbers_have_a_width(kind, least, most):
    """What does not fit is none of the field's values, nor a key of a map."""
    single, mapped = made(CHECK, f"{kind} a = 1; map<{kind}, string> b = 2;").fields
    assert ValueType.INT64 is single.value_type
    assert frozenset({ValueType.INT64}) == single.fit.types
    for fit in (single.fit, mapped.key):
        assert [least, most] == [fit(least), fit(most)]
        for wrong in (least - 1, most + 1):
            with pytest.raises(ValueError, match=f"must be a whole number from {least} to {most}"):
                fit(wrong)
        with pytest.raises(ValueError, match="x must be a whole number"):
            fit("x")


def test_others_take_whatever_expressions_have():
    """Of 64 bits with a sign, and of either precision."""
    found = made(CHECK, "sint64 a = 1; sfixed64 b = 2; float c = 3;").fields
    assert [ValueType.INT64, ValueType.INT64, ValueType.DOUBLE] == [one.value_type for one in found]
    assert [None] * 3 == [one.fit for one in found]


def test_enumerations_are_chosen_by_name_or_number():
    """What they do not have is told with what they have."""
    (own,) = made(CHECK, "Level a = 1;", more="enum Level { LOW = 0; HIGH = 5; }").fields
    assert [5, 5, 0] == [own.fit(one) for one in ("HIGH", 5, "LOW")]
    for wrong, said in (("HIHG", "'HIHG' is no Level: did you mean HIGH"), (1, "1 is no Level")):
        with pytest.raises(ValueError, match=said):
            own.fit(wrong)


def test_values_of_any_type_by_number():
    """A map that has whole numbers as keys."""
    (own,) = made(CHECK, f"map<int32, {POLICY}.Value> a = 1;").fields
    assert (Form.BY_NAME, Form.ANY) == (own.form, own.item.form)


@pytest.mark.parametrize("variety", list(Variety))
def test_the_variety_is_the_options(variety):
    """And the method is the service's."""
    own = made(variety.value, "string a = 1;", "string b = 1;")
    assert variety is own.variety
    assert "/mine.HandleMineService/HandleMine" == own.messages.method


@pytest.mark.parametrize("variety", [GENERATOR, CHECK_WITH_OUTPUT])
def test_output_is_what_expressions_can_read(variety):
    """Scalars, messages of policy and maps of strings; the rest is as good as not there."""
    own = made(
        variety,
        "",
        f"string a = 1; map<string, string> b = 2; {POLICY}.Uri c = 3; repeated string d = 4;"
        " map<string, int64> e = 5;",
    )
    assert {
        "a": ValueType.STRING,
        "b": ValueType.STRING_MAP,
        "c": ValueType.URI,
    } == own.output
    result = own.messages.result()
    said = result if variety == GENERATOR else result.output
    said.b["k"] = "v"
    said.c.value = "http://a/"
    said.d.append("x")
    assert {"b": StringMap({"k": "v"}), "c": "http://a/"} == own.output_of(result)


def test_output_of_every_width():
    """All whole numbers, and those of enumerations, are INT64; what does not fit is not there."""
    own = made(
        CHECK_WITH_OUTPUT,
        "",
        "int32 a = 1; fixed64 b = 2; float c = 3; Level d = 4; uint64 e = 5;"
        " google.protobuf.Duration f = 6; google.protobuf.Timestamp g = 7; bytes h = 8;",
        more="enum Level { LOW = 0; HIGH = 5; }",
    )
    assert [ValueType.INT64, ValueType.INT64, ValueType.DOUBLE, ValueType.INT64] == [
        own.output[name] for name in "abcd"
    ]
    assert ("h" in own.output) is False
    result = own.messages.result()
    said = result.output
    said.a, said.b, said.c, said.d, said.e = -1, (1 << 63) - 1, 0.5, 5, 1 << 63
    said.f.seconds, said.g.seconds = 90, 86_400
    assert {
        "a": -1,
        "b": (1 << 63) - 1,
        "c": 0.5,
        "d": 5,
        "f": timedelta(seconds=90),
        "g": datetime(1970, 1, 2, tzinfo=UTC),
    } == own.output_of(result)


def test_equal_descriptors_make_equal_templates():
    """So that a handler goes on when documents are read again."""
    text = template("mine", CHECK, "string a = 1;")
    first, second = (template_of("x", Descriptors(text)) for _ in range(2))
    assert first == second
    assert first.messages.request is not second.messages.request
    assert first != template_of("x", Descriptors(template("mine", CHECK, "string b = 1;")))
    assert ForeignInstance(name="i", values={"a": "b"}) == first.instance("i", {"a": "b"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("%%", "is not base64"),
        ("/////w==", "is no serialised FileDescriptorSet"),
        ("", "has no files"),
        (parameters("p", "string a = 1;"), "no file has the option template_variety"),
        (
            template("mine", 9, more="message OutputMsg {}"),
            "own.proto: 9 is no variety of templates",
        ),
        (template("mine", CHECK, "bytes a = 1;"), "a: no expression has bytes; fields are strings"),
        (template("mine", CHECK, "map<bool, string> a = 1;"), "a: the keys of a map must be"),
        (
            template("mine", CHECK, "A a = 1;", more="message A { A b = 1; }"),
            "a.b: a message within itself",
        ),
        (
            changed(template("mine", CHECK), lambda files: files.file.pop(-2)),
            "which is not in it; protoc writes it with --descriptor_set_out and --include_imports",
        ),
        (
            changed(template("mine", CHECK), lambda files: files.file[-1].ClearField("service")),
            "must have one service Handle<Name>Service",
        ),
        (
            changed(
                template("mine", CHECK, "string a = 1;"),
                lambda files: setattr(files.file[-1].message_type[1].field[1], "type_name", ".no"),
            ),
            "own.proto is not right",
        ),
        (
            changed(
                template("mine", QUOTA),
                lambda files: files.file[-1].message_type[0].field.pop(),
            ),
            "mine.HandleMineRequest.quota_request must be a istio",
        ),
        (
            changed(
                template("mine", CHECK),
                lambda files: files.file[-1].message_type[1].field.pop(),
            ),
            "mine.InstanceMsg.name must be a string",
        ),
        (
            changed(
                template("mine", REPORT),
                lambda files: setattr(files.file[-1].message_type[0].field[0], "label", 1),
            ),
            "mine.HandleMineRequest.instances is repeated in reports, and only there",
        ),
        (
            changed(
                template("mine", QUOTA),
                lambda files: setattr(
                    files.file[-1].service[0].method[0], "output_type", ".mine.InstanceMsg"
                ),
            ),
            "the result mine.InstanceMsg must be a istio.mixer.adapter.model.v1beta1.QuotaResult",
        ),
    ],
)
def test_what_is_wrong_is_told(text, said):
    """In the words of who makes descriptors."""
    assert said in refused(text)


def test_well_known_files_may_be_missing():
    """Everybody has those of protocol buffers."""

    def without(files):
        left = [one for one in files.file if not one.name.startswith("google/protobuf/")]
        del files.file[:]
        files.file.extend(reversed(left))

    text = changed(template("mine", CHECK, "string a = 1;"), without)
    assert "a" == template_of("x", Descriptors(text)).fields[0].name


def test_each_descriptor_has_names_of_its_own():
    """Two that describe other messages by the same name do not meet."""
    first, second = (
        Descriptors(described(f'syntax = "proto3"; package p; message Params {{ {kind} a = 1; }}'))
        for kind in ("string", "bool")
    )
    kinds = [
        one.file_with("Params").message_types_by_name["Params"].fields_by_name["a"].type
        for one in (first, second)
    ]
    assert kinds[0] != kinds[1]
