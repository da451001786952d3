"""Routes of whole connections: which of them are for a place, and where they lead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2

from meshregistry.errors import GenerationError
from meshregistry.generate import _naming
from meshregistry.generate._resolution import find, remedy
from meshregistry.model import LISTENER
from meshregistry.rules import MESH, is_host_match

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from envoy.config.accesslog.v3 import accesslog_pb2

    from meshregistry.generate._route_match import CalledAt
    from meshregistry.generate._world import View
    from meshregistry.rules import ConnectionRoute, RouteRule

WeightedClusters = list[tuple[str, int]]


def routes_at(
    place: CalledAt, rule: RouteRule, routes: Iterable[ConnectionRoute]
) -> Iterator[ConnectionRoute]:
    """The routes of a rule that are for a place, with those of their matches that are."""
    for route in routes:
        if not route.matches:
            if place.is_at(rule.gateways):
                yield route
            continue
        matches = tuple(match for match in route.matches if place.is_meant(match.caller, rule))
        if matches:
            yield route if len(matches) == len(route.matches) else evolve(route, matches=matches)


def server_names(rule: RouteRule, route: ConnectionRoute) -> list[str]:
    """The server names that a route is for, as far as they are the rule's hosts."""
    wanted = [name for match in route.matches for name in match.server_names]
    return [
        name
        for name in dict.fromkeys(wanted)
        if any(is_host_match(host, name) for host in rule.hosts)
    ]


def clusters_of(
    view: View, route: ConnectionRoute, port: int, faults: list[GenerationError]
) -> WeightedClusters:
    """The clusters of a route with their weights; what is not there is left out and reported."""
    found = []
    for one in route.destinations:
        target = find(view, one.destination, port)
        if target is None:
            faults.append(
                GenerationError(
                    f"{route.origin} leads to {one.destination}, which is not there, and is left "
                    f"out; {remedy(view, one.destination)}",
                    type_url=LISTENER,
                )
            )
        elif one.weight:
            service, number, subset = target
            name = _naming.outbound_cluster(service.host, number.number, subset)
            found.append((name, one.weight))
    return found


def tcp_proxy(
    clusters: WeightedClusters, access_log: list[accesslog_pb2.AccessLog]
) -> tcp_proxy_pb2.TcpProxy:
    """The filter that sends connections on, to the only cluster or by weight."""
    proxy = tcp_proxy_pb2.TcpProxy(stat_prefix=clusters[0][0], access_log=access_log)
    if len(clusters) == 1:
        proxy.cluster = clusters[0][0]
    else:
        for cluster, weight in clusters:
            proxy.weighted_clusters.clusters.add(name=cluster, weight=weight)
    return proxy


def sidecar_connections(
    view: View, host: str, place: CalledAt, faults: list[GenerationError]
) -> tuple[WeightedClusters, list[tuple[list[str], WeightedClusters]]]:
    """Where a sidecar sends connections to a host, by the rule for it.

    First the clusters of all connections (empty: as without a rule), then those of TLS with
    some server names. A server name belongs to the first route that names it.
    """
    rule = view.connections.rule(host)
    if rule is None:
        return [], []
    port = place.port or 0
    plain = (
        clusters
        for route in routes_at(place, rule, rule.tcp)
        if (clusters := clusters_of(view, route, port, faults))
    )
    by_name: list[tuple[list[str], WeightedClusters]] = []
    seen: set[str] = set()
    for route in routes_at(place, rule, rule.tls):
        fresh = [name for name in server_names(rule, route) if name not in seen]
        clusters = clusters_of(view, route, port, faults) if fresh else []
        if clusters:
            seen.update(fresh)
            by_name.append((fresh, clusters))
    return next(plain, []), by_name


def is_for_sidecars(rule: RouteRule) -> bool:
    """Whether a rule says something of connections that sidecars take."""
    matches = (match for route in (*rule.tls, *rule.tcp) for match in route.matches)
    return bool(rule.tls or rule.tcp) and (
        MESH in rule.gateways or any(MESH in match.caller.gateways for match in matches)
    )
