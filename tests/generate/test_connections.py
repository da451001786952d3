"""Routes of whole connections, for sidecars."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2

from meshregistry.generate import Pipeline, World
from meshregistry.generate._connections import is_for_sidecars, routes_at, server_names
from meshregistry.generate._route_match import CalledAt
from meshregistry.model import LISTENER, Catalog, Hostname, Labels, Proxy, ProxyRole
from meshregistry.rules import (
    CallerMatch,
    ConnectionMatch,
    ConnectionRoute,
    Destination,
    DestinationPolicy,
    RouteRule,
    RuleSet,
    Subset,
    WeightedDestination,
)

if TYPE_CHECKING:
    from conftest import EntryOf

DB = Hostname("db.shop")


def to(*shares: tuple[str, int], **match: object) -> ConnectionRoute:
    """A route to subsets of the database, by weight."""
    return ConnectionRoute(
        matches=(ConnectionMatch(**match),) if match else (),  # type: ignore[arg-type]
        destinations=tuple(
            WeightedDestination(destination=Destination(DB, subset), weight=weight)
            for subset, weight in shares
        ),
    )


def rule(**routes: tuple[ConnectionRoute, ...]) -> RouteRule:
    """A rule of the database."""
    return RouteRule(namespace="shop", hosts=("db.shop",), **routes)  # type: ignore[arg-type]


def test_a_route_is_for_a_place_if_one_of_its_matches_is() -> None:
    """Those of other ports and callers are left out."""
    here = CallerMatch(port=80)
    there = CallerMatch(port=81)
    both = ConnectionRoute(matches=(ConnectionMatch(caller=here), ConnectionMatch(caller=there)))
    other = ConnectionRoute(matches=(ConnectionMatch(caller=there),))
    every = ConnectionRoute()
    found = list(routes_at(CalledAt(port=80), rule(), (both, other, every)))
    assert found == [ConnectionRoute(matches=(ConnectionMatch(caller=here),)), every]
    gateways = RouteRule(hosts=("a",), gateways=("n/g",))
    assert not list(routes_at(CalledAt(port=80), gateways, (every,)))


def test_server_names_are_those_of_the_rule() -> None:
    """Each once."""
    route = to(("v1", 1), server_names=("db.shop", "other", "db.shop"))
    assert server_names(rule(), route) == ["db.shop"]


def test_rules_for_sidecars_are_told_apart() -> None:
    """By the gateways of the rule or of its matches."""
    route = to(("v1", 1))
    at_mesh = to(("v1", 1), caller=CallerMatch(gateways=("mesh",)))
    assert is_for_sidecars(rule(tcp=(route,)))
    assert is_for_sidecars(RouteRule(gateways=("n/g",), tls=(at_mesh,)))
    assert not is_for_sidecars(RouteRule(gateways=("n/g",), tcp=(route,)))
    assert not is_for_sidecars(rule())


def chains(
    entry_of: EntryOf, one: RouteRule, protocol: str = "TLS", **proxy: object
) -> list[tuple[list[str], list[tuple[str, int]]]]:
    """Names and weighted clusters of each chain of the sidecar's listener for the database."""
    policy = DestinationPolicy(
        namespace="shop", host="db.shop", subsets=(Subset(name="v1"), Subset(name="v2"))
    )
    world = World(
        catalog=Catalog.of([entry_of("db.shop", f"5432/{protocol}", namespace="shop")]),
        rules=RuleSet.of([one, policy]),
    )
    pipeline = Pipeline()
    who = Proxy(node_id="x", role=ProxyRole.SIDECAR, namespace="shop", **proxy)  # type: ignore[arg-type]
    derived = pipeline.derive(world, pipeline.proxy_key(world, who))
    found = derived.resources.get(LISTENER, "127.0.0.1_5432")
    assert found is not None
    message = listener_pb2.Listener.FromString(found.bytes)
    listed = []
    for chain in message.filter_chains:
        config = tcp_proxy_pb2.TcpProxy()
        chain.filters[0].typed_config.Unpack(config)
        weighted = [(c.name.split("|")[2], c.weight) for c in config.weighted_clusters.clusters]
        names = list(chain.filter_chain_match.server_names)
        listed.append((names, weighted or [(config.cluster.split("|")[2], 1)]))
    assert bool(message.listener_filters) == (len(listed) > 1)
    return listed


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (rule(tcp=(to(("v1", 90), ("v2", 10)),)), [([], [("v1", 90), ("v2", 10)])]),
        (rule(tcp=(to(("v1", 1)), to(("v2", 1)))), [([], [("v1", 1)])]),
        (rule(tcp=(to(("none", 1)), to(("v2", 1)))), [([], [("v2", 1)])]),
        (rule(tcp=(to(("v1", 0)),)), [([], [("", 1)])]),
        (
            rule(
                tls=(
                    to(("v1", 1), server_names=("db.shop",)),
                    to(("v2", 1), server_names=("db.shop",)),
                )
            ),
            [([], [("", 1)]), (["db.shop"], [("v1", 1)])],
        ),
        (
            rule(tcp=(to(("v2", 1), caller=CallerMatch(source_labels=Labels({"app": "web"}))),)),
            [([], [("", 1)])],
        ),
    ],
)
def test_a_sidecar_sends_connections_where_the_rule_says(
    entry_of: EntryOf, one: RouteRule, expected: object
) -> None:
    """By weight or by server name; else to the service itself."""
    assert chains(entry_of, one) == expected


def test_who_calls_plays_a_part(entry_of: EntryOf) -> None:
    """Labels of the workload."""
    match = CallerMatch(source_labels=Labels({"app": "web"}))
    one = rule(tcp=(to(("v2", 1), caller=match),))
    assert chains(entry_of, one, labels=Labels({"app": "web"})) == [([], [("v2", 1)])]


def test_a_server_name_is_looked_for_only_in_tls(entry_of: EntryOf) -> None:
    """In other protocols the server may speak first, and both would wait."""
    one = rule(tls=(to(("v1", 1), server_names=("db.shop",)),))
    assert chains(entry_of, one, "TCP") == [([], [("", 1)])]
    assert len(chains(entry_of, one, "TLS")) == 2
