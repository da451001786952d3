"""The merge of one service, field by field (contracts, section 4)."""

from __future__ import annotations

from attrs import evolve

from meshregistry.aggregate._merge import Contribution, merge
from meshregistry.model import (
    Conflict,
    Endpoint,
    Health,
    Labels,
    Locality,
    MergePolicy,
    Port,
    Protocol,
    RecordKey,
    Resolution,
    Service,
    ServiceKey,
    ServiceRecord,
    SourceId,
    Union,
)

KEY = ServiceKey("shop", "cart.shop")
HTTP = Port("http", 80, Protocol.HTTP)


def record(*endpoints, ports=(HTTP,), **words):
    """What a source may say of the service under test."""
    return ServiceRecord(
        Service("cart.shop", ports=ports, **{"namespace": "shop", **words}), endpoints
    )


def at(text, **words):
    """An endpoint with further words."""
    return evolve(Endpoint.parse(text), **words)


def said(source, said_record, *, stale=False):
    """A contribution of one source."""
    return Contribution(SourceId(source), said_record, is_current=not stale)


def merged(*contributions, policy=None):
    """The entry that these contributions make."""
    return merge(KEY, contributions, policy or MergePolicy())


def conflict(field, chosen, rejected, winner="a", loser="b"):
    """A conflict that the first source has won, unless it says otherwise."""
    return Conflict(field=field, winner=winner, loser=loser, chosen=chosen, rejected=rejected)


def test_no_record_is_no_service():
    """The last contribution takes the service along."""
    assert merged() is None


def test_a_single_record_is_taken_as_it_is():
    """Nothing is copied that need not be."""
    alone = record(at("10.0.0.1:80"), labels={"team": "x"})
    entry = merged(said("a", alone))
    assert entry.service is alone.service
    assert entry.endpoints is alone.endpoints
    assert entry.sources == ("a",)
    assert entry.endpoint_sources == (("a",),)
    assert entry.conflicts == ()
    assert entry.provenance == (
        ("addresses", "a"),
        ("labels", "a"),
        ("ports[80]", "a"),
        ("resolution", "a"),
    )


def test_the_namespace_of_the_key_is_set():
    """A service without a namespace has the empty one in the catalog."""
    entry = merge(ServiceKey("", "cart.shop"), [said("a", record(namespace=None))], MergePolicy())
    assert entry.service.namespace == ""


def test_the_first_source_in_order_defines_protocol_resolution_vip_and_labels():
    """Also when it is STALE; what the other says otherwise is listed."""
    first = record(addresses=["10.1.0.1"], labels={"team": "x"})
    second = record(
        ports=[Port("http", 80, Protocol.TCP)],
        resolution=Resolution.DNS,
        addresses=["10.2.0.1", "10.2.0.2"],
        labels={"team": "y", "tier": "1"},
        export_to=["."],
        is_external=True,
    )
    entry = merged(said("a", first, stale=True), said("b", second))
    assert entry.service == first.service
    assert entry.conflicts == (
        conflict("resolution", "EDS", "DNS"),
        conflict("addresses", "10.1.0.1", "10.2.0.1,10.2.0.2"),
        conflict("is_external", "False", "True"),
        conflict("export_to", "*", "."),
        conflict("labels[team]", "x", "y"),
        conflict("labels[tier]", "", "1"),
        conflict("ports[80].protocol", "HTTP", "TCP"),
    )


def test_who_says_nothing_is_not_contradicted():
    """Missing addresses, labels or identities are no opinion."""
    full = record(
        at("10.0.0.1:80", cluster="east", locality=Locality("eu"), labels={"v": "1"}),
        addresses=["10.1.0.1"],
        labels={"team": "x"},
    )
    entry = merged(said("a", full), said("b", record(at("10.0.0.1:80"))))
    assert entry.conflicts == ()
    assert entry.sources == ("a", "b")


def test_ports_unite_by_number():
    """A port that only a later source knows is added, and its endpoints with it."""
    admin = Port("admin", 9000, Protocol.HTTP)
    entry = merged(
        said("a", record(at("10.0.0.1:80"))),
        said("b", record(at("10.0.0.0:9000", service_port="admin"), ports=[admin])),
    )
    assert entry.service.ports == (HTTP, admin)
    assert ("ports[9000]", "b") in entry.provenance
    assert [str(endpoint) for endpoint in entry.endpoints] == ["10.0.0.0:9000", "10.0.0.1:80"]
    assert entry.endpoint_sources == (("b",), ("a",))


def test_endpoints_follow_their_port_by_number_to_its_merged_name():
    """One number with two names: the first name stands, the other's endpoints are renamed."""
    web = Port("web", 80, Protocol.HTTP)
    entry = merged(
        said("a", record(at("10.0.0.1:80"))),
        said(
            "b",
            record(
                at("10.0.0.1:80", service_port="web"),
                at("10.0.0.2:80", service_port="web"),
                ports=[web],
            ),
        ),
    )
    assert [endpoint.service_port for endpoint in entry.endpoints] == ["http", "http"]
    assert entry.endpoint_sources == (("a", "b"), ("b",))
    assert entry.conflicts == (conflict("ports[80].name", "http", "web"),)


def test_endpoints_unite_by_identity():
    """Overlapping addresses of two networks stay two endpoints."""
    entry = merged(
        said("a", record(at("10.0.0.1:80", network="n1"), at("10.0.0.9:80"))),
        said("b", record(at("10.0.0.1:80", network="n2"), at("10.0.0.9:80"))),
    )
    assert [(one.network, str(one)) for one in entry.endpoints] == [
        ("", "10.0.0.9:80"),
        ("n1", "10.0.0.1:80"),
        ("n2", "10.0.0.1:80"),
    ]
    assert entry.endpoint_sources == (("a", "b"), ("a",), ("b",))


def test_health_weight_and_labels_come_from_the_first_source_that_is_not_stale():
    """The place of an endpoint stays the first source's."""
    old = at("10.0.0.1:80", weight=5, labels={"v": "1"}, cluster="east")
    new = at("10.0.0.1:80", health=Health.DRAINING, labels={"v": "2"}, cluster="west")
    entry = merged(said("a", record(old), stale=True), said("b", record(new)))
    assert entry.endpoints == (
        evolve(old, health=Health.DRAINING, weight=1, labels=Labels({"v": "2"})),
    )
    where = "endpoints[10.0.0.1:80]"
    assert entry.conflicts == (
        conflict(f"{where}.health", "DRAINING", "HEALTHY", "b", "a"),
        conflict(f"{where}.weight", "1", "5", "b", "a"),
        conflict(f"{where}.labels", "v=2", "v=1", "b", "a"),
        conflict(f"{where}.cluster", "east", "west"),
    )


def test_of_current_sources_the_first_decides_health():
    """As it does when all are STALE."""
    up, down = record(at("10.0.0.1:80")), record(at("10.0.0.1:80", health=Health.UNHEALTHY))
    for stale in (False, True):
        entry = merged(said("a", down, stale=stale), said("b", up, stale=stale))
        assert entry.endpoints[0].health is Health.UNHEALTHY


def test_an_endpoint_whose_service_port_is_not_in_the_result_is_dropped_and_reported():
    """Nobody wins: the rule decides."""
    entry = merged(said("b", record(at("10.0.0.1:80", service_port="ghost"))))
    assert entry.endpoints == ()
    assert entry.conflicts == (
        conflict("endpoints[10.0.0.1:80]", "", "service port 'ghost'", winner=None),
    )


def test_records_of_one_source_unite_like_sources():
    """A backend may spread a service over many records."""
    second = ServiceRecord(record().service, [at("10.0.0.2:80")], key=RecordKey("cart-2"))
    entry = merged(said("a", record(at("10.0.0.1:80"))), said("a", second))
    assert entry.sources == ("a",)
    assert entry.endpoint_sources == (("a",), ("a",))
    assert len(entry.endpoints) == 2


def test_a_policy_may_put_sources_first():
    """Its order comes before the order of the settings, for the sources that it names."""
    entry = merged(
        said("a", record(labels={"from": "a"})),
        said("b", record(labels={"from": "b"})),
        said("c", record(labels={"from": "c"})),
        policy=MergePolicy(order=["c", "x", "c"]),
    )
    assert entry.sources == ("c", "a", "b")
    assert entry.service.labels == Labels({"from": "c"})


def test_a_policy_may_take_the_first_sources_ports_only():
    """Endpoints of the others' ports are dropped and reported."""
    admin = Port("admin", 9000, Protocol.HTTP)
    entry = merged(
        said("a", record()),
        said("b", record(at("10.0.0.2:9000", service_port="admin"), ports=[HTTP, admin])),
        policy=MergePolicy(ports=Union.FIRST),
    )
    assert entry.service.ports == (HTTP,)
    assert entry.endpoints == ()
    assert entry.conflicts == (
        conflict("ports[9000]", "", "admin:9000/HTTP"),
        conflict("endpoints[10.0.0.2:9000]", "", "service port 'admin'", winner=None),
    )


def test_a_policy_may_take_the_endpoints_of_the_first_source_that_has_any():
    """All records of that source count; the others are reported in one line."""
    twin = ServiceRecord(record().service, [at("10.0.0.3:80")], key=RecordKey("cart-2"))
    entry = merged(
        said("empty", record()),
        said("a", record(at("10.0.0.1:80"))),
        said("a", twin),
        said("b", record(at("10.0.0.2:80"))),
        policy=MergePolicy(endpoints=Union.FIRST),
    )
    assert [str(endpoint) for endpoint in entry.endpoints] == ["10.0.0.1:80", "10.0.0.3:80"]
    assert entry.conflicts == (conflict("endpoints", "2 endpoints", "1 endpoint"),)


def test_a_policy_may_unite_labels():
    """Keys that earlier sources do not have are added; each knows its source."""
    entry = merged(
        said("a", record(labels={"team": "x"})),
        said("b", record(labels={"team": "y", "tier": "1"})),
        policy=MergePolicy(labels=Union.UNITE),
    )
    assert entry.service.labels == Labels({"team": "x", "tier": "1"})
    assert ("labels[tier]", "b") in entry.provenance
    assert entry.conflicts == (conflict("labels[team]", "x", "y"),)


def test_an_alias_of_another_host_is_a_conflict():
    """The first source says what the name stands for."""

    def alias(host):
        return record(resolution=Resolution.ALIAS, alias_of=host)

    entry = merged(said("a", alias("one.shop")), said("b", alias("two.shop")))
    assert entry.service.alias_of == "one.shop"
    assert entry.conflicts == (conflict("alias_of", "one.shop", "two.shop"),)


def test_each_field_follows_its_own_order():
    """The sources of the others do not matter for it; whoever loses is listed."""
    first = record(addresses=["10.1.0.1"], labels={"team": "x"})
    second = record(
        ports=[Port("http", 80, Protocol.TCP)], addresses=["10.2.0.1"], labels={"team": "y"}
    )
    policy = MergePolicy(orders={"addresses": ["b"], "protocol": ["b"]})
    entry = merged(said("a", first), said("b", second), policy=policy)
    assert entry.service.addresses == ("10.2.0.1",)
    assert entry.service.labels == Labels({"team": "x"})
    assert entry.service.ports == (Port("http", 80, Protocol.TCP),)
    assert entry.provenance == (
        ("addresses", "b"),
        ("labels", "a"),
        ("ports[80]", "a"),
        ("ports[80].protocol", "b"),
        ("resolution", "a"),
    )
    assert entry.conflicts == (
        conflict("addresses", "10.2.0.1", "10.1.0.1", "b", "a"),
        conflict("labels[team]", "x", "y"),
        conflict("ports[80].protocol", "TCP", "HTTP", "b", "a"),
    )


def test_an_alias_stands_for_what_the_source_of_the_resolution_says():
    """Both come from one source, since neither means anything without the other."""
    alias = record(resolution=Resolution.ALIAS, alias_of="other.shop")
    policy = MergePolicy(orders={"resolution": ["b"]})
    entry = merged(said("a", record()), said("b", alias), policy=policy)
    assert (entry.service.resolution, entry.service.alias_of) == (Resolution.ALIAS, "other.shop")


class TestFailover:
    """Sources as priorities."""

    FAILOVER = MergePolicy(endpoints=Union.FAILOVER)

    def test_each_source_has_a_priority_of_its_own(self):
        """In order; an endpoint that two know is the first one's."""
        entry = merged(
            said("a", record(at("10.0.0.1:80"), at("10.0.0.2:80"))),
            said("b", record(at("10.0.0.2:80"), at("10.0.0.3:80"))),
            policy=self.FAILOVER,
        )
        assert [(str(one), one.priority) for one in entry.endpoints] == [
            ("10.0.0.1:80", 0),
            ("10.0.0.2:80", 0),
            ("10.0.0.3:80", 1),
        ]
        assert entry.endpoint_sources == (("a",), ("a", "b"), ("b",))

    def test_a_source_that_is_stale_stays_in_its_place(self):
        """What is not current any more may still be true."""
        entry = merged(
            said("a", record(at("10.0.0.1:80")), stale=True),
            said("b", record(at("10.0.0.2:80"))),
            policy=self.FAILOVER,
        )
        assert [one.priority for one in entry.endpoints] == [0, 1]

    def test_the_order_of_endpoints_may_be_their_own(self):
        """The first source in order keeps the rest."""
        policy = MergePolicy(endpoints=Union.FAILOVER, orders={"endpoints": ["b"]})
        entry = merged(
            said("a", record(at("10.0.0.1:80"), labels={"x": "1"})),
            said("b", record(at("10.0.0.2:80"))),
            policy=policy,
        )
        assert [one.priority for one in entry.endpoints] == [1, 0]
        assert entry.service.labels == Labels({"x": "1"})

    def test_two_records_of_one_source_have_one_priority(self):
        """They unite as ever."""
        entry = merged(
            said("a", record(at("10.0.0.1:80"))),
            said("a", record(at("10.0.0.2:80"))),
            said("b", record(at("10.0.0.3:80"))),
            policy=self.FAILOVER,
        )
        assert [one.priority for one in entry.endpoints] == [0, 0, 1]
