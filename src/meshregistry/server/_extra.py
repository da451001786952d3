"""Everything foreign that serving needs, imported in one place.

Whoever imports `meshregistry.server` without the extra learns which line to type.
"""

from __future__ import annotations

from meshregistry.errors import MissingExtraError

try:
    import grpc
    import grpc.aio
    from aiohttp import web
    from envoy.config.cluster.v3 import cluster_pb2
    from envoy.config.core.v3 import base_pb2, extension_pb2
    from envoy.config.endpoint.v3 import endpoint_pb2
    from envoy.config.listener.v3 import listener_pb2
    from envoy.config.route.v3 import route_components_pb2, route_pb2, scoped_route_pb2
    from envoy.extensions.filters.network.http_connection_manager.v3 import (
        http_connection_manager_pb2,
    )
    from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
    from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
    from envoy.service.discovery.v3 import discovery_pb2
    from envoy.service.runtime.v3 import rtds_pb2
    from google.protobuf import any_pb2, json_format, message
except ModuleNotFoundError as error:
    raise MissingExtraError("server", error.name or "grpcio") from error

__all__ = [
    "any_pb2",
    "base_pb2",
    "cluster_pb2",
    "discovery_pb2",
    "endpoint_pb2",
    "extension_pb2",
    "grpc",
    "http_connection_manager_pb2",
    "json_format",
    "listener_pb2",
    "message",
    "route_components_pb2",
    "route_pb2",
    "rtds_pb2",
    "scoped_route_pb2",
    "secret_pb2",
    "tcp_proxy_pb2",
    "web",
]
