"""Figures as plain values, for whoever wants to show or export them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from attrs import frozen

from meshregistry.model._names import Labels


@frozen
class Metric:
    """One named figure with its samples.

    Attributes:
        name: as Prometheus names it, such as ``meshregistry_source_records``.
        kind: a gauge goes up and down, a counter only up.
        description: what it counts, and in which unit.
        samples: the value for each set of labels.
    """

    name: str
    kind: Literal["gauge", "counter"]
    description: str
    samples: tuple[tuple[Labels, float], ...]

    @classmethod
    def of(
        cls,
        name: str,
        kind: Literal["gauge", "counter"],
        description: str,
        samples: float | Mapping[Labels, float],
    ) -> Metric:
        """A metric of one unlabelled value, or of one value for each set of labels."""
        if isinstance(samples, Mapping):
            return cls(name, kind, description, tuple(sorted(samples.items())))
        return cls(name, kind, description, ((Labels(), float(samples)),))
