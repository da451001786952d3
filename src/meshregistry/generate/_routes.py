"""RDS: which cluster a host name leads to.

The unit that is kept is the encoded virtual host. A route configuration is joined from
them: Protobuf's wire format lets the elements of a repeated field be written one after
another, so that a change of one service encodes one virtual host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2
from google.protobuf.duration_pb2 import Duration

from meshregistry.errors import GenerationError
from meshregistry.generate import _naming
from meshregistry.generate._bindings import sidecar_bindings
from meshregistry.generate._domains import allot, is_routed, router_wishes, sidecar_wishes
from meshregistry.generate._output import Generated, encoded, packed
from meshregistry.model import CLUSTER, ROUTE, Resource
from meshregistry.rules import OutboundTrafficPolicy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meshregistry.generate._domains import Wish
    from meshregistry.generate._world import View
    from meshregistry.model import Port, Service

_RETRY_ON = "connect-failure,refused-stream,reset-before-request,unavailable,cancelled"
_NOT_FOUND, _BAD_GATEWAY, _UNAVAILABLE = 404, 502, 503


@frozen(cache_hash=True)
class HostRoute:
    """A virtual host as plain words; it decides the encoded one.

    Attributes:
        name: of the virtual host.
        domains: the host names that it answers to.
        cluster: where its requests go; None answers with `status` instead.
        status: the HTTP status of a direct answer.
    """

    name: str
    domains: tuple[str, ...]
    cluster: str | None = None
    status: int = 0


def router_routes(view: View) -> Generated:
    """All HTTP services by host name, in the one route configuration of a router."""
    http_port = view.mesh.router.http_port
    claims = [
        (service, port)
        for service in view.scope.services
        for port in service.ports
        if is_routed(port)
    ]
    wishes = [router_wishes(service, port, http_port) for service, port in claims]
    last = HostRoute(name=f"unknown:{http_port}", domains=("*",), status=_NOT_FOUND)
    return _configuration(
        view, _naming.router_routes(http_port), claims, wishes, last, ignore_port=False
    )


def outbound_routes(view: View) -> Generated:
    """One route configuration for each port on which sidecars reach HTTP services."""
    if view.mesh.outbound_traffic_policy is OutboundTrafficPolicy.ALLOW_ANY:
        last = HostRoute("allow_any", ("*",), cluster=_naming.PASSTHROUGH_CLUSTER)
    else:
        last = HostRoute("block_all", ("*",), status=_BAD_GATEWAY)
    parts = [
        _configuration(
            view,
            _naming.outbound_routes(number),
            claims,
            [sidecar_wishes(service, view.namespace, view.mesh.domain) for service, _ in claims],
            last,
            ignore_port=True,
        )
        for number, claims in sidecar_bindings(view.scope).http.items()
    ]
    return Generated(
        resources=(one for part in parts for one in part.resources),
        faults=(fault for part in parts for fault in part.faults),
    )


def _host_route(
    name: str, domains: tuple[str, ...], target: tuple[Service, Port] | None
) -> HostRoute:
    """The words of a virtual host: to the target's cluster, or 503 if there is no target."""
    if target is None:
        return HostRoute(name, domains, status=_UNAVAILABLE)
    service, port = target
    return HostRoute(name, domains, cluster=_naming.outbound_cluster(service.host, port.number))


def _configuration(
    view: View,
    name: str,
    claims: Sequence[tuple[Service, Port]],
    wishes: Sequence[Sequence[Wish]],
    last: HostRoute,
    *,
    ignore_port: bool,
) -> Generated:
    """Join a route configuration; `last` takes what no service does, if nobody has ``*``."""
    allotted, collisions = allot(wishes)
    faults = [
        GenerationError(
            f"the domain {domain!r} leads to {claims[winner][0].host} and not to "
            f"{claims[loser][0].host}, which claims it, too; call that one by its whole host name",
            type_url=ROUTE,
            name=name,
        )
        for domain, winner, loser in collisions
        if claims[winner][0].host != claims[loser][0].host
    ]
    routes = []
    for (service, port), domains in zip(claims, allotted, strict=True):
        target = view.scope.target(service, port)
        if target is None:
            faults.append(
                GenerationError(
                    f"{service.host}:{port.number} stands for {service.alias_of}, where no such "
                    "port is found, and is answered with 503; correct the alias",
                    type_url=ROUTE,
                    name=name,
                )
            )
        # Never empty: nobody else can have a whole host, which is among every claim's wishes.
        routes.append(
            _host_route(_naming.outbound_host(service.host, port.number), domains, target)
        )
    if not any("*" in route.domains for route in routes):
        routes.append(last)
    head = encoded(route_pb2.RouteConfiguration(name=name))
    tail = encoded(route_pb2.RouteConfiguration(ignore_port_in_host_matching=ignore_port))
    content = b"".join((head, *(view.keep(route, fragment) for route in routes), tail))
    references = [(CLUSTER, route.cluster) for route in routes if route.cluster]
    return Generated(
        resources=[Resource(ROUTE, name, content, references=references)], faults=faults
    )


def fragment(route: HostRoute) -> bytes:
    """A virtual host, encoded as one element of a route configuration's `virtual_hosts`."""
    host = virtual_host(route)
    return encoded(route_pb2.RouteConfiguration(virtual_hosts=[host]))


def virtual_host(words: HostRoute) -> route_components_pb2.VirtualHost:
    """The message for a virtual host.

    Requests may take as long as they like (Istio's default; Envoy's is 15 s). What never
    reached its endpoint is tried again elsewhere.
    """
    host = route_components_pb2.VirtualHost(name=words.name, domains=words.domains)
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
