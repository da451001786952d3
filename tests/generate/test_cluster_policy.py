"""What a destination policy makes of a cluster: Istio's table of DestinationRule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from google.protobuf import json_format

from meshregistry.generate._cluster_policy import HTTP_OPTIONS, apply_policy
from meshregistry.generate._clusters import service_clusters
from meshregistry.model import CLUSTER, ENDPOINT, Endpoint, Labels
from meshregistry.rules import (
    Balancing,
    ClientTls,
    ClientTlsMode,
    ConnectionPool,
    DestinationPolicy,
    Keepalive,
    LoadBalancer,
    MeshSettings,
    OutlierDetection,
    PortPolicies,
    RetryBudget,
    Subset,
    TrafficPolicy,
    Warmup,
)

if TYPE_CHECKING:
    from conftest import EntryOf


def clusters(entry: Any, policy: TrafficPolicy, *subsets: Subset) -> dict[str, Any]:
    """The clusters of an entry under a policy, as plain values by name."""
    rule = DestinationPolicy(host="a.shop", policies=PortPolicies(all=policy), subsets=subsets)
    generated = service_clusters(entry, "", MeshSettings(), rule)
    return {
        one.name: json_format.MessageToDict(
            cluster_pb2.Cluster.FromString(one.bytes), preserving_proto_field_name=True
        )
        for one in generated.resources
        if one.type_url == CLUSTER
    }


@pytest.fixture
def made(entry_of: EntryOf) -> Any:
    """The cluster of an HTTP service under a policy."""

    def make(policy: TrafficPolicy) -> dict[str, Any]:
        return clusters(entry_of("a.shop"), policy)["outbound|80||a.shop"]

    return make


@pytest.mark.parametrize(
    ("balancer", "expected"),
    [
        (LoadBalancer(), {"lb_policy": "LEAST_REQUEST"}),
        (LoadBalancer(balancing=Balancing.RANDOM), {"lb_policy": "RANDOM"}),
        (
            LoadBalancer(balancing=Balancing.RING_HASH, minimum_ring_size=7),
            {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": "7"}},
        ),
        (
            LoadBalancer(balancing=Balancing.MAGLEV, table_size=101),
            {"lb_policy": "MAGLEV", "maglev_lb_config": {"table_size": "101"}},
        ),
    ],
)
def test_balancing(made: Any, balancer: LoadBalancer, expected: dict[str, Any]) -> None:
    """LEAST_REQUEST unless the policy says otherwise."""
    assert expected.items() <= made(TrafficPolicy(load_balancer=balancer)).items()


@pytest.mark.parametrize(
    ("balancing", "config"),
    [
        (Balancing.LEAST_REQUEST, "least_request_lb_config"),
        (Balancing.ROUND_ROBIN, "round_robin_lb_config"),
    ],
)
def test_new_endpoints_warm_up(made: Any, balancing: Balancing, config: str) -> None:
    """With the two balancings that know how; nothing is said to the others."""
    warmup = Warmup(duration=30.0)
    cluster = made(TrafficPolicy(load_balancer=LoadBalancer(balancing=balancing, warmup=warmup)))
    slow = cluster[config]["slow_start_config"]
    assert (slow["slow_start_window"], slow["min_weight_percent"]) == ("30s", {"value": 10.0})
    other = LoadBalancer(balancing=Balancing.RANDOM, warmup=warmup)
    assert not [
        key
        for key in made(TrafficPolicy(load_balancer=other))
        if key.endswith("_lb_config") and "common" not in key
    ]


def test_limits(made: Any) -> None:
    """Breakers, time-outs and HTTP options; 0 means unlimited."""
    pool = ConnectionPool(
        max_connections=1,
        max_pending_requests=2,
        max_requests=0,
        max_retries=4,
        connect_timeout=5.0,
        keepalive=Keepalive(probes=6, idle=7.0, interval=8.0),
        idle_timeout=9.0,
        max_connection_duration=10.0,
        max_requests_per_connection=11,
        upgrade=True,
        max_concurrent_streams=12,
    )
    cluster = made(TrafficPolicy(connection_pool=pool))
    (limits,) = cluster["circuit_breakers"]["thresholds"]
    assert (limits["max_connections"], limits["max_pending_requests"], limits["max_retries"]) == (
        1,
        2,
        4,
    )
    assert limits["max_requests"] == 2**32 - 1
    assert cluster["connect_timeout"] == "5s"
    assert cluster["upstream_connection_options"]["tcp_keepalive"] == {
        "keepalive_probes": 6,
        "keepalive_time": 7,
        "keepalive_interval": 8,
    }
    options = cluster["typed_extension_protocol_options"][HTTP_OPTIONS]
    assert options["common_http_protocol_options"] == {
        "idle_timeout": "9s",
        "max_connection_duration": "10s",
        "max_requests_per_connection": 11,
    }
    assert options["explicit_http_config"] == {
        "http2_protocol_options": {"max_concurrent_streams": 12}
    }


def test_the_callers_protocol_may_go_on(made: Any) -> None:
    """With its own limit of streams; TCP clusters have no HTTP options at all."""
    pool = ConnectionPool(uses_client_protocol=True, max_concurrent_streams=3)
    options = made(TrafficPolicy(connection_pool=pool))["typed_extension_protocol_options"]
    assert options[HTTP_OPTIONS]["use_downstream_protocol_config"] == {
        "http_protocol_options": {},
        "http2_protocol_options": {"max_concurrent_streams": 3},
    }
    cluster = cluster_pb2.Cluster(name="x")
    cluster.circuit_breakers.thresholds.add()
    apply_policy(cluster, TrafficPolicy(connection_pool=pool), is_http=False)
    assert not cluster.typed_extension_protocol_options


def test_ejection(made: Any) -> None:
    """By counting only; a counter of 0 is switched off."""
    outlier = OutlierDetection(
        consecutive_5xx=0,
        consecutive_gateway_errors=2,
        is_local_split=True,
        consecutive_local_failures=3,
        interval=4.0,
        base_ejection_time=5.0,
        max_ejection_percent=6,
        min_health_percent=7,
    )
    cluster = made(TrafficPolicy(outlier_detection=outlier))
    assert cluster["outlier_detection"] == {
        "consecutive_5xx": 0,
        "enforcing_consecutive_5xx": 0,
        "consecutive_gateway_failure": 2,
        "enforcing_consecutive_gateway_failure": 100,
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": 3,
        "enforcing_consecutive_local_origin_failure": 100,
        "enforcing_local_origin_success_rate": 0,
        "enforcing_success_rate": 0,
        "interval": "4s",
        "base_ejection_time": "5s",
        "max_ejection_percent": 6,
    }
    assert cluster["common_lb_config"]["healthy_panic_threshold"] == {"value": 7.0}


def test_tls_with_files(made: Any) -> None:
    """Names decide what is verified; without them the Host header does."""
    tls = ClientTls(
        mode=ClientTlsMode.MUTUAL,
        client_certificate="/c",
        private_key="/k",
        ca_certificates="/r",
        ca_crl="/l",
        subject_alt_names=("n", "spiffe://x/y"),
        sni="s",
    )
    cluster = made(TrafficPolicy(tls=tls))
    config = cluster["transport_socket"]["typed_config"]
    common = config["common_tls_context"]
    assert (config["sni"], common["alpn_protocols"]) == ("s", ["http/1.1"])
    assert common["tls_certificates"] == [
        {"certificate_chain": {"filename": "/c"}, "private_key": {"filename": "/k"}}
    ]
    assert common["validation_context"] == {
        "trusted_ca": {"filename": "/r"},
        "crl": {"filename": "/l"},
        "match_typed_subject_alt_names": [
            {"san_type": "DNS", "matcher": {"exact": "n"}},
            {"san_type": "URI", "matcher": {"exact": "spiffe://x/y"}},
        ],
    }
    assert "typed_extension_protocol_options" not in cluster
    simple = made(TrafficPolicy(tls=ClientTls(mode=ClientTlsMode.SIMPLE)))
    upstream = simple["typed_extension_protocol_options"][HTTP_OPTIONS][
        "upstream_http_protocol_options"
    ]
    assert upstream == {"auto_sni": True, "auto_san_validation": True}
    unverified = made(TrafficPolicy(tls=ClientTls(mode=ClientTlsMode.SIMPLE, is_unverified=True)))
    assert (
        "validation_context"
        not in (unverified["transport_socket"]["typed_config"]["common_tls_context"])
    )
    off = made(TrafficPolicy(tls=ClientTls(mode=ClientTlsMode.DISABLE)))
    assert "transport_socket" not in off


def test_a_subset_has_a_cluster_of_those_with_its_labels(entry_of: EntryOf) -> None:
    """Its policy lies over the rule's; it may be empty, and never absent."""
    entry = entry_of(
        "a.shop",
        endpoints=tuple(
            Endpoint(address=f"10.0.0.{i}", port=80, labels=Labels({"version": f"v{i}"}))
            for i in (1, 2)
        ),
    )
    random = PortPolicies(all=TrafficPolicy(load_balancer=LoadBalancer(balancing=Balancing.RANDOM)))
    rule = DestinationPolicy(
        host="a.shop",
        subsets=(
            Subset(name="v1", labels=Labels({"version": "v1"}), policies=random),
            Subset(name="v3", labels=Labels({"version": "v3"})),
        ),
    )
    generated = service_clusters(entry, "", MeshSettings(), rule)
    sizes = {
        one.name: one.bytes.count(b"10.0.0.")
        for one in generated.resources
        if one.type_url == ENDPOINT
    }
    assert sizes == {
        "outbound|80||a.shop": 2,
        "outbound|80|v1|a.shop": 1,
        "outbound|80|v3|a.shop": 0,
    }
    policies = {
        name: one["lb_policy"]
        for name, one in clusters(entry, TrafficPolicy(), *rule.subsets).items()
    }
    assert policies["outbound|80|v1|a.shop"] == "RANDOM"
    assert policies["outbound|80|v3|a.shop"] == "LEAST_REQUEST"


def test_a_budget_of_retries(made: Any) -> None:
    """Beside the limits, of which Envoy then leaves out that of retries."""
    cluster = made(TrafficPolicy(retry_budget=RetryBudget(percent=12.5, minimum=9)))
    (thresholds,) = cluster["circuit_breakers"]["thresholds"]
    assert thresholds["retry_budget"] == {
        "budget_percent": {"value": 12.5},
        "min_retry_concurrency": 9,
    }
