"""Documents of security.istio.io are checked and kept, and say that nobody enforces them."""

from __future__ import annotations

import pytest

API = "security.istio.io/v1"
WHOLE = {
    "PeerAuthentication": (
        "{selector: {matchLabels: {app: a}}, mtls: {mode: STRICT}, "
        "portLevelMtls: {'8080': {mode: DISABLE}}}"
    ),
    "RequestAuthentication": (
        "{targetRef: {kind: Gateway, name: g, group: x}, jwtRules: [{issuer: i, jwksUri: u, "
        "audiences: [a], fromHeaders: [{name: h, prefix: p}], timeout: 5s, "
        "outputClaimToHeaders: [{header: h, claim: c}], forwardOriginalToken: true}]}"
    ),
    "AuthorizationPolicy": (
        "{action: DENY, provider: {name: p}, rules: [{from: [{source: {principals: [a], "
        "notIpBlocks: [10.0.0.0/8]}}], to: [{operation: {methods: [GET], paths: [/a]}}], "
        "when: [{key: k, values: [v]}]}]}"
    ),
}


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("is_empty", [True, False])
def test_it_is_read_and_says_that_it_does_nothing(spec, kind, is_empty):
    """Whatever it says, there is a warning, no rule and no error."""
    reading = spec(kind, "{}" if is_empty else WHOLE[kind], API)
    assert (reading.rules, reading.errors) == ((), ())
    assert reading.warnings
    assert all("not enforced yet" in one.message for one in reading.warnings)


@pytest.mark.parametrize(
    ("kind", "text", "place"),
    [
        ("PeerAuthentication", "{mtls: {mode: SOMETIMES}}", "spec.mtls.mode"),
        ("PeerAuthentication", "{mtsl: {}}", "spec.mtsl"),
        ("RequestAuthentication", "{jwtRules: [{audiences: [a]}]}", "spec.jwtRules[0].issuer"),
        ("AuthorizationPolicy", "{action: REFUSE}", "spec.action"),
        ("AuthorizationPolicy", "{rules: [x]}", "spec.rules[0]"),
        ("AuthorizationPolicy", "{rules: [{form: []}]}", "spec.rules[0].form"),
        ("AuthorizationPolicy", "{rules: [{to: {}}]}", "spec.rules[0].to"),
        (
            "AuthorizationPolicy",
            "{rules: [{from: [{source: {principal: [a]}}]}]}",
            "spec.rules[0].from[0].source.principal",
        ),
    ],
)
def test_what_is_wrong_has_a_place(spec, kind, text, place):
    """As in any other document."""
    assert any(one.field == place for one in spec(kind, text, API).errors)
