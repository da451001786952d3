"""Which streams may still lead to an endpoint."""

from __future__ import annotations

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2

from meshregistry.ads import Request
from meshregistry.model import CLUSTER, ENDPOINT, Node, Peer, Resource, ResourceSet
from meshregistry.server import Assignment, Holders, Hub


class Pipe:
    """A transport that writes at once."""

    def __init__(self, hub, node_id):
        self.stream = hub.open(
            self, peer=Peer(address="memory"), is_delta=False, is_aggregated=True
        )
        self._node = Node(id=node_id, cluster="edge")

    def send(self, data):
        """It is on its way."""

    def close(self, status, reason):
        """It ends."""

    def ask(self, type_url, *names):
        """Subscribe."""
        node, self._node = self._node, None
        self.stream.receive(Request(type_url=type_url, names=names), node)


def assignment(*places):
    """An assignment with these endpoints; a text is a Unix socket."""
    message = endpoint_pb2.ClusterLoadAssignment(cluster_name="a")
    group = message.endpoints.add()
    for place in places:
        address = group.lb_endpoints.add().endpoint.address
        if isinstance(place, str):
            address.pipe.path = place
        else:
            address.socket_address.address, address.socket_address.port_value = place
    return message


def eds(*places, name="a"):
    """The same as a resource."""
    data = assignment(*places).SerializeToString()
    return Resource(type_url=ENDPOINT, name=name, bytes=data)


def cds(*places):
    """A cluster with these endpoints in it."""
    message = cluster_pb2.Cluster(name="a", load_assignment=assignment(*places))
    return Resource(type_url=CLUSTER, name="a", bytes=message.SerializeToString())


@pytest.fixture
def nodes(loop):
    """``nodes(resource, address, port, **options)``: who may hold the endpoint."""

    def find(resource, address, port, *, is_meant=lambda _: True, is_looked_at=lambda _: True):
        hub = Hub(lambda node, _: Assignment(node.cluster), clock=loop)
        hub.publish("edge", ResourceSet.of([resource]))
        for node in ("n1", "n2"):
            pipe = Pipe(hub, node)
            names = [resource.name] if resource.type_url == ENDPOINT else []
            pipe.ask(resource.type_url, *names)
        loop.run()
        holders = Holders(hub, address, port, is_meant=is_meant, is_looked_at=is_looked_at)
        holders.look()
        assert holders.seen == set(holders.nodes)
        return holders.nodes

    return find


@pytest.mark.parametrize(
    ("resource", "address", "port"),
    [
        pytest.param(eds(("10.0.0.1", 80)), "10.0.0.1", 80, id="an assignment"),
        pytest.param(cds(("web.example.com", 80)), "web.example.com", 80, id="a DNS name"),
        pytest.param(eds(("::1", 80)), "::1", 80, id="IPv6"),
        pytest.param(eds("/run/web"), "unix:///run/web", 0, id="a Unix socket"),
        pytest.param(eds(("10.0.0.9", 80), ("10.0.0.1", 80)), "10.0.0.1", 80, id="among others"),
    ],
)
def test_whoever_is_offered_it_may_hold_it(nodes, resource, address, port):
    """In an assignment, or in a cluster whose names the proxy resolves."""
    assert nodes(resource, address, port) == ("n1", "n2")


@pytest.mark.parametrize(
    ("resource", "port"),
    [
        pytest.param(eds(("10.0.0.1", 81)), 80, id="another port"),
        pytest.param(eds(("10.0.0.11", 80)), 80, id="an address that begins alike"),
        pytest.param(eds(), 80, id="no endpoint"),
    ],
)
def test_others_do_not(nodes, resource, port):
    """However much the bytes look alike."""
    assert nodes(resource, "10.0.0.1", port) == ()


def test_resources_and_streams_can_be_left_out(nodes):
    """By name, and by what the stream is."""
    one = eds(("10.0.0.1", 80), name="inbound|80||")
    assert nodes(one, "10.0.0.1", 80) == ("n1", "n2")
    assert nodes(one, "10.0.0.1", 80, is_meant=lambda name: not name.startswith("inbound|")) == ()
    found = nodes(one, "10.0.0.1", 80, is_looked_at=lambda stream: stream.node.id == "n2")
    assert found == ("n2",)
