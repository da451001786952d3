"""Laws of a session: random peers, random offers, one end."""

from __future__ import annotations

from itertools import count

from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st

from meshregistry.ads import AdsMessage, Response, Session
from meshregistry.model import (
    CLUSTER,
    ENDPOINT,
    LISTENER,
    ROUTE,
    Resource,
    ResourcePart,
    ResourceSet,
)
from meshregistry.testing._peers import AdsPeer

BAD = 3
EVERYTHING = ("*",)


def resource(type_url: str, name: str, version: int, *references: tuple[str, str]) -> Resource:
    """A resource whose bytes say all that it is."""
    text = f"{name} {version} {sorted(references)}"
    return Resource(type_url, name, text.encode(), references=references)


def is_bad(item: Resource) -> bool:
    """Does a peer that refuses content refuse this?"""
    return f" {BAD} " in item.bytes.decode()


@st.composite
def resource_sets(draw: st.DrawFn) -> ResourceSet:
    """A consistent set of two parts: every reference is in the set."""
    versions = st.integers(1, BAD)
    clusters = draw(st.sets(st.sampled_from(["c1", "c2", "c3"])))
    routes = draw(st.sets(st.sampled_from(["r1", "r2"])))
    listeners = draw(st.sets(st.sampled_from(["l1", "l2"])))
    some_clusters = st.sets(st.sampled_from(sorted(clusters))) if clusters else st.just(set())
    some_routes = st.sets(st.sampled_from(sorted(routes))) if routes else st.just(set())
    first = [resource(CLUSTER, c, draw(versions), (ENDPOINT, c)) for c in sorted(clusters)]
    first += [resource(ENDPOINT, c, draw(versions)) for c in sorted(clusters)]
    second = [
        resource(ROUTE, r, draw(versions), *((CLUSTER, c) for c in draw(some_clusters)))
        for r in sorted(routes)
    ]
    second += [
        resource(
            LISTENER,
            name,
            draw(versions),
            *((ROUTE, r) for r in draw(some_routes)),
            *((CLUSTER, c) for c in draw(some_clusters)),
        )
        for name in sorted(listeners)
    ]
    return ResourceSet((ResourcePart.of(first), ResourcePart.of(second)))


@define(frozen=True)
class Offer:
    """A set, whose resources of some types keep the content that they had where they can."""

    resources: ResourceSet
    kept: frozenset[str]

    def after(self, older: ResourceSet) -> ResourceSet:
        """The set to offer after an older one; it stays consistent."""
        names = {(item.type_url, item.name) for item in self.resources}

        def kept(item: Resource) -> Resource:
            before = older.get(item.type_url, item.name)
            if before is None or item.type_url not in self.kept:
                return item
            return before if names >= {*before.references} else item

        return ResourceSet(
            tuple(
                ResourcePart.of(
                    kept(item) for group in part.groups.values() for item in group.listed
                )
                for part in self.resources.parts
            )
        )


@define(frozen=True)
class Want:
    """Names to subscribe to, or no longer."""

    names: frozenset[str]
    is_more: bool


NAMES = st.frozensets(st.sampled_from(["c1", "c2", "r1", "l1", "nowhere", "*"]), min_size=1)
OFFERS = st.builds(
    Offer, resource_sets(), st.frozensets(st.sampled_from([CLUSTER, ENDPOINT, LISTENER, ROUTE]))
)
Step = Offer | Want | str | float
STEPS = st.one_of(
    OFFERS,
    st.sampled_from(["pull", "process", "process", "settle", "reconnect", "resubscribe"]),
    st.sampled_from([0.5, 6.0, 11.0]),
)


@define
class Play:
    """A peer, the session it talks to, the time, and what has to hold after each step."""

    peer: AdsPeer
    is_aggregated: bool = True
    checks_use: bool = True
    now: float = 0.0
    offers: list[ResourceSet] = field(factory=list)
    nonces: count[int] = field(factory=count)

    def connect(self) -> None:
        """A new stream, on a new session with the current offer."""
        session = Session(
            nonces=lambda: str(next(self.nonces) // 3),
            is_delta=self.peer.is_delta,
            is_aggregated=self.is_aggregated,
        )
        self.peer.connect(session, self.now)
        if self.offers:
            session.offer(self.offers[-1])

    def step(self, step: Step) -> None:
        """Do one thing."""
        if isinstance(step, Offer):
            self.offers.append(step.after(self.offers[-1] if self.offers else ResourceSet()))
            self.peer.session.offer(self.offers[-1])
        elif isinstance(step, Want):
            change = self.peer.subscribe if step.is_more else self.peer.unsubscribe
            change(next(iter(self.peer.names)), sorted(step.names), self.now)
        elif isinstance(step, float):
            self.now += step
        elif step == "pull":
            self.peer.pull(self.now)
        elif step == "process":
            self.process()
        elif step == "settle":
            self.settle()
        elif step == "reconnect":
            self.connect()
        else:
            type_url, names = max(self.peer.names.items())
            self.peer.subscribe(type_url, sorted(names), self.now)

    def process(self) -> bool:
        """The peer takes one message; traffic must find what it is sent to."""
        if self.peer.process(self.now) is None:
            return False
        if self.checks_use:
            self.check_use()
        return True

    def check_use(self) -> None:
        """No route or listener in use points to a cluster that the peer lacks."""
        clusters = self.peer.held.get(CLUSTER, {})
        for type_url in (LISTENER, ROUTE):
            for item in self.peer.held.get(type_url, {}).values():
                for needed in item.references:
                    assert needed.type_url != CLUSTER or needed.name in clusters, item
        for name, cluster in clusters.items():
            held = self.peer.held.get(ENDPOINT, {})
            assert name in self.peer.warming or all(n.name in held for n in cluster.references)

    def settle(self) -> None:
        """Let messages and time pass until nothing is left to do; it must end."""
        for _ in range(200):
            if self.peer.pull(self.now) or self.peer.inbox:
                while self.process():
                    pass
            elif (deadline := self.peer.session.next_deadline()) is not None:
                assert deadline > self.now
                self.now = deadline
            else:
                return
        raise AssertionError(self.peer.received[-4:])

    def check_stream(self) -> None:
        """No nonce comes twice, no type goes back to an older offer, "exhausted" is true."""
        nonces = [message.nonce for message in self.peer.received]
        assert len(nonces) == len(set(nonces))
        latest: dict[str, int] = {}
        for message in self.peer.received:
            latest[message.type_url] = self.position(message, latest.get(message.type_url, 0))
        session = self.peer.session
        if session.is_exhausted:
            assert session.next_message(self.now) is None
            assert session.next_deadline() is None

    def position(self, message: AdsMessage, start: int) -> int:
        """The first offer, from `start` on, that this message may come from."""
        version = message.version.partition("~")[0]
        for index in range(start, len(self.offers)):
            if self.offers[index].version(message.type_url) == version:
                return index
        raise AssertionError(message)

    def expected(self, type_url: str) -> dict[str, Resource]:
        """What the last offer has of what the peer subscribes to."""
        names = self.peer.names.get(type_url, set())
        return {
            item.name: item
            for item in (self.offers[-1].resources(type_url) if self.offers else ())
            if "*" in names or item.name in names
        }


def run(play: Play, steps: list[Step]) -> None:
    """Play a script to its end."""
    play.connect()
    for step in steps:
        play.step(step)
        play.check_stream()
    play.settle()
    play.check_stream()


@settings(max_examples=150)
@given(st.booleans(), st.booleans(), st.lists(STEPS, max_size=25))
def test_a_client_like_envoy_converges_and_never_loses_what_it_uses(
    is_delta: bool, withholds: bool, steps: list[Step]
) -> None:
    """Whatever its pace, it ends at the last offer, and no route ever lacks its cluster."""
    if not is_delta:
        # State of the world does not tell a server which clusters a client brought along from
        # an earlier stream, so nothing can be kept for its old routes.
        steps = [step for step in steps if step != "reconnect"]
    play = Play(AdsPeer(is_delta=is_delta, withholds_acks=withholds))
    run(play, steps)
    for type_url in (CLUSTER, ENDPOINT, LISTENER, ROUTE):
        assert play.expected(type_url) == play.peer.held.get(type_url, {})
    if "reconnect" in steps:
        # A client that lost its stream between a cluster and its assignment does not say that
        # it waits: it names both among what it holds, and neither is sent again.
        play.peer.give_up_warming(play.now)
        play.settle()
    assert not play.peer.warming
    assert not play.offers or play.peer.session.is_settled


@settings(max_examples=100)
@given(st.lists(STEPS, max_size=25))
def test_a_state_of_the_world_client_that_reconnects_converges(
    steps: list[Step],
) -> None:
    """Whatever it held before, after the last stream it holds the last offer."""
    play = Play(AdsPeer(), checks_use=False)
    run(play, steps)
    for type_url in (CLUSTER, ENDPOINT, LISTENER, ROUTE):
        assert play.expected(type_url) == play.peer.held.get(type_url, {})


@settings(max_examples=150)
@given(st.booleans(), st.lists(STEPS, max_size=25))
def test_a_client_that_refuses_some_content_converges_on_the_rest(
    is_delta: bool, steps: list[Step]
) -> None:
    """A type without refused content ends at the last offer; nobody sends for ever."""
    play = Play(AdsPeer(is_delta=is_delta, refuses=is_bad), checks_use=False)
    run(play, steps)
    if not play.offers:
        return
    refused = {item.type_url for item in play.offers[-1] if is_bad(item)}
    for type_url in {CLUSTER, ENDPOINT, LISTENER, ROUTE} - refused:
        expected, held = play.expected(type_url), play.peer.held.get(type_url, {})
        assert expected.items() <= held.items()
        if not refused:
            assert expected == held


@settings(max_examples=150)
@given(
    st.booleans(),
    st.sampled_from([CLUSTER, LISTENER, ENDPOINT, ROUTE]),
    NAMES,
    st.lists(st.one_of(STEPS, st.builds(Want, NAMES, st.booleans())), max_size=25),
)
def test_a_client_of_a_separate_stream_converges(
    is_delta: bool,
    type_url: str,
    names: frozenset[str],
    steps: list[Step],
) -> None:
    """One type alone, by any mixture of names and wildcard, ends at the last offer."""
    peer = AdsPeer(is_delta=is_delta, types={type_url: names}, follows=False)
    play = Play(peer, is_aggregated=False, checks_use=False)
    run(play, steps)
    if is_delta or type_url in (CLUSTER, LISTENER):
        assert play.expected(type_url) == peer.held.get(type_url, {})
    else:
        # Absence means nothing for these types: what is gone may stay.
        assert play.expected(type_url).items() <= peer.held.get(type_url, {}).items()
    assert not play.offers or peer.session.is_settled


@settings(max_examples=60)
@given(resource_sets(), st.booleans())
def test_equal_offers_send_nothing(resources: ResourceSet, is_delta: bool) -> None:
    """An offer with the content that the client holds is not worth a message."""
    play = Play(AdsPeer(is_delta=is_delta))
    offer = Offer(resources, frozenset())
    run(play, [offer, "settle"])
    before = len(play.peer.received)
    play.step(offer)
    play.settle()
    assert before == len(play.peer.received)
    assert all(isinstance(m, Response) is not is_delta for m in play.peer.received)
