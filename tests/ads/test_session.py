"""The session: misuse, nonces, times to live, deadlines, sharing."""

from __future__ import annotations

import pytest
from attrs import evolve

from meshregistry.ads import DeltaRequest, Request, Response, Session
from meshregistry.errors import LocalAdsError, RemoteAdsError
from meshregistry.model import CLUSTER, ENDPOINT, LISTENER, SECRET, ResourcePart, ResourceSet


class TestFaults:
    @pytest.mark.parametrize(
        ("is_delta", "message"),
        [(True, Request(type_url=CLUSTER)), (False, DeltaRequest(type_url=CLUSTER))],
    )
    def test_a_message_of_the_other_variant_is_the_callers_fault(self, stream, is_delta, message):
        """The caller made the session for one variant."""
        session = stream(is_delta=is_delta).session
        with pytest.raises(LocalAdsError, match="do not hand it a"):
            session.receive(message, 0.0)

    def test_a_request_without_a_type_is_the_peers_fault(self, sotw):
        """Only separate services may leave it out, and their caller fills it in."""
        with pytest.raises(RemoteAdsError, match="name the type") as caught:
            sotw.request("")
        assert "INVALID_ARGUMENT" == caught.value.status

    def test_a_second_type_on_a_separate_stream_is_the_peers_fault(self, stream):
        """Such a stream carries one."""
        separate = stream(is_delta=False, is_aggregated=False)
        separate.request(CLUSTER)
        with pytest.raises(RemoteAdsError, match="use ADS"):
            separate.request(LISTENER)


class TestHandingOut:
    def test_the_latest_offer_wins(self, sotw, cluster):
        """One that was replaced before it was handed out is never sent."""
        sotw.request(CLUSTER)
        sotw.session.offer(ResourceSet.of([cluster("a")]))
        sotw.session.offer(ResourceSet.of([cluster("a", 2)]))
        (message,) = sotw.sent()
        assert (cluster("a", 2),) == message.resources
        assert (cluster("a", 2),) == sotw.session.offered.resources(CLUSTER)

    def test_messages_are_handed_out_one_at_a_time(self, sotw, cluster, assignment):
        """What is offered in between changes what is handed out next."""
        sotw.request(CLUSTER)
        sotw.request(ENDPOINT, "a")
        sotw.session.offer(ResourceSet.of([cluster("a"), assignment("a")]))
        assert CLUSTER == sotw.session.next_message(0.0).type_url
        sotw.session.offer(ResourceSet.of([cluster("a"), assignment("a", 2)]))
        assert (assignment("a", 2),) == sotw.session.next_message(0.0).resources
        assert sotw.session.next_message(0.0) is None

    def test_types_are_independent(self, sotw, cluster, assignment):
        """A refusal of one does not touch another."""
        sotw.offer(cluster("a"), assignment("s"))
        (clusters,) = sotw.request(CLUSTER)
        sotw.request(ENDPOINT, "s")
        sotw.answer(clusters, error="no")
        (message,) = sotw.offer(cluster("a"), assignment("s", 2))
        assert ENDPOINT == message.type_url

    def test_equal_content_in_new_objects_is_not_sent(self, sotw, cluster):
        """Sets are compared by content."""
        sotw.offer(cluster("a"))
        (message,) = sotw.request(CLUSTER)
        sotw.answer(message)
        assert [] == sotw.offer(cluster("a"))
        assert sotw.session.is_settled

    def test_sets_are_compared_by_the_callers_function(self, stream, cluster):
        """So that a hub compares two sets once for all streams."""
        seen = []

        def diff(older, newer, type_url):
            seen.append((older, newer, type_url))
            return newer.changes_since(older, type_url)

        sotw = stream(is_delta=False, diff=diff)
        first, second = ResourceSet.of([cluster("a")]), ResourceSet.of([cluster("a", 2)])
        sotw.offer(first)
        sotw.request(CLUSTER)
        sotw.offer(second)
        assert [(first, second, CLUSTER)] == seen

    def test_the_shared_difference_is_handed_out_as_it_is(self, stream, assignment):
        """Streams that want all of it share the tuple; a stream that wants less gets less."""
        parts = [ResourcePart.of([assignment("a"), assignment("b")])]
        offered = ResourceSet((*parts, ResourcePart.of([assignment("c")])))
        parts = [ResourcePart.of([assignment("a", 2), assignment("b", 2)])]
        newer = ResourceSet((*parts, offered.parts[1]))
        changes = newer.changes_since(offered, ENDPOINT)
        for names, is_shared in ((("a", "b"), True), (("a",), False)):
            sotw = stream(is_delta=False, diff=lambda *_: changes)
            sotw.offer(offered)
            sotw.request(ENDPOINT, *names)
            (message,) = sotw.offer(newer)
            assert is_shared is (message.resources is changes.changed)
            assert len(names) == len(message.resources)


class TestExhaustion:
    """The quick look that spares a turn after a write."""

    def test_a_session_that_sent_all_is_exhausted(self, sotw, cluster, assignment):
        """Until another offer or request comes in; an answer is not waited for."""
        sotw.request(CLUSTER)
        sotw.request(ENDPOINT, "a")
        assert not sotw.session.is_exhausted
        sotw.session.offer(ResourceSet.of([cluster("a"), assignment("a")]))
        assert CLUSTER == sotw.session.next_message(0.0).type_url
        assert not sotw.session.is_exhausted
        assert ENDPOINT == sotw.session.next_message(0.0).type_url
        assert sotw.session.is_exhausted
        sotw.session.receive(Request(type_url=ENDPOINT, names=("a", "b")), 0.0)
        assert not sotw.session.is_exhausted

    def test_a_type_without_interest_does_not_count(self, sotw, assignment):
        """An empty list of assignments is no interest."""
        sotw.request(ENDPOINT)
        sotw.offer(assignment("a"))
        assert sotw.session.is_exhausted

    def test_what_waits_for_its_time_is_not_exhausted(self, stream, cluster, listener):
        """Listeners behind clusters, and lives that have to be prolonged."""
        sotw = stream(is_delta=False, supports_ttl=True)
        sotw.request(CLUSTER)
        sotw.request(LISTENER)
        sotw.session.offer(ResourceSet.of([cluster("a"), listener("l")]))
        sotw.session.next_message(0.0)
        assert not sotw.session.is_exhausted
        (message,) = sotw.sent(after=5.0)
        assert LISTENER == message.type_url
        assert sotw.session.is_exhausted
        sotw.offer(cluster("a"), evolve(listener("l", 2), ttl=9.0))
        assert not sotw.session.is_exhausted

    def test_repeating_the_list_of_names_changes_nothing(self, sotw, assignment):
        """Most ACKs do; one that says less, or all that there was before, counts."""
        sotw.offer(assignment("a"), assignment("b"))
        (message,) = sotw.request(ENDPOINT, "a", "b")
        assert [] == sotw.answer(message, "a", "b")
        assert ["Acked"] == [type(event).__name__ for event in sotw.events]
        (message,) = sotw.offer(assignment("a", 2), assignment("b"))
        sotw.answer(message, "a")
        assert ["Acked", "Unsubscribed"] == [type(event).__name__ for event in sotw.events]
        (message,) = sotw.request(ENDPOINT, "a", "b", nonce=message.nonce)
        assert (assignment("b"),) == message.resources


class TestNonces:
    @pytest.mark.parametrize("is_delta", [False, True])
    def test_a_nonce_of_a_fan_out_is_told_apart_within_a_stream(
        self, stream, cluster, assignment, is_delta
    ):
        """The hub may give one nonce to all streams, and twice to one."""
        fan_out = ["7"]
        one = stream(is_delta=is_delta, nonces=lambda: fan_out[0])
        ask = one.change if is_delta else one.request
        ask(CLUSTER, **({"subscribe": ("*",)} if is_delta else {}))
        messages = one.offer(cluster("a"))
        fan_out[0] = "8"
        messages += one.offer(cluster("a", 2))
        messages += one.offer(cluster("a", 3))
        messages += one.offer(cluster("a", 4))
        fan_out[0] = "9"
        messages += one.offer(cluster("a", 5))
        assert ["7", "8", "8.1", "8.2", "9"] == [message.nonce for message in messages]

    def test_a_client_that_never_answers_does_not_make_the_session_grow(self, sotw, cluster):
        """The oldest unanswered responses are forgotten; their answers are stale."""
        sotw.request(CLUSTER)
        messages = [message for n in range(40) for message in sotw.offer(cluster("a", n))]
        assert 40 == len(messages)
        assert 16 == len(sotw.session._subscriptions[CLUSTER].in_flight)
        assert [] == sotw.answer(messages[0])
        sotw.answer(messages[-1])
        assert sotw.session.is_settled


class TestTimeToLive:
    def test_heartbeats_prolong_what_expires(self, stream, assignment):
        """In delta without a body, in half the time to live."""
        delta = stream(is_delta=True, supports_ttl=True)
        a, b = evolve(assignment("a"), ttl=10.0), assignment("b")
        delta.offer(a, b)
        (message,) = delta.change(ENDPOINT, subscribe=("a", "b"))
        delta.answer(message)
        assert 5.0 == delta.session.next_deadline()
        assert [] == delta.sent(after=4.0)
        (beat,) = delta.sent(after=1.0)
        assert ((), (), (a,)) == (beat.resources, beat.removed, beat.heartbeats)
        assert message.version == beat.version
        assert 10.0 == delta.session.next_deadline()
        assert not delta.session.is_settled
        delta.answer(beat)
        assert delta.session.is_settled

    def test_state_of_the_world_repeats_the_resources(self, stream, assignment):
        """Only those that expire, of a type by name."""
        sotw = stream(is_delta=False, supports_ttl=True)
        a, b = evolve(assignment("a"), ttl=10.0), assignment("b")
        sotw.offer(a, b)
        (message,) = sotw.request(ENDPOINT, "a", "b")
        sotw.answer(message, "a", "b")
        (beat,) = sotw.sent(after=5.0)
        assert (a,) == beat.resources

    def test_a_full_state_is_repeated_whole(self, stream, cluster):
        """Absence would delete the others."""
        sotw = stream(is_delta=False, supports_ttl=True)
        a, b = evolve(cluster("a"), ttl=10.0), cluster("b")
        sotw.offer(a, b)
        (message,) = sotw.request(CLUSTER)
        sotw.answer(message)
        (beat,) = sotw.sent(after=5.0)
        assert message.resources is beat.resources
        assert message.version == beat.version

    def test_there_are_none_without_the_client_feature(self, stream, assignment):
        """The client would not know what to do with them."""
        delta = stream(is_delta=True)
        delta.offer(evolve(assignment("a"), ttl=10.0))
        delta.change(ENDPOINT, subscribe=("a",))
        assert [] == delta.sent(after=60.0)
        assert delta.session.next_deadline() is None

    def test_they_end_with_the_time_to_live(self, stream, assignment):
        """A resource that is sent without one stays."""
        delta = stream(is_delta=True, supports_ttl=True)
        delta.offer(evolve(assignment("a"), ttl=10.0))
        delta.change(ENDPOINT, subscribe=("a",))
        assert 1 == len(delta.offer(assignment("a")))
        assert delta.session.next_deadline() is None

    def test_a_shorter_life_is_prolonged_sooner(self, stream, assignment):
        """The shortest decides for the type."""
        delta = stream(is_delta=True, supports_ttl=True)
        delta.offer(evolve(assignment("a"), ttl=10.0))
        delta.change(ENDPOINT, subscribe=("a", "b"))
        delta.offer(evolve(assignment("a"), ttl=10.0), evolve(assignment("b"), ttl=4.0))
        assert 2.0 == delta.session.next_deadline()

    @pytest.mark.parametrize("type_url", [SECRET, CLUSTER])
    def test_what_was_refused_is_not_prolonged(self, stream, cluster, assignment, type_url):
        """The client may not hold it."""
        sotw = stream(is_delta=False, supports_ttl=True)
        sotw.offer(evolve(cluster("a"), type_url=type_url, ttl=10.0))
        (message,) = sotw.request(type_url, "a")
        sotw.answer(message, "a", error="no")
        assert [] == sotw.sent(after=60.0)

    def test_a_time_to_live_of_zero_does_not_flood(self, stream, assignment):
        """There is a shortest pause."""
        delta = stream(is_delta=True, supports_ttl=True)
        delta.offer(evolve(assignment("a"), ttl=0.0))
        delta.change(ENDPOINT, subscribe=("a",))
        assert 1 == len(delta.sent(after=1.0))
        assert 1.1 == delta.session.next_deadline()


def test_a_session_with_its_defaults_needs_only_nonces_and_a_variant():
    """As an embedder would make it."""
    session = Session(nonces=lambda: "1", is_delta=False)
    session.receive(Request(type_url=CLUSTER), 0.0)
    session.offer(ResourceSet())
    assert [
        Response(
            type_url=CLUSTER,
            version=ResourceSet().version(CLUSTER),
            resources=(),
            nonce="1",
        )
    ] == session.messages_to_send(0.0)


class TestMayHold:
    @staticmethod
    def holds(stream, one):
        """Whether the client may have this assignment."""
        return stream.session.may_hold(
            ENDPOINT,
            lambda some: frozenset({one.name} if one in some.resources(ENDPOINT) else ()),
        )

    def test_what_was_accepted_is_held_until_the_next_is_accepted(self, sotw, assignment):
        """An offer, a message on its way and a refusal change nothing of that."""
        first, second = assignment("a", 1), assignment("a", 2)
        assert not self.holds(sotw, first)
        sotw.offer(first)
        assert not self.holds(sotw, first), "it has not asked for it"
        (message,) = sotw.request(ENDPOINT, "a")
        assert self.holds(sotw, first), "it is on its way"
        sotw.answer(message, "a")
        (message,) = sotw.offer(second)
        assert self.holds(sotw, first)
        assert self.holds(sotw, second)
        sotw.answer(message, "a", error="no")
        assert self.holds(sotw, first)
        (message,) = sotw.offer(assignment("a", 3))
        sotw.answer(message, "a")
        assert not self.holds(sotw, first)
        assert not self.holds(sotw, second)

    def test_what_is_no_longer_wanted_is_not_held(self, sotw, assignment):
        """The client drops it."""
        sotw.offer(assignment("a"), assignment("b"))
        (message,) = sotw.request(ENDPOINT, "a", "b")
        sotw.answer(message, "a", "b")
        assert self.holds(sotw, assignment("a"))
        sotw.request(ENDPOINT, "b", nonce=message.nonce, version=message.version)
        assert not self.holds(sotw, assignment("a"))

    def test_a_client_that_comes_back_may_hold_anything(self, sotw, assignment):
        """Until it has accepted what this session sends."""
        alien = assignment("a", 7)
        sotw.session.offer(ResourceSet.of([assignment("a")]))
        (message,) = sotw.request(ENDPOINT, "a", version="of another server")
        assert self.holds(sotw, alien)
        sotw.answer(message, "a")
        assert not self.holds(sotw, alien)
