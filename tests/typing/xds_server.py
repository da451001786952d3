"""Type-checked, never run: an xDS server for resources of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_type

from meshregistry.errors import Rejected
from meshregistry.model import CLUSTER, Node, Peer, Resource, Verdict
from meshregistry.server import XdsServer

if TYPE_CHECKING:
    from google.protobuf.message import Message


def group(node: Node) -> str:
    """Proxies of one cluster share their resources."""
    return node.cluster


def admit(node: Node, peer: Peer) -> Verdict | None:
    """Nobody is turned away."""
    return None


async def serve(cluster: Message, assignment: Message) -> None:
    """As in the interfaces page, with the values that come back named."""
    async with XdsServer("127.0.0.1:0", group=group, admit=admit) as server:
        assert_type(server.address, str)
        server.publish("edge", [cluster, assignment])
        server.update(
            "edge",
            changed=[Resource(CLUSTER, "other", b"")],
            removed=[(CLUSTER, "reviews")],
            version="build 7",
        )
        try:
            assert_type(await server.acknowledged("edge", timeout=5), int)
        except Rejected as refusal:
            print(refusal)
        for proxy in server.proxies():
            assert_type(proxy.node_id, str)
        server.withdraw("edge")
