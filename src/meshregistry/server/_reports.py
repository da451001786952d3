"""What the serving side tells of itself: plain values."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from attrs import frozen

from meshregistry.ads import TypeStatus
from meshregistry.model import Node, Peer


@frozen
class Assignment:
    """What a new stream gets.

    Attributes:
        key: the group whose resource set it is sent.
        proxy: whatever the caller wants to keep with the stream.
    """

    key: Hashable
    proxy: Any = None


@frozen(kw_only=True)
class StreamStatus:
    """What one stream holds.

    Attributes:
        id: unique while the hub lives.
        node: what its client claims.
        peer: who is at the other end.
        key: its group.
        proxy: what the assignment kept with it.
        is_delta: incremental, or state of the world.
        types: what it wants and holds, by type.
    """

    id: int
    node: Node
    peer: Peer
    key: Hashable
    proxy: Any
    is_delta: bool
    types: tuple[TypeStatus, ...]


@frozen(kw_only=True)
class ProxyStatus:
    """What one connected proxy holds; its separate streams on one connection are united.

    Attributes:
        node_id: as its node claims.
        group: the group whose resources it is sent.
        address: of its end of the connection.
        is_delta: incremental, or state of the world.
        types: what it wants and holds, by type.
        node: all that it claims.
    """

    node_id: str
    group: Hashable
    address: str
    is_delta: bool
    types: tuple[TypeStatus, ...]
    node: Node


@frozen(kw_only=True)
class HubStatistics:
    """Figures since the hub was made, and of this moment.

    Attributes:
        streams: open now.
        groups: groups that have a set.
        waiting: open streams whose group has no set.
        opened: streams that were let in.
        refused: streams that were turned away, or closed for what they sent.
        requests: messages received.
        acks: responses that clients have accepted.
        nacks: responses that clients have refused.
        publications: sets published.
        pushes: messages written.
        bytes: bytes written.
        bytes_in_flight: bytes handed to transports and not written yet, stalled ones excepted.
        stalled: streams whose write has lasted too long.
        encode_hits: responses whose bytes existed.
        encode_misses: responses that had to be joined.
        encode_bytes: bytes kept to be shared.
        faults: exceptions of ours or of observers.
    """

    streams: int
    groups: int
    waiting: int
    opened: int
    refused: int
    requests: int
    acks: int
    nacks: int
    publications: int
    pushes: int
    bytes: int
    bytes_in_flight: int
    stalled: int
    encode_hits: int
    encode_misses: int
    encode_bytes: int
    faults: int
