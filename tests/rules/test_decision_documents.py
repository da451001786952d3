"""Decisions of operators as documents: what they become, and what is wrong with them."""

from __future__ import annotations

import pytest

from meshregistry.documents import Instant
from meshregistry.rules import Drain, DrainPhase, LossAcceptance, SourceShift

API = "meshregistry.dev/v1"
NOON = "2026-01-31T12:00:00Z"


def test_a_short_shift_is_for_all_hosts(spec):
    """Shares are in order of their sources."""
    (shift,) = spec("SourceShift", "{weights: {eureka: 90, consul: 10}}", API).rules
    assert shift == SourceShift(
        namespace="shop", name="a", hosts=("*",), shares=(("consul", 10), ("eureka", 90))
    )
    assert shift.summary == "*: consul 10, eureka 90"
    assert str(shift) == "SourceShift shop/a"


def test_a_shift_names_hosts(spec):
    """Short ones are completed, wildcards are kept."""
    (shift,) = spec(
        "SourceShift", "{hosts: [reviews, '*.shop', Ratings.Shop.], weights: {a: 1, b: 0}}", API
    ).rules
    assert shift.hosts == ("reviews.shop.svc.mesh.local", "*.shop", "ratings.shop")


def test_a_drain(spec):
    """Its address is canonical, and it begins with DRAINING."""
    (drain,) = spec("Drain", "{host: r.shop, address: '::0:1', port: 80}", API).rules
    assert drain == Drain(namespace="shop", name="a", host="r.shop", address="::1", port=80)
    assert drain.phase is DrainPhase.DRAINING
    assert drain.summary == "[::1]:80 of r.shop: DRAINING"


def test_a_long_drain(spec):
    """Every field."""
    (drain,) = spec(
        "Drain",
        "{host: '*', address: 10.0.0.1, port: 80, network: east, source: consul, "
        "phase: REMOVED, reason: new disk}",
        API,
    ).rules
    assert (drain.host, drain.network, drain.source) == ("*", "east", "consul")
    assert drain.summary == "10.0.0.1:80 of *: REMOVED (new disk)"


def test_a_unix_socket_is_drained_without_port(spec):
    """As it is in the catalog."""
    (drain,) = spec("Drain", "{host: r.shop, address: 'unix:///run/r'}", API).rules
    assert (drain.address, drain.port) == ("unix:///run/r", 0)


def test_a_loss_acceptance(spec):
    """Every field."""
    (one,) = spec(
        "LossAcceptance",
        f"{{source: consul, part: dc1, lostBy: {NOON}, until: '2026-01-31T14:00:00+01:00', "
        "reason: dc1 is closed}",
        API,
    ).rules
    noon = float(Instant.parse(NOON))
    assert one == LossAcceptance(
        namespace="shop",
        name="a",
        source="consul",
        part="dc1",
        lost_by=noon,
        until=noon + 3600,
        reason="dc1 is closed",
    )
    assert one.summary == (
        "consul dc1, lost by 2026-01-31T12:00:00Z, lost before 2026-01-31T13:00:00Z (dc1 is closed)"
    )


def test_the_age_of_the_document_says_which_loss(read):
    """So that a custom resource needs no time of its own."""
    (one,) = read(
        f"apiVersion: {API}\nkind: LossAcceptance\n"
        f"metadata: {{name: a, creationTimestamp: {NOON}}}\nspec: {{source: consul}}\n"
    ).rules
    assert (one.lost_by, one.until, one.part) == (float(Instant.parse(NOON)), None, None)


@pytest.mark.parametrize(
    ("kind", "text", "place", "reason"),
    [
        ("SourceShift", "{}", "spec.weights", "missing"),
        ("SourceShift", "{weights: {}}", "spec.weights", "no source gets anything"),
        ("SourceShift", "{weights: {a: 0}}", "spec.weights", "no source gets anything"),
        ("SourceShift", "{weights: {a: 1, b: -1}}", "spec.weights.b", "no share"),
        ("SourceShift", "{weights: {a: '1'}}", "spec.weights.a", "whole number"),
        ("SourceShift", "{weights: {a: 1}, hosts: [a b]}", "spec.hosts[0]", "not a host name"),
        ("SourceShift", "{weights: {a: 1}, host: a}", "spec.host", "hosts"),
        ("Drain", "{address: 10.0.0.1, port: 80}", "spec.host", "missing"),
        ("Drain", "{host: a.b, address: 10.0.0, port: 80}", "spec.address", "not an IPv4"),
        ("Drain", "{host: a.b, address: 10.0.0.1}", "spec.address", "Unix socket"),
        ("Drain", "{host: a.b, address: 10.0.0.1, port: 80000}", "spec.port", "65535"),
        ("Drain", "{host: a.b, address: 10.0.0.1, port: 80, phase: GONE}", "spec.phase", "choices"),
        ("LossAcceptance", "{source: a}", "spec", "which losses"),
        ("LossAcceptance", "{source: a, until: tomorrow}", "spec.until", "not a time"),
        ("LossAcceptance", f"{{until: {NOON}}}", "spec.source", "missing"),
    ],
)
def test_what_is_wrong_has_a_place_and_no_rules(spec, kind, text, place, reason):
    """And a reason."""
    reading = spec(kind, text, API)
    assert reading.rules == ()
    assert any(one.field == place and reason in one.message for one in reading.errors), [
        one.message for one in reading.errors
    ]
