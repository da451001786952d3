"""The hub: one resource set for each group, one session for each stream, and the fan-out.

It knows no transport and no protobuf but the encoder's bytes: a transport opens a stream,
hands in requests, and is asked to send bytes, one write at a time.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from meshregistry.ads import REMOVAL_GRACE, WARM_TIMEOUT, Acked, Nacked, Session, Subscribed
from meshregistry.errors import RemoteAdsError
from meshregistry.server._codec import Encoder
from meshregistry.server._fanout import Fanout, Wish
from meshregistry.server._groups import Groups
from meshregistry.server._limits import Limits
from meshregistry.server._observers import Observers
from meshregistry.server._reports import HubStatistics
from meshregistry.server._shared_diff import SharedDiff
from meshregistry.server._stream import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from meshregistry.ads import AdsRequest
    from meshregistry.model import Node, Peer, ResourceSet
    from meshregistry.server._fanout import LoopClock
    from meshregistry.server._reports import Assignment, StreamStatus
    from meshregistry.server._stream import Transport

_LOG = logging.getLogger("meshregistry.server")
_TTL_FEATURE = "xds.config.supports-resource-ttl"
_WRAPPING_FEATURE = "xds.config.resource-in-sotw"


class Hub:
    """Serves resource sets to streams. All methods are called on one loop.

    Args:
        assign: says which group a stream belongs to, given the node of its first request
            and its peer; raises RemoteAdsError to turn it away.
        clock: the event loop, or whatever has its `time`, `call_soon` and `call_at`.
        wanted: asked for the set of a group that a stream was assigned to and that has
            none; None means that the stream waits.
        unwanted: told that a group has no streams any more. It may `withdraw` it.
        observers: told what happens to streams.
        limits: what the hub bears.
        warm_timeout: seconds that listeners wait for the ACK of clusters.
        removal_grace: seconds that removals wait on separate streams.
    """

    def __init__(
        self,
        assign: Callable[[Node, Peer], Assignment],
        *,
        clock: LoopClock,
        wanted: Callable[[Hashable], ResourceSet | None] | None = None,
        unwanted: Callable[[Hashable], object] | None = None,
        observers: Observers | None = None,
        limits: Limits | None = None,
        warm_timeout: float = WARM_TIMEOUT,
        removal_grace: float = REMOVAL_GRACE,
    ) -> None:
        self.limits = limits or Limits()
        self.encoder = Encoder(max_bytes=self.limits.kept_bytes)
        self._assign = assign
        self._clock = clock
        self._unwanted = unwanted
        self._observers = observers or Observers()
        self._warm_timeout = warm_timeout
        self._removal_grace = removal_grace
        self._diff = SharedDiff(self.limits.kept_diffs)
        self._groups = Groups(wanted, self._has_no_streams)
        self._streams: dict[Stream, None] = {}
        self._watchers: list[Callable[[Stream], object]] = []
        self._fanout: Fanout[Stream] = Fanout(
            clock,
            self._turn,
            max_writes=self.limits.writes,
            max_bytes=self.limits.bytes_in_flight,
            stall_after=self.limits.stall_after,
        )
        self._is_closing = False
        self._epoch = 1
        self._opened = self._refused = self._requests = self._acks = self._nacks = 0
        self._publications = self._pushes = self._bytes = self._faults = self._numbers = 0

    # --- What the owner of the sets calls. ------------------------------------------------

    def publish(self, key: Hashable, resources: ResourceSet) -> None:
        """Make this the set of a group; its streams are sent what differs for them."""
        self._epoch += 1
        self._publications += 1
        for stream in self._groups.put(key, resources).streams:
            self._fanout.want(stream, Wish.PUSH)

    def withdraw(self, key: Hashable) -> None:
        """Take a group's set away and end its streams; when they come back, they wait."""
        for stream in self._groups.drop(key):
            self.end(stream, "UNAVAILABLE", f"the resources of {key!r} were withdrawn")

    def reassign(self, key_of: Callable[[Stream], Hashable]) -> None:
        """Ask for the group of every identified stream again, and move those that differ.

        A stream for which `key_of` raises RemoteAdsError is closed with its status.
        """
        self._epoch += 1
        for stream in tuple(self._streams):
            if stream.session is None or not stream.is_open:
                continue
            try:
                key = key_of(stream)
                if key != stream.key:
                    self._groups.leave(stream)
                    self._groups.join(stream, key)
                    self._fanout.want(stream, Wish.PUSH)
            except RemoteAdsError as error:
                self.refuse(stream, error)

    def current(self, key: Hashable) -> ResourceSet | None:
        """The set of a group, if it has one."""
        return self._groups.current(key)

    def keys(self) -> tuple[Hashable, ...]:
        """The groups that have a set or streams."""
        return self._groups.keys()

    def streams(self, key: Hashable) -> tuple[Stream, ...]:
        """The streams of a group, in order of arrival."""
        return self._groups.streams(key)

    def open_streams(self) -> tuple[Stream, ...]:
        """Every stream whose client has said who it is, the oldest first."""
        return tuple(one for one in self._streams if one.session is not None and one.is_open)

    def status(self) -> tuple[StreamStatus, ...]:
        """What each identified stream holds."""
        return tuple(stream.status() for stream in self._streams if stream.session is not None)

    def is_current(self, stream: Stream) -> bool:
        """Whether the stream was offered its group's set and has nothing left to write."""
        current = self.current(stream.key)
        return (
            stream.session is not None
            and current is not None
            and stream.session.offered is current
            and stream.wish is Wish.NOTHING
        )

    def holds_current(self, stream: Stream) -> bool:
        """Whether the stream's client has accepted all that its group's set has for it."""
        return self.is_current(stream) and stream.session is not None and stream.session.is_settled

    def watch(self, watcher: Callable[[Stream], object]) -> Callable[[], None]:
        """Call `watcher` with each stream whose state may have changed; returns how to stop."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def statistics(self) -> HubStatistics:
        """Figures of this moment."""
        return HubStatistics(
            streams=len(self._streams),
            groups=self._groups.served,
            waiting=self._groups.waiting,
            opened=self._opened,
            refused=self._refused,
            requests=self._requests,
            acks=self._acks,
            nacks=self._nacks,
            publications=self._publications,
            pushes=self._pushes,
            bytes=self._bytes,
            bytes_in_flight=self._fanout.bytes_in_flight,
            stalled=self._fanout.stalled,
            encode_hits=self.encoder.hits,
            encode_misses=self.encoder.misses,
            encode_bytes=self.encoder.size,
            faults=self._faults,
        )

    # --- What a transport calls, mostly through the stream. ---------------------------------

    def open(
        self, transport: Transport, *, peer: Peer, is_delta: bool, is_aggregated: bool
    ) -> Stream:
        """Begin a stream.

        Raises:
            RemoteAdsError: if there are too many, or the hub is closing.
        """
        if self._is_closing:
            self._refused += 1
            msg = "the server is closing: connect to another one, or later"
            raise RemoteAdsError(msg, status="UNAVAILABLE")
        if len(self._streams) >= self.limits.streams:
            self._refused += 1
            msg = f"there are {len(self._streams)} streams already: connect later"
            raise RemoteAdsError(msg, status="RESOURCE_EXHAUSTED")
        self._numbers += 1
        stream = Stream(
            self,
            transport,
            number=self._numbers,
            peer=peer,
            is_delta=is_delta,
            is_aggregated=is_aggregated,
        )
        self._streams[stream] = None
        return stream

    def receive(self, stream: Stream, request: AdsRequest, node: Node | None) -> None:
        """As `Stream.receive`."""
        if not stream.is_open:
            return
        self._requests += 1
        try:
            session = stream.session or self._identify(stream, node)
            events = session.receive(request, self._clock.time())
        except RemoteAdsError as error:
            self.refuse(stream, error)
            return
        except Exception:  # noqa: BLE001 - logged; a fault of ours ends one stream only
            self.fault(stream, "taking a request")
            return
        wish = Wish.PUSH
        for event in events:
            if isinstance(event, Acked):
                self._acks += 1
                self._tell(self._observers.acked, stream, event)
            elif isinstance(event, Nacked):
                self._nacks += 1
                self._tell(self._observers.nacked, stream, event)
            elif isinstance(event, Subscribed):
                wish = Wish.ANSWER
        if not stream.is_open:
            return
        if not self._has_nothing_more(stream):
            self._fanout.want(stream, wish)
        self._changed(stream)

    def written(self, stream: Stream) -> None:
        """As `Stream.written`."""
        session = stream.session
        if (
            session is not None
            and session.is_exhausted
            and session.offered is self.current(stream.key)
        ):
            # The usual case: the message held all there was to say, and a turn would find none.
            self._fanout.rest(stream)
            self._changed(stream)
        else:
            self._fanout.written(stream)

    def closed(self, stream: Stream, reason: str) -> None:
        """As `Stream.closed`."""
        if stream not in self._streams:
            return
        del self._streams[stream]
        self._retire(stream)
        if stream.session is not None:
            self._tell(self._observers.closed, stream, reason)
            self._changed(stream)

    def refuse(self, stream: Stream, error: RemoteAdsError) -> None:
        """Close a stream for what its client has sent."""
        self._refused += 1
        self.end(stream, error.status, str(error))

    def end(self, stream: Stream, status: str, reason: str) -> None:
        """As `Stream.end`."""
        if stream.is_open:
            self._retire(stream)
            stream.transport.close(status, reason)

    def fault(self, stream: Stream, what: str) -> None:
        """As `Stream.fault`."""
        self._faults += 1
        _LOG.exception("%s failed; %r is closed", what, stream)
        self.end(stream, "INTERNAL", f"{what} failed in the server; see its log")

    # --- The end. ---------------------------------------------------------------------------

    def stop_accepting(self) -> Iterable[Stream]:
        """Turn new streams away from now on; returns those that are open, the oldest first."""
        self._is_closing = True
        return tuple(self._streams)

    def close(self) -> None:
        """End every stream that is left; afterwards nothing is scheduled."""
        for stream in self.stop_accepting():
            self.end(stream, "UNAVAILABLE", "the server has closed: connect to another one")
        self._fanout.close()

    # --- Inside. ----------------------------------------------------------------------------

    def _identify(self, stream: Stream, node: Node | None) -> Session:
        # xDS protocol, "Node": only the first request of a stream is sure to carry it.
        if node is None or not node.id:
            msg = "the first request of the stream has no node id: set node.id in the bootstrap"
            raise RemoteAdsError(msg)
        assignment = self._assign(node, stream.peer)
        features = node.client_features
        has_ttl = _TTL_FEATURE in features and (stream.is_delta or _WRAPPING_FEATURE in features)
        stream.node = node
        stream.proxy = assignment.proxy
        self._groups.join(stream, assignment.key)
        stream.session = session = Session(
            nonces=self._nonce,
            is_delta=stream.is_delta,
            is_aggregated=stream.is_aggregated,
            supports_ttl=has_ttl,
            warm_timeout=self._warm_timeout,
            removal_grace=self._removal_grace,
            diff=self._diff,
        )
        self._opened += 1
        self._tell(self._observers.opened, stream)
        return session

    def _has_no_streams(self, key: Hashable) -> None:
        if self._unwanted is not None:
            self._tell(self._unwanted, key)

    def _retire(self, stream: Stream) -> None:
        """Nothing more is written to this stream, and nothing is kept for it."""
        if not stream.is_open:
            return
        stream.is_open = False
        if stream.timer is not None:
            stream.timer.cancel()
            stream.timer = None
        self._fanout.rest(stream)
        self._groups.leave(stream)

    def _nonce(self) -> str:
        """The number of the last fan-out.

        Streams that go the same way through it get the same nonces, and share the bytes;
        the session adds a count where one stream gets several.
        """
        return str(self._epoch)

    def _has_nothing_more(self, stream: Stream) -> bool:
        """The usual answer to a push settles everything: such a stream needs no turn."""
        return stream.timer is None and self.holds_current(stream)

    def _turn(self, stream: Stream) -> bytes | None:
        """The next bytes of a stream, made of what is current at this moment."""
        session = stream.session
        current = self._groups.current(stream.key)
        if session is None or current is None:
            return None  # it waits: an empty response would take away what the client has
        try:
            if session.offered is not current:
                session.offer(current)
            response = session.next_message(self._clock.time())
            self._arm(stream, session.next_deadline())
        except Exception:  # noqa: BLE001 - logged; a fault of ours ends one stream only
            self.fault(stream, "making a response")
            return None
        if response is None:
            if self._watchers:  # once this turn is over: until then the stream seems busy
                self._clock.call_soon(lambda: self._changed(stream))
            return None
        data = self.encoder.encode(response, supports_ttl=session.supports_ttl)
        self._pushes += 1
        self._bytes += len(data)
        return data

    def _arm(self, stream: Stream, deadline: float | None) -> None:
        if deadline == stream.timer_at:
            return
        if stream.timer is not None:
            stream.timer.cancel()
            stream.timer = None
        stream.timer_at = deadline
        if deadline is not None:
            stream.timer = self._clock.call_at(deadline, lambda: self._is_due(stream))

    def _is_due(self, stream: Stream) -> None:
        stream.timer = stream.timer_at = None
        if stream.is_open:
            self._fanout.want(stream, Wish.PUSH)

    def _changed(self, stream: Stream) -> None:
        for watcher in tuple(self._watchers):
            watcher(stream)

    def _tell(self, observer: Callable[..., object], *what: object) -> None:
        try:
            observer(*what)
        except Exception:  # noqa: BLE001 - logged; whoever watches must not harm the watched
            self._faults += 1
            _LOG.exception("an observer of streams failed: %r", observer)
