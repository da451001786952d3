"""Resources, groups, parts and sets."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshregistry.model import (
    CLUSTER,
    ENDPOINT,
    LISTENER,
    ROUTE,
    TYPE_TRAITS,
    Reference,
    Resource,
    ResourceGroup,
    ResourcePart,
    ResourceSet,
    type_traits,
    type_url,
)

FOREIGN = "type.googleapis.com/example.Thing"
NAMES = "abcdef"


def resource(name="a", content=b"1", url=CLUSTER, **more):
    """A small resource."""
    return Resource(url, name, content, **more)


contents = st.sampled_from([b"1", b"2"])
tables = st.dictionaries(
    st.tuples(st.sampled_from([CLUSTER, ENDPOINT]), st.sampled_from(NAMES)), contents, max_size=8
)


def split(table, where):
    """A set of two parts: a name goes to the part that `where` says."""
    parts = ([], [])
    for (url, name), content in table.items():
        parts[name in where].append(resource(name, content, url))
    return ResourceSet(tuple(ResourcePart.of(part) for part in parts))


@pytest.mark.parametrize("traits", TYPE_TRAITS.values(), ids=lambda traits: traits.name)
def test_a_short_name_stands_for_a_type_url(traits):
    """People's names of types are read in any case, and a whole URL is read as itself."""
    assert traits.type_url == type_url(traits.name.upper()) == type_url(traits.type_url)
    assert traits is type_traits(traits.type_url)


def test_only_clusters_listeners_and_scoped_routes_are_full_state():
    """The full-state types are those whose absence deletes (xDS protocol, "Deleting Resources")."""
    assert {"cds", "lds", "srds"} == {t.name for t in TYPE_TRAITS.values() if t.is_full_state}


def test_types_are_pushed_make_before_break():
    """Clusters, assignments, listeners, routes: in that order (xDS protocol, "Eventual consistency")."""
    ranked = sorted(TYPE_TRAITS.values(), key=lambda traits: traits.push_rank)
    assert ["cds", "eds", "lds", "srds", "rds", "vhds"] == [t.name for t in ranked][:6]
    assert len(ranked) == len({traits.push_rank for traits in ranked})


def test_a_foreign_type_is_served_by_name_and_last():
    """A type that is not in the table has safe traits."""
    traits = type_traits(FOREIGN)
    assert ("example.Thing", False) == (traits.name, traits.is_full_state)
    assert all(traits.push_rank > known.push_rank for known in TYPE_TRAITS.values())
    assert FOREIGN == type_url(FOREIGN)


def test_what_is_no_type_is_refused_with_the_known_names():
    """A misspelt type is a ValueError that lists the short names."""
    with pytest.raises(ValueError, match="use one of cds, eds"):
        type_url("cdz")


def test_a_resource_is_equal_by_content():
    """Type, name, content and life decide; references follow from the content."""
    one = resource(references=[(ENDPOINT, "x")])
    assert one == one  # noqa: PLR0124 - the short cut is meant
    assert one == resource()
    assert hash(one) == hash(resource())
    others = [resource("b"), resource(content=b"2"), resource(url=ROUTE), resource(ttl=3.0)]
    assert [] == [other for other in others if other == one]
    assert one != "a"


def test_the_digest_is_a_hash_of_the_bytes_unless_given():
    """Equal bytes have equal digests in every process; a caller's own is kept."""
    assert resource().digest == resource("b").digest
    assert resource().digest != resource(content=b"2").digest
    assert "v1" == resource(digest="v1").digest


def test_references_are_sorted_and_each_once():
    """The order in which references were found never matters."""
    found = [(ENDPOINT, "b"), (CLUSTER, "a"), (ENDPOINT, "b")]
    assert (Reference(CLUSTER, "a"), Reference(ENDPOINT, "b")) == resource(
        references=found
    ).references
    assert Reference(CLUSTER, "a") == resource().key


def test_a_resource_prints_without_its_bytes():
    """The representation says how long the content is, and does not show it."""
    assert "<1 bytes>" in repr(resource())


def test_a_group_is_sorted_by_name():
    """Groups list their resources in canonical order, with a digest of the content."""
    a, b = resource("a"), resource("b")
    assert (a, b) == ResourceGroup.of([b, a]).listed
    assert ResourceGroup.of([a, b]).digest == ResourceGroup.of([b, a]).digest
    assert ResourceGroup.of([a]).digest != ResourceGroup.of([b]).digest
    assert ResourceGroup.of([a]).digest != ResourceGroup.of([resource("a", ttl=1.0)]).digest


def test_a_group_knows_what_it_needs_and_what_expires():
    """References of all its resources are united; those with a time to live are listed."""
    a = resource("a", references=[(ENDPOINT, "x"), (ENDPOINT, "y")])
    b = resource("b", references=[(ENDPOINT, "x")], ttl=2.0)
    group = ResourceGroup.of([a, b])
    assert {Reference(ENDPOINT, "x"), Reference(ENDPOINT, "y")} == group.references
    assert (b,) == group.expiring
    assert ResourceSet.of([a, b]).has_expiring
    assert not ResourceSet.of([a]).has_expiring


@pytest.mark.parametrize("make", [ResourceGroup.of, ResourcePart.of, ResourceSet.of])
def test_two_resources_of_one_name_are_refused(make):
    """Within a type, a name is unique."""
    with pytest.raises(ValueError, match="share the name 'a'"):
        make([resource("a"), resource("b"), resource("a", b"2")])


@settings(max_examples=40)
@given(
    st.dictionaries(st.sampled_from(NAMES), contents),
    st.dictionaries(st.sampled_from(NAMES), contents),
    st.sets(st.sampled_from(NAMES)),
)
def test_an_updated_group_is_the_group_built_from_scratch(before, changed, removed):
    """Updating gives the same names, content, order, digest and changes as building anew."""
    group = ResourceGroup.of(resource(n, c) for n, c in before.items())
    updated = group.updated({n: resource(n, c) for n, c in changed.items()}, removed)
    expected = {n: c for n, c in before.items() if n not in removed} | changed
    anew = ResourceGroup.of(resource(n, c) for n, c in expected.items())
    assert anew.listed == updated.listed
    assert list(anew.by_name) == list(updated.by_name)
    assert anew.digest == updated.digest
    assert anew.changes_since(group) == updated.changes_since(group)


@settings(max_examples=40)
@given(tables, tables, st.sets(st.tuples(st.just(ENDPOINT), st.sampled_from(NAMES))))
def test_an_updated_part_is_the_part_built_from_scratch(before, changed, removed):
    """Updating a part of several types gives what building it anew gives."""
    part = ResourcePart.of(resource(n, c, u) for (u, n), c in before.items())
    updated = part.updated((resource(n, c, u) for (u, n), c in changed.items()), removed)
    expected = {key: c for key, c in before.items() if key not in removed} | changed
    anew = ResourceSet.of(resource(n, c, u) for (u, n), c in expected.items())
    assert list(anew) == list(ResourceSet((updated,)))


def test_an_update_shares_what_it_does_not_touch():
    """Groups of other types are the same objects, so comparing skips them."""
    part = ResourcePart.of([resource("a"), resource("a", url=ROUTE)])
    updated = part.updated([resource("b")], [])
    assert part.groups[ROUTE] is updated.groups[ROUTE]
    assert ("a",) == tuple(part.groups[CLUSTER].by_name)


def test_a_set_finds_its_resources():
    """A set gives resources by type and name, over all of its parts."""
    one, two, three = resource("b"), resource("a"), resource("a", url=LISTENER)
    composed = ResourceSet((ResourcePart.of([one]), ResourcePart.of([two, three])))
    assert (CLUSTER, LISTENER) == composed.types()
    assert (one, two) == composed.resources(CLUSTER)
    assert {"a", "b"} == composed.names(CLUSTER)
    assert two is composed.get(CLUSTER, "a")
    assert composed.get(CLUSTER, "c") is None
    assert composed.get(ROUTE, "a") is None
    assert () == composed.resources(ROUTE)
    assert [one, two, three] == list(composed)


def test_the_resources_of_a_single_group_are_the_same_tuple_each_time():
    """A set of one part shares its listing, so that encoders recognise it by identity."""
    single = ResourceSet.of([resource("a"), resource("b")])
    assert single.resources(CLUSTER) is single.resources(CLUSTER)


def test_the_types_of_a_set_come_in_push_order():
    """Types with resources are listed make before break; an emptied type is not listed."""
    urls = [FOREIGN, ROUTE, LISTENER, ENDPOINT, CLUSTER]
    whole = ResourceSet.of([resource(url=url) for url in urls])
    assert (CLUSTER, ENDPOINT, LISTENER, ROUTE, FOREIGN) == whole.types()
    emptied = ResourceSet((whole.parts[0].updated([], [(ROUTE, "a")]),))
    assert (CLUSTER, ENDPOINT, LISTENER, FOREIGN) == emptied.types()


def test_a_version_is_of_the_content_and_of_one_type():
    """Equal content has the same version in every set; other types do not count."""
    one = ResourceSet.of([resource("a"), resource("b"), resource(url=ROUTE)])
    two = ResourceSet.of([resource("b"), resource("a")])
    assert one.content_version(CLUSTER) == two.content_version(CLUSTER) == one.version(CLUSTER)
    assert one.content_version(ROUTE) != two.content_version(ROUTE)
    assert one.content_version(CLUSTER) == one.content_version(CLUSTER)


def test_an_emptied_type_has_the_version_of_an_absent_one():
    """A group without resources does not count."""
    part = ResourcePart.of([resource("a")]).updated([], [(CLUSTER, "a")])
    assert ResourceSet().content_version(CLUSTER) == ResourceSet((part,)).content_version(CLUSTER)


def test_a_callers_version_is_what_the_peer_sees():
    """A given version text replaces the hash in what is shown, and only there."""
    named = ResourceSet(ResourceSet.of([resource()]).parts, {CLUSTER: "build-7"})
    assert "build-7" == named.version(CLUSTER)
    assert named.version(CLUSTER) != named.content_version(CLUSTER)
    assert named.version(ROUTE) == named.content_version(ROUTE)


@settings(max_examples=50)
@given(tables, tables, st.sets(st.sampled_from(NAMES)), st.sets(st.sampled_from(NAMES)))
def test_changes_lead_from_the_older_set_to_the_newer(old, new, where, elsewhere):
    """However either is split into parts, the changes are exactly the difference of content."""
    older, newer = split(old, where), split(new, elsewhere)
    for url in (CLUSTER, ENDPOINT, ROUTE):
        changes = newer.changes_since(older, url)
        held = {one.name: one for one in older.resources(url)}
        for name in changes.removed:
            del held[name]
        assert all(held.get(one.name) != one for one in changes.changed)
        held.update((one.name, one) for one in changes.changed)
        assert held == {one.name: one for one in newer.resources(url)}
        assert len(changes.changed) == len({one.name for one in changes.changed})


@settings(max_examples=50)
@given(tables, tables, st.sets(st.sampled_from(NAMES)))
def test_shared_parts_do_not_hide_changes(old, new, where):
    """Sets that share a part differ by their other parts alone."""
    shared = ResourcePart.of([resource("shared"), resource("shared", url=ENDPOINT)])
    older = ResourceSet((shared, *split(old, where).parts))
    newer = ResourceSet((shared, *split(new, where).parts))
    for url in (CLUSTER, ENDPOINT):
        changes = newer.changes_since(older, url)
        assert split(new, where).changes_since(split(old, where), url) == changes
        assert "shared" not in {*changes.removed, *(one.name for one in changes.changed)}


@settings(max_examples=40)
@given(tables, st.sets(st.sampled_from(NAMES)), st.sets(st.sampled_from(NAMES)))
def test_moving_resources_between_parts_changes_nothing(table, where, elsewhere):
    """Where a resource stands is not part of what a peer sees."""
    for url in (CLUSTER, ENDPOINT):
        assert ((), ()) == split(table, where).changes_since(split(table, elsewhere), url)


@settings(max_examples=40)
@given(tables, tables, st.sets(st.sampled_from(NAMES)))
def test_equal_versions_mean_equal_content(old, new, where):
    """For sets of the same parts, the version differs exactly if something has changed."""
    older, newer = split(old, where), split(new, where)
    for url in (CLUSTER, ENDPOINT):
        is_same = not any(newer.changes_since(older, url))
        assert is_same == (older.content_version(url) == newer.content_version(url))


def test_sets_that_share_a_group_share_its_difference():
    """However many sets hold a group, what changed in it is found once."""
    older = ResourcePart.of([resource("a"), resource("b")])
    newer = older.updated([resource("b", content=b"new")], [(CLUSTER, "a")])
    mine, theirs = (
        ResourceSet((newer, own)).changes_since(ResourceSet((older, own)), CLUSTER)
        for own in (ResourcePart.of([resource("x")]), ResourcePart.of([resource("y")]))
    )
    assert mine is theirs
    assert [one.name for one in mine.changed] == ["b"]
    assert mine.removed == ("a",)
