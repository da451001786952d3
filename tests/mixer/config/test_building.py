"""Documents become a snapshot: what is right is in force, what is wrong is reported at its place."""

from __future__ import annotations

from textwrap import dedent

import pytest
from attrs import field, frozen

from meshregistry.documents import RuleUnit
from meshregistry.mixer import AttributeBag, ValueType
from meshregistry.mixer._directive import Operation
from meshregistry.mixer.config import Known, snapshot
from meshregistry.mixer.expressions import EvaluationError, PlainAttributes
from meshregistry.mixer.spi import CHECK_NOTHING as CHECKS
from meshregistry.mixer.spi import (
    KUBERNETES,
    LIST_ENTRY,
    METRIC,
    TEMPLATES,
    Handler,
    Instance,
    MixerAdapter,
    Template,
    Variety,
    typed,
)
from meshregistry.mixer.spi import QUOTA as QUOTAS


@frozen(kw_only=True)
class Limit:
    """Something nested."""

    max_amount: int
    by_name: dict[str, str] = field(factory=dict)


@frozen(kw_only=True)
class Config:
    """Parameters of the adapter of these tests."""

    some_text: str = ""
    limits: tuple[Limit, ...] = ()


@frozen(kw_only=True)
class Said(Instance):
    """What a check with output is given."""

    word: str = typed(1)


SAYS = Template(
    name="says",
    variety=Variety.CHECK_WITH_OUTPUT,
    instance_class=Said,
    output={"value": ValueType.STRING},
)


RAISED = {
    "exit": SystemExit(3),
    "fail": KeyError("k"),
    "interrupt": KeyboardInterrupt(),
}


def _faults(config, instances):
    if config.some_text == "wrong":
        yield "some_text: it is wrong"
    if config.some_text in RAISED:
        raise RAISED[config.some_text]
    yield from (f"{name} is not wanted" for name in instances if "unwanted" in name)


ADAPTER = MixerAdapter(
    name="double",
    config_class=Config,
    templates=(CHECKS, LIST_ENTRY, METRIC, QUOTAS, KUBERNETES, SAYS),
    open=lambda _config, _context: Handler(),
    check=_faults,
    aliases=("twice",),
)
REPORTS = MixerAdapter(
    name="reports",
    config_class=Config,
    templates=(METRIC,),
    open=lambda _config, _context: Handler(),
)
KNOWN = Known.of([ADAPTER, REPORTS], [*TEMPLATES, SAYS])
HEAD = (
    "apiVersion: config.istio.io/v1alpha2\nkind: {}\nmetadata: {{name: {}, namespace: {}}}\nspec:\n"
)


def document(kind: str, name: str, spec: str, namespace: str = "shop") -> str:
    """One document."""
    body = "\n".join(f"  {line}" for line in dedent(spec).strip().splitlines())
    return HEAD.format(kind, name, namespace) + body + "\n"


def built(*documents: str):
    """A snapshot, and what was wrong as texts of one line."""
    units = [RuleUnit.of_text("mixer.yaml", one) for one in documents]
    assert [one.faults for one in units] == [()] * len(units)
    faults = []
    made = snapshot([one for unit in units for one in unit.documents], KNOWN, faults)
    return made, [f"{one.line}: {one.field}: {one.reason.splitlines()[0]}" for one in faults]


HANDLER = document("handler", "h", "compiledAdapter: double")
INSTANCE = document("instance", "i", "compiledTemplate: checknothing")
RULE = document("rule", "r", "actions: [{handler: h, instances: [i]}]")


def checks(made, namespace="shop"):
    """The destinations of checks."""
    return made.rules(namespace).destinations.get(Variety.CHECK, ())


class TestWhole:
    """A handler, an instance and a rule."""

    def test_a_rule_joins_them(self):
        """For requests of its namespace and no other."""
        made, faults = built(HANDLER, INSTANCE, RULE)
        assert faults == []
        (destination,) = checks(made)
        assert destination.plan.title == "h.shop"
        assert destination.sent[0].rule == "r.rule.shop"
        assert [str(one.name) for one in destination.sent[0].builders] == ["i.instance.shop"]
        assert checks(made, "other") == ()

    def test_the_default_namespace_is_for_all(self):
        """And comes first."""
        general = [
            one.replace("namespace: shop", "namespace: istio-system")
            for one in (HANDLER, INSTANCE, RULE)
        ]
        made, faults = built(*general, HANDLER, INSTANCE, RULE)
        assert faults == []
        assert [one.plan.title for one in checks(made)] == ["h.istio-system", "h.shop"]
        assert [one.plan.title for one in checks(made, "other")] == ["h.istio-system"]

    def test_kinds_named_after_adapters_and_templates(self):
        """Their fields stand in ``spec`` itself; the full name has the kind."""
        made, faults = built(
            document("double", "h", "someText: x"),
            document("metric", "m", "value: 1\ndimensions: {a: request.path}"),
            document("rule", "r", "actions: [{handler: h.double, instances: [m.metric]}]"),
        )
        assert faults == []
        (destination,) = made.rules("shop").destinations[Variety.REPORT]
        assert destination.plan.title == "h.double.shop"
        assert destination.plan.config == Config(some_text="x")
        types = destination.plan.instances["m.metric.shop"]
        assert types.types["value"] is ValueType.INT64
        assert types.dimensions() == {"a": ValueType.STRING}

    def test_aliases(self):
        """The names of older versions."""
        made, faults = built(
            document("twice", "h", "{}"), INSTANCE, RULE.replace("handler: h", "handler: h.twice")
        )
        assert (faults, len(checks(made))) == ([], 1)

    def test_references(self):
        """Short, with a namespace, with a kind, in full."""
        other = INSTANCE.replace("namespace: shop", "namespace: other")
        rule = document(
            "rule",
            "r",
            "actions: [{handler: h.handler.shop, instances: [i, i.other, i.instance.other]}]",
        )
        made, faults = built(HANDLER, INSTANCE, other, rule)
        assert faults == []
        names = [str(one.name) for one in checks(made)[0].sent[0].builders]
        assert names == ["i.instance.shop", "i.instance.other", "i.instance.other"]

    def test_parameters_in_both_spellings(self):
        """Keys that are names of the user's stay as they are."""
        spec = "compiledAdapter: double\nparams: {limits: [{maxAmount: 5, byName: {someKey: x}}], some_text: y}"
        made, faults = built(document("handler", "h", spec), INSTANCE, RULE)
        assert faults == []
        limit = Limit(max_amount=5, by_name={"someKey": "x"})
        assert made.handlers[0].config == Config(some_text="y", limits=(limit,))

    def test_unused_handlers_are_not_built(self):
        """Only what a rule sends something to."""
        assert built(HANDLER, INSTANCE)[0].handlers == ()

    def test_what_is_wrong_with_unused_handlers_is_told(self):
        """Before a rule names them and finds out."""
        made, faults = built(document("handler", "h", "compiledAdapter: double\nparams: {no: 1}"))
        assert made.handlers == ()
        (fault,) = faults
        assert "spec.params.no" in str(fault)

    def test_equal_handlers_are_equal(self):
        """So that one which did not change goes on running."""
        one, _ = built(HANDLER, INSTANCE, RULE)
        other, _ = built(
            HANDLER, INSTANCE, RULE, document("handler", "unused", "compiledAdapter: double")
        )
        assert one.handlers == other.handlers
        changed, _ = built(HANDLER + "  params: {someText: x}\n", INSTANCE, RULE)
        assert one.handlers != changed.handlers

    def test_conditions(self):
        """``true`` and nothing are always; the rest is compiled."""
        for text, has_match in (('""', False), ('"TRUE"', False), ('request.path == "/"', True)):
            rule = RULE + f"  match: {text}\n"
            made, faults = built(HANDLER, INSTANCE, rule)
            assert faults == []
            assert (checks(made)[0].sent[0].match is not None) is has_match

    def test_another_version(self):
        """It is in force and told with its line; other groups are nobody's business here."""
        rule = RULE.replace("v1alpha2", "v1alpha3")
        other = RULE.replace("config.istio.io/v1alpha2", "rbac.istio.io/v1alpha1")
        made, faults = built(HANDLER, INSTANCE, rule, other)
        assert faults == []
        assert len(checks(made)) == 1
        (hint,) = made.hints
        assert (hint.line, hint.field) == (1, "apiVersion")
        assert str(hint) == (
            "mixer.yaml:1:13: apiVersion: config.istio.io/v1alpha3 is read as "
            "config.istio.io/v1alpha2, the only version; "
            "write apiVersion: config.istio.io/v1alpha2"
        )

    def test_a_condition_that_is_hardly_meant(self):
        """It is in force, and told in every rule that has it."""
        text = """  match: request.path.matches("^/admin")\n"""
        other = document("rule", "s", "actions: [{handler: h, instances: [i]}]")
        made, faults = built(HANDLER, INSTANCE, RULE + text, other + text)
        assert faults == []
        assert len(checks(made)[0].sent) == 2
        assert len(made.hints) == 2
        assert made.hints[0].field == "spec.match"
        assert 'write "pattern".matches(attribute)' in made.hints[0].reason

    def test_headers(self):
        """Expressions over attributes and over what a check gives."""
        made, faults = built(
            HANDLER,
            document("instance", "s", "compiledTemplate: says\nparams: {word: request.path}"),
            document(
                "rule",
                "r",
                """
                actions: [{handler: h, instances: [s], name: x}]
                requestHeaderOperations:
                - {name: X-Value, values: [x.output.value, '"b"']}
                responseHeaderOperations:
                - {name: server, operation: REMOVE}
                - {name: via, values: ['"me"'], operation: 2}
                """,
            ),
        )
        assert faults == []
        headers = made.rules("shop").headers
        assert [(one.is_request, one.operation, len(one.values)) for one in headers] == [
            (True, Operation.REPLACE, 2),
            (False, Operation.REMOVE, 0),
            (False, Operation.APPEND, 1),
        ]
        assert headers[0].name.evaluate(PlainAttributes({})) == "x-value"

    def test_generators_bind_attributes(self):
        """Of what they find."""
        spec = """
        compiledTemplate: kubernetes
        params: {source_ip: source.ip | ip("0.0.0.0")}
        attributeBindings: {source.name: $out.source_pod_name | "unknown"}
        """
        made, faults = built(HANDLER, document("instance", "i", spec), RULE)
        assert faults == []
        (destination,) = made.rules("shop").destinations[Variety.ATTRIBUTE_GENERATOR]
        (binding,) = destination.sent[0].builders[0].bindings.values()
        assert binding.evaluate(PlainAttributes({"_out.source_pod_name": "pod"})) == "pod"

    def test_manifests_declare_attributes(self):
        """Beside the vocabulary."""
        made, faults = built(
            document("attributemanifest", "own", "attributes: {shop.size: {valueType: INT64}}"),
            HANDLER,
            INSTANCE,
            RULE + "  match: shop.size > 5\n",
        )
        assert faults == []
        assert made.manifest["shop.size"].type is ValueType.INT64


class TestBuilder:
    """Instances made of attributes."""

    def test_every_form_of_field(self):
        """Typed, of any type, by name, nested; what is not written is zero."""
        adapter = MixerAdapter(
            name="all",
            config_class=Config,
            templates=TEMPLATES,
            open=lambda _config, _context: Handler(),
        )
        unit = RuleUnit.of_text(
            "f",
            document("all", "h", "{}")
            + "---\n"
            + document(
                "authorization",
                "a",
                "subject: {user: source.user, properties: {n: response.code}}\naction: {path: '\"/x\"'}",
            )
            + "---\n"
            + document("rule", "r", "actions: [{handler: h.all, instances: [a.authorization]}]"),
        )
        faults = []
        made = snapshot(unit.documents, Known.of([adapter], TEMPLATES), faults)
        assert faults == []
        builder = made.rules("shop").destinations[Variety.CHECK][0].sent[0].builders[0]
        bag = AttributeBag({"source.user": "me", "response.code": 200})
        instance = builder.build(PlainAttributes(bag))
        assert instance.name == "a.authorization.shop"
        assert (instance.subject.user, instance.subject.properties) == ("me", {"n": 200})
        assert (instance.action.path, instance.action.method) == ("/x", "")
        with pytest.raises(EvaluationError, match=r"subject.user: lookup failed: 'source.user'"):
            builder.build(PlainAttributes({}))


class TestFaults:
    """What is wrong is reported with line and field, and harms no other document."""

    @pytest.mark.parametrize(
        ("documents", "said"),
        [
            (
                [document("handler", "x", "compiledAdapter: doubel")],
                "5: spec.compiledAdapter: there is no adapter 'doubel'",
            ),
            (
                [document("instance", "x", "compiledTemplate: servicecontrolreport")],
                "5: spec.compiledTemplate: the template servicecontrolreport is for an adapter that",
            ),
            (
                [document("servicecontrolreport", "x", "{}")],
                "2: kind: the template servicecontrolreport is for an adapter that",
            ),
            (
                [document("handler", "x", "compiledAdapter: stackdriver")],
                "5: spec.compiledAdapter: the adapter stackdriver sends to a service that others run",
            ),
            (
                [document("signalfx", "x", "{}")],
                "2: kind: the adapter signalfx sends to a service that others run",
            ),
            (
                [document("handler", "x", "compiledAdapter: double\nparms: {}")],
                "6: spec.parms: unknown key",
            ),
            (
                [document("instance", "x", "compiledTemplate: metrics")],
                "5: spec.compiledTemplate: there is no template 'metrics'",
            ),
            (
                [document("instance", "x", "compiledTemplate: metric\nparams: {valu: '1'}")],
                "6: spec.params.valu: unknown key",
            ),
            (
                [document("instance", "x", "compiledTemplate: metric\nparams: {value: nope}")],
                "6: spec.params.value: unknown attribute nope",
            ),
            (
                [document("instance", "x", "compiledTemplate: logentry\nparams: {severity: 5}")],
                "6: spec.params.severity: expected type STRING, got INT64",
            ),
            (
                [document("instance", "x", "compiledTemplate: quota\nattributeBindings: {a: b}")],
                "6: spec.attributeBindings.a: quota generates no attributes",
            ),
            ([document("metrik", "x", "{}")], "2: kind: there is no kind 'metrik'"),
            ([document("template", "x", "{}")], "5: spec: descriptor is missing"),
            ([document("rule", "x", "match: 'true'")], "5: spec: the rule does nothing"),
            (
                [RULE.replace("name: r", "name: x").replace("handler: h", "handler: nope")],
                "5: spec.actions[0].handler: there is no handler nope",
            ),
            (
                [RULE.replace("name: r", "name: x").replace("[i]", "[nope]")],
                "5: spec.actions[0].instances[0]: there is no instance nope",
            ),
            (
                [RULE.replace("name: r", "name: x").replace("[i]", "[i, i]")],
                "5: spec.actions[0].instances[1]: i is listed twice",
            ),
            (
                [RULE.replace("name: r", "name: x").replace("[i]", "[]")],
                "5: spec.actions[0].handler: the action sends no instances",
            ),
            (
                [RULE.replace("name: r", "name: x") + "  match: request.path\n"],
                "6: spec.match: expected type BOOL, got STRING",
            ),
            (
                [
                    document("reports", "p", "{}"),
                    RULE.replace("name: r", "name: x").replace("handler: h", "handler: p.reports"),
                ],
                "5: spec.actions[0].instances[0]: p.reports.shop (reports) takes no checknothing",
            ),
            (
                [
                    document("double", "w", "some_text: wrong"),
                    RULE.replace("name: r", "name: x").replace("handler: h", "handler: w.double"),
                ],
                "5: spec.some_text: it is wrong",
            ),
            (
                [
                    document("double", "w", "limits: [{max_amount: many}]"),
                    RULE.replace("name: r", "name: x").replace("handler: h", "handler: w.double"),
                ],
                "5: spec.limits[0].max_amount: must be a whole number, not a text 'many'",
            ),
            ([HANDLER], "5: spec: there is a document h.handler.shop already"),
            (
                [
                    document(
                        "attributemanifest", "x", "attributes: {request.path: {valueType: BOOL}}"
                    )
                ],
                '5: spec.attributes["request.path"]: request.path is declared as STRING already',
            ),
            (
                [document("attributemanifest", "x", "attributes: {a: {valueType: TEXT}}")],
                "5: spec.attributes.a.valueType: 'TEXT' is no type of values",
            ),
            (
                [RULE.replace("name: r", "name: x") + "  requestHeaderOperations: [{name: a}]\n"],
                "6: spec.requestHeaderOperations[0]: the operation has no values",
            ),
            ([RULE.replace(", namespace: shop", "")], "1: : the document has no namespace"),
        ],
    )
    def test_one_fault(self, documents, said):
        """Each alone; the good documents are in force."""
        made, faults = built(*documents, HANDLER, INSTANCE, RULE)
        assert len(faults) == 1
        assert faults[0].startswith(said)
        assert len(checks(made)) == 1

    @pytest.mark.parametrize(
        ("word", "said"), [("exit", "SystemExit: 3"), ("fail", "KeyError: 'k'")]
    )
    def test_an_adapter_that_cannot_check(self, word, said):
        """It is at fault for its own handler; what it raised is the cause."""
        wrong = document("handler", "x", f"compiledAdapter: double\nparams: {{someText: {word}}}")
        faults = []
        units = [RuleUnit.of_text("m.yaml", one) for one in (wrong, HANDLER, INSTANCE, RULE)]
        made = snapshot([one for unit in units for one in unit.documents], KNOWN, faults)
        (fault,) = faults
        assert f"the adapter double failed to check this: {said}" in str(fault)
        assert fault.field == "spec.params"
        assert fault.__cause__ is RAISED[word]
        assert len(checks(made)) == 1

    def test_an_interrupt_while_an_adapter_checks(self):
        """It is the user's, and no fault of the adapter."""
        spec = "compiledAdapter: double\nparams: {someText: interrupt}"
        with pytest.raises(KeyboardInterrupt):
            built(document("handler", "x", spec))

    def test_a_rule_with_an_instance_that_is_wrong(self):
        """It is not said that there is none; the fault is in the document of the instance."""
        wrong = document("instance", "bad", "compiledTemplate: quota\nparams: {a: b}")
        rule = RULE.replace("name: r", "name: x").replace("[i]", "[bad]")
        _, faults = built(wrong, rule, HANDLER, INSTANCE, RULE)
        assert len(faults) == 2
        assert "spec.params.a: unknown key" in faults[0]
        assert "the instance bad cannot be used" in faults[1]

    def test_a_rule_with_a_handler_that_is_wrong(self):
        """Likewise; what another kind of document names is no handler."""
        wrong = document("handler", "bad", "compiledAdapter: double\nparms: {}")
        rule = RULE.replace("name: r", "name: x")
        _, faults = built(wrong, rule.replace("handler: h", "handler: bad"), INSTANCE)
        assert len(faults) == 2
        assert "spec.parms: unknown key" in faults[0]
        assert "the handler bad cannot be used" in faults[1]
        _, faults = built(rule.replace("handler: h", "handler: i.instance"), INSTANCE)
        assert "there is no handler i.instance" in faults[0]

    def test_an_expression_shows_its_caret(self):
        """In the reason, under the column."""
        unit = RuleUnit.of_text("f", RULE + "  match: request.path == 5\n")
        faults = []
        snapshot(unit.documents, KNOWN, faults)
        assert faults[0].reason.splitlines()[1:] == ["  request.path == 5", "                  ^"]
