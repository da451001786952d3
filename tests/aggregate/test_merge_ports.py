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


def test_another_order_decides_protocols_and_nothing_else():
    """Whose number and name it is stays; what others say otherwise is listed."""
    mine = Service("cart.shop", ports=[Port("web", 80, Protocol.TCP), Port("raw", 9, Protocol.TCP)])
    theirs = Service("cart.shop", ports=[Port("http", 80, Protocol.HTTP)])
    said = [("a", mine), ("b", theirs)]
    merged = merge_ports(said, speakers=said[::-1])
    assert merged.ports == (Port("raw", 9, Protocol.TCP), Port("web", 80, Protocol.HTTP))
    assert (merged.sources, merged.speakers) == (((9, "a"), (80, "a")), ((80, "b"),))
    assert merged.conflicts == (
        Conflict(field="ports[80].name", winner="a", loser="b", chosen="web", rejected="http"),
        Conflict(field="ports[80].protocol", winner="b", loser="a", chosen="HTTP", rejected="TCP"),
    )


def test_who_decides_a_protocol_adds_no_port():
    """A port that is not in the result has none."""
    said = [("a", service(("http", 80))), ("b", service(("http", 80), ("admin", 81)))]
    merged = merge_ports(said, is_united=False, speakers=said[::-1])
    assert (names(merged), merged.speakers) == ({80: "http"}, ((80, "b"),))
