"""What is kept across restarts: records as text, and sources that begin with them."""

from __future__ import annotations

import json

import pytest

from meshregistry.aggregate import Aggregation, GuardPolicy, Kept, PartId, RecordCodec, Source
from meshregistry.aggregate._updates import Confirm, Replace
from meshregistry.errors import RegistryUnavailable
from meshregistry.model import (
    Endpoint,
    Health,
    Locality,
    MergePolicy,
    Port,
    Protocol,
    RecordKey,
    Resolution,
    Service,
    ServiceRecord,
    SourceId,
)
from meshregistry.spi import Condition

A = SourceId("a")
CART = ServiceRecord.parse("cart.shop", port=80, endpoints=["10.0.0.1:80"])
PAY = ServiceRecord.parse("pay.shop", port=80, endpoints=["10.0.0.2:80"])
RICH = ServiceRecord(
    Service(
        "rich.shop",
        ports=[Port("http", 80, Protocol.HTTP2), Port("tcp", 81, Protocol.TCP)],
        resolution=Resolution.PASSTHROUGH,
        addresses=["10.1.0.1", "fd00::1"],
        labels={"team": "x"},
        namespace="shop",
        is_external=True,
        export_to=[".", "other"],
    ),
    [
        Endpoint(
            address="fd00::2",
            port=8080,
            service_port="tcp",
            network="n",
            cluster="c",
            workload_identity="spiffe://a/b",
            locality=Locality("r", "z", "s"),
            health=Health.DRAINING,
            weight=7,
            labels={"version": "v1"},
        ),
        Endpoint(address="unix:///run/x", port=0),
        Endpoint(address="db.example", port=1, health=Health.UNHEALTHY, weight=0),
    ],
    key=RecordKey("native/key"),
)
ALIAS = ServiceRecord(
    Service("alias.shop", ports=[Port("p", 1)], resolution=Resolution.ALIAS, alias_of="cart.shop")
)


@pytest.mark.parametrize("record", [CART, RICH, ALIAS], ids=str)
def test_a_record_comes_back_as_it_was(record):
    """Through JSON, with every field."""
    codec = RecordCodec()
    assert record == codec.record(json.loads(json.dumps(codec.plain(record))))


def test_defaults_are_not_written():
    """A large catalog is small on disk."""
    assert RecordCodec().plain(CART) == {
        "service": {
            "host": "cart.shop",
            "ports": [{"name": "http", "number": 80, "protocol": "HTTP"}],
        },
        "endpoints": [{"address": "10.0.0.1", "port": 80}],
    }


def test_a_field_that_is_not_known_is_skipped():
    """An older version reads what a newer one wrote."""
    plain = RecordCodec().plain(CART)
    plain["endpoints"][0]["mood"] = "good"
    assert RecordCodec().record({**plain, "more": 1}) == CART


@pytest.mark.parametrize(
    "value",
    [
        *({}, 5, None, [], {"service": {}}, {"service": {"host": "a b", "ports": []}}),
        {**RecordCodec().plain(CART), "endpoints": [{"address": "10.0.0.1", "port": "x"}]},
        {**RecordCodec().plain(CART), "endpoints": [{"address": "x", "port": 1, "health": "ILL"}]},
    ],
)
def test_what_is_no_record_is_refused(value):
    """A damaged file never becomes half a record."""
    with pytest.raises(ValueError, match="is not a record"):
        RecordCodec().record(value)


def source(**words):
    """A source that is never opened here."""
    return Source(id=A, kind="scripted", open=lambda context: None, **words)


def restored(*records, parts=("",), **words):
    """An aggregation whose source begins with these records, 30 s old, at the time 100."""
    made = Aggregation(lambda _: MergePolicy())
    made.arrange([source(**words)], 100.0)
    for name in parts:
        made.restore(PartId(A, name), records, 30.0, 100.0)
    made.begin(A)
    return made


def hosts(made):
    """The hosts of the merged catalog."""
    made.settle()
    return [str(service.host) for service in made.catalog.services()]


class TestRestored:
    """A source that begins with what it said before the start."""

    def test_it_is_stale_and_served(self):
        """And has not synced; its age is that of the snapshot."""
        made = restored(CART)
        assert hosts(made) == ["cart.shop"]
        status = made.status(A, 105.0)
        assert (status.condition, status.is_synced, status.is_restored, status.age) == (
            *(Condition.STALE, False, True, 35.0),
        )
        assert "from a snapshot" in str(status.error)

    def test_the_first_listing_replaces_it(self):
        """Whatever it says."""
        made = restored(CART)
        made.receive(PartId(A), Confirm(), 101.0)
        assert made.condition(A)[0] is Condition.STALE
        made.receive(PartId(A), Replace([PAY]), 102.0)
        assert hosts(made) == ["pay.shop"]
        status = made.status(A, 103.0)
        assert (status.condition, status.is_synced, status.is_restored, status.age) == (
            *(Condition.SYNCED, True, False, 1.0),
        )

    def test_it_stays_through_attempts_that_fail(self):
        """The error is then that of the attempt."""
        made = restored(CART)
        for _ in range(3):
            made.fail(A, Condition.STALE, RegistryUnavailable("no route"), 110.0)
            made.begin(A)
        assert hosts(made) == ["cart.shop"]
        assert (str(made.status(A, 110.0).error), made.status(A, 110.0).age) == ("no route", 40.0)

    def test_it_stays_through_other_settings(self):
        """A reload changes nothing of what was restored."""
        made = restored(CART)
        made.arrange([source(fingerprint="other")], 101.0)
        assert (hosts(made), made.condition(A)[0]) == (["cart.shop"], Condition.STALE)

    def test_parts_that_the_first_run_does_not_know_are_dropped(self):
        """Once it is complete, as those of a former run are."""
        made = restored(CART, parts=("east", "west"))
        assert [part.name for part in made.status(A, 100.0).parts] == ["east", "west"]
        made.declare(A, ["east"])
        assert made.condition(A)[0] is Condition.STALE
        made.receive(PartId(A, "east"), Replace([PAY]), 101.0)
        assert hosts(made) == ["pay.shop"]
        assert made.has_synced(A)

    def test_stale_after_counts_from_when_it_was_current(self):
        """Not from the start."""
        made = restored(CART, stale_after=60.0)
        assert made.next_expiry(A) == 130.0

    def test_a_first_listing_that_lacks_most_is_not_believed(self):
        """The guard compares it with the snapshot."""
        many = ServiceRecord.parse("a.b", port=80, endpoints=[f"10.0.0.{n}:80" for n in range(20)])
        made = restored(many, guard=GuardPolicy())
        made.receive(PartId(A), Replace([]), 5000.0)
        assert hosts(made) == ["a.b"]
        status = made.status(A, 5000.0)
        assert (status.condition, status.withheld) == (Condition.SYNCED, 20)

    def test_what_is_kept_is_what_is_shown_and_since_when(self):
        """Restored parts are kept on with their age; withheld records are not lost by a restart."""
        made = restored(CART, parts=("east", "west"))
        made.receive(PartId(A, "east"), Replace([PAY]), 120.0)
        assert made.kept(A, 150.0) == {"east": Kept((PAY,), 150.0), "west": Kept((CART,), 70.0)}
        made.fail(A, Condition.STALE, RegistryUnavailable("no route"), 160.0)
        assert made.kept(A, 190.0)["east"].current == 160.0

    def test_what_has_never_been_listed_is_not_kept(self):
        """Else an empty listing that nobody made would replace what is on disk."""
        made = Aggregation(lambda _: MergePolicy())
        made.arrange([source()], 0.0)
        made.begin(A)
        made.declare(A, ["east"])
        assert made.kept(A, 1.0) == {}
