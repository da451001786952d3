"""Assignments: locality, weight, health, kinds of addresses, networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from envoy.config.core.v3 import health_check_pb2

from meshregistry.generate._endpoints import assignment
from meshregistry.model import Endpoint, Health, Locality, Resolution

if TYPE_CHECKING:
    from conftest import EntryOf
    from meshregistry.generate._endpoints import Assignment
    from meshregistry.model import CatalogEntry

LARGEST = 2**32 - 1


def made(entry: CatalogEntry, network: str = "") -> Assignment:
    """The assignment of the first port."""
    return assignment("c", entry, entry.service.ports[0], network)


def addresses(one: Assignment) -> list[str]:
    """Every address that is sent, in order."""
    found: list[str] = []
    for group in one.message.endpoints:
        for member in group.lb_endpoints:
            address: Any = member.endpoint.address
            found.append(address.pipe.path or address.socket_address.address)
    return found


def test_a_service_without_endpoints_has_an_empty_assignment(entry_of: EntryOf) -> None:
    """Nothing to send is said, not left unsaid."""
    one = made(entry_of("a.shop"))
    assert (one.message.cluster_name, len(one.message.endpoints)) == ("c", 0)
    assert one.faults == ()


def test_endpoints_are_grouped_by_locality_in_canonical_order(entry_of: EntryOf) -> None:
    """Localities are sorted, and weigh as much as their endpoints together."""
    one = made(
        entry_of(
            "a.shop",
            endpoints=(
                Endpoint(address="10.0.0.1", port=80, locality=Locality("r", "z2")),
                Endpoint(address="10.0.0.2", port=80, locality=Locality("r", "z1"), weight=2),
                Endpoint(address="10.0.0.3", port=80, locality=Locality("r", "z2"), weight=5),
                Endpoint(address="10.0.0.4", port=80),
            ),
        )
    )
    groups = [
        (
            group.locality.zone,
            group.load_balancing_weight.value,
            [member.load_balancing_weight.value for member in group.lb_endpoints],
        )
        for group in one.message.endpoints
    ]
    assert groups == [("", 1, [1]), ("z1", 2, [2]), ("z2", 6, [1, 5])]
    assert not one.message.endpoints[0].HasField("locality")


def test_unhealthy_is_left_out_and_draining_is_sent_as_such(entry_of: EntryOf) -> None:
    """UNHEALTHY endpoints and those of weight 0 are not sent, and that is no fault."""
    one = made(
        entry_of(
            "a.shop",
            endpoints=(
                Endpoint(address="10.0.0.1", port=80),
                Endpoint(address="10.0.0.2", port=80, health=Health.DRAINING),
                Endpoint(address="10.0.0.3", port=80, health=Health.UNHEALTHY),
                Endpoint(address="10.0.0.4", port=80, weight=0),
            ),
        )
    )
    (group,) = one.message.endpoints
    assert [member.health_status for member in group.lb_endpoints] == [
        health_check_pb2.UNKNOWN,
        health_check_pb2.DRAINING,
    ]
    assert one.faults == ()


def test_only_dns_names_are_resolved_by_the_proxy(entry_of: EntryOf) -> None:
    """A service whose endpoints all are names gets them inline, whatever their health."""
    names = (
        Endpoint(address="a.example", port=80),
        Endpoint(address="b.example", port=80, health=Health.UNHEALTHY),
    )
    one = made(entry_of("a.shop", endpoints=names))
    assert one.is_resolved_by_proxy
    assert addresses(one) == ["a.example"]


def test_mixed_addresses_win_over_names_which_are_reported(entry_of: EntryOf) -> None:
    """Beside an address a name is left out, also while the address is ill."""
    mixed = (
        Endpoint(address="10.0.0.1", port=80, health=Health.UNHEALTHY),
        Endpoint(address="a.example", port=80),
    )
    one = made(entry_of("a.shop", endpoints=mixed))
    assert not one.is_resolved_by_proxy
    assert addresses(one) == []
    (fault,) = one.faults
    assert "leaves out a.example:80: names in a service that has addresses" in str(fault)


def test_dns_resolution_takes_names_and_addresses(entry_of: EntryOf) -> None:
    """A service that is resolved by DNS keeps both, but no sockets."""
    members = ("a.example:80", "10.0.0.1:80", "unix:///run/a.sock")
    one = made(entry_of("a.shop", endpoints=members, resolution=Resolution.DNS))
    assert one.is_resolved_by_proxy
    assert sorted(addresses(one)) == ["10.0.0.1", "a.example"]
    assert "leaves out unix:///run/a.sock" in str(one.faults[0])


def test_unix_sockets_are_pipes(entry_of: EntryOf) -> None:
    """A path as long as the kernel takes is sent; a longer one would make Envoy refuse all."""
    fits, too_long = "/" + "x" * 106, "/" + "y" * 107
    one = made(entry_of("a.shop", endpoints=(f"unix://{fits}", f"unix://{too_long}")))
    assert addresses(one) == [fits]
    assert "longer than 107 bytes" in str(one.faults[0])


def test_an_endpoint_on_another_network_is_left_out_and_reported(entry_of: EntryOf) -> None:
    """Same network, or one of the two says nothing: sent. Else it needs a gateway."""
    members = tuple(
        Endpoint(address=f"10.0.0.{n}", port=80, network=network)
        for n, network in enumerate(("", "here", "there", "there", "there", "there"), 1)
    )
    entry = entry_of("a.shop", endpoints=members)
    one = made(entry, "here")
    assert addresses(one) == ["10.0.0.1", "10.0.0.2"]
    (fault,) = one.faults
    assert "leaves out 10.0.0.3:80, 10.0.0.4:80, 10.0.0.5:80 and 1 more" in str(fault)
    assert "network 'there'" in str(fault)
    assert len(addresses(made(entry, ""))) == 6


def test_endpoints_of_another_port_are_not_meant(entry_of: EntryOf) -> None:
    """An endpoint serves the one port that it names."""
    other = Endpoint(address="10.0.0.1", port=81, service_port="p81")
    assert addresses(made(entry_of("a.shop", "80/HTTP", "81/HTTP", endpoints=(other,)))) == []


@pytest.mark.parametrize("weights", [[LARGEST, LARGEST, 1], [LARGEST], [10**30, 10**30], [1] * 7])
def test_weights_never_add_up_to_more_than_envoy_takes(
    entry_of: EntryOf, weights: list[int]
) -> None:
    """Large weights are scaled down together, and none becomes 0."""
    members = tuple(
        Endpoint(address=f"10.0.0.{n}", port=80, weight=weight, locality=Locality(str(n % 2)))
        for n, weight in enumerate(weights, 1)
    )
    groups = made(entry_of("a.shop", endpoints=members)).message.endpoints
    sent = [one.load_balancing_weight.value for group in groups for one in group.lb_endpoints]
    assert min(sent) >= 1
    assert sum(sent) == sum(group.load_balancing_weight.value for group in groups) <= LARGEST
    if sum(weights) < LARGEST // 2:
        assert sent == weights


@pytest.mark.parametrize(
    ("address", "region"), [("unix:///run/\0.sock", ""), ("10.0.0.1", "r\udc80")]
)
def test_text_that_protobuf_refuses_leaves_out_one_endpoint(
    entry_of: EntryOf, address: str, region: str
) -> None:
    """A lone surrogate in one endpoint does not take the others down."""
    bad = Endpoint(
        address=address, port=0 if address.startswith("u") else 80, locality=Locality(region)
    )
    one = made(entry_of("a.shop", endpoints=(bad, "10.0.0.9:80")))
    assert addresses(one) == ["10.0.0.9"]
    assert "not valid Unicode" in str(one.faults[0])


def test_text_beyond_ascii_is_sent(entry_of: EntryOf) -> None:
    """Localities may be spelt as their people do."""
    there = Endpoint(address="10.0.0.1", port=80, locality=Locality("Zürich"))
    one = made(entry_of("a.shop", endpoints=(there,)))
    assert one.message.endpoints[0].locality.region == "Zürich"
    assert one.faults == ()
