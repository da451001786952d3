"""Which names lead to a service, and who gets one that two would have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshregistry.generate._domains import (
    Claim,
    Collision,
    Wish,
    allot,
    router_wishes,
    short_names,
    sidecar_wishes,
)
from meshregistry.model import Resolution

if TYPE_CHECKING:
    from conftest import EntryOf


def test_domains_are_unique_without_regard_to_case() -> None:
    """Two spellings are one domain: the earlier owner has it, the other is told."""
    allotted, collisions = allot([[Wish(Claim.WHOLE, "A.shop")], [Wish(Claim.WHOLE, "a.SHOP")]])
    assert allotted == [("A.shop",), ()]
    assert collisions == [Collision("a.SHOP", winner=0, loser=1)]


def test_a_better_claim_wins_against_precedence() -> None:
    """A service's own host is not taken by the short name of an earlier one."""
    allotted, collisions = allot([[Wish(Claim.DERIVED, "pay")], [Wish(Claim.WHOLE, "pay")]])
    assert allotted == [(), ("pay",)]
    assert collisions == [Collision("pay", winner=1, loser=0)]


def test_an_owner_has_a_domain_once() -> None:
    """Wishing twice for one name is no collision."""
    assert allot([[Wish(Claim.WHOLE, "a"), Wish(Claim.ADDRESS, "A")]]) == ([("A",)], [])


@pytest.mark.parametrize(
    ("host", "namespace", "expected"),
    [
        ("pay.shop.svc.mesh.local", "shop", ["pay", "pay.shop", "pay.shop.svc"]),
        ("pay.shop.svc.mesh.local", "core", ["pay.shop", "pay.shop.svc"]),
        ("pay.shop.mesh.local", "shop", ["pay", "pay.shop"]),
        ("pay.other.svc.mesh.local", "shop", []),
        ("pay.example.com", "shop", []),
    ],
)
def test_hosts_of_the_mesh_have_short_names(
    entry_of: EntryOf, host: str, namespace: str, expected: list[str]
) -> None:
    """A host of the mesh is called as a resolver's search list would complete it."""
    service = entry_of(host, namespace="shop").service
    assert short_names(service, namespace, "mesh.local") == expected


def test_a_service_without_namespace_has_no_short_names(entry_of: EntryOf) -> None:
    """Nothing can be left out of a host that names no namespace."""
    assert short_names(entry_of("pay.mesh.local").service, "", "mesh.local") == []


def test_a_sidecar_is_called_by_host_and_address(entry_of: EntryOf) -> None:
    """Host, fully qualified host, virtual addresses; unspecified ones are no name."""
    service = entry_of("pay.example", addresses=["10.0.0.1", "2001:db8::1", "0.0.0.0"]).service
    assert [wish.domain for wish in sidecar_wishes(service, "shop", "mesh.local")] == [
        "pay.example",
        "pay.example.",
        "10.0.0.1",
        "[2001:db8::1]",
    ]


def test_members_of_a_headless_service_have_names(entry_of: EntryOf) -> None:
    """A headless service answers for the names of its members, too."""
    service = entry_of("db.example", resolution=Resolution.PASSTHROUGH).service
    assert "*.db.example" in [wish.domain for wish in sidecar_wishes(service, "", "mesh.local")]


def test_host_and_port_are_exact_and_a_bare_host_means_its_lowest_http_port(
    entry_of: EntryOf,
) -> None:
    """The lowest HTTP port has the bare host; a lower TCP port does not count."""
    service = entry_of("a.shop", "80/TCP", "81/HTTP", "82/HTTP").service
    wishes = {
        port.number: [wish.domain for wish in router_wishes(service, port, 8080)]
        for port in service.ports
        if port.protocol.is_http
    }
    assert wishes == {81: ["a.shop:81", "a.shop", "a.shop:8080"], 82: ["a.shop:82"]}


def test_the_routers_own_port_belongs_to_a_service_that_has_it(entry_of: EntryOf) -> None:
    """`host:port` stays exact where a service has the port at which the router listens."""
    service = entry_of("a.shop", "80/HTTP", "8080/HTTP").service
    low, high = service.ports
    assert [wish.domain for wish in router_wishes(service, low, 8080)] == ["a.shop:80", "a.shop"]
    assert [wish.domain for wish in router_wishes(service, high, 8080)] == ["a.shop:8080"]
