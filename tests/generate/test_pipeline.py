"""Worlds and proxy keys in, resource sets out: sharing, cost of a change, extension."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from meshregistry.generate import (
    SCOPE_GENERATORS,
    SERVICE_GENERATORS,
    Generated,
    Pipeline,
    ScopeGenerator,
    View,
    World,
    dangling_references,
)
from meshregistry.generate._output import resource
from meshregistry.model import (
    CLUSTER,
    ENDPOINT,
    LISTENER,
    ROUTE,
    RUNTIME,
    CatalogEntry,
    Endpoint,
    Locality,
    Proxy,
    ProxyKey,
    ProxyRole,
    Resolution,
)
from meshregistry.rules import MeshSettings

if TYPE_CHECKING:
    from conftest import EntryOf, WorldOf
    from meshregistry.generate import Derived

ROUTER = ProxyKey(role=ProxyRole.ROUTER)


def sidecar(address: str = "", namespace: str = "shop", network: str = "") -> ProxyKey:
    """The key of a sidecar."""
    return ProxyKey(
        role=ProxyRole.SIDECAR,
        namespace=namespace,
        addresses=(address,) if address else (),
        network=network,
    )


def after(world: World, *changed: CatalogEntry, removed: tuple[CatalogEntry, ...] = ()) -> World:
    """The next world."""
    catalog = world.catalog.updated(
        changed, [one.key for one in removed], generation=world.catalog.generation + 1
    )
    return evolve(world, catalog=catalog)


def names(derived: Derived, type_url: str) -> list[str]:
    """The names of one type."""
    return [one.name for one in derived.resources.resources(type_url)]


def test_a_router_needs_no_facts_but_its_network(world_of: WorldOf) -> None:
    """All routers of a network share one key, whatever their node says."""
    proxy = Proxy(
        node_id="x",
        role=ProxyRole.ROUTER,
        addresses=("10.0.0.1",),
        namespace="n",
        labels={"a": "b"},
    )
    assert Pipeline().proxy_key(world_of(), proxy) == ROUTER


def test_a_sidecar_keeps_the_addresses_that_the_world_knows(
    entry_of: EntryOf, world_of: WorldOf
) -> None:
    """Sidecars whose workload serves nothing share a key, until it does."""
    proxy = Proxy(
        node_id="x",
        role=ProxyRole.SIDECAR,
        addresses=("10.0.0.1", "10.0.0.2"),
        namespace="shop",
        locality=Locality("r"),
    )
    pipeline = Pipeline()
    assert pipeline.proxy_key(world_of(), proxy) == sidecar()
    world = world_of(entry_of("a.shop", endpoints=("10.0.0.2:80",)))
    assert pipeline.proxy_key(world, proxy) == sidecar("10.0.0.2")


def test_a_role_without_generators_gets_nothing_and_is_told(world_of: WorldOf) -> None:
    """Clients that speak gRPC without a proxy wait for a renderer of their own."""
    derived = Pipeline().derive(world_of(), ProxyKey(role=ProxyRole.PROXYLESS))
    assert derived.resources.types() == ()
    assert "proxyless" in str(derived.faults[0])


def test_the_same_world_gives_the_same_object(entry_of: EntryOf, world_of: WorldOf) -> None:
    """Asking again costs nothing."""
    world, pipeline = world_of(entry_of("a.shop")), Pipeline()
    assert pipeline.derive(world, ROUTER) is pipeline.derive(world, ROUTER)


def test_an_equal_world_gives_the_same_object(entry_of: EntryOf, world_of: WorldOf) -> None:
    """A world that was built anew and says the same derives nothing anew."""
    pipeline = Pipeline()
    first = pipeline.derive(world_of(entry_of("a.shop")), ROUTER)
    assert pipeline.derive(world_of(entry_of("a.shop")), ROUTER) is first


def test_one_changed_endpoint_costs_one_encoding(entry_of: EntryOf, world_of: WorldOf) -> None:
    """Everything but the one assignment is the same object as before."""
    entries = [entry_of(f"s{n}.shop", endpoints=(f"10.0.0.{n}:80",)) for n in range(1, 9)]
    world, pipeline = world_of(*entries), Pipeline()
    former = pipeline.derive(world, ROUTER)
    now = after(world, entry_of("s3.shop", endpoints=("10.0.0.3:80", "10.0.0.33:80")))
    derived = pipeline.derive(now, ROUTER)
    old = {one.key: one for one in former.resources}
    assert [one.key for one in derived.resources if old[one.key] is not one] == [
        (ENDPOINT, "outbound|80||s3.shop")
    ]
    (former_routes,) = former.resources.groups(ROUTE)
    (routes,) = derived.resources.groups(ROUTE)
    assert routes is former_routes
    assert derived.resources.groups(CLUSTER)[0] is former.resources.groups(CLUSTER)[0]


def test_sidecars_of_a_namespace_share_the_outbound_side(
    entry_of: EntryOf, world_of: WorldOf
) -> None:
    """Two sidecars differ in their own inbound part; all other parts are the same objects."""
    entries = [
        entry_of(f"s{n}.shop", "9080/HTTP", endpoints=(f"10.0.0.{n}:80",), namespace="shop")
        for n in (1, 2)
    ]
    world, pipeline = world_of(*entries), Pipeline()
    one, two = (pipeline.derive(world, sidecar(f"10.0.0.{n}")) for n in (1, 2))
    shared = [a for a, b in zip(one.resources.parts, two.resources.parts, strict=True) if a is b]
    assert len(shared) == len(one.resources.parts) - 1
    assert set(names(one, LISTENER)) - set(names(two, LISTENER)) == {"10.0.0.1_80"}


def test_namespaces_share_clusters_and_assignments(entry_of: EntryOf, world_of: WorldOf) -> None:
    """Only routes know short names; what is encoded for one namespace serves all and routers."""
    world = world_of(
        *(entry_of(f"s{n}.{ns}.mesh.local", namespace=ns) for n in (1, 2) for ns in ("a", "b"))
    )
    pipeline = Pipeline()
    a, b = (pipeline.derive(world, sidecar(namespace=namespace)) for namespace in ("a", "b"))
    router = pipeline.derive(world, ROUTER)
    assert a.resources.parts[0] is b.resources.parts[0]
    assert a.resources.parts[0] is router.resources.parts[0]
    assert a.resources.get(ROUTE, "80") != b.resources.get(ROUTE, "80")


def test_networks_share_what_they_see_alike(entry_of: EntryOf, world_of: WorldOf) -> None:
    """Only services with endpoints on a network are encoded for each."""
    world = world_of(
        entry_of("everywhere.shop", endpoints=("10.0.0.1:80",)),
        entry_of("here.shop", endpoints=(Endpoint(address="10.0.0.2", port=80, network="here"),)),
    )
    pipeline = Pipeline()
    here, there = (
        pipeline.derive(world, ProxyKey(role=ProxyRole.ROUTER, network=network))
        for network in ("here", "there")
    )
    same = {
        one.name
        for one in here.resources.resources(ENDPOINT)
        if there.resources.get(ENDPOINT, one.name) is one
    }
    assert same == {"outbound|80||everywhere.shop"}
    assert [len(one.faults) for one in (here, there)] == [0, 1]


def test_own_ports_cost_only_the_listeners_that_they_displace(
    entry_of: EntryOf, world_of: WorldOf
) -> None:
    """Sidecars whose workload takes an outbound port share the other listeners' bytes."""
    world = world_of(
        entry_of("a.shop", "80/HTTP", endpoints=("10.0.0.1:80",)),
        entry_of("b.shop", "81/HTTP", endpoints=("10.0.0.2:8081",)),
    )
    pipeline = Pipeline()
    displaced = pipeline.derive(world, sidecar("10.0.0.1"))
    plain = pipeline.derive(world, sidecar("10.0.0.2"))
    assert names(displaced, LISTENER) == ["127.0.0.1_81", "10.0.0.1_80"]
    assert names(plain, LISTENER) == ["127.0.0.1_80", "127.0.0.1_81", "10.0.0.2_8081"]
    one = displaced.resources.get(LISTENER, "127.0.0.1_81")
    assert one is plain.resources.get(LISTENER, "127.0.0.1_81")


def test_a_service_that_is_added_leaves_the_inbound_side_alone(
    entry_of: EntryOf, world_of: WorldOf
) -> None:
    """What depends on the proxy alone is not made again when services come."""
    world = world_of(entry_of("a.shop", "9080/HTTP", endpoints=("10.0.0.1:80",)))
    pipeline = Pipeline()
    former = pipeline.derive(world, sidecar("10.0.0.1"))
    derived = pipeline.derive(after(world, entry_of("b.shop")), sidecar("10.0.0.1"))
    assert derived.resources.parts[-1] is former.resources.parts[-1]
    assert derived.resources.parts[0] is not former.resources.parts[0]


def test_a_host_may_move_between_namespaces(entry_of: EntryOf, world_of: WorldOf) -> None:
    """The cluster keeps its name while the service behind it is another one."""
    mine = entry_of("x.shop", namespace="a", endpoints=("10.0.0.1:80",))
    yours = entry_of("x.shop", namespace="b", endpoints=("10.0.0.2:80",))
    world, pipeline = world_of(mine), Pipeline()
    former = pipeline.derive(world, ROUTER)
    derived = pipeline.derive(after(world, yours, removed=(mine,)), ROUTER)
    assert names(derived, ENDPOINT) == names(former, ENDPOINT) == ["outbound|80||x.shop"]
    assert [
        one.name for one in derived.resources.changes_since(former.resources, ENDPOINT).changed
    ] == ["outbound|80||x.shop"]


def test_a_removed_service_leaves_nothing_behind(entry_of: EntryOf, world_of: WorldOf) -> None:
    """Its resources and what was remembered of it are gone."""
    a, b = entry_of("a.shop"), entry_of("b.shop")
    world, pipeline = world_of(a, b), Pipeline()
    pipeline.derive(world, ROUTER)
    derived = pipeline.derive(after(world, removed=(b,)), ROUTER)
    assert names(derived, CLUSTER) == names(derived, ENDPOINT) == ["outbound|80||a.shop"]
    assert list(pipeline._services) == [a.key]


def test_the_memo_holds_what_the_newest_worlds_use(entry_of: EntryOf, world_of: WorldOf) -> None:
    """Proxies that went away are forgotten with the world after the next."""
    world, pipeline = world_of(entry_of("a.shop", endpoints=("10.0.0.1:80",))), Pipeline()
    pipeline.derive(world, ROUTER)
    least = len(pipeline._memo)
    for network in ("one", "two", "three"):
        pipeline.derive(world, sidecar("10.0.0.1", network=network))
    assert len(pipeline._memo) > least
    for n in range(2):
        world = after(world, entry_of("a.shop", endpoints=(f"10.0.0.{n + 2}:80",)))
        pipeline.derive(world, ROUTER)
    # One more than a single derivation needs: the difference of the last two catalogs.
    assert len(pipeline._memo) == least + 1


def test_other_settings_change_everything(entry_of: EntryOf, world_of: WorldOf) -> None:
    """Mesh settings reach every cluster."""
    world, pipeline = world_of(entry_of("a.shop")), Pipeline()
    former = pipeline.derive(world, ROUTER)
    derived = pipeline.derive(evolve(world, mesh=MeshSettings(connect_timeout=5.0)), ROUTER)
    changes = derived.resources.changes_since(former.resources, CLUSTER)
    assert [one.name for one in changes.changed] == ["outbound|80||a.shop"]


def test_another_order_of_sources_decides_anew(entry_of: EntryOf, world_of: WorldOf) -> None:
    """Collisions are decided by the order of the world that is asked about."""
    entries = [entry_of(f"{s}.shop", "90/TCP", source=s) for s in ("x", "y")]
    pipeline = Pipeline()
    won = []
    for order in (("x", "y"), ("y", "x")):
        derived = pipeline.derive(world_of(*entries, source_order=order), sidecar())
        (listener,) = derived.resources.resources(LISTENER)
        won.append([one.name for one in listener.references])
    assert won == [["outbound|90||x.shop"], ["outbound|90||y.shop"]]


def test_a_service_that_changes_source_may_lose_its_port(
    entry_of: EntryOf, world_of: WorldOf
) -> None:
    """Precedence is part of what routes and listeners depend on, though it is no service's value."""
    x, y = (entry_of(f"{s}.shop", "90/TCP", source=s) for s in ("x", "y"))
    world, pipeline = world_of(x, y, source_order=("x", "y", "z")), Pipeline()
    former = pipeline.derive(world, sidecar())
    derived = pipeline.derive(after(world, evolve(x, sources=("z",))), sidecar())
    targets = [one.resources.resources(LISTENER)[0].references[0].name for one in (former, derived)]
    assert targets == ["outbound|90||x.shop", "outbound|90||y.shop"]


def test_going_back_to_an_older_world_is_right(entry_of: EntryOf, world_of: WorldOf) -> None:
    """The memo helps the newest world; an older one is derived as from scratch."""
    world, pipeline = world_of(entry_of("a.shop", endpoints=("10.0.0.1:80",))), Pipeline()
    newer = after(world, entry_of("a.shop"), entry_of("b.shop"))
    first = list(pipeline.derive(world, ROUTER).resources)
    pipeline.derive(newer, ROUTER)
    assert list(pipeline.derive(world, ROUTER).resources) == first


def test_a_set_never_fails(entry_of: EntryOf, world_of: WorldOf) -> None:
    """Broken aliases, wrong text, foreign networks: the rest is there, whole, and they are told."""
    bad = Endpoint(address="10.0.0.1", port=80, locality=Locality("\ud800"))
    world = world_of(
        entry_of("a.shop", endpoints=(bad, "10.0.0.2:80")),
        entry_of("b.shop", endpoints=(Endpoint(address="10.0.0.3", port=80, network="n"),)),
        entry_of("x.shop", resolution=Resolution.ALIAS, alias_of="gone.shop"),
    )
    derived = Pipeline().derive(world, ProxyKey(role=ProxyRole.ROUTER, network="m"))
    assert dangling_references(derived.resources) == ()
    assert len(derived.faults) == 3
    assert names(derived, ENDPOINT) == ["outbound|80||a.shop", "outbound|80||b.shop"]


def test_generators_can_be_added(entry_of: EntryOf, world_of: WorldOf) -> None:
    """Both tables take further generators; what one does not read is blank to it."""
    seen: list[str] = []

    def runtime(view: View) -> Generated:
        from envoy.service.runtime.v3 import rtds_pb2  # noqa: PLC0415 - as a plugin would

        seen.append(f"{view.namespace}{len(view.scope.services)}")
        return Generated(resources=[resource(RUNTIME, "r", rtds_pb2.Runtime(name="r"))])

    table = {
        **SCOPE_GENERATORS,
        ProxyRole.SIDECAR: (*SCOPE_GENERATORS[ProxyRole.SIDECAR], ScopeGenerator(runtime)),
    }
    pipeline = Pipeline(service_generators=SERVICE_GENERATORS, scope_generators=table)
    derived = pipeline.derive(world_of(entry_of("a.shop", namespace="shop")), sidecar())
    assert names(derived, RUNTIME) == ["r"]
    assert seen == ["1"]


@pytest.mark.parametrize("key", [ROUTER, sidecar("10.0.0.1")], ids=str)
def test_every_role_gets_a_whole_set(entry_of: EntryOf, world_of: WorldOf, key: ProxyKey) -> None:
    """What is referred to is there, in an ordinary world."""
    world = world_of(
        entry_of("a.shop", "80/HTTP", "90/TCP", endpoints=("10.0.0.1:8080",), namespace="shop"),
        entry_of("b.shop", endpoints=("b.example:80",), namespace="core"),
    )
    derived = Pipeline().derive(world, key)
    assert dangling_references(derived.resources) == ()
    assert derived.faults == ()
