"""The pure core as a whole: what sources say, and the catalog that it makes."""

from __future__ import annotations

import pytest
from attrs import evolve

from meshregistry.aggregate._aggregation import Aggregation
from meshregistry.aggregate._source import Source
from meshregistry.aggregate._updates import (
    Confirm,
    Degrade,
    Fault,
    Open,
    PartId,
    Remove,
    Replace,
    Upsert,
)
from meshregistry.errors import RecordError, RegistryAuthError, RegistryUnavailable
from meshregistry.model import Endpoint, Health, MergePolicy, RecordKey, ServiceRecord, SourceId
from meshregistry.spi import Condition

A, B = SourceId("a"), SourceId("b")
GONE = RegistryUnavailable("the connection is lost")


def source(name, **words):
    """A source that is never opened here."""
    return Source(id=SourceId(name), kind="scripted", open=lambda context: None, **words)


def record(host, *endpoints, **words):
    """One record of one port."""
    return ServiceRecord.parse(host, port=80, endpoints=endpoints, **words)


def aggregation(*sources):
    """An aggregation in which the first attempt of each source has begun."""
    made = Aggregation(lambda _: MergePolicy())
    made.arrange(sources, 0.0)
    for one in sources:
        made.begin(one.id)
    return made


def addresses(made, host="cart.shop"):
    """The endpoints of a host in the merged catalog."""
    made.settle()
    return [str(endpoint) for endpoint in made.catalog.endpoints(host)]


def hosts(made):
    """The hosts of the merged catalog."""
    made.settle()
    return [str(service.host) for service in made.catalog.services()]


CART = record("cart.shop", "10.0.0.1:80")
PAY = record("pay.shop", "10.0.0.2:80")


def test_a_source_without_namespaces_takes_its_namespace_setting():
    """The service key is assigned by the core."""
    made = aggregation(source("a", namespace="shop"))
    made.receive(PartId(A), Replace((CART,)), 0.0)
    made.settle()
    assert [str(entry.key) for entry in made.catalog] == ["shop/cart.shop"]


def test_sources_unite_in_order_of_precedence():
    """Whoever speaks first in time, the order of the settings decides."""
    made = aggregation(source("a"), source("b"))
    made.receive(PartId(B), Replace((record("cart.shop", "10.0.0.2:80", labels={"of": "b"}),)), 0.0)
    made.receive(PartId(A), Replace((record("cart.shop", "10.0.0.1:80", labels={"of": "a"}),)), 0.0)
    assert addresses(made) == ["10.0.0.1:80", "10.0.0.2:80"]
    (entry,) = made.catalog
    assert str(entry.service.labels) == "of=a"


def test_another_order_merges_again():
    """Reordering the settings changes who decides, without a word from a source."""
    a, b = source("a"), source("b")
    made = aggregation(a, b)
    for one in (A, B):
        made.receive(PartId(one), Replace((record("cart.shop", labels={"of": one}),)), 0.0)
    made.settle()
    made.arrange([b, a], 0.0)
    assert made.settle()
    (entry,) = made.catalog
    assert str(entry.service.labels) == "of=b"
    assert [one.id for one in made.sources] == ["b", "a"]


def test_a_condition_decides_whose_health_counts():
    """A source that turns STALE hands over to the next, and takes over when it is back."""
    made = aggregation(source("a"), source("b"))
    sick = evolve(Endpoint.parse("10.0.0.1:80"), health=Health.UNHEALTHY)
    made.receive(PartId(A), Replace((record("cart.shop", sick),)), 0.0)
    made.receive(PartId(B), Replace((CART,)), 0.0)

    def health():
        made.settle()
        return made.catalog.endpoints("cart.shop")[0].health

    assert health() is Health.UNHEALTHY
    made.receive(PartId(A), Degrade(GONE), 1.0)
    assert health() is Health.HEALTHY
    made.receive(PartId(A), Confirm(), 2.0)
    assert health() is Health.UNHEALTHY
    made.fail(A, Condition.STALE, GONE, 3.0)
    assert health() is Health.HEALTHY


def test_listing_failed_half_way_keeps_the_data():
    """The source is STALE and nothing is removed."""
    made = aggregation(source("a"))
    made.receive(PartId(A), Replace((CART,)), 0.0)
    made.fail(A, Condition.STALE, GONE, 1.0)
    assert hosts(made) == ["cart.shop"]
    assert made.condition(A) == (Condition.STALE, GONE)


def test_the_previous_runs_data_stays_until_the_first_word():
    """What a new run removes before its listing is held."""
    made = aggregation(source("a"))
    made.receive(PartId(A), Replace((CART, PAY)), 0.0)
    made.fail(A, Condition.STALE, GONE, 1.0)
    made.begin(A)
    made.receive(PartId(A), Remove(PAY.key), 2.0)
    assert hosts(made) == ["cart.shop", "pay.shop"]
    made.receive(PartId(A), Replace((CART, PAY)), 3.0)
    assert hosts(made) == ["cart.shop"]


def test_a_source_that_never_answered_is_stale_with_its_error():
    """And FAILED when its credentials are refused."""
    made = aggregation(source("a"))
    assert made.condition(A) == (Condition.STARTING, None)
    made.fail(A, Condition.STALE, GONE, 1.0)
    assert made.condition(A) == (Condition.STALE, GONE)
    refused = RegistryAuthError("no")
    made.fail(A, Condition.FAILED, refused, 2.0)
    assert made.condition(A) == (Condition.FAILED, refused)
    assert not made.has_synced(A)


def test_parts_have_their_own_completeness():
    """A listing of one part removes nothing of another."""
    made = aggregation(source("a"))
    made.receive(PartId(A, "east"), Replace((CART,)), 0.0)
    made.receive(PartId(A, "west"), Replace((PAY,)), 0.0)
    made.receive(PartId(A, "east"), Replace(()), 1.0)
    assert hosts(made) == ["pay.shop"]


def test_parts_have_their_own_condition():
    """The source is as bad as its worst part; the others' data stays current."""
    made = aggregation(source("a"))
    made.receive(PartId(A, "east"), Replace((CART,)), 0.0)
    made.receive(PartId(A, "west"), Replace((PAY,)), 0.0)
    made.receive(PartId(A, "west"), Degrade(GONE), 1.0)
    assert made.condition(A) == (Condition.STALE, GONE)
    parts = {part.name: part.condition for part in made.status(A, 1.0).parts}
    assert parts == {"east": Condition.SYNCED, "west": Condition.STALE}


def test_parts_unite_like_sources_in_order_of_declaration():
    """Those that were not declared come after, by name, whatever the order of arrival."""
    made = aggregation(source("a"))
    made.declare(A, ["west", "east"])
    for name in ("north", "centre", "east", "west"):
        made.receive(PartId(A, name), Replace((record("cart.shop", labels={"of": name}),)), 0.0)
    made.settle()
    (entry,) = made.catalog
    assert str(entry.service.labels) == "of=west"
    rejected = [one.rejected for one in entry.conflicts]
    assert rejected == ["east", "centre", "north"]


def test_a_new_declaration_changes_the_order_of_parts():
    """Precedence follows the latest words of the registry."""
    made = aggregation(source("a"))
    for name in ("east", "west"):
        made.receive(PartId(A, name), Replace((record("cart.shop", labels={"of": name}),)), 0.0)
    made.settle()
    made.declare(A, ["west"])
    assert made.settle()
    assert str(made.catalog.services()[0].labels) == "of=west"


def test_declared_parts_must_sync():
    """The source has synced when all of them have; others need not."""
    made = aggregation(source("a"))
    made.declare(A, ["east", "west"])
    made.receive(PartId(A, "east"), Replace(()), 0.0)
    made.receive(PartId(A, "north"), Degrade(GONE), 0.0)
    assert not made.has_synced(A)
    made.receive(PartId(A, "west"), Replace(()), 0.0)
    assert made.has_synced(A)


def test_a_source_that_has_synced_stays_synced_for_the_gate():
    """STALE afterwards never unreadies."""
    made = aggregation(source("a"))
    made.receive(PartId(A), Replace(()), 0.0)
    made.fail(A, Condition.STALE, GONE, 1.0)
    assert made.has_synced(A)


def test_a_part_that_failed_before_it_was_ever_named_is_forgotten():
    """A run that fails before it names its parts must not leave the source STALE for ever."""
    made = aggregation(source("a"))
    made.fail(A, Condition.STALE, GONE, 1.0)
    made.begin(A)
    assert made.condition(A)[0] is Condition.STALE
    made.receive(PartId(A, "east"), Replace(()), 2.0)
    assert made.condition(A) == (Condition.SYNCED, None)


def test_a_part_that_a_former_run_only_degraded_is_forgotten():
    """What never listed anything need not exist for the next run."""
    made = aggregation(source("a"))
    made.receive(PartId(A), Degrade(GONE), 0.0)
    made.fail(A, Condition.STALE, GONE, 1.0)
    made.begin(A)
    made.receive(PartId(A, "east"), Replace(()), 2.0)
    assert made.condition(A) == (Condition.SYNCED, None)


def test_parts_of_former_runs_are_dropped_when_a_run_is_complete():
    """A datacenter that is no longer configured goes; one that is asked for but late stays."""
    made = aggregation(source("a"))
    for name, one in (("east", CART), ("late", PAY), ("old", record("old.shop"))):
        made.receive(PartId(A, name), Replace((one,)), 0.0)
    made.begin(A)
    made.declare(A, ["east"])
    made.receive(PartId(A, "late"), Open(), 1.0)
    assert hosts(made) == ["cart.shop", "old.shop", "pay.shop"]
    made.receive(PartId(A, "east"), Replace((CART,)), 1.0)
    assert hosts(made) == ["cart.shop", "pay.shop"]


def test_a_changed_source_declares_its_parts_anew():
    """Those of the old settings go when the new run is complete."""
    made = aggregation(source("a"))
    made.declare(A, ["east", "west"])
    made.receive(PartId(A, "east"), Replace((CART,)), 0.0)
    made.receive(PartId(A, "west"), Replace((PAY,)), 0.0)
    made.arrange([source("a", fingerprint="new")], 1.0)
    made.begin(A)
    assert hosts(made) == ["cart.shop", "pay.shop"]
    made.receive(PartId(A), Replace((CART,)), 2.0)
    assert hosts(made) == ["cart.shop"]
    assert made.condition(A) == (Condition.SYNCED, None)


def test_stale_after_drops_data_of_a_part_that_is_not_synced():
    """Counted from the moment it ceased to be SYNCED; a listing brings it back."""
    made = aggregation(source("a", stale_after=60.0))
    made.receive(PartId(A, "east"), Replace((CART,)), 0.0)
    made.receive(PartId(A, "west"), Replace((PAY,)), 0.0)
    assert made.next_expiry(A) is None
    made.receive(PartId(A, "east"), Degrade(GONE), 100.0)
    assert made.next_expiry(A) == 160.0
    made.expire(A, 159.9)
    assert hosts(made) == ["cart.shop", "pay.shop"]
    made.expire(A, 160.0)
    assert hosts(made) == ["pay.shop"]
    assert made.next_expiry(A) is None
    made.receive(PartId(A, "east"), Replace((CART,)), 200.0)
    assert hosts(made) == ["cart.shop", "pay.shop"]


def test_stale_data_is_served_indefinitely_by_default():
    """Without `stale_after` nothing expires."""
    made = aggregation(source("a"))
    made.receive(PartId(A), Replace((CART,)), 0.0)
    made.fail(A, Condition.STALE, GONE, 1.0)
    assert made.next_expiry(A) is None
    made.expire(A, 1e9)
    assert hosts(made) == ["cart.shop"]


def test_only_a_removed_id_removes_data():
    """A source that is added or changed takes nothing away."""
    made = aggregation(source("a"), source("b"))
    made.receive(PartId(A), Replace((CART,)), 0.0)
    made.receive(PartId(B), Replace((PAY,)), 0.0)
    made.arrange([source("a", fingerprint="new"), source("b"), source("c")], 1.0)
    assert hosts(made) == ["cart.shop", "pay.shop"]
    made.arrange([source("a", fingerprint="new")], 2.0)
    assert hosts(made) == ["cart.shop"]


def test_a_changed_source_keeps_its_data_as_stale_until_its_first_listing():
    """The old namespace stays as long as the old data does."""
    made = aggregation(source("a", namespace="old"))
    made.receive(PartId(A), Replace((CART,)), 0.0)
    made.arrange([source("a", namespace="new")], 1.0)
    made.begin(A)
    assert made.condition(A)[0] is Condition.STALE
    made.settle()
    assert [str(entry.key) for entry in made.catalog] == ["old/cart.shop"]
    made.receive(PartId(A), Replace((CART,)), 2.0)
    made.settle()
    assert [str(entry.key) for entry in made.catalog] == ["new/cart.shop"]


def test_memory_is_synced_from_the_start():
    """Its upserts need no listing before them."""
    made = aggregation(source("a", is_synced_at_start=True))
    assert made.condition(A) == (Condition.SYNCED, None)
    assert made.has_synced(A)
    made.receive(PartId(A), Upsert(CART), 1.0)
    assert hosts(made) == ["cart.shop"]


def test_equal_input_changes_nothing():
    """Every registry wakes without news."""
    made = aggregation(source("a"))
    made.receive(PartId(A), Replace((CART, PAY)), 0.0)
    made.settle()
    catalog = made.catalog
    made.receive(PartId(A), Replace((PAY, CART)), 1.0)
    made.receive(PartId(A), Upsert(record("cart.shop", "10.0.0.1:80")), 2.0)
    made.receive(PartId(A), Confirm(), 3.0)
    assert not made.settle()
    assert made.catalog is catalog


def test_a_status_says_how_a_source_is_doing():
    """Condition, age, counts, last error, attempts, parts, faulty keys."""
    made = aggregation(source("a"))
    made.declare(A, ["east", "west"])
    twin = evolve(CART, key=RecordKey("cart-2"))
    listing = Replace((CART, twin, PAY), (Fault(RecordKey("bad"), "no port"),))
    made.receive(PartId(A, "east"), listing, 10.0)
    made.receive(PartId(A, "east"), Degrade(RecordError("worse", key="bad")), 11.0)
    status = made.status(A, 15.0)
    assert (status.id, status.kind, status.attempts) == ("a", "scripted", 1)
    assert (status.condition, status.is_synced, status.age) == (Condition.STARTING, False, None)
    assert (status.services, status.endpoints) == (2, 3)
    assert dict(status.faulty) == {("east", "bad"): "worse"}
    east, west = status.parts
    assert (west.condition, west.age, west.is_declared) == (Condition.STARTING, None, True)
    assert (east.name, east.condition, east.age) == ("east", Condition.SYNCED, 5.0)
    assert (east.services, east.endpoints, east.is_declared) == (2, 3, True)
    made.receive(PartId(A, "west"), Replace(()), 12.0)
    assert made.status(A, 15.0).age == 5.0


def test_one_change_merges_one_service():
    """The cost follows the change: the policy is asked for that service only."""
    asked = []

    def policy(key):
        asked.append(str(key))
        return MergePolicy()

    made = Aggregation(policy)
    made.arrange([source("a")], 0.0)
    made.begin(A)
    made.receive(PartId(A), Replace((CART, PAY)), 0.0)
    made.settle()
    asked.clear()
    made.receive(PartId(A), Upsert(record("pay.shop", "10.0.0.9:80")), 1.0)
    made.receive(PartId(A), Upsert(CART), 1.0)
    made.settle()
    assert asked == ["pay.shop"]


@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_a_part_that_confirms_is_not_dropped(seconds):
    """Confirmation resets the staleness clock."""
    made = aggregation(source("a", stale_after=60.0))
    made.receive(PartId(A), Replace((CART,)), 0.0)
    made.receive(PartId(A), Degrade(GONE), 10.0)
    made.receive(PartId(A), Confirm(), 10.0 + seconds)
    assert made.next_expiry(A) is None


class TestShadow:
    """A source that is compared, and not served."""

    def test_nothing_of_it_is_in_the_catalog(self):
        """What others say of the same service is as if it were not there."""
        made = aggregation(source("a", is_shadow=True), source("b"))
        made.receive(PartId(A), Replace([CART, PAY]), 1.0)
        made.receive(PartId(B), Replace([record("cart.shop", "10.0.0.9:80")]), 1.0)
        assert (["10.0.0.9:80"], ["cart.shop"]) == (addresses(made), hosts(made))
        assert {"cart.shop", "pay.shop"} == {str(one.service.host) for one in made.records(A)}
        assert made.status(A, 1.0).is_shadow

    def test_it_is_served_from_the_moment_that_the_settings_say_so(self):
        """And no more when they take it back; it need not list anything again."""
        shadow, served = source("a", is_shadow=True), source("a", fingerprint="other")
        made = aggregation(shadow)
        made.receive(PartId(A), Replace([CART]), 1.0)
        assert [] == hosts(made)
        made.arrange([served], 2.0)
        assert ["cart.shop"] == hosts(made)
        made.arrange([shadow], 3.0)
        assert [] == hosts(made)
