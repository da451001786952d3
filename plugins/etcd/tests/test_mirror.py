"""From keys to records: whole records, each once, and faults that harm no other."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from meshregistry.errors import RecordError
from meshregistry_etcd import EtcdConfig
from meshregistry_etcd._layouts import OwnLayout
from meshregistry_etcd._mirror import Entry, Gone, Mirror


def entry(path, address, created=1):
    """A key of our own layout with one endpoint; None deletes it."""
    value = None if address is None else b'{"ports":[80],"endpoints":["%s"]}' % address.encode()
    return Entry(path, value, created)


def mirror(*entries):
    """A mirror after a listing."""
    made = Mirror(OwnLayout(EtcdConfig()))
    listing = made.listing()
    listing.add(entries)
    listing.done()
    return made


def test_a_key_of_nobody_is_a_fault_under_its_own_name():
    """It removes nothing, and goes with the key."""
    made = mirror()
    (fault,) = made.apply([Entry("strange", b"{}")])
    assert ("strange", True) == (fault.key, isinstance(fault, RecordError))
    assert [Gone("strange")] == list(made.apply([Entry("strange", None)]))


def test_the_last_key_takes_the_record_along():
    """An earlier one only its endpoint."""
    made = mirror(entry("a.b/1", "10.0.0.1:1"), entry("a.b/2", "10.0.0.2:1"))
    (record,) = made.apply([entry("a.b/1", None)])
    assert ["10.0.0.2:1"] == [str(one) for one in record.endpoints]
    assert [Gone("a.b")] == list(made.apply([entry("a.b/2", None)]))


def test_a_key_that_is_not_known_is_gone_quietly():
    """A deletion of what was never seen is nothing."""
    assert [] == list(mirror().apply([entry("a.b/1", None)]))


def test_the_oldest_key_comes_first():
    """Whatever it is called."""
    young = Entry("a.b/1", b'{"ports":[80],"labels":{"v":"2"}}', 9)
    old = Entry("a.b/2", b'{"ports":[80],"labels":{"v":"1"}}', 3)
    record, _ = mirror(young, old).record("a.b")
    assert {"v": "1"} == dict(record.service.labels)


def test_a_new_listing_remembers_what_cannot_be_read_now():
    """And forgets what is not in it."""
    made = mirror(entry("a.b/1", "10.0.0.1:1"), entry("c.d/1", "10.0.0.2:1"))
    listing = made.listing()
    listing.add([Entry("a.b/1", b"?")])
    (record,), silent, (fault,) = listing.done()
    assert (["10.0.0.1:1"], [], "a.b") == (
        [str(one) for one in record.endpoints],
        silent,
        fault.key,
    )


paths = st.sampled_from(["a.b/1", "a.b/2", "n/a.b/1", "c.d/1", "strange"])
values = st.sampled_from(
    [None, b"?", *(b'{"ports":[80],"endpoints":["10.0.0.%d:1"]}' % n for n in range(3))]
)


@given(
    st.lists(st.lists(st.builds(Entry, paths, values, st.integers(1, 3)), max_size=3), max_size=6)
)
@settings(max_examples=150, deadline=None)
def test_changes_lead_where_a_listing_leads(batches):
    """Records and faults after any changes are those of a listing of what is there then."""
    made, state, published = mirror(), {}, {}
    for batch in batches:
        for one in batch:
            state.pop(one.path, None)
            if one.value is not None:
                state[one.path] = one
        for update in made.apply(batch):
            if isinstance(update, Gone):
                published.pop(update.key, None)
            elif not isinstance(update, RecordError):
                published[update.key] = update
    readable = {path for path, one in state.items() if one.value != b"?"}
    listing = Mirror(OwnLayout(EtcdConfig())).listing()
    listing.add(state[path] for path in sorted(readable))
    records, _, _ = listing.done()
    for record in records:
        got = {one.key for one in published[record.key].endpoints}
        assert {one.key for one in record.endpoints} <= got
    if readable == set(state):
        assert {record.key: record for record in records} == published
