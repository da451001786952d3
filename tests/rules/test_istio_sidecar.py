"""Sidecar documents: what they become, and what is wrong with them."""

from __future__ import annotations

import pytest

from meshregistry.model import Protocol, Selector
from meshregistry.rules import EgressListener, IngressListener, OutboundTrafficPolicy, SidecarScope


def test_every_field(spec):
    """For some workloads: what they call, and where they are called."""
    (scope,) = spec(
        "Sidecar",
        "{workloadSelector: {labels: {app: web}}, "
        "ingress: [{port: {number: 80, protocol: HTTP, name: h}, defaultEndpoint: 127.0.0.1:8080}], "
        "egress: [{hosts: [./*, '*/B.Example', pay/*.example]}, "
        "{port: {number: 5432}, hosts: [db/*]}], outboundTrafficPolicy: {}}",
    ).rules
    assert scope == SidecarScope(
        namespace="shop",
        name="a",
        selector=Selector({"app": "web"}),
        ingress=(
            IngressListener(port=80, protocol=Protocol.HTTP, default_endpoint="127.0.0.1:8080"),
        ),
        egress=(
            EgressListener(hosts=("./*", "*/b.example", "pay/*.example")),
            EgressListener(hosts=("db/*",), port=5432),
        ),
        outbound=OutboundTrafficPolicy.REGISTRY_ONLY,
    )


def test_an_empty_one_is_the_default_of_its_namespace(spec):
    """Without a selector, and with all that is exported."""
    assert spec("Sidecar", "{}").rules == (SidecarScope(namespace="shop", name="a"),)


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("{egress: [{hosts: []}]}", "spec.egress[0].hosts", "hosts"),
        ("{egress: [{hosts: [a]}]}", "spec.egress[0].hosts[0]", "names no namespace"),
        ("{egress: [{hosts: [n/a*b]}]}", "spec.egress[0].hosts[0]", "not a host"),
        ("{ingress: [{}]}", "spec.ingress[0]", "port is missing"),
        (
            "{ingress: [{port: {number: 1}, defaultEndpoint: 0.0.0.0:1}]}",
            "spec.ingress[0].defaultEndpoint",
            "not where a workload",
        ),
        ("{outboundTrafficPolicy: {mode: X}}", "spec.outboundTrafficPolicy.mode", "X"),
        ("{workloadSelector: {labels: {}}}", "spec.workloadSelector.labels", "labels"),
    ],
)
def test_what_is_wrong_has_a_place_and_no_rules(spec, text, place, reason):
    """And a reason."""
    reading = spec("Sidecar", text)
    assert reading.rules == ()
    assert any(one.field == place and reason in one.message for one in reading.errors), (
        reading.errors
    )
