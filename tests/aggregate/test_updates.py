"""Updates: what a sink is told, as values."""

from __future__ import annotations

import pytest

from meshregistry.aggregate._updates import Fault, PartId, Replace
from meshregistry.errors import RecordError
from meshregistry.model import RecordKey, ServiceRecord, SourceId

CART = ServiceRecord.parse("cart.shop", port=80, endpoints=["10.0.0.1:80"])


def test_a_part_prints_as_its_source_or_with_its_name():
    """The unnamed part is the source itself."""
    assert str(PartId(SourceId("dc"))) == "dc"
    assert str(PartId(SourceId("dc"), "east")) == "dc/east"


def test_a_listing_consumes_its_iterables():
    """Generators are read to their end; errors become values."""
    listed = Replace.consume(iter([CART]), iter([RecordError("bad port", key="pay")]))
    assert listed == Replace((CART,), (Fault(RecordKey("pay"), "bad port"),))


def test_equal_records_under_one_key_are_folded():
    """A backend that lists a record twice says nothing new."""
    assert Replace.consume([CART, CART], []) == Replace((CART,))


def test_different_records_under_one_key_make_that_key_faulty():
    """Which of them is right is not guessed: the last good record stands."""
    other = ServiceRecord.parse("cart.shop", port=81)
    listed = Replace.consume([CART, other], [])
    assert listed.records == (CART,)
    (fault,) = listed.faults
    assert fault.key == "cart.shop"
    assert "listed twice" in fault.reason


@pytest.mark.parametrize(("records", "faulty"), [(["cart.shop"], []), ([CART], [ValueError("no")])])
def test_other_things_are_refused(records, faulty):
    """A listing of anything but records and record errors is the adapter's mistake."""
    with pytest.raises(TypeError, match="takes nothing else"):
        Replace.consume(records, faulty)
