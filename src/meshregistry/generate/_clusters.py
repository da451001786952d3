"""CDS: one cluster for each port of a service, and the few that no service stands behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envoy.config.cluster.v3 import circuit_breaker_pb2, cluster_pb2
from envoy.config.core.v3 import config_source_pb2, protocol_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from google.protobuf.duration_pb2 import Duration

from meshregistry.errors import GenerationError
from meshregistry.generate import _naming
from meshregistry.generate._cluster_policy import HTTP_OPTIONS, apply_policy
from meshregistry.generate._endpoints import Assignment, assignment
from meshregistry.generate._locality import (
    ANYWHERE,
    Preference,
    Whereabouts,
    locality_balancing,
)
from meshregistry.generate._output import Generated, packed, resource
from meshregistry.generate._world import LOCALHOST
from meshregistry.model import CLUSTER, ENDPOINT, Port, Protocol, Resolution, Selector
from meshregistry.rules import OutboundTrafficPolicy, TrafficPolicy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshregistry.generate._world import OwnPort, View
    from meshregistry.model import CatalogEntry, Resource
    from meshregistry.rules import DestinationPolicy, MeshSettings

_UNLIMITED = 2**32 - 1
_IDLE_SECONDS = 300
_SOCKET = "unix://"


def service_clusters(
    entry: CatalogEntry,
    network: str,
    mesh: MeshSettings,
    policy: DestinationPolicy | None = None,
    whereabouts: Whereabouts = ANYWHERE,
) -> Generated:
    """Clusters of a service with their assignments, for proxies on a network.

    Every port has a cluster, and one for each subset of its policy; every EDS cluster an assignment, possibly empty (Envoy
    keeps a cluster warming until it has one). UDP ports and aliases have none.

    PASSTHROUGH means: to the address that the caller chose. Without interception no proxy
    ever learns it, so that such a service is balanced over its endpoints, as Istio does on
    its gateways.
    """
    if entry.service.resolution is Resolution.ALIAS:
        return Generated()
    resources: list[Resource] = []
    faults: list[GenerationError] = []
    for port in entry.service.ports:
        if port.protocol is Protocol.UDP:
            continue
        name = _naming.outbound_cluster(entry.service.host, port.number)
        apart = [Selector(labels) for labels in policy.set_apart] if policy else ()
        general = TrafficPolicy() if policy is None else policy.policy(port.number)
        preference = _preference(general, mesh, whereabouts, network)
        members = assignment(name, entry, port, network, apart=apart, preference=preference)
        faults.extend(members.faults)
        resources += _cluster_of(name, port, members, mesh, general)
        if policy is not None:
            resources += _subsets(entry, port, network, mesh, policy, whereabouts=whereabouts)
        if entry.service.resolution is Resolution.PASSTHROUGH and not members.message.endpoints:
            faults.append(
                GenerationError(
                    f"the cluster {name} has no endpoint: its service passes traffic through to "
                    "where the caller sent it, which nothing tells without interception; give it "
                    "endpoints or the resolution DNS",
                    type_url=CLUSTER,
                    name=name,
                )
            )
    return Generated(resources=resources, faults=faults)


def _subsets(
    entry: CatalogEntry,
    port: Port,
    network: str,
    mesh: MeshSettings,
    policy: DestinationPolicy,
    *,
    whereabouts: Whereabouts,
) -> Iterator[Resource]:
    """A cluster for each subset, with those of the service's endpoints that have its labels."""
    for subset in policy.subsets:
        name = _naming.outbound_cluster(entry.service.host, port.number, subset.name)
        apart = [Selector(labels) for labels in policy.set_apart if labels != subset.labels]
        own = policy.policy(port.number, subset.name)
        members = assignment(
            name,
            entry,
            port,
            network,
            chosen=Selector(subset.labels),
            apart=apart,
            preference=_preference(own, mesh, whereabouts, network),
        )
        yield from _cluster_of(name, port, members, mesh, own)


def _preference(
    policy: TrafficPolicy, mesh: MeshSettings, whereabouts: Whereabouts, network: str
) -> Preference | None:
    balancing = locality_balancing(policy, mesh)
    if balancing is None:
        return None
    return Preference(balancing=balancing, whereabouts=whereabouts, network=network)


def _cluster_of(
    name: str, port: Port, members: Assignment, mesh: MeshSettings, policy: TrafficPolicy
) -> list[Resource]:
    """A cluster with its assignment."""
    cluster = _cluster(name, mesh, is_http2=port.protocol.is_http2)
    apply_policy(cluster, policy, is_http=port.protocol.is_http)
    if locality_balancing(policy, mesh) is not None:
        cluster.common_lb_config.locality_weighted_lb_config.SetInParent()
    if members.is_resolved_by_proxy:
        cluster.type = cluster_pb2.Cluster.STRICT_DNS
        cluster.dns_lookup_family = cluster_pb2.Cluster.V4_PREFERRED
        cluster.load_assignment.CopyFrom(members.message)
        return [resource(CLUSTER, name, cluster)]
    cluster.type = cluster_pb2.Cluster.EDS
    cluster.eds_cluster_config.eds_config.CopyFrom(over_ads())
    return [
        resource(CLUSTER, name, cluster, [(ENDPOINT, name)]),
        resource(ENDPOINT, name, members.message),
    ]


def passthrough_cluster(view: View) -> Generated:
    """Where sidecars let traffic of unknown hosts through, if the mesh allows that."""
    if view.mesh.outbound_traffic_policy is not OutboundTrafficPolicy.ALLOW_ANY:
        return Generated()
    name = _naming.PASSTHROUGH_CLUSTER
    cluster = _cluster(name, view.mesh, is_balanced=False)
    cluster.type = cluster_pb2.Cluster.ORIGINAL_DST
    cluster.lb_policy = cluster_pb2.Cluster.CLUSTER_PROVIDED
    options = http_protocol_options_pb2.HttpProtocolOptions()
    options.use_downstream_protocol_config.http_protocol_options.SetInParent()
    options.use_downstream_protocol_config.http2_protocol_options.SetInParent()
    options.common_http_protocol_options.idle_timeout.seconds = _IDLE_SECONDS
    cluster.typed_extension_protocol_options[HTTP_OPTIONS].CopyFrom(packed(options))
    return Generated(resources=[resource(CLUSTER, name, cluster)])


def black_hole_cluster(mesh: MeshSettings) -> Resource:
    """A cluster without endpoints: what is sent there is answered with 503."""
    cluster = _cluster(_naming.BLACK_HOLE_CLUSTER, mesh, is_balanced=False)
    cluster.type = cluster_pb2.Cluster.STATIC
    return resource(CLUSTER, cluster.name, cluster)


def inbound_cluster(own: OwnPort, mesh: MeshSettings) -> Resource:
    """The cluster from a sidecar to its own workload."""
    name = _naming.inbound_cluster(own.number)
    cluster = _cluster(name, mesh, is_http2=own.port.protocol.is_http2)
    cluster.type = cluster_pb2.Cluster.STATIC
    cluster.load_assignment.cluster_name = name
    address = cluster.load_assignment.endpoints.add().lb_endpoints.add().endpoint.address
    if own.target.startswith(_SOCKET):
        address.pipe.path = own.target.removeprefix(_SOCKET)
    else:
        host, _, number = own.target.rpartition(":")
        address.socket_address.address = host.strip("[]") or LOCALHOST
        address.socket_address.port_value = int(number or own.number)
    return resource(CLUSTER, name, cluster)


def over_ads() -> config_source_pb2.ConfigSource:
    """A config source: on the stream that everything comes on, waited for without end.

    A proxy that gives up waiting for endpoints or routes would serve errors, where one that
    waits keeps what it had.
    """
    return config_source_pb2.ConfigSource(
        ads=config_source_pb2.AggregatedConfigSource(),
        initial_fetch_timeout=Duration(),
        resource_api_version=config_source_pb2.V3,
    )


def _cluster(
    name: str, mesh: MeshSettings, *, is_http2: bool = False, is_balanced: bool = True
) -> cluster_pb2.Cluster:
    """What all clusters have in common; limits are off until a policy sets some."""
    cluster = cluster_pb2.Cluster(
        name=name,
        circuit_breakers=circuit_breaker_pb2.CircuitBreakers(
            thresholds=[
                circuit_breaker_pb2.CircuitBreakers.Thresholds(
                    max_connections={"value": _UNLIMITED},
                    max_pending_requests={"value": _UNLIMITED},
                    max_requests={"value": _UNLIMITED},
                    max_retries={"value": _UNLIMITED},
                    track_remaining=True,
                )
            ]
        ),
    )
    cluster.connect_timeout.FromNanoseconds(round(mesh.connect_timeout * 1e9))
    if is_balanced:
        cluster.lb_policy = cluster_pb2.Cluster.LEAST_REQUEST
        cluster.common_lb_config.healthy_panic_threshold.value = mesh.healthy_panic_threshold
    if is_http2:
        options = http_protocol_options_pb2.HttpProtocolOptions()
        options.explicit_http_config.http2_protocol_options.CopyFrom(
            protocol_pb2.Http2ProtocolOptions()
        )
        cluster.typed_extension_protocol_options[HTTP_OPTIONS].CopyFrom(packed(options))
    return cluster
