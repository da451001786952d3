"""What becomes of operators' decisions: shown, counted, and brought into the catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshregistry.model import Labels, Metric

if TYPE_CHECKING:
    from collections.abc import Collection

    from meshregistry.rules import Decisions


def decisions_document(decisions: Decisions, known: Collection[str]) -> list[dict[str, Any]]:
    """Each decision in force, as ``/debug/rules`` shows it.

    Args:
        decisions: of all rule sources.
        known: ids of the sources that there are.
    """
    return [
        {
            "kind": type(one).__name__,
            "namespace": one.namespace,
            "name": one.name,
            "what": one.summary,
            "unknown_sources": [source for source in one.sources if source not in known],
            "from": str(one.origin),
        }
        for one in decisions
    ]


def decision_metrics(decisions: Decisions) -> tuple[Metric, ...]:
    """How many decisions of each sort are in force."""
    counts = {
        "SourceShift": len(decisions.shifts),
        "Drain": len(decisions.drains),
        "LossAcceptance": len(decisions.acceptances),
    }
    return (
        Metric.of(
            "meshregistry_decisions",
            "gauge",
            "Decisions of operators that are in force.",
            {Labels({"kind": kind}): float(count) for kind, count in counts.items()},
        ),
    )
