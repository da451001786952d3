"""RDS: which cluster a host name leads to.

The unit that is kept is the encoded virtual host. A route configuration is joined from
them: Protobuf's wire format lets the elements of a repeated field be written one after
another, so that a change of one service encodes one virtual host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve, frozen
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2
from google.protobuf.duration_pb2 import Duration

from meshregistry.errors import GenerationError
from meshregistry.generate import _naming
from meshregistry.generate._bindings import sidecar_bindings
from meshregistry.generate._clusters import black_hole_cluster
from meshregistry.generate._domains import (
    allot,
    host_wishes,
    is_routed,
    router_wishes,
    sidecar_wishes,
)
from meshregistry.generate._mixer import state_destinations
from meshregistry.generate._output import Generated, encoded, packed
from meshregistry.generate._resolution import Resolved, destinations, remedy, resolved
from meshregistry.generate._route_messages import route_messages
from meshregistry.model import CLUSTER, ROUTE, Hostname, Port, Resource, Service
from meshregistry.rules import OutboundTrafficPolicy, RouteRule

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from meshregistry.generate._domains import Wish
    from meshregistry.generate._world import View

_RETRY_ON = "connect-failure,refused-stream,reset-before-request,unavailable,cancelled"
_PLAIN_HTTP = 80
_NOT_FOUND, _BAD_GATEWAY, _UNAVAILABLE = 404, 502, 503


@frozen(cache_hash=True)
class HostRoute:
    """A virtual host as plain words; it decides the encoded one.

    Attributes:
        name: of the virtual host.
        domains: the host names that it answers to.
        cluster: where its requests go; None answers with `status` instead.
        status: the HTTP status of a direct answer; 0 with no cluster: there is no route
            beside those of `ruled`.
        ruled: what rules do with its requests before that.
        is_tls_required: whether plain requests are sent to https (301).
        namespaces: of the services that requests may go to, by host, if Mixer is told them;
            None: it is not asked.
    """

    name: str
    domains: tuple[str, ...]
    cluster: str | None = None
    status: int = 0
    ruled: Resolved | None = None
    is_tls_required: bool = False
    namespaces: tuple[tuple[str, str], ...] | None = None

    @property
    def clusters(self) -> Iterator[str]:
        """Every cluster that its requests may go to."""
        if self.cluster:
            yield self.cluster
        if self.ruled is not None:
            yield from self.ruled.used


@frozen
class _Claim:
    """Who wants a virtual host: a service's port, or a host that only a rule knows."""

    host: str
    port: int
    target: tuple[Service, Port] | None = None
    rule: RouteRule | None = None

    @classmethod
    def of(cls, view: View, service: Service, port: Port) -> _Claim:
        rule = view.routing.rule(service.host)
        if rule is None and (target := view.scope.target(service, port)) is not None:
            # An alias that no rule names goes by the rule for what it stands for.
            rule = view.routing.rule(target[0].host)
        return cls(service.host, port.number, (service, port), rule)

    def is_same(self, other: _Claim, view: View) -> bool:
        """Whether both are one host, or one stands for the other."""
        if self.host == other.host:
            return True
        mine, theirs = self.target, other.target
        return bool(mine and theirs and view.scope.is_same_target(mine, theirs))


@frozen
class HostRoutes:
    """The words of a route configuration, and what was decided against.

    Attributes:
        name: of the configuration.
        hosts: its virtual hosts.
        faults: what could not be generated.
    """

    name: str
    hosts: tuple[HostRoute, ...]
    faults: tuple[GenerationError, ...] = ()


def router_routes(view: View) -> Generated:
    """All HTTP services by host name, in the one route configuration of a router."""
    words = router_hosts(view)
    resources = joined(view, words.name, checked(view, words.hosts), ignore_port=False)
    return Generated(resources=resources, faults=(*words.faults, *_ignored(view)))


def router_hosts(view: View) -> HostRoutes:
    """The virtual hosts of a router that no gateway selects."""
    http_port = view.mesh.router.http_port
    services = [
        (service, port)
        for service in view.scope.services
        for port in service.ports
        if is_routed(port)
    ]
    claims = [_Claim.of(view, *one) for one in services] + _other_hosts(view, http_port)
    wishes = [router_wishes(service, port, http_port) for service, port in services]
    wishes += [host_wishes(claim.host, http_port) for claim in claims[len(services) :]]
    last = HostRoute(name=f"unknown:{http_port}", domains=("*",), status=_NOT_FOUND)
    return _configuration(view, _naming.router_routes(http_port), claims, wishes, last)


def outbound_routes(view: View) -> Generated:
    """One route configuration for each port on which sidecars reach HTTP services."""
    every = list(outbound_hosts(view))
    resources = (
        one for words in every for one in joined(view, words.name, words.hosts, ignore_port=True)
    )
    faults = (fault for words in every for fault in words.faults)
    return Generated(resources=resources, faults=(*faults, *_ignored(view)))


def outbound_hosts(view: View) -> Iterator[HostRoutes]:
    """The virtual hosts of each port on which sidecars reach HTTP services."""
    if view.mesh.outbound_traffic_policy is OutboundTrafficPolicy.ALLOW_ANY:
        last = HostRoute("allow_any", ("*",), cluster=_naming.PASSTHROUGH_CLUSTER)
    else:
        last = HostRoute("block_all", ("*",), status=_BAD_GATEWAY)
    for number, services in sidecar_bindings(view.scope).http.items():
        others = _other_hosts(view, number) if number == _PLAIN_HTTP else []
        wishes = [
            *(sidecar_wishes(service, view.namespace, view.mesh.domain) for service, _ in services),
            *(host_wishes(claim.host) for claim in others),
        ]
        claims = [*(_Claim.of(view, *one) for one in services), *others]
        name = _naming.outbound_routes(number)
        yield _configuration(view, name, claims, wishes, last)


def _ignored(view: View) -> Iterator[GenerationError]:
    """A fault for each host of a rule that another rule has already."""
    for host, loser, winner in view.routing.losers:
        yield GenerationError(
            f"{loser.origin} has no say over the host {host}, which {winner.origin} has already; "
            "write the routes into one document",
            type_url=ROUTE,
            name=host,
        )


def _other_hosts(view: View, port: int) -> list[_Claim]:
    """The hosts that rules route although no service has them, as of one port."""
    return [
        _Claim(host, port, rule=rule)
        for host in view.routing.hosts
        if host not in view.scope.by_host and host != "*"
        if (rule := view.routing.rule(host)) is not None and rule.http
    ]


def _host_route(
    view: View, claim: _Claim, domains: tuple[str, ...], faults: list[GenerationError], name: str
) -> HostRoute | None:
    """The words of a virtual host: what rules say of it, else its service's cluster.

    As in Istio, a rule stands for its host as a whole: what none of its routes matches is
    not found. Only the rules of 2017 (with a precedence) leave that to the service. A
    service without a target is answered with 503. None: nobody says anything of the host.
    """
    host = _naming.outbound_host(claim.host, claim.port)
    ruled = None if claim.rule is None else resolved(view, claim.rule, claim.port)
    if ruled is not None:
        faults += missing(view, ruled, name)
        if claim.rule is not None and claim.rule.precedence is None:
            return HostRoute(host, domains, ruled=ruled)
    if claim.target is None:
        return None if ruled is None else HostRoute(host, domains, ruled=ruled)
    service, port = claim.target
    target = view.scope.target(service, port)
    if target is None:
        text = (
            f"{service.host}:{port.number} stands for {service.alias_of}, where no such "
            "port is found, and is answered with 503; correct the alias"
        )
        faults.append(GenerationError(text, type_url=ROUTE, name=name))
        return HostRoute(host, domains, status=_UNAVAILABLE, ruled=ruled)
    cluster = _naming.outbound_cluster(target[0].host, target[1].number)
    return HostRoute(host, domains, cluster=cluster, ruled=ruled)


def missing(view: View, ruled: Resolved, name: str) -> Iterator[GenerationError]:
    """A fault for each destination that is not there, once."""
    gone = {destination for destination, cluster in ruled.clusters if cluster is None}
    for route in ruled.routes:
        for destination in destinations(route):
            if destination in gone:
                gone.discard(destination)
                yield GenerationError(
                    f"{route.origin} leads to {destination}, which is not there, and "
                    f"is answered with 503; {remedy(view, destination)}",
                    type_url=ROUTE,
                    name=name,
                )


def _configuration(
    view: View,
    name: str,
    claims: Sequence[_Claim],
    wishes: Sequence[Sequence[Wish]],
    last: HostRoute,
) -> HostRoutes:
    """The words of a route configuration; `last` takes what no service does, if nobody has ``*``."""
    allotted, collisions = allot(wishes)
    faults = [
        GenerationError(
            f"the domain {domain!r} leads to {claims[winner].host} and not to "
            f"{claims[loser].host}, which claims it, too; call that one by its whole host name",
            type_url=ROUTE,
            name=name,
        )
        for domain, winner, loser in collisions
        if not claims[winner].is_same(claims[loser], view)
    ]
    routes = []
    for claim, domains in zip(claims, allotted, strict=True):
        # A whole host is among every service's wishes, and nobody else can have it; a host
        # that only a rule knows may be another's short name.
        route = _host_route(view, claim, domains, faults, name) if domains else None
        if route is not None:
            routes.append(route)
    if not any("*" in route.domains for route in routes):
        routes.append(last)
    return HostRoutes(name, tuple(routes), tuple(faults))


def checked(view: View, routes: Sequence[HostRoute]) -> Sequence[HostRoute]:
    """The same with what Mixer is told of them, if the mesh has one that is asked."""
    mixer = view.mesh.mixer
    if mixer is None or not mixer.check:
        return routes
    known = view.scope.by_host
    return [
        evolve(
            route,
            namespaces=tuple(
                (host, service.namespace or "")
                for host in sorted({cluster.rpartition("|")[2] for cluster in route.clusters})
                if (service := known.get(Hostname(host))) is not None
            ),
        )
        for route in routes
    ]


def joined(
    view: View, name: str, routes: Sequence[HostRoute], *, ignore_port: bool
) -> list[Resource]:
    """Join a route configuration from its virtual hosts, encoding those that are new.

    With it comes the cluster without endpoints, if a route leads there.
    """
    head = encoded(route_pb2.RouteConfiguration(name=name))
    tail = encoded(route_pb2.RouteConfiguration(ignore_port_in_host_matching=ignore_port))
    content = b"".join((head, *(view.keep(route, fragment) for route in routes), tail))
    references = dict.fromkeys((CLUSTER, one) for route in routes for one in route.clusters)
    resources = [Resource(ROUTE, name, content, references=list(references))]
    if (CLUSTER, _naming.BLACK_HOLE_CLUSTER) in references:
        resources.append(black_hole_cluster(view.mesh))
    return resources


def fragment(route: HostRoute) -> bytes:
    """A virtual host, encoded as one element of a route configuration's `virtual_hosts`."""
    host = virtual_host(route)
    return encoded(route_pb2.RouteConfiguration(virtual_hosts=[host]))


def virtual_host(words: HostRoute) -> route_components_pb2.VirtualHost:
    """The message for a virtual host."""
    host = _virtual_host(words)
    if words.namespaces is not None:
        state_destinations(host, words.namespaces)
    return host


def _virtual_host(words: HostRoute) -> route_components_pb2.VirtualHost:
    """What is said of its requests.

    Requests may take as long as they like (Istio's default; Envoy's is 15 s). What never
    reached its endpoint is tried again elsewhere.
    """
    host = route_components_pb2.VirtualHost(name=words.name, domains=words.domains)
    if words.is_tls_required:
        host.require_tls = route_components_pb2.VirtualHost.ALL
    if words.ruled is not None:
        clusters = dict(words.ruled.clusters)
        keys = dict(words.ruled.hash_keys)
        for one in words.ruled.routes:
            host.routes.extend(route_messages(one, clusters.__getitem__, hash_keys=keys.get))
    if words.cluster is None and not words.status:
        return host
    route = host.routes.add()
    route.match.prefix = "/"
    if words.cluster is None:
        route.direct_response.status = words.status
        return host
    route.route.cluster = words.cluster
    route.route.timeout.CopyFrom(Duration())
    retry = route.route.retry_policy
    retry.retry_on = _RETRY_ON
    retry.num_retries.value = 2
    retry.host_selection_retry_max_attempts = 5
    predicate = retry.retry_host_predicate.add(name="envoy.retry_host_predicates.previous_hosts")
    predicate.typed_config.CopyFrom(packed(previous_hosts_pb2.PreviousHostsPredicate()))
    return host
