"""Spans of requests: what every HTTP listener reports, and the cluster of the collector."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.trace.v3 import opentelemetry_pb2, zipkin_pb2
from envoy.extensions.tracers.opentelemetry.resource_detectors.v3 import (
    environment_resource_detector_pb2 as environment_pb2,
)

from meshregistry.generate import _naming
from meshregistry.generate._cluster_policy import http_options, set_http_options
from meshregistry.generate._output import Generated, packed, resource
from meshregistry.model import CLUSTER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from envoy.extensions.filters.network.http_connection_manager.v3 import (
        http_connection_manager_pb2 as hcm_pb2,
    )

    from meshregistry.generate._world import View
    from meshregistry.rules import MeshSettings

_DETECTOR = "envoy.tracers.opentelemetry.resource_detectors.environment"


def trace(connections: hcm_pb2.HttpConnectionManager, mesh: MeshSettings) -> None:
    """Let a listener report spans, if the mesh wants them."""
    tracing = mesh.tracing
    if tracing is None:
        return
    message = connections.tracing
    # Callers that decided to be traced stay so; the share is of all others.
    message.random_sampling.value = tracing.sampling
    provider = message.provider
    if tracing.provider == "zipkin":
        zipkin = zipkin_pb2.ZipkinConfig(
            collector_cluster=_naming.TRACING_CLUSTER,
            collector_endpoint="/api/v2/spans",
            collector_endpoint_version=zipkin_pb2.ZipkinConfig.HTTP_JSON,
            collector_hostname=tracing.host,
            trace_id_128bit=True,
        )
        zipkin.shared_span_context.value = False
        provider.name = "envoy.tracers.zipkin"
        provider.typed_config.CopyFrom(packed(zipkin))
        return
    # Listeners are shared, so a service's name must be the proxy's own: of its environment.
    collector = opentelemetry_pb2.OpenTelemetryConfig()
    detector = collector.resource_detectors.add(name=_DETECTOR)
    detector.typed_config.CopyFrom(packed(environment_pb2.EnvironmentResourceDetectorConfig()))
    collector.grpc_service.envoy_grpc.cluster_name = _naming.TRACING_CLUSTER
    collector.grpc_service.timeout.seconds = 1
    provider.name = "envoy.tracers.opentelemetry"
    provider.typed_config.CopyFrom(packed(collector))


def trace_references(connections: hcm_pb2.HttpConnectionManager) -> list[tuple[str, str]]:
    """What a listener needs for that."""
    return [(CLUSTER, _naming.TRACING_CLUSTER)] if connections.HasField("tracing") else []


def tracing_cluster(view: View) -> Generated:
    """Where spans go, if the mesh wants them; Zipkin over HTTP/1.1, OpenTelemetry over gRPC."""
    tracing = view.mesh.tracing
    if tracing is None:
        return Generated()
    cluster = static_or_dns(_naming.TRACING_CLUSTER, [(tracing.host, tracing.port)], view.mesh)
    if tracing.provider == "opentelemetry":
        options = http_options(cluster)
        options.explicit_http_config.http2_protocol_options.SetInParent()
        set_http_options(cluster, options)
    return Generated(resources=[resource(CLUSTER, cluster.name, cluster)])


def static_or_dns(
    name: str, places: Iterable[tuple[str, int]], mesh: MeshSettings
) -> cluster_pb2.Cluster:
    """A cluster of machines that settings name, by host and port: at an IP, or what DNS says."""
    cluster = cluster_pb2.Cluster(name=name)
    cluster.connect_timeout.FromNanoseconds(round(mesh.connect_timeout * 1e9))
    cluster.type = cluster_pb2.Cluster.STATIC
    cluster.load_assignment.cluster_name = name
    group = cluster.load_assignment.endpoints.add()
    for host, port in places:
        try:
            ip_address(host)
        except ValueError:
            # IPs may stand beside names.
            cluster.type = cluster_pb2.Cluster.STRICT_DNS
            cluster.dns_lookup_family = cluster_pb2.Cluster.V4_PREFERRED
        place = group.lb_endpoints.add().endpoint.address.socket_address
        place.address, place.port_value = host, port
    return cluster
