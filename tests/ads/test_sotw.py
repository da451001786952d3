"""State of the world: what is answered, with what, and what is not."""

from __future__ import annotations

import pytest

from meshregistry.ads import Acked, Nacked, StaleNonce, Subscribed, TypeState, Unsubscribed
from meshregistry.model import (
    CLUSTER,
    ENDPOINT,
    EXTENSION_CONFIG,
    LISTENER,
    ROUTE,
    SCOPED_ROUTE,
    SECRET,
    VIRTUAL_HOST,
    Resource,
    ResourcePart,
    ResourceSet,
)

CUSTOM = "type.googleapis.com/acme.Thing"


class TestSubscribing:
    @pytest.mark.parametrize("type_url", [CLUSTER, LISTENER, SCOPED_ROUTE])
    @pytest.mark.parametrize("names", [(), ("*",)])
    def test_a_wildcard_is_answered_with_the_sets_own_tuple(self, sotw, type_url, names):
        """Encoders recognise it by identity, for all streams."""
        offered = ResourceSet.of([Resource(type_url, name, b"") for name in "ba"])
        sotw.offer(offered)
        (message,) = sotw.request(type_url, *names)
        assert message.resources is offered.resources(type_url)
        assert offered.version(type_url) == message.version
        assert [Subscribed(type_url, ("*",))] == sotw.events

    def test_a_wildcard_without_resources_is_answered_with_nothing(self, sotw):
        """A client cannot finish to initialise before it knows that there are none."""
        sotw.offer()
        (message,) = sotw.request(CLUSTER)
        assert () == message.resources

    @pytest.mark.parametrize(
        "type_url", [ENDPOINT, ROUTE, SECRET, VIRTUAL_HOST, EXTENSION_CONFIG, CUSTOM]
    )
    def test_an_empty_list_is_no_interest_in_a_type_by_name(self, sotw, type_url):
        """Only full-state types have a legacy wildcard; a star is honoured for all."""
        resource = Resource(type_url, "a", b"")
        sotw.offer(resource)
        assert [] == sotw.request(type_url)
        (message,) = sotw.request(type_url, "*")
        assert (resource,) == message.resources

    @pytest.mark.parametrize("type_url", [ENDPOINT, CUSTOM])
    def test_types_by_name_are_answered_by_name(self, sotw, type_url):
        """Unknown types too: resources are opaque."""
        sotw.offer(*(Resource(type_url, name, b"") for name in "abc"))
        (message,) = sotw.request(type_url, "c", "a")
        assert ["a", "c"] == [resource.name for resource in message.resources]

    def test_names_of_several_parts_come_in_the_order_of_the_set(self, sotw, assignment):
        """A resource's place is its part's, then its name's."""
        parts = (ResourcePart.of([assignment("b"), assignment("z")]),)
        parts += (ResourcePart.of([assignment("a")]),)
        sotw.offer(ResourceSet(parts))
        (message,) = sotw.request(ENDPOINT, "a", "b")
        assert ["b", "a"] == [resource.name for resource in message.resources]

    def test_all_names_share_the_sets_tuple(self, sotw, assignment):
        """Streams that name everything get what the wildcard would get."""
        offered = ResourceSet.of([assignment("a"), assignment("b")])
        sotw.offer(offered)
        (message,) = sotw.request(ENDPOINT, "b", "a", "missing")
        assert message.resources is offered.resources(ENDPOINT)

    def test_names_that_do_not_exist_are_passed_over_and_sent_later(self, sotw, assignment):
        """State of the world has no word for it; the client waits."""
        sotw.offer(assignment("a"))
        assert [] == sotw.request(ENDPOINT, "b")
        assert sotw.session.is_settled
        (message,) = sotw.offer(assignment("a"), assignment("b"))
        assert (assignment("b"),) == message.resources

    def test_a_named_full_state_type_gets_all_that_it_names(self, sotw, cluster):
        """Absence deletes, so each response is whole; a missing name is thereby told."""
        sotw.offer(cluster("a"), cluster("b"), cluster("c"))
        (message,) = sotw.request(CLUSTER, "a", "x")
        assert (cluster("a"),) == message.resources
        (message,) = sotw.answer(message, "a", "b")
        assert (cluster("a"), cluster("b")) == message.resources
        assert Subscribed(CLUSTER, ("b",)) in sotw.events

    def test_a_star_beside_names_is_everything(self, sotw, cluster):
        """The names add nothing until the star goes."""
        sotw.offer(cluster("a"), cluster("b"))
        (message,) = sotw.request(CLUSTER, "*", "a")
        assert 2 == len(message.resources)
        assert [] == sotw.answer(message, "a")
        assert [Acked(CLUSTER, message.version, message.nonce), Unsubscribed(CLUSTER, ("*",))] == (
            sotw.events
        )
        assert [] == sotw.offer(cluster("a"), cluster("b", 2))

    def test_a_widened_interest_is_answered_whole(self, sotw, cluster):
        """From a name to everything."""
        sotw.offer(cluster("a"), cluster("b"))
        (message,) = sotw.request(CLUSTER, "a")
        (message,) = sotw.answer(message, "*")
        assert (cluster("a"), cluster("b")) == message.resources

    def test_an_empty_list_after_names_ends_the_subscription(self, sotw, cluster):
        """It is not the legacy wildcard again, and nothing is pushed any more."""
        sotw.offer(cluster("a"))
        (message,) = sotw.request(CLUSTER, "a")
        assert [] == sotw.answer(message)
        assert [] == sotw.offer(cluster("a", 2))
        assert sotw.session.is_settled

    def test_a_type_never_subscribed_is_never_pushed(self, sotw, cluster, assignment):
        """Whatever the offer holds."""
        sotw.request(CLUSTER)
        (message,) = sotw.offer(cluster("a"), assignment("a"))
        assert CLUSTER == message.type_url
        assert [] == sotw.answer(message)

    def test_a_subscription_waits_for_the_first_offer(self, sotw, cluster):
        """An empty response would take away what the client has."""
        assert [] == sotw.request(CLUSTER)
        assert TypeState.NOT_SENT is sotw.session.status()[0].state
        assert not sotw.session.is_settled
        assert 1 == len(sotw.offer(cluster("a")))

    def test_an_ack_that_names_more_subscribes_to_it(self, sotw, assignment):
        """Only what is new is answered."""
        sotw.offer(assignment("a"), assignment("b"))
        (message,) = sotw.request(ENDPOINT, "a")
        (second,) = sotw.answer(message, "a", "b")
        assert (assignment("b"),) == second.resources
        assert [Acked(ENDPOINT, message.version, "n1"), Subscribed(ENDPOINT, ("b",))] == sotw.events

    def test_a_name_that_was_dropped_and_comes_back_is_answered(self, sotw, assignment):
        """The client forgot it meanwhile."""
        sotw.offer(assignment("a"), assignment("b"))
        (message,) = sotw.request(ENDPOINT, "a", "b")
        assert [] == sotw.answer(message, "a")
        (again,) = sotw.request(ENDPOINT, "a", "b", nonce=message.nonce)
        assert (assignment("b"),) == again.resources

    def test_a_request_without_a_nonce_subscribes_anew(self, sotw, assignment):
        """A renewed subscription is always answered, and in full."""
        sotw.offer(assignment("a"))
        (message,) = sotw.request(ENDPOINT, "a")
        sotw.answer(message, "a")
        (again,) = sotw.request(ENDPOINT, "a")
        assert (assignment("a"),) == again.resources

    def test_a_renewed_star_of_a_type_by_name_is_answered_in_full(self, sotw, assignment):
        """Also what has not changed."""
        sotw.offer(assignment("a"))
        sotw.request(ENDPOINT, "*")
        (again,) = sotw.request(ENDPOINT, "*")
        assert (assignment("a"),) == again.resources

    def test_a_nonce_of_an_earlier_stream_means_nothing(self, sotw, assignment):
        """Nonces do not outlive the stream: the request counts as the first."""
        sotw.offer(assignment("a"))
        (message,) = sotw.request(ENDPOINT, "a", nonce="old", version="v")
        assert (assignment("a"),) == message.resources


class TestNonces:
    def test_a_stale_nonce_is_not_answered(self, sotw, assignment):
        """A newer response is under way, and its answer will say what is wanted."""
        sotw.offer(assignment("a"), assignment("b"))
        (first,) = sotw.request(ENDPOINT, "a")
        (second,) = sotw.offer(assignment("a", 2), assignment("b"))
        assert [] == sotw.answer(first, "a", "b")
        assert [StaleNonce(ENDPOINT, first.nonce)] == sotw.events
        (third,) = sotw.answer(second, "a", "b")
        assert (assignment("b"),) == third.resources

    def test_an_unknown_nonce_is_stale(self, sotw, assignment):
        """It names no response of this stream."""
        sotw.offer(assignment("a"))
        sotw.request(ENDPOINT, "a")
        assert [] == sotw.request(ENDPOINT, "a", "b", nonce="other")
        assert [StaleNonce(ENDPOINT, "other")] == sotw.events

    def test_a_repeated_ack_is_not_answered(self, sotw, assignment):
        """Identical state is never sent again: that would loop for ever."""
        sotw.offer(assignment("a"))
        (message,) = sotw.request(ENDPOINT, "a")
        sotw.answer(message, "a")
        assert [] == sotw.answer(message, "a")
        assert [] == sotw.events

    def test_a_late_refusal_of_an_older_response_still_counts(self, sotw, assignment):
        """The request is stale, its verdict on that response is not."""
        sotw.offer(assignment("a"), assignment("b"))
        (first,) = sotw.request(ENDPOINT, "a", "b")
        (second,) = sotw.offer(assignment("a", 2), assignment("b"))
        # The offer differs from what was refused, so what the second left out goes again.
        (third,) = sotw.answer(first, "a", "b", error="no")
        assert (assignment("b"),) == third.resources
        assert [
            Nacked(ENDPOINT, first.version, first.nonce, "no"),
            StaleNonce(ENDPOINT, first.nonce),
        ] == sotw.events
        sotw.answer(second, "a", "b")
        sotw.answer(third, "a", "b")
        assert sotw.session.is_settled

    def test_one_answer_covers_the_responses_before_it(self, sotw, cluster):
        """Clients may fold answers; held state moves to the last."""
        sotw.offer(cluster("a"))
        sotw.request(CLUSTER)
        (second,) = sotw.offer(cluster("a", 2))
        assert [] == sotw.answer(second)
        assert sotw.session.is_settled

    def test_a_newer_version_never_waits_for_an_older_ones_ack(self, sotw, cluster):
        """Latest wins."""
        sotw.offer(cluster("a"))
        sotw.request(CLUSTER)
        (message,) = sotw.offer(cluster("a", 2))
        assert (cluster("a", 2),) == message.resources


class TestRefusal:
    def test_nothing_is_sent_until_the_offer_differs(self, sotw, cluster):
        """A refused full state stays unsent, however often it is offered."""
        sotw.offer(cluster("a"))
        (message,) = sotw.request(CLUSTER)
        assert [] == sotw.answer(message, error="bad")
        assert [Nacked(CLUSTER, message.version, message.nonce, "bad")] == sotw.events
        assert [] == sotw.offer(cluster("a"))
        assert TypeState.REJECTED is sotw.session.status()[0].state
        (fixed,) = sotw.offer(cluster("a", 2))
        assert (cluster("a", 2),) == fixed.resources
        sotw.answer(fixed)
        assert TypeState.SYNCED is sotw.session.status()[0].state
        assert "" == sotw.session.status()[0].error

    def test_going_back_to_what_was_accepted_is_sent(self, sotw, cluster):
        """The client may have applied the refused response in part."""
        sotw.offer(cluster("a"))
        (message,) = sotw.request(CLUSTER)
        sotw.answer(message)
        (worse,) = sotw.offer(cluster("a", 2))
        sotw.answer(worse, error="bad")
        (back,) = sotw.offer(cluster("a"))
        assert (cluster("a"),) == back.resources
        assert message.version == back.version

    def test_every_unknown_name_goes_out_again(self, sotw, assignment, named):
        """Even one that equals what was accepted; what is known goes first, on its own."""
        sotw.offer(assignment("a"), assignment("b"), assignment("c"))
        (message,) = sotw.request(ENDPOINT, "a", "b", "c")
        sotw.answer(message, "a", "b", "c")
        (worse,) = sotw.offer(assignment("a", 2), assignment("b", 2), assignment("c"))
        assert [] == sotw.answer(worse, "a", "b", "c", error="bad a")
        assert [] == sotw.offer(assignment("a", 2), assignment("b", 2), assignment("c"))
        first, second = sotw.offer(assignment("a", 2), assignment("b"), assignment("c", 2))
        assert ("ClusterLoadAssignment", "c=2") == named(first)
        assert ("ClusterLoadAssignment", "a=2", "b=1") == named(second)

    def test_a_refused_subscription_is_answered_again_when_renewed(self, sotw, assignment):
        """Refused content included: the client asks for it."""
        sotw.offer(assignment("a"))
        (message,) = sotw.request(ENDPOINT, "a")
        assert [] == sotw.answer(message, "a", error="bad")
        (again,) = sotw.request(ENDPOINT, "a")
        assert (assignment("a"),) == again.resources

    def test_a_refusal_with_new_names_is_answered_with_those(self, sotw, assignment):
        """Its nonce is current, so its subscription counts."""
        sotw.offer(assignment("a"), assignment("b"))
        (message,) = sotw.request(ENDPOINT, "a")
        (second,) = sotw.answer(message, "a", "b", error="bad a")
        assert (assignment("b"),) == second.resources

    def test_a_refused_name_that_is_dropped_is_owed_no_longer(self, sotw, assignment):
        """The stream is settled without it."""
        sotw.offer(assignment("a"), assignment("b"))
        (message,) = sotw.request(ENDPOINT, "a", "b")
        sotw.answer(message, "b", error="bad a")
        (second,) = sotw.offer(assignment("a"), assignment("b", 2))
        assert (assignment("b", 2),) == second.resources
        sotw.answer(second, "b")
        assert sotw.session.is_settled

    def test_a_refusal_of_a_type_that_is_wanted_no_longer_owes_nothing(self, sotw, cluster):
        """The answer to the last response came with an empty list of names."""
        sotw.offer(cluster("a"))
        (first,) = sotw.request(CLUSTER, "a")
        (second,) = sotw.offer(cluster("a", 2))
        sotw.answer(second, error="no")
        sotw.answer(first, error="no")
        assert sotw.session.is_settled
        (again,) = sotw.request(CLUSTER, "a")
        assert (cluster("a", 2),) == again.resources


class TestReconnection:
    @pytest.mark.parametrize("type_url", [CLUSTER, LISTENER])
    @pytest.mark.parametrize("names", [(), ("*",)])
    def test_an_equal_content_version_of_a_pure_wildcard_is_skipped(self, sotw, type_url, names):
        """The version proves what the client holds."""
        offered = ResourceSet.of([Resource(type_url, "a", b"1")])
        sotw.offer(offered)
        assert [] == sotw.request(type_url, *names, version=offered.version(type_url))
        assert sotw.session.is_settled
        (status,) = sotw.session.status()
        assert offered.version(type_url) == status.version_acked == status.version_sent
        assert 1 == len(sotw.offer(Resource(type_url, "a", b"2")))

    @pytest.mark.parametrize(
        ("type_url", "names"),
        [(SCOPED_ROUTE, ()), (CLUSTER, ("a",)), (CLUSTER, ("*", "a")), (ENDPOINT, ("a",))],
    )
    def test_every_other_subscription_is_answered(self, sotw, type_url, names):
        """The version does not tell which names the client held."""
        offered = ResourceSet.of([Resource(type_url, "a", b"1")])
        sotw.offer(offered)
        assert 1 == len(sotw.request(type_url, *names, version=offered.version(type_url)))

    def test_another_version_is_answered(self, sotw, cluster):
        """The client holds something else."""
        sotw.offer(cluster("a"))
        assert 1 == len(sotw.request(CLUSTER, version="other"))

    def test_a_version_of_the_callers_is_never_skipped(self, sotw, cluster):
        """A text may be used again for other content."""
        offered = ResourceSet((ResourcePart.of([cluster("a")]),), {CLUSTER: "v1"})
        sotw.offer(offered)
        (message,) = sotw.request(CLUSTER, version="v1")
        assert "v1" == message.version

    def test_the_version_is_compared_once_an_offer_is_there(self, sotw, cluster):
        """Streams of a group may wait for their first set."""
        offered = ResourceSet.of([cluster("a")])
        sotw.request(CLUSTER, version=offered.version(CLUSTER))
        assert [] == sotw.offer(offered)
