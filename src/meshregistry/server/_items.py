"""Envoy messages as resources: name, bytes, and what they refer to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from meshregistry import model
from meshregistry.model import Resource
from meshregistry.server._extra import (
    cluster_pb2,
    endpoint_pb2,
    extension_pb2,
    http_connection_manager_pb2,
    listener_pb2,
    message,
    route_components_pb2,
    route_pb2,
    rtds_pb2,
    scoped_route_pb2,
    secret_pb2,
    tcp_proxy_pb2,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Pairs = Iterator[tuple[str, str]]

# A configuration that comes from a file is nobody's resource.
_FROM_FILES = frozenset({"path", "path_config_source"})


def resource_of(item: Any) -> Resource:
    """The resource for a known Envoy message; a `Resource` is taken as it is.

    Raises:
        TypeError: if it is neither.
        ValueError: if the message has no name.
    """
    if isinstance(item, Resource):
        return item
    known = _KINDS.get(type(item))
    if known is None:
        names = ", ".join(sorted(kind.__name__ for kind in _KINDS))
        shown = type(item).__name__
        msg = f"{shown} is not a resource: give one of {names}, or a meshregistry.model.Resource"
        raise TypeError(msg)
    type_url, name_of, references_of = known
    name = name_of(item)
    if not name:
        msg = f"a {type(item).__name__} has no name: set it"
        raise ValueError(msg)
    return Resource(
        type_url=type_url,
        name=name,
        # Equal content must give equal bytes, hence equal versions, everywhere.
        bytes=cast("message.Message", item).SerializeToString(deterministic=True),
        references=references_of(item),
    )


def _is_served(source: Any) -> bool:
    return source.WhichOneof("config_source_specifier") not in _FROM_FILES


def _cluster(cluster: Any) -> Pairs:
    if cluster.type == cluster_pb2.Cluster.EDS:
        eds = cluster.eds_cluster_config
        if _is_served(eds.eds_config):
            yield model.ENDPOINT, eds.service_name or cluster.name


def _listener(listener: Any) -> Pairs:
    chains = [*listener.filter_chains, listener.default_filter_chain]
    for chain in chains:
        for each in chain.filters:
            yield from _network_filter(each.typed_config)
    yield from _network_filter(listener.api_listener.api_listener)


def _network_filter(config: Any) -> Pairs:
    """References of a connection manager or a TCP proxy; other filters are opaque."""
    manager = http_connection_manager_pb2.HttpConnectionManager()
    proxy = tcp_proxy_pb2.TcpProxy()
    if config.Is(manager.DESCRIPTOR):
        config.Unpack(manager)
        if manager.HasField("rds") and _is_served(manager.rds.config_source):
            yield model.ROUTE, manager.rds.route_config_name
        yield from _route_configuration(manager.route_config)
        inline = manager.scoped_routes.scoped_route_configurations_list
        for scoped in inline.scoped_route_configurations:
            yield from _scoped(scoped)
    elif config.Is(proxy.DESCRIPTOR):
        config.Unpack(proxy)
        if proxy.cluster:
            yield model.CLUSTER, proxy.cluster
        for weighted in proxy.weighted_clusters.clusters:
            yield model.CLUSTER, weighted.name


def _route_configuration(routes: Any) -> Pairs:
    yield from _mirrors(routes.request_mirror_policies)
    for host in routes.virtual_hosts:
        yield from _virtual_host(host)


def _virtual_host(host: Any) -> Pairs:
    yield from _mirrors(host.request_mirror_policies)
    for route in host.routes:
        action = route.route
        if action.cluster:
            yield model.CLUSTER, action.cluster
        for weighted in action.weighted_clusters.clusters:
            if weighted.name:
                yield model.CLUSTER, weighted.name
        yield from _mirrors(action.request_mirror_policies)


def _mirrors(policies: Iterable[Any]) -> Pairs:
    for policy in policies:
        if policy.cluster:
            yield model.CLUSTER, policy.cluster


def _scoped(scoped: Any) -> Pairs:
    if scoped.route_configuration_name:
        yield model.ROUTE, scoped.route_configuration_name
    yield from _route_configuration(scoped.route_configuration)


def _nothing(_: Any) -> Pairs:
    return iter(())


def _name(item: Any) -> str:
    return cast("str", item.name)


_KINDS: dict[type, tuple[str, Callable[[Any], str], Callable[[Any], Pairs]]] = {
    cluster_pb2.Cluster: (model.CLUSTER, _name, _cluster),
    endpoint_pb2.ClusterLoadAssignment: (
        model.ENDPOINT,
        lambda item: cast("str", item.cluster_name),
        _nothing,
    ),
    listener_pb2.Listener: (model.LISTENER, _name, _listener),
    route_pb2.RouteConfiguration: (model.ROUTE, _name, _route_configuration),
    route_components_pb2.VirtualHost: (model.VIRTUAL_HOST, _name, _virtual_host),
    scoped_route_pb2.ScopedRouteConfiguration: (model.SCOPED_ROUTE, _name, _scoped),
    secret_pb2.Secret: (model.SECRET, _name, _nothing),
    rtds_pb2.Runtime: (model.RUNTIME, _name, _nothing),
    extension_pb2.TypedExtensionConfig: (model.EXTENSION_CONFIG, _name, _nothing),
}
