"""The source table: updates in, changed keys out."""

from __future__ import annotations

from attrs import evolve

from meshregistry.aggregate._completion import TransformFault
from meshregistry.aggregate._table import Applied, SourceTable
from meshregistry.aggregate._updates import Fault, PartId, Remove, Replace, Upsert
from meshregistry.model import RecordKey, ServiceKey, ServiceRecord, SourceId

EAST = PartId(SourceId("dc"), "east")
WEST = PartId(SourceId("dc"), "west")
CART = ServiceRecord.parse("cart.shop", port=80, endpoints=["10.0.0.1:80"])
PAY = ServiceRecord.parse("pay.shop", port=80, endpoints=["10.0.0.2:80"])
CART_KEY, PAY_KEY = CART.service.key, PAY.service.key


def as_it_is(record):
    """Completes nothing."""
    return record


def apply(table, update, part=EAST, complete=as_it_is):
    """Apply to one part unless told otherwise."""
    return table.apply(part, update, complete, 0.0)


def held(table, part=EAST):
    """All records of a part."""
    return set(table.records(part).values())


def test_an_upsert_changes_its_key():
    """A new record changes one record key and one service key."""
    applied = apply(SourceTable(), Upsert(CART))
    assert applied == Applied(frozenset({CART.key}), frozenset({CART_KEY}))


def test_an_equal_record_is_no_change():
    """Equal records stop here."""
    table = SourceTable()
    apply(table, Replace((CART, PAY)))
    assert apply(table, Upsert(CART)) == Applied()
    assert apply(table, Replace((PAY, CART))) == Applied()


def test_a_listing_removes_what_it_does_not_have():
    """Absence from a complete listing is removal."""
    table = SourceTable()
    apply(table, Replace((CART, PAY)))
    applied = apply(table, Replace((CART,)))
    assert applied == Applied(frozenset({PAY.key}), frozenset({PAY_KEY}))
    assert held(table) == {CART}


def test_a_faulty_key_keeps_its_last_good_record():
    """Neither a removal nor a record of the same key gets past the fault."""
    table = SourceTable()
    apply(table, Replace((CART, PAY)))
    newer = evolve(CART, endpoints=())
    applied = apply(table, Replace((newer,), (Fault(CART.key, "bad"), Fault(PAY.key, "bad"))))
    assert applied == Applied()
    assert held(table) == {CART, PAY}


def test_a_faulty_key_without_a_last_good_record_takes_what_is_listed():
    """With nothing to keep, what could be read is better than nothing."""
    table = SourceTable()
    apply(table, Replace((CART,), (Fault(CART.key, "listed twice"),)))
    assert held(table) == {CART}


def test_a_fault_without_a_key_removes_nothing():
    """Additions and changes of that round still count."""
    table = SourceTable()
    apply(table, Replace((CART,)))
    apply(table, Replace((PAY,), (Fault(None, "unreadable"),)))
    assert held(table) == {CART, PAY}


def test_removing_an_unknown_key_is_no_error():
    """It changes nothing."""
    assert apply(SourceTable(), Remove(RecordKey("nobody"))) == Applied()


def test_a_record_that_moves_to_another_service_changes_both():
    """The index forgets the old service key."""
    table = SourceTable()
    apply(table, Upsert(CART))
    moved = evolve(PAY, key=CART.key)
    assert apply(table, Upsert(moved)).services == {CART_KEY, PAY_KEY}
    assert list(table.contributions(CART_KEY)) == []
    assert list(table.contributions(PAY_KEY)) == [(EAST, moved)]


def test_parts_are_kept_apart():
    """One key in two parts is two records; a listing of one part leaves the other alone."""
    table = SourceTable()
    apply(table, Upsert(CART), EAST)
    apply(table, Upsert(CART), WEST)
    apply(table, Replace(()), EAST)
    assert list(table.contributions(CART_KEY)) == [(WEST, CART)]
    assert table.parts() == (WEST,)


def test_many_records_may_map_to_one_service():
    """The record key is the backend's own; the service key is ours."""
    table = SourceTable()
    twin = evolve(CART, key=RecordKey("cart-2"))
    apply(table, Replace((CART, twin)))
    assert sorted(record.key for _, record in table.contributions(CART_KEY)) == [
        "cart-2",
        "cart.shop",
    ]
    assert table.shared([EAST]) == {CART_KEY}


def test_forgetting_a_part_drops_what_it_held():
    """And an unknown part is nothing to forget."""
    table = SourceTable()
    apply(table, Upsert(CART))
    assert table.forget(EAST).services == {CART_KEY}
    assert table.forget(EAST) == Applied()


def test_records_that_are_completed_alike_are_no_change():
    """What the source's settings say for it and what it says itself is the same."""
    table = SourceTable()
    complete = in_namespace("shop")
    apply(table, Replace((CART,)), complete=complete)
    assert apply(table, Upsert(complete(CART)), complete=complete) == Applied()


def in_namespace(name):
    """Completes by setting the namespace."""
    return lambda record: evolve(record, service=evolve(record.service, namespace=name))


def test_a_listing_under_other_settings_completes_everything_again():
    """Records that the listing keeps because they are faulty are completed again too."""
    table = SourceTable()
    old, new = in_namespace("old"), in_namespace("new")
    apply(table, Replace((CART, PAY)), complete=old)
    apply(table, Replace((CART,), (Fault(PAY.key, "bad"),)), complete=new)
    assert {str(record.service) for record in held(table)} == {"new/cart.shop", "new/pay.shop"}
    assert list(table.contributions(ServiceKey("old", "cart.shop"))) == []


def test_stages_rewrite_updates_in_order():
    """The seam before the table: a guard may withhold removals, in terms of what is held."""
    seen = []

    def withhold_removals(part, records, update, now):
        seen.append((part, dict(records), update))
        if isinstance(update, Replace):
            kept = {**records, **{record.key: record for record in update.records}}
            return evolve(update, records=tuple(kept.values()))
        return update

    def empty(part, records, update, now):
        seen.append("second")
        return update

    table = SourceTable([withhold_removals, empty])
    apply(table, Replace((CART,)))
    apply(table, Replace((PAY,)))
    assert held(table) == {CART, PAY}
    assert seen == [
        (EAST, {}, Replace((CART,))),
        "second",
        (EAST, {CART.key: CART}, Replace((PAY,))),
        "second",
    ]


def called(*names):
    """A completion under which records have further names."""
    keys = [ServiceKey.parse(name) for name in names]
    return lambda record: evolve(record, aliases=keys)


def test_a_record_is_found_by_all_its_names():
    """And by none of them once it has others."""
    table = SourceTable()
    old, new = ServiceKey.parse("old.shop"), ServiceKey.parse("new.shop")
    assert apply(table, Upsert(CART), complete=called("old.shop")).services == {CART_KEY, old}
    assert len(list(table.contributions(old))) == len(list(table.contributions(CART_KEY))) == 1
    again = table.complete_again(EAST, called("new.shop"))
    assert again.services == {CART_KEY, old, new}
    assert list(table.contributions(old)) == []
    assert apply(table, Remove(CART.key)).services == {CART_KEY, new}


def test_services_are_shared_by_whichever_name():
    """A name that is kept meets the service that has it."""
    table = SourceTable()
    apply(table, Upsert(CART), EAST, called("pay.shop"))
    apply(table, Upsert(PAY), WEST)
    assert table.shared([EAST]) == table.shared([WEST]) == {PAY_KEY}


def test_a_hidden_record_is_held_and_not_shown():
    """It is there again as soon as nothing hides it."""
    table = SourceTable()
    assert apply(table, Replace((CART, PAY)), complete=lambda _: None) == Applied()
    assert held(table) == set()
    assert table.complete_again(EAST, as_it_is).services == {CART_KEY, PAY_KEY}
    assert table.complete_again(EAST, lambda _: None).services == {CART_KEY, PAY_KEY}
    assert apply(table, Remove(CART.key)) == Applied()
    assert set(table.given(EAST)) == {PAY.key}


class TestUnfit:
    """Records that could not be completed."""

    @staticmethod
    def only(address):
        """A completion that refuses endpoints at any other address."""

        def complete(record):
            if record.endpoints[0].address != address:
                raise TransformFault("no")
            return record

        return complete

    def test_keep_their_last_good_version(self):
        """As records do that cannot be read."""
        table = SourceTable()
        complete = self.only("10.0.0.1")
        apply(table, Upsert(CART), complete=complete)
        worse = ServiceRecord.parse("cart.shop", port=80, endpoints=["10.0.0.9:80"])
        assert apply(table, Upsert(worse), complete=complete) == Applied(
            faults=(Fault(CART.key, "no"),)
        )
        assert held(table) == {CART}
        assert table.unfit(EAST) == {CART.key: "no"}

    def test_are_not_there_if_they_never_were_good(self):
        """What they would be called is not known."""
        table = SourceTable()
        apply(table, Upsert(CART), complete=self.only("10.0.0.9"))
        assert (held(table), table.unfit(EAST)) == (set(), {CART.key: "no"})

    def test_are_fit_again_or_gone(self):
        """Nothing is told of what is over."""
        table = SourceTable()
        complete = self.only("10.0.0.9")
        apply(table, Replace((CART, PAY)), complete=complete)
        apply(table, Remove(PAY.key), complete=complete)
        assert table.unfit(EAST) == {CART.key: "no"}
        table.complete_again(EAST, as_it_is)
        assert (held(table), table.unfit(EAST)) == ({CART}, {})
