"""Laws of shifting traffic between sources."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from meshregistry.model import CatalogEntry, Endpoint, Health, Port, Protocol, Service
from meshregistry.rules import SourceShift
from meshregistry.rules._shifting import LARGEST_SUM, shifted

EXAMPLES = settings(max_examples=100)
NAMES = ("a", "b", "c")
healths = st.sampled_from([Health.HEALTHY, Health.HEALTHY, Health.DRAINING, Health.UNHEALTHY])
alone = st.sampled_from([(name,) for name in NAMES])
several = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True).map(tuple)


def shares(largest=100):
    """Shares of which at least one is positive."""
    found = st.dictionaries(st.sampled_from("ab"), st.integers(0, largest), min_size=1)
    return found.filter(lambda some: any(some.values()))


def entries(sources, largest=9):
    """Services whose endpoints are named by these."""
    one = st.tuples(sources, st.integers(0, largest), healths)
    return st.lists(one, min_size=1, max_size=8).map(_entry)


def _entry(known):
    return CatalogEntry(
        service=Service(host="r.shop", ports=(Port("http", 80, Protocol.HTTP),)),
        endpoints=tuple(
            Endpoint(address=f"10.0.0.{place}", port=80, weight=weight, health=health)
            for place, (_, weight, health) in enumerate(known)
        ),
        sources=NAMES,
        endpoint_sources=tuple(sources for sources, *_ in known),
    )


def shift(found):
    """The decision with these shares."""
    return SourceShift(name="s", shares=tuple(sorted(found.items())))


def strengths(entry):
    """By source, the weights of its healthy endpoints."""
    found = dict.fromkeys(NAMES, 0)
    for endpoint, sources in zip(entry.endpoints, entry.endpoint_sources, strict=True):
        if endpoint.health is Health.HEALTHY:
            for source in sources:
                found[source] += endpoint.weight
    return found


@given(entries(alone), shares())
@EXAMPLES
def test_sums_by_source_have_the_stated_ratio(entry, found):
    """Of the sources with a healthy endpoint and a share; the others get nothing new."""
    before, after = strengths(entry), strengths(shifted(entry, shift(found)))
    live = {source: share for source, share in found.items() if share and before[source]}
    assume(live)
    for source, share in live.items():
        for other, its in live.items():
            assert after[source] * its == after[other] * share
    for source in found.keys() - live.keys():
        assert after[source] == 0


@given(entries(alone), shares())
@EXAMPLES
def test_a_source_that_is_not_named_keeps_its_part_of_the_whole(entry, found):
    """Unless the named ones have nobody left to send to."""
    before, after = strengths(entry), strengths(shifted(entry, shift(found)))
    assume(any(share and before[source] for source, share in found.items()))
    named = [name for name in NAMES if name in found]
    others = [name for name in NAMES if name not in found]
    for other in others:
        assert before[other] * sum(after[one] for one in named) == after[other] * sum(
            before[one] for one in named
        )


@given(entries(alone), shares())
@EXAMPLES
def test_within_a_source_ratios_are_kept(entry, found):
    """And what had no weight has none."""
    after = shifted(entry, shift(found))
    pairs = [
        (old.weight, new.weight, sources)
        for old, new, sources in zip(
            entry.endpoints, after.endpoints, entry.endpoint_sources, strict=True
        )
    ]
    for old, new, sources in pairs:
        for other, its, theirs in pairs:
            if sources == theirs:
                assert old * its == other * new


@given(entries(several), shares())
@EXAMPLES
def test_0_is_never_sent_and_1_alone_is_all_of_it(entry, found):
    """An endpoint is sent only on behalf of a source with a share, or that is not named."""
    after = shifted(entry, shift(found))
    for old, new, sources in zip(
        entry.endpoints, after.endpoints, entry.endpoint_sources, strict=True
    ):
        named = [source for source in sources if source in found]
        has_share = not named or any(found[source] for source in named)
        assert (new.weight > 0) == (old.weight > 0 and has_share)


@given(entries(several, largest=10**12), shares(10_000))
@EXAMPLES
def test_sums_are_bounded_and_near_the_ratio(entry, found):
    """However large the weights of the registries are."""
    after = shifted(entry, shift(found))
    if after is entry:
        return
    assert sum(one.weight for one in after.endpoints) <= LARGEST_SUM
    every = list(zip(entry.endpoints, after.endpoints, entry.endpoint_sources, strict=True))
    for old, new, sources in every:
        for other, its, theirs in every:
            if sources == theirs and old.weight and other.weight and its.weight:
                ratio = Fraction(old.weight, other.weight)
                # Each is rounded by less than one, or up to one.
                assert abs(new.weight - ratio * its.weight) <= 1 + ratio
