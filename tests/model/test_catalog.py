"""The catalog: an immutable index, and the difference of two."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from meshregistry.model import (
    Catalog,
    CatalogDiff,
    CatalogEntry,
    Conflict,
    Endpoint,
    Port,
    Service,
    ServiceKey,
    SourceId,
)


def entry(host="a.b", *addresses, namespace="shop", port=80, sources=("s",)):
    """A merged service with endpoints at these addresses."""
    return CatalogEntry(
        service=Service(host, ports=[Port("http", port)], namespace=namespace),
        endpoints=tuple(Endpoint(address=address, port=port) for address in sorted(addresses)),
        sources=tuple(SourceId(source) for source in sources),
    )


entries = st.builds(
    lambda host, addresses, namespace, port: entry(
        host, *addresses, namespace=namespace, port=port
    ),
    st.sampled_from(["a.b", "c.d", "e.f"]),
    st.sets(st.sampled_from(["10.0.0.1", "10.0.0.2", "::1"])),
    st.sampled_from(["", "n"]),
    st.sampled_from([80, 81]),
)
catalogs = st.lists(entries, max_size=5, unique_by=lambda one: one.key).map(Catalog.of)


def at_addresses(catalog):
    """Which services have an endpoint at each address, found the slow way."""
    found = {}
    for one in catalog:
        for endpoint in one.endpoints:
            found.setdefault(endpoint.address, set()).add(one.key)
    return found


def test_an_empty_catalog_is_generation_0():
    """The empty start has nothing and no generation."""
    assert 0 == Catalog().generation
    assert 0 == len(Catalog())
    assert () == Catalog().services()


def test_entries_are_in_canonical_order():
    """A catalog lists its services by key, whatever the order of arrival."""
    one, two, three = entry("b"), entry("a"), entry("z", namespace="")
    catalog = Catalog.of([one, two, three])
    assert (three, two, one) == catalog.entries() == tuple(catalog)
    assert (three.service, two.service, one.service) == catalog.services()


def test_a_service_is_found_by_key_host_and_address():
    """Every index gives the same entries."""
    shop, other = entry("a.b", "10.0.0.1"), entry("a.b", "10.0.0.1", "::1", namespace="z")
    catalog = Catalog.of([other, shop])
    key = ServiceKey.parse("shop/a.b")
    assert shop is catalog[key] is catalog.get(key) is catalog.by_key[key]
    assert key in catalog
    assert (shop, other) == catalog.find("A.B")
    assert (*shop.endpoints, *other.endpoints) == catalog.endpoints("a.b")
    assert (shop, other) == catalog.at_address("10.0.0.1")
    assert (other,) == catalog.at_address("::1")


def test_what_is_not_there_is_not_found():
    """Unknown keys, hosts and addresses give nothing, an index a KeyError, nonsense a ValueError."""
    catalog = Catalog.of([entry()])
    absent = ServiceKey.parse("x/y")
    assert catalog.get(absent) is None
    assert absent not in catalog
    assert () == catalog.find("y") == catalog.at_address("10.9.9.9")
    with pytest.raises(KeyError):
        catalog[absent]
    with pytest.raises(ValueError, match="not a host name"):
        catalog.find("a b")


def test_the_index_by_key_cannot_be_written():
    """What a catalog shows of its table is read-only."""
    with pytest.raises(TypeError):
        Catalog.of([entry()]).by_key[ServiceKey.parse("x/y")] = entry()


def test_the_generation_does_not_count_for_equality():
    """The same content under another number is an equal catalog; another type is not."""
    catalog = Catalog.of([entry()], generation=3)
    assert 3 == catalog.generation
    assert 7 == catalog.at(7).generation
    assert catalog == catalog.at(7)
    assert catalog != Catalog()
    assert catalog != "catalog"
    with pytest.raises(TypeError):
        hash(catalog)


def test_an_update_leaves_the_older_catalog_alone():
    """Catalogs are values: a reader of the old one sees nothing of the change."""
    old = Catalog.of([entry("a.b", "10.0.0.1")])
    new = old.updated([entry("c.d", "10.0.0.1")], [entry("a.b").key], generation=2)
    assert ("a.b",) == tuple(str(s.host) for s in old.services())
    assert ("c.d",) == tuple(str(s.host) for s in new.services())
    assert ("a.b",) == tuple(str(e.service.host) for e in old.at_address("10.0.0.1"))


def test_removing_an_unknown_key_changes_nothing():
    """A removal of what is not there is no error."""
    catalog = Catalog.of([entry()])
    assert catalog == catalog.updated([], [ServiceKey.parse("x/y")], generation=2)


@settings(max_examples=50)
@given(catalogs, st.lists(entries, max_size=4, unique_by=lambda one: one.key), st.data())
def test_an_update_is_the_catalog_built_from_scratch(catalog, changed, data):
    """After any update, content and every index are those of a catalog built anew."""
    removed = data.draw(
        st.lists(st.sampled_from([*(one.key for one in catalog), ServiceKey("", "q")]))
    )
    updated = catalog.updated(changed, removed, generation=1)
    expected = {one.key: one for one in catalog if one.key not in removed}
    expected.update((one.key, one) for one in changed)
    assert Catalog.of(expected.values()) == updated
    assert at_addresses(updated) == {
        address: {one.key for one in updated.at_address(address)}
        for address in ("10.0.0.1", "10.0.0.2", "::1")
        if updated.at_address(address)
    }


@settings(max_examples=50)
@given(catalogs, catalogs)
def test_a_difference_leads_from_the_older_to_the_newer(old, new):
    """Applying a difference to the older catalog gives the newer one."""
    diff = new.diff(old)
    changed = [new[key] for key in (*diff.added, *diff.changed)]
    assert new == old.updated(changed, diff.removed, generation=1)
    assert (old != new) == bool(diff)


@settings(max_examples=50)
@given(catalogs, catalogs)
def test_a_difference_the_other_way_swaps_added_and_removed(old, new):
    """Differences are sorted, disjoint, and mirror each other."""
    there, back = new.diff(old), old.diff(new)
    assert (there.added, there.changed, there.removed) == (back.removed, back.changed, back.added)
    assert there.is_endpoints_only == back.is_endpoints_only
    keys = [*there.added, *there.changed, *there.removed]
    assert len(keys) == len(set(keys))
    assert sorted(there.changed) == list(there.changed)


@settings(max_examples=40)
@given(catalogs)
def test_a_catalog_does_not_differ_from_itself(catalog):
    """Equal content is no difference, whatever the generation."""
    assert CatalogDiff() == catalog.diff(catalog.at(9))
    assert not catalog.diff(catalog)


@pytest.mark.parametrize(
    ("newer", "is_endpoints_only"),
    [
        ([entry("a.b", "10.0.0.2")], True),
        ([entry("a.b", "10.0.0.1", port=81)], False),
        ([entry("a.b", "10.0.0.1"), entry("c.d")], False),
        ([], False),
    ],
)
def test_a_difference_says_whether_only_endpoints_have_changed(newer, is_endpoints_only):
    """A new or gone service, or a changed one, is more than a change of endpoints."""
    diff = Catalog.of(newer).diff(Catalog.of([entry("a.b", "10.0.0.1")]))
    assert diff
    assert is_endpoints_only == diff.is_endpoints_only


def test_an_entry_knows_what_was_decided():
    """Conflicts and provenance are part of an entry's value."""
    conflict = Conflict(
        field="ports[80].protocol",
        winner=SourceId("a"),
        loser=SourceId("b"),
        chosen="HTTP",
        rejected="TCP",
    )
    decided = evolve(entry(), conflicts=(conflict,), provenance=(("labels", SourceId("a")),))
    assert entry() != decided
    assert (entry().key,) == Catalog.of([decided]).diff(Catalog.of([entry()])).changed
