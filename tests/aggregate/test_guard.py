"""The guard against mass loss: what it withholds, and when it lets go (contracts, section 4)."""

from __future__ import annotations

import pytest
from attrs import evolve

from meshregistry.aggregate import Guard, GuardPolicy, PartId, Remove, Replace, SourceTable, Upsert
from meshregistry.aggregate._updates import Fault
from meshregistry.model import (
    Endpoint,
    Health,
    Hostname,
    Port,
    RecordKey,
    Service,
    ServiceKey,
    ServiceRecord,
    SourceId,
)

DC = PartId(SourceId("dc"), "east")
OTHER = PartId(SourceId("dc"), "west")


def record(host, count, *, first=1, health=Health.HEALTHY, weight=1):
    """A service with so many endpoints, numbered from `first`."""
    endpoints = [
        Endpoint(address=f"10.0.0.{n}", port=80, health=health, weight=weight)
        for n in range(first, first + count)
    ]
    return ServiceRecord.parse(f"{host}.shop", port=80, endpoints=endpoints)


class Guarded:
    """A table behind a guard."""

    def __init__(self, policy=GuardPolicy()):  # noqa: B008 - frozen
        self.guard = Guard(lambda _: policy)
        self.table = SourceTable([self.guard])

    def apply(self, update, now, part=DC):
        """Apply one update."""
        self.table.apply(part, update, lambda record: record, now)

    def release(self, now, part=DC):
        """Believe the loss."""
        self.apply(self.guard.release(part, self.table.given(part)), now, part)

    def loss(self, part=DC):
        """What is withheld."""
        return self.guard.loss(part, self.table.given(part))

    @property
    def held(self):
        """What is shown of the part."""
        return set(self.table.records(DC).values())

    @property
    def healthy(self):
        """How many endpoints are shown as healthy."""
        return sum(
            one.health is Health.HEALTHY and one.weight > 0
            for record in self.held
            for one in record.endpoints
        )


@pytest.fixture
def guarded():
    """A part with 30 healthy endpoints of three services."""
    made = Guarded()
    made.apply(Replace((record("a", 10), record("b", 10), record("c", 10))), 0.0)
    return made


def test_a_listing_without_most_endpoints_removes_none(guarded):
    """Records that are gone entirely stay as they were."""
    before = guarded.held
    guarded.apply(Replace(()), 1.0)
    assert guarded.held == before
    loss = guarded.loss()
    assert (loss.before, loss.after, loss.withheld, loss.since, loss.until) == (30, 0, 30, 1.0, 601)


def test_many_small_removals_are_a_loss_together(guarded):
    """What came before half was reached has been let go; the rest is kept."""
    for name, left in (("a", 5), ("b", 5), ("c", 5)):
        for count in reversed(range(left, 10)):
            guarded.apply(Upsert(record(name, count)), 1.0)
    assert guarded.healthy == 15
    assert guarded.loss() is None
    guarded.apply(Upsert(record("a", 4)), 2.0)
    guarded.apply(Remove(RecordKey("b.shop")), 3.0)
    assert guarded.healthy == 15
    assert (guarded.loss().after, guarded.loss().withheld) == (9, 6)


def test_a_loss_of_health_is_withheld(guarded):
    """Endpoints that most suddenly fail, or lose all weight, are shown as they were."""
    sick = [record(name, 10, health=Health.UNHEALTHY) for name in "ab"]
    guarded.apply(Replace((*sick, record("c", 10, weight=0))), 1.0)
    assert guarded.held == {record("a", 10), record("b", 10), record("c", 10)}
    guarded.apply(Upsert(record("a", 10, health=Health.DRAINING)), 2.0)
    assert guarded.healthy == 30


def test_additions_and_changes_pass(guarded):
    """New endpoints, new services and new fields of what is withheld."""
    guarded.apply(Replace(()), 1.0)
    renamed = record("a", 1)
    renamed = evolve(renamed, service=evolve(renamed.service, labels={"team": "x"}))
    guarded.apply(Upsert(renamed), 2.0)
    guarded.apply(Upsert(record("d", 2)), 3.0)
    guarded.apply(Upsert(record("b", 1, first=50)), 3.0)
    shown = {str(one.service.host): one for one in guarded.held}
    assert dict(shown["a.shop"].service.labels) == {"team": "x"}
    assert {host: len(one.endpoints) for host, one in shown.items()} == {
        "a.shop": 10,
        "b.shop": 11,
        "c.shop": 10,
        "d.shop": 2,
    }


def test_what_was_not_healthy_may_go():
    """Drained and failed endpoints are no loss, also while others are withheld."""
    guarded = Guarded()
    drained = record("b", 3, first=20, health=Health.DRAINING)
    guarded.apply(Replace((record("a", 12), drained)), 0.0)
    guarded.apply(Replace((evolve(drained, endpoints=()),)), 1.0)
    assert guarded.held == {record("a", 12), evolve(drained, endpoints=())}


def test_recovery_shows_what_the_registry_says(guarded):
    """As soon as half is there again, everything else is let go."""
    guarded.apply(Replace(()), 1.0)
    guarded.apply(Upsert(record("a", 10)), 2.0)
    assert guarded.healthy == 30
    guarded.apply(Upsert(record("d", 5, first=90)), 3.0)
    assert guarded.held == {record("a", 10), record("d", 5, first=90)}
    assert guarded.loss() is None


def test_a_listing_that_recovers_is_shown_as_it_is(guarded):
    """Keys that it calls faulty keep what the registry said of them last, which may be nothing."""
    guarded.apply(Replace((record("a", 1),)), 1.0)
    good = (record("b", 10), record("c", 10))
    guarded.apply(Replace(good, (Fault(record("a", 1).key, "bad"),)), 2.0)
    assert guarded.held == {record("a", 1), *good}


def test_release_shows_what_the_registry_says_and_counts_anew(guarded):
    """After an operator or the time has believed it, less is the measure."""
    guarded.apply(Replace((record("a", 10),)), 1.0)
    guarded.release(2.0)
    assert guarded.held == {record("a", 10)}
    assert guarded.guard.deadline(DC) is None
    guarded.apply(Replace((record("a", 1),)), 3.0)
    assert guarded.loss() is None
    guarded.apply(Replace(()), 4.0)
    assert (guarded.loss().before, guarded.loss().withheld) == (10, 1)


def test_what_has_left_the_window_is_no_measure():
    """Endpoints that go slowly are let go."""
    guarded = Guarded(GuardPolicy(window=60.0))
    guarded.apply(Upsert(record("a", 30)), 0.0)
    guarded.apply(Upsert(record("a", 16)), 10.0)
    guarded.apply(Upsert(record("a", 9)), 69.0)
    assert guarded.loss().before == 30
    guarded = Guarded(GuardPolicy(window=60.0))
    guarded.apply(Upsert(record("a", 30)), 0.0)
    guarded.apply(Upsert(record("a", 16)), 10.0)
    guarded.apply(Upsert(record("a", 9)), 71.0)
    assert guarded.loss() is None
    assert guarded.healthy == 9


def test_what_was_there_long_is_the_measure(guarded):
    """A registry that comes back after hours and knows nothing is not believed."""
    guarded.apply(Replace(()), 7200.0)
    assert guarded.healthy == 30


def test_few_endpoints_may_go_altogether():
    """A loss has at least ten endpoints."""
    guarded = Guarded()
    guarded.apply(Replace((record("a", 9),)), 0.0)
    guarded.apply(Replace(()), 1.0)
    assert guarded.held == set()


def test_replacing_all_endpoints_is_no_loss(guarded):
    """A rolling restart ends with as many as before."""
    new = tuple(record(name, 10, first=100) for name in "abc")
    guarded.apply(Replace(new), 1.0)
    assert guarded.held == set(new)


def test_parts_are_judged_apart(guarded):
    """The loss of one datacenter is not made up for by another."""
    guarded.apply(Replace((record("z", 100),)), 0.0, OTHER)
    guarded.apply(Replace(()), 1.0)
    assert guarded.loss().withheld == 30
    assert guarded.loss(OTHER) is None


def test_a_key_that_names_another_service_is_a_change():
    """Endpoints never move to a service that never had them."""
    guarded = Guarded()
    guarded.apply(Replace((record("a", 20),)), 0.0)
    moved = evolve(record("b", 1, first=60), key=record("a", 1).key)
    guarded.apply(Upsert(moved), 1.0)
    assert guarded.held == {moved}


def test_further_names_of_a_service_that_has_lost_much_stay():
    """The registry still says them; what is kept are endpoints."""
    names = [ServiceKey("", Hostname("old.shop"))]
    guarded = Guarded()
    guarded.apply(Replace((evolve(record("a", 20), aliases=names),)), 0.0)
    guarded.apply(Upsert(evolve(record("a", 1), aliases=names)), 1.0)
    (shown,) = guarded.held
    assert (len(shown.endpoints), shown.aliases) == (20, tuple(names))


def ported(number, *addresses, name="http"):
    """A service whose only port has this number."""
    return ServiceRecord.parse("a.shop", port=number, port_name=name, endpoints=addresses)


def test_what_is_kept_keeps_its_port():
    """An endpoint of a port that is not there any more would be of no use."""
    old = ServiceRecord(
        Service("a.shop", ports=[Port("one", 81), Port("two", 82)]),
        [
            Endpoint(address=f"10.0.0.{n}", port=80, service_port=name)
            for n, name in enumerate(["one"] * 10 + ["two"] * 10)
        ],
    )
    guarded = Guarded()
    guarded.apply(Replace((old,)), 0.0)
    guarded.apply(Upsert(ported(83, "10.0.0.50:80", name="three")), 1.0)
    (shown,) = guarded.held
    assert [str(port) for port in shown.service.ports] == [
        *("one:81/UnsupportedProtocol", "two:82/UnsupportedProtocol", "three:83/HTTP"),
    ]
    assert len(shown.endpoints) == 21
    guarded.apply(Upsert(ported(82, "10.0.0.50:80", name="three")), 2.0)
    (shown,) = guarded.held
    assert {(port.name, port.number) for port in shown.service.ports} == {
        ("one", 81),
        ("three", 82),
    }
    assert len(shown.endpoints) == 21
    guarded.apply(Upsert(ported(84, "10.0.0.50:80", name="one")), 3.0)
    (shown,) = guarded.held
    assert {(port.name, port.number) for port in shown.service.ports} == {
        ("one", 84),
        ("three", 82),
    }
    assert len(shown.endpoints) == 21


def test_what_a_registry_calls_otherwise_now_is_not_lost():
    """The same instance at a port of another name is there once, also if it is ill."""
    many = [f"10.0.0.{n}:80" for n in range(20)]
    guarded = Guarded()
    guarded.apply(Replace((ported(80, *many),)), 0.0)
    guarded.apply(Upsert(ported(80, *many, name="web")), 1.0)
    assert guarded.held == {ported(80, *many, name="web")}
    guarded.apply(Upsert(ported(80, many[0])), 2.0)
    assert guarded.held == {ported(80, *many)}
    guarded = Guarded()
    guarded.apply(Replace((ported(80, *many),)), 0.0)
    ill = [Endpoint.parse(one) for one in many]
    ill = [evolve(one, health=Health.UNHEALTHY) for one in ill]
    guarded.apply(Upsert(ported(80, *ill, name="web")), 1.0)
    assert guarded.held == {ported(80, *many, name="web")}
    assert guarded.loss().withheld == 20


def test_what_is_gone_and_unknown_stays_gone(guarded):
    """Removing what nobody knows changes nothing, also while something is withheld."""
    guarded.apply(Replace(()), 1.0)
    before = guarded.held
    guarded.apply(Remove(RecordKey("nobody")), 2.0)
    guarded.apply(Upsert(record("new", 1)), 3.0)
    assert guarded.held == {*before, record("new", 1)}


def test_a_source_without_policy_is_not_guarded():
    """Its updates pass as they are."""
    guarded = Guarded(None)
    guarded.apply(Replace((record("a", 30),)), 0.0)
    guarded.apply(Replace(()), 1.0)
    assert guarded.held == set()
    assert guarded.guard.deadline(DC) is None


def test_a_part_that_is_forgotten_is_counted_anew(guarded):
    """What was dropped on purpose is no loss."""
    guarded.apply(Replace(()), 1.0)
    guarded.guard.forget(DC)
    guarded.table.forget(DC)
    guarded.apply(Replace((record("a", 1),)), 2.0)
    assert guarded.held == {record("a", 1)}
    assert not guarded.guard.is_lost(DC)


@pytest.mark.parametrize(
    "words", [{"window": 0}, {"share": 1.5}, {"at_least": 0}, {"confirm_after": -1}]
)
def test_a_policy_out_of_range_is_refused(words):
    """Each field has a range."""
    with pytest.raises(ValueError, match=r"must|'"):
        GuardPolicy(**words)


class CountingRecords(dict):
    """What is held, with a count of how often all of it is walked."""

    walks = 0

    def __iter__(self):
        self.walks += 1
        return super().__iter__()

    def values(self):
        self.walks += 1
        return super().values()


def test_a_single_record_costs_no_walk_over_all():
    """Only the first update of a part, a listing and a release look at every record."""
    guard = Guard(lambda _: GuardPolicy())
    held = CountingRecords({one.key: one for one in [record(f"s{n}", 2) for n in range(100)]})
    guard(DC, held, Upsert(record("s1", 3)), 0.0)
    held.walks = 0
    for count in (3, 2, 1, 0):
        for n in range(100):
            update = guard(DC, held, Upsert(record(f"s{n}", count)), 1.0)
            held[update.record.key] = update.record
    assert guard.is_lost(DC)
    assert held.walks == 0
