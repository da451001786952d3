"""What sidecars see, if a scope narrows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshregistry.generate import Pipeline, World
from meshregistry.generate._sight import Sight, sight
from meshregistry.model import (
    CLUSTER,
    LISTENER,
    ROUTE,
    Catalog,
    Hostname,
    Labels,
    Protocol,
    Proxy,
    ProxyRole,
    Selector,
)
from meshregistry.rules import (
    Destination,
    EgressListener,
    HttpRoute,
    IngressListener,
    OutboundTrafficPolicy,
    RouteRule,
    RuleSet,
    SidecarScope,
    WeightedDestination,
)

if TYPE_CHECKING:
    from conftest import EntryOf

ROOT = "istio-system"


def scope(*hosts: str, **others: object) -> SidecarScope:
    """A scope of the namespace shop that sees these hosts."""
    egress = (EgressListener(hosts=hosts),) if hosts else ()
    return SidecarScope(**{"namespace": "shop", "name": "s", "egress": egress, **others})  # type: ignore[arg-type]


WEB = scope("*/*", name="web", selector=Selector({"app": "web"}))
DEFAULT = scope("./*", name="default")
MESH_WIDE = scope("./*", namespace=ROOT, name="mesh")


@pytest.mark.parametrize(
    ("namespace", "labels", "expected"),
    [
        ("shop", {"app": "web"}, WEB),
        ("shop", {"app": "other"}, DEFAULT),
        ("pay", {"app": "web"}, MESH_WIDE),
        (ROOT, {}, MESH_WIDE),
    ],
)
def test_the_scope_of_a_workload(
    namespace: str, labels: dict[str, str], expected: SidecarScope
) -> None:
    """The one that selects it, else its namespace's, else the root's."""
    found = sight((MESH_WIDE, DEFAULT, WEB), namespace, Labels(labels), ROOT)
    assert found == Sight(expected, namespace)
    assert sight((), namespace, Labels(labels), ROOT) is None


@pytest.mark.parametrize(
    ("patterns", "home", "host", "is_seen"),
    [
        (("./*",), "shop", "a", True),
        (("./*",), "pay", "a", False),
        (("pay/*",), "pay", "a", True),
        (("*/a",), "any", "a", True),
        (("*/*.b",), "any", "a.b", True),
        (("*/*.b",), "any", "a.c", False),
        (("~/*",), "shop", "a", False),
        ((), "any", "a", True),
    ],
)
def test_hosts_are_named_with_their_namespace(
    patterns: tuple[str, ...], home: str, host: str, is_seen: bool
) -> None:
    """A dot is the workload's own, a star any, a tilde none."""
    assert Sight(scope(*patterns), "shop").is_seen(home, host) is is_seen


def test_a_listener_for_a_port_decides_about_it_alone() -> None:
    """And the others about all other ports."""
    one = Sight(
        scope(
            egress=(
                EgressListener(hosts=("*/a",)),
                EgressListener(hosts=("*/b",), port=80),
            )
        ),
        "shop",
    )
    seen = {(h, p) for h in "ab" for p in (80, 81) if one.is_seen("shop", h, p)}
    assert seen == {("a", 81), ("b", 80)}


def names(world: World, proxy: Proxy, url: str) -> set[str]:
    """The names of the resources of a type that a proxy is sent."""
    pipeline = Pipeline()
    derived = pipeline.derive(world, pipeline.proxy_key(world, proxy))
    return set(derived.resources.names(url))


@pytest.fixture
def world(entry_of: EntryOf) -> World:
    """Two namespaces; a rule for a.shop leads to the other one's d.pay."""
    entries = [
        entry_of("a.shop", "80/HTTP", "81/HTTP", endpoints=("10.0.0.1:8080",), namespace="shop"),
        entry_of("c.pay", "80/HTTP", namespace="pay"),
        entry_of("d.pay", "82/HTTP", namespace="pay"),
    ]
    to_d = HttpRoute(
        destinations=(WeightedDestination(destination=Destination(Hostname("d.pay"), port=82)),)
    )
    rules = [
        RouteRule(namespace="shop", hosts=("a.shop",), http=(to_d,)),
        RouteRule(namespace="pay", name="x", hosts=("x.example",), http=(to_d,)),
    ]
    return World(catalog=Catalog.of(entries), rules=RuleSet.of(rules))


def with_scope(world: World, one: SidecarScope) -> World:
    """The same world with one more rule."""
    return World(
        catalog=world.catalog, rules=RuleSet.of([*world.rules.routes, one]), mesh=world.mesh
    )


PROXY = Proxy(
    node_id="x",
    role=ProxyRole.SIDECAR,
    namespace="shop",
    addresses=("10.0.0.1",),
    labels=Labels({"app": "web"}),
)


def test_a_sidecar_is_sent_what_it_sees_and_where_its_rules_lead(world: World) -> None:
    """Neither clusters nor listeners nor the hosts of rules of anything else."""
    whole = names(world, PROXY, CLUSTER)
    assert {"outbound|80||c.pay", "outbound|82||d.pay"} < whole
    narrowed = with_scope(world, scope("./*"))
    assert names(narrowed, PROXY, CLUSTER) == whole - {"outbound|80||c.pay"}
    assert names(narrowed, PROXY, ROUTE) == {"80", "81", "82"}
    pipeline = Pipeline()
    derived = pipeline.derive(narrowed, pipeline.proxy_key(narrowed, PROXY))
    routes = derived.resources.get(ROUTE, "80")
    assert routes is not None
    assert b"x.example" not in routes.bytes
    assert b"a.shop" in routes.bytes


def test_others_see_everything_still(world: World) -> None:
    """A scope that selects workloads is for those only, and tells proxies apart by its labels."""
    narrowed = with_scope(world, scope("./*", selector=Selector({"app": "other"})))
    assert names(narrowed, PROXY, CLUSTER) == names(world, PROXY, CLUSTER)


def test_ports_of_the_workload_are_those_of_the_scope(world: World) -> None:
    """Instead of what its services say."""
    ingress = (
        IngressListener(port=9000, protocol=Protocol.HTTP, default_endpoint="127.0.0.1:9001"),
        IngressListener(port=9002, protocol=Protocol.TCP, default_endpoint="unix:///run/a"),
    )
    narrowed = with_scope(world, scope(ingress=ingress))
    pipeline = Pipeline()
    derived = pipeline.derive(narrowed, pipeline.proxy_key(narrowed, PROXY))
    resources = derived.resources
    inbound = {name for name in resources.names(LISTENER) if name.startswith("10.")}
    assert inbound == {"10.0.0.1_9000", "10.0.0.1_9002"}
    http, tcp = (resources.get(CLUSTER, f"inbound|{port}||") for port in (9000, 9002))
    assert http is not None
    assert tcp is not None
    assert b"127.0.0.1" in http.bytes
    assert b"/run/a" in tcp.bytes


def test_unknown_hosts_are_as_the_scope_says(world: World) -> None:
    """Whatever the mesh says."""
    strict = with_scope(world, scope(outbound=OutboundTrafficPolicy.REGISTRY_ONLY))
    assert "PassthroughCluster" in names(world, PROXY, CLUSTER)
    assert "PassthroughCluster" not in names(strict, PROXY, CLUSTER)


def test_routers_see_everything(world: World) -> None:
    """A scope is for sidecars."""
    router = Proxy(node_id="edge", role=ProxyRole.ROUTER, namespace="shop")
    narrowed = with_scope(world, scope("~/*"))
    assert names(narrowed, router, CLUSTER) == names(world, router, CLUSTER)
