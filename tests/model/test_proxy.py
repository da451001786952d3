"""Proxies: identification of nodes, and keys."""

from __future__ import annotations

import pytest
from attrs import evolve

from meshregistry.errors import RemoteAdsError
from meshregistry.model import Labels, Locality, Node, Proxy, ProxyKey, ProxyRole


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("sidecar", ProxyRole.SIDECAR),
        ("router", ProxyRole.ROUTER),
        ("ingress", ProxyRole.ROUTER),
        ("proxyless", ProxyRole.PROXYLESS),
    ],
)
def test_a_node_id_gives_role_address_and_namespace(name, role):
    """``role~address~id~domain`` is read as Istio writes it; 0.4's ingress is a router."""
    proxy = Proxy.identify(Node(id=f"{name}~10.0.0.1~web-1.shop~shop.svc.cluster.local"))
    assert role is proxy.role
    assert ("10.0.0.1",) == proxy.addresses
    assert "shop" == proxy.namespace


def test_metadata_wins_over_the_node_id():
    """Addresses and namespace of the metadata come before those of the id; the rest is taken."""
    node = Node(
        id="sidecar~10.0.0.1~a~shop.svc",
        metadata={
            "INSTANCE_IPS": "10.0.0.2, ::01,10.0.0.2",
            "NAMESPACE": "other",
            "LABELS": {"app": "web", "number": 1},
            "NETWORK": "n1",
            "CLUSTER_ID": "c1",
        },
        locality=Locality("r", "z"),
    )
    assert Proxy(
        node_id=node.id,
        role=ProxyRole.SIDECAR,
        addresses=("10.0.0.2", "::1"),
        namespace="other",
        labels=Labels({"app": "web"}),
        locality=Locality("r", "z"),
        network="n1",
        cluster="c1",
    ) == Proxy.identify(node)


@pytest.mark.parametrize(
    "metadata",
    [{}, {"INSTANCE_IPS": ""}, {"INSTANCE_IPS": "nonsense,web.shop"}, {"INSTANCE_IPS": ["::1"]}],
)
def test_metadata_without_a_valid_address_leaves_that_of_the_id(metadata):
    """A malformed claim counts as absent, since the id has the same fact."""
    proxy = Proxy.identify(Node(id="sidecar~10.0.0.1~a~b", metadata=metadata))
    assert ("10.0.0.1",) == proxy.addresses


@pytest.mark.parametrize("labels", [None, "app=web", ["app"]])
def test_labels_of_another_form_count_as_none(labels):
    """Labels that are no mapping are passed over."""
    node = Node(id="edge", metadata={"LABELS": labels, "NAMESPACE": 7})
    assert Labels() == Proxy.identify(node).labels
    assert "" == Proxy.identify(node).namespace


@pytest.mark.parametrize(
    ("agent", "role"),
    [
        ("envoy", ProxyRole.ROUTER),
        ("", ProxyRole.ROUTER),
        ("gRPC Python linux", ProxyRole.PROXYLESS),
        ("grpc-go", ProxyRole.PROXYLESS),
    ],
)
def test_any_other_id_is_a_router_unless_it_is_a_grpc_client(agent, role):
    """An id without ``~`` is a stock Envoy, or gRPC by its user agent (contracts, section 6)."""
    proxy = Proxy.identify(Node(id="edge-1", user_agent_name=agent))
    assert (role, ()) == (proxy.role, proxy.addresses)


@pytest.mark.parametrize(
    ("node_id", "part"),
    [
        ("sidecar~10.0.0.1~a", "write role~address~id~domain"),
        ("sidecar~10.0.0.1~a~b~c", "write role~address~id~domain"),
        ("~", "write role~address~id~domain"),
        ("waypoint~10.0.0.1~a~b", "use one of sidecar, router, proxyless"),
        ("sidecar~nonsense~a~b", "has no valid address"),
        ("sidecar~~a~b", "has no valid address"),
        ("sidecar~unix:///a~a~b", "has no valid address"),
    ],
)
def test_a_node_id_that_does_not_parse_is_the_peers_fault(node_id, part):
    """A malformed id with ``~`` is refused with INVALID_ARGUMENT (contracts, section 6)."""
    with pytest.raises(RemoteAdsError, match=part) as caught:
        Proxy.identify(Node(id=node_id))
    assert "INVALID_ARGUMENT" == caught.value.status
    assert repr(node_id) in str(caught.value)


def test_nodes_hash_although_metadata_does_not():
    """A node is a value: equal nodes hash alike, and metadata counts for equality."""
    node = Node(id="a", metadata={"x": [1]})
    assert hash(node) == hash(Node(id="a", metadata={"x": [1]}))
    assert node != evolve(node, metadata={})


def test_a_proxy_key_is_a_value():
    """Keys with equal facts are one key, and print what matters."""
    key = ProxyKey(role=ProxyRole.SIDECAR, namespace="shop", addresses=("10.0.0.1",))
    assert {key} == {
        evolve(key),
        ProxyKey(role=ProxyRole.SIDECAR, namespace="shop", addresses=("10.0.0.1",)),
    }
    assert "sidecar~10.0.0.1~shop" == str(key)
    assert "router~*~" == str(ProxyKey(role=ProxyRole.ROUTER))
