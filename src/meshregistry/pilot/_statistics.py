"""The figures of the ingest side, as plain values."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from meshregistry.model import Labels, Metric
from meshregistry.spi import Condition

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from meshregistry.aggregate import SourceStatus
    from meshregistry.model import Catalog
    from meshregistry.pilot._rule_book import RuleStatus


def source_metrics(statuses: Sequence[SourceStatus], catalog: Catalog) -> tuple[Metric, ...]:
    """Conditions and counts of the sources, and the size of the published catalog."""

    def each(read: Callable[[SourceStatus], float | None]) -> dict[Labels, float]:
        values = {_of(status): read(status) for status in statuses}
        return {labels: float(value) for labels, value in values.items() if value is not None}

    conditions = {
        Labels({**_of(status), "condition": str(condition)}): float(status.condition is condition)
        for status in statuses
        for condition in Condition
    }
    counters = {
        Labels({**_of(status), "counter": name}): float(value)
        for status in statuses
        for name, value in status.counters.items()
    }
    return (
        Metric.of(
            "meshregistry_source_condition",
            "gauge",
            "1 for the condition that the source is in, 0 for the others.",
            conditions,
        ),
        Metric.of(
            "meshregistry_source_age_seconds",
            "gauge",
            "Seconds since the source last said what is current.",
            each(lambda status: status.age),
        ),
        Metric.of(
            "meshregistry_source_services",
            "gauge",
            "Services that the source knows.",
            each(lambda status: status.services),
        ),
        Metric.of(
            "meshregistry_source_endpoints",
            "gauge",
            "Endpoints that the source knows.",
            each(lambda status: status.endpoints),
        ),
        Metric.of(
            "meshregistry_source_faulty_records",
            "gauge",
            "Records of the source whose newest version is malformed.",
            each(lambda status: len(status.faulty)),
        ),
        Metric.of(
            "meshregistry_source_attempts",
            "counter",
            "How often the source's registry was opened.",
            each(lambda status: status.attempts),
        ),
        Metric.of(
            "meshregistry_source_counts",
            "counter",
            "What the source's adapter counts.",
            counters,
        ),
        Metric.of(
            "meshregistry_source_restored",
            "gauge",
            "1 while what the source knows comes from a snapshot, else 0.",
            each(lambda status: status.is_restored),
        ),
        Metric.of(
            "meshregistry_guard_withheld_endpoints",
            "gauge",
            "Endpoints served although the source says they are gone or not healthy.",
            each(lambda status: status.withheld),
        ),
        Metric.of(
            "meshregistry_guard_losses",
            "counter",
            "How often the source has lost so much that it was withheld.",
            each(lambda status: status.losses),
        ),
        Metric.of(
            "meshregistry_catalog_services",
            "gauge",
            "Services in the published catalog.",
            len(catalog),
        ),
        Metric.of(
            "meshregistry_catalog_conflicts",
            "gauge",
            "Decisions against a source in the published catalog.",
            sum(len(entry.conflicts) for entry in catalog.by_key.values()),
        ),
        Metric.of(
            "meshregistry_merge_conflicts",
            "gauge",
            "Decisions against a source in the published catalog, by field.",
            _conflicts(catalog),
        ),
        Metric.of(
            "meshregistry_world_generation",
            "gauge",
            "Generation of the current world; 0 before the first.",
            catalog.generation,
        ),
    )


def rule_metrics(statuses: Sequence[RuleStatus]) -> tuple[Metric, ...]:
    """Conditions of the rule sources, and how their documents are."""

    def each(read: Callable[[RuleStatus], float]) -> dict[Labels, float]:
        return {
            Labels({"source": status.id, "kind": status.kind}): float(read(status))
            for status in statuses
        }

    return (
        Metric.of(
            "meshregistry_rule_source_synced",
            "gauge",
            "1 while what the rule source said is current, else 0.",
            each(lambda status: status.condition is Condition.SYNCED),
        ),
        Metric.of(
            "meshregistry_rule_source_restored",
            "gauge",
            "1 while what the rule source has comes from a snapshot, else 0.",
            each(lambda status: status.is_restored),
        ),
        Metric.of(
            "meshregistry_rule_documents",
            "gauge",
            "Documents that the rule source has.",
            each(lambda status: status.documents),
        ),
        Metric.of(
            "meshregistry_rule_errors",
            "gauge",
            "What is wrong with documents of the rule source.",
            each(lambda status: len(status.errors)),
        ),
        Metric.of(
            "meshregistry_rule_warnings",
            "gauge",
            "What documents of the rule source say to no effect.",
            each(lambda status: len(status.warnings)),
        ),
    )


def _conflicts(catalog: Catalog) -> dict[Labels, float]:
    """How often each source has lost which field."""
    counts = Counter(
        (conflict.kind, conflict.loser)
        for entry in catalog.by_key.values()
        for conflict in entry.conflicts
    )
    return {
        Labels({"field": kind, "source": loser}): float(count)
        for (kind, loser), count in sorted(counts.items())
    }


def snapshot_metrics(failures: int) -> tuple[Metric, ...]:
    """How keeping a snapshot goes."""
    return (
        Metric.of(
            "meshregistry_snapshot_failures",
            "counter",
            "How often the snapshot could not be written.",
            failures,
        ),
    )


def _of(status: SourceStatus) -> Labels:
    return Labels({"source": str(status.id), "kind": status.kind})
