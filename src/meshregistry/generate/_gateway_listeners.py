"""LDS for gateways: plain HTTP, HTTPS that ends here, TLS that passes through, and TCP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envoy.config.core.v3 import base_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, tls_pb2

from meshregistry.generate import _naming
from meshregistry.generate._clusters import over_ads
from meshregistry.generate._connections import clusters_of, routes_at
from meshregistry.generate._gateway_plan import Manner, gateway_plan, shared_host
from meshregistry.generate._listeners import (
    HTTP,
    add_filters,
    add_tls_inspector,
    connection_filters,
    http_connections,
)
from meshregistry.generate._mixer import EDGE, called_side, mixer_references
from meshregistry.generate._output import Generated, packed, resource
from meshregistry.generate._route_match import CalledAt
from meshregistry.generate._tracing import trace_references
from meshregistry.model import CLUSTER, LISTENER, ROUTE, Hostname
from meshregistry.rules import GatewayTlsMode, ServerProtocol, is_host_match

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.message import Message

    from meshregistry.errors import GenerationError
    from meshregistry.generate._connections import WeightedClusters
    from meshregistry.generate._gateway_plan import Opening, Served
    from meshregistry.generate._mixer import Side
    from meshregistry.generate._world import View
    from meshregistry.model import Resource
    from meshregistry.rules import ConnectionRoute, GatewayTls, RouteRule

    References = list[tuple[str, str]]


def gateway_listeners(view: View) -> Generated:
    """One listener for each address and port; one without anything to do is left out."""
    plan = gateway_plan(view.gateways, view.mesh.router.address)
    faults = list(plan.faults)
    resources: list[Resource] = []
    for opening in plan.openings:
        name = _naming.listener(*opening.place)
        message = listener_pb2.Listener(name=name, traffic_direction=base_pb2.OUTBOUND)
        message.address.socket_address.address = opening.place.address
        message.address.socket_address.port_value = opening.place.number
        references: References = []
        for chain in _chains(view, opening, references, faults):
            message.filter_chains.append(chain)
        if opening.manner is Manner.TLS:
            add_tls_inspector(message)
        if message.filter_chains:
            resources.append(resource(LISTENER, name, message, references))
    return Generated(resources=resources, faults=faults)


def _chains(
    view: View, opening: Opening, references: References, faults: list[GenerationError]
) -> Iterator[listener_components_pb2.FilterChain]:
    if opening.manner is Manner.HTTP:
        yield _http_chain(view, opening.served[0], opening, references)
        return
    for served in opening.served:
        if served.server.protocol is ServerProtocol.HTTPS:
            chain = _http_chain(view, served, opening, references)
            chain.filter_chain_match.server_names.extend(served.server_names)
            if served.server.tls is not None:
                chain.transport_socket.CopyFrom(_ended(served.server.tls, is_http=True))
            yield chain
        else:
            yield from _connection_chains(view, served, references, faults)


def _http_chain(
    view: View, served: Served, opening: Opening, references: References
) -> listener_components_pb2.FilterChain:
    connections = http_connections(view.mesh, f"gateway_{_naming.listener(*opening.place)}", EDGE)
    connections.use_remote_address.value = True
    connections.rds.route_config_name = served.routes
    connections.rds.config_source.CopyFrom(over_ads())
    references += [
        (ROUTE, served.routes),
        *trace_references(connections),
        *mixer_references(view.mesh, EDGE),
    ]
    return _chain([(HTTP, connections)])


def _chain(filters: list[tuple[str, Message]]) -> listener_components_pb2.FilterChain:
    chain = listener_components_pb2.FilterChain()
    add_filters(chain, filters)
    return chain


def _connection_chains(
    view: View, served: Served, references: References, faults: list[GenerationError]
) -> Iterator[listener_components_pb2.FilterChain]:
    """Chains for connections as a whole: by server name with TLS, else the first route's.

    A server name belongs to the first route that names it; Envoy refuses it twice.
    """
    tls = served.server.tls
    is_by_name = served.server.protocol is ServerProtocol.TLS
    seen: set[str] = set()
    caller = view.routing.caller
    place = CalledAt(
        port=served.server.port,
        namespace=caller.namespace,
        labels=caller.labels,
        gateway=served.gateway.key,
        section=served.server.name,
    )
    for rule in view.routing.at_gateway(place):
        routes = rule.tls if is_by_name and _is_passed(tls) else rule.tcp
        for route in routes_at(place, rule, routes):
            names = _server_names(served, rule, route) if is_by_name else ()
            fresh = [name for name in names if name not in seen]
            if (is_by_name and not fresh) or (not is_by_name and seen):
                continue
            clusters = clusters_of(view, route, served.server.port, faults)
            if not clusters:
                continue
            seen.update(fresh or ("",))
            references += ((CLUSTER, cluster) for cluster, _ in clusters)
            references += mixer_references(view.mesh, EDGE)
            chain = _chain(connection_filters(view.mesh, _side(view, clusters), clusters))
            chain.filter_chain_match.server_names.extend(one for one in fresh if one != "*")
            if is_by_name and tls is not None and not _is_passed(tls):
                chain.transport_socket.CopyFrom(_ended(tls, is_http=False))
            yield chain


def _side(view: View, clusters: WeightedClusters) -> Side:
    """Of connections to one service alone it is known beforehand."""
    hosts = {_naming.ClusterName.parse(cluster).host for cluster, _ in clusters}
    service = view.scope.by_host.get(Hostname(hosts.pop())) if len(hosts) == 1 else None
    return EDGE if service is None else called_side(service.host, service.namespace or "", EDGE)


def _is_passed(tls: GatewayTls | None) -> bool:
    return tls is None or tls.mode in {None, GatewayTlsMode.PASSTHROUGH}


def _server_names(served: Served, rule: RouteRule, route: ConnectionRoute) -> list[str]:
    """The names that the server, the rule and its route have in common."""
    wanted = [name for match in route.matches for name in match.server_names] or list(rule.hosts)
    found = (
        shared_host(own, name, rule.namespace)
        for name in wanted
        if any(is_host_match(host, name) for host in rule.hosts)
        for own in served.server.hosts
    )
    return list(dict.fromkeys(name for name in found if name is not None))


_VERSIONS: dict[str, str] = {
    "TLSV1_0": "TLSv1_0",
    "TLSV1_1": "TLSv1_1",
    "TLSV1_2": "TLSv1_2",
    "TLSV1_3": "TLSv1_3",
}


def _ended(tls: GatewayTls, *, is_http: bool) -> base_pb2.TransportSocket:
    """TLS that ends at the gateway, with files on the proxy's machine."""
    common = _common(tls, is_http=is_http)
    downstream = tls_pb2.DownstreamTlsContext(common_tls_context=common)
    is_mutual = tls.mode in {GatewayTlsMode.MUTUAL, GatewayTlsMode.OPTIONAL_MUTUAL}
    downstream.require_client_certificate.value = tls.mode is GatewayTlsMode.MUTUAL
    if is_mutual:
        trusted = common.validation_context
        trusted.trusted_ca.filename = tls.ca_certificates
        for name in tls.subject_alt_names:
            kind = (
                common_pb2.SubjectAltNameMatcher.URI
                if "://" in name
                else common_pb2.SubjectAltNameMatcher.DNS
            )
            matcher = trusted.match_typed_subject_alt_names.add(san_type=kind)
            matcher.matcher.exact = name
        downstream.common_tls_context.CopyFrom(common)
    socket = base_pb2.TransportSocket(name="envoy.transport_sockets.tls")
    socket.typed_config.CopyFrom(packed(downstream))
    return socket


def _common(tls: GatewayTls, *, is_http: bool) -> tls_pb2.CommonTlsContext:
    """Certificate, versions and protocols of a server."""
    common = tls_pb2.CommonTlsContext(alpn_protocols=("h2", "http/1.1") if is_http else ())
    certificate = common.tls_certificates.add()
    certificate.certificate_chain.filename = tls.server_certificate
    certificate.private_key.filename = tls.private_key
    for name, version in (("minimum", tls.minimum), ("maximum", tls.maximum)):
        if version in _VERSIONS:
            number = common_pb2.TlsParameters.TlsProtocol.Value(_VERSIONS[version])
            setattr(common.tls_params, f"tls_{name}_protocol_version", number)
    common.tls_params.cipher_suites.extend(tls.cipher_suites)
    return common
