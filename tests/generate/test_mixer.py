"""Who asks Mixer and who tells it: filters, access logs, clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_components_pb2
from envoy.extensions.access_loggers.grpc.v3 import als_pb2
from envoy.extensions.filters.http.ext_authz.v3 import ext_authz_pb2
from envoy.extensions.filters.network.ext_authz.v3 import ext_authz_pb2 as connection_authz_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_pb2,
)
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2

from meshregistry.generate import Pipeline, World, dangling_references
from meshregistry.generate._cluster_policy import http_options
from meshregistry.generate._mixer import _metadata, state_destinations
from meshregistry.model import (
    CLUSTER,
    LISTENER,
    Catalog,
    Proxy,
    ProxyRole,
    Reference,
    ResourceSet,
)
from meshregistry.rules import (
    Gateway,
    GatewayServer,
    MeshSettings,
    MixerSettings,
    RouterSettings,
    RuleSet,
)

if TYPE_CHECKING:
    from conftest import EntryOf

CHECK, REPORT = Reference(CLUSTER, "mixer-check"), Reference(CLUSTER, "mixer-report")
BOTH = MixerSettings(check="127.0.0.1:9091", report="127.0.0.1:9092")
GATEWAY = RuleSet.of([Gateway(name="g", servers=(GatewayServer(port=8080),))])


def sent(
    entry_of: EntryOf,
    role: ProxyRole,
    mixer: MixerSettings | None,
    rules: RuleSet = RuleSet(),  # noqa: B008 - a value
    protocol: str = "HTTP",
) -> ResourceSet:
    """What a proxy at an endpoint is sent."""
    entry = entry_of("a.shop", f"80/{protocol}", endpoints=("10.0.0.1:8080",), namespace="shop")
    world = World(
        catalog=Catalog.of([entry]),
        mesh=MeshSettings(mixer=mixer, router=RouterSettings(tcp=True)),
        rules=rules,
    )
    proxy = Proxy(node_id="x", role=role, namespace="shop", addresses=("10.0.0.1",))
    pipeline = Pipeline()
    resources = pipeline.derive(world, pipeline.proxy_key(world, proxy)).resources
    assert dangling_references(resources) == ()
    return resources


def filters(resources: ResourceSet, name: str) -> list[listener_pb2.Filter]:
    """The filters of one listener's first chain."""
    found = resources.get(LISTENER, name)
    assert found is not None
    return list(listener_pb2.Listener.FromString(found.bytes).filter_chains[0].filters)


def connections(resources: ResourceSet, name: str) -> hcm_pb2.HttpConnectionManager:
    """The HTTP filter of a listener."""
    message = hcm_pb2.HttpConnectionManager()
    filters(resources, name)[0].typed_config.Unpack(message)
    return message


@pytest.mark.parametrize(
    ("role", "rules", "asked"),
    [
        (ProxyRole.SIDECAR, RuleSet(), {"10.0.0.1_8080": True, "127.0.0.1_80": False}),
        (ProxyRole.ROUTER, RuleSet(), {"127.0.0.1_10000": True}),
        (ProxyRole.ROUTER, GATEWAY, {"127.0.0.1_8080": True}),
    ],
)
@pytest.mark.parametrize("protocol", ["HTTP", "TCP"])
def test_every_listener_tells_and_all_but_the_callers_ask(
    entry_of: EntryOf,
    role: ProxyRole,
    rules: RuleSet,
    asked: dict[str, bool],
    protocol: str,
) -> None:
    """The sidecar of the service asks; nothing does either without the setting."""
    resources = sent(entry_of, role, BOTH, rules, protocol)
    for name, is_asked in asked.items():
        listener = resources.get(LISTENER, name)
        assert listener is not None
        assert (CHECK in listener.references, REPORT in listener.references) == (is_asked, True)
        assert (b"ext_authz" in listener.bytes) is is_asked
        assert b"GrpcAccessLogConfig" in listener.bytes
    plain = sent(entry_of, role, None, rules, protocol)
    assert not {CHECK.name, REPORT.name} & set(plain.names(CLUSTER))
    assert not any(b"ext_authz" in one.bytes or b"GrpcAcc" in one.bytes for one in plain)


@pytest.mark.parametrize(
    ("mixer", "clusters"),
    [
        (MixerSettings(check="127.0.0.1:1"), {"mixer-check"}),
        (MixerSettings(report="127.0.0.1:1"), {"mixer-report"}),
        (MixerSettings(), set()),
    ],
)
@pytest.mark.parametrize("role", [ProxyRole.SIDECAR, ProxyRole.ROUTER])
def test_one_can_be_had_without_the_other(
    entry_of: EntryOf, role: ProxyRole, mixer: MixerSettings, clusters: set[str]
) -> None:
    """Only what is used has a cluster, a filter or a log."""
    resources = sent(entry_of, role, mixer)
    found = {name for name in resources.names(CLUSTER) if name.startswith("mixer")}
    assert found == clusters
    text = b"".join(one.bytes for one in resources)
    assert (b"ext_authz" in text) is bool(mixer.check)
    assert (b"GrpcAccessLogConfig" in text) is bool(mixer.report)


@pytest.mark.parametrize(
    ("address", "kind", "host"),
    [
        ("127.0.0.1:9091", cluster_pb2.Cluster.STATIC, "127.0.0.1"),
        ("[::1]:9091", cluster_pb2.Cluster.STATIC, "::1"),
        ("mixer.example:9091", cluster_pb2.Cluster.STRICT_DNS, "mixer.example"),
    ],
)
def test_the_server_is_reached_by_address_or_name(
    entry_of: EntryOf, address: str, kind: int, host: str
) -> None:
    """With HTTP/2, as gRPC needs."""
    resources = sent(entry_of, ProxyRole.SIDECAR, MixerSettings(check=address))
    found = resources.get(*CHECK)
    assert found is not None
    cluster = cluster_pb2.Cluster.FromString(found.bytes)
    place = cluster.load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address
    assert (cluster.type, place.address, place.port_value) == (kind, host, 9091)
    assert cluster.typed_extension_protocol_options


@pytest.mark.parametrize(
    ("servers", "percent"),
    [
        ("10.0.0.1:1", None),
        ("10.0.0.1:1,10.0.0.2:1", 50),
        ("10.0.0.1:1,10.0.0.2:1,10.0.0.3:1", 67),
        # A name may stand for several.
        ("mixer.example:1", 50),
        ("mixer.example:1,10.0.0.2:1,10.0.0.3:1", 67),
    ],
)
def test_servers_that_give_no_answer_are_left_alone(
    entry_of: EntryOf, servers: str, percent: int | None
) -> None:
    """All but the last one, and without a panic that would ask them all the same."""
    resources = sent(entry_of, ProxyRole.SIDECAR, MixerSettings(check=servers, report=servers))
    # A stream of reports breaks but once.
    for reference, failures in ((CHECK, 3), (REPORT, 1)):
        found = resources.get(*reference)
        assert found is not None
        cluster = cluster_pb2.Cluster.FromString(found.bytes)
        outlier = cluster.outlier_detection
        assert cluster.HasField("outlier_detection") is (percent is not None)
        if percent is not None:
            assert outlier.max_ejection_percent.value == percent
            assert cluster.common_lb_config.HasField("healthy_panic_threshold")
            assert cluster.common_lb_config.healthy_panic_threshold.value == 0
            # What a server answers, were it that a handler failed, does not count.
            assert outlier.HasField("enforcing_consecutive_5xx")
            assert outlier.enforcing_consecutive_5xx.value == 0
            assert outlier.consecutive_gateway_failure.value == failures
            assert outlier.enforcing_consecutive_gateway_failure.value == 100
            # Time-outs are gateway failures only as long as this is off.
            assert not outlier.split_external_local_origin_errors


def test_connections_are_asked_whether_anybody_is_there(entry_of: EntryOf) -> None:
    """A stream of reports waits for no answer, so nothing else finds a server that hangs."""
    resources = sent(entry_of, ProxyRole.SIDECAR, BOTH)
    for reference in (CHECK, REPORT):
        found = resources.get(*reference)
        assert found is not None
        options = http_options(cluster_pb2.Cluster.FromString(found.bytes))
        alive = options.explicit_http_config.http2_protocol_options.connection_keepalive
        assert (alive.interval.seconds, alive.timeout.seconds) == (10, 5)


def test_servers_take_turns(entry_of: EntryOf) -> None:
    """All are in the cluster; a check that has not reached one of them goes to another."""
    several = "10.0.0.1:1, [::1]:2,mixer.example:3"
    resources = sent(
        entry_of, ProxyRole.SIDECAR, MixerSettings(check=several, report="a:1", timeout=1.0)
    )
    found = resources.get(*CHECK)
    assert found is not None
    cluster = cluster_pb2.Cluster.FromString(found.bytes)
    places = [
        one.endpoint.address.socket_address
        for one in cluster.load_assignment.endpoints[0].lb_endpoints
    ]
    assert [("10.0.0.1", 1), ("::1", 2), ("mixer.example", 3)] == [
        (one.address, one.port_value) for one in places
    ]
    assert cluster.type == cluster_pb2.Cluster.STRICT_DNS
    asking = []
    for check in (several, "a:1"):
        mixer = MixerSettings(check=check)
        http = connections(sent(entry_of, ProxyRole.SIDECAR, mixer), "10.0.0.1_8080")
        found_filter = ext_authz_pb2.ExtAuthz()
        http.http_filters[2].typed_config.Unpack(found_filter)
        asking.append(found_filter.grpc_service)
    retries = asking[0].retry_policy
    assert (retries.retry_on, retries.num_retries.value) == ("connect-failure,refused-stream", 2)
    assert not asking[1].HasField("retry_policy")


@pytest.mark.parametrize("is_open", [True, False])
def test_requests_fail_as_the_mesh_says(entry_of: EntryOf, is_open: bool) -> None:
    """Open, or closed with 503; in the time that the mesh gives."""
    mixer = MixerSettings(check="127.0.0.1:1", fail_open=is_open, timeout=0.25, quotas={"q": 2})
    http = connections(sent(entry_of, ProxyRole.SIDECAR, mixer), "10.0.0.1_8080")
    names = [one.name for one in http.http_filters]
    assert names.index("envoy.filters.http.cors") < names.index("envoy.filters.http.ext_authz")
    check = ext_authz_pb2.ExtAuthz()
    http.http_filters[2].typed_config.Unpack(check)
    assert check.failure_mode_allow is is_open
    assert check.status_on_error.code == 503
    assert check.grpc_service.timeout.ToMilliseconds() == 250
    assert check.clear_route_cache
    stated = parse_qs(check.grpc_service.initial_metadata[0].value)
    assert stated == {
        "context.reporter.kind": ["inbound"],
        "destination.service.host": ["a.shop"],
        "destination.service.name": ["a"],
        "destination.service.namespace": ["shop"],
        "destination.service.uid": ["istio://shop/services/a"],
        "destination.namespace": ["shop"],
        "mixer.quotas": ["q=2"],
    }


def test_who_asks_shows_the_claims_of_tokens_and_the_server_name(entry_of: EntryOf) -> None:
    """Envoy leaves both out unless it is told to; rules on request.auth would never hold."""
    mixer = MixerSettings(check="127.0.0.1:1")
    http = connections(sent(entry_of, ProxyRole.SIDECAR, mixer), "10.0.0.1_8080")
    check = ext_authz_pb2.ExtAuthz()
    http.http_filters[2].typed_config.Unpack(check)
    assert list(check.metadata_context_namespaces) == ["envoy.filters.http.jwt_authn"]
    assert check.include_tls_session
    first, _ = filters(sent(entry_of, ProxyRole.SIDECAR, mixer, protocol="TCP"), "10.0.0.1_8080")
    connection = connection_authz_pb2.ExtAuthz()
    first.typed_config.Unpack(connection)
    assert connection.include_tls_session


def test_a_percent_sign_is_no_command() -> None:
    """Envoy takes the metadata of a call for a format, and ends at a wrong one."""
    value = _metadata([("a", "50%"), ("b", "istio://x"), ("mixer.quotas", "q=1,r=2")])
    assert value == "a=50%%25&b=istio://x&mixer.quotas=q=1,r=2"
    assert parse_qs(value.replace("%%", "%"))["a"] == ["50%"]


def test_connections_are_asked_about_before_they_are_sent_on(entry_of: EntryOf) -> None:
    """And told of when they open, each interval, and at their end."""
    mixer = MixerSettings(check="127.0.0.1:1", report="127.0.0.1:1", tcp_report_interval=2.0)
    resources = sent(entry_of, ProxyRole.SIDECAR, mixer, protocol="TCP")
    first, last = filters(resources, "10.0.0.1_8080")
    check, proxy = connection_authz_pb2.ExtAuthz(), tcp_proxy_pb2.TcpProxy()
    first.typed_config.Unpack(check)
    last.typed_config.Unpack(proxy)
    assert not check.failure_mode_allow
    assert "destination.service.host=a.shop" in check.grpc_service.initial_metadata[0].value
    assert proxy.access_log_options.flush_access_log_on_connected
    assert proxy.access_log_options.access_log_flush_interval.ToSeconds() == 2
    log = als_pb2.TcpGrpcAccessLogConfig()
    proxy.access_log[0].typed_config.Unpack(log)
    tags = {one.tag: one.literal.value for one in log.common_config.custom_tags}
    assert tags["destination.service.host"] == "a.shop"
    assert tags["context.reporter.kind"] == log.common_config.log_name == "inbound"


def test_reports_have_the_headers_that_rules_read(entry_of: EntryOf) -> None:
    """The usual ones and those of the settings, each once."""
    mixer = MixerSettings(
        report="127.0.0.1:1",
        request_headers=("x-user", "content-type"),
        response_headers=("x-version",),
    )
    http = connections(sent(entry_of, ProxyRole.SIDECAR, mixer), "127.0.0.1_80")
    log = als_pb2.HttpGrpcAccessLogConfig()
    http.access_log[0].typed_config.Unpack(log)
    asked = list(log.additional_request_headers_to_log)
    assert {"x-user", "content-type", "x-b3-traceid", "traceparent"} <= set(asked)
    assert len(asked) == len(set(asked))
    assert "x-version" in log.additional_response_headers_to_log
    assert log.common_config.log_name == "outbound"


def test_routes_state_the_service_that_they_lead_to() -> None:
    """Shares each their own; where no service stands behind a cluster, nothing."""
    host = route_components_pb2.VirtualHost()
    host.routes.add().route.cluster = "outbound|80||a.shop.svc.x"
    weighted = host.routes.add().route.weighted_clusters.clusters
    weighted.add(name="outbound|80|v1|example.com")
    weighted.add(name="BlackHoleCluster")
    host.routes.add().redirect.path_redirect = "/"
    state_destinations(host, [("a.shop.svc.x", "shop")])
    stated = []
    for target in (host.routes[0], *weighted, host.routes[2]):
        own = ext_authz_pb2.ExtAuthzPerRoute()
        for one in target.typed_per_filter_config.values():
            one.Unpack(own)
        found = own.check_settings.context_extensions
        stated.append((found["destination.service.host"], found["destination.service.name"]))
    assert stated == [("a.shop.svc.x", "a"), ("example.com", "example.com"), ("", ""), ("", "")]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ({"check": "mixer"}, "write host:port"),
        ({"report": "a:0"}, "write host:port"),
        ({"check": "a:1, b"}, "write host:port"),
        ({"check": "a:1,"}, "write host:port"),
        ({"quotas": {"a=b": 1}}, "short name of a quota"),
        ({"quotas": {"a": 0}}, "charge at least 1"),
        ({"quotas": {"a": True}}, "charge at least 1"),
        ({"timeout": 0.0}, "from 1ms"),
        ({"request_headers": ["X-User"]}, "in lower case"),
        ({"response_headers": ["a b"]}, "in lower case"),
    ],
)
def test_settings_are_checked(words: dict[str, object], reason: str) -> None:
    """With an example or a remedy."""
    with pytest.raises(ValueError, match=reason):
        MixerSettings(**words)  # type: ignore[arg-type]
