"""Rules in a pipeline: what a change costs, and who shares what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve
from envoy.config.route.v3 import route_pb2

from meshregistry.generate import Derived, Pipeline, World
from meshregistry.model import (
    CLUSTER,
    ENDPOINT,
    LISTENER,
    ROUTE,
    Catalog,
    Endpoint,
    Hostname,
    Labels,
    Locality,
    Proxy,
    ProxyKey,
    ProxyRole,
    Resolution,
    Selector,
)
from meshregistry.rules import (
    Balancing,
    CallerMatch,
    Destination,
    DestinationPolicy,
    Gateway,
    GatewayServer,
    HttpMatch,
    HttpRoute,
    LoadBalancer,
    LocalityBalancing,
    Origin,
    PortPolicies,
    Redirect,
    RouteRule,
    RuleSet,
    ServerProtocol,
    Subset,
    TrafficPolicy,
    WeightedDestination,
)

if TYPE_CHECKING:
    from conftest import EntryOf, WorldOf
    from meshregistry.generate._world import View
    from meshregistry.rules import Rule

SIDECAR = ProxyKey(role=ProxyRole.SIDECAR, namespace="shop")
SUBSETS = DestinationPolicy(
    host="a.shop",
    subsets=tuple(Subset(name=v, labels=Labels({"version": v})) for v in ("v1", "v2")),
)


def split(weight: int, host: str = "a.shop", **more: object) -> RouteRule:
    """So many of a hundred requests to v2."""
    shares = tuple(
        WeightedDestination(destination=Destination(Hostname(host), version), weight=share)
        for version, share in (("v1", 100 - weight), ("v2", weight))
    )
    return RouteRule(name=host, hosts=(host,), http=(HttpRoute(destinations=shares),), **more)


def world(entry_of: EntryOf, world_of: WorldOf, *rules: Rule) -> World:
    """Two services, of which a has two versions, with these rules."""
    members = tuple(
        Endpoint(address=f"10.0.0.{i}", port=80, labels=Labels({"version": f"v{i}"}))
        for i in (1, 2)
    )
    services = (
        entry_of("a.shop", endpoints=members, namespace="shop"),
        entry_of("b.shop", "81/HTTP", endpoints=("10.0.0.3:80",), namespace="shop"),
    )
    return evolve(world_of(*services), rules=RuleSet.of(rules))


def changed(before: Derived, after: Derived) -> set[tuple[str, str]]:
    """The resources that are not the same objects."""
    found = set()
    for url in (CLUSTER, ENDPOINT, LISTENER, ROUTE):
        old = {one.name: one for one in before.resources.resources(url)}
        new = {one.name: one for one in after.resources.resources(url)}
        found |= {(url, name) for name in old.keys() ^ new.keys()}
        found |= {(url, name) for name in old.keys() & new.keys() if old[name] is not new[name]}
    return found


def test_a_changed_weight_touches_one_route_configuration(
    entry_of: EntryOf, world_of: WorldOf
) -> None:
    """No cluster, no assignment, no listener, and no other port's routes."""
    pipeline = Pipeline()
    first = world(entry_of, world_of, SUBSETS, split(5))
    before = pipeline.derive(first, SIDECAR)
    after = pipeline.derive(evolve(first, rules=RuleSet.of([SUBSETS, split(50)])), SIDECAR)
    assert changed(before, after) == {(ROUTE, "80")}


def test_a_changed_policy_touches_its_services_clusters(
    entry_of: EntryOf, world_of: WorldOf
) -> None:
    """And no route, unless what it says of hashing differs."""
    random = TrafficPolicy(load_balancer=LoadBalancer(balancing=Balancing.RANDOM))
    pipeline = Pipeline()
    first = world(entry_of, world_of, SUBSETS, split(5))
    before = pipeline.derive(first, SIDECAR)
    other = evolve(SUBSETS, policies=PortPolicies(all=random))
    after = pipeline.derive(evolve(first, rules=RuleSet.of([other, split(5)])), SIDECAR)
    assert changed(before, after) == {
        (CLUSTER, f"outbound|80|{version}|a.shop") for version in ("", "v1", "v2")
    }


def test_rules_that_say_the_same_change_nothing(entry_of: EntryOf, world_of: WorldOf) -> None:
    """The whole result is the same object."""
    pipeline = Pipeline()
    first = world(entry_of, world_of, SUBSETS, split(5))
    before = pipeline.derive(first, SIDECAR)
    again = evolve(first, rules=RuleSet.of([split(5), evolve(SUBSETS)]))
    assert pipeline.derive(again, SIDECAR) is before


def test_an_endpoint_of_a_subset_costs_two_assignments(
    entry_of: EntryOf, world_of: WorldOf
) -> None:
    """The service's and the subset's; the other subset is untouched."""
    pipeline = Pipeline()
    first = world(entry_of, world_of, SUBSETS, split(5))
    before = pipeline.derive(first, SIDECAR)
    entry = next(one for one in first.catalog if one.service.host == "a.shop")
    more = Endpoint(
        address="10.0.0.9", port=80, labels=Labels({"version": "v2"}), service_port="p80"
    )
    news = evolve(entry, endpoints=(*entry.endpoints, more))
    catalog = first.catalog.updated([news], [], generation=1)
    after = pipeline.derive(evolve(first, catalog=catalog), SIDECAR)
    assert changed(before, after) == {
        (ENDPOINT, "outbound|80||a.shop"),
        (ENDPOINT, "outbound|80|v2|a.shop"),
    }


def test_proxies_share_what_rules_do_not_tell_apart(entry_of: EntryOf, world_of: WorldOf) -> None:
    """Labels and places of proxies are no part of their key, until a rule goes by them."""
    pipeline = Pipeline()
    proxies = [
        Proxy(
            node_id=zone,
            role=ProxyRole.SIDECAR,
            namespace="shop",
            labels=Labels({"app": zone}),
            locality=Locality(zone=zone),
        )
        for zone in ("x", "y")
    ]

    def keys(*rules: Rule) -> int:
        made = world(entry_of, world_of, *rules)
        return len({pipeline.proxy_key(made, proxy) for proxy in proxies})

    by_label = HttpMatch(caller=CallerMatch(source_labels=Labels({"app": "x"})))
    shares = (WeightedDestination(destination=Destination(Hostname("a.shop"))),)
    labelled = RouteRule(
        hosts=("a.shop",), http=(HttpRoute(matches=(by_label,), destinations=shares),)
    )
    local = LoadBalancer(locality=LocalityBalancing())
    placed = DestinationPolicy(
        host="a.shop", policies=PortPolicies(all=TrafficPolicy(load_balancer=local))
    )
    assert (keys(SUBSETS, split(5)), keys(labelled), keys(placed)) == (1, 2, 2)


def test_callers_are_told_apart_where_a_rule_does(entry_of: EntryOf, world_of: WorldOf) -> None:
    """A rule that is exported to one namespace is not another's."""
    pipeline = Pipeline()
    made = world(entry_of, world_of, SUBSETS, split(5, namespace="shop", export_to=(".",)))
    own, other = (
        pipeline.derive(made, evolve(SIDECAR, namespace=namespace)) for namespace in ("shop", "web")
    )
    assert (ROUTE, "80") in changed(own, other)
    found = {"shop": own, "web": other}
    split_up = {
        name: b"outbound|80|v2|a.shop"
        in next(one for one in derived.resources.resources(ROUTE) if one.name == "80").bytes
        for name, derived in found.items()
    }
    assert split_up == {"shop": True, "web": False}


def routes_of(derived: Derived, name: str) -> route_pb2.RouteConfiguration:
    """A route configuration, decoded."""
    (found,) = (one for one in derived.resources.resources(ROUTE) if one.name == name)
    return route_pb2.RouteConfiguration.FromString(found.bytes)


def test_a_host_that_only_a_rule_knows_is_on_port_80(entry_of: EntryOf, world_of: WorldOf) -> None:
    """As in Istio; on a router it is on the router's port."""
    rule = RouteRule(hosts=("old.example",), http=(HttpRoute(redirect=Redirect(path="/")),))
    made = world(entry_of, world_of, rule)
    derived = Pipeline().derive(made, SIDECAR)
    assert "old.example" in [host.domains[0] for host in routes_of(derived, "80").virtual_hosts]
    assert "old.example" not in [host.domains[0] for host in routes_of(derived, "81").virtual_hosts]
    derived = Pipeline().derive(made, ProxyKey(role=ProxyRole.ROUTER))
    found = {tuple(host.domains) for host in routes_of(derived, "http.10000").virtual_hosts}
    assert ("old.example", "old.example:10000") in found


def test_rules_of_2017_leave_the_rest_to_the_service(entry_of: EntryOf, world_of: WorldOf) -> None:
    """Today's stand for their host as a whole: what they do not match is not found."""
    match = HttpMatch(method=None, headers=(), stat_prefix="x", query=())
    rule = RouteRule(
        hosts=("a.shop",),
        http=(HttpRoute(matches=(evolve(match),), redirect=Redirect(path="/")),),
    )
    made = world(entry_of, world_of, rule)
    (host,) = (
        one
        for one in routes_of(Pipeline().derive(made, SIDECAR), "80").virtual_hosts
        if one.domains[0] == "a.shop"
    )
    assert len(host.routes) == 1
    older = evolve(made, rules=RuleSet.of([evolve(rule, precedence=1)]))
    (host,) = (
        one
        for one in routes_of(Pipeline().derive(older, SIDECAR), "80").virtual_hosts
        if one.domains[0] == "a.shop"
    )
    assert host.routes[-1].route.cluster == "outbound|80||a.shop"


def test_what_is_not_there_is_reported_with_a_remedy(entry_of: EntryOf, world_of: WorldOf) -> None:
    """An unknown host, port or subset, each by its document."""

    def to(host: str, subset: str = "", port: int | None = None) -> HttpRoute:
        destination = Destination(Hostname(host), subset, port)
        return HttpRoute(destinations=(WeightedDestination(destination=destination),))

    reasons = []
    for route in (
        to("gone.shop"),
        to("a.shop", port=9),
        to("a.shop", "v9"),
        to("b.shop", port=None),
    ):
        made = world(entry_of, world_of, RouteRule(hosts=("a.shop",), http=(route,)))
        reasons.append([str(fault) for fault in Pipeline().derive(made, SIDECAR).faults])
    assert "add the service to a source" in reasons[0][0]
    assert "its ports are 80" in reasons[1][0]
    assert "define the subset" in reasons[2][0]
    assert reasons[3] == []


def gateway(*servers: GatewayServer, name: str = "edge", **labels: str) -> Gateway:
    """A gateway in the namespace shop."""
    return Gateway(namespace="shop", name=name, selector=Selector(labels), servers=servers)


def test_a_gateway_is_for_the_routers_that_it_selects(entry_of: EntryOf, world_of: WorldOf) -> None:
    """The others offer every service as before."""
    http = GatewayServer(port=8080)
    made = world(entry_of, world_of, gateway(http, gate="edge"))
    pipeline = Pipeline()
    names = {
        gate: [
            one.name
            for one in pipeline.derive(
                made,
                pipeline.proxy_key(
                    made, Proxy(node_id="r", role=ProxyRole.ROUTER, labels=Labels({"gate": gate}))
                ),
            ).resources.resources(LISTENER)
        ]
        for gate in ("edge", "other")
    }
    assert names == {"edge": ["127.0.0.1_8080"], "other": ["127.0.0.1_10000"]}


def test_servers_that_do_not_get_along_are_reported(entry_of: EntryOf, world_of: WorldOf) -> None:
    """The first keeps the place: by protocol, for TCP, and by server name."""
    secure = {"port": 8443, "protocol": ServerProtocol.TLS}
    made = world(
        entry_of,
        world_of,
        gateway(
            GatewayServer(port=8080),
            GatewayServer(port=5432, protocol=ServerProtocol.TCP),
            GatewayServer(hosts=("*/a.example",), **secure),
            name="a",
        ),
        gateway(
            GatewayServer(port=8080, protocol=ServerProtocol.TCP),
            GatewayServer(port=5432, protocol=ServerProtocol.TCP),
            GatewayServer(hosts=("*/a.example", "*/b.example"), **secure),
            name="b",
        ),
    )
    faults = [str(one) for one in Pipeline().derive(made, ProxyKey(role=ProxyRole.ROUTER)).faults]
    assert any("shop/a speaks HTTP there" in one for one in faults)
    assert any("nothing tells its connections" in one for one in faults)
    assert any("shop/a has the host a.example there" in one for one in faults)


def test_a_gateways_rules_for_one_host_are_joined(entry_of: EntryOf, world_of: WorldOf) -> None:
    """In order of age, but what takes everything comes last."""
    some = HttpMatch(stat_prefix="", headers=(), name="x", path=None, caller=CallerMatch())
    first = RouteRule(
        name="1",
        hosts=("a.example",),
        gateways=("shop/edge",),
        http=(HttpRoute(name="all", redirect=Redirect(path="/")),),
    )
    later = RouteRule(
        name="2",
        hosts=("*.example",),
        gateways=("shop/edge",),
        http=(HttpRoute(name="wild", matches=(some,), redirect=Redirect(path="/w")),),
    )
    third = evolve(first, name="3", http=(HttpRoute(name="3", redirect=Redirect(path="/3")),))
    made = world(
        entry_of,
        world_of,
        gateway(GatewayServer(port=8080, hosts=("*/a.example",))),
        first,
        later,
        third,
    )
    derived = Pipeline().derive(made, ProxyKey(role=ProxyRole.ROUTER))
    (host, last) = routes_of(derived, "http.8080").virtual_hosts
    assert host.domains == ["a.example"]
    assert [route.name for route in host.routes] == ["all", "wild", "3"]
    assert last.name == "blackhole:8080"


def test_a_generator_is_given_the_rules_that_it_reads(entry_of: EntryOf, world_of: WorldOf) -> None:
    """And no others: what is not declared is blank."""
    from meshregistry.generate import Generated, ScopeGenerator  # noqa: PLC0415

    seen: list[View] = []

    def look(view: View) -> Generated:
        seen.append(view)
        return Generated()

    pipeline = Pipeline(
        scope_generators={
            ProxyRole.SIDECAR: (ScopeGenerator(look, reads=("routing",)), ScopeGenerator(look))
        }
    )
    pipeline.derive(world(entry_of, world_of, SUBSETS, split(5)), SIDECAR)
    assert [len(view.routing.rules) for view in seen] == [1, 0]


def test_two_rules_for_one_host_are_reported(entry_of: EntryOf, world_of: WorldOf) -> None:
    """Sidecars go by one; nobody is left to wonder why the other does nothing."""
    made = world(
        entry_of, world_of, SUBSETS, split(5), evolve(split(50), name="z", origin=Origin(name="z"))
    )
    for key in (SIDECAR, ProxyKey(role=ProxyRole.ROUTER)):
        (fault,) = Pipeline().derive(made, key).faults
        assert "z has no say over the host a.shop" in str(fault)


def test_another_name_of_a_service_goes_by_the_rule_of_the_service(
    entry_of: EntryOf, world_of: WorldOf
) -> None:
    """So that a split holds whatever callers say; a rule for the name itself comes before it."""
    alias = entry_of(
        "a.consul", namespace="", resolution=Resolution.ALIAS, alias_of=Hostname("a.shop")
    )
    first = world(entry_of, world_of, SUBSETS, split(5))
    first = evolve(first, catalog=Catalog.of([*first.catalog.entries(), alias]))

    def clusters(current: World) -> dict[str, list[str]]:
        (routes,) = (
            route_pb2.RouteConfiguration.FromString(one.bytes)
            for one in Pipeline().derive(current, SIDECAR).resources.resources(ROUTE)
            if one.name == "80"
        )
        return {
            host.domains[0]: [one.name for one in host.routes[0].route.weighted_clusters.clusters]
            for host in routes.virtual_hosts
        }

    found = clusters(first)
    assert found["a.consul"] == found["a.shop"] != []
    own = RouteRule(
        hosts=("a.consul",), http=(HttpRoute(destinations=split(0).http[0].destinations[:1]),)
    )
    found = clusters(evolve(first, rules=RuleSet.of([SUBSETS, split(5), own])))
    assert found["a.consul"] != found["a.shop"]
