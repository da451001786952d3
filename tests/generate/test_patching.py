"""Patches and generators of plugins: what they change, what they cost, what their faults do."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from meshregistry.generate import Extensions, Pipeline, World
from meshregistry.model import (
    CLUSTER,
    ENDPOINT,
    LISTENER,
    REMOVED,
    CatalogEntry,
    Locality,
    Proxy,
    ProxyKey,
    ProxyRole,
    Resource,
    ResourceGenerator,
    ResourcePatch,
)
from meshregistry.server import resource_of

if TYPE_CHECKING:
    from conftest import EntryOf, WorldOf
    from meshregistry.generate import Derived

ROUTER = ProxyKey(role=ProxyRole.ROUTER)
SIDECAR = ProxyKey(role=ProxyRole.SIDECAR, namespace="shop")


def pipeline(*patches: ResourcePatch, generators: tuple[ResourceGenerator, ...] = ()) -> Pipeline:
    """A pipeline with these extensions."""
    return Pipeline(
        extensions=Extensions(patches=patches, generators=generators, encode=resource_of)
    )


def slower(cluster: Any, _key: ProxyKey) -> Any:
    """Give a cluster more time."""
    cluster.connect_timeout.FromSeconds(77)
    return cluster


def failing(message: Any, _key: ProxyKey) -> Any:
    """Fail."""
    raise RuntimeError(f"no {message.name}")


def after(world: World, *changed: CatalogEntry, removed: tuple[CatalogEntry, ...] = ()) -> World:
    """The next world."""
    catalog = world.catalog.updated(
        changed, [one.key for one in removed], generation=world.catalog.generation + 1
    )
    return evolve(world, catalog=catalog)


def words(derived: Derived) -> str:
    """All faults as one text."""
    return "\n".join(map(str, derived.faults))


def names(derived: Derived, type_url: str) -> list[str]:
    """The names of one type."""
    return [one.name for one in derived.resources.resources(type_url)]


def test_a_patch_changes_the_resources_of_its_type_and_no_others(
    world_of: WorldOf, entry_of: EntryOf
) -> None:
    """What it does not touch are the very objects of a pipeline without it."""
    world = world_of(entry_of("a.shop", endpoints=("10.0.0.1:80",)))
    plain = Pipeline().derive(world, ROUTER).resources
    patched = pipeline(ResourcePatch(name="p", type_url="cds", apply=slower)).derive(world, ROUTER)
    assert () == patched.faults
    assert [one.bytes for one in plain.resources(ENDPOINT)] == [
        one.bytes for one in patched.resources.resources(ENDPOINT)
    ]
    clusters = patched.resources.resources(CLUSTER)
    assert clusters
    assert all(b"\x08M" in one.bytes for one in clusters)  # 77 seconds, as protobuf writes it
    assert plain.version(CLUSTER) != patched.resources.version(CLUSTER)
    assert plain.version(LISTENER) == patched.resources.version(LISTENER)


def test_references_follow_what_a_patch_says(world_of: WorldOf, entry_of: EntryOf) -> None:
    """They are read from the message anew; what is not there is reported."""

    def renamed(cluster: Any, _key: ProxyKey) -> Any:
        if cluster.HasField("eds_cluster_config"):
            cluster.eds_cluster_config.service_name = "elsewhere"
        return cluster

    derived = pipeline(ResourcePatch(name="p", type_url=CLUSTER, apply=renamed)).derive(
        world_of(entry_of("a.shop", endpoints=("10.0.0.1:80",))), ROUTER
    )
    assert "refer to eds 'elsewhere', which is not there" in words(derived)


def test_patches_apply_by_order_then_name(world_of: WorldOf, entry_of: EntryOf) -> None:
    """Each gets what the one before it made."""

    def noting(text: str, order: int) -> ResourcePatch:
        def apply(cluster: Any, _key: ProxyKey) -> Any:
            cluster.alt_stat_name += text
            return cluster

        return ResourcePatch(name=text, type_url=CLUSTER, apply=apply, order=order)

    derived = pipeline(noting("c", 1), noting("b", 1), noting("z", -1)).derive(
        world_of(entry_of("a.shop")), ROUTER
    )
    assert all(b"zbc" in one.bytes for one in derived.resources.resources(CLUSTER))


def test_proxies_that_a_patch_cannot_tell_apart_share_its_work(
    world_of: WorldOf, entry_of: EntryOf
) -> None:
    """A hundred keys cost what one costs, and hold the same objects."""
    calls: Counter[str] = Counter()

    def counted(cluster: Any, key: ProxyKey) -> Any:
        assert key == ProxyKey(role=ProxyRole.SIDECAR)
        calls[cluster.name] += 1
        return slower(cluster, key)

    world = world_of(*(entry_of(f"s{n}.shop", endpoints=(f"10.0.0.{n}:80",)) for n in range(5)))
    made = pipeline(ResourcePatch(name="p", type_url=CLUSTER, apply=counted))
    sets = [
        made.derive(world, evolve(SIDECAR, addresses=(f"10.0.0.{n}",))).resources for n in range(5)
    ]
    shared = {id(one.get(CLUSTER, "outbound|80||s1.shop")) for one in sets}
    assert 1 == len(shared)
    assert {1} == {calls[name] for name in calls if name.startswith("outbound|")}


def test_a_change_is_patched_alone(world_of: WorldOf, entry_of: EntryOf) -> None:
    """What did not change is neither patched again nor another object."""
    calls: Counter[str] = Counter()

    def counted(assignment: Any, _key: ProxyKey) -> Any:
        calls[assignment.cluster_name] += 1
        assignment.policy.overprovisioning_factor.value = 100
        return assignment

    one, other = (entry_of(f"{n}.shop", endpoints=("10.0.0.1:80",)) for n in "ab")
    world = world_of(one, other)
    made = pipeline(ResourcePatch(name="p", type_url=ENDPOINT, apply=counted))
    before = made.derive(world, ROUTER).resources
    made.derive(after(world), ROUTER)
    world = after(world, entry_of("a.shop", endpoints=("10.0.0.2:80",)))
    later = made.derive(world, ROUTER).resources
    assert {"outbound|80||a.shop": 2, "outbound|80||b.shop": 1} == calls
    untouched = "outbound|80||b.shop"
    assert before.get(ENDPOINT, untouched) is later.get(ENDPOINT, untouched)
    changes = later.changes_since(before, ENDPOINT)
    assert ["outbound|80||a.shop"] == [one.name for one in changes.changed]


def test_worlds_in_turn_give_what_each_gives_alone(world_of: WorldOf, entry_of: EntryOf) -> None:
    """However the memo got there: added, changed, removed, added again."""
    patches = (
        ResourcePatch(name="slower", type_url=CLUSTER, apply=slower),
        ResourcePatch(
            name="gone",
            type_url=ENDPOINT,
            apply=lambda one, _: REMOVED if len(one.endpoints) == 0 else one,
        ),
    )
    a, b = entry_of("a.shop", endpoints=("10.0.0.1:80",)), entry_of("b.shop")
    world = world_of(a)
    worlds = [world]
    for step in (
        lambda w: after(w, b),
        lambda w: after(w, entry_of("b.shop", endpoints=("10.0.0.2:80",))),
        lambda w: after(w, removed=(a,)),
        lambda w: after(w, a, b),
    ):
        worlds.append(step(worlds[-1]))
    made = pipeline(*patches)
    for one in worlds:
        kept, fresh = made.derive(one, SIDECAR), pipeline(*patches).derive(one, SIDECAR)
        for url in fresh.resources.types():
            assert fresh.resources.version(url) == kept.resources.version(url)
        assert sorted(map(str, fresh.faults)) == sorted(map(str, kept.faults))


def test_a_patch_that_fails_leaves_the_resource_as_it_was(
    world_of: WorldOf, entry_of: EntryOf
) -> None:
    """One fault tells for how many, and what other patches made stays."""

    def stuck(_message: Any, _key: ProxyKey) -> Any:
        raise RuntimeError("no")

    world = world_of(entry_of("a.shop"), entry_of("b.shop"))
    derived = pipeline(
        ResourcePatch(name="acme/one", type_url=CLUSTER, apply=slower),
        ResourcePatch(name="acme/two", type_url=CLUSTER, apply=stuck),
    ).derive(world, ROUTER)
    (fault,) = derived.faults
    assert str(fault) == (
        "the patch 'acme/two' failed for cds 'outbound|80||a.shop' and 1 more, sent without it: "
        "RuntimeError: no; mend or disable its plugin"
    )
    assert 2 == len(derived.resources.resources(CLUSTER))
    assert all(b"\x08M" in one.bytes for one in derived.resources.resources(CLUSTER))


def test_a_required_patch_that_fails_leaves_the_resource_out(
    world_of: WorldOf, entry_of: EntryOf
) -> None:
    """What it guards is not served unguarded."""
    derived = pipeline(
        ResourcePatch(name="guard", type_url=LISTENER, apply=failing, is_required=True)
    ).derive(world_of(entry_of("a.shop")), ROUTER)
    assert [] == names(derived, LISTENER)
    assert "left out: RuntimeError" in words(derived)


@pytest.mark.parametrize(
    ("apply", "message"),
    [
        (lambda _message, _key: None, "it returned NoneType; return the Cluster, or REMOVED"),
        (lambda message, _key: setattr(message, "name", "x") or message, "it renamed"),
    ],
)
def test_a_patch_returns_the_message_under_its_name(
    world_of: WorldOf, entry_of: EntryOf, apply: Any, message: str
) -> None:
    """A forgotten return takes nothing away, and nothing is renamed."""
    derived = pipeline(ResourcePatch(name="p", type_url=CLUSTER, apply=apply)).derive(
        world_of(entry_of("a.shop")), ROUTER
    )
    assert ["outbound|80||a.shop"] == names(derived, CLUSTER)
    assert message in words(derived)


def test_what_is_removed_and_still_needed_is_reported(world_of: WorldOf, entry_of: EntryOf) -> None:
    """Removing goes through; a route to a removed cluster is said."""
    derived = pipeline(ResourcePatch(name="p", type_url=CLUSTER, apply=lambda *_: REMOVED)).derive(
        world_of(entry_of("a.shop")), ROUTER
    )
    assert [] == names(derived, CLUSTER)
    assert "a patch took cds 'outbound|80||a.shop' away, and others refer to it" in words(derived)


def test_a_patch_that_cannot_say_for_whom_it_is_fails_for_all(
    world_of: WorldOf, entry_of: EntryOf
) -> None:
    """As if `apply` had failed."""

    def unsure(key: ProxyKey) -> bool:
        raise KeyError(str(key.role))

    derived = pipeline(
        ResourcePatch(name="p", type_url=CLUSTER, apply=slower, applies=unsure)
    ).derive(world_of(entry_of("a.shop")), ROUTER)
    assert ["outbound|80||a.shop"] == names(derived, CLUSTER)
    assert "failed for cds 'outbound|80||a.shop', sent without it: KeyError" in words(derived)


def test_what_a_patch_reads_is_kept_in_keys(world_of: WorldOf, entry_of: EntryOf) -> None:
    """Labels and locality of a proxy are in its key only for those who ask."""
    proxy = Proxy(
        node_id="x",
        role=ProxyRole.ROUTER,
        labels={"tier": "edge", "app": "x"},
        locality=Locality("eu"),
    )
    world = world_of(entry_of("a.shop"))
    assert ROUTER == pipeline().proxy_key(world, proxy)
    reading = ResourcePatch(
        name="p", type_url=CLUSTER, apply=slower, labels=("tier",), reads=("locality",)
    )
    key = pipeline(reading).proxy_key(world, proxy)
    assert evolve(ROUTER, labels={"tier": "edge"}, locality=Locality("eu")) == key
    seen = []
    pipeline(evolve(reading, applies=lambda own: bool(seen.append(own)))).derive(
        world, evolve(key, network="n")
    )
    assert [key] == seen


def test_a_generator_adds_resources_for_its_roles(world_of: WorldOf, entry_of: EntryOf) -> None:
    """Patches see them, too."""

    def extra(_view: object) -> list[Resource]:
        return [Resource(CLUSTER, "extra", b"\n\x05extra")]

    own = ResourceGenerator(name="g", generate=extra, roles={ProxyRole.SIDECAR})
    made = pipeline(ResourcePatch(name="p", type_url=CLUSTER, apply=slower), generators=(own,))
    world = world_of(entry_of("a.shop"))
    assert "extra" not in names(made.derive(world, ROUTER), CLUSTER)
    found = made.derive(world, SIDECAR).resources.get(CLUSTER, "extra")
    assert found is not None
    assert b"\x08M" in found.bytes


def test_a_generator_cannot_replace_what_is_there(world_of: WorldOf, entry_of: EntryOf) -> None:
    """Ours stays, the rest of the generator's goes through, and the clash is reported."""

    def extra(_view: object) -> list[Resource]:
        return [Resource(CLUSTER, name, b"\n\x01x") for name in ("outbound|80||a.shop", "x", "x")]

    derived = pipeline(generators=(ResourceGenerator(name="g", generate=extra),)).derive(
        world_of(entry_of("a.shop")), ROUTER
    )
    assert ["outbound|80||a.shop", "x"] == names(derived, CLUSTER)
    ours = derived.resources.get(CLUSTER, "outbound|80||a.shop")
    assert ours is not None
    assert ours.bytes != b"\n\x01x"
    assert "it is there already" in words(derived)
    assert "it makes it twice" in words(derived)


def test_a_generator_that_fails_harms_no_other(world_of: WorldOf, entry_of: EntryOf) -> None:
    """Nothing of it is sent, the rest is."""

    def extra(_view: object) -> Any:
        yield Resource(CLUSTER, "half", b"")
        raise RuntimeError("no")

    derived = pipeline(generators=(ResourceGenerator(name="g", generate=extra),)).derive(
        world_of(entry_of("a.shop")), ROUTER
    )
    assert ["outbound|80||a.shop"] == names(derived, CLUSTER)
    assert "the generator 'g' failed, nothing of it is sent: RuntimeError: no" in words(derived)
