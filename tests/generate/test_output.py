"""How a message becomes a resource."""

from __future__ import annotations

from envoy.config.cluster.v3 import cluster_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2

from meshregistry.generate._output import packed, resource
from meshregistry.model import CLUSTER, ENDPOINT, Reference


def test_equal_messages_give_equal_bytes() -> None:
    """Maps are written in one order, whatever the order in which they were filled."""
    options = packed(http_protocol_options_pb2.HttpProtocolOptions())
    made = []
    for keys in ("abcdefgh", "hgfedcba"):
        cluster = cluster_pb2.Cluster(name="x")
        for key in keys:
            cluster.typed_extension_protocol_options[key].CopyFrom(options)
        made.append(resource(CLUSTER, "x", cluster))
    assert made[0].bytes == made[1].bytes
    assert made[0].digest == made[1].digest


def test_a_resource_knows_what_it_needs() -> None:
    """References are part of the resource, sorted and each once."""
    one = resource(CLUSTER, "x", cluster_pb2.Cluster(), [(ENDPOINT, "b"), (ENDPOINT, "a")] * 2)
    assert one.references == (Reference(ENDPOINT, "a"), Reference(ENDPOINT, "b"))
