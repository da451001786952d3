"""What becomes of operators' decisions: shown, counted, and brought into the catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshregistry.documents import suggestion
from meshregistry.errors import ConfigError
from meshregistry.model import Labels, Metric
from meshregistry.rules import Drain, LossAcceptance, SourceShift

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from logging import Logger

    from meshregistry.model import Catalog
    from meshregistry.rules import Decisions


def decisions_document(
    decisions: Decisions, known: Collection[str], catalog: Catalog
) -> list[dict[str, Any]]:
    """Each decision in force, as ``/debug/rules`` shows it.

    Args:
        decisions: of all rule sources.
        known: ids of the sources that there are.
        catalog: tells of which services a host is but another name, so that a decision about
            it has no effect.
    """
    services = [entry.service for entry in catalog.by_key.values()] if decisions else []
    names = {str(one.host): str(one.alias_of) for one in services if one.alias_of is not None}
    return [
        {
            "kind": type(one).__name__,
            "namespace": one.namespace,
            "name": one.name,
            "what": one.summary,
            "unknown_sources": [source for source in one.sources if source not in known],
            "other_names": {host: names[host] for host in _hosts(one) if host in names},
            "from": str(one.origin),
        }
        for one in decisions
    ]


def _hosts(one: SourceShift | Drain | LossAcceptance) -> tuple[str, ...]:
    match one:
        case SourceShift():
            return one.hosts
        case Drain():
            return (one.host,)
        case LossAcceptance():
            return ()


def unknown_sources(decisions: Decisions, known: Collection[str]) -> Iterator[ConfigError]:
    """One warning for each source that a decision names and the settings do not have."""
    for one in decisions:
        for source in one.sources:
            if source not in known:
                yield ConfigError(
                    f"{one} names the source {source}, which the settings do not have",
                    file=one.origin.file,
                    line=one.origin.line,
                    remedy=suggestion(source, list(known)),
                )


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


def tell_decisions(log: Logger, old: Decisions, new: Decisions) -> None:
    """Log what has come into force, and what no longer is: it is never done in silence."""
    before, now = set(old), set(new)
    for one in old:
        if one not in now:
            log.info("no longer in force: %s, %s", one, one.summary)
    for one in new:
        if one not in before:
            log.info("in force: %s, %s", one, one.summary)
