"""Laws of the aggregate: order never matters, errors never remove, equal is silent."""

from __future__ import annotations

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from meshregistry.aggregate import (
    Aggregation,
    Confirm,
    Contribution,
    Degrade,
    Fault,
    PartId,
    Remove,
    Replace,
    Source,
    Upsert,
    identity_transform,
    merge,
)
from meshregistry.errors import RecordError, RegistryUnavailable
from meshregistry.model import (
    MERGE_FIELDS,
    Catalog,
    Endpoint,
    Health,
    Identity,
    IdentityTemplate,
    MergePolicy,
    NamePattern,
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
from meshregistry.spi import Condition

EXAMPLES = settings(max_examples=30)
NAMES = ("a", "b", "c")
GONE = RegistryUnavailable("gone")

ports = st.lists(
    st.builds(
        Port,
        st.sampled_from(["http", "web", "http-81"]),
        st.sampled_from([80, 81, 82]),
        st.sampled_from([Protocol.HTTP, Protocol.TCP]),
    ),
    min_size=1,
    max_size=3,
    unique_by=(lambda port: port.name, lambda port: port.number),
)
labels = st.dictionaries(st.sampled_from("xy"), st.sampled_from("12"), max_size=2)
endpoints = st.lists(
    st.builds(
        Endpoint,
        address=st.sampled_from(["10.0.0.1", "10.0.0.2"]),
        port=st.just(8080),
        service_port=st.sampled_from(["http", "http", "web", "http-81"]),
        health=st.sampled_from(Health),
        weight=st.integers(0, 2),
        labels=labels,
    ),
    max_size=4,
    unique_by=lambda endpoint: endpoint.key,
)
services = st.builds(
    Service,
    st.sampled_from(["cart.shop"] * 3 + ["pay.shop"]),
    ports=st.one_of(st.just([Port("http", 80, Protocol.HTTP)]), ports),
    labels=labels,
    addresses=st.lists(st.sampled_from(["10.9.0.1", "10.9.0.2"]), max_size=2),
)
records = st.builds(
    ServiceRecord, services, endpoints, key=st.sampled_from([RecordKey("r1"), RecordKey("r2")])
)
record_lists = st.lists(records, min_size=1, max_size=2, unique_by=lambda record: record.key)
faults = st.lists(st.sampled_from([Fault(RecordKey("r1"), "bad"), Fault(None, "bad")]), max_size=1)
updates = st.one_of(
    st.builds(Replace, st.one_of(record_lists, st.just([])).map(tuple), faults.map(tuple)),
    st.builds(Upsert, records),
    st.builds(Remove, st.sampled_from([RecordKey("r1"), RecordKey("r2")])),
)
failures = st.sampled_from(
    [Degrade(GONE), Degrade(RecordError("bad", key="r1")), Degrade(RecordError("bad"))]
)
messages = st.one_of(updates, failures, st.sampled_from([Confirm(), Degrade(GONE)]))
part_ids = st.builds(
    PartId, st.sampled_from(NAMES).map(SourceId), st.sampled_from(["", "", "east"])
)
orders = st.lists(st.sampled_from(NAMES).map(SourceId), max_size=2)
policies = st.builds(
    MergePolicy,
    order=orders,
    orders=st.dictionaries(st.sampled_from(MERGE_FIELDS), orders, max_size=3),
    ports=st.sampled_from([Union.UNITE, Union.FIRST]),
    endpoints=st.sampled_from(Union),
    labels=st.sampled_from([Union.UNITE, Union.FIRST]),
)
# Each source begins with a listing, so that most later words meet data of others.
listings = st.tuples(
    *(
        st.tuples(st.just(PartId(SourceId(name))), st.builds(Replace, record_lists.map(tuple)))
        for name in NAMES
    )
).map(list)
words = st.builds(
    lambda first, then: first + then,
    listings,
    st.lists(st.tuples(part_ids, messages), min_size=3, max_size=8),
)


def source(name):
    """A source that is never opened here."""
    return Source(id=SourceId(name), kind="scripted", open=lambda context: None)


def aggregation(policy, names=NAMES):
    """An aggregation in which the first attempt of each source has begun."""
    made = Aggregation(lambda _: policy)
    made.arrange([source(name) for name in names], 0.0)
    for name in names:
        made.begin(SourceId(name))
        # Both parts are declared, so that no former part is dropped half-way.
        made.declare(SourceId(name), ["", "east"])
    return made


def told(made, said):
    """The aggregation after these words."""
    for part, message in said:
        made.receive(part, message, 0.0)
    made.settle()
    return made


def everything(catalog):
    """All of a catalog, with what is not part of its services' equality."""
    return {entry.key: entry for entry in catalog}


@EXAMPLES
@given(words, policies, st.randoms(use_true_random=False))
def test_order_of_arrival_never_matters(said, policy, random):
    """Any interleaving that keeps the order of each part's words gives the same catalog."""
    by_part = {}
    for part, message in said:
        by_part.setdefault(part, []).append((part, message))
    shuffled = []
    queues = [list(queue) for queue in by_part.values()]
    while queues := [queue for queue in queues if queue]:
        shuffled.append(random.choice(queues).pop(0))
    one, other = aggregation(policy), aggregation(policy)
    for part, message in shuffled:
        other.receive(part, message, 0.0)
        if random.random() < 0.5:
            other.settle()
    other.settle()
    assert everything(told(one, said).catalog) == everything(other.catalog)


@EXAMPLES
@given(words, policies)
def test_the_incremental_merge_equals_the_merge_from_scratch(said, policy):
    """Merging service by service as words come ends where merging all at the end does."""
    stepwise = aggregation(policy)
    for one in said:
        told(stepwise, [one])
    at_once = told(aggregation(policy), said)
    assert everything(stepwise.catalog) == everything(at_once.catalog)
    again = Catalog.of(stepwise.catalog.entries())
    for host in ("cart.shop", "pay.shop"):
        assert again.endpoints(host) == stepwise.catalog.endpoints(host)


@EXAMPLES
@given(words, policies)
def test_each_difference_is_that_of_the_two_catalogs(said, policy):
    """Nothing is lost and nothing made up between one catalog and the next."""
    made = aggregation(policy)
    for part, message in said:
        before = made.catalog
        made.receive(part, message, 0.0)
        diff = made.settle()
        assert made.catalog.diff(before) == diff
        assert (made.catalog is before) == (not diff)


@EXAMPLES
@given(words, policies)
def test_equal_input_publishes_nothing(said, policy):
    """Whoever says again what is held already changes nothing."""
    parts = [PartId(SourceId(name), part) for name in NAMES for part in ("", "east")]
    made = told(aggregation(policy), [(part, Replace(())) for part in parts])
    told(made, [(part, one) for part, one in said if not isinstance(one, Degrade)])
    catalog = made.catalog
    for part in parts:
        held = tuple(made._table._parts[part].given.values())
        told(made, [(part, Upsert(record)) for record in held])
        told(made, [(part, Replace(held[::-1])), (part, Confirm())])
    assert made.catalog is catalog


@EXAMPLES
@given(words, st.lists(st.tuples(part_ids, failures), max_size=6), policies)
def test_a_failing_source_never_removes_data(said, failing, policy):
    """Whatever fails, every endpoint and service stays; only who decides health may change."""
    made = told(aggregation(policy), said)
    before = made.catalog
    told(made, failing)
    for name in NAMES:
        made.fail(SourceId(name), Condition.FAILED, GONE, 1.0)
        made.begin(SourceId(name))
    made.settle()
    after = made.catalog
    assert after.services() == before.services()
    for host in ("cart.shop", "pay.shop"):
        assert [one.key for one in after.endpoints(host)] == [
            one.key for one in before.endpoints(host)
        ]


@EXAMPLES
@given(words, policies)
def test_a_failing_source_never_blocks_another(said, policy):
    """If one source is silent or failing, the others make the catalog that they make alone."""
    others = [(part, message) for part, message in said if part.source != "a"]
    alone = told(aggregation(policy, ("b", "c")), others)
    beside = aggregation(policy)
    beside.receive(PartId(SourceId("a")), Degrade(GONE), 0.0)
    for one in others:
        beside.fail(SourceId("a"), Condition.FAILED, GONE, 0.0)
        beside.begin(SourceId("a"))
        told(beside, [one])
    assert everything(beside.catalog) == everything(alone.catalog)


@EXAMPLES
@given(record_lists, st.one_of(record_lists, st.just([])), policies, failures)
def test_a_mass_loss_is_what_the_source_said_never_what_an_error_said(
    first, second, policy, failure
):
    """A record goes if, and only if, a listing without faults no longer has it."""
    part = PartId(SourceId("a"))
    made = told(aggregation(policy), [(part, Replace(tuple(first))), (part, failure)])
    made.fail(SourceId("a"), Condition.STALE, GONE, 1.0)
    made.begin(SourceId("a"))
    first_hosts = {record.service.host for record in first}
    told(made, [(part, Replace((), (Fault(None, "unreadable"),)))])
    assert {service.host for service in made.catalog.services()} == first_hosts
    told(made, [(part, Replace(tuple(second)))])
    second_hosts = {record.service.host for record in second}
    assert {service.host for service in made.catalog.services()} == second_hosts


contributions = st.lists(
    st.builds(
        Contribution, st.sampled_from(NAMES).map(SourceId), records, is_current=st.booleans()
    ),
    min_size=1,
    max_size=4,
)


def of_one_service(said):
    """The same contributions, made to speak of one service; those of one source together.

    So the aggregation hands them over: by the order of sources, then of parts and records.
    """
    service_name = said[0].record.service.host
    sources = list(dict.fromkeys(one.source for one in said))
    said = sorted(said, key=lambda one: sources.index(one.source))
    return [
        evolve(
            one,
            record=ServiceRecord(
                evolve(one.record.service, host=service_name, namespace=""), one.record.endpoints
            ),
        )
        for one in said
    ]


@EXAMPLES
@given(contributions, policies)
def test_every_merged_value_is_sound_and_knows_its_sources(said, policy):
    """Endpoints are sorted, unique, at ports that exist; sources and provenance are complete."""
    said = of_one_service(said)
    key = ServiceKey("", said[0].record.service.host)
    entry = merge(key, said, policy)
    assert entry == merge(key, said, policy)
    keys = [endpoint.key for endpoint in entry.endpoints]
    assert keys == sorted(set(keys))
    assert {one.service_port for one in entry.endpoints} <= {
        one.name for one in entry.service.ports
    }
    assert len(entry.endpoint_sources) == len(entry.endpoints)
    known = {one.source for one in said}
    assert set(entry.sources) == known
    assert all(sources and set(sources) <= known for sources in entry.endpoint_sources)
    provenance = dict(entry.provenance)
    assert {f"ports[{port.number}]" for port in entry.service.ports} <= provenance.keys()
    assert {"resolution", "addresses", "labels"} <= provenance.keys()


@EXAMPLES
@given(contributions)
def test_no_endpoint_is_lost_unless_it_is_reported(said):
    """By the default policy every endpoint is in the result or among the conflicts."""
    said = of_one_service(said)
    entry = merge(ServiceKey("", said[0].record.service.host), said, MergePolicy())
    there = {(endpoint.address, endpoint.port) for endpoint in entry.endpoints}
    reported = {one.field for one in entry.conflicts if one.winner is None}
    for one in said:
        for endpoint in one.record.endpoints:
            is_there = (endpoint.address, endpoint.port) in there
            assert is_there or f"endpoints[{endpoint}]" in reported


def in_order(said, policy, name):
    """The sources that speak, in the policy's order for a field."""
    known = list(dict.fromkeys(one.source for one in said))
    declared = [one for one in policy.order_of(name) if one in known]
    return [*declared, *(one for one in known if one not in declared)]


@EXAMPLES
@given(contributions, policies)
def test_each_field_is_that_of_the_first_source_in_its_order(said, policy):
    """Whatever the order of the other fields; and the provenance says so."""
    said = of_one_service(said)
    entry = merge(ServiceKey("", said[0].record.service.host), said, policy)
    provenance = dict(entry.provenance)
    for name in ("addresses", "resolution", "labels"):
        assert provenance[name] == in_order(said, policy, name)[0]
    service = entry.service
    first = next(one for one in said if one.source == provenance["addresses"])
    assert service.addresses == first.record.service.addresses
    for port in service.ports:
        speakers = [
            spoken.protocol
            for source in in_order(said, policy, "protocol")
            for one in said
            if one.source == source
            for spoken in one.record.service.ports
            if spoken.number == port.number
        ]
        assert port.protocol is speakers[0]
        assert any(one is not port.protocol for one in speakers) == any(
            one.field == f"ports[{port.number}].protocol" for one in entry.conflicts
        )


@EXAMPLES
@given(contributions, policies)
def test_failover_has_the_endpoints_that_uniting_has(said, policy):
    """The only difference is the priority, which is the place of the first source that has it."""
    said = of_one_service(said)
    key = ServiceKey("", said[0].record.service.host)
    over = merge(key, said, evolve(policy, endpoints=Union.FAILOVER))
    united = merge(key, said, evolve(policy, endpoints=Union.UNITE))
    assert [evolve(one, priority=0) for one in over.endpoints] == list(united.endpoints)
    assert over.conflicts == united.conflicts
    order = in_order(said, policy, "endpoints")
    for endpoint, sources in zip(over.endpoints, over.endpoint_sources, strict=True):
        assert endpoint.priority == min(order.index(one) for one in sources)


@EXAMPLES
@given(contributions, policies)
def test_a_stale_source_keeps_its_place(said, policy):
    """Nothing but who decides health, weight and labels of shared endpoints depends on it."""
    said = of_one_service(said)
    key = ServiceKey("", said[0].record.service.host)
    fresh = merge(key, [evolve(one, is_current=True) for one in said], policy)
    stale = merge(key, [evolve(one, is_current=False) for one in said], policy)
    assert stale.service == fresh.service
    assert [(one.key, one.priority) for one in stale.endpoints] == [
        (one.key, one.priority) for one in fresh.endpoints
    ]


def under_other_names(said):
    """The same words, in which source b calls every service by another name."""

    def other(record):
        host = record.service.host.replace(".shop", ".consul")
        return ServiceRecord(evolve(record.service, host=host), record.endpoints, key=record.key)

    for part, message in said:
        match message:
            case Replace(records, faulty) if part.source == "b":
                yield part, Replace(tuple(map(other, records)), faulty)
            case Upsert(record) if part.source == "b":
                yield part, Upsert(other(record))
            case _:
                yield part, message


CONSUL = IdentityTemplate(
    pattern=NamePattern("{name}.consul"), host="{name}.shop", sources=(SourceId("b"),)
)


def identified(policy, *, keeps_names):
    """An aggregation that knows what b's names mean."""
    made = aggregation(policy)
    identity = Identity(templates=(CONSUL,), keeps_names=keeps_names)
    made.transform([identity_transform(identity)])
    return made


@EXAMPLES
@given(words, policies)
def test_identified_names_merge_as_if_they_were_one_name(said, policy):
    """Whatever is said; the former names are aliases of what there is, and nothing else."""
    plain = everything(told(aggregation(policy), said).catalog)
    renamed = list(under_other_names(said))
    made = told(identified(policy, keeps_names=False), renamed)
    assert everything(made.catalog) == plain
    keeping = told(identified(policy, keeps_names=True), renamed)
    found = everything(keeping.catalog)
    aliases = {key for key in found if key.host.endswith(".consul")}
    assert {key: entry for key, entry in found.items() if key not in aliases} == plain
    for key in aliases:
        assert found[key].service.resolution is Resolution.ALIAS
        assert ServiceKey("", found[key].service.alias_of) in plain
        assert found[key].sources == ("b",)


@EXAMPLES
@given(words, policies)
def test_an_identity_that_comes_late_ends_where_one_from_the_start_does(said, policy):
    """Naming everything again in one step loses nothing and keeps nothing of before."""
    renamed = list(under_other_names(said))
    early = told(identified(policy, keeps_names=True), renamed)
    late = told(aggregation(policy), renamed)
    late.transform([identity_transform(Identity(templates=(CONSUL,)))])
    late.settle()
    assert everything(late.catalog) == everything(early.catalog)
