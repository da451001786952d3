"""What the tests of the pilot share: settings, records, and a client of its streams."""

from __future__ import annotations

import grpc.aio
import pytest
from envoy.config.core.v3 import base_pb2
from envoy.service.discovery.v3 import discovery_pb2
from google.rpc import status_pb2

from meshregistry import ServiceRecord, Settings

SOTW = "StreamAggregatedResources"
DELTA = "DeltaAggregatedResources"


def settings_of(*sources, **sections):
    """Settings with these sources and no fixed port."""
    server = {"xds": "127.0.0.1:0", **sections.pop("server", {})}
    return Settings.from_dict({"sources": list(sources), "server": server, **sections})


@pytest.fixture(scope="session")
def make_settings():
    """``make_settings(*sources, **sections)``: settings that let the system choose ports."""
    return settings_of


@pytest.fixture(scope="session")
def memory_settings():
    """One memory source, called ``mine``."""
    return settings_of({"id": "mine", "kind": "memory"})


@pytest.fixture(scope="session")
def record():
    """``record(host, *endpoints)``: a service on port 80."""

    def make(host, *endpoints, port=80, **more):
        return ServiceRecord.parse(host, port=port, endpoints=endpoints, **more)

    return make


class Proxy:
    """A small client of a pilot's streams, on a real channel.

    Args:
        channel: to the pilot.
        node_id: what it claims.
        is_delta: which variant it speaks.
    """

    def __init__(self, channel, node_id, *, is_delta=False):
        self.is_delta = is_delta
        self._kinds = (
            (discovery_pb2.DeltaDiscoveryRequest, discovery_pb2.DeltaDiscoveryResponse)
            if is_delta
            else (discovery_pb2.DiscoveryRequest, discovery_pb2.DiscoveryResponse)
        )
        method = DELTA if is_delta else SOTW
        service = "envoy.service.discovery.v3.AggregatedDiscoveryService"
        self.call = channel.stream_stream(f"/{service}/{method}")()
        self._node = base_pb2.Node(id=node_id, cluster="test")
        self._names = {}

    async def ask(self, type_url, *names):
        """Subscribe; the first request carries the node."""
        self._names[type_url] = names
        key = "resource_names_subscribe" if self.is_delta else "resource_names"
        await self._write(type_url=type_url, node=self._node, **{key: names})

    async def take(self):
        """The next response, unanswered."""
        data = await self.call.read()
        assert data is not grpc.aio.EOF, (await self.call.code(), await self.call.details())
        return self._kinds[1].FromString(data)

    async def accept(self, response):
        """ACK it."""
        fields = {} if self.is_delta else {"version_info": response.version_info}
        await self._answer(response, **fields)

    async def refuse(self, response, reason):
        """NACK it."""
        await self._answer(response, error_detail=status_pb2.Status(code=3, message=reason))

    async def follow(self):
        """Take the next response and accept it."""
        response = await self.take()
        await self.accept(response)
        return response

    async def ending(self):
        """The status and reason that the stream ends with."""
        return await self.call.code(), await self.call.details()

    async def _answer(self, response, **fields):
        if not self.is_delta:
            fields["resource_names"] = self._names[response.type_url]
        await self._write(type_url=response.type_url, response_nonce=response.nonce, **fields)

    async def _write(self, **fields):
        await self.call.write(self._kinds[0](**fields).SerializeToString())


@pytest.fixture(scope="session")
def make_proxy():
    """Makes proxies on a channel."""
    return Proxy
