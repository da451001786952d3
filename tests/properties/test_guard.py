"""Laws of the guard: it invents nothing, lets additions pass, and gives way to the truth."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from meshregistry.aggregate import (
    Fault,
    Guard,
    GuardPolicy,
    PartId,
    Remove,
    Replace,
    SourceTable,
    Upsert,
)
from meshregistry.model import Endpoint, Health, RecordKey, ServiceRecord, SourceId

EXAMPLES = settings(max_examples=80)
PART = PartId(SourceId("a"))
NAMES = ("a", "b", "c", "d")

endpoints = st.lists(
    st.builds(
        Endpoint,
        address=st.sampled_from([f"10.0.0.{n}" for n in range(1, 7)]),
        port=st.just(80),
        health=st.sampled_from([Health.HEALTHY, Health.HEALTHY, *Health]),
        weight=st.sampled_from([1, 1, 1, 0]),
    ),
    max_size=6,
    unique_by=lambda one: one.key,
)
records = st.builds(
    lambda name, port, ends: ServiceRecord.parse(
        f"{name}.shop", port=port[1], port_name=port[0], endpoints=ends
    ),
    st.sampled_from(NAMES),
    st.sampled_from([("http", 80), ("http", 80), ("http", 81), ("web", 80), ("web", 82)]),
    endpoints,
)
faults = st.lists(
    st.builds(
        Fault, st.sampled_from([None, *(RecordKey(f"{n}.shop") for n in NAMES)]), st.just("")
    ),
    max_size=1,
)
updates = st.one_of(
    st.builds(Upsert, records),
    st.builds(Remove, st.sampled_from([RecordKey(f"{name}.shop") for name in NAMES])),
    st.builds(
        lambda found, faulty: Replace(tuple(found), tuple(faulty)),
        st.lists(records, max_size=4, unique_by=lambda one: one.key),
        faults,
    ),
)
steps = st.lists(st.tuples(updates, st.sampled_from([0.0, 1.0, 30.0])), max_size=12)
policies = st.builds(
    GuardPolicy,
    window=st.sampled_from([1.0, 10.0, 60.0]),
    share=st.sampled_from([0.0, 0.5, 0.8, 1.0]),
    at_least=st.sampled_from([1, 2, 5, 100]),
)


class Pair:
    """The same updates with a guard and without one."""

    def __init__(self, policy):
        self.guard = Guard(lambda _: policy)
        self.guarded = SourceTable([self.guard])
        self.free = SourceTable()
        self.now = 0.0
        self.said = set()

    def apply(self, update, wait):
        """Apply an update to both, some time later."""
        self.now += wait
        for table in (self.guarded, self.free):
            table.apply(PART, update, lambda record: record, self.now)
        self.said |= healthy(self.real)

    @property
    def shown(self):
        """What the guard shows."""
        return dict(self.guarded.records(PART))

    @property
    def real(self):
        """What the registry says."""
        return dict(self.free.records(PART))


def healthy(table):
    """The healthy endpoints of a table, each with its service."""
    return {
        (record.service.host, one.address)
        for record in table.values()
        for one in record.endpoints
        if one.health is Health.HEALTHY and one.weight > 0
    }


@EXAMPLES
@given(steps, policies)
def test_only_what_is_lost_differs(story, policy):
    """Nothing is invented, nothing new is missing, and without a loss nothing differs."""
    pair = Pair(policy)
    for update, wait in story:
        pair.apply(update, wait)
        assert healthy(pair.shown) <= pair.said
        assert healthy(pair.real) <= healthy(pair.shown)
        for key, record in pair.real.items():
            shown = {one.key: one for one in pair.shown[key].endpoints}
            assert set(record.service.ports) <= set(pair.shown[key].service.ports)
            named = {port.name for port in pair.shown[key].service.ports}
            assert {one.service_port for one in pair.shown[key].endpoints} <= named
            for one in record.endpoints:
                assert shown[one.key] == one or one.health is not Health.HEALTHY or not one.weight
        loss = pair.guard.loss(PART, pair.guarded.given(PART))
        if loss is None:
            assert pair.shown == pair.real
        else:
            assert loss.withheld == len(healthy(pair.shown) - healthy(pair.real))
            assert loss.after == len(healthy(pair.real))
            assert policy.is_loss(loss.before, loss.after)


@EXAMPLES
@given(steps, policies)
def test_a_release_gives_way_to_the_truth(story, policy):
    """Whatever was withheld, what the registry says is then shown, and counted anew."""
    pair = Pair(policy)
    for update, wait in story:
        pair.apply(update, wait)
    released = pair.guard.release(PART, pair.guarded.given(PART))
    if released is not None:
        pair.guarded.apply(PART, released, lambda record: record, pair.now)
    assert pair.shown == pair.real
    assert not pair.guard.is_lost(PART)


@EXAMPLES
@given(steps)
def test_small_losses_are_none(story):
    """As long as fewer endpoints are lost than a loss has, the guard is not there."""
    pair = Pair(GuardPolicy(at_least=len(NAMES) * 6 + 1))
    for update, wait in story:
        pair.apply(update, wait)
        assert pair.shown == pair.real
