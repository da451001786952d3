"""From a rule's destination to the name of a cluster, as a proxy sees the mesh."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve, field, frozen

from meshregistry.generate import _naming
from meshregistry.generate._route_match import CalledAt, caller_routes
from meshregistry.rules import Destination, HashKey, HttpRoute

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshregistry.generate._world import View
    from meshregistry.model import Port, Service
    from meshregistry.rules import RouteRule

_AT_SIDECAR = CalledAt()


@frozen(kw_only=True, cache_hash=True)
class Resolved:
    """The routes of one host for one sort of caller, with everything that they refer to.

    Attributes:
        routes: in order; the first that matches decides.
        clusters: of every destination; None: there is none.
        hash_keys: of the destinations that are balanced by hash.
    """

    routes: tuple[HttpRoute, ...]
    clusters: tuple[tuple[Destination, str | None], ...] = ()
    hash_keys: tuple[tuple[Destination, HashKey], ...] = field(default=())

    @property
    def used(self) -> Iterator[str]:
        """Every cluster that a request may go to."""
        clusters = dict(self.clusters)
        yield from (cluster for cluster in clusters.values() if cluster)
        for route in self.routes:
            some = {clusters[one.destination] for one in route.destinations if one.weight}
            if None in some and len(some) > 1:
                yield _naming.BLACK_HOLE_CLUSTER


def destinations(route: HttpRoute) -> Iterator[Destination]:
    """Every destination that a route names."""
    yield from (one.destination for one in route.destinations)
    yield from (mirror.destination for mirror in route.mirrors)


def find(
    view: View, destination: Destination, called: int | None
) -> tuple[Service, Port, str] | None:
    """The service, its port and the subset that a destination means; None if there is none.

    Without a port it is the one that was called, else the service's only one.
    """
    service = view.scope.by_host.get(destination.host)
    if service is None or destination.asker:
        return None
    numbers = [port.number for port in service.ports]
    wanted = destination.port
    if wanted is None:
        wanted = called if called in numbers else numbers[0] if len(numbers) == 1 else None
    port = next((port for port in service.ports if port.number == wanted), None)
    target = None if port is None else view.scope.target(service, port)
    if target is None:
        return None
    if destination.subset:
        policy = view.policies.of(target[0])
        if policy is None or all(one.name != destination.subset for one in policy.subsets):
            return None
    return (*target, destination.subset)


def remedy(view: View, destination: Destination) -> str:
    """What to do about a destination that is not there."""
    service = view.scope.by_host.get(destination.host)
    if destination.asker:
        return "let it be named by a ReferenceGrant in its namespace"
    if service is None:
        return "correct the host, or add the service to a source"
    if destination.port not in {None, *(port.number for port in service.ports)}:
        return f"its ports are {', '.join(str(port.number) for port in service.ports)}"
    if destination.subset:
        return "define the subset in a DestinationRule of the host"
    return "name one of its ports"


def resolved(
    view: View, rule: RouteRule, called: int | None, *, place: CalledAt = _AT_SIDECAR
) -> Resolved | None:
    """What a rule does with requests to one of its hosts; None if nothing for this caller.

    Of the place, gateway and section count.
    """
    caller = view.routing.caller
    place = evolve(place, port=called, namespace=caller.namespace, labels=caller.labels)
    routes = caller_routes(rule, place)
    if not routes:
        return None
    clusters: dict[Destination, str | None] = {}
    keys: dict[Destination, HashKey] = {}
    for route in routes:
        for destination in destinations(route):
            found = find(view, destination, called)
            if found is None:
                clusters[destination] = None
                continue
            service, port, subset = found
            clusters[destination] = _naming.outbound_cluster(service.host, port.number, subset)
            policy = view.policies.of(service)
            balancer = policy.policy(port.number, subset).load_balancer if policy else None
            if balancer is not None and balancer.hash_key is not None:
                keys[destination] = balancer.hash_key
    return Resolved(
        routes=tuple(routes), clusters=tuple(clusters.items()), hash_keys=tuple(keys.items())
    )
