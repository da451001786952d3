"""What documents in files say of services: APIs, charges, and for whom."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from textwrap import dedent

import pytest

from meshregistry.errors import ConfigError
from meshregistry.mixer import (
    AttributeBag,
    MixerClient,
    MixerMiddleware,
    StringMap,
    ValueType,
    read_services,
)
from meshregistry.mixer.vocabulary import STANDARD

HEAD = "apiVersion: config.istio.io/v1alpha2\nkind: {}\nmetadata: {{name: {}, namespace: shop}}\nspec:\n"


def document(kind: str, name: str, spec: str) -> str:
    """One document of the namespace ``shop``."""
    body = "\n".join(f"  {line}" for line in dedent(spec).strip().splitlines())
    return HEAD.format(kind, name) + body + "\n"


API = document(
    "HTTPAPISpec",
    "orders",
    """
    attributes:
      attributes:
        api.service: {stringValue: orders}
        api.version: {stringValue: v1}
    patterns:
    - attributes: {attributes: {api.operation: {stringValue: read}}}
      httpMethod: get
      uriTemplate: /orders/{id}
    - attributes: {attributes: {api.protocol: {stringValue: rest}}}
      regex: /o.*
    """,
)
API_BINDING = document(
    "HTTPAPISpecBinding", "b", "services: [{name: web}]\napiSpecs: [{name: orders}]"
)
QUOTA = document(
    "QuotaSpec",
    "limit",
    """
    rules:
    - match:
      - clause: {request.path: {prefix: /orders}, request.method: {exact: GET}}
      - clause: {api.operation: {regex: "r.*d"}}
      quotas: [{quota: reads, charge: 2}, {quota: reads, charge: "1"}]
    - quotas: [{quota: all, charge: 1}]
    """,
)
QUOTA_BINDING = document(
    "QuotaSpecBinding",
    "b",
    "services: [{name: web}, {service: '*.shop'}]\nquotaSpecs: [{name: limit, namespace: shop}]",
)
WEB = {"destination.service.name": "web", "destination.service.namespace": "shop"}


@pytest.fixture
def read(tmp_path):
    """What documents say."""

    def run(*documents, **more):
        (tmp_path / "a.yaml").write_text("---\n".join(documents))
        return read_services(tmp_path, **more)

    return run


def faults(read, *documents):
    """What is wrong with documents: lines, fields, reasons and remedies."""
    with pytest.raises(ConfigError) as raised:
        read(*documents)
    return [
        (one.line, one.field, f"{one.reason.splitlines()[0]}; {one.remedy}")
        for one in raised.value.faults
    ]


def request(path="/orders/7", method="GET", **more):
    """A request to the service ``web``, unless more is said."""
    said = {"request.url_path": path, "request.path": path, "request.method": method}
    return AttributeBag(
        {**said, **WEB, **{name.replace("__", "."): one for name, one in more.items()}}
    )


def api(bag):
    """What a bag says of the API."""
    return {name.removeprefix("api."): value for name, value in bag.items() if "api" in name}


def test_a_request_gets_the_attributes_of_its_api(read):
    """By service, path and method; the key of the caller, too."""
    specs = read(API, API_BINDING)
    every = {"service": "orders", "version": "v1"}
    rest = {**every, "protocol": "rest"}
    assert {**rest, "operation": "read"} == api(specs.described(request()))
    assert rest == api(specs.described(request(method="POST")))
    keyed = request(
        "/else", request__query_params={"key": "k"}, request__headers={"x-api-key": "h"}
    )
    assert {**every, "request.api_key": "k"} == api(specs.described(keyed))
    keyed = request("/else", request__headers={"x-api-key": "h"})
    assert {**every, "request.api_key": "h"} == api(specs.described(keyed))


def test_what_is_for_others_stays_as_it_is(read):
    """Another service, and connections."""
    specs = read(API, API_BINDING)
    for bag in (request(destination__service__name="db"), AttributeBag(WEB), AttributeBag()):
        assert bag is specs.described(bag)


def test_several_apis_of_a_service_are_one(read):
    """The most exact template of all counts, and so does each key."""
    more = (
        API.replace("name: orders", "name: more").replace("{id}", "7").replace(": read", ": seven")
    )
    more = more.replace("{stringValue: v1}", "{stringValue: v2}") + "  apiKeys: [{cookie: k}]\n"
    binding = API_BINDING.replace(
        "[{name: orders}]", "[{name: orders}, {name: more}, {name: orders}]"
    )
    specs = read(API, more, binding)
    said = api(specs.described(request(request__headers={"cookie": "k=c"})))
    assert ("seven", "v2", "c") == (said["operation"], said["version"], said["request.api_key"])
    assert "read" == api(specs.described(request("/orders/8")))["operation"]
    # Nothing is put together anew for the next request.
    assert specs.api(request()) is specs.api(AttributeBag(WEB))


def test_a_request_is_charged_by_the_rules_that_match(read):
    """Any match of a rule, all clauses of a match; what rules charge adds up."""
    specs = read(QUOTA, QUOTA_BINDING)
    assert {"reads": 3, "all": 1} == specs.charges(request())
    assert {"all": 1} == specs.charges(request(method="POST"))
    assert {"reads": 3, "all": 1} == specs.charges(request("/", api__operation="read"))
    assert {"all": 1} == specs.charges(request("/", api__operation="readme"))
    assert {} == specs.charges(AttributeBag())
    assert {"all": 1} == specs.charges(AttributeBag({"destination.service.host": "a.shop"}))


def test_a_spec_that_is_bound_twice_counts_once(read):
    """Two specs add up."""
    again = QUOTA_BINDING.replace("name: b,", "name: again,")
    other = QUOTA.replace("name: limit", "name: other")
    assert {"reads": 3, "all": 1} == read(QUOTA, QUOTA_BINDING, again).charges(request())
    both = again.replace("{name: limit, namespace: shop}", "{name: limit}, {name: other}")
    assert {"reads": 6, "all": 2} == read(QUOTA, other, QUOTA_BINDING, both).charges(request())


def test_labels_are_named_as_they_are_written(read):
    """Whatever a field would be called."""
    binding = QUOTA_BINDING.replace("{name: web}", "{name: web, labels: {appName: x}}")
    specs = read(QUOTA, binding)
    assert {} == specs.charges(request())
    assert {} == specs.charges(request(destination__labels={"app_name": "x"}))
    assert {"all": 1} == specs.charges(request("/", destination__labels={"appName": "x"}))


@pytest.mark.parametrize(
    ("kind", "written", "value"),
    [
        (ValueType.STRING, "{stringValue: x}", "x"),
        (ValueType.INT64, "{int64Value: '7'}", 7),
        (ValueType.INT64, "{int64_value: 7}", 7),
        (ValueType.DOUBLE, "{doubleValue: 1.5}", 1.5),
        (ValueType.BOOL, "{boolValue: false}", False),
        (ValueType.IP_ADDRESS, "{bytesValue: CgAAAQ==}", bytes([10, 0, 0, 1])),
        (
            ValueType.TIMESTAMP,
            "{timestampValue: '2026-01-01T00:00:00Z'}",
            datetime(2026, 1, 1, tzinfo=UTC),
        ),
        (ValueType.DURATION, "{durationValue: 1.5s}", timedelta(seconds=1.5)),
        (ValueType.STRING_MAP, "{stringMapValue: {entries: {a: b}}}", StringMap(a="b")),
    ],
)
def test_an_attribute_may_be_of_any_type(read, kind, written, value):
    """Written as the messages of Mixer are in YAML; declared by the program."""
    text = API.replace("api.version: {stringValue: v1}", f"mine: {written}")
    specs = read(text, API_BINDING, manifest=STANDARD.extended({"mine": kind}))
    assert value == specs.described(request())["mine"]


def test_other_documents_are_passed_over(read):
    """They are for servers, or of others."""
    assert (
        {}
        == read(
            document("handler", "h", "compiledAdapter: nope"),
            "kind: Pod\napiVersion: v1\nmetadata: {name: p}\n",
        ).quotas
    )


def test_a_program_takes_what_documents_say(read):
    """As it takes the values that it makes itself."""
    specs = read(API, API_BINDING, QUOTA, QUOTA_BINDING)
    service = {"destination.service.host": "web.shop"}
    client = MixerClient("127.0.0.1:1")
    bound = specs.api(AttributeBag(service))
    MixerMiddleware(None, client, attributes=service, quotas=specs.charges, api=bound)
    assert "read" == bound.describe("GET", "/orders/7", {}, {})["api.operation"]


SPEC = "HTTPAPISpec"
ROWS = [
    (SPEC, "patterns: []", "spec", "the spec says nothing; add patterns:"),
    (SPEC, "patterns: [{uriTemplate: orders}]", "spec.patterns[0]", "does not begin with /"),
    (SPEC, "patterns: [{regex: '('}]", "spec.patterns[0]", "is not a regular expression"),
    (SPEC, "patterns: [{}]", "spec.patterns[0]", "one of template and regex"),
    (SPEC, "patterns: [{regex: /, method: GET}]", "spec.patterns[0].method", "unknown key"),
    (SPEC, "patterns: [x]", "spec.patterns[0]", "must be a mapping"),
    (SPEC, "apiKeys: [{query: a, cookie: b}]", "spec.apiKeys[0]", "one of query, header and"),
    (SPEC, "attributes: {api.service: x}", 'spec.attributes["api.service"]', "{attributes: {api.s"),
    (SPEC, "attributes: {attributes: {a: x}}", "spec.attributes.attributes.a", "with its type"),
    (SPEC, "attributes: {attributes: {api.service: {text: x}}}", "", "'text' is no type"),
    (SPEC, "attributes: {attributes: {api.service: {int64Value: x}}}", "", "takes"),
    (SPEC, "attributes: {attributes: {api.service: {boolValue: x}}}", "", "true or false"),
    (SPEC, "attributes: {attributes: {api.service: {stringValue: []}}}", "", "must be a text"),
    (SPEC, "attributes: {attributes: {api.service: {stringMapValue: {}}}}", "", "{entries:"),
    (SPEC, "attributes: {attributes: {api.service: {int64Value: 7}}}", "", "declared as STRING"),
    (
        SPEC,
        "attributes: {attributes: {api.servic: {stringValue: x}}}",
        "",
        "is not declared; did",
    ),
    (
        SPEC,
        "patterns: [{regex: 'a{2000}'}]",
        "spec.patterns[0]",
        "is not a regular expression",
    ),
    (SPEC, "attributes: {attributes: {api.service: {int64Value: '9e9'}}}", "", "takes"),
    (
        "QuotaSpec",
        f"rules: [{{quotas: [{{quota: a, charge: {'9' * 5000}}}]}}]",
        "",
        "number above 0",
    ),
    ("QuotaSpec", "rules: []", "spec", "the spec has no rules; add rules:"),
    ("QuotaSpec", "rules: [{}]", "spec.rules[0]", "charges nothing"),
    (
        "QuotaSpec",
        "rules: [{quotas: [{quota: a}]}]",
        "spec.rules[0].quotas[0]",
        "charge is missing",
    ),
    (
        "QuotaSpec",
        "rules: [{quotas: [{charge: 1}]}]",
        "spec.rules[0].quotas[0]",
        "quota is missing",
    ),
    ("QuotaSpec", "rules: [{quotas: [{quota: a, charge: 0}]}]", "", "number above 0"),
    ("QuotaSpec", "rules: [{quotas: [{quota: a, charge: 1.5}]}]", "", "number above 0"),
    ("QuotaSpec", "rules: [{match: [{}], quotas: [{quota: a, charge: 1}]}]", "", "no clause"),
    (
        "QuotaSpec",
        "rules: [{match: [{clause: {request.pth: {exact: a}}}], quotas: [{quota: a, charge: 1}]}]",
        "spec.rules[0].match[0].clause",
        "request.pth is not declared; did you mean request.path",
    ),
    (
        "QuotaSpec",
        "rules: [{match: [{clause: {request.size: {exact: a}}}], quotas: [{quota: a, charge: 1}]}]",
        "spec.rules[0].match[0].clause",
        "declared as INT64, and a clause is on text",
    ),
    (
        "QuotaSpec",
        "rules: [{match: [{clause: {request.path: {}}}], quotas: [{quota: a, charge: 1}]}]",
        "spec.rules[0].match[0].clause",
        "one of exact, prefix and regex",
    ),
    (
        "QuotaSpec",
        "rules: [{match: [{clause: {request.path: x}}], quotas: [{quota: a, charge: 1}]}]",
        'spec.rules[0].match[0].clause["request.path"]',
        "must be a mapping",
    ),
]


@pytest.mark.parametrize(("kind", "spec", "field", "words"), ROWS)
def test_what_is_wrong_is_told_with_its_place(read, kind, spec, field, words):
    """Line, field, and what to write instead."""
    ((at, where, said),) = faults(read, document(kind, "x", spec))
    assert 5 == at
    assert where.startswith(field)
    assert words in said


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            "services: [{name: a}]\nquotaSpecs: [{name: limt}]",
            "no QuotaSpec shop/limt; there is Quota",
        ),
        (
            "services: [{name: a}]\nquotaSpecs: [{name: limit, namespace: b}]",
            "no QuotaSpec b/limit",
        ),
        ("services: [{name: a}]", "the binding has no quotaSpecs"),
        (
            "quotaSpecs: [{name: limit}]",
            "the binding has no services; add services: [{name: shop}]",
        ),
        ("services: [{name: a, labels: {b: [c]}}]\nquotaSpecs: [{name: limit}]", "must be a text"),
        ("services: [{}, {name: a}]\nquotaSpecs: [{name: limit}]", "one of name and service"),
        (
            "services: [{name: a, service: b}, {name: a}]\nquotaSpecs: [{name: limit}]",
            "one of name",
        ),
        (
            "services: [{service: b, namespace: c}, {name: a}]\nquotaSpecs: [{name: limit}]",
            "whole host",
        ),
        ("services: [{service: 'b*'}, {name: a}]\nquotaSpecs: [{name: limit}]", "'b*' is no host"),
        (
            "services: [{nam: a, name: b}]\nquotaSpecs: [{name: limit}]",
            "unknown key; did you mean name",
        ),
        ("services: [{name: a}]\nquotaSpecs: [{nam: a, name: limit}]", "unknown key"),
        ("services: [{name: a}]\napiSpecs: []\nquotaSpecs: [{name: limit}]", "unknown key"),
    ],
)
def test_a_binding_names_services_and_specs_that_are_there(read, spec, words):
    """In its own namespace, unless it says another."""
    ((_, _, said),) = faults(read, QUOTA, document("QuotaSpecBinding", "x", spec))
    assert words in said


def test_a_path_that_is_not_there_is_named(tmp_path):
    """As the fault of a file."""
    with pytest.raises(ConfigError, match="cannot be read") as raised:
        read_services(tmp_path / "nope.yaml")
    assert raised.value.file == str(tmp_path / "nope.yaml")
