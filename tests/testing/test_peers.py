"""AdsPeer: a client that a session cannot tell from Envoy."""

from __future__ import annotations

from itertools import count

import pytest

from meshregistry.ads import Nacked, Session, Unsubscribed
from meshregistry.model import CLUSTER, ENDPOINT, LISTENER, ROUTE, Resource, ResourceSet
from meshregistry.testing._peers import AdsPeer


def session_for(peer, *resources):
    """Connect a peer to a new session that offers these."""
    numbers = count()
    session = Session(nonces=lambda: str(next(numbers)), is_delta=peer.is_delta)
    peer.connect(session)
    session.offer(ResourceSet.of(resources))
    return session


def resource(type_url, name, version=1, references=()):
    """A resource with some content."""
    return Resource(type_url, name, str(version).encode(), references=references)


CHAIN = (
    resource(CLUSTER, "c", references=((ENDPOINT, "c"),)),
    resource(ENDPOINT, "c"),
    resource(LISTENER, "l", references=((ROUTE, "r"),)),
    resource(ROUTE, "r", references=((CLUSTER, "c"),)),
)


@pytest.mark.parametrize("is_delta", [False, True])
@pytest.mark.parametrize("withholds_acks", [False, True])
def test_it_follows_clusters_and_listeners_to_what_they_need(is_delta, withholds_acks):
    """Four types, as Envoy subscribes to them; and what is gone is forgotten."""
    peer = AdsPeer(is_delta=is_delta, withholds_acks=withholds_acks)
    session = session_for(peer, *CHAIN)
    assert peer.exchange() >= 4
    assert {r.name for r in CHAIN} == {name for held in peer.held.values() for name in held}
    assert session.is_settled
    session.offer(ResourceSet())
    peer.exchange()
    assert not any(peer.held.values())


def test_it_keeps_the_ack_of_clusters_back_while_they_warm():
    """Until an assignment comes, or it gives up."""
    peer = AdsPeer(withholds_acks=True)
    session = session_for(peer, CHAIN[0])
    peer.exchange()
    assert {"c"} == peer.warming
    assert not session.is_settled
    peer.give_up_warming()
    peer.exchange()
    assert session.is_settled


@pytest.mark.parametrize("is_delta", [False, True])
def test_it_refuses_what_it_is_told_to(is_delta):
    """Clusters are applied in part, assignments not at all."""
    peer = AdsPeer(
        is_delta=is_delta,
        types={CLUSTER: ("*",), ENDPOINT: ("a", "b")},
        follows=False,
        refuses=lambda item: item.name == "b",
    )
    session_for(peer, *(resource(url, name) for url in (CLUSTER, ENDPOINT) for name in "ab"))
    peer.exchange()
    assert ["a"] == list(peer.held[CLUSTER])
    assert not peer.held.get(ENDPOINT)
    assert ["refused: b", "refused: b"] == peer.errors
    assert 2 == sum(isinstance(event, Nacked) for event in peer.events)


@pytest.mark.parametrize("is_delta", [False, True])
def test_it_changes_its_subscription_and_forgets(is_delta):
    """Names and the star, by hand."""
    peer = AdsPeer(is_delta=is_delta, types={CLUSTER: ("a",)}, follows=False)
    session_for(peer, *(resource(CLUSTER, name) for name in "abc"))
    peer.exchange()
    peer.subscribe(CLUSTER, ["b"])
    peer.exchange()
    assert ["a", "b"] == sorted(peer.held[CLUSTER])
    peer.unsubscribe(CLUSTER, ["a"])
    assert ["b"] == list(peer.held[CLUSTER])
    assert Unsubscribed(CLUSTER, ("a",)) == peer.events[-1]
    peer.subscribe(CLUSTER, ["*"])
    peer.exchange()
    assert ["a", "b", "c"] == sorted(peer.held[CLUSTER])


@pytest.mark.parametrize("is_delta", [False, True])
def test_it_takes_what_it_holds_to_the_next_stream(is_delta):
    """So a session that has the same for it says little or nothing."""
    peer = AdsPeer(is_delta=is_delta, types={CLUSTER: ("*",)}, follows=False)
    session_for(peer, resource(CLUSTER, "a"))
    peer.exchange()
    session_for(peer, resource(CLUSTER, "a"))
    peer.exchange()
    assert not any(message.resources for message in peer.received)


def test_an_exchange_that_does_not_end_is_an_error():
    """A bound, so that a loop of ACKs fails a test."""
    peer = AdsPeer()
    session_for(peer, *CHAIN)
    with pytest.raises(AssertionError, match="no end"):
        peer.exchange(limit=1)


def test_a_peer_without_a_session_says_so():
    """Connect comes first."""
    with pytest.raises(AssertionError, match="call connect first"):
        AdsPeer().pull()
