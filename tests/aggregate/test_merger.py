"""The merger keeps the catalog and merges only what changed."""

from __future__ import annotations

import pytest
from attrs import evolve

from meshregistry.aggregate._merge import Contribution
from meshregistry.aggregate._merger import Merger
from meshregistry.model import CatalogDiff, MergePolicy, ServiceKey, ServiceRecord, SourceId

CART, PAY = ServiceKey("", "cart.shop"), ServiceKey("", "pay.shop")


def record(key, *endpoints, **words):
    """A record of that service."""
    return ServiceRecord.parse(key.host, port=80, namespace="", endpoints=endpoints, **words)


@pytest.fixture
def said():
    """What is said of each service, by key."""
    return {}


@pytest.fixture
def merger(said):
    """A merger that reads `said`."""
    return Merger(
        lambda key: [Contribution(SourceId("a"), one) for one in said.get(key, ())],
        lambda _: MergePolicy(),
    )


def test_a_difference_tells_what_was_added_changed_and_removed(said, merger):
    """As the difference of the two catalogs would, without comparing them."""
    said[CART] = [record(CART, "10.0.0.1:80")]
    before = merger.catalog
    assert merger.update([CART]) == merger.catalog.diff(before)
    said[CART], said[PAY] = [record(CART, labels={"a": "b"})], [record(PAY)]
    before = merger.catalog
    diff = merger.update([PAY, CART])
    assert diff == merger.catalog.diff(before)
    assert (diff.added, diff.changed, diff.is_endpoints_only) == ((PAY,), (CART,), False)
    del said[CART]
    assert merger.update([CART]) == CatalogDiff(removed=(CART,), is_endpoints_only=False)
    assert [entry.key for entry in merger.catalog] == [PAY]


def test_a_change_of_endpoints_only_is_told_as_such(said, merger):
    """It may leave at once."""
    said[CART] = [record(CART, "10.0.0.1:80")]
    merger.update([CART])
    said[CART] = [record(CART, "10.0.0.2:80")]
    assert merger.update([CART]) == CatalogDiff(changed=(CART,), is_endpoints_only=True)


def test_an_equal_result_is_the_same_catalog_object(said, merger):
    """Equal worlds are not published."""
    said[CART] = [record(CART, "10.0.0.1:80")]
    merger.update([CART])
    catalog = merger.catalog
    said[CART] = [record(CART, "10.0.0.1:80")]
    assert not merger.update([CART, PAY])
    assert merger.catalog is catalog


def test_the_generation_rises_by_one_with_each_change(said, merger):
    """However many services change together."""
    said[CART], said[PAY] = [record(CART)], [record(PAY)]
    merger.update([CART, PAY])
    assert merger.catalog.generation == 1


def test_entries_that_come_out_equal_stay_the_same_objects(said, merger):
    """What is memoised on their identity stays valid."""
    said[CART], said[PAY] = [record(CART)], [record(PAY)]
    merger.update([CART, PAY])
    entry = merger.catalog[CART]
    said[CART], said[PAY] = [record(CART)], [record(PAY, "10.0.0.1:80")]
    merger.update([CART, PAY])
    assert merger.catalog[CART] is entry


def test_operators_have_the_last_word_on_a_merged_service(said, merger):
    """The step is applied after each merge; what comes out equal stays the same object."""
    said[CART] = [record(CART, "10.0.0.1:80")]
    merger.update([CART])
    before = merger.catalog[CART]
    merger.adjust = lambda entry: evolve(entry, endpoints=(), endpoint_sources=())
    assert merger.catalog[CART] is before
    assert merger.update([CART]) == CatalogDiff(changed=(CART,), is_endpoints_only=True)
    assert merger.catalog[CART].endpoints == ()
    assert not merger.update([CART])
