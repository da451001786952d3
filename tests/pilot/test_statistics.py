"""The figures of the ingest side."""

from __future__ import annotations

from meshregistry.aggregate import LossStatus, PartStatus, SourceStatus
from meshregistry.model import Catalog, CatalogEntry, Conflict, Labels, Port, Service, SourceId
from meshregistry.pilot._statistics import source_metrics
from meshregistry.spi import Condition


def part(name, withheld):
    """A part, and how many endpoints are withheld."""
    loss = withheld and LossStatus(
        before=withheld, after=0, withheld=withheld, age=1.0, remaining=None
    )
    return PartStatus(
        name=name,
        condition=Condition.STALE,
        age=None,
        services=0,
        endpoints=0,
        error=None,
        faulty={},
        is_declared=True,
        loss=loss,
    )


def status(name, age):
    """A source that is STALE."""
    return SourceStatus(
        id=SourceId(name),
        kind="file",
        condition=Condition.STALE,
        is_synced=True,
        age=age,
        services=2,
        endpoints=3,
        error=None,
        attempts=4,
        parts=(part("east", 5), part("west", 1), part("north", None)),
        losses=2,
        counters={"ignored_calls": 5},
    )


def figures(*statuses):
    """By name, the samples of each metric."""
    made = source_metrics(statuses, Catalog().at(9))
    return {metric.name.removeprefix("meshregistry_"): dict(metric.samples) for metric in made}


class TestSourceMetrics:
    def test_exactly_one_condition_is_1(self):
        """As Prometheus' own enumerations."""
        (one, *_) = source_metrics([status("a", 1.0)], Catalog())
        on = [labels["condition"] for labels, value in one.samples if value]
        assert (["STALE"], len(Condition)) == (on, len(one.samples))

    def test_each_source_has_its_figures(self):
        """By source and kind."""
        found = figures(status("a", 1.5))
        labels = Labels({"source": "a", "kind": "file"})
        for name, value in (
            *(("source_age_seconds", 1.5), ("source_services", 2), ("source_endpoints", 3)),
            *(("source_attempts", 4), ("source_faulty_records", 0)),
            *(("guard_withheld_endpoints", 6), ("guard_losses", 2)),
        ):
            assert {labels: value} == found[name]
        counted = Labels({"source": "a", "kind": "file", "counter": "ignored_calls"})
        assert {counted: 5} == found["source_counts"]

    def test_an_age_that_nobody_knows_is_no_sample(self):
        """A source that has said nothing is not new; it has no age."""
        assert {} == figures(status("a", None))["source_age_seconds"]

    def test_conflicts_are_counted_by_field_and_loser(self):
        """Whatever port, label or endpoint they are about."""

        def lost(field, loser="b"):
            return Conflict(field=field, winner=None, loser=loser, chosen="", rejected="x")

        service = Service("a.shop", ports=[Port("http", 80)])
        conflicts = (
            *(lost("ports[80].protocol"), lost("ports[81].protocol"), lost("labels[x[1]]")),
            *(
                lost("endpoints[[::1]:80]", "c"),
                lost("endpoints[10.0.0.1:80].health"),
                lost("addresses"),
            ),
        )
        entry = CatalogEntry(service=service, endpoints=(), sources=(), conflicts=conflicts)
        found = {
            metric.name: dict(metric.samples) for metric in source_metrics([], Catalog.of([entry]))
        }
        assert {
            Labels({"field": "ports.protocol", "source": "b"}): 2,
            Labels({"field": "labels", "source": "b"}): 1,
            Labels({"field": "endpoints", "source": "c"}): 1,
            Labels({"field": "endpoints.health", "source": "b"}): 1,
            Labels({"field": "addresses", "source": "b"}): 1,
        } == found["meshregistry_merge_conflicts"]
        assert {Labels(): 6} == found["meshregistry_catalog_conflicts"]

    def test_the_catalog_is_the_published_one(self):
        """Generation and sizes belong together."""
        found = figures()
        assert {Labels(): 9.0} == found["world_generation"]
        assert {Labels(): 0.0} == found["catalog_services"] == found["catalog_conflicts"]
