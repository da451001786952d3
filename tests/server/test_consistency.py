"""References: every one leads somewhere, found at the cost of what changed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshregistry.errors import InconsistentResources
from meshregistry.model import CLUSTER, ENDPOINT, Resource, ResourceSet
from meshregistry.server._consistency import ReferenceIndex


def needing(name: str, *names: str) -> Resource:
    """A cluster that refers to others."""
    content = ",".join(names).encode()
    return Resource(
        type_url=CLUSTER, name=name, bytes=content, references=[(CLUSTER, each) for each in names]
    )


def keyed(*items: Resource) -> dict:
    """By type and name."""
    return {item.key: item for item in items}


def indexed(*items: Resource) -> tuple[ReferenceIndex, ResourceSet]:
    """An index that has taken these, and the set of them."""
    index = ReferenceIndex()
    index.commit(index.check(ResourceSet(), keyed(*items), ()))
    return index, ResourceSet.of(items)


def test_a_reference_within_the_change_is_fine():
    """Resources that arrive together may refer to each other."""
    indexed(needing("a", "b"), needing("b"))


def test_a_reference_to_nothing_is_refused_and_named():
    """The message says who needs what, and how to go on."""
    with pytest.raises(InconsistentResources, match=r"Cluster 'a' needs Cluster 'b'.*external="):
        indexed(needing("a", "b"))


def test_external_resources_exist():
    """What is in the bootstrap need not be in the set."""
    index = ReferenceIndex(frozenset({(CLUSTER, "b")}))
    index.check(ResourceSet(), keyed(needing("a", "b")), ())


def test_what_is_needed_cannot_be_removed():
    """A removal that leaves a reference behind is refused."""
    index, held = indexed(needing("a", "b"), needing("b"))
    with pytest.raises(InconsistentResources, match="'a' needs Cluster 'b'"):
        index.check(held, {}, [(CLUSTER, "b")])


def test_what_is_needed_goes_with_those_who_need_it():
    """Removing both is fine, and so is a change that no longer refers."""
    index, held = indexed(needing("a", "b"), needing("b"))
    index.check(held, {}, [(CLUSTER, "a"), (CLUSTER, "b")])
    index.check(held, keyed(needing("a")), [(CLUSTER, "b")])


def test_a_refused_change_alters_nothing():
    """After a refusal the index judges as before."""
    index, held = indexed(needing("a", "b"), needing("b"))
    with pytest.raises(InconsistentResources):
        index.check(held, keyed(needing("c", "nowhere")), [(CLUSTER, "b")])
    with pytest.raises(InconsistentResources):
        index.check(held, {}, [(CLUSTER, "b")])


def test_types_are_told_apart():
    """An assignment of the same name does not stand in for a cluster."""
    assignment = Resource(type_url=ENDPOINT, name="b", bytes=b"")
    with pytest.raises(InconsistentResources):
        indexed(needing("a", "b"), assignment)


names = st.sampled_from("abcde")
changes = st.tuples(st.dictionaries(names, st.frozensets(names, max_size=2)), st.frozensets(names))


@given(st.lists(changes, max_size=8))
@settings(max_examples=60)
def test_looking_at_the_change_is_as_good_as_looking_at_everything(steps):
    """Law: a change is accepted exactly if the set after it has no dangling reference."""
    index, held = ReferenceIndex(), {}
    for changed, removed in steps:
        named = keyed(*(needing(name, *sorted(needs)) for name, needs in changed.items()))
        gone = [(CLUSTER, name) for name in removed - changed.keys()]
        after = {key: item for key, item in {**held, **named}.items() if key not in gone}
        is_whole = all(each in after for item in after.values() for each in item.references)
        try:
            revision = index.check(ResourceSet.of(held.values()), named, gone)
        except InconsistentResources:
            assert not is_whole
        else:
            assert is_whole
            index.commit(revision)
            held = after
