"""Bootstrap documents: what an Envoy needs to follow the server, and nothing else."""

from __future__ import annotations

import pytest

from meshregistry.agent import XDS_CLUSTER, bootstrap, node_id
from meshregistry.model import Node, Proxy, ProxyRole


def _address(document: dict) -> dict:
    cluster = document["static_resources"]["clusters"][0]
    return cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]


class TestNodeId:
    def test_is_read_back_by_identification(self):
        """What the bootstrap claims is what the server understands."""
        text = node_id(
            ProxyRole.SIDECAR, address="10.0.0.1", name="web.shop", domain="shop.svc.mesh.local"
        )
        proxy = Proxy.identify(Node(id=text))
        assert (ProxyRole.SIDECAR, ("10.0.0.1",), "shop") == (
            proxy.role,
            proxy.addresses,
            proxy.namespace,
        )

    def test_refuses_what_is_no_address(self):
        """A node id needs an address that can be bound."""
        with pytest.raises(ValueError, match="not an IPv4 address"):
            node_id(ProxyRole.SIDECAR, address="10.0.0", name="web", domain="d")


class TestBootstrap:
    def test_follows_the_server_by_one_delta_ads_stream(self):
        """Incremental ADS is the default, and CDS and LDS come over it."""
        document = bootstrap(node="a", cluster="web", xds="127.0.0.1:15010")
        dynamic = document["dynamic_resources"]
        assert dynamic["ads_config"]["api_type"] == "DELTA_GRPC"
        assert {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"} == (
            dynamic["cds_config"]
        )
        assert dynamic["lds_config"] == dynamic["cds_config"]

    def test_speaks_state_of_the_world_on_request(self):
        """The older variant is one word away."""
        document = bootstrap(node="a", cluster="web", xds="127.0.0.1:15010", protocol="sotw")
        assert document["dynamic_resources"]["ads_config"]["api_type"] == "GRPC"

    def test_names_node_and_cluster(self):
        """Envoy refuses to start without either."""
        document = bootstrap(node="a", cluster="web", xds="127.0.0.1:15010")
        assert document["node"] == {"id": "a", "cluster": "web"}

    def test_carries_metadata(self):
        """What the node says of itself goes along."""
        document = bootstrap(
            node="a", cluster="web", xds="127.0.0.1:1", metadata={"NAMESPACE": "shop"}
        )
        assert document["node"]["metadata"] == {"NAMESPACE": "shop"}

    def test_says_http2_for_the_server(self):
        """Without the option, Envoy never connects to a gRPC server."""
        cluster = bootstrap(node="a", cluster="web", xds="127.0.0.1:1")["static_resources"][
            "clusters"
        ][0]
        (options,) = cluster["typed_extension_protocol_options"].values()
        assert "http2_protocol_options" in options["explicit_http_config"]
        assert cluster["name"] == XDS_CLUSTER

    @pytest.mark.parametrize(
        ("xds", "kind", "address"),
        [
            ("10.0.0.9:15010", "STATIC", {"address": "10.0.0.9", "port_value": 15010}),
            ("[::1]:15010", "STATIC", {"address": "::1", "port_value": 15010}),
            ("pilot.mesh:15010", "STRICT_DNS", {"address": "pilot.mesh", "port_value": 15010}),
        ],
    )
    def test_finds_the_server(self, xds, kind, address):
        """IP addresses are static, names are resolved by Envoy."""
        document = bootstrap(node="a", cluster="web", xds=xds)
        assert document["static_resources"]["clusters"][0]["type"] == kind
        assert _address(document) == {"socket_address": address}

    def test_finds_the_server_by_a_unix_socket(self):
        """A Unix socket becomes a pipe."""
        document = bootstrap(node="a", cluster="web", xds="unix:///run/xds.sock")
        assert _address(document) == {"pipe": {"path": "/run/xds.sock"}}

    def test_can_do_without_an_admin_interface(self):
        """None leaves it out."""
        assert "admin" not in bootstrap(node="a", cluster="web", xds="127.0.0.1:1", admin=None)

    @pytest.mark.parametrize("xds", ["15010", "127.0.0.1:", "127.0.0.1:http"])
    def test_refuses_what_is_no_address(self, xds):
        """The message says what to write."""
        with pytest.raises(ValueError, match=r"write|host name"):
            bootstrap(node="a", cluster="web", xds=xds)

    def test_sends_its_figures_where_it_is_told(self):
        """Over UDP, to an IP address."""
        document = bootstrap(node="a", cluster="b", xds="h:1", statsd="127.0.0.1:8125")
        (sink,) = document["stats_sinks"]
        socket = sink["typed_config"]["address"]["socket_address"]
        assert socket == {"address": "127.0.0.1", "port_value": 8125, "protocol": "UDP"}
        assert "stats_sinks" not in bootstrap(node="a", cluster="b", xds="h:1")
        for wrong in ("unix:///run/statsd", "statsd:8125", "127.0.0.1"):
            with pytest.raises(ValueError, match="write"):
                bootstrap(node="a", cluster="b", xds="h:1", statsd=wrong)
