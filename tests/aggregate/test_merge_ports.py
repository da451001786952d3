"""Ports of several sources unite by number."""

from __future__ import annotations

from meshregistry.aggregate._merge_ports import merge_ports
from meshregistry.model import Conflict, Port, Protocol, Service


def service(*ports):
    """A service with these ports."""
    return Service("cart.shop", ports=[Port(name, number, Protocol.HTTP) for name, number in ports])


def names(merged):
    """The names of merged ports by number."""
    return {port.number: port.name for port in merged.ports}


def test_one_name_with_two_numbers_is_decided_canonically():
    """The earlier port keeps the name; the later one is named after its number and stays."""
    theirs = service(("http", 8080))
    merged = merge_ports([("a", service(("http", 80))), ("b", theirs)])
    assert names(merged) == {80: "http", 8080: "http-8080"}
    assert merged.names_for(theirs) == {"http": "http-8080"}
    assert merged.conflicts == (
        Conflict(
            field="ports[8080].name", winner="a", loser="b", chosen="http-8080", rejected="http"
        ),
    )


def test_the_made_up_name_may_be_taken_too():
    """Names stay unique whatever the sources call their ports."""
    merged = merge_ports(
        [("a", service(("http", 80), ("http-8080", 81))), ("b", service(("http", 8080)))]
    )
    assert names(merged) == {80: "http", 81: "http-8080", 8080: "http-8080-8080"}


def test_ports_know_their_sources():
    """The first to declare a number."""
    merged = merge_ports([("a", service(("x", 2), ("y", 1))), ("b", service(("x", 2), ("z", 3)))])
    assert merged.sources == ((1, "a"), (2, "a"), (3, "b"))


def test_a_port_that_is_not_in_the_result_has_no_name():
    """Its endpoints cannot be placed."""
    theirs = service(("http", 80), ("admin", 9000))
    merged = merge_ports([("a", service(("web", 80))), ("b", theirs)], is_united=False)
    assert merged.names_for(theirs) == {"http": "web"}
