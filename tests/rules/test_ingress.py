"""Ingress of Kubernetes: what it becomes, and what is wrong with it."""

from __future__ import annotations

import pytest

from meshregistry.rules import Gateway, RouteRule, TextMatch, TextMatchKind

API = "networking.k8s.io/v1"


def to(name):
    """A backend."""
    return f"backend: {{service: {{name: {name}, port: {{number: 80}}}}}}"


def test_paths_are_in_order_and_the_rest_is_the_default_s(spec):
    """Exact ones first, then longer ones; at a gateway of its own for every router."""
    reading = spec(
        "Ingress",
        "{rules: [{host: X.example, http: {paths: ["
        f"{{path: /a, pathType: Prefix, {to('p')}}}, {{path: /a/b, pathType: Prefix, {to('q')}}}, "
        f"{{path: /c, pathType: Exact, {to('e')}}}, {{path: '/d.*', {to('i')}}}]}}}}], "
        f"defaultBackend: {{service: {{name: rest, port: {{number: 80}}}}}}}}",
        API,
    )
    assert reading.errors == ()
    gateway, rule, rest = reading.rules
    assert isinstance(gateway, Gateway)
    assert (gateway.key, gateway.servers[0].port) == ("shop/ingress-a", 80)
    assert isinstance(rule, RouteRule)
    assert (rule.hosts, rule.gateways) == (("x.example",), ("shop/ingress-a",))
    assert [
        (route.matches[0].path, route.destinations[0].destination.host.partition(".")[0])
        for route in rule.http
    ] == [
        (TextMatch(TextMatchKind.EXACT, "/c"), "e"),
        (TextMatch(TextMatchKind.SEGMENTS, "/a/b"), "q"),
        (TextMatch(TextMatchKind.SEGMENTS, "/a"), "p"),
        (TextMatch(TextMatchKind.PREFIX, "/d"), "i"),
        (None, "rest"),
    ]
    assert isinstance(rest, RouteRule)
    assert (rest.hosts, len(rest.http)) == (("*",), 1)


def test_another_class_is_left_alone(read):
    """By field or by annotation, with a warning."""
    text = (
        f"apiVersion: {API}\nkind: Ingress\nmetadata: {{name: a, namespace: n, annotations: "
        f"{{kubernetes.io/ingress.class: %s}}}}\nspec: {{defaultBackend: "
        "{service: {name: b, port: {number: 1}}}}\n"
    )
    reading = read(text % "nginx")
    assert (reading.rules, reading.errors) == ((), ())
    assert "for the class nginx" in reading.warnings[0].message
    assert len(read(text % "istio").rules) == 2


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("{}", "spec", "neither a rule"),
        ("{rules: [{host: a_!}]}", "spec.rules[0]", "host"),
        ("{rules: [{http: {paths: [{path: /}]}}]}", "spec.rules[0].http.paths[0]", "backend"),
        (
            f"{{rules: [{{http: {{paths: [{{path: a, {to('b')}}}]}}}}]}}",
            "spec.rules[0].http.paths[0]",
            "relative",
        ),
        ("{defaultBackend: {service: {name: a}}}", "spec.defaultBackend", "port is missing"),
    ],
)
def test_what_is_wrong_has_a_place(spec, text, place, reason):
    """And a reason."""
    errors = spec("Ingress", text, API).errors
    assert any(one.field == place and reason in one.message for one in errors), errors
