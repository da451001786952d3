"""What the tests of the serving shell share: a loop that the test moves, and an xDS client."""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import base_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2,
)
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import json_format
from google.rpc import status_pb2

if TYPE_CHECKING:
    from collections.abc import Callable


class Timer:
    """A call that was arranged and may be cancelled."""

    def __init__(self) -> None:
        self.is_cancelled = False

    def cancel(self) -> None:
        """Arrange for it not to happen."""
        self.is_cancelled = True


class ManualLoop:
    """What the hub needs of an event loop; nothing happens unless it is told to."""

    def __init__(self) -> None:
        self.now = 100.0
        self._soon: list[Callable[[], object]] = []
        self._timers: list[tuple[float, int, Timer, Callable[[], object]]] = []
        self._order = count()

    def time(self) -> float:
        """The time that the test has set."""
        return self.now

    def call_soon(self, callback: Callable[[], object], /) -> None:
        """Call it in `run`."""
        self._soon.append(callback)

    def call_at(self, when: float, callback: Callable[[], object], /) -> Timer:
        """Call it in the first `run` at or after that time."""
        timer = Timer()
        heapq.heappush(self._timers, (when, next(self._order), timer, callback))
        return timer

    def run(self) -> None:
        """Do all that is to be done at this moment."""
        while self._soon or self._has_due():
            while self._has_due():
                _, _, timer, callback = heapq.heappop(self._timers)
                if not timer.is_cancelled:
                    self._soon.append(callback)
            soon, self._soon = self._soon, []
            for callback in soon:
                callback()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.run()

    @property
    def armed(self) -> int:
        """Timers that are still to come."""
        return sum(not timer.is_cancelled for _, _, timer, _ in self._timers)

    def _has_due(self) -> bool:
        return bool(self._timers) and self._timers[0][0] <= self.now


@pytest.fixture
def loop() -> ManualLoop:
    """A loop whose time is moved by the test."""
    return ManualLoop()


class AdsClient:
    """A small fake of an xDS client on a real channel: asks, takes and answers.

    Args:
        channel: to the server.
        method: such as ``discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources``.
        node: what it claims in its first request.
    """

    ADS = "discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
    DELTA = "discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"

    def __init__(self, channel, method: str = ADS, *, node_id: str = "n", cluster: str = "edge"):
        self.is_delta = "/Delta" in method
        self._kinds = (
            (discovery_pb2.DeltaDiscoveryRequest, discovery_pb2.DeltaDiscoveryResponse)
            if self.is_delta
            else (discovery_pb2.DiscoveryRequest, discovery_pb2.DiscoveryResponse)
        )
        self.call = channel.stream_stream(f"/envoy.service.{method}")()
        self._node = base_pb2.Node(id=node_id, cluster=cluster)
        self._asked: dict[str, list[str]] = {}
        self.held: dict[tuple[str, str], bytes] = {}
        self.raw = b""

    async def ask(self, type_url: str = "", *names: str, **fields) -> None:
        """Subscribe to names of a type; the first request carries the node."""
        self._asked[type_url] = list(names)
        if self._node is not None:
            fields["node"], self._node = self._node, None
        key = "resource_names_subscribe" if self.is_delta else "resource_names"
        await self._send(type_url=type_url, **{key: list(names)}, **fields)

    async def take(self):
        """The next response, without an answer."""
        self.raw = await self.call.read()
        assert self.raw is not grpc.aio.EOF, (await self.call.code(), await self.call.details())
        return self._kinds[1].FromString(self.raw)

    async def accept(self, response) -> None:
        """Acknowledge it, and hold what is in it."""
        for each in response.resources:
            inner = each.resource if self.is_delta else each
            name = each.name if self.is_delta else f"#{len(self.held)}"
            self.held[inner.type_url, name] = inner.value
        await self._answer(response)

    async def follow(self):
        """Take the next response and accept it."""
        response = await self.take()
        await self.accept(response)
        return response

    async def follow_all(self) -> None:
        """Accept whatever comes; a task's body."""
        while True:
            await self.follow()

    async def refuse(self, response, reason: str) -> None:
        """Refuse it."""
        await self._answer(response, error_detail=status_pb2.Status(code=3, message=reason))

    async def write(self, data: bytes) -> None:
        """Send these very bytes."""
        await self.call.write(data)

    async def ending(self):
        """The status that the server closes the stream with, and its reason."""
        return await self.call.code(), await self.call.details()

    async def _answer(self, response, **fields) -> None:
        if not self.is_delta:
            fields |= {
                "version_info": "" if "error_detail" in fields else response.version_info,
                "resource_names": self._asked.get(response.type_url, self._asked.get("", [])),
            }
        await self._send(type_url=response.type_url, response_nonce=response.nonce, **fields)

    async def _send(self, **fields) -> None:
        await self.call.write(self._kinds[0](**fields).SerializeToString())


@pytest.fixture
def ads_client() -> type[AdsClient]:
    """Makes xDS clients on real channels."""
    return AdsClient


@pytest.fixture
def edge_set() -> list:
    """An Envoy configuration that is consistent: cluster, assignment, listener, route."""
    manager = json_format.ParseDict(
        {
            "stat_prefix": "edge",
            "rds": {"route_config_name": "routes", "config_source": {"ads": {}}},
        },
        http_connection_manager_pb2.HttpConnectionManager(),
    )
    listener = listener_pb2.Listener(name="http")
    listener.filter_chains.add().filters.add(name="http").typed_config.Pack(manager)
    cluster = json_format.ParseDict(
        {"name": "web", "type": "EDS", "eds_cluster_config": {"eds_config": {"ads": {}}}},
        cluster_pb2.Cluster(),
    )
    route = json_format.ParseDict(
        {
            "name": "routes",
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "web"}}],
                }
            ],
        },
        route_pb2.RouteConfiguration(),
    )
    return [cluster, assignment_of("web", 1), listener, route]


def assignment_of(name: str, *ports: int):
    """Endpoints of a cluster on these ports."""
    made = endpoint_pb2.ClusterLoadAssignment(cluster_name=name)
    for port in ports:
        where = made.endpoints.add().lb_endpoints.add().endpoint.address.socket_address
        where.address, where.port_value = "10.0.0.1", port
    return made


@pytest.fixture
def assignment():
    """``assignment(cluster, *ports)``: a cluster's endpoints."""
    return assignment_of
