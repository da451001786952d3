"""Make before break: the order of types, what waits for what, what is kept."""

from __future__ import annotations

import pytest

from meshregistry.model import (
    CLUSTER,
    ENDPOINT,
    LISTENER,
    ROUTE,
    SECRET,
    Resource,
    ResourcePart,
    ResourceSet,
)

CDS, EDS, LDS, RDS = "Cluster", "ClusterLoadAssignment", "Listener", "RouteConfiguration"
CUSTOM = "type.googleapis.com/acme.Thing"


@pytest.fixture
def world(cluster, assignment, listener, route):
    """A world in which a listener uses a route that uses these clusters."""

    def world(*clusters: str, version: int = 1, use: int = 1, extra: tuple = ()) -> ResourceSet:
        return ResourceSet.of(
            [
                *(cluster(name, version) for name in clusters),
                *(assignment(name) for name in clusters),
                listener("l", routes=("r",)),
                route("r", use, clusters),
                *extra,
            ]
        )

    return world


def settle(stream, messages, *, names=None):
    """Accept everything, and what follows from it; return all of it."""
    done = list(messages)
    for message in done:
        done += stream.answer(message, *(names or {}).get(message.type_url, ()))
    return done


NAMES = {ENDPOINT: ("a", "b"), ROUTE: ("r",)}


@pytest.fixture
def connected(sotw, world):
    """A state-of-the-world stream that holds the world of cluster a."""
    sotw.offer(world("a"))
    for type_url in (CLUSTER, ENDPOINT, LISTENER, ROUTE):
        settle(sotw, sotw.request(type_url, *NAMES.get(type_url, ())), names=NAMES)
    assert sotw.session.is_settled
    return sotw


@pytest.fixture
def connected_delta(delta, world):
    """An incremental stream that holds the world of cluster a."""
    delta.offer(world("a"))
    for type_url in (CLUSTER, ENDPOINT, LISTENER, ROUTE):
        (message,) = delta.change(type_url, subscribe=NAMES.get(type_url, ("*",)))
        delta.answer(message)
    assert delta.session.is_settled
    return delta


class TestAdditions:
    def test_clusters_then_assignments_then_listeners_then_routes(self, sotw, world, named):
        """Whatever the order of the requests, once the clusters were accepted."""
        for type_url in (ROUTE, LISTENER, ENDPOINT, CLUSTER):
            sotw.request(type_url, *NAMES.get(type_url, ()))
        clusters, assignments = sotw.offer(world("a"))
        assert [(CDS, "a=1"), (EDS, "a=1")] == [named(clusters), named(assignments)]
        listeners, routes = sotw.answer(clusters)
        assert [(LDS, "l=1"), (RDS, "r=1")] == [named(listeners), named(routes)]

    def test_listeners_and_routes_follow_after_the_warm_timeout(self, connected, world, named):
        """A client that keeps the ACK back is waited for only so long."""
        clusters, _assignments = connected.offer(world("a", version=2, use=2))
        assert (CDS, "a=2") == named(clusters)
        assert 5.0 == connected.session.next_deadline()
        assert [] == connected.sent(after=4.9)
        (routes,) = connected.sent(after=0.1)
        assert (RDS, "r=2") == named(routes)

    def test_listeners_and_routes_follow_refused_clusters_after_the_warm_timeout(
        self, connected, world, named
    ):
        """One cluster that the client refuses does not hold back the mesh for ever."""
        clusters, _ = connected.offer(world("a", version=2, use=2))
        assert [] == connected.answer(clusters, error="no")
        (routes,) = connected.sent(after=5.0)
        assert (RDS, "r=2") == named(routes)

    def test_the_time_runs_from_the_oldest_clusters_without_an_answer(self, connected, world):
        """Frequent changes do not starve routes; an ACK lets the time start later."""
        _first, *_ = connected.offer(world("a", version=2, use=2))
        connected.now = 3.0
        second, *_ = connected.offer(world("a", version=3, use=3))
        assert 5.0 == connected.session.next_deadline()
        third, *_ = connected.offer(world("a", version=4, use=4))
        connected.request(CLUSTER, nonce=second.nonce)
        assert 8.0 == connected.session.next_deadline()
        assert 1 == len(connected.answer(third))

    def test_secrets_and_assignments_never_wait(self, connected, world, named):
        """Clusters need them to become warm."""
        connected.request(SECRET, "s")
        extra = (Resource(SECRET, "s", b"1"),)
        messages = connected.offer(world("a", version=2, use=2, extra=extra))
        assert [CDS, EDS, "Secret"] == [named(message)[0] for message in messages]

    def test_nothing_waits_for_clusters_that_are_not_subscribed_any_more(self, connected, world):
        """There will be no ACK."""
        connected.offer(world("a", version=2))
        connected.request(CLUSTER, "x", nonce=connected.session._subscriptions[CLUSTER].nonce)
        connected.request(CLUSTER, nonce=connected.session._subscriptions[CLUSTER].nonce)
        (routes,) = connected.offer(world("a", version=2, use=2))
        assert ROUTE == routes.type_url


class TestWarming:
    def test_assignments_of_changed_clusters_are_repeated_after_them(
        self, connected, connected_delta, world, named
    ):
        """Equal ones too: without, the cluster stays warming; in both variants."""
        for stream in (connected, connected_delta):
            clusters, assignments = stream.offer(world("a", version=2))
            assert [(CDS, "a=2"), (EDS, "a=1")] == [named(clusters), named(assignments)]
            assert [] == settle(stream, [clusters, assignments], names=NAMES)[2:]

    def test_assignments_of_new_clusters_go_out_on_subscription(
        self, sotw, cluster, assignment, named
    ):
        """Never gated on the ACK of clusters, which waits for them."""
        sotw.offer(cluster("a"), assignment("a"))
        sotw.request(CLUSTER)
        (message,) = sotw.request(ENDPOINT, "a")
        assert (EDS, "a=1") == named(message)

    def test_assignments_that_were_asked_for_first_are_repeated(
        self, sotw, cluster, assignment, named
    ):
        """On reconnection a client may ask for assignments before clusters."""
        sotw.offer(cluster("a"), assignment("a"))
        sotw.request(ENDPOINT, "a", "x", version="old")
        messages = sotw.request(CLUSTER, version="old")
        assert [(CDS, "a=1"), (EDS, "a=1")] == [named(message) for message in messages]

    def test_unchanged_clusters_repeat_nothing(self, connected, cluster, world, named):
        """Nor do assignments that the client does not subscribe to."""
        messages = connected.offer(world("a", extra=(cluster("z"),)))
        assert [(CDS, "a=1", "z=1")] == [named(message) for message in messages]

    def test_after_a_refusal_the_clusters_count_as_changed(self, connected, cluster, world, named):
        """The client may hold either version."""
        settle(connected, connected.offer(world("a", "b")), names=NAMES)
        clusters, assignments = connected.offer(world("a", "b", version=2))
        connected.answer(assignments, "a", "b")
        connected.answer(clusters, error="no")
        parts = [r for r in world("a", "b", version=2) if r.key != (CLUSTER, "a")]
        messages = connected.offer(cluster("a", 3), *parts)
        assert [(CDS, "a=3", "b=2"), (EDS, "a=1", "b=1")] == [named(m) for m in messages]

    def test_a_widened_interest_repeats_assignments(self, sotw, cluster, assignment, named):
        """For the client these clusters are new."""
        sotw.offer(cluster("a"), cluster("b"), assignment("a"), assignment("b"))
        sotw.request(ENDPOINT, "a", "b")
        (clusters, _) = sotw.request(CLUSTER, "a")
        messages = sotw.answer(clusters, "a", "b")
        assert [(CDS, "a=1", "b=1"), (EDS, "a=1", "b=1")] == [named(m) for m in messages]


class TestRemovals:
    def test_clusters_sent_are_new_and_still_referenced_old(self, connected, world, named):
        """The old go when the routes without them were accepted; the end is the offer."""
        offered = world("b", use=2)
        clusters, assignments = connected.offer(offered)
        assert [(CDS, "b=1", "a=1"), (EDS, "b=1")] == [named(clusters), named(assignments)]
        assert offered.version(CLUSTER) != clusters.version
        (routes,) = connected.answer(clusters)
        assert (RDS, "r=2") == named(routes)
        (final,) = connected.answer(routes, "r")
        assert (CDS, "b=1") == named(final)
        assert final.resources is offered.resources(CLUSTER)
        assert offered.version(CLUSTER) == final.version
        connected.answer(assignments, "a", "b")
        connected.answer(final)
        assert connected.session.is_settled

    def test_a_mixture_has_a_version_of_its_own(self, connected, world, stream):
        """A client that reconnects with it is told what is gone."""
        mixture, _ = connected.offer(world("b", use=2))
        again = stream(is_delta=False)
        again.offer(world("b", use=2))
        assert 1 == len(again.request(CLUSTER, version=mixture.version))

    def test_if_nothing_but_removals_is_new_the_first_response_is_spared(
        self, connected, world, named
    ):
        """What the client holds is what it should hold for now."""
        settle(connected, connected.offer(world("a", "b", use=2)), names=NAMES)
        messages = connected.offer(world("b", use=3))
        assert [(RDS, "r=3")] == [named(message) for message in messages]
        (final,) = connected.answer(messages[0], "r")
        assert (CDS, "b=1") == named(final)

    def test_clusters_that_nothing_uses_go_at_once(self, connected, cluster, world, named):
        """There is nothing to break."""
        settle(connected, connected.offer(world("a", extra=(cluster("z"),))), names=NAMES)
        (message,) = connected.offer(world("a"))
        assert (CDS, "a=1") == named(message)

    def test_what_the_acknowledged_routes_use_is_kept_if_new_ones_are_refused(
        self, connected, world, named
    ):
        """For ever, or until the client accepts others."""
        clusters, assignments = connected.offer(world("b", use=2))
        connected.answer(assignments, "a", "b")
        (routes,) = connected.answer(clusters)
        assert [] == connected.answer(routes, "r", error="no")
        assert [] == connected.sent(after=3600.0)
        messages = connected.offer(world("b", use=3))
        assert [(RDS, "r=3")] == [named(message) for message in messages]
        (final,) = connected.answer(messages[0], "r")
        assert (CDS, "b=1") == named(final)

    def test_what_routes_under_way_use_is_kept(self, connected, world, named, route, cluster):
        """They may be accepted before the next ones come."""
        settle(connected, connected.offer(world("a", "b")), names=NAMES)
        (under_way,) = connected.offer(world("a", "b", use=2))
        assert (RDS, "r=2") == named(under_way)
        messages = connected.offer(world("a", use=3))
        assert [(RDS, "r=3")] == [named(message) for message in messages]

    def test_what_refused_routes_use_is_kept(self, connected, cluster, route, world, named):
        """The client may have applied them in part."""
        z = cluster("z")
        settle(connected, connected.offer(world("a", extra=(z,))), names=NAMES)
        parts = [r for r in world("a") if r.type_url != ROUTE]
        (routes,) = connected.offer(*parts, z, route("r", 2, ("z",)))
        connected.answer(routes, "r", error="no")
        messages = connected.offer(*parts, route("r", 3, ("a",)))
        assert [(RDS, "r=3")] == [named(message) for message in messages]
        (final,) = connected.answer(messages[0], "r")
        assert (CDS, "a=1") == named(final)

    def test_what_routes_of_an_earlier_stream_may_use_is_kept(self, sotw, cluster, route, named):
        """The session never saw them; it waits until they were replaced."""
        sotw.offer(cluster("a"), cluster("b"), route("r"))
        (clusters,) = sotw.request(CLUSTER, version="old")
        sotw.answer(clusters)
        (routes,) = sotw.request(ROUTE, "r", version="old")
        assert [] == sotw.offer(cluster("a"), route("r"))
        (final,) = sotw.answer(routes, "r")
        assert (CDS, "a=1") == named(final)

    def test_a_route_that_its_listener_still_uses_counts(self, connected, listener, named):
        """The whole chain is kept until the listener that starts it was replaced."""
        (listeners,) = connected.offer(listener("l", 2))
        assert (LDS, "l=2") == named(listeners)
        (final,) = connected.answer(listeners)
        assert (CDS,) == named(final)

    def test_a_cluster_that_comes_back_is_not_removed(self, connected, world, named):
        """It leaves no longer."""
        settle(connected, connected.offer(world("a", "b")), names=NAMES)
        (_routes,) = connected.offer(world("b", use=2))
        messages = connected.offer(world("a", "b", use=3))
        assert [(CDS, "a=1", "b=1"), (EDS, "a=1")] == [named(m) for m in messages]
        done = settle(connected, messages, names=NAMES)
        assert (RDS, "r=3") == named(done[-1])
        assert connected.session.is_settled

    def test_a_refused_cluster_is_kept_as_it_was_accepted(self, connected, world, named):
        """Its refused version is not sent again."""
        clusters, assignments = connected.offer(world("a", version=2))
        connected.answer(assignments, "a", "b")
        connected.answer(clusters, error="no")
        clusters, _ = connected.offer(world("b", use=2))
        assert (CDS, "b=1", "a=1") == named(clusters)

    def test_a_cluster_that_was_never_accepted_is_not_kept(self, sotw, cluster, route, named):
        """It cannot be in use."""
        sotw.offer(cluster("a"), route("r", 1, ("a",)))
        (clusters,) = sotw.request(CLUSTER)
        sotw.answer(clusters, error="no")
        sotw.request(ROUTE, "r")
        sotw.sent(after=5.0)
        messages = sotw.offer(route("r", 2))
        assert [(CDS,), (RDS, "r=2")] == [named(message) for message in messages]

    def test_a_reference_of_what_is_offered_keeps_nothing(self, connected, route, listener, named):
        """A set that is not consistent is served as it is."""
        messages = connected.offer(listener("l", routes=("r",)), route("r", 2, ("a",)))
        done = settle(connected, messages, names=NAMES)
        assert [(RDS, "r=2"), (CDS,)] == [named(message) for message in done]

    def test_unknown_types_keep_what_they_use(self, sotw, cluster, named):
        """They stand between routes and clusters."""

        def thing(version: int, *clusters: str) -> Resource:
            uses = tuple((CLUSTER, name) for name in clusters)
            return Resource(CUSTOM, "t", str(version).encode(), references=uses)

        sotw.offer(cluster("a"), thing(1, "a"))
        for type_url, names in ((CLUSTER, ()), (CUSTOM, ("t",))):
            (message,) = sotw.request(type_url, *names)
            sotw.answer(message, *names)
        (things,) = sotw.offer(thing(2))
        assert ("Thing", "t=2") == named(things)
        (final,) = sotw.answer(things, "t")
        assert (CDS,) == named(final)

    def test_users_that_are_not_subscribed_any_more_keep_nothing(self, connected, world, named):
        """The client has forgotten them."""
        nonces = {url: sub.nonce for url, sub in connected.session._subscriptions.items()}
        connected.request(ROUTE, nonce=nonces[ROUTE])
        connected.request(LISTENER, "x", nonce=nonces[LISTENER])
        messages = connected.offer(world("b", use=2))
        assert (CDS, "b=1") == named(messages[0])


class TestIncremental:
    def test_removals_follow_the_ack_of_routes(self, connected_delta, world, named):
        """First the cluster, then the assignment that only it used."""
        stream = connected_delta
        messages = stream.offer(world("b", use=2))
        assert [(CDS, "b=1"), (EDS, "b=1")] == [named(message) for message in messages]
        (routes,) = stream.answer(messages[0])
        assert (RDS, "r=2") == named(routes)
        (removal,) = stream.answer(routes)
        assert (CDS, "-a") == named(removal)
        (last,) = stream.answer(removal)
        assert (EDS, "-a") == named(last)
        settle(stream, [messages[1], last])
        assert stream.session.is_settled

    def test_a_refused_removal_of_a_cluster_keeps_its_assignment(
        self, connected_delta, world, named
    ):
        """The cluster may still be there."""
        stream = connected_delta
        clusters, _ = stream.offer(world("b", use=2))
        (routes,) = stream.answer(clusters)
        (removal,) = stream.answer(routes)
        assert [] == stream.answer(removal, error="no")

    def test_what_is_leaving_and_asked_for_is_answered_as_it_is(
        self, connected_delta, world, named
    ):
        """The client holds it for now, and still should."""
        stream = connected_delta
        stream.offer(world("b", use=2))
        message, *_ = stream.change(CLUSTER, subscribe=("a", "b"))
        assert (CDS, "b=1", "a=1") == named(message)

    def test_a_refused_cluster_that_is_leaving_is_not_sent_again(
        self, connected_delta, world, named
    ):
        """Its removal says all, once it may go."""
        stream = connected_delta
        clusters, _ = stream.offer(world("a", version=2))
        stream.answer(clusters, error="no")
        messages = stream.offer(world("b", use=2))
        assert [(CDS, "b=1"), (EDS, "b=1")] == [named(message) for message in messages]
        (routes,) = stream.answer(messages[0])
        (removal,) = stream.answer(routes)
        assert (CDS, "-a") == named(removal)


class TestSeparateStreams:
    @pytest.mark.parametrize("is_delta", [False, True])
    def test_removals_wait_for_a_grace_time(self, stream, cluster, named, is_delta):
        """No session sees the other types."""
        separate = stream(is_delta=is_delta, is_aggregated=False, removal_grace=7.0)
        separate.offer(cluster("a"), cluster("b"))
        ask = separate.change if is_delta else separate.request
        (message,) = ask(CLUSTER)
        separate.answer(message)
        assert [] == separate.offer(cluster("a"))
        assert not separate.session.is_settled
        assert 7.0 == separate.session.next_deadline()
        (final,) = separate.sent(after=7.0)
        assert ((CDS, "-b") if is_delta else (CDS, "a=1")) == named(final)
        separate.answer(final)
        assert separate.session.is_settled
        assert separate.session.next_deadline() is None

    def test_additions_do_not_wait(self, stream, cluster, named):
        """They carry along what is kept."""
        separate = stream(is_delta=False, is_aggregated=False)
        separate.offer(cluster("a"))
        (message,) = separate.request(CLUSTER)
        separate.answer(message)
        (message,) = separate.offer(cluster("b"))
        assert (CDS, "b=1", "a=1") == named(message)

    def test_what_is_leaving_and_wanted_no_longer_is_forgotten(self, stream, cluster, named):
        """The client has dropped it by itself."""
        separate = stream(is_delta=False, is_aggregated=False)
        separate.offer(cluster("a"), cluster("b"))
        (message,) = separate.request(CLUSTER, "a", "b")
        separate.answer(message, "a", "b")
        separate.offer(cluster("a"))
        separate.answer(message, "a")
        assert [] == separate.sent(after=60.0)
        assert separate.session.is_settled


def test_parts_that_did_not_change_are_not_searched(connected, world, cluster):
    """What the client holds of a shared part is what is offered, so it keeps nothing."""
    shared = ResourcePart.of(list(world("a")))
    both = ResourceSet((shared, ResourcePart.of([cluster("z")])))
    settle(connected, connected.offer(both), names=NAMES)
    (message,) = connected.offer(ResourceSet((shared,)))
    assert (cluster("a"),) == message.resources
