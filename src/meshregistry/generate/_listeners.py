"""LDS: what a proxy listens on, and what it makes of a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve
from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.core.v3 import base_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.access_loggers.file.v3 import file_pb2
from envoy.extensions.filters.http.cors.v3 import cors_pb2
from envoy.extensions.filters.http.fault.v3 import fault_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.listener.tls_inspector.v3 import tls_inspector_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_pb2,
)
from google.protobuf.duration_pb2 import Duration

from meshregistry.errors import GenerationError
from meshregistry.generate import _naming
from meshregistry.generate._bindings import router_bindings, sidecar_bindings
from meshregistry.generate._clusters import inbound_cluster, over_ads
from meshregistry.generate._connections import sidecar_connections, tcp_proxy
from meshregistry.generate._mixer import (
    CALLER,
    CONNECTION_AUTHZ,
    EDGE,
    EXT_AUTHZ,
    Side,
    called_side,
    connection_check,
    http_check,
    http_reports,
    mixer_references,
    report_connections,
    service_side,
)
from meshregistry.generate._output import Generated, packed, resource
from meshregistry.generate._route_filters import CORS, FAULT
from meshregistry.generate._route_match import CalledAt
from meshregistry.generate._tracing import trace, trace_references
from meshregistry.generate._world import LOCALHOST, Place
from meshregistry.model import CLUSTER, LISTENER, ROUTE

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from meshregistry.generate._bindings import Binding
    from meshregistry.generate._connections import WeightedClusters
    from meshregistry.generate._world import OwnPort, View
    from meshregistry.model import Protocol, Resource
    from meshregistry.rules import MeshSettings

    Filters = list[tuple[str, Message]]

HTTP = "envoy.filters.network.http_connection_manager"
"""The name of the filter that reads requests."""

TCP = "envoy.filters.network.tcp_proxy"
"""The name of the filter that sends connections on."""

_INBOUND = base_pb2.INBOUND
_OUTBOUND = base_pb2.OUTBOUND


def router_listeners(view: View) -> Generated:
    """A router's HTTP listener, and one for each TCP port of the mesh if it is to have them."""
    router = view.mesh.router
    connections = http_connections(view.mesh, f"router_{router.http_port}", EDGE)
    connections.use_remote_address.value = True
    http = _with_routes(
        view.mesh,
        connections,
        Place(router.address, router.http_port),
        _naming.router_routes(router.http_port),
    )
    if not router.tcp:
        return Generated(resources=[http])
    bindings = router_bindings(view.scope, router)
    tcp = _tcp_listeners(view, bindings.listed, EDGE)
    return Generated(resources=(http, *tcp.resources), faults=(*bindings.faults, *tcp.faults))


def outbound_listeners(view: View) -> Generated:
    """What a sidecar's workload connects to, on loopback addresses, port by port.

    A port of 127.0.0.1 on which the workload itself listens is left to the workload.
    """
    bindings = sidecar_bindings(view.scope)
    taken = [one.place for one in bindings.listed if one.place in view.taken]
    free = [one for one in bindings.listed if one.place not in view.taken]
    http = [
        _with_routes(
            view.mesh,
            _sidecar_http(view.mesh, f"outbound_{_naming.listener(*one.place)}", CALLER),
            one.place,
            _naming.outbound_routes(one.place.number),
            direction=_OUTBOUND,
        )
        for one in free
        if one.is_http
    ]
    tcp = _tcp_listeners(
        view, [one for one in free if not one.is_http], CALLER, direction=_OUTBOUND
    )
    ceded = (_fault(_naming.listener(*place), _CEDED) for place in taken)
    return Generated(
        resources=(*http, *tcp.resources), faults=(*bindings.faults, *tcp.faults, *ceded)
    )


_CEDED = (
    "is left out, because the proxy's own workload listens there; let the workload listen on "
    "another port than the services that it calls"
)


def inbound(view: View) -> Generated:
    """What arrives at a sidecar for its workload: listeners at the proxy's addresses, and the
    clusters from there to 127.0.0.1.

    The first service at a port decides how it is spoken to.
    """
    first: dict[int, OwnPort] = {}
    faults: list[GenerationError] = []
    resources: dict[tuple[str, str], Resource] = {}
    for own in view.own:
        name = _naming.listener(own.address, own.number)
        if own.address in _NOT_BINDABLE:
            faults.append(_fault(name, _SELF))
            continue
        winner = first.setdefault(own.number, own)
        if _manner(winner.port.protocol) != _manner(own.port.protocol):
            faults.append(
                _fault(
                    name,
                    f"speaks {winner.port.protocol} for {winner.host} and not {own.port.protocol} "
                    f"for {own.host}, which is at the same port; give them different ports",
                )
            )
        if (LISTENER, name) not in resources:
            cluster = inbound_cluster(winner, view.mesh)
            resources[CLUSTER, cluster.name] = cluster
            here = evolve(winner, address=own.address)
            resources[LISTENER, name] = _inbound_listener(view.mesh, here, name, cluster.name)
    return Generated(resources=resources.values(), faults=faults)


# A listener there would be bound where the workload itself listens, and connect to itself.
_NOT_BINDABLE = frozenset({LOCALHOST, "0.0.0.0", "::"})
_SELF = (
    "is left out: it would forward to itself, since the proxy has the address at which its "
    "workload listens; give the endpoint an address that is not local to the workload"
)


def _manner(protocol: Protocol) -> tuple[bool, bool]:
    return (protocol.is_http, protocol.is_http2)


def _fault(name: str, text: str) -> GenerationError:
    return GenerationError(f"the listener {name} {text}", type_url=LISTENER, name=name)


def _tcp_listeners(
    view: View, bindings: tuple[Binding, ...] | list[Binding], side: Side, *, direction: int = 0
) -> Generated:
    resources = []
    faults = []
    for binding in bindings:
        service, port = binding.claims[0]
        name = _naming.listener(*binding.place)
        target = view.scope.target(service, port)
        if target is None:
            faults.append(
                _fault(
                    name,
                    f"is left out: {service.host} stands for {service.alias_of}, where no such "
                    "port is found; correct the alias",
                )
            )
            continue
        caller = view.connections.caller
        place = CalledAt(port=port.number, namespace=caller.namespace, labels=caller.labels)
        is_ruled = view.connections.rule(service.host) is not None
        ruled_host = service.host if is_ruled else target[0].host
        plain, by_name = sidecar_connections(view, ruled_host, place, faults)
        # Looking for a server name would hold up protocols in which the server speaks first.
        by_name = by_name if port.protocol.is_tls else []
        plain = plain or [(_naming.outbound_cluster(target[0].host, target[1].number), 1)]
        own = called_side(service.host, service.namespace or "", side)
        filters = connection_filters(view.mesh, own, plain)
        message = _listener(binding.place, filters, direction=direction)
        if by_name:
            add_tls_inspector(message)
        for names, clusters in by_name:
            chain = message.filter_chains.add()
            chain.filter_chain_match.server_names.extend(names)
            add_filters(chain, connection_filters(view.mesh, own, clusters))
        every = (cluster for some in (plain, *(one for _, one in by_name)) for cluster, _ in some)
        references = [(CLUSTER, cluster) for cluster in dict.fromkeys(every)]
        references += mixer_references(view.mesh, own)
        resources.append(resource(LISTENER, name, message, references))
    return Generated(resources=resources, faults=faults)


def _inbound_listener(mesh: MeshSettings, own: OwnPort, name: str, cluster: str) -> Resource:
    side = service_side(own)
    references = [(CLUSTER, cluster), *mixer_references(mesh, side)]
    if not own.port.protocol.is_http:
        filters = connection_filters(mesh, side, [(cluster, 1)])
    else:
        connections = _sidecar_http(mesh, f"inbound_{name}", side)
        connections.route_config.CopyFrom(_inbound_routes(own, cluster))
        references += trace_references(connections)
        filters = [(HTTP, connections)]
    message = _listener(Place(own.address, own.number), filters, direction=_INBOUND)
    return resource(LISTENER, name, message, references)


def _inbound_routes(own: OwnPort, cluster: str) -> route_pb2.RouteConfiguration:
    """Everything goes to the workload, whatever host it names, for as long as it takes."""
    return route_pb2.RouteConfiguration(
        name=_naming.inbound_cluster(own.number),
        virtual_hosts=[
            route_components_pb2.VirtualHost(
                name=_naming.inbound_host(own.port.number),
                domains=["*"],
                routes=[
                    route_components_pb2.Route(
                        match=route_components_pb2.RouteMatch(prefix="/"),
                        route=route_components_pb2.RouteAction(cluster=cluster, timeout=Duration()),
                    )
                ],
            )
        ],
    )


def _with_routes(
    mesh: MeshSettings,
    connections: hcm_pb2.HttpConnectionManager,
    place: Place,
    routes: str,
    *,
    direction: int = 0,
) -> Resource:
    """An HTTP listener whose route configuration comes over ADS."""
    side = CALLER if direction == _OUTBOUND else EDGE
    connections.rds.route_config_name = routes
    connections.rds.config_source.CopyFrom(over_ads())
    message = _listener(place, [(HTTP, connections)], direction=direction)
    references = [(ROUTE, routes), *trace_references(connections), *mixer_references(mesh, side)]
    return resource(LISTENER, message.name, message, references)


def http_connections(mesh: MeshSettings, prefix: str, side: Side) -> hcm_pb2.HttpConnectionManager:
    """What all HTTP listeners have in common: websockets pass, paths are normalised.

    CORS comes before the question whether a request may go on: browsers ask beforehand
    without the credentials that such a question is about.
    """
    check = http_check(mesh, side)
    filters = (
        (FAULT, fault_pb2.HTTPFault()),
        (CORS, cors_pb2.Cors()),
        *(((EXT_AUTHZ, check),) if check is not None else ()),
        ("envoy.filters.http.router", router_pb2.Router()),
    )
    connections = hcm_pb2.HttpConnectionManager(
        stat_prefix=prefix,
        http_filters=[
            hcm_pb2.HttpFilter(name=name, typed_config=packed(config)) for name, config in filters
        ],
        upgrade_configs=[hcm_pb2.HttpConnectionManager.UpgradeConfig(upgrade_type="websocket")],
        access_log=[*access_log(mesh), *http_reports(mesh, side)],
    )
    connections.normalize_path.value = True
    trace(connections, mesh)
    return connections


def _sidecar_http(mesh: MeshSettings, prefix: str, side: Side) -> hcm_pb2.HttpConnectionManager:
    """Between workloads streams may be idle for as long as they like (Envoy: 5 minutes)."""
    connections = http_connections(mesh, prefix, side)
    connections.use_remote_address.value = False
    connections.stream_idle_timeout.CopyFrom(Duration())
    return connections


def add_tls_inspector(message: listener_pb2.Listener) -> None:
    """Let a listener look for the server name before it chooses a chain."""
    inspector = packed(tls_inspector_pb2.TlsInspector())
    message.listener_filters.add(name="envoy.filters.listener.tls_inspector").typed_config.CopyFrom(
        inspector
    )


def access_log(mesh: MeshSettings) -> list[accesslog_pb2.AccessLog]:
    """Where a proxy writes what it did, if the mesh says so."""
    if not mesh.access_log_file:
        return []
    log = file_pb2.FileAccessLog(path=mesh.access_log_file)
    return [accesslog_pb2.AccessLog(name="envoy.access_loggers.file", typed_config=packed(log))]


def connection_filters(mesh: MeshSettings, side: Side, clusters: WeightedClusters) -> Filters:
    """The filters that send connections on."""
    proxy = tcp_proxy(clusters, access_log(mesh))
    report_connections(proxy, mesh, side)
    check = connection_check(mesh, side, proxy.stat_prefix)
    return [*([(CONNECTION_AUTHZ, check)] if check is not None else []), (TCP, proxy)]


def add_filters(chain: listener_components_pb2.FilterChain, filters: Filters) -> None:
    """Put filters into a chain, in order."""
    for name, config in filters:
        chain.filters.add(name=name).typed_config.CopyFrom(packed(config))


def _listener(place: Place, filters: Filters, *, direction: int = 0) -> listener_pb2.Listener:
    message = listener_pb2.Listener(name=_naming.listener(*place), traffic_direction=direction)
    message.address.socket_address.address = place.address
    message.address.socket_address.port_value = place.number
    add_filters(message.filter_chains.add(), filters)
    return message
