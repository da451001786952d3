"""One stream as hub and transport see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from meshregistry.server._fanout import Wish
from meshregistry.server._reports import StreamStatus

if TYPE_CHECKING:
    from collections.abc import Hashable

    from meshregistry.ads import AdsRequest, Session
    from meshregistry.errors import RemoteAdsError
    from meshregistry.model import Node, Peer
    from meshregistry.server._fanout import TimerHandle
    from meshregistry.server._hub import Hub


class Transport(Protocol):
    """What carries a stream's bytes. Neither method may call back into the stream."""

    def send(self, data: bytes) -> None:
        """Start to write one response; `Stream.written` is called when that is done.

        The hub never calls it again before that.
        """

    def close(self, status: str, reason: str) -> None:
        """Close the stream with a gRPC status; `Stream.closed` is called when that is done."""


class Stream:
    """A stream of one client: made by `Hub.open`, driven by a transport.

    Attributes:
        id: unique while the hub lives.
        peer: who is at the other end.
        is_delta: incremental, or state of the world.
        is_aggregated: it carries every type, or one.
        node: what the client claims; None before its first request.
        key: the group whose set it is sent; None before its first request.
        proxy: what the assignment kept with it.
        is_open: it has not ended.
    """

    # Many streams are idle at any time: they are kept small.
    __slots__ = (
        "_hub",
        "id",
        "is_aggregated",
        "is_delta",
        "is_open",
        "key",
        "node",
        "peer",
        "proxy",
        "queued",
        "session",
        "timer",
        "timer_at",
        "transport",
        "wish",
    )

    def __init__(
        self,
        hub: Hub,
        transport: Transport,
        *,
        number: int,
        peer: Peer,
        is_delta: bool,
        is_aggregated: bool,
    ) -> None:
        self._hub = hub
        self.transport = transport
        self.id = number
        self.peer = peer
        self.is_delta = is_delta
        self.is_aggregated = is_aggregated
        self.is_open = True
        self.node: Node | None = None
        self.key: Hashable = None
        self.proxy: Any = None
        # What follows belongs to the hub.
        self.session: Session | None = None
        self.timer: TimerHandle | None = None
        self.timer_at: float | None = None
        self.wish = Wish.NOTHING
        self.queued = Wish.NOTHING

    def receive(self, request: AdsRequest, node: Node | None = None) -> None:
        """Take a request of the client; the first one carries its node.

        A request that cannot be taken closes the stream, with the status that says why.
        """
        self._hub.receive(self, request, node)

    def write(self, data: bytes) -> None:
        """Hand bytes to the transport; called by the fan-out only."""
        self.transport.send(data)

    def refuse(self, error: RemoteAdsError) -> None:
        """What the client has sent is not a request: close the stream."""
        self._hub.refuse(self, error)

    def fault(self, what: str) -> None:
        """Handling this stream raised an exception of ours: log it, and close the stream.

        Called while the exception is handled.
        """
        self._hub.fault(self, what)

    def written(self) -> None:
        """The transport has written what it was given last."""
        self._hub.written(self)

    def end(self, status: str, reason: str) -> None:
        """Close the stream with a gRPC status; nothing more is written to it."""
        self._hub.end(self, status, reason)

    def closed(self, reason: str = "") -> None:
        """The transport says that the stream has ended; saying it twice is fine."""
        self._hub.closed(self, reason)

    def status(self) -> StreamStatus:
        """What the stream holds.

        Raises:
            LookupError: before its first request.
        """
        if self.session is None or self.node is None:
            msg = f"stream {self.id} has sent no request yet: ask after its first one"
            raise LookupError(msg)
        return StreamStatus(
            id=self.id,
            node=self.node,
            peer=self.peer,
            key=self.key,
            proxy=self.proxy,
            is_delta=self.is_delta,
            types=self.session.status(),
        )

    def __repr__(self) -> str:
        name = self.node.id if self.node else "?"
        return f"<Stream {self.id} of {name!r} at {self.peer.address}>"
