"""One xDS stream without I/O: requests, offers and time in; responses, events, a deadline out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf

from attrs import define, field

from meshregistry.ads import _delta, _sotw
from meshregistry.ads._draft import Draft, Turn
from meshregistry.ads._messages import (
    AdsEvent,
    AdsMessage,
    DeltaRequest,
    DeltaResponse,
    Request,
    Response,
)
from meshregistry.ads._ordering import assignments, follows_clusters, is_entrance, is_in_use
from meshregistry.ads._status import TypeStatus, type_status
from meshregistry.ads._subscription import Diff, Subscription
from meshregistry.errors import LocalAdsError, RemoteAdsError
from meshregistry.model import (
    CLUSTER,
    ENDPOINT,
    Changes,
    Reference,
    Resource,
    ResourceSet,
    type_traits,
)

WARM_TIMEOUT = 5.0
"""Seconds that listeners and routes wait at most for the client to accept its clusters."""

REMOVAL_GRACE = 10.0
"""Seconds that a removal waits where no acknowledgement can tell that it is safe."""


# A time to live of zero must not become an endless stream of heartbeats.
_SHORTEST_PAUSE = 0.1


def changes(older: ResourceSet, newer: ResourceSet, type_url: str) -> Changes:
    """Compare two sets anew; a hub with many streams passes one that remembers."""
    return newer.changes_since(older, type_url)


@define(eq=False)
class Session:
    """The protocol state of one stream (contracts §8); knows no transport and no clock.

    Drive it so: hand every request to `receive`, every newer set to `offer`, and whenever the
    transport can take a message (after either of the two, after a write has ended, or when
    `next_deadline` has come) ask `next_message` for one. State advances when a message is
    handed out, so ask only when it can be written; a set that is replaced before then is never
    sent. Before the first `offer` the session is silent.

    Args:
        nonces: makes a nonce; may give the same one to many streams and several times in a row,
            the session then tells its own apart by a suffix.
        is_delta: the incremental variant.
        is_aggregated: the stream carries all types (ADS). On a stream of one type removals wait
            for `removal_grace`, since the session cannot see what still refers to them.
        supports_ttl: the client understands times to live (client features
            ``xds.config.supports-resource-ttl`` and, for state of the world,
            ``xds.config.resource-in-sotw``).
        warm_timeout: seconds that listeners and routes wait for the ACK of clusters.
        removal_grace: seconds that a removal waits if no ACK can tell that it is safe.
        diff: compares (older set, newer set, type URL).
    """

    _nonces: Callable[[], str] = field(kw_only=True)
    is_delta: bool = field(kw_only=True)
    is_aggregated: bool = field(default=True, kw_only=True)
    supports_ttl: bool = field(default=False, kw_only=True)
    warm_timeout: float = field(default=WARM_TIMEOUT, kw_only=True)
    removal_grace: float = field(default=REMOVAL_GRACE, kw_only=True)
    _diff: Diff = field(default=changes, kw_only=True)
    _offered: ResourceSet | None = field(default=None, init=False)
    _subscriptions: dict[str, Subscription] = field(factory=dict, init=False)
    _last_nonce: str = field(default="", init=False)
    _repeated: int = field(default=0, init=False)
    _deadline: float = field(default=inf, init=False)

    @property
    def offered(self) -> ResourceSet | None:
        """The last offer."""
        return self._offered

    @property
    def is_settled(self) -> bool:
        """The client has accepted the last offer in everything that it subscribes to.

        True only after `next_message` had nothing more to send.
        """
        return self._offered is not None and all(
            sub.is_settled(self._offered) for sub in self._subscriptions.values()
        )

    @property
    def is_exhausted(self) -> bool:
        """`next_message` would say None, at any time, until a request or an offer comes in.

        A quick look that spares a turn after most writes; False may be wrong.
        """
        offered = self._offered
        if offered is None or (self.supports_ttl and offered.has_expiring):
            return False
        for sub in self._subscriptions.values():  # asked after every write: no generators
            if not (sub.has_all(offered) or sub.interest.is_empty):
                return False
        return True

    def receive(
        self,
        message: Request | DeltaRequest,
        now: float,  # noqa: ARG002 - time is part of the contract, whether a rule needs it or not
    ) -> list[AdsEvent]:
        """Take a request; `next_message` then has the answer, if one is due.

        Raises:
            LocalAdsError: if the message is of the other variant.
            RemoteAdsError: if the peer broke the protocol; close the stream with its status.
        """
        if isinstance(message, DeltaRequest) is not self.is_delta:
            variant = "incremental" if self.is_delta else "state-of-the-world"
            msg = f"this stream is {variant}: do not hand it a {type(message).__name__}"
            raise LocalAdsError(msg)
        if not message.type_url:
            # Only streams of one type may leave it out, and their caller fills it in.
            msg = "a request without type_url came on an aggregated stream; name the type"
            raise RemoteAdsError(msg)
        sub = self._subscriptions.get(message.type_url)
        is_first = sub is None
        if sub is None:
            if self._subscriptions and not self.is_aggregated:
                (only,) = self._subscriptions
                msg = (
                    f"this stream carries {only}, not {message.type_url}; use ADS for several types"
                )
                raise RemoteAdsError(msg)
            # "Each type URL on an aggregated stream is an independent logical stream."
            sub = Subscription(type_traits(message.type_url), self.is_delta)
            self._subscriptions[message.type_url] = sub
            by_rank = sorted(
                self._subscriptions.values(), key=lambda s: (s.traits.push_rank, s.type_url)
            )
            self._subscriptions = {each.type_url: each for each in by_rank}
        if isinstance(message, DeltaRequest):
            return _delta.receive(sub, message, is_first=is_first)
        return _sotw.receive(sub, message, is_first=is_first)

    def offer(self, resources: ResourceSet) -> None:
        """Replace what the client should hold; the latest wins."""
        self._offered = resources

    def next_message(self, now: float) -> AdsMessage | None:
        """Hand out the next message to write, or None.

        Clusters, assignments, listeners, routes, then other types; removals of what was in use
        last. Whoever takes the message must write it: state has advanced.
        """
        self._deadline = inf
        if self._offered is None:
            return None
        turn = Turn(now, self._offered, self._diff, self._waits)
        message = self._next_draft(turn)
        while message is None and self._release(turn):
            message = self._next_draft(turn)  # letting go of one may free what only it used
        return message or self._next_heartbeat(turn)

    def messages_to_send(self, now: float) -> list[AdsMessage]:
        """Everything that may be sent right now, in order."""
        return list(iter(lambda: self.next_message(now), None))

    def next_deadline(self) -> float | None:
        """When to call `next_message` again though nothing has come in; None: no need.

        Says so as of the last `next_message` that returned None.
        """
        return None if self._deadline == inf else self._deadline

    def status(self) -> tuple[TypeStatus, ...]:
        """The state of every type that was ever subscribed, in push order."""
        return tuple(type_status(sub, self._offered) for sub in self._subscriptions.values())

    def may_hold(self, type_url: str, names: Callable[[ResourceSet], frozenset[str]]) -> bool:
        """Whether the client may have one of some resources, as far as anybody can tell.

        Counted is what it has accepted last, whatever is on its way or was refused, and what is
        offered; a client that has brought something along from an earlier stream may have
        anything.

        Args:
            type_url: of the resources.
            names: which resources of a set are meant.
        """
        sub = self._subscriptions.get(type_url)
        if sub is None or sub.interest.is_empty:
            return False
        if sub.is_unsure or sub.claimed:
            return True
        sets = [*sub.may_hold(), *(() if self._offered is None else (self._offered,))]
        return any(sub.interest.covers(name) for one in sets for name in names(one))

    def _active(self) -> Iterator[Subscription]:
        """A type that is not subscribed is never pushed."""
        return (sub for sub in self._subscriptions.values() if not sub.interest.is_empty)

    def _next_draft(self, turn: Turn) -> AdsMessage | None:
        for sub in self._subscriptions.values():
            if sub.has_all(turn.offered):
                continue  # the usual case: this was evaluated already
            if sub.interest.is_empty or self._is_gated(sub, turn.now):
                continue
            draft = _delta.draft(sub, turn) if self.is_delta else _sotw.draft(sub, turn)
            if draft is not None:
                return self._hand_out(sub, draft, turn)
            sub.settle(turn.offered)
        return None

    def _is_gated(self, sub: Subscription, now: float) -> bool:
        """Listeners and routes follow the ACK of clusters, or `warm_timeout` (contracts §8)."""
        if not follows_clusters(sub.type_url):
            return False
        clusters = self._subscriptions.get(CLUSTER)
        if clusters is None or clusters.warming_since is None:
            return False
        opens = clusters.warming_since + self.warm_timeout
        if now >= opens:
            return False
        self._deadline = min(self._deadline, opens)
        return True

    def _hand_out(self, sub: Subscription, draft: Draft, turn: Turn) -> AdsMessage:
        message = self._message(sub, draft.version, draft.resources, removed=draft.removed)
        if sub.type_url == CLUSTER and draft.changed:
            if sub.warming_since is None or not sub.in_flight:
                sub.warming_since = turn.now
            self._repeat_assignments(draft.changed, turn.offered)
        sub.record(message, turn.offered, turn.now)
        return message

    def _repeat_assignments(self, clusters: tuple[Resource, ...], offered: ResourceSet) -> None:
        """A changed cluster stays warming until it is sent an assignment again, even an equal one.

        Clients do not ask for it: in state of the world they repeat an old ACK, in delta they
        say nothing (measured with Envoy 1.40). A name that is subscribed is therefore due.
        """
        endpoints = self._subscriptions.get(ENDPOINT)
        if endpoints is not None:
            endpoints.due |= frozenset(
                name
                for name in assignments(clusters)
                if endpoints.interest.covers(name) and offered.get(ENDPOINT, name) is not None
            )

    def _message(
        self,
        sub: Subscription,
        version: str,
        resources: tuple[Resource, ...],
        *,
        removed: tuple[str, ...] = (),
        heartbeats: tuple[Resource, ...] = (),
    ) -> AdsMessage:
        nonce = self._nonce()
        if self.is_delta:
            return DeltaResponse(
                type_url=sub.type_url,
                version=version,
                resources=resources,
                removed=removed,
                nonce=nonce,
                heartbeats=heartbeats,
            )
        return Response(
            type_url=sub.type_url,
            version=version,
            resources=resources,
            nonce=nonce,
        )

    def _nonce(self) -> str:
        """Unique within the stream, although one fan-out has one nonce for all streams."""
        nonce = self._nonces()
        if nonce == self._last_nonce:
            self._repeated += 1
            return f"{nonce}.{self._repeated}"
        self._last_nonce, self._repeated = nonce, 0
        return nonce

    def _waits(self, sub: Subscription, name: str) -> bool:
        """Must the removal of this name be withheld?"""
        if not self.is_aggregated or self._offered is None:
            return True
        return is_in_use(Reference(sub.type_url, name), self._active(), self._offered)

    def _release(self, turn: Turn) -> bool:
        """Let go of what is no longer in use; tell whether there was any."""
        is_any = False
        for sub in self._active():
            freed = frozenset(name for name in sub.leaving if self._may_go(sub, name, turn))
            if not freed:
                continue
            is_any = True
            sub.leaving = {n: gone for n, gone in sub.leaving.items() if n not in freed}
            if sub.is_whole:
                sub.is_due = True
            else:
                sub.due |= freed
        return is_any

    def _may_go(self, sub: Subscription, name: str, turn: Turn) -> bool:
        gone = sub.leaving[name]
        is_alien = gone.resource is None and not is_entrance(sub.type_url)
        if is_alien or not self.is_aggregated:
            # Nothing tells who uses it: the other types are on other streams, or the client has
            # brought it along from an earlier stream and may not have named its users yet.
            ends = gone.since + self.removal_grace
            if turn.now < ends:
                self._deadline = min(self._deadline, ends)
                return False
        return not self.is_aggregated or not self._waits(sub, name)

    def _next_heartbeat(self, turn: Turn) -> AdsMessage | None:
        """Resources with a time to live are sent again in half of that time ("Resource TTL").

        In delta without a body. A full state must be repeated whole, since absence deletes.
        """
        if not self.supports_ttl:
            return None
        for sub in self._active():
            held = _expiring(sub)
            if not held:
                sub.heartbeat_at = None
                continue
            shortest = min(resource.ttl or 0.0 for resource in held)
            pause = max(shortest / 2, _SHORTEST_PAUSE)
            planned = inf if sub.heartbeat_at is None else sub.heartbeat_at
            sub.heartbeat_at = min(planned, turn.now + pause)
            if turn.now < sub.heartbeat_at:
                self._deadline = min(self._deadline, sub.heartbeat_at)
                continue
            sub.heartbeat_at = turn.now + pause
            version = sub.version_sent
            if self.is_delta:
                message = self._message(sub, version, (), heartbeats=held)
            else:
                again = _sotw.whole(sub, sub.sent) if sub.is_whole else held
                message = self._message(sub, version, again)
            sub.record(message, sub.sent, turn.now, is_heartbeat=True)
            return message
        return None


def _expiring(sub: Subscription) -> tuple[Resource, ...]:
    """What the client would forget; nothing of a refused response, which it may not hold."""
    if not sub.sent.has_expiring:
        return ()
    groups = sub.sent.groups(sub.type_url)
    if (sub.is_whole and sub.unknown) or not any(group.expiring for group in groups):
        return ()
    return tuple(
        resource
        for group in groups
        for resource in group.expiring
        if sub.interest.covers(resource.name) and resource.name not in sub.unknown | sub.due
    )
