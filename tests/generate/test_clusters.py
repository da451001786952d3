"""Clusters of services, and those that no service stands behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2

from meshregistry.generate._clusters import inbound_cluster, passthrough_cluster, service_clusters
from meshregistry.generate._world import OwnPort, Scope, View
from meshregistry.model import CLUSTER, ENDPOINT, Hostname, Port, Protocol, Reference, Resolution
from meshregistry.rules import MeshSettings

if TYPE_CHECKING:
    from conftest import EntryOf
    from meshregistry.generate import Generated

MESH = MeshSettings()
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def clusters(generated: Generated) -> dict[str, cluster_pb2.Cluster]:
    """The clusters by name, decoded."""
    return {
        one.name: cluster_pb2.Cluster.FromString(one.bytes)
        for one in generated.resources
        if one.type_url == CLUSTER
    }


def test_every_eds_cluster_has_an_assignment_possibly_empty(entry_of: EntryOf) -> None:
    """Each port has a cluster, and the assignment that it refers to comes with it."""
    generated = service_clusters(entry_of("a.shop", "80/HTTP", "90/TCP"), "", MESH)
    assert [one.key for one in generated.resources] == [
        Reference(CLUSTER, "outbound|80||a.shop"),
        Reference(ENDPOINT, "outbound|80||a.shop"),
        Reference(CLUSTER, "outbound|90||a.shop"),
        Reference(ENDPOINT, "outbound|90||a.shop"),
    ]
    assert generated.resources[0].references == (generated.resources[1].key,)
    assert generated.faults == ()


def test_udp_ports_and_aliases_have_no_cluster(entry_of: EntryOf) -> None:
    """Envoy's clusters carry no UDP for us, and an alias uses the other host's."""
    alias = entry_of("b.shop", resolution=Resolution.ALIAS, alias_of="a.shop")
    assert service_clusters(entry_of("a.shop", "53/UDP"), "", MESH).resources == ()
    assert service_clusters(alias, "", MESH).resources == ()


def test_names_only_is_strict_dns_with_inline_endpoints(entry_of: EntryOf) -> None:
    """What the proxy resolves itself is in its cluster; there is no assignment to ask for."""
    generated = service_clusters(entry_of("a.shop", endpoints=("x.example:80",)), "", MESH)
    (one,) = generated.resources
    cluster = clusters(generated)[one.name]
    assert cluster.type == cluster_pb2.Cluster.STRICT_DNS
    assert cluster.load_assignment.cluster_name == one.name
    assert one.references == ()


def test_eds_comes_over_ads_and_is_waited_for(entry_of: EntryOf) -> None:
    """Envoy asks on its one stream, in v3, and keeps what it has until the answer comes."""
    (cluster,) = clusters(service_clusters(entry_of("a.shop"), "", MESH)).values()
    source = cluster.eds_cluster_config.eds_config
    assert source.HasField("ads")
    assert source.resource_api_version == 2
    assert source.HasField("initial_fetch_timeout")
    assert source.initial_fetch_timeout.seconds == 0


@pytest.mark.parametrize(
    ("protocol", "is_http2"), [("GRPC", True), ("HTTP2", True), ("HTTP", False), ("TCP", False)]
)
def test_http2_is_spoken_to_ports_that_speak_it(
    entry_of: EntryOf, protocol: str, is_http2: bool
) -> None:
    """GRPC and HTTP2 ports get HTTP/2 from the first byte."""
    (cluster,) = clusters(service_clusters(entry_of("a.shop", f"80/{protocol}"), "", MESH)).values()
    options = cluster.typed_extension_protocol_options
    assert (OPTIONS in options) == is_http2
    if is_http2:
        message = http_protocol_options_pb2.HttpProtocolOptions()
        assert options[OPTIONS].Unpack(message)
        assert message.explicit_http_config.HasField("http2_protocol_options")


def test_mesh_settings_reach_the_cluster(entry_of: EntryOf) -> None:
    """The connect timeout, and a panic threshold that is 0 unless set (Envoy's own is 50)."""
    mesh = MeshSettings(connect_timeout=0.25, healthy_panic_threshold=12.5)
    (cluster,) = clusters(service_clusters(entry_of("a.shop"), "", mesh)).values()
    assert cluster.connect_timeout.ToMilliseconds() == 250
    assert cluster.common_lb_config.healthy_panic_threshold.value == 12.5
    (plain,) = clusters(service_clusters(entry_of("a.shop"), "", MESH)).values()
    assert plain.common_lb_config.HasField("healthy_panic_threshold")
    assert plain.common_lb_config.healthy_panic_threshold.value == 0


def test_a_headless_service_is_balanced_while_nothing_is_intercepted(entry_of: EntryOf) -> None:
    """PASSTHROUGH needs the caller's address, which is not known; its endpoints are."""
    entry = entry_of("a.shop", endpoints=("10.0.0.1:80",), resolution=Resolution.PASSTHROUGH)
    generated = service_clusters(entry, "", MESH)
    (cluster,) = clusters(generated).values()
    assert cluster.type == cluster_pb2.Cluster.EDS
    assert generated.faults == ()


def test_a_headless_service_without_endpoints_is_reported(entry_of: EntryOf) -> None:
    """Nothing tells where its traffic would go."""
    generated = service_clusters(entry_of("a.shop", resolution=Resolution.PASSTHROUGH), "", MESH)
    (fault,) = generated.faults
    assert "the cluster outbound|80||a.shop has no endpoint" in str(fault)


@pytest.mark.parametrize(
    ("policy", "names"), [("ALLOW_ANY", ["PassthroughCluster"]), ("REGISTRY_ONLY", [])]
)
def test_what_is_unknown_passes_only_if_the_mesh_allows_it(policy: str, names: list[str]) -> None:
    """Under REGISTRY_ONLY there is no cluster that leads out."""
    view = View(mesh=MeshSettings(outbound_traffic_policy=policy), scope=Scope())
    found = clusters(passthrough_cluster(view))
    assert list(found) == names
    for cluster in found.values():
        assert cluster.type == cluster_pb2.Cluster.ORIGINAL_DST
        assert cluster.lb_policy == cluster_pb2.Cluster.CLUSTER_PROVIDED


def test_inbound_leads_to_the_workload_on_loopback() -> None:
    """The cluster of an own port is its number on 127.0.0.1, by its protocol."""
    port = Port("grpc", 80, Protocol.GRPC)
    own = OwnPort(address="10.0.0.1", number=8080, host=Hostname("a.shop"), port=port)
    one = inbound_cluster(own, MESH)
    cluster = cluster_pb2.Cluster.FromString(one.bytes)
    address = cluster.load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address
    assert one.name == "inbound|8080||"
    assert (address.address, address.port_value) == ("127.0.0.1", 8080)
    assert OPTIONS in cluster.typed_extension_protocol_options
