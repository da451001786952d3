"""What a destination policy makes of a cluster (Istio's table of DestinationRule)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import protocol_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, tls_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2

from meshregistry.generate._output import packed
from meshregistry.generate._route_filters import nanoseconds
from meshregistry.rules import Balancing, ClientTlsMode

if TYPE_CHECKING:
    from meshregistry.rules import (
        ClientTls,
        ConnectionPool,
        LoadBalancer,
        OutlierDetection,
        TrafficPolicy,
    )

HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_MINIMUM_RING, _ALWAYS = 1024, 100
_SYSTEM_ROOTS = "/etc/ssl/certs/ca-certificates.crt"
_BALANCING = {
    Balancing.LEAST_REQUEST: cluster_pb2.Cluster.LEAST_REQUEST,
    Balancing.ROUND_ROBIN: cluster_pb2.Cluster.ROUND_ROBIN,
    Balancing.RANDOM: cluster_pb2.Cluster.RANDOM,
    Balancing.RING_HASH: cluster_pb2.Cluster.RING_HASH,
    Balancing.MAGLEV: cluster_pb2.Cluster.MAGLEV,
}


def apply_policy(cluster: cluster_pb2.Cluster, policy: TrafficPolicy, *, is_http: bool) -> None:
    """Change a cluster to what the policy says; the rest stays as it is.

    Args:
        is_http: whether requests are sent through it, or bytes.
    """
    if policy.load_balancer is not None:
        _balance(cluster, policy.load_balancer)
    if policy.connection_pool is not None:
        _limit(cluster, policy.connection_pool, is_http=is_http)
    if policy.retry_budget is not None:
        budget = cluster.circuit_breakers.thresholds[0].retry_budget
        budget.budget_percent.value = policy.retry_budget.percent
        budget.min_retry_concurrency.value = policy.retry_budget.minimum
    if policy.outlier_detection is not None:
        _eject(cluster, policy.outlier_detection)
    if policy.tls is not None and policy.tls.mode is not ClientTlsMode.DISABLE:
        _secure(cluster, policy.tls, is_http=is_http)


def _balance(cluster: cluster_pb2.Cluster, balancer: LoadBalancer) -> None:
    if balancer.balancing is not None and balancer.balancing in _BALANCING:
        cluster.lb_policy = _BALANCING[balancer.balancing]
    if balancer.balancing is Balancing.RING_HASH:
        size = balancer.minimum_ring_size or _MINIMUM_RING
        cluster.ring_hash_lb_config.minimum_ring_size.value = size
    if balancer.balancing is Balancing.MAGLEV and balancer.table_size is not None:
        cluster.maglev_lb_config.table_size.value = balancer.table_size
    warmup = balancer.warmup
    if warmup is None:
        return
    if cluster.lb_policy == cluster_pb2.Cluster.ROUND_ROBIN:
        slow = cluster.round_robin_lb_config.slow_start_config
    elif cluster.lb_policy == cluster_pb2.Cluster.LEAST_REQUEST:
        slow = cluster.least_request_lb_config.slow_start_config
    else:
        # Envoy warms up with these two only.
        return
    slow.slow_start_window.FromNanoseconds(nanoseconds(warmup.duration))
    slow.aggression.default_value = warmup.aggression
    slow.aggression.runtime_key = f"{cluster.name}.aggression"
    slow.min_weight_percent.value = warmup.minimum_percent


def _limit(cluster: cluster_pb2.Cluster, pool: ConnectionPool, *, is_http: bool) -> None:
    thresholds = cluster.circuit_breakers.thresholds[0]
    for field, limit in (
        (thresholds.max_connections, pool.max_connections),
        (thresholds.max_pending_requests, pool.max_pending_requests),
        (thresholds.max_requests, pool.max_requests),
        (thresholds.max_retries, pool.max_retries),
    ):
        # A limit of 0 would let nothing through; Istio's documents mean: unlimited.
        if limit:
            field.value = limit
    if pool.connect_timeout is not None:
        cluster.connect_timeout.FromNanoseconds(nanoseconds(pool.connect_timeout))
    if pool.keepalive is not None:
        alive = cluster.upstream_connection_options.tcp_keepalive
        alive.SetInParent()
        if pool.keepalive.probes is not None:
            alive.keepalive_probes.value = pool.keepalive.probes
        if pool.keepalive.idle is not None:
            alive.keepalive_time.value = max(1, round(pool.keepalive.idle))
        if pool.keepalive.interval is not None:
            alive.keepalive_interval.value = max(1, round(pool.keepalive.interval))
    if is_http:
        _limit_http(cluster, pool)


def _limit_http(cluster: cluster_pb2.Cluster, pool: ConnectionPool) -> None:
    options = http_options(cluster)
    common = options.common_http_protocol_options
    if pool.idle_timeout is not None:
        common.idle_timeout.FromNanoseconds(nanoseconds(pool.idle_timeout))
    if pool.max_connection_duration is not None:
        common.max_connection_duration.FromNanoseconds(nanoseconds(pool.max_connection_duration))
    if pool.max_requests_per_connection:
        common.max_requests_per_connection.value = pool.max_requests_per_connection
    if pool.uses_client_protocol:
        options.use_downstream_protocol_config.http_protocol_options.SetInParent()
        options.use_downstream_protocol_config.http2_protocol_options.SetInParent()
    elif pool.upgrade:
        options.explicit_http_config.http2_protocol_options.SetInParent()
    _stream_limit(options, pool.max_concurrent_streams)
    set_http_options(cluster, options)


def _stream_limit(
    options: http_protocol_options_pb2.HttpProtocolOptions, streams: int | None
) -> None:
    if streams is None:
        return
    if options.WhichOneof("upstream_protocol_options") == "use_downstream_protocol_config":
        http2 = options.use_downstream_protocol_config.http2_protocol_options
    elif options.explicit_http_config.HasField("http2_protocol_options"):
        http2 = options.explicit_http_config.http2_protocol_options
    else:
        return
    http2.max_concurrent_streams.value = streams


def http_options(
    cluster: cluster_pb2.Cluster,
) -> http_protocol_options_pb2.HttpProtocolOptions:
    """How a cluster speaks HTTP; version 1.1 if it does not say."""
    options = http_protocol_options_pb2.HttpProtocolOptions()
    if HTTP_OPTIONS in cluster.typed_extension_protocol_options:
        cluster.typed_extension_protocol_options[HTTP_OPTIONS].Unpack(options)
    else:
        options.explicit_http_config.http_protocol_options.CopyFrom(
            protocol_pb2.Http1ProtocolOptions()
        )
    return options


def set_http_options(
    cluster: cluster_pb2.Cluster, options: http_protocol_options_pb2.HttpProtocolOptions
) -> None:
    """Make a cluster speak HTTP like this."""
    cluster.typed_extension_protocol_options[HTTP_OPTIONS].CopyFrom(packed(options))


def _eject(cluster: cluster_pb2.Cluster, outlier: OutlierDetection) -> None:
    message = cluster.outlier_detection
    # Istio ejects by counting, never by comparing success rates.
    message.enforcing_success_rate.value = 0
    if outlier.consecutive_5xx is not None:
        message.consecutive_5xx.value = outlier.consecutive_5xx
        message.enforcing_consecutive_5xx.value = _ALWAYS if outlier.consecutive_5xx else 0
    if outlier.consecutive_gateway_errors is not None:
        count = outlier.consecutive_gateway_errors
        message.consecutive_gateway_failure.value = count
        message.enforcing_consecutive_gateway_failure.value = _ALWAYS if count else 0
    if outlier.is_local_split:
        message.split_external_local_origin_errors = True
        if outlier.consecutive_local_failures is not None:
            count = outlier.consecutive_local_failures
            message.consecutive_local_origin_failure.value = count
            message.enforcing_consecutive_local_origin_failure.value = _ALWAYS if count else 0
        message.enforcing_local_origin_success_rate.value = 0
    if outlier.interval is not None:
        message.interval.FromNanoseconds(nanoseconds(outlier.interval))
    if outlier.base_ejection_time is not None:
        message.base_ejection_time.FromNanoseconds(nanoseconds(outlier.base_ejection_time))
    if outlier.max_ejection_percent is not None:
        message.max_ejection_percent.value = outlier.max_ejection_percent
    if outlier.min_health_percent:
        cluster.common_lb_config.healthy_panic_threshold.value = outlier.min_health_percent


def _secure(cluster: cluster_pb2.Cluster, tls: ClientTls, *, is_http: bool) -> None:
    context = tls_pb2.UpstreamTlsContext(sni=tls.sni)
    common = context.common_tls_context
    if tls.mode is ClientTlsMode.MUTUAL:
        certificate = common.tls_certificates.add()
        certificate.certificate_chain.filename = tls.client_certificate
        certificate.private_key.filename = tls.private_key
    if not tls.is_unverified:
        trusted = common.validation_context
        trusted.trusted_ca.filename = tls.ca_certificates or _SYSTEM_ROOTS
        if tls.ca_crl:
            trusted.crl.filename = tls.ca_crl
        for name in tls.subject_alt_names:
            kind = (
                common_pb2.SubjectAltNameMatcher.URI
                if "://" in name
                else common_pb2.SubjectAltNameMatcher.DNS
            )
            trusted.match_typed_subject_alt_names.add(san_type=kind).matcher.exact = name
    if is_http:
        options = http_options(cluster)
        is_http2 = options.explicit_http_config.HasField("http2_protocol_options")
        common.alpn_protocols.append("h2" if is_http2 else "http/1.1")
        upstream = options.upstream_http_protocol_options
        upstream.auto_sni = not tls.sni
        upstream.auto_san_validation = not (tls.subject_alt_names or tls.is_unverified)
        if upstream.auto_sni or upstream.auto_san_validation:
            set_http_options(cluster, options)
    cluster.transport_socket.name = "envoy.transport_sockets.tls"
    cluster.transport_socket.typed_config.CopyFrom(packed(context))
