"""Parts that are made from former parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from meshregistry.generate import Scope
from meshregistry.generate._parts import OfService, Products, Reach, Standpoint, revised
from meshregistry.generate._ruling import Policies
from meshregistry.model import (
    CLUSTER,
    ENDPOINT,
    Catalog,
    Endpoint,
    Locality,
    Resource,
    ResourcePart,
)
from meshregistry.rules import (
    DestinationPolicy,
    LoadBalancer,
    LocalityBalancing,
    PortPolicies,
    TrafficPolicy,
)

if TYPE_CHECKING:
    from conftest import EntryOf


def test_a_part_of_the_same_resources_is_the_same_part() -> None:
    """Nothing changed means the same object, whose digests are known."""
    a, b = Resource(CLUSTER, "a", b"1"), Resource(ENDPOINT, "a", b"1")
    former = ResourcePart.of([a, b])
    assert revised(former, [b, a]) is former


def test_only_types_that_changed_get_a_new_group() -> None:
    """What is gone is gone, what is new is there, and the other type is untouched."""
    a, b, c = (Resource(CLUSTER, name, b"1") for name in "abc")
    other = Resource(ENDPOINT, "a", b"1")
    former = ResourcePart.of([a, b, other])
    part = revised(former, [b, c, other])
    assert list(part.groups[CLUSTER].by_name) == ["b", "c"]
    assert part.groups[ENDPOINT] is former.groups[ENDPOINT]


def test_a_resource_may_pass_from_one_service_to_another(entry_of: EntryOf) -> None:
    """A name that one service loses and another one gives is changed, not removed."""
    mine, yours = (entry_of("x.shop", namespace=namespace).key for namespace in ("a", "b"))
    old, new = Resource(CLUSTER, "x", b"1"), Resource(CLUSTER, "x", b"2")
    empty = Reach(Catalog(), Scope(), Policies(), ResourcePart(), {}, ())
    first = empty.updated(Catalog(), Scope(), Policies(), {mine: Products((old,), ())}, set())
    second = first.updated(Catalog(), Scope(), Policies(), {yours: Products((new,), ())}, {mine})
    assert first.part.groups[CLUSTER].by_name == {"x": old}
    assert second.part.groups[CLUSTER].by_name == {"x": new}
    assert list(second.products) == [yours]


def test_what_was_made_for_other_standpoints_is_forgotten(entry_of: EntryOf) -> None:
    """The products of the standpoints in use stay, and only they."""
    service = OfService(
        entry_of("a.shop", endpoints=(Endpoint(address="10.0.0.1", port=80, network="n"),))
    )
    at = [service.standpoint(network, Locality(), Policies()) for network in ("", "n", "m")]
    service.products = dict.fromkeys(at, Products((), ()))
    service.retain({at[1]})
    assert [one.network for one in service.products] == ["n"]
    assert service.is_on_networks


def test_a_network_plays_no_part_for_a_service_that_is_on_none(entry_of: EntryOf) -> None:
    """Proxies of all networks share what such a service gives."""
    service = OfService(entry_of("a.shop", endpoints=(Endpoint(address="10.0.0.1", port=80),)))
    assert service.standpoint("n", Locality(), Policies()) == Standpoint()


def test_a_locality_plays_a_part_only_for_policies_that_go_by_it(entry_of: EntryOf) -> None:
    """Elsewhere proxies of all zones share what a service gives."""
    service = OfService(entry_of("a.shop", endpoints=(Endpoint(address="10.0.0.1", port=80),)))
    here = Locality(region="eu")
    plain = DestinationPolicy(host="a.shop")
    local = evolve(
        plain,
        policies=PortPolicies(
            all=TrafficPolicy(load_balancer=LoadBalancer(locality=LocalityBalancing()))
        ),
    )
    seen = [service.standpoint("", here, Policies(policies=(one,))) for one in (plain, local)]
    assert [one.whereabouts.locality for one in seen] == [Locality(), here]
    assert [one.policy for one in seen] == [plain, local]
