"""Facts of the table of routes; time is a number here."""

from __future__ import annotations

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from meshregistry.errors import RecordError
from meshregistry_cloudfoundry._messages import Backend, Registration
from meshregistry_cloudfoundry._routes import Route
from meshregistry_cloudfoundry._table import RouteTable

THRESHOLD = 120.0


def table(while_away="keep-tls"):
    """An empty one."""
    return RouteTable(while_away, THRESHOLD)


def registration(*uris, address="10.0.0.1", at=0, threshold=THRESHOLD, wanted=True, **backend):
    """One with a plain port unless it is said to have a name."""
    is_tls = "san" in backend
    return Registration(
        Backend(address=address, port=61001, is_tls=is_tls, **backend),
        tuple(map(Route.parse, uris or ("a.example",))),
        threshold,
        at,
        wanted,
    )


def held(routes):
    """Addresses by route."""
    return {
        str(route): [one.address for one in routes.backends(route.key)[1]]
        for route in routes.routes
    }


class TestMessages:
    def test_a_registration_adds_a_backend_to_each_of_its_routes(self):
        """And says which have changed; a repetition changes none."""
        routes = table()
        assert {"a.example", "a.example/v2"} == routes.register(
            registration("a.example", "A.example/v2"), 0
        )
        assert set() == routes.register(registration("a.example", "a.example/v2"), 20)
        assert {"a.example"} == routes.register(registration(address="10.0.0.2"), 21)
        assert {"a.example": ["10.0.0.1", "10.0.0.2"], "a.example/v2": ["10.0.0.1"]} == held(routes)

    def test_a_change_of_a_backend_is_one(self):
        """Of its tags, for one."""
        routes = table()
        routes.register(registration(zone="z1"), 0)
        assert {"a.example"} == routes.register(registration(zone="z2"), 1)

    def test_taking_back_ends_a_backend_and_may_come_twice(self):
        """Of the routes that it names, and of no other."""
        routes = table()
        routes.register(registration("a.example", "b.example"), 0)
        assert {"a.example"} == routes.unregister(registration("a.example"), 1)
        assert set() == routes.unregister(registration("a.example"), 2)
        assert {"b.example": ["10.0.0.1"]} == held(routes)
        assert routes.backends("a.example") is None

    def test_a_backend_that_is_not_wanted_any_more_goes(self):
        """When an app is moved to another isolation segment."""
        routes = table()
        routes.register(registration(), 0)
        assert {"a.example"} == routes.register(registration(wanted=False), 1)
        assert {} == held(routes)

    def test_older_messages_are_passed_over(self):
        """By the platform's time, after a newer registration and after a newer end."""
        routes = table()
        routes.register(registration(zone="new", at=5), 0)
        assert set() == routes.register(registration(zone="old", at=4), 1)
        assert set() == routes.unregister(registration(at=4), 1)
        assert {"a.example"} == routes.unregister(registration(at=6), 2)
        assert set() == routes.register(registration(zone="new", at=5), 3)
        assert {} == held(routes)
        # The same instance gets its route again: nothing of it is newer.
        assert {"a.example"} == routes.register(registration(at=6), 4)

    def test_an_older_repetition_does_not_prolong(self):
        """Or a message that circles would keep a dead instance."""
        routes = table()
        routes.register(registration(at=5), 0)
        routes.register(registration(at=4), 100)
        assert {"a.example"} == routes.prune(121)


class TestAddressesThatAreUsedAgain:
    def test_routes_of_the_former_instance_end_at_once(self):
        """One address has one instance; without this requests would go to a stranger."""
        routes = table()
        routes.register(registration("a.example", "a.example/x", instance_id="old", at=1), 0)
        assert {"a.example", "a.example/x", "b.example"} == routes.register(
            registration("b.example", instance_id="new", at=2), 1
        )
        assert {"b.example": ["10.0.0.1"]} == held(routes)

    def test_a_late_end_of_the_former_instance_does_no_harm(self):
        """It names the address of the new one."""
        routes = table()
        routes.register(registration(instance_id="new"), 0)
        assert set() == routes.unregister(registration(instance_id="old"), 1)
        assert {"a.example": ["10.0.0.1"]} == held(routes)

    def test_a_late_registration_of_the_former_instance_does_no_harm(self):
        """If the platform's time tells that it is one."""
        routes = table()
        routes.register(registration("b.example", instance_id="new", at=9), 0)
        routes.register(registration("b.example", instance_id="old", at=3), 1)
        assert "new" == routes.backends("b.example")[1][0].instance_id

    def test_instances_without_a_name_share_an_address(self):
        """Components of the platform do not say who they are."""
        routes = table()
        routes.register(registration("a.example"), 0)
        routes.register(registration("b.example"), 1)
        assert {"a.example", "b.example"} == held(routes).keys()


class TestTime:
    def test_what_is_not_repeated_ends_after_its_own_threshold(self):
        """Not at it, and not with another one's."""
        routes = table()
        routes.register(registration("a.example", threshold=30), 0)
        routes.register(registration("b.example"), 0)
        assert set() == routes.prune(30)
        assert {"a.example"} == routes.prune(30.1)
        assert {"b.example": ["10.0.0.1"]} == held(routes)

    def test_while_nats_is_away_protected_routes_stay_and_others_end(self):
        """A TLS port without a name protects nothing."""
        routes = table()
        routes.register(registration("tls.example", san="guid"), 0)
        routes.register(registration("nameless.example", address="10.0.0.2", san=""), 0)
        routes.register(registration("plain.example", address="10.0.0.3"), 0)
        routes.leave()
        assert routes.has_expiring
        assert {"nameless.example", "plain.example"} == routes.prune(1000)
        assert {"tls.example"} == held(routes).keys()
        assert not routes.has_expiring

    def test_after_it_what_was_kept_has_its_whole_time(self):
        """And then ends like all others."""
        routes = table()
        routes.register(registration("tls.example", san="guid"), 0)
        routes.leave()
        routes.come_back(1000)
        assert set() == routes.prune(1000 + THRESHOLD)
        assert {"tls.example"} == routes.prune(1001 + THRESHOLD)

    def test_coming_back_does_not_prolong_what_is_not_kept(self):
        """A plain route is as old as its last repetition."""
        routes = table()
        routes.register(registration(), 0)
        routes.leave()
        routes.come_back(100)
        assert {"a.example"} == routes.prune(121)

    def test_the_settings_say_otherwise(self):
        """All stay, or all end."""
        for while_away, expected in (("keep-all", {"a.example", "b.example"}), ("expire", set())):
            routes = table(while_away)
            routes.register(registration("a.example", san="guid"), 0)
            routes.register(registration("b.example", address="10.0.0.2"), 0)
            routes.leave()
            routes.prune(1000)
            assert expected == held(routes).keys()


class TestFaults:
    def test_as_long_as_malformed_messages_come_nothing_of_their_route_ends(self):
        """Its last good version stays, and all others go their way."""
        routes = table()
        routes.register(registration("a.example", "b.example"), 0)
        routes.report(RecordError("bad", key="a.example"), 100)
        assert {"b.example"} == routes.prune(150)
        assert {"a.example"} == held(routes).keys()
        assert {"a.example"} == routes.faults.keys()

    def test_a_report_ends_when_no_more_come(self):
        """And the route with it, if nobody repeats it."""
        routes = table()
        routes.register(registration(), 0)
        routes.report(RecordError("bad", key="a.example"), 100)
        routes.report(RecordError("worse"), 100)
        assert {"a.example"} == routes.prune(100 + THRESHOLD + 1)
        assert {} == held(routes)
        assert {} == routes.faults

    def test_nothing_is_kept_of_what_is_gone(self):
        """Neither of routes nor of their ends."""
        routes = table()
        for number in range(100):
            one = registration(f"r{number}.example", at=number + 1, instance_id=str(number))
            routes.register(one, number)
            routes.unregister(one, number)
        routes.prune(1000)
        assert ({}, {}, {}, {}) == (
            routes._routes,
            routes._places,
            routes._removed,
            routes._faults,
        )


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["register", "unregister", "prune", "leave", "come_back"]),
        st.sampled_from(["a.example", "b.example", "a.example/x"]),
        st.sampled_from(["10.0.0.1", "10.0.0.2"]),
        st.booleans(),
        st.floats(0, 90),
    ),
    max_size=40,
)


@given(STEPS)
def test_the_table_is_what_a_naive_one_is(steps):
    """Without ids and times: last word, threshold, and what an outage keeps."""
    routes, naive, now, is_away = table(), {}, 0.0, False
    for what, uri, address, is_tls, passed in steps:
        now += passed
        one = registration(uri, address=address, **({"san": "guid"} if is_tls else {}))
        before = held(routes)
        changed = set()
        if what == "register":
            changed = routes.register(one, now)
            naive[uri, address] = (now, is_tls)
        elif what == "unregister":
            changed = routes.unregister(one, now)
            naive.pop((uri, address), None)
        elif what == "prune":
            changed = routes.prune(now)
            naive = {
                key: (heard, kept)
                for key, (heard, kept) in naive.items()
                if now - heard <= THRESHOLD or (is_away and kept)
            }
        elif what == "leave":
            routes.leave()
            is_away = True
        else:
            routes.come_back(now)
            naive = {key: (now if kept else at, kept) for key, (at, kept) in naive.items()}
            is_away = False
        expected = {}
        for key, place in sorted(naive):
            expected.setdefault(key, []).append(place)
        assert expected == held(routes)
        differing = {key for key in {*before, *expected} if before.get(key) != expected.get(key)}
        assert differing <= changed


@given(st.permutations(range(5)))
def test_the_order_of_messages_does_not_matter_if_they_have_times(order):
    """Of one instance whose routes change: the newest word counts in the end."""
    words = [
        (
            "register",
            evolve(
                registration(at=number + 1),
                backend=Backend(address="10.0.0.1", port=1, zone=str(number)),
            ),
        )
        for number in range(5)
    ]
    routes = table()
    for number in order:
        what, one = words[number]
        getattr(routes, what)(one, 0)
    assert "4" == routes.backends("a.example")[1][0].zone
