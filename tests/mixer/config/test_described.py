"""Documents that describe templates and adapters of other people."""

from __future__ import annotations

import pytest

from meshregistry.documents import RuleUnit
from meshregistry.mixer import AttributeBag
from meshregistry.mixer.adapters import ADAPTERS
from meshregistry.mixer.config import Configurator, Known, snapshot
from meshregistry.mixer.expressions import EvaluationError, PlainAttributes
from meshregistry.mixer.spi import TEMPLATES, Variety
from mixer_both import documents
from mixer_templates import CHECK, CHECK_WITH_OUTPUT, REPORT, parameters, template

FIELDS = (
    "string key = 1; map<string, int64> sizes = 2; repeated string names = 3; Below below = 4;"
    " map<string, Below> all = 5; .istio.policy.v1beta1.Value any_one = 6;"
)
MINE = template("mine", CHECK, FIELDS, more="message Below { string a = 1; }")
CONFIG = parameters("mine", "map<string, string> table = 1;")
ADAPTER = {"templates": ["mine"], "config": CONFIG}
HANDLER = {"adapter": "away", "connection": {"address": "127.0.0.1:1"}}
INSTANCE = {"template": "mine", "params": {"key": "source.name"}}
RULE = {"actions": [{"handler": "h", "instances": ["i"]}]}


def built(**changed):
    """The configuration of one of each, some of them changed, and the faults by document."""
    given = {
        "template": ("mine", {"descriptor": MINE}),
        "adapter": ("away", ADAPTER),
        "handler": ("h", HANDLER),
        "instance": ("i", INSTANCE),
        "rule": ("r", RULE),
    }
    given |= {kind: (given[kind][0], spec) for kind, spec in changed.items()}
    text = documents(*((kind, *one) for kind, one in given.items() if one[1] is not None))
    found = RuleUnit.of_text("x.yaml", text).documents
    by_line = {one.root.line: one.key.kind for one in found}
    faults = []
    made = snapshot(found, Known.of(ADAPTERS, TEMPLATES), faults)
    return made, [f"{by_line[one.line]}: {one.field}: {one.reason}" for one in faults]


def only(made):
    """The one destination of checks."""
    (destination,) = made.default.destinations[Variety.CHECK]
    return destination


def test_the_adapter_is_bypass_with_templates_of_its_own():
    """And its parameters are the message that its document describes."""
    made, faults = built(handler=HANDLER | {"params": {"table": {"a": "b"}}})
    assert [] == faults
    plan = only(made).plan
    assert ("bypass", ["mine.template.istio-system"]) == (
        plan.adapter.name,
        [one.name for one in plan.adapter.templates],
    )
    assert "type.googleapis.com/mine.Params" == plan.config.params["@type"]
    assert ("127.0.0.1:1", False) == (plan.config.backend_address, plan.config.session_based)
    # The original has full names for handlers of adapters in other processes.
    assert "h.handler.istio-system" == plan.title


def test_instances_have_the_fields_of_the_template():
    """Maps, lists and messages of expressions."""
    params = {
        "key": "source.name",
        "sizes": {"a": "request.size"},
        "names": ["source.name", '"x"'],
        "below": {"a": '"y"'},
        "all": {"z": {"a": "source.name"}},
        "anyOne": "request.size",
    }
    made, faults = built(instance={"template": "mine", "params": params})
    assert [] == faults
    (builder,) = only(made).sent[0].builders
    bag = AttributeBag({"source.name": "ann", "request.size": 7})
    assert {
        "key": "ann",
        "sizes": {"a": 7},
        "names": ["ann", "x"],
        "below": {"a": "y"},
        "all": {"z": {"a": "ann"}},
        "any_one": 7,
    } == builder.build(PlainAttributes(bag.entries)).values


LEVELS = template(
    "mine",
    CHECK,
    "string key = 1; Level level = 2; int32 small = 3; map<int32, string> by_number = 4;"
    " repeated Level all = 5; double half = 6; map<int64, .istio.policy.v1beta1.Value> any = 7;",
    more="enum Level { LOW = 0; HIGH = 5; }",
)


def values(params, **attributes):
    """The fields of an instance of `LEVELS`, which is right."""
    made, faults = built(
        template={"descriptor": LEVELS}, instance={"template": "mine", "params": params}
    )
    assert [] == faults
    (builder,) = only(made).sent[0].builders
    bag = AttributeBag({name.replace("_", "."): value for name, value in attributes.items()})
    return builder.build(PlainAttributes(bag.entries)).values


def test_narrow_fields_take_what_fits():
    """Enumerations by name and number; numbers of YAML, negative ones, too; numbers as keys."""
    params = {
        "level": "source.name",
        "small": -7,
        "by_number": {5: "source.name", "-1": '"x"'},
        "all": ['"HIGH"', 5, "request.size"],
        "half": -0.5,
        "any": {7: "request.size"},
    }
    assert {
        "level": 5,
        "small": -7,
        "by_number": {5: "HIGH", -1: "x"},
        "all": [5, 5, 0],
        "half": -0.5,
        "any": {7: 0},
    } == values(params, source_name="HIGH", request_size=0)


def test_what_does_not_fit_a_request_fails_it():
    """As an attribute that is absent does; with the field's name."""
    with pytest.raises(EvaluationError, match="level: 'NONE' is no Level: write one of: LOW, HIGH"):
        values({"level": "source.name"}, source_name="NONE")
    with pytest.raises(EvaluationError, match="small: 2147483648 must be a whole number from -"):
        values({"small": "request.size"}, request_size=1 << 31)
    with pytest.raises(EvaluationError, match=r"small: lookup failed: 'request\.size'"):
        values({"small": "request.size"})


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"level": '"HIHG"'}, "spec.params.level: 'HIHG' is no Level: did you mean HIGH?"),
        ({"level": 3}, "spec.params.level: 3 is no Level"),
        ({"level": "HIGH"}, "spec.params.level: unknown attribute HIGH"),
        ({"level": "true"}, "spec.params.level: expected type INT64 or STRING, got BOOL"),
        ({"small": 1 << 31}, "spec.params.small: 2147483648 must be a whole number"),
        ({"small": '"5"'}, "spec.params.small: expected type INT64, got STRING"),
        ({"by_number": {"a": '"x"'}}, "spec.params.by_number.a: a must be a whole number from -"),
        ({"by_number": {1 << 31: '"x"'}}, "2147483648 must be a whole number from -"),
        ({"half": '"a"'}, "spec.params.half: expected type DOUBLE, got STRING"),
    ],
)
def test_what_can_never_fit_is_a_fault(params, said):
    """When documents are read, at its field."""
    _, faults = built(
        template={"descriptor": LEVELS}, instance={"template": "mine", "params": params}
    )
    assert f"instance: {said}" in faults[0] or said in faults[0]


def test_documents_read_again_make_equal_plans():
    """So the handler, with its session and its connection, goes on."""
    first, second = built()[0], built()[0]
    assert first.handlers == second.handlers
    other, _ = built(template={"descriptor": template("mine", CHECK, "string key = 1;")})
    assert first.handlers != other.handlers


@pytest.mark.parametrize(
    "reference", ["mine.istio-system", "mine.template", "mine.template.istio-system"]
)
def test_references_are_those_of_rules(reference):
    """Name, name and namespace, or in full."""
    assert [] == built(instance=INSTANCE | {"template": reference})[1]
    assert [] == built(adapter=ADAPTER | {"templates": [reference]})[1]


def test_an_adapter_may_take_what_is_built_in():
    """Whose own document is passed over."""
    made, faults = built(
        adapter={"templates": ["mine", "listentry"]},
        instance={"template": "listentry", "params": {"value": "source.name"}},
    )
    assert [] == faults
    assert "listentry" == only(made).template.name


def test_an_adapter_without_a_configuration_gets_none():
    """Not an empty one, either."""
    made, faults = built(adapter={"templates": ["mine"], "session_based": True})
    assert [] == faults
    config = only(made).plan.config
    assert ({"@type": "", "value": ""}, True) == (config.params, config.session_based)


def test_a_value_of_another_type_is_a_fault():
    """As with templates that are built in."""
    _, faults = built(instance={"template": "mine", "params": {"key": "request.size"}})
    assert faults[0].startswith("instance: spec.params.key: ")


def test_a_whole_number_is_a_double_where_that_is_expected():
    """YAML has one kind of numbers; an expression in quotes has two."""
    descriptor = {"descriptor": template("mine", CHECK, "double half = 1;")}
    made, faults = built(template=descriptor, instance={"template": "mine", "params": {"half": 5}})
    assert [] == faults
    (builder,) = only(made).sent[0].builders
    assert {"half": 5.0} == builder.build(PlainAttributes({})).values
    _, faults = built(template=descriptor, instance={"template": "mine", "params": {"half": "5"}})
    assert faults[0].startswith("instance: spec.params.half: ")


def test_output_is_for_header_operations():
    """With the type that the descriptor has."""
    descriptor = template(
        "mine", CHECK_WITH_OUTPUT, "string key = 1;", "int64 n = 1; string s = 2;"
    )
    rule = {
        "actions": [{"handler": "h", "instances": ["i"], "name": "x"}],
        "requestHeaderOperations": [{"name": "a", "values": ["x.output.s"]}],
    }
    made, faults = built(template={"descriptor": descriptor}, rule=rule)
    assert [] == faults
    assert 1 == len(made.default.headers)
    rule["requestHeaderOperations"][0]["values"] = ["x.output.n"]
    _, (said,) = built(template={"descriptor": descriptor}, rule=rule)
    assert said.startswith("rule: spec.requestHeaderOperations[0].values[0]: ")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"template": {"descriptor": "%"}}, "template: spec.descriptor: is not base64"),
        ({"template": {"descriptor": CONFIG}}, "template: spec.descriptor: no file has the option"),
        ({"template": {}}, "template: spec: descriptor is missing"),
        ({"template": {"descriptor": MINE, "x": 1}}, "template: spec.x: "),
        ({"template": None}, "adapter: spec.templates[0]: the template mine is not there"),
        ({"adapter": {"templates": []}}, "adapter: spec: the adapter takes no templates"),
        ({"adapter": {"templates": ["kubernetes"]}}, "adapter: spec.templates[0]: kubernetes is"),
        ({"adapter": ADAPTER | {"config": MINE}}, "adapter: spec.config: has no message Params"),
        ({"adapter": ADAPTER | {"config": "%"}}, "adapter: spec.config: is not base64"),
        ({"adapter": ADAPTER | {"session_based": "x"}}, "adapter: spec.session_based: must be"),
        (
            {"handler": HANDLER | {"params": {"tabel": {}}}},
            "handler: spec.params.tabel: ",
        ),
        (
            {"handler": HANDLER | {"params": {"table": {"a": []}}}},
            "handler: spec.params.table.a: must be one value, not a list",
        ),
        ({"handler": {"adapter": "away"}}, "handler: spec: the adapter is in another process"),
        (
            {"adapter": {"templates": ["mine"]}, "handler": HANDLER | {"params": {"a": 1}}},
            "handler: spec.params: the adapter has no parameters",
        ),
        (
            {"instance": {"template": "mine", "params": {"names": "source.name"}}},
            "instance: spec.params.names: must be a list, not a quoted text",
        ),
        (
            {"instance": {"template": "mine", "params": {"kez": "source.name"}}},
            "instance: spec.params.kez: ",
        ),
    ],
)
def test_what_is_wrong_is_told_at_its_place(changed, said):
    """First the cause; documents that need what is wrong say so after it."""
    _, faults = built(**changed)
    assert faults[0].startswith(said), faults


def test_who_needs_what_is_wrong_says_so():
    """And nothing is guessed in its place."""
    made, faults = built(template={"descriptor": "%"})
    assert [
        "template: spec.descriptor",
        "adapter: spec.templates[0]",
        "handler: spec.adapter",
        "instance: spec.template",
    ] == [one.rpartition(": ")[0].removesuffix(": is not base64") for one in faults][:4]
    assert () == made.handlers


def test_a_descriptor_that_becomes_wrong_changes_nothing():
    """What was in force stays, with the handler that runs."""
    configurator = Configurator(Known.of(ADAPTERS, TEMPLATES))

    def accepted(descriptor):
        text = documents(
            ("template", "mine", {"descriptor": descriptor}),
            ("adapter", "away", ADAPTER),
            ("handler", "h", HANDLER),
            ("instance", "i", INSTANCE),
            ("rule", "r", RULE),
        )
        return configurator.build(RuleUnit.of_text("x.yaml", text).documents)

    first, second = accepted(MINE), accepted("%")
    assert () == first.faults
    assert ("template", "mine") in [(one.kind, one.name) for one in second.kept]
    assert first.snapshot.handlers == second.snapshot.handlers
    assert 1 == len(second.snapshot.handlers)


def test_an_instance_of_another_template_is_not_taken():
    """Although both are described."""
    other = ("template", "other", {"descriptor": template("other", REPORT, "string key = 1;")})
    text = documents(
        ("template", "mine", {"descriptor": MINE}),
        other,
        ("adapter", "away", ADAPTER),
        ("handler", "h", HANDLER),
        ("instance", "i", INSTANCE | {"template": "other"}),
        ("rule", "r", RULE),
    )
    faults = []
    found = RuleUnit.of_text("x.yaml", text).documents
    snapshot(found, Known.of(ADAPTERS, TEMPLATES), faults)
    (said,) = [one.reason for one in faults]
    assert said.startswith("h.handler.istio-system (bypass) takes no other.template.istio-system")
