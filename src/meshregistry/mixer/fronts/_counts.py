"""What the fronts count, and what they say of it without saying it too often."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Final, Literal

from meshregistry.model import Labels, Metric

if TYPE_CHECKING:
    from collections.abc import Mapping

CountName = Literal[
    "checks allowed",
    "checks denied",
    "checks failed",
    "checks turned away",
    "header operations left out",
    "quotas failed",
    "quotas granted",
    "quotas refused",
    "quotas turned away",
    "reports",
    "reports dropped",
    "reports failed",
    "stated attributes refused",
]
"""Everything that is counted."""

_log = logging.getLogger("meshregistry.mixer.fronts")


class Counts:
    """Figures by name; the first of a kind, and every hundredth, is also logged."""

    def __init__(self) -> None:
        self.by_name: Counter[str] = Counter()

    def add(self, name: CountName, number: int = 1) -> None:
        """Count something that is as it should be."""
        self.by_name[name] += number

    def lament(self, name: CountName, reason: str, number: int = 1) -> None:
        """Count something that somebody may want to mend."""
        before = self.by_name[name]
        self.by_name[name] += number
        if before == 0 or before // _EVERY != self.by_name[name] // _EVERY:
            _log.warning("%s (%d so far): %s", name, self.by_name[name], reason)


_EVERY = 100

# For each metric its meaning, and what its label ``outcome`` stands for; no label: one figure.
_FAMILIES: Final[tuple[tuple[str, str, Mapping[str, CountName]], ...]] = (
    (
        "mixer_envoy_checks",
        "checks that Envoys asked for, by how they ended",
        {
            "allowed": "checks allowed",
            "denied": "checks denied",
            "failed": "checks failed",
            "turned_away": "checks turned away",
        },
    ),
    (
        "mixer_envoy_quotas",
        "rate limits that Envoys asked for, by how they ended",
        {
            "failed": "quotas failed",
            "granted": "quotas granted",
            "refused": "quotas refused",
            "turned_away": "quotas turned away",
        },
    ),
    (
        "mixer_envoy_reports",
        "entries of access logs that Envoys sent, by what became of them",
        {"dropped": "reports dropped", "taken": "reports"},
    ),
    (
        "mixer_envoy_report_failures",
        "calls of handlers that failed on entries of access logs",
        {"": "reports failed"},
    ),
    (
        "mixer_envoy_attributes_refused",
        "attributes stated in the configuration of Envoys that are not of their type",
        {"": "stated attributes refused"},
    ),
    (
        "mixer_envoy_header_operations_left_out",
        "operations on headers that Envoy has no word for",
        {"": "header operations left out"},
    ),
)


def front_metrics(counts: Mapping[str, int]) -> tuple[Metric, ...]:
    """Counts by their names as metrics; what has not happened yet is 0."""
    return tuple(
        Metric.of(
            name,
            "counter",
            description,
            {
                Labels({"outcome": outcome} if outcome else {}): float(counts.get(count, 0))
                for outcome, count in parts.items()
            },
        )
        for name, description, parts in _FAMILIES
    )
