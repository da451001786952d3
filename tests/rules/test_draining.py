"""Endpoints that operators take out of use."""

from __future__ import annotations

import pytest

from meshregistry.model import CatalogEntry, Endpoint, Health, Port, Protocol, Service, ServiceKey
from meshregistry.rules import Decisions, Drain, DrainPhase, SourceShift, concerned, decided

REMOVED = DrainPhase.REMOVED


def entry(*endpoints, host="r.shop", sources=("a",)):
    """A service with these endpoints, all of the same sources."""
    return CatalogEntry(
        service=Service(host=host, ports=(Port("http", 80, Protocol.HTTP),)),
        endpoints=endpoints,
        sources=sources,
        endpoint_sources=(sources,) * len(endpoints),
    )


def at(address, **more):
    """An endpoint at port 80."""
    return Endpoint(address=address, port=80, **more)


def drain(address="10.0.0.1", *, name="d", host="r.shop", **more):
    """A decision for port 80."""
    return Drain(name=name, host=host, address=address, port=80, **more)


def after(one, *drains):
    """Address and health of what is left."""
    made = decided(Decisions.of(drains), one)
    assert len(made.endpoints) == len(made.endpoint_sources)
    return [(endpoint.address, endpoint.health) for endpoint in made.endpoints]


BOTH = entry(at("10.0.0.1"), at("10.0.0.2"))


def test_first_it_drains_then_it_is_gone():
    """The other endpoint stays as it is."""
    other = ("10.0.0.2", Health.HEALTHY)
    assert after(BOTH, drain()) == [("10.0.0.1", Health.DRAINING), other]
    assert after(BOTH, drain(phase=REMOVED)) == [other]
    assert after(BOTH, drain(), drain(name="e", phase=REMOVED)) == [other]


def test_what_was_decided_is_told():
    """With what the sources say."""
    (told,) = decided(Decisions.of([drain()]), BOTH).adjustments
    assert (told.field, told.chosen, told.replaced, told.by) == (
        "endpoints[10.0.0.1:80].health",
        "DRAINING",
        "HEALTHY",
        "Drain d",
    )
    (told,) = decided(Decisions.of([drain(phase=REMOVED)]), BOTH).adjustments
    assert (told.field, told.chosen) == ("endpoints[10.0.0.1:80]", "REMOVED")


@pytest.mark.parametrize(
    "other",
    [
        drain("10.0.0.9"),
        drain(host="x.shop"),
        drain(network="east"),
        drain(source="b"),
        Drain(name="d", host="r.shop", address="10.0.0.1", port=81),
    ],
)
def test_others_are_left_alone(other):
    """The entry is the same object."""
    assert decided(Decisions.of([other]), BOTH) is BOTH


@pytest.mark.parametrize(
    "one", [drain(host="*"), drain(host="*.shop"), drain(network=""), drain(source="a")]
)
def test_wildcards_network_and_source(one):
    """Each of them means the endpoint."""
    assert after(BOTH, one)[0][1] is Health.DRAINING


def test_an_unhealthy_endpoint_stays_unhealthy():
    """It must not be sent because somebody drains it."""
    sick = entry(at("10.0.0.1", health=Health.UNHEALTHY))
    assert decided(Decisions.of([drain()]), sick) is sick


def test_shares_are_of_what_is_not_drained():
    """Else the share of a drained endpoint would get lost."""
    one = CatalogEntry(
        service=BOTH.service,
        endpoints=(at("10.0.0.1"), at("10.0.0.2"), at("10.0.0.3")),
        sources=("a", "b"),
        endpoint_sources=(("a",), ("a",), ("b",)),
    )
    shift = SourceShift(name="s", shares=(("a", 1), ("b", 1)))
    made = decided(Decisions.of([shift, drain()]), one)
    assert [endpoint.weight for endpoint in made.endpoints] == [1, 1, 1]
    assert [told.by for told in made.adjustments] == ["Drain d", "SourceShift s", "SourceShift s"]


def test_only_hosts_of_changed_decisions_are_concerned():
    """Others need not be merged again."""
    kept = drain(name="kept", host="kept.shop")
    shift = SourceShift(name="s", hosts=("x.shop", "*.y.shop"), shares=(("a", 1),))
    is_concerned = concerned(Decisions.of([kept, drain()]), Decisions.of([kept, shift]))
    found = {
        host: is_concerned(ServiceKey("", host))
        for host in ("r.shop", "x.shop", "a.y.shop", "kept.shop", "other")
    }
    assert found == {
        "r.shop": True,
        "x.shop": True,
        "a.y.shop": True,
        "kept.shop": False,
        "other": False,
    }
