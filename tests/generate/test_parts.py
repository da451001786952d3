"""Parts that are made from former parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshregistry.generate import Scope
from meshregistry.generate._parts import OfService, Products, Reach, revised
from meshregistry.model import CLUSTER, ENDPOINT, Catalog, Endpoint, Resource, ResourcePart

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
    empty = Reach(Catalog(), Scope(), ResourcePart(), {}, ())
    first = empty.updated(Catalog(), Scope(), {mine: Products((old,), ())}, set())
    second = first.updated(Catalog(), Scope(), {yours: Products((new,), ())}, {mine})
    assert first.part.groups[CLUSTER].by_name == {"x": old}
    assert second.part.groups[CLUSTER].by_name == {"x": new}
    assert list(second.products) == [yours]


def test_what_was_made_for_networks_without_proxies_is_forgotten(entry_of: EntryOf) -> None:
    """The products of the networks in use stay, and those of no network at all."""
    service = OfService(
        entry_of("a.shop", endpoints=(Endpoint(address="10.0.0.1", port=80, network="n"),))
    )
    service.by_network = {network: Products((), ()) for network in ("", "n", "m")}
    service.retain({"n"})
    assert sorted(service.by_network) == ["", "n"]
    assert service.is_on_networks
