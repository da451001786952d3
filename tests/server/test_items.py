"""Envoy messages as resources."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import base_pb2, extension_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2, scoped_route_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_pb2,
)
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from envoy.service.runtime.v3 import rtds_pb2
from google.protobuf import json_format

from meshregistry import model
from meshregistry.model import Resource
from meshregistry.server._items import resource_of


def message(kind: Any, **fields: Any) -> Any:
    """A protobuf message from JSON fields."""
    return json_format.ParseDict(fields, kind())


def references(item: Any) -> list[tuple[str, str]]:
    """What a message refers to."""
    return [tuple(reference) for reference in resource_of(item).references]


@pytest.mark.parametrize(
    ("item", "type_url"),
    [
        (cluster_pb2.Cluster(name="x"), model.CLUSTER),
        (endpoint_pb2.ClusterLoadAssignment(cluster_name="x"), model.ENDPOINT),
        (listener_pb2.Listener(name="x"), model.LISTENER),
        (route_pb2.RouteConfiguration(name="x"), model.ROUTE),
        (route_components_pb2.VirtualHost(name="x"), model.VIRTUAL_HOST),
        (scoped_route_pb2.ScopedRouteConfiguration(name="x"), model.SCOPED_ROUTE),
        (secret_pb2.Secret(name="x"), model.SECRET),
        (rtds_pb2.Runtime(name="x"), model.RUNTIME),
        (extension_pb2.TypedExtensionConfig(name="x"), model.EXTENSION_CONFIG),
    ],
)
def test_known_messages_are_resources(item, type_url):
    """Type URL, name and bytes come from the message."""
    made = resource_of(item)
    assert (type_url, "x", item.SerializeToString()) == (made.type_url, made.name, made.bytes)
    assert item.DESCRIPTOR.full_name == type_url.partition("/")[2]


def test_a_resource_is_taken_as_it_is():
    """Unknown types come as opaque resources."""
    made = Resource(type_url="type.googleapis.com/x.Y", name="x", bytes=b"")
    assert made is resource_of(made)


def test_anything_else_is_refused():
    """The message names the type and says what is possible."""
    with pytest.raises(TypeError, match="Locality is not a resource: give one of Cluster"):
        resource_of(base_pb2.Locality())


def test_a_resource_needs_a_name():
    """A message without a name cannot be asked for."""
    with pytest.raises(ValueError, match="a Cluster has no name"):
        resource_of(cluster_pb2.Cluster())


def test_equal_messages_have_equal_bytes():
    """Maps are written in one order, so equal content has one version."""
    one, two = base_pb2.Metadata(), base_pb2.Metadata()
    for metadata, keys in ((one, "abcdef"), (two, "fedcba")):
        for key in keys:
            metadata.filter_metadata[key].update({"x": key})
    digests = {
        resource_of(cluster_pb2.Cluster(name="x", metadata=metadata)).digest
        for metadata in (one, two)
    }
    assert 1 == len(digests)


def test_an_eds_cluster_needs_its_assignment():
    """By its service name, else by its own; a file is nobody's resource."""
    ads = {"eds_config": {"ads": {}}}
    named = message(
        cluster_pb2.Cluster, name="x", type="EDS", eds_cluster_config={**ads, "service_name": "s"}
    )
    assert [(model.ENDPOINT, "s")] == references(named)
    plain = message(cluster_pb2.Cluster, name="x", type="EDS", eds_cluster_config=ads)
    assert [(model.ENDPOINT, "x")] == references(plain)
    from_file = message(
        cluster_pb2.Cluster,
        name="x",
        type="EDS",
        eds_cluster_config={"eds_config": {"path_config_source": {"path": "/x"}}},
    )
    assert [] == references(from_file)
    assert [] == references(message(cluster_pb2.Cluster, name="x", type="STRICT_DNS"))


def test_a_route_needs_its_clusters():
    """Also weighted ones and mirrors, at every level."""
    routes = [
        {"match": {"prefix": "/"}, "route": {"cluster": "one"}},
        {
            "match": {"prefix": "/"},
            "route": {
                "weighted_clusters": {"clusters": [{"name": "two"}, {"cluster_header": "x"}]},
                "request_mirror_policies": [{"cluster": "three"}],
            },
        },
        {"match": {"prefix": "/"}, "redirect": {"path_redirect": "/x"}},
        {"match": {"prefix": "/"}, "route": {"cluster_header": "x"}},
    ]
    host = {
        "name": "h",
        "domains": ["*"],
        "routes": routes,
        "request_mirror_policies": [{"cluster": "four"}],
    }
    item = message(
        route_pb2.RouteConfiguration,
        name="r",
        virtual_hosts=[host],
        request_mirror_policies=[{"cluster": "five"}],
    )
    expected = [(model.CLUSTER, name) for name in ("five", "four", "one", "three", "two")]
    assert expected == references(item)
    assert expected[1:] == references(message(route_components_pb2.VirtualHost, **host))


def listener(*configs: Any) -> Any:
    """A listener with these network filters."""
    made = listener_pb2.Listener(name="l")
    for config in configs:
        made.filter_chains.add().filters.add(name="f").typed_config.Pack(config)
    return made


def test_a_listener_needs_its_routes_and_clusters():
    """From connection managers (by name or inline) and TCP proxies; other filters are opaque."""
    by_name = message(
        hcm_pb2.HttpConnectionManager,
        rds={"route_config_name": "r", "config_source": {"ads": {}}},
    )
    inline = message(
        hcm_pb2.HttpConnectionManager,
        route_config={
            "virtual_hosts": [
                {
                    "name": "h",
                    "domains": ["*"],
                    "routes": [{"match": {}, "route": {"cluster": "a"}}],
                }
            ]
        },
    )
    tcp = tcp_proxy_pb2.TcpProxy(cluster="b")
    split = message(
        tcp_proxy_pb2.TcpProxy, weighted_clusters={"clusters": [{"name": "c", "weight": 1}]}
    )
    other = base_pb2.Locality()
    assert [
        (model.CLUSTER, "a"),
        (model.CLUSTER, "b"),
        (model.CLUSTER, "c"),
        (model.ROUTE, "r"),
    ] == references(listener(by_name, inline, tcp, split, other))


def test_an_api_listener_needs_its_routes():
    """Clients without a proxy have their connection manager there."""
    made = listener_pb2.Listener(name="l")
    made.api_listener.api_listener.Pack(
        message(
            hcm_pb2.HttpConnectionManager,
            rds={"route_config_name": "r", "config_source": {"ads": {}}},
        )
    )
    assert [(model.ROUTE, "r")] == references(made)


def test_a_scope_needs_its_routes():
    """A scoped route configuration names a route configuration."""
    item = message(
        scoped_route_pb2.ScopedRouteConfiguration, name="s", route_configuration_name="r"
    )
    assert [(model.ROUTE, "r")] == references(item)
