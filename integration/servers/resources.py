"""The smallest resources that lead a request through Envoy, or gRPC, to a backend."""

from __future__ import annotations

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import config_source_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_pb2,
)

ConfigSource = config_source_pb2.ConfigSource


def source(*, ads: bool = True, delta: bool = False) -> ConfigSource:
    """Where a resource's own resources come from: the same server, in the same manner."""
    found = ConfigSource(resource_api_version="V3")
    if ads:
        found.ads.SetInParent()
    else:
        api = found.api_config_source
        api.api_type = (
            config_source_pb2.ApiConfigSource.DELTA_GRPC
            if delta
            else config_source_pb2.ApiConfigSource.GRPC
        )
        api.transport_api_version = config_source_pb2.ApiVersion.V3
        api.grpc_services.add().envoy_grpc.cluster_name = "xds"
    return found


def cluster(name: str, *, eds: ConfigSource) -> cluster_pb2.Cluster:
    """A cluster whose endpoints come over EDS under its own name."""
    made = cluster_pb2.Cluster(name=name, type=cluster_pb2.Cluster.EDS)
    made.connect_timeout.FromMilliseconds(1000)
    made.eds_cluster_config.eds_config.CopyFrom(eds)
    return made


def assignment(name: str, *ports: int) -> endpoint_pb2.ClusterLoadAssignment:
    """Endpoints on loopback, in one locality (gRPC ignores localities without a weight)."""
    made = endpoint_pb2.ClusterLoadAssignment(cluster_name=name)
    locality = made.endpoints.add()
    locality.locality.zone = "here"
    locality.load_balancing_weight.value = 1
    for port in ports:
        address = locality.lb_endpoints.add().endpoint.address.socket_address
        address.address, address.port_value = "127.0.0.1", port
    return made


def route(name: str, cluster_name: str) -> route_pb2.RouteConfiguration:
    """Every host and path to one cluster, one retry where nothing was sent yet."""
    made = route_pb2.RouteConfiguration(name=name)
    host = made.virtual_hosts.add(name="all", domains=["*"])
    rule = host.routes.add()
    rule.match.prefix = ""
    rule.route.cluster = cluster_name
    return made


def connection_manager(route_name: str, *, rds: ConfigSource) -> hcm_pb2.HttpConnectionManager:
    """HTTP on routes that come over RDS."""
    manager = hcm_pb2.HttpConnectionManager(stat_prefix=route_name)
    manager.rds.route_config_name = route_name
    manager.rds.config_source.CopyFrom(rds)
    router = manager.http_filters.add(name="envoy.filters.http.router")
    router.typed_config.Pack(router_pb2.Router())
    return manager


def listener(name: str, port: int, route_name: str, *, rds: ConfigSource) -> listener_pb2.Listener:
    """An HTTP listener on loopback whose routes come over RDS."""
    made = listener_pb2.Listener(name=name)
    address = made.address.socket_address
    address.address, address.port_value = "127.0.0.1", port
    filters = made.filter_chains.add().filters
    filters.add(name="envoy.filters.network.http_connection_manager").typed_config.Pack(
        connection_manager(route_name, rds=rds)
    )
    return made


def api_listener(name: str, route_name: str) -> listener_pb2.Listener:
    """What a gRPC client asks for under the name of its target."""
    made = listener_pb2.Listener(name=name)
    made.api_listener.api_listener.Pack(connection_manager(route_name, rds=source()))
    return made
