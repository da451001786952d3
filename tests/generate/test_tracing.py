"""Spans of requests: who reports, and where to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from envoy.config.cluster.v3 import cluster_pb2

from meshregistry.generate import Pipeline, World
from meshregistry.model import (
    CLUSTER,
    LISTENER,
    Catalog,
    Proxy,
    ProxyRole,
    Reference,
    ResourceSet,
)
from meshregistry.rules import Gateway, GatewayServer, MeshSettings, RuleSet, TracingSettings

if TYPE_CHECKING:
    from conftest import EntryOf

COLLECTOR = Reference(CLUSTER, "tracing-collector")


def sent(entry_of: EntryOf, role: ProxyRole, tracing: Any, rules: RuleSet) -> ResourceSet:
    """What a proxy at an endpoint is sent."""
    world = World(
        catalog=Catalog.of([entry_of("a.shop", endpoints=("10.0.0.1:8080",), namespace="shop")]),
        mesh=MeshSettings(tracing=tracing),
        rules=rules,
    )
    proxy = Proxy(node_id="x", role=role, namespace="shop", addresses=("10.0.0.1",))
    pipeline = Pipeline()
    return pipeline.derive(world, pipeline.proxy_key(world, proxy)).resources


GATEWAY = RuleSet.of([Gateway(name="g", servers=(GatewayServer(port=8080),))])


@pytest.mark.parametrize(
    ("role", "rules", "listeners"),
    [
        (ProxyRole.SIDECAR, RuleSet(), 2),
        (ProxyRole.ROUTER, RuleSet(), 1),
        (ProxyRole.ROUTER, GATEWAY, 1),
    ],
)
def test_every_http_listener_reports(
    entry_of: EntryOf, role: ProxyRole, rules: RuleSet, listeners: int
) -> None:
    """Inbound and outbound, at routers and gateways; nothing without the setting."""
    tracing = TracingSettings(provider="zipkin", address="127.0.0.1:9411", sampling=50.0)
    traced = sent(entry_of, role, tracing, rules).resources(LISTENER)
    assert [COLLECTOR in one.references for one in traced] == [True] * listeners
    assert all(b"envoy.tracers.zipkin" in one.bytes for one in traced)
    plain = sent(entry_of, role, None, rules)
    assert COLLECTOR.name not in plain.names(CLUSTER)
    assert not any(b"tracers" in one.bytes for one in plain.resources(LISTENER))


@pytest.mark.parametrize(
    ("provider", "address", "kind", "is_http2"),
    [
        ("zipkin", "127.0.0.1:9411", cluster_pb2.Cluster.STATIC, False),
        ("opentelemetry", "collector.example:4317", cluster_pb2.Cluster.STRICT_DNS, True),
        ("opentelemetry", "[::1]:4317", cluster_pb2.Cluster.STATIC, True),
    ],
)
def test_the_collector_has_a_cluster(
    entry_of: EntryOf, provider: Any, address: str, kind: int, is_http2: bool
) -> None:
    """By address or name; OTLP is gRPC."""
    tracing = TracingSettings(provider=provider, address=address)
    found = sent(entry_of, ProxyRole.SIDECAR, tracing, RuleSet()).get(*COLLECTOR)
    assert found is not None
    cluster = cluster_pb2.Cluster.FromString(found.bytes)
    assert cluster.type == kind
    assert bool(cluster.typed_extension_protocol_options) is is_http2


def test_settings_are_checked() -> None:
    """With an example of what to write."""
    for wrong in ("collector", "a:0", ":9411", "a:x"):
        with pytest.raises(ValueError, match="write host:port"):
            TracingSettings(provider="zipkin", address=wrong)
    with pytest.raises(ValueError, match="sampling"):
        TracingSettings(provider="zipkin", address="a:1", sampling=101.0)
