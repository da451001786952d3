"""The life of a part: first word, complete means complete, errors (contracts, section 2)."""

from __future__ import annotations

import pytest

from meshregistry.aggregate._part import Part
from meshregistry.aggregate._updates import Confirm, Degrade, Fault, Open, Remove, Replace, Upsert
from meshregistry.errors import RecordError, RegistryAuthError, RegistryUnavailable
from meshregistry.model import RecordKey, ServiceRecord
from meshregistry.spi import Condition

CART = ServiceRecord.parse("cart.shop", port=80)
PAY = ServiceRecord.parse("pay.shop", port=80)
GONE = RegistryUnavailable("the connection is lost")


@pytest.fixture
def synced():
    """A part after its first listing, at time 1."""
    part = Part()
    part.receive(Replace((CART,)), 1.0)
    return part


def test_first_word():
    """Earlier `upsert` and `remove` are held and applied, in order, on top of `replace`."""
    part = Part()
    early = [Upsert(CART), Remove(PAY.key), Upsert(PAY)]
    assert [part.receive(update, 0.0) for update in early] == [(), (), ()]
    assert part.condition is Condition.STARTING
    listing = Replace((PAY,))
    assert part.receive(listing, 1.0) == (listing, *early)
    assert part.receive(Upsert(CART), 2.0) == (Upsert(CART),)


def test_each_run_has_a_first_word_of_its_own(synced):
    """What a former run held is not applied; its data and condition stay meanwhile."""
    synced.begin()
    synced.receive(Remove(CART.key), 2.0)
    synced.begin()
    assert synced.condition is Condition.SYNCED
    assert synced.receive(Upsert(PAY), 3.0) == ()
    assert synced.receive(Replace(()), 4.0) == (Replace(()), Upsert(PAY))


def test_a_listing_makes_the_part_synced():
    """The age counts from then."""
    part = Part()
    part.receive(Degrade(GONE), 0.0)
    part.receive(Replace((CART,)), 1.0)
    assert (part.condition, part.error, part.heard) == (Condition.SYNCED, None, 1.0)


def test_any_other_degrade_makes_the_part_stale_until_confirm(synced):
    """Also one of refused credentials, which only ends a run when raised."""
    error = RegistryAuthError("no")
    synced.receive(Degrade(error), 2.0)
    assert (synced.condition, synced.error, synced.left) == (Condition.STALE, error, 2.0)
    synced.receive(Confirm(), 3.0)
    assert (synced.condition, synced.error, synced.left) == (Condition.SYNCED, None, None)
    assert synced.heard == 3.0


def test_a_confirm_says_nothing_of_data_that_this_run_has_not_listed(synced):
    """A new run that confirms before its first word knows nothing yet."""
    synced.receive(Degrade(GONE), 2.0)
    synced.begin()
    synced.receive(Confirm(), 3.0)
    assert (synced.condition, synced.heard) == (Condition.STALE, 1.0)


def test_a_record_error_belongs_to_its_key_and_never_changes_the_condition(synced):
    """It is cleared by that key's next upsert or remove, or by a listing that does not name it."""
    for clear in (Upsert(CART), Remove(CART.key), Replace(())):
        synced.receive(Degrade(RecordError("bad port", key=CART.key)), 2.0)
        synced.receive(Degrade(RecordError("worse", key=PAY.key)), 2.0)
        assert synced.faults == {CART.key: "bad port", PAY.key: "worse"}
        assert synced.condition is Condition.SYNCED
        synced.receive(clear, 3.0)
        assert CART.key not in synced.faults


def test_a_listing_that_names_a_fault_reports_it():
    """A fault without a key is reported too; a held upsert clears its own key."""
    part = Part()
    part.receive(Upsert(CART), 0.0)
    part.receive(
        Replace((), (Fault(CART.key, "bad"), Fault(None, "unreadable"), Fault(PAY.key, "bad"))), 1.0
    )
    assert part.faults == {None: "unreadable", RecordKey("pay.shop"): "bad"}
    assert part.condition is Condition.SYNCED


def test_staleness_counts_from_the_moment_it_began(synced):
    """Further faults do not begin it anew."""
    synced.receive(Degrade(GONE), 5.0)
    synced.leave(Condition.FAILED, GONE, 9.0)
    assert (synced.condition, synced.left) == (Condition.FAILED, 5.0)


def test_other_settings_make_data_stale(synced):
    """A part that has nothing yet begins anew."""
    synced.restart(5.0)
    assert (synced.condition, synced.left) == (Condition.STALE, 5.0)
    fresh = Part()
    fresh.leave(Condition.FAILED, GONE, 1.0)
    fresh.restart(5.0)
    assert (fresh.condition, fresh.error) == (Condition.STARTING, None)


def test_a_part_that_is_asked_for_is_known_to_the_run(synced):
    """Until the next run begins."""
    synced.receive(Open(), 1.0)
    assert synced.is_open
    synced.begin()
    assert not synced.is_open
