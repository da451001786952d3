"""Incremental xDS: what is answered, with what, and what is not."""

from __future__ import annotations

import pytest

from meshregistry.ads import Acked, Nacked, StaleNonce, Subscribed, Unsubscribed
from meshregistry.model import CLUSTER, ENDPOINT, LISTENER, ROUTE, Resource, ResourceSet

EDS = "ClusterLoadAssignment"
CDS = "Cluster"


class TestSubscribing:
    def test_a_first_request_that_names_nothing_is_the_legacy_wildcard(self, delta, cluster):
        """Of a full-state type; the response shares the set's own tuple."""
        offered = ResourceSet.of([cluster("a"), cluster("b")])
        delta.offer(offered)
        (message,) = delta.change(CLUSTER)
        assert message.resources is offered.resources(CLUSTER)
        assert [Subscribed(CLUSTER, ("*",))] == delta.events

    def test_a_first_request_that_names_nothing_is_no_interest_in_a_type_by_name(
        self, delta, assignment
    ):
        """Only the star is."""
        delta.offer(assignment("a"))
        assert [] == delta.change(ENDPOINT)
        (message,) = delta.change(ENDPOINT, subscribe=("*",))
        assert (assignment("a"),) == message.resources

    def test_a_wildcard_without_resources_is_answered_with_nothing(self, delta):
        """A client cannot finish to initialise before it knows that there are none."""
        delta.offer()
        (message,) = delta.change(CLUSTER)
        assert ((), ()) == (message.resources, message.removed)

    def test_names_that_do_not_exist_are_removed_at_once_and_sent_later(
        self, delta, assignment, named
    ):
        """Unlike state of the world, delta can say so."""
        delta.offer(assignment("a"))
        (message,) = delta.change(ENDPOINT, subscribe=("b", "a"))
        assert (EDS, "a=1", "-b") == named(message)
        (later,) = delta.offer(assignment("a"), assignment("b"))
        assert (EDS, "b=1") == named(later)

    def test_every_subscribed_name_is_answered_even_if_it_was_sent(self, delta, assignment, named):
        """The client may have forgotten it."""
        delta.offer(assignment("a"), assignment("b"))
        delta.change(ENDPOINT, subscribe=("a", "b"))
        (again,) = delta.change(ENDPOINT, subscribe=("a",))
        assert (EDS, "a=1") == named(again)
        assert [Subscribed(ENDPOINT, ("a",))] == delta.events

    def test_a_renewed_wildcard_is_answered_with_everything_and_what_is_gone(
        self, delta, cluster, named
    ):
        """Nothing that happened meanwhile is lost."""
        delta.offer(cluster("a"), cluster("b"))
        (message,) = delta.change(CLUSTER)
        delta.answer(message)
        delta.session.offer(ResourceSet.of([cluster("a")]))
        (again,) = delta.change(CLUSTER, subscribe=("*", "x"))
        assert (CDS, "a=1", "-b", "-x") == named(again)

    def test_unsubscribing_is_silent(self, delta, assignment):
        """And unknown names are ignored."""
        delta.offer(assignment("a"), assignment("b"))
        delta.change(ENDPOINT, subscribe=("a", "b"))
        assert [] == delta.change(ENDPOINT, unsubscribe=("a", "x"))
        assert [Unsubscribed(ENDPOINT, ("a",))] == delta.events
        assert [] == delta.offer(assignment("a", 2), assignment("b"))

    def test_a_name_dropped_while_the_star_goes_on_is_answered(self, delta, cluster, named):
        """The client cannot know whether the wildcard covers it."""
        delta.offer(cluster("a"))
        delta.change(CLUSTER, subscribe=("*", "a", "x"))
        (message,) = delta.change(CLUSTER, unsubscribe=("a", "x", "never"))
        assert (CDS, "a=1", "-x") == named(message)

    def test_a_star_that_gives_way_to_names_is_answered_by_name(self, delta, cluster, named):
        """Before there was anything to answer with."""
        delta.change(CLUSTER, subscribe=("*",))
        delta.change(CLUSTER, subscribe=("a",), unsubscribe=("*",))
        (message,) = delta.offer(cluster("a"), cluster("b"))
        assert (CDS, "a=1") == named(message)

    def test_dropping_the_star_leaves_the_names(self, delta, cluster, named):
        """And is silent."""
        delta.offer(cluster("a"), cluster("b"))
        delta.change(CLUSTER, subscribe=("*", "a"))
        assert [] == delta.change(CLUSTER, unsubscribe=("*",))
        (message,) = delta.offer(cluster("a", 2), cluster("b", 2))
        assert (CDS, "a=2") == named(message)

    def test_a_star_that_is_dropped_before_it_was_answered_is_not(self, delta, cluster):
        """Nothing is wanted any more."""
        delta.change(CLUSTER, subscribe=("*",))
        delta.change(CLUSTER, unsubscribe=("*",))
        assert [] == delta.offer(cluster("a"))

    def test_what_is_gone_is_removed(self, delta, assignment, named):
        """With what has changed, in one response."""
        delta.offer(assignment("a"), assignment("b"), assignment("c"))
        delta.change(ENDPOINT, subscribe=("a", "b"))
        (message,) = delta.offer(assignment("a", 2))
        assert (EDS, "a=2", "-b") == named(message)


class TestNonces:
    def test_a_stale_nonce_changes_subscriptions_all_the_same(self, delta, assignment, named):
        """The changes are relative, so none may be lost."""
        delta.offer(assignment("a"), assignment("b"))
        (message,) = delta.change(ENDPOINT, subscribe=("a",))
        delta.answer(message)
        (second,) = delta.change(ENDPOINT, nonce=message.nonce, subscribe=("b",))
        assert (EDS, "b=1") == named(second)
        assert [StaleNonce(ENDPOINT, "n1"), Subscribed(ENDPOINT, ("b",))] == delta.events

    def test_each_response_has_its_own_fate(self, delta, assignment, named):
        """An older one may be refused while a newer one is under way."""
        delta.offer(assignment("a"), assignment("b"))
        (first,) = delta.change(ENDPOINT, subscribe=("a", "b"))
        (second,) = delta.offer(assignment("a", 2), assignment("b"))
        (third,) = delta.answer(first, error="no")
        assert [Nacked(ENDPOINT, first.version, "n1", "no")] == delta.events
        assert (EDS, "b=1") == named(third)
        assert [] == delta.answer(second)
        assert [Acked(ENDPOINT, second.version, "n2")] == delta.events
        assert not delta.session.is_settled
        assert [] == delta.answer(third)
        assert delta.session.is_settled


class TestRefusal:
    def test_every_name_of_a_refused_response_is_unknown_removals_included(
        self, delta, assignment, named
    ):
        """Nothing goes out until the offer differs; then all of it does."""
        delta.offer(assignment("a"), assignment("b"), assignment("c"))
        (message,) = delta.change(ENDPOINT, subscribe=("a", "b", "c"))
        delta.answer(message)
        (worse,) = delta.offer(assignment("a", 2), assignment("b", 2))
        assert (EDS, "a=2", "b=2", "-c") == named(worse)
        assert [] == delta.answer(worse, error="no")
        assert [] == delta.offer(assignment("a", 2), assignment("b", 2))
        (again,) = delta.offer(assignment("a"), assignment("b", 2))
        assert (EDS, "a=1", "b=2", "-c") == named(again)
        delta.answer(again)
        assert delta.session.is_settled

    def test_accepting_another_response_forgives_nothing(self, delta, assignment):
        """What was refused is still what is offered."""
        delta.offer(assignment("a"), assignment("b"))
        (first,) = delta.change(ENDPOINT, subscribe=("a", "b"))
        (second,) = delta.change(ENDPOINT, subscribe=("a",))
        assert [] == delta.answer(first, error="bad b")
        assert [] == delta.answer(second)
        assert "bad b" == delta.session.status()[0].error

    def test_what_the_client_cannot_accept_does_not_hold_back_the_rest(
        self, delta, assignment, named
    ):
        """What is known goes first, in a response of its own."""
        delta.offer(assignment("bad"), assignment("good"))
        (first,) = delta.change(ENDPOINT, subscribe=("bad",))
        delta.answer(first, error="no")
        (asked,) = delta.change(ENDPOINT, subscribe=("good",))
        assert (EDS, "good=1") == named(asked)
        good, bad = delta.offer(assignment("bad"), assignment("good", 2))
        assert [(EDS, "good=2"), (EDS, "bad=1")] == [named(good), named(bad)]

    def test_a_refused_subscription_is_answered_again_when_renewed(self, delta, assignment, named):
        """Refused content included."""
        delta.offer(assignment("a"))
        (message,) = delta.change(ENDPOINT, subscribe=("a",))
        assert [] == delta.answer(message, error="no")
        (again,) = delta.change(ENDPOINT, subscribe=("a",))
        assert (EDS, "a=1") == named(again)

    def test_a_renewed_wildcard_clears_what_was_refused(self, delta, cluster, named):
        """Everything goes out, so nothing is owed beyond it."""
        delta.offer(cluster("a"), cluster("b"))
        (message,) = delta.change(CLUSTER)
        delta.answer(message)
        (worse,) = delta.offer(cluster("a", 2))
        delta.answer(worse, error="no")
        (again,) = delta.change(CLUSTER, subscribe=("*",))
        assert (CDS, "a=2", "-b") == named(again)
        delta.answer(again)
        assert delta.session.is_settled


class TestReconnection:
    def test_what_the_client_kept_is_skipped_resource_by_resource(self, delta, assignment, named):
        """Digests are versions, so equal means held."""
        a, b, c = assignment("a"), assignment("b"), assignment("c")
        delta.offer(a, b, c)
        (message,) = delta.change(
            ENDPOINT,
            subscribe=("a", "b", "c"),
            initial_versions={"a": a.digest, "b": "old", "unwanted": "v"},
        )
        assert (EDS, "b=1", "c=1") == named(message)
        delta.answer(message)
        assert delta.session.is_settled

    def test_a_wildcard_that_holds_everything_is_answered_with_nothing(self, delta, cluster):
        """A new stream is always answered."""
        a = cluster("a")
        delta.offer(a)
        (message,) = delta.change(CLUSTER, initial_versions={"a": a.digest})
        assert ((), ()) == (message.resources, message.removed)

    def test_names_that_hold_everything_need_no_answer(self, delta, assignment):
        """The stream is settled from the start."""
        a = assignment("a")
        delta.offer(a)
        assert [] == delta.change(ENDPOINT, subscribe=("a",), initial_versions={"a": a.digest})
        assert delta.session.is_settled

    def test_the_versions_wait_for_the_first_offer(self, delta, assignment):
        """Streams of a group may wait for their set."""
        a = assignment("a")
        delta.change(ENDPOINT, subscribe=("a",), initial_versions={"a": a.digest})
        assert [] == delta.offer(a)

    def test_a_listener_that_is_gone_is_removed_at_once(self, delta, named):
        """Nothing refers to a listener."""
        delta.offer()
        first, second = delta.change(LISTENER, initial_versions={"old": "v"})
        assert ("Listener",) == named(first)
        assert ("Listener", "-old") == named(second)

    def test_a_cluster_that_is_gone_is_removed_after_a_grace_time(self, delta, cluster, named):
        """Its users come from an earlier stream too, and may not be subscribed yet."""
        delta.offer(cluster("a"))
        (message,) = delta.change(CLUSTER, initial_versions={"old": "v"})
        assert (CDS, "a=1") == named(message)
        assert [] == delta.answer(message)
        assert 10.0 == delta.session.next_deadline()
        (removal,) = delta.sent(after=10.0)
        assert (CDS, "-old") == named(removal)

    def test_a_name_that_is_gone_and_was_held_is_a_removal(self, delta, cluster):
        """Not a name that never existed, which would be answered at once."""
        delta.offer()
        assert [] == delta.change(CLUSTER, subscribe=("old",), initial_versions={"old": "v"})
        assert 10.0 == delta.session.next_deadline()

    def test_a_cluster_that_is_gone_outlives_routes_of_an_earlier_stream(
        self, delta, cluster, route, named
    ):
        """What they use is not known until they are replaced and that is accepted."""
        delta.offer(cluster("a"), route("r", 2))
        (clusters,) = delta.change(CLUSTER, initial_versions={"old": "v"})
        delta.change(ROUTE, subscribe=("r",), initial_versions={"r": "v"})
        (routes,) = delta.answer(clusters)
        assert [] == delta.sent(after=60.0)
        (removal,) = delta.answer(routes)
        assert (CDS, "-old") == named(removal)

    def test_a_name_that_is_leaving_and_asked_for_is_answered(self, delta, cluster, named):
        """It does not exist any more: the client that asks learns that at once."""
        delta.offer()
        delta.change(CLUSTER, initial_versions={"old": "v"})
        (message,) = delta.change(CLUSTER, subscribe=("old",))
        assert (CDS, "-old") == named(message)
        assert [] == delta.sent(after=60.0)


@pytest.mark.parametrize("type_url", ["type.googleapis.com/acme.Thing"])
def test_unknown_types_are_served_by_name(delta, type_url):
    """Resources are opaque to the session."""
    resource = Resource(type_url, "a", b"")
    delta.offer(resource)
    (message,) = delta.change(type_url, subscribe=("a",))
    assert (resource,) == message.resources
