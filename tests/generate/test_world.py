"""What of a world a proxy may see."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshregistry.generate import OwnPort, Place
from meshregistry.generate._world import deciding_namespaces, own_places, own_ports, visible
from meshregistry.model import Endpoint, Resolution

if TYPE_CHECKING:
    from conftest import EntryOf, WorldOf


def test_order_is_by_source_then_host(entry_of: EntryOf, world_of: WorldOf) -> None:
    """Sources in their order, unknown ones last; within one the host decides."""
    entries = (
        entry_of("a.shop", source="unknown"),
        entry_of("b.shop", source="second"),
        entry_of("d.shop", source="first"),
        entry_of("c.shop", source="first"),
    )
    world = world_of(*entries, source_order=("first", "second"))
    hosts = [service.host for service in visible(world, entries, None).services]
    assert hosts == ["c.shop", "d.shop", "b.shop", "a.shop"]


def test_own_namespace_wins_a_host_then_source_order(entry_of: EntryOf, world_of: WorldOf) -> None:
    """Of one host in two namespaces a proxy sees its own, else the first; the other is told."""
    entries = (
        entry_of("x.shop", namespace="a", source="second"),
        entry_of("x.shop", namespace="b", source="first"),
    )
    world = world_of(*entries, source_order=("first", "second"))
    seen = {
        namespace: [service.namespace for service in visible(world, entries, namespace).services]
        for namespace in ("a", "b", None)
    }
    assert seen == {"a": ["a"], "b": ["b"], None: ["b"]}
    (fault,) = visible(world, entries, "a").faults
    assert "host x.shop of namespace 'b' is hidden by that of namespace 'a'" in str(fault)


@pytest.mark.parametrize(
    ("export_to", "seen_by"),
    [
        (["*"], ["a", "b", None]),
        (["."], ["a"]),
        (["b"], ["b"]),
        ([".", "b"], ["a", "b"]),
        (["~"], []),
    ],
)
def test_a_service_is_seen_where_it_is_exported_to(
    entry_of: EntryOf, world_of: WorldOf, export_to: list[str], seen_by: list[str | None]
) -> None:
    """`*` is everybody, `.` the own namespace, a name that namespace."""
    entries = (entry_of("x.shop", namespace="a", export_to=export_to),)
    world = world_of(*entries)
    seen = [ns for ns in ("a", "b", None) if visible(world, entries, ns).services]
    assert seen == seen_by


def test_only_namespaces_that_decide_something_are_told_apart(entry_of: EntryOf) -> None:
    """A namespace matters if an export names it or another one has its host, too."""
    entries = [
        entry_of("open.shop", namespace="a"),
        entry_of("closed.shop", namespace="b", export_to=[".", "c"]),
        entry_of("twice.shop", namespace="d"),
        entry_of("twice.shop", namespace="e"),
    ]
    assert deciding_namespaces(entries) == {"b", "c", "d", "e"}


def test_an_alias_leads_to_the_other_hosts_port(entry_of: EntryOf, world_of: WorldOf) -> None:
    """Aliases are followed by port number to a service that is none."""
    entries = (
        entry_of("real.shop", "80/HTTP", "81/TCP"),
        entry_of("one.shop", resolution=Resolution.ALIAS, alias_of="two.shop"),
        entry_of("two.shop", resolution=Resolution.ALIAS, alias_of="real.shop"),
    )
    scope = visible(world_of(*entries), entries, None)
    one = scope.by_host["one.shop"]
    real = scope.by_host["real.shop"]
    assert scope.target(one, one.ports[0]) == (real, real.ports[0])
    assert scope.target(real, real.ports[1]) == (real, real.ports[1])


@pytest.mark.parametrize(
    "alias_of", ["circle.shop", "nobody.shop", "tcp.shop", "udp.shop", "other.shop"]
)
def test_an_alias_may_lead_nowhere(entry_of: EntryOf, world_of: WorldOf, alias_of: str) -> None:
    """A circle, an unknown host, a port of another kind, a port that is missing."""
    entries = (
        entry_of("circle.shop", resolution=Resolution.ALIAS, alias_of=alias_of),
        entry_of("tcp.shop", "80/TCP"),
        entry_of("udp.shop", "80/UDP"),
        entry_of("other.shop", "81/HTTP"),
    )
    scope = visible(world_of(*entries), entries, None)
    circle = scope.by_host["circle.shop"]
    assert scope.target(circle, circle.ports[0]) is None


def test_own_ports_are_found_by_address_and_network(entry_of: EntryOf, world_of: WorldOf) -> None:
    """A proxy's services are those with an endpoint at its address, on its network."""
    world = world_of(
        entry_of(
            "a.shop",
            "80/HTTP",
            endpoints=(
                Endpoint(address="10.0.0.1", port=8080, network="here"),
                Endpoint(address="10.0.0.1", port=8081, network="there"),
                Endpoint(address="10.0.0.2", port=8080),
            ),
        ),
        entry_of("dns.shop", "53/UDP", endpoints=("10.0.0.1:53",)),
    )
    (own,) = own_ports(world, ("10.0.0.1",), "here")
    assert (own.address, own.number, own.host, own.port.number) == ("10.0.0.1", 8080, "a.shop", 80)
    assert len(own_ports(world, ("10.0.0.1",), "")) == 2


def test_a_workload_takes_its_ports_on_loopback_and_at_its_address(entry_of: EntryOf) -> None:
    """The workload listens on 127.0.0.1, its sidecar at the proxy's address."""
    port = entry_of("a.shop").service.ports[0]
    own = OwnPort(address="10.0.0.1", number=8080, host="a.shop", port=port)
    assert own_places((own,)) == {Place("127.0.0.1", 8080), Place("10.0.0.1", 8080)}
