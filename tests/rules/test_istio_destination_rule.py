"""DestinationRule documents: what they become, and what is wrong with them."""

from __future__ import annotations

import pytest

from meshregistry.model import Labels, Selector
from meshregistry.rules import (
    Balancing,
    ClientTls,
    ClientTlsMode,
    ConnectionPool,
    HashKey,
    HashOn,
    Keepalive,
    LoadBalancer,
    OutlierDetection,
    RetryBudget,
    TrafficPolicy,
    Warmup,
)


def policy(spec, text):
    """What a rule's trafficPolicy says of port 80, without errors and warnings."""
    reading = spec("DestinationRule", f"{{host: a, trafficPolicy: {{{text}}}}}")
    assert ((), ()) == (reading.errors, reading.warnings)
    return reading.rules[0].policy(80)


def test_a_rule_has_host_subsets_and_audience(spec):
    """Subsets lie over the rule, ports over both."""
    reading = spec(
        "DestinationRule",
        "{host: a, exportTo: [., web], workloadSelector: {matchLabels: {app: x}}, "
        "trafficPolicy: {loadBalancer: {simple: RANDOM}, portLevelSettings: "
        "[{port: {number: 81}, loadBalancer: {simple: ROUND_ROBIN}}]}, "
        "subsets: [{name: v1, labels: {version: v1}}, "
        "{name: v2, labels: {version: v2}, trafficPolicy: {tls: {mode: DISABLE}}}]}",
    )
    (rule,) = reading.rules
    assert rule.host == "a.shop.svc.mesh.local"
    assert rule.selector == Selector({"app": "x"})
    assert rule.export_to == (".", "web")
    assert [subset.labels for subset in rule.subsets] == [
        Labels({"version": "v1"}),
        Labels({"version": "v2"}),
    ]
    random, robin = (
        LoadBalancer(balancing=one) for one in (Balancing.RANDOM, Balancing.ROUND_ROBIN)
    )
    off = ClientTls(mode=ClientTlsMode.DISABLE)
    assert rule.policy(80, "v1") == TrafficPolicy(load_balancer=random)
    assert rule.policy(81, "v2") == TrafficPolicy(load_balancer=robin, tls=off)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("simple: LEAST_CONN", LoadBalancer(balancing=Balancing.LEAST_REQUEST)),
        ("simple: UNSPECIFIED", LoadBalancer()),
        (
            "simple: ROUND_ROBIN, warmup: {duration: 1m, minimumPercent: 5, aggression: 2}",
            LoadBalancer(
                balancing=Balancing.ROUND_ROBIN,
                warmup=Warmup(duration=60.0, minimum_percent=5.0, aggression=2.0),
            ),
        ),
        ("warmupDurationSecs: 30s", LoadBalancer(warmup=Warmup(duration=30.0))),
        (
            "consistentHash: {httpHeaderName: x, ringHash: {minimumRingSize: 7}}",
            LoadBalancer(
                balancing=Balancing.RING_HASH,
                hash_key=HashKey(on=HashOn.HEADER, name="x"),
                minimum_ring_size=7,
            ),
        ),
        (
            "consistentHash: {useSourceIp: true, maglev: {tableSize: 101}}",
            LoadBalancer(
                balancing=Balancing.MAGLEV,
                hash_key=HashKey(on=HashOn.SOURCE_IP),
                table_size=101,
            ),
        ),
        (
            "consistentHash: {httpQueryParameterName: q, minimumRingSize: 9}",
            LoadBalancer(
                balancing=Balancing.RING_HASH,
                hash_key=HashKey(on=HashOn.QUERY, name="q"),
                minimum_ring_size=9,
            ),
        ),
        (
            "consistentHash: {httpCookie: {name: c, path: /p, ttl: 1h}}",
            LoadBalancer(
                balancing=Balancing.RING_HASH,
                hash_key=HashKey(on=HashOn.COOKIE, name="c", cookie_path="/p", cookie_ttl=3600.0),
            ),
        ),
    ],
)
def test_balancing(spec, text, expected):
    """Each way to choose an endpoint."""
    assert policy(spec, f"loadBalancer: {{{text}}}").load_balancer == expected


def test_limits_ejection_and_tls(spec):
    """Every field that is supported arrives."""
    made = policy(
        spec,
        "connectionPool: {tcp: {maxConnections: 1, connectTimeout: 2s, maxConnectionDuration: 3s, "
        "tcpKeepalive: {probes: 4, time: 5s, interval: 6s}}, http: {http1MaxPendingRequests: 7, "
        "http2MaxRequests: 8, maxRequestsPerConnection: 9, maxRetries: 10, idleTimeout: 11s, "
        "h2UpgradePolicy: UPGRADE, useClientProtocol: true, maxConcurrentStreams: 12}}, "
        "outlierDetection: {consecutive5xxErrors: 1, consecutiveGatewayErrors: 2, "
        "splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 3, interval: 4s, "
        "baseEjectionTime: 5s, maxEjectionPercent: 6, minHealthPercent: 7}, "
        "tls: {mode: MUTUAL, clientCertificate: /c, privateKey: /k, caCertificates: /r, "
        "caCrl: /l, subjectAltNames: [n], sni: s, insecureSkipVerify: true}",
    )
    assert made.connection_pool == ConnectionPool(
        max_connections=1,
        connect_timeout=2.0,
        max_connection_duration=3.0,
        keepalive=Keepalive(probes=4, idle=5.0, interval=6.0),
        max_pending_requests=7,
        max_requests=8,
        max_requests_per_connection=9,
        max_retries=10,
        idle_timeout=11.0,
        upgrade=True,
        uses_client_protocol=True,
        max_concurrent_streams=12,
    )
    assert made.outlier_detection == OutlierDetection(
        consecutive_5xx=1,
        consecutive_gateway_errors=2,
        is_local_split=True,
        consecutive_local_failures=3,
        interval=4.0,
        base_ejection_time=5.0,
        max_ejection_percent=6,
        min_health_percent=7,
    )
    assert made.tls == ClientTls(
        mode=ClientTlsMode.MUTUAL,
        client_certificate="/c",
        private_key="/k",
        ca_certificates="/r",
        ca_crl="/l",
        subject_alt_names=("n",),
        sni="s",
        is_unverified=True,
    )


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("{}", "spec.host", "missing"),
        ("{host: 'b!'}", "spec.host", "not a host name"),
        ("{host: a, subsets: [{name: v}, {name: v}]}", "spec.subsets[1]", "given twice"),
        ("{host: a, subsets: [{labels: {a: b}}]}", "spec.subsets[0].name", "missing"),
        (
            "{host: a, trafficPolicy: {portLevelSettings: [{}]}}",
            "spec.trafficPolicy.portLevelSettings[0]",
            "port is missing",
        ),
        (
            (
                "{host: a, trafficPolicy: {portLevelSettings: [{port: {number: 1}}, "
                "{port: {number: 1}}]}}"
            ),
            "spec.trafficPolicy.portLevelSettings[1]",
            "given twice",
        ),
        (
            "{host: a, trafficPolicy: {loadBalancer: {simple: FAST}}}",
            "spec.trafficPolicy.loadBalancer.simple",
            "FAST",
        ),
        (
            (
                "{host: a, trafficPolicy: {loadBalancer: {simple: RANDOM, consistentHash: "
                "{useSourceIp: true}}}}"
            ),
            "spec.trafficPolicy.loadBalancer",
            "exclude each other",
        ),
        (
            "{host: a, trafficPolicy: {loadBalancer: {consistentHash: {}}}}",
            "spec.trafficPolicy.loadBalancer.consistentHash",
            "exactly one key",
        ),
        (
            (
                "{host: a, trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true, "
                "ringHash: {}, maglev: {}}}}}"
            ),
            "spec.trafficPolicy.loadBalancer.consistentHash",
            "exclude each other",
        ),
        (
            "{host: a, trafficPolicy: {outlierDetection: {maxEjectionPercent: 101}}}",
            "spec.trafficPolicy.outlierDetection.maxEjectionPercent",
            "101",
        ),
        (
            "{host: a, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}",
            "spec.trafficPolicy.tls",
            "no certificates of the mesh",
        ),
        (
            "{host: a, trafficPolicy: {tls: {mode: MUTUAL}}}",
            "spec.trafficPolicy.tls",
            "needs a certificate",
        ),
        (
            "{host: a, trafficPolicy: {tls: {mode: SIMPLE, privateKey: /k}}}",
            "spec.trafficPolicy.tls",
            "shows no certificate",
        ),
    ],
)
def test_what_is_wrong_has_a_place_and_no_rules(spec, text, place, reason):
    """A document with an error says nothing at all."""
    reading = spec("DestinationRule", text)
    assert () == reading.rules
    assert any(error.field == place and reason in error.message for error in reading.errors), (
        reading.errors
    )


def test_what_has_no_effect_is_said(spec):
    """A balancing that needs interception, and a subset of everything."""
    reading = spec(
        "DestinationRule",
        "{host: a, trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}, subsets: [{name: v}]}",
    )
    assert [error.field for error in reading.warnings] == [
        "spec.trafficPolicy.loadBalancer",
        "spec.subsets[0]",
    ]
    assert reading.rules[0].policy(80).load_balancer == LoadBalancer()


def test_a_budget_of_retries(spec):
    """Of the requests under way, and some in any case."""
    (policy,) = spec(
        "DestinationRule",
        "{host: a, trafficPolicy: {retryBudget: {percent: 12.5}}, "
        "subsets: [{name: v, labels: {v: '1'}, trafficPolicy: {retryBudget: {minRetryConcurrency: 9}}}]}",
    ).rules
    assert policy.policies.all.retry_budget == RetryBudget(percent=12.5, minimum=3)
    assert policy.policy(80, "v").retry_budget == RetryBudget(percent=20.0, minimum=9)
