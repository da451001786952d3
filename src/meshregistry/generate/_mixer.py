"""Whom proxies ask before requests and tell of them after: filters, logs and clusters for Mixer.

The server speaks Envoy's own protocols, so listeners get the filters and access logs that any
Envoy has. What a listener is known to be for is stated there, as attributes in text.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from attrs import frozen
from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import config_source_pb2, grpc_service_pb2
from envoy.extensions.access_loggers.grpc.v3 import als_pb2
from envoy.extensions.filters.http.ext_authz.v3 import ext_authz_pb2
from envoy.extensions.filters.network.ext_authz.v3 import ext_authz_pb2 as connection_authz_pb2
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2

from meshregistry.generate import _naming
from meshregistry.generate._cluster_policy import http_options, set_http_options
from meshregistry.generate._output import Generated, packed, resource
from meshregistry.generate._tracing import static_or_dns
from meshregistry.model import CLUSTER

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from envoy.config.route.v3 import route_components_pb2
    from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2

    from meshregistry.generate._world import OwnPort, View
    from meshregistry.model import Resource
    from meshregistry.rules import MeshSettings, MixerSettings

EXT_AUTHZ = "envoy.filters.http.ext_authz"
CONNECTION_AUTHZ = "envoy.filters.network.ext_authz"

_METADATA = "x-mixer-attributes"
_QUOTAS = "mixer.quotas"
_JWT = "envoy.filters.http.jwt_authn"
_UNAVAILABLE = 503
_NOT_REACHED = "connect-failure,refused-stream"
_OTHERS = "envoy.retry_host_predicates.previous_hosts"
_HTTP_LOG = "envoy.access_loggers.http_grpc"
_TCP_LOG = "envoy.access_loggers.tcp_grpc"
# What the standard configuration and the adapters for spans read.
_REQUEST_HEADERS = (
    "content-type",
    "traceparent",
    "x-b3-flags",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-spanid",
    "x-b3-traceid",
)
_RESPONSE_HEADERS = ("content-type", "grpc-message", "grpc-status")
_TRAILERS = ("grpc-message", "grpc-status")
# Seconds; servers of ours take as many pings as come.
_PING_EVERY, _PONG_WITHIN = 10, 5
# How many failures in a row eject a server: of checks, and of streams of reports, which break
# only if a server goes or hangs.
_CHECK_FAILURES, _REPORT_FAILURES = 3, 1
# For how many seconds: each time longer.
_FIRST_EJECTION, _LONGEST_EJECTION = 10, 60
_ALWAYS = 100  # per cent


@frozen(kw_only=True)
class Side:
    """Where a listener stands, as Mixer is told.

    Attributes:
        kind: ``inbound`` before the service, ``outbound`` elsewhere.
        is_checked: whether Mixer is asked; the caller's sidecar leaves that to the service's.
        attributes: what else is known of everything that comes there.
    """

    kind: str
    is_checked: bool
    attributes: tuple[tuple[str, str], ...] = ()

    @property
    def stated(self) -> tuple[tuple[str, str], ...]:
        """All attributes, by name."""
        return (("context.reporter.kind", self.kind), *self.attributes)


CALLER = Side(kind="outbound", is_checked=False)
"""A sidecar's listener for what its workload calls."""

EDGE = Side(kind="outbound", is_checked=True)
"""A listener of a router or gateway."""


def service_side(own: OwnPort) -> Side:
    """A sidecar's listener for what calls its workload."""
    return Side(
        kind="inbound",
        is_checked=True,
        attributes=(
            *_service(own.host, own.namespace),
            *((("destination.namespace", own.namespace),) if own.namespace else ()),
        ),
    )


def called_side(host: str, namespace: str, side: Side) -> Side:
    """A listener that is for one service."""
    return Side(kind=side.kind, is_checked=side.is_checked, attributes=_service(host, namespace))


def _service(host: str, namespace: str) -> tuple[tuple[str, str], ...]:
    """What is said of a service; its short name is the whole host if that has no namespace."""
    first, _, rest = host.partition(".")
    name = first if namespace and rest.partition(".")[0] == namespace else str(host)
    said = (("destination.service.host", str(host)), ("destination.service.name", name))
    if not namespace:
        return said
    uid = f"istio://{namespace}/services/{name}"
    return (
        *said,
        ("destination.service.namespace", namespace),
        ("destination.service.uid", uid),
    )


# --- Before requests ----------------------------------------------------------------------


def http_check(mesh: MeshSettings, side: Side) -> ext_authz_pb2.ExtAuthz | None:
    """The filter that asks before each request, if the mesh wants one there."""
    mixer = mesh.mixer
    if mixer is None or not mixer.check or not side.is_checked:
        return None
    return ext_authz_pb2.ExtAuthz(
        grpc_service=_asking(mixer, side),
        transport_api_version=config_source_pb2.V3,
        failure_mode_allow=mixer.fail_open,
        status_on_error={"code": _UNAVAILABLE},
        # Operations on headers can lead to another route.
        clear_route_cache=True,
        metadata_context_namespaces=[_JWT],
        include_tls_session=True,
    )


def connection_check(
    mesh: MeshSettings, side: Side, prefix: str
) -> connection_authz_pb2.ExtAuthz | None:
    """The filter that asks before each connection, if the mesh wants one there."""
    mixer = mesh.mixer
    if mixer is None or not mixer.check or not side.is_checked:
        return None
    return connection_authz_pb2.ExtAuthz(
        stat_prefix=prefix,
        grpc_service=_asking(mixer, side),
        transport_api_version=config_source_pb2.V3,
        failure_mode_allow=mixer.fail_open,
        include_tls_session=True,
    )


def _asking(mixer: MixerSettings, side: Side) -> grpc_service_pb2.GrpcService:
    """The call. Only its metadata can state attributes for connections, so all are there."""
    service = grpc_service_pb2.GrpcService()
    service.envoy_grpc.cluster_name = _naming.MIXER_CHECK_CLUSTER
    others = len(mixer.checkers) - 1
    if others:
        # Only what certainly has not reached a server: a quota is charged once.
        retries = service.retry_policy
        retries.retry_on, retries.num_retries.value = _NOT_REACHED, others
        previous = previous_hosts_pb2.PreviousHostsPredicate()
        retries.retry_host_predicate.add(name=_OTHERS).typed_config.CopyFrom(packed(previous))
    service.timeout.FromNanoseconds(round(mixer.timeout * 1e9))
    stated = list(side.stated)
    if mixer.quotas:
        charged = ",".join(f"{name}={amount}" for name, amount in sorted(mixer.quotas.items()))
        stated.append((_QUOTAS, charged))
    service.initial_metadata.add(key=_METADATA, value=_metadata(stated))
    return service


def _metadata(stated: Iterable[tuple[str, str]]) -> str:
    """Attributes as a header of the call.

    Envoy takes its value for a format in which ``%`` begins a command. With a wrong one it
    accepts the configuration, and ends at the first request.
    """
    return urlencode(list(stated), safe=":/=,").replace("%", "%%")


def state_destinations(
    host: route_components_pb2.VirtualHost, namespaces: Iterable[tuple[str, str]]
) -> None:
    """Let the routes of a virtual host state which service they lead to.

    Args:
        host: is changed.
        namespaces: of each service that is there, by its host.
    """
    known = dict(namespaces)
    for route in host.routes:
        if not route.HasField("route"):
            continue
        shares = route.route.weighted_clusters.clusters
        for target, cluster in (
            [(one, one.name) for one in shares] if shares else [(route, route.route.cluster)]
        ):
            try:
                called = _naming.ClusterName.parse(cluster).host
            except ValueError:
                # Clusters that no service stands behind have other names.
                continue
            own = ext_authz_pb2.ExtAuthzPerRoute()
            for name, text in _service(called, known.get(called, "")):
                own.check_settings.context_extensions[name] = text
            target.typed_per_filter_config[EXT_AUTHZ].CopyFrom(packed(own))


# --- After requests -----------------------------------------------------------------------


def http_reports(mesh: MeshSettings, side: Side) -> list[accesslog_pb2.AccessLog]:
    """The log that tells of each request, if the mesh wants one."""
    mixer = mesh.mixer
    if mixer is None or not mixer.report:
        return []
    log = als_pb2.HttpGrpcAccessLogConfig(
        common_config=_telling(side),
        additional_request_headers_to_log=_with(_REQUEST_HEADERS, mixer.request_headers),
        additional_response_headers_to_log=_with(_RESPONSE_HEADERS, mixer.response_headers),
        additional_response_trailers_to_log=_TRAILERS,
    )
    return [accesslog_pb2.AccessLog(name=_HTTP_LOG, typed_config=packed(log))]


def report_connections(proxy: tcp_proxy_pb2.TcpProxy, mesh: MeshSettings, side: Side) -> None:
    """Let a filter tell when connections open, go on and close, if the mesh wants that."""
    mixer = mesh.mixer
    if mixer is None or not mixer.report:
        return
    log = als_pb2.TcpGrpcAccessLogConfig(common_config=_telling(side))
    proxy.access_log.add(name=_TCP_LOG).typed_config.CopyFrom(packed(log))
    options = proxy.access_log_options
    options.flush_access_log_on_connected = True
    options.access_log_flush_interval.FromNanoseconds(round(mixer.tcp_report_interval * 1e9))


def _telling(side: Side) -> als_pb2.CommonGrpcAccessLogConfig:
    common = als_pb2.CommonGrpcAccessLogConfig(
        log_name=side.kind, transport_api_version=config_source_pb2.V3
    )
    common.grpc_service.envoy_grpc.cluster_name = _naming.MIXER_REPORT_CLUSTER
    for name, text in side.stated:
        common.custom_tags.add(tag=name).literal.value = text
    return common


def _with(usual: Iterable[str], more: Iterable[str]) -> list[str]:
    return list(dict.fromkeys((*usual, *more)))


# --- Where to -----------------------------------------------------------------------------


def mixer_references(mesh: MeshSettings, side: Side) -> list[tuple[str, str]]:
    """What a listener needs for both."""
    mixer = mesh.mixer
    if mixer is None:
        return []
    found = []
    if mixer.check and side.is_checked:
        found.append((CLUSTER, _naming.MIXER_CHECK_CLUSTER))
    if mixer.report:
        found.append((CLUSTER, _naming.MIXER_REPORT_CLUSTER))
    return found


def mixer_clusters(view: View) -> Generated:
    """The servers that are asked and told, if the mesh has some; they speak gRPC."""
    mixer = view.mesh.mixer
    if mixer is None:
        return Generated()
    places = (
        (_naming.MIXER_CHECK_CLUSTER, mixer.checkers, _CHECK_FAILURES),
        (_naming.MIXER_REPORT_CLUSTER, mixer.reporters, _REPORT_FAILURES),
    )
    return Generated(
        resources=[_cluster(name, at, view.mesh, failures) for name, at, failures in places if at]
    )


def _cluster(
    name: str, places: Sequence[tuple[str, int]], mesh: MeshSettings, failures: int
) -> Resource:
    cluster = static_or_dns(name, places, mesh)
    options = http_options(cluster)
    # A server that hangs keeps its connections; whoever only sends to it would never know.
    alive = options.explicit_http_config.http2_protocol_options.connection_keepalive
    alive.interval.seconds, alive.timeout.seconds = _PING_EVERY, _PONG_WITHIN
    set_http_options(cluster, options)
    _eject(cluster, failures)
    return resource(CLUSTER, name, cluster)


def _eject(cluster: cluster_pb2.Cluster, failures: int) -> None:
    """Ask no server for a while that is away or hangs, as long as another one is left.

    Time-outs and failed connections count as gateway errors, together with those that a server
    answers. Another answer, such as that a handler fails, says that the server is there. Were
    failures to connect counted apart, each call on a connection that still stands would clear
    the time-outs of those before it.
    """
    places = len(cluster.load_assignment.endpoints[0].lb_endpoints)
    if cluster.type == cluster_pb2.Cluster.STRICT_DNS:
        # Even one name may stand for several.
        places = max(places, 2)
    if places == 1:
        return
    outlier = cluster.outlier_detection
    outlier.consecutive_gateway_failure.value = failures
    outlier.enforcing_consecutive_gateway_failure.value = _ALWAYS
    outlier.enforcing_consecutive_5xx.value = 0
    outlier.enforcing_success_rate.value = 0
    outlier.interval.seconds = 1
    outlier.base_ejection_time.seconds = _FIRST_EJECTION
    outlier.max_ejection_time.seconds = _LONGEST_EJECTION
    # All but one. For what Envoy takes for a panic, that is asking all, there is no reason then.
    outlier.max_ejection_percent.value = math.ceil(100 * (places - 1) / places)
    cluster.common_lb_config.healthy_panic_threshold.SetInParent()
