"""AdsPeer: a scripted xDS client in memory, that behaves like Envoy where that matters."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from meshregistry.ads import DeltaRequest, DeltaResponse, Request, Response, Session
from meshregistry.model import CLUSTER, ENDPOINT, LISTENER, ROUTE, Resource, type_traits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from meshregistry.ads import AdsEvent, AdsMessage

WILDCARD = "*"
ENVOY: Mapping[str, tuple[str, ...]] = {CLUSTER: (WILDCARD,), LISTENER: (WILDCARD,)}
"""What Envoy subscribes to first; the names of assignments and routes follow from these."""

_FOLLOWED = {ENDPOINT: CLUSTER, ROUTE: LISTENER}


def _accept_all(resource: Resource) -> bool:  # noqa: ARG001 - the signature of `refuses`
    return False


class AdsPeer:
    """A client of one session after another: connect, let messages pass, look at `held`.

    Messages wait in `inbox` until `process` is called, so a peer is as slow as its script.
    Requests reach the session at once.

    Like Envoy it takes assignments by the names that its clusters refer to and routes by those
    of its listeners, applies clusters and listeners in part before it refuses a response, and
    forgets what it no longer subscribes to.

    Args:
        is_delta: speak the incremental variant.
        types: first subscriptions, by type; of full-state types ``*`` alone is sent as a legacy
            wildcard.
        follows: subscribe to assignments and routes as clusters and listeners refer to them.
        refuses: resources that this client does not accept; it NACKs their responses.
        withholds_acks: keep the ACK of clusters until each new or changed one has been sent an
            assignment (warming).

    Attributes:
        held: by type and name, what the client uses.
        warming: clusters that wait for an assignment.
        inbox: messages that have not been processed.
        received: all messages of the current stream, processed or not.
        events: all that the session reported.
        errors: texts of the NACKs that were sent.
    """

    def __init__(
        self,
        *,
        is_delta: bool = False,
        types: Mapping[str, Iterable[str]] = ENVOY,
        follows: bool = True,
        refuses: Callable[[Resource], bool] = _accept_all,
        withholds_acks: bool = False,
    ) -> None:
        self.is_delta = is_delta
        self.follows = follows
        self.refuses = refuses
        self.withholds_acks = withholds_acks
        self.names: dict[str, set[str]] = {url: set(names) for url, names in types.items()}
        self.held: dict[str, dict[str, Resource]] = {}
        self.warming: set[str] = set()
        self.inbox: deque[AdsMessage] = deque()
        self.received: list[AdsMessage] = []
        self.events: list[AdsEvent] = []
        self.errors: list[str] = []
        self._session: Session | None = None
        self._versions: dict[str, str] = {}
        self._nonces: dict[str, str] = {}
        self._named: set[str] = set()
        self._withheld: list[tuple[str, str]] = []

    @property
    def session(self) -> Session:
        """The session of the current stream."""
        assert self._session is not None, "the peer is not connected: call connect first"
        return self._session

    def connect(self, session: Session, now: float = 0.0) -> None:
        """Begin a new stream: what was on its way is lost, what is held is kept."""
        self._session = session
        self.inbox.clear()
        self.received.clear()
        self._nonces.clear()
        self._named.clear()
        self._withheld.clear()
        wanted = (type_url for type_url, names in self.names.items() if names)
        for type_url in sorted(wanted, key=lambda url: type_traits(url).push_rank):
            if self.is_delta:
                held = self.held.get(type_url, {})
                self._send(
                    DeltaRequest(
                        type_url=type_url,
                        subscribe=self._listed(type_url),
                        initial_versions={name: held[name].digest for name in sorted(held)},
                    ),
                    now,
                )
            else:
                self._send(self._request(type_url), now)

    def subscribe(self, type_url: str, names: Iterable[str], now: float = 0.0) -> None:
        """Want these names too (``*``: everything)."""
        listed = tuple(names)
        self.names.setdefault(type_url, set()).update(listed)
        if self.is_delta:
            self._send(DeltaRequest(type_url=type_url, subscribe=listed), now)
        else:
            self._send(self._request(type_url), now)

    def unsubscribe(self, type_url: str, names: Iterable[str], now: float = 0.0) -> None:
        """Want these names no longer, and forget what only they covered."""
        listed = tuple(names)
        self.names.setdefault(type_url, set()).difference_update(listed)
        self._forget(type_url)
        if self.is_delta:
            self._send(DeltaRequest(type_url=type_url, unsubscribe=listed), now)
        else:
            self._send(self._request(type_url), now)

    def pull(self, now: float = 0.0) -> int:
        """Let the network bring everything that the session would send; count it."""
        messages = self.session.messages_to_send(now)
        self.inbox.extend(messages)
        self.received.extend(messages)
        return len(messages)

    def process(self, now: float = 0.0) -> AdsMessage | None:
        """Apply and answer the oldest message of the inbox, if there is one."""
        if not self.inbox:
            return None
        message = self.inbox.popleft()
        self._nonces[message.type_url] = message.nonce
        refused = sorted(r.name for r in message.resources if self.refuses(r))
        if isinstance(message, DeltaResponse):
            self._apply_delta(message, is_refused=bool(refused))
        else:
            self._apply_whole(message, is_refused=bool(refused))
        error = f"refused: {', '.join(refused)}" if refused else None
        if error is None:
            self._versions[message.type_url] = message.version
        else:
            self.errors.append(error)
        if self.withholds_acks and message.type_url == CLUSTER and error is None and self.warming:
            self._withheld.append((message.type_url, message.nonce))
        else:
            self._answer(message.type_url, message.nonce, error, now)
        self._follow(message.type_url, now)
        self._end_warming(now)
        return message

    def exchange(self, now: float = 0.0, *, limit: int = 200) -> int:
        """Pass messages until both sides are quiet; count them.

        Raises:
            AssertionError: if they are not quiet after `limit` messages.
        """
        count = 0
        while self.pull(now) or self.inbox:
            while self.process(now) is not None:
                count += 1
                assert count <= limit, f"{count} messages and no end: {self.received[-4:]}"
        return count

    def give_up_warming(self, now: float = 0.0) -> None:
        """Wait for assignments no longer (Envoy's initial fetch timeout)."""
        self.warming.clear()
        self._end_warming(now)

    def _send(self, request: Request | DeltaRequest, now: float) -> None:
        self.events += self.session.receive(request, now)

    def _request(
        self, type_url: str, nonce: str | None = None, error: str | None = None
    ) -> Request:
        return Request(
            type_url=type_url,
            names=self._listed(type_url),
            version=self._versions.get(type_url, ""),
            nonce=self._nonces.get(type_url, "") if nonce is None else nonce,
            error=error,
        )

    def _listed(self, type_url: str) -> tuple[str, ...]:
        """What to name; an empty list means everything only to a type that was never named."""
        names = self.names.get(type_url, set())
        is_legacy = names == {WILDCARD} and type_traits(type_url).is_full_state
        if is_legacy and type_url not in self._named:
            return ()
        if names:
            self._named.add(type_url)
        return tuple(sorted(names))

    def _answer(self, type_url: str, nonce: str, error: str | None, now: float) -> None:
        if self.is_delta:
            self._send(DeltaRequest(type_url=type_url, nonce=nonce, error=error), now)
        else:
            self._send(self._request(type_url, nonce, error), now)

    def _apply_whole(self, message: Response, *, is_refused: bool) -> None:
        is_full_state = type_traits(message.type_url).is_full_state
        if is_refused and not is_full_state:
            return
        held = self.held.setdefault(message.type_url, {})
        # A listener or cluster that is refused stays in the version that the client had.
        listed = {resource.name for resource in message.resources}
        if is_full_state:
            for name in held.keys() - listed:
                del held[name]
        self._take(message.type_url, message.resources)

    def _apply_delta(self, message: DeltaResponse, *, is_refused: bool) -> None:
        if is_refused and not type_traits(message.type_url).is_full_state:
            return
        held = self.held.setdefault(message.type_url, {})
        for name in message.removed:
            held.pop(name, None)
        self._take(message.type_url, message.resources)

    def _take(self, type_url: str, resources: Iterable[Resource]) -> None:
        held = self.held.setdefault(type_url, {})
        names = self.names.get(type_url, set())
        for resource in resources:
            if self.refuses(resource) or not (WILDCARD in names or resource.name in names):
                continue
            needs = {needed.name for needed in resource.references if needed.type_url == ENDPOINT}
            # Envoy ignores an equal cluster; one that differs is warmed anew.
            if type_url == CLUSTER and held.get(resource.name) != resource and needs:
                self.warming.add(resource.name)
            held[resource.name] = resource
        if type_url == CLUSTER:
            self.warming &= held.keys()
        if type_url == ENDPOINT:
            sent = {resource.name for resource in resources if resource.name in held}
            clusters = self.held.get(CLUSTER, {})
            self.warming = {
                name
                for name in self.warming
                if not {needed.name for needed in clusters[name].references} & sent
            }

    def _follow(self, changed: str, now: float) -> None:
        if not self.follows:
            return
        for type_url, leader in _FOLLOWED.items():
            if leader != changed:
                continue
            wanted = {
                needed.name
                for resource in self.held.get(leader, {}).values()
                for needed in resource.references
                if needed.type_url == type_url
            }
            had = self.names.get(type_url, set())
            if wanted == had:
                continue
            self.names[type_url] = wanted
            self._forget(type_url)
            if self.is_delta:
                gained, lost = tuple(sorted(wanted - had)), tuple(sorted(had - wanted))
                self._send(DeltaRequest(type_url=type_url, subscribe=gained, unsubscribe=lost), now)
            else:
                self._send(self._request(type_url), now)

    def _forget(self, type_url: str) -> None:
        names = self.names[type_url]
        if WILDCARD not in names:
            held = self.held.get(type_url, {})
            self.held[type_url] = {name: held[name] for name in held if name in names}

    def _end_warming(self, now: float) -> None:
        if not self.warming:
            withheld, self._withheld = self._withheld, []
            for type_url, nonce in withheld:
                self._answer(type_url, nonce, None, now)
