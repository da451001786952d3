"""What documents say of services becomes part of the snapshot; what is wrong with it is isolated."""

from __future__ import annotations

import pytest
from attrs import frozen

from meshregistry.documents import RuleUnit
from meshregistry.mixer import AttributeBag
from meshregistry.mixer.config import Configurator, Known
from meshregistry.mixer.spi import QUOTA as QUOTAS
from meshregistry.mixer.spi import TEMPLATES, Handler, MixerAdapter


@frozen(kw_only=True)
class Config:
    """It has no parameters."""


ADAPTER = MixerAdapter(
    name="double",
    config_class=Config,
    templates=(QUOTAS,),
    open=lambda _config, _context: Handler(),
)
TEXT = """
apiVersion: config.istio.io/v1alpha2
kind: attributemanifest
metadata: {name: m, namespace: shop}
spec: {attributes: {api.owner: {valueType: STRING}}}
---
apiVersion: config.istio.io/v1alpha2
kind: quota
metadata: {name: Orders, namespace: shop}
spec: {}
---
apiVersion: config.istio.io/v1alpha2
kind: HTTPAPISpec
metadata: {name: api, namespace: shop}
spec: {attributes: {attributes: {OWNER: {stringValue: us}}}}
---
apiVersion: config.istio.io/v1alpha2
kind: HTTPAPISpecBinding
metadata: {name: b, namespace: shop}
spec: {services: [{name: web}], apiSpecs: [{name: api}]}
---
apiVersion: config.istio.io/v1alpha2
kind: QuotaSpec
metadata: {name: limit, namespace: shop}
spec: {rules: [{quotas: [{quota: QUOTA, charge: CHARGE}]}]}
---
apiVersion: config.istio.io/v1alpha2
kind: QuotaSpecBinding
metadata: {name: b, namespace: shop}
spec: {services: [{name: web}], quotaSpecs: [{name: SPEC}]}
"""
REQUEST = AttributeBag({"destination.service.host": "web.shop", "request.url_path": "/"})


@pytest.fixture
def build():
    """Builds one configuration after the other from a few words."""
    configurator = Configurator(Known.of([ADAPTER], TEMPLATES))

    def built(owner="api.owner", quota="orders", charge="1", spec="limit"):
        text = TEXT
        for word, value in (("OWNER", owner), ("QUOTA", quota), ("CHARGE", charge), ("SPEC", spec)):
            text = text.replace(word, value)
        unit = RuleUnit.of_text("f.yaml", text)
        assert unit.faults == ()
        return configurator.build(unit.documents)

    return built


def charges(accepted):
    """What a request is charged."""
    return accepted.snapshot.services.charges(REQUEST)


def test_what_is_right_is_in_force(build):
    """With attributes that a manifest declares, and quotas however they are spelled."""
    accepted = build()
    assert ((), ()) == (accepted.faults, accepted.snapshot.hints)
    assert {"orders": 1} == charges(accepted)
    assert "us" == accepted.snapshot.services.described(REQUEST)["api.owner"]
    assert {"orders": 5} == charges(build(charge="5"))


@pytest.mark.parametrize(
    ("change", "kept", "words"),
    [
        ({"charge": "none"}, "QuotaSpec shop/limit", "must be a whole number above 0"),
        (
            {"quota": "order"},
            "QuotaSpec shop/limit",
            "there is no quota order; did you mean orders",
        ),
        ({"spec": "limt"}, "QuotaSpecBinding shop/b", "there is no QuotaSpec shop/limt"),
        ({"owner": "api.onwer"}, "HTTPAPISpec shop/api", "api.onwer is not declared"),
    ],
)
def test_a_bad_change_keeps_the_last_good_version(build, change, kept, words):
    """Of that document, with what it said of services; the fault is told at its place."""
    build()
    accepted = build(**change)
    assert kept in map(str, accepted.kept)
    assert words in str(accepted.faults[0])
    assert accepted.faults[0].line > 10
    assert {"orders": 1} == charges(accepted)
    assert "us" == accepted.snapshot.services.described(REQUEST)["api.owner"]


def test_a_broken_document_takes_no_other_along(build):
    """Without a good version it is left out, and what needs it."""
    accepted = build(charge="none")
    assert 2 == len(accepted.faults)
    assert {} == charges(accepted)
    assert "us" == accepted.snapshot.services.described(REQUEST)["api.owner"]


def test_a_charge_of_no_quota_is_told_and_the_rest_in_force(build):
    """What has no instance would be granted without a word."""
    accepted = build(quota="ordrs")
    (fault,) = accepted.faults
    assert "spec.rules[0].quotas[0].quota" == fault.field
    assert {"ordrs": 1} == charges(accepted)


def test_what_nobody_binds_is_a_hint(build):
    """Its document is right, so it is no fault, and a change of it is in force at once."""
    accepted = build(spec="other")
    (fault,) = accepted.faults
    (hint,) = accepted.snapshot.hints
    assert "there is no QuotaSpec shop/other" in str(fault)
    assert "QuotaSpec shop/limit is bound to no service" in str(hint)
    assert 22 == hint.line
