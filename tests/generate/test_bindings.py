"""Who listens where."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshregistry.generate import Place, Scope
from meshregistry.generate._bindings import router_bindings, sidecar_bindings
from meshregistry.rules import RouterSettings

if TYPE_CHECKING:
    from conftest import EntryOf
    from meshregistry.generate._bindings import Bindings
    from meshregistry.model import CatalogEntry


def scope(*entries: CatalogEntry) -> Scope:
    """A scope with these services, in this order of precedence."""
    return Scope(services=tuple(entry.service for entry in entries))


def held(bindings: Bindings) -> dict[tuple[str, int], list[str]]:
    """The hosts at each place."""
    return {one.place: [str(service.host) for service, _ in one.claims] for one in bindings.listed}


def test_http_services_share_a_listener(entry_of: EntryOf) -> None:
    """Their host names tell them apart."""
    bindings = sidecar_bindings(scope(entry_of("b.shop"), entry_of("a.shop", "80/GRPC")))
    assert held(bindings) == {("127.0.0.1", 80): ["b.shop", "a.shop"]}
    assert bindings.faults == ()
    assert bindings.places == {Place("127.0.0.1", 80)}


@pytest.mark.parametrize(
    ("first", "second"), [("80/TCP", "80/MySQL"), ("80/TCP", "80/HTTP"), ("80/HTTP", "80/TCP")]
)
def test_services_without_vip_that_collide_on_a_port(
    entry_of: EntryOf, first: str, second: str
) -> None:
    """The first wins the port, the other is reported, if either of them is TCP."""
    bindings = sidecar_bindings(scope(entry_of("z.shop", first), entry_of("a.shop", second)))
    assert held(bindings) == {("127.0.0.1", 80): ["z.shop"]}
    (fault,) = bindings.faults
    assert str(fault).startswith("a.shop (")
    assert "has no listener 127.0.0.1_80, which belongs to z.shop (" in str(fault)


def test_a_tcp_service_may_have_a_loopback_address_of_its_own(entry_of: EntryOf) -> None:
    """Such an address can be bound; any other virtual address is of no interface."""
    bindings = sidecar_bindings(
        scope(
            entry_of("a.shop", "90/TCP", addresses=["127.0.0.9"]),
            entry_of("b.shop", "90/TCP", addresses=["10.96.0.9"]),
        )
    )
    assert held(bindings) == {("127.0.0.9", 90): ["a.shop"], ("127.0.0.1", 90): ["b.shop"]}


def test_udp_ports_are_not_bound(entry_of: EntryOf) -> None:
    """They neither listen nor stand in anybody's way."""
    bindings = sidecar_bindings(scope(entry_of("a.shop", "53/UDP"), entry_of("b.shop", "53/TCP")))
    assert held(bindings) == {("127.0.0.1", 53): ["b.shop"]}


def test_a_router_binds_tcp_ports_beside_its_http_port(entry_of: EntryOf) -> None:
    """HTTP services are behind the HTTP port, which no TCP service can have."""
    router = RouterSettings(address="0.0.0.0", http_port=8080)
    bindings = router_bindings(
        scope(entry_of("a.shop", "80/HTTP", "90/TCP"), entry_of("b.shop", "8080/TCP")), router
    )
    assert held(bindings) == {("0.0.0.0", 90): ["a.shop"]}
    (fault,) = bindings.faults
    assert "which belongs to the router's HTTP listener" in str(fault)
