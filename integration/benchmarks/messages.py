"""The resources that every server under test serves, equal to the byte."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from envoy.config.endpoint.v3 import endpoint_pb2

from meshregistry.model import CLUSTER, ENDPOINT
from servers import resources

if TYPE_CHECKING:
    from envoy.config.cluster.v3 import cluster_pb2


class Workload(NamedTuple):
    """What is pushed to every stream.

    Attributes:
        name: for the table.
        type_url: what the streams subscribe to.
        resource: the one name that they ask for; empty is wildcard.
        clusters: how many clusters, each with an assignment, the set holds.
        endpoints: of each assignment.
    """

    name: str
    type_url: str
    resource: str
    clusters: int
    endpoints: int


def cluster_name(index: int) -> str:
    """As Istio names outbound clusters."""
    return f"outbound|80||svc-{index}.default.svc.cluster.local"


SMALL = Workload("one assignment of 100", ENDPOINT, cluster_name(0), clusters=1, endpoints=100)
LARGE = Workload("1,000 clusters", CLUSTER, "", clusters=1000, endpoints=1)
WORKLOADS = {"small": SMALL, "large": LARGE}


def cluster(index: int, version: int = 0) -> cluster_pb2.Cluster:
    """An EDS cluster; `version` shifts the connect timeout of the first one."""
    made = resources.cluster(cluster_name(index), eds=resources.source())
    made.connect_timeout.FromMilliseconds(1000 + (version if index == 0 else 0))
    return made


def assignment(index: int, endpoints: int, version: int = 0) -> endpoint_pb2.ClusterLoadAssignment:
    """An assignment; `version` shifts the ports of all its endpoints."""
    made = endpoint_pb2.ClusterLoadAssignment(cluster_name=cluster_name(index))
    locality = made.endpoints.add()
    for number in range(endpoints):
        address = locality.lb_endpoints.add().endpoint.address.socket_address
        address.address = "127.0.0.1"
        address.port_value = 10_000 + (version + number) % 50_000
    return made


def changed(
    workload: Workload, version: int
) -> cluster_pb2.Cluster | endpoint_pb2.ClusterLoadAssignment:
    """The one message that differs in a version of the workload."""
    if workload.type_url == CLUSTER:
        return cluster(0, version)
    return assignment(0, workload.endpoints, version)
