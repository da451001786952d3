"""localityLbSetting of DestinationRule documents."""

from __future__ import annotations

import pytest

from meshregistry.rules import Distribution, LocalityBalancing


def read_setting(spec, text, others="outlierDetection: {}"):
    """What becomes of a setting."""
    balancer = f"loadBalancer: {{localityLbSetting: {{{text}}}}}"
    return spec("DestinationRule", f"{{host: a, trafficPolicy: {{{balancer}, {others}}}}}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("enabled: false", LocalityBalancing(is_enabled=False)),
        ("failover: [{from: eu, to: us}]", LocalityBalancing(failover=(("eu", "us"),))),
        ("failoverPriority: [rack, a=b]", LocalityBalancing(failover_priority=("rack", "a=b"))),
        (
            "distribute: [{from: eu/*, to: {eu/a/*: 80, us: 20}}]",
            LocalityBalancing(
                distribute=(Distribution(origin="eu/*", shares=(("eu/a/*", 80), ("us", 20))),)
            ),
        ),
    ],
)
def test_settings_become_values(spec, text, expected):
    """Each of the three ways, without errors and warnings."""
    reading = read_setting(spec, text)
    assert ((), ()) == (reading.errors, reading.warnings)
    assert reading.rules[0].policy(80).load_balancer.locality == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("distribute: [{from: eu, to: {eu: 90}}]", "add up to 90"),
        ("distribute: [{from: eu, to: {eu: 0, us: 100}}]", "not from 1 to 100"),
        ("distribute: [{from: eu, to: {eu/*: 50, eu/a: 50}}]", "overlaps"),
        ("distribute: [{from: '*', to: {eu: 100}}, {from: eu, to: {eu: 100}}]", "overlaps"),
        ("distribute: [{from: '*/a', to: {eu: 100}}]", "not a locality"),
        ("distribute: [{from: eu/a*, to: {eu: 100}}]", "not a whole part"),
        ("distribute: [{from: eu, to: {eu: 100}}], failover: [{from: eu, to: us}]", "exclude"),
        ("failover: [{from: eu, to: eu}]", "to itself"),
        ("failover: [{from: eu/a, to: us}]", "region to region"),
        ("failover: [{from: eu, to: us}, {from: eu, to: asia}]", "twice"),
        ("failover: [{from: eu, to: us}], failoverPriority: [rack]", "combined"),
        (
            "failover: [{from: eu, to: us}], failoverPriority: [topology.kubernetes.io/region]",
            "both rank places",
        ),
    ],
)
def test_settings_that_cannot_be_meant_are_errors(spec, text, reason):
    """As Istio refuses them."""
    assert any(reason in error.message for error in read_setting(spec, text).errors)


def test_failover_without_outlier_detection_is_a_warning(spec):
    """A subset may inherit it from the rule's policy."""
    text = "failover: [{from: eu, to: us}]"
    (warning,) = read_setting(spec, text, "tls: {mode: DISABLE}").warnings
    assert "outlierDetection" in warning.message
    inner = f"trafficPolicy: {{loadBalancer: {{localityLbSetting: {{{text}}}}}}}"
    reading = spec(
        "DestinationRule",
        "{host: a, trafficPolicy: {outlierDetection: {}}, "
        f"subsets: [{{name: v, labels: {{a: b}}, {inner}}}]}}",
    )
    assert reading.warnings == ()
