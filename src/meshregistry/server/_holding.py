"""Which streams may still lead their proxy to an endpoint."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2

from meshregistry.model import CLUSTER, ENDPOINT, canonical_address

if TYPE_CHECKING:
    from collections.abc import Callable

    from envoy.config.core.v3 import address_pb2

    from meshregistry.model import Resource, ResourceSet
    from meshregistry.server._hub import Hub
    from meshregistry.server._stream import Stream


class Holders:
    """The streams whose client may hold an endpoint, kept up to date as they answer.

    Args:
        hub: whose streams.
        address: canonical, as in `model.Endpoint`.
        port: 0 for a Unix socket.
        is_meant: leaves out resources by their name.
        is_looked_at: leaves out streams.

    Attributes:
        seen: the ids of all proxies that may have held it since the first look.
    """

    def __init__(
        self,
        hub: Hub,
        address: str,
        port: int,
        *,
        is_meant: Callable[[str], bool],
        is_looked_at: Callable[[Stream], bool],
    ) -> None:
        self._hub = hub
        self._address = address
        self._port = port
        self._is_meant = is_meant
        self._is_looked_at = is_looked_at
        self._memo: dict[tuple[int, str], tuple[ResourceSet, frozenset[str]]] = {}
        self._streams: set[Stream] = set()
        self.seen: set[str] = set()

    def look(self) -> None:
        """Look at every stream anew: after a publication."""
        self._memo.clear()
        self._streams.clear()
        for stream in self._hub.open_streams():
            self.look_at(stream)

    def look_at(self, stream: Stream) -> None:
        """Look at one stream whose state may have changed."""
        if self._may_hold(stream):
            self._streams.add(stream)
            self.seen.add(stream.status().node.id)
        else:
            self._streams.discard(stream)

    @property
    def nodes(self) -> tuple[str, ...]:
        """The ids of the proxies that may hold it, sorted."""
        return tuple(sorted({stream.status().node.id for stream in self._streams}))

    def _may_hold(self, stream: Stream) -> bool:
        session = stream.session
        if session is None or not stream.is_open or not self._is_looked_at(stream):
            return False
        return any(
            session.may_hold(type_url, partial(self._names, type_url))
            for type_url in (ENDPOINT, CLUSTER)
        )

    def _names(self, type_url: str, resources: ResourceSet) -> frozenset[str]:
        """The resources of a set that lead there; the set is kept, so that its id stays its own."""
        known = self._memo.get((id(resources), type_url))
        if known is None:
            found = frozenset(
                one.name
                for one in resources.resources(type_url)
                if self._is_meant(one.name) and self._leads_there(one)
            )
            known = self._memo[id(resources), type_url] = (resources, found)
        return known[1]

    def _leads_there(self, resource: Resource) -> bool:
        # Texts stand in messages as they are: most resources need not be decoded.
        if self._address.removeprefix("unix://").encode() not in resource.bytes:
            return False
        if resource.type_url == CLUSTER:
            assignment = cluster_pb2.Cluster.FromString(resource.bytes).load_assignment
        else:
            assignment = endpoint_pb2.ClusterLoadAssignment.FromString(resource.bytes)
        return any(
            _place(one.endpoint.address) == (self._address, self._port)
            for group in assignment.endpoints
            for one in group.lb_endpoints
        )


def _place(address: address_pb2.Address) -> tuple[str, int]:
    if address.HasField("pipe"):
        return f"unix://{address.pipe.path}", 0
    socket = address.socket_address
    try:
        return canonical_address(socket.address), socket.port_value
    except ValueError:
        return socket.address, socket.port_value
