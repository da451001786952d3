"""Which localities take requests first, or what share of them: Istio's locality balancing.

Three ways exclude each other. Failover ranks endpoints by how near they are to the proxy;
failover by labels ranks them by what they have in common with it; distribution gives fixed
shares to places. Envoy sends to a priority only what the ones before it cannot take, and it
refuses priorities with a gap, so that ranks nobody has are left out.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from attrs import evolve, field, frozen

from meshregistry.model import Endpoint, Labels, Locality
from meshregistry.rules import LocalityBalancing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from meshregistry.rules import (
        DestinationPolicy,
        Distribution,
        MeshSettings,
        TrafficPolicy,
    )

_NEAR, _ZONE, _REGION, _OTHER, _LAST = range(5)
_FINENESS = 100
_TOPOLOGY = {
    "topology.kubernetes.io/region": "region",
    "topology.kubernetes.io/zone": "zone",
    "topology.istio.io/subzone": "sub_zone",
}
_NETWORK, _CLUSTER = "topology.istio.io/network", "topology.istio.io/cluster"


@frozen(kw_only=True, cache_hash=True)
class Whereabouts:
    """Where a proxy is, as far as some policy goes by it; the rest is blank."""

    locality: Locality = Locality()
    labels: Labels = field(factory=Labels)


ANYWHERE = Whereabouts()
"""Of a proxy whose place plays no part."""


@frozen(kw_only=True)
class Preference:
    """What orders the endpoints of one cluster.

    Attributes:
        balancing: what the policy says.
        whereabouts: of the proxy.
        network: of the proxy.
    """

    balancing: LocalityBalancing
    whereabouts: Whereabouts
    network: str = ""


@frozen(kw_only=True)
class Group:
    """Endpoints of one locality and priority; a weight of None is that of its endpoints."""

    locality: Locality
    priority: int
    endpoints: list[Endpoint]
    weight: int | None = None


def locality_balancing(policy: TrafficPolicy, mesh: MeshSettings) -> LocalityBalancing | None:
    """How a policy balances between localities; None: not at all.

    Without a word of it the mesh's default holds. Failover needs outlier detection: without
    it no endpoint ever counts as failed, and the nearest ones would take everything.
    """
    balancer = policy.load_balancer
    said = None if balancer is None else balancer.locality
    if said is None and mesh.locality_lb_setting.enabled:
        said = LocalityBalancing()
    if said is None or not said.is_enabled:
        return None
    return said if said.distribute or policy.outlier_detection is not None else None


def reads_locality(policy: DestinationPolicy) -> bool:
    """Whether a policy may prefer some localities, as seen from the caller's."""
    return any(
        one.outlier_detection is not None or _said(one) is not None for one in _pieces(policy)
    )


def read_labels(policy: DestinationPolicy) -> frozenset[str]:
    """The keys of the caller's labels that a policy prefers endpoints by."""
    every = (said for one in _pieces(policy) if (said := _said(one)) is not None)
    return frozenset(word for said in every for word in said.failover_priority if "=" not in word)


def whereabouts_for(
    policy: DestinationPolicy | None, locality: Locality, labels: Mapping[str, str]
) -> Whereabouts:
    """What of a proxy's place a policy goes by."""
    if policy is None or not reads_locality(policy):
        return ANYWHERE
    keys = read_labels(policy)
    mine = {key: value for key, value in labels.items() if key in keys}
    return Whereabouts(locality=locality, labels=Labels(mine))


def _pieces(policy: DestinationPolicy) -> Iterator[TrafficPolicy]:
    for policies in (policy.policies, *(subset.policies for subset in policy.subsets)):
        yield policies.all
        yield from (of_port for _, of_port in policies.by_port)


def _said(policy: TrafficPolicy) -> LocalityBalancing | None:
    return None if policy.load_balancer is None else policy.load_balancer.locality


def grouped(
    by_locality: Mapping[Locality, list[Endpoint]], preference: Preference | None
) -> list[Group]:
    """Endpoints by priority and locality, in this order.

    Where sources fail over to each other, all endpoints of one source come before all of the
    next, and within a source the preference decides. Those that drain stay in their place:
    Envoy does not count them when it shares requests out between priorities.
    """
    if not any(endpoint.priority for some in by_locality.values() for endpoint in some):
        return _preferred(by_locality, preference)
    ranked: dict[int, dict[Locality, list[Endpoint]]] = {}
    for locality, endpoints in by_locality.items():
        for endpoint in endpoints:
            of_source = ranked.setdefault(endpoint.priority, {})
            of_source.setdefault(locality, []).append(endpoint)
    groups: list[Group] = []
    for rank in sorted(ranked):
        start = 1 + max((group.priority for group in groups), default=-1)
        own = _preferred(ranked[rank], preference)
        groups += [evolve(group, priority=start + group.priority) for group in own]
    return groups


def _preferred(
    by_locality: Mapping[Locality, list[Endpoint]], preference: Preference | None
) -> list[Group]:
    """The same for endpoints that no source's precedence tells apart."""
    if preference is None:
        return _plain(by_locality)
    balancing, here = preference.balancing, preference.whereabouts.locality
    if balancing.distribute:
        for one in balancing.distribute:
            if is_within(here, one.origin):
                return _distributed(by_locality, one)
        return _plain(by_locality)
    ranked: dict[tuple[int, Locality], list[Endpoint]] = {}
    for locality, endpoints in by_locality.items():
        for endpoint in endpoints:
            if balancing.failover_priority:
                rank = _rank_by_labels(preference, endpoint)
            else:
                rank = _rank(here, locality, balancing.failover)
            ranked.setdefault((rank, locality), []).append(endpoint)
    priorities = {rank: n for n, rank in enumerate(sorted({rank for rank, _ in ranked}))}
    return [
        Group(locality=locality, priority=priorities[rank], endpoints=ranked[rank, locality])
        for rank, locality in sorted(ranked)
    ]


def _plain(by_locality: Mapping[Locality, list[Endpoint]]) -> list[Group]:
    return [
        Group(locality=locality, priority=0, endpoints=by_locality[locality])
        for locality in sorted(by_locality)
    ]


def is_within(locality: Locality, pattern: str) -> bool:
    """Whether a locality is one that ``region/zone/sub``, its start, or ``*`` names."""
    have = (locality.region, locality.zone, locality.sub_zone)
    for part, mine in zip(pattern.split("/"), have, strict=False):
        if part == "*":
            return True
        if part != mine:
            return False
    return True


def _distributed(
    by_locality: Mapping[Locality, list[Endpoint]], distribution: Distribution
) -> list[Group]:
    """The localities that have a share, which those of one pattern divide by their weights."""
    groups: list[Group] = []
    left = set(by_locality)
    for pattern, share in distribution.shares:
        mine = sorted(locality for locality in left if is_within(locality, pattern))
        left.difference_update(mine)
        weights = [_weight(by_locality[locality]) for locality in mine]
        groups += [
            Group(
                locality=locality,
                priority=0,
                endpoints=by_locality[locality],
                weight=math.ceil(share * _FINENESS * weight / sum(weights)),
            )
            for locality, weight in zip(mine, weights, strict=True)
        ]
    return sorted(groups, key=lambda group: group.locality)


def _weight(endpoints: Iterable[Endpoint]) -> int:
    return sum(endpoint.weight for endpoint in endpoints)


def _rank(here: Locality, there: Locality, failover: Iterable[tuple[str, str]]) -> int:
    if here.region == there.region:
        if here.zone != there.zone:
            return _REGION
        return _NEAR if here.sub_zone == there.sub_zone else _ZONE
    target = next((to for origin, to in failover if origin == here.region), there.region)
    return _OTHER if target == there.region else _LAST


def _rank_by_labels(preference: Preference, endpoint: Endpoint) -> int:
    """How many labels are left from the first one on that the endpoint does not share."""
    keys = preference.balancing.failover_priority
    for n, word in enumerate(keys):
        key, is_said, value = word.partition("=")
        theirs = _value_of(key, endpoint.labels, endpoint.locality)
        if key == _NETWORK:
            mine, theirs = preference.network, theirs or endpoint.network or preference.network
        elif key == _CLUSTER:
            mine = preference.whereabouts.labels.get(key, "")
            theirs = theirs or endpoint.cluster
        else:
            here = preference.whereabouts
            mine = _value_of(key, here.labels, here.locality)
        if (value if is_said else mine) != theirs:
            return len(keys) - n
    return 0


def _value_of(key: str, labels: Mapping[str, str], locality: Locality) -> str:
    part = _TOPOLOGY.get(key)
    return labels.get(key) or (getattr(locality, part) if part else "")
