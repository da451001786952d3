"""The pure step that shares the traffic to one service out among its sources.

Weights of endpoints are scaled, port by port, until those of each source add up to its
share; within a source they keep their ratio. An endpoint that several named sources know
counts for each of them, as if it stood there once for each: what it gets is the sum. So
``100/0`` gives just what the first source alone would.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from meshregistry.model import Adjustment, Health, SourceId

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping, Sequence

    from meshregistry.model import CatalogEntry, Endpoint
    from meshregistry.rules._decisions import SourceShift

LARGEST_SUM = 1_000_000_000
"""Weights of one port add up to no more; ratios that need more are rounded."""


def shifted(entry: CatalogEntry, shift: SourceShift) -> CatalogEntry:
    """The entry with the weights of its endpoints as decided.

    Sources with 0 get nothing. The share of a source without a healthy endpoint goes to the
    other sources with a share, in their ratio. Sources that are not named keep what they have
    in relation to the named ones together. Sources that fail over to each other by their merge
    policy share all the same: those with a share have one priority.
    """
    shares = dict(shift.shares)
    endpoints = list(entry.endpoints)
    places: dict[str, list[int]] = {}
    for place, endpoint in enumerate(endpoints):
        places.setdefault(endpoint.service_port, []).append(place)
    adjustments: list[Adjustment] = []
    for port, mine in places.items():
        known = [
            _Known.of(endpoints[place], entry.endpoint_sources[place], shares) for place in mine
        ]
        if not any(one.sources for one in known):
            continue
        factors = _factors(known, shares)
        sharing = {
            place
            for place, one in zip(mine, known, strict=True)
            if any(factors[source] for source in one.sources)
        }
        first = min((endpoints[place].priority for place in sharing), default=0)
        for place, weight in zip(mine, _weights(known, factors), strict=True):
            old = endpoints[place]
            priority = first if place in sharing else old.priority
            if (old.weight, old.priority) != (weight, priority):
                endpoints[place] = evolve(old, weight=weight, priority=priority)
        adjustments += _told(port, known, factors, shift)
    if not adjustments:
        return entry
    return evolve(entry, endpoints=tuple(endpoints), adjustments=(*entry.adjustments, *adjustments))


@frozen
class _Known:
    """An endpoint: its weight, the weight with which it takes new requests, who names it."""

    weight: int
    strength: int
    sources: tuple[SourceId, ...]

    @classmethod
    def of(
        cls, endpoint: Endpoint, sources: tuple[SourceId, ...], named: Container[SourceId]
    ) -> _Known:
        strength = endpoint.weight if endpoint.health is Health.HEALTHY else 0
        return cls(endpoint.weight, strength, tuple(one for one in sources if one in named))


def _strength(known: Sequence[_Known], source: SourceId) -> int:
    return sum(one.strength for one in known if source in one.sources)


def _factors(known: Sequence[_Known], shares: Mapping[SourceId, int]) -> dict[SourceId, Fraction]:
    """What the weights of each source's endpoints are multiplied by."""
    strengths = {source: _strength(known, source) for source in shares}
    pool = sum(one.strength for one in known if one.sources)
    total = sum(share for source, share in shares.items() if strengths[source])
    factors = {}
    for source, share in shares.items():
        if not share:
            factors[source] = Fraction(0)
        elif strengths[source]:
            factors[source] = Fraction(pool * share, total * strengths[source])
        else:
            # Nothing here takes new requests; what drains is still to be sent.
            factors[source] = Fraction(1)
    return factors


def _weights(known: Sequence[_Known], factors: Mapping[SourceId, Fraction]) -> list[int]:
    common = math.lcm(*(one.denominator for one in factors.values()))
    multiples = {source: int(factor * common) for source, factor in factors.items()}
    return bounded(
        [
            one.weight * (sum(multiples[name] for name in one.sources) if one.sources else common)
            for one in known
        ]
    )


def bounded(numbers: Sequence[int]) -> list[int]:
    """The smallest whole numbers in the ratio of these, which are not negative.

    If they would add up to more than `LARGEST_SUM` they are rounded, each by less than one;
    what is positive stays positive.
    """
    divisor = math.gcd(*numbers) or 1
    total = sum(numbers) // divisor
    if total <= LARGEST_SUM:
        return [one // divisor for one in numbers]
    bound = LARGEST_SUM - len(numbers)
    return [max(1, one // divisor * bound // total) if one else 0 for one in numbers]


def _told(
    port: str,
    known: Sequence[_Known],
    factors: Mapping[SourceId, Fraction],
    shift: SourceShift,
) -> Iterator[Adjustment]:
    """What has become of the share of each named source that knows the port."""
    strengths = {source: _strength(known, source) for source in factors}
    before = sum(one.strength for one in known)
    after = sum(one.strength for one in known if not one.sources) + sum(
        strengths[source] * factor for source, factor in factors.items()
    )
    for source, share in shift.shares:
        if any(source in one.sources for one in known):
            why = ", no healthy endpoint" if share and not strengths[source] else ""
            yield Adjustment(
                field=f"share of {source} at {port}",
                chosen=f"{_percent(strengths[source] * factors[source], after)}{why}",
                replaced=_percent(strengths[source], before),
                by=str(shift),
            )


def _percent(part: int | Fraction, total: int | Fraction) -> str:
    return f"{float(100 * part / total) if total else 0.0:.4g} %"
