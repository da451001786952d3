"""Names that a service had before stand for it, if nobody has them."""

from __future__ import annotations

from attrs import evolve

from meshregistry.aggregate._merge import Contribution, merge
from meshregistry.model import (
    Conflict,
    MergePolicy,
    Resolution,
    ServiceKey,
    ServiceRecord,
    SourceId,
)

OLD, NEW = ServiceKey.parse("cart.service.consul"), ServiceKey.parse("shop/cart.shop")


def said(source, host, *, port=80, namespace="shop", aliases=()):
    """What a source says of a service."""
    record = ServiceRecord.parse(
        host, port=port, endpoints=["10.0.0.1:80"], namespace=namespace, labels={"a": "b"}
    )
    return Contribution(SourceId(source), evolve(record, aliases=aliases))


def merged(key, *contributions):
    """The entry of this name."""
    return merge(key, contributions, MergePolicy())


def test_a_former_name_stands_for_the_service():
    """With its ports, and without anything that the service itself has."""
    entry = merged(OLD, said("a", "cart.shop", aliases=[OLD]))
    service = entry.service
    assert (service.key, service.resolution, service.alias_of) == (
        OLD,
        Resolution.ALIAS,
        "cart.shop",
    )
    assert ([port.number for port in service.ports], dict(service.labels)) == ([80], {})
    assert (entry.endpoints, entry.sources, entry.conflicts) == ((), ("a",), ())


def test_the_service_itself_is_as_without_the_name():
    """The other name costs it nothing."""
    one = said("a", "cart.shop", aliases=[OLD])
    assert merged(NEW, one) == merged(NEW, said("a", "cart.shop"))


def test_a_name_is_seen_where_the_service_is():
    """Its own namespace may be another, and is not what the service means by its own."""
    one = said("a", "cart.shop", aliases=[OLD])
    private = evolve(one.record, service=evolve(one.record.service, export_to=[".", "test"]))
    assert merged(OLD, evolve(one, record=private)).service.export_to == ("shop", "test")


def test_several_sources_may_have_had_the_name():
    """Its ports are those that any of them had."""
    entry = merged(
        OLD,
        said("a", "cart.shop", aliases=[OLD]),
        said("b", "cart.shop", port=81, aliases=[OLD]),
    )
    assert [port.number for port in entry.service.ports] == [80, 81]
    assert entry.sources == ("a", "b")


def test_a_service_of_that_name_stays_what_it_is():
    """Even of a source that comes later; that the name is not kept is listed."""
    entry = merged(
        OLD,
        said("a", "cart.shop", aliases=[OLD]),
        said("b", "cart.service.consul", namespace=""),
    )
    assert (entry.service.resolution, entry.sources) == (Resolution.EDS, ("b",))
    assert entry.conflicts == (
        Conflict(field="alias_of", winner="b", loser="a", chosen="", rejected="cart.shop"),
    )


def test_two_services_that_had_one_name_are_decided_by_order():
    """And listed."""
    entry = merged(
        OLD, said("a", "cart.shop", aliases=[OLD]), said("b", "cart.other", aliases=[OLD])
    )
    assert entry.service.alias_of == "cart.shop"
    assert entry.conflicts == (
        Conflict(
            field="alias_of", winner="a", loser="b", chosen="cart.shop", rejected="cart.other"
        ),
    )
