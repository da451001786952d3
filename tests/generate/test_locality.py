"""Which localities take requests first, and what shares they have."""

from __future__ import annotations

import pytest
from attrs import evolve

from meshregistry.generate._locality import (
    Group,
    Preference,
    Whereabouts,
    grouped,
    is_within,
    locality_balancing,
    read_labels,
    whereabouts_for,
)
from meshregistry.model import Endpoint, Labels, Locality
from meshregistry.rules import (
    DestinationPolicy,
    Distribution,
    LoadBalancer,
    LocalityBalancing,
    LocalityLbSettings,
    MeshSettings,
    OutlierDetection,
    PortPolicies,
    TrafficPolicy,
)

HERE = Locality("eu", "a", "1")
PLACES = tuple(map(Locality.parse, ("eu/a/1", "eu/a/2", "eu/b/1", "us/a/1", "asia/a/1")))


def order(balancing: LocalityBalancing, *places: Locality, here: Locality = HERE) -> list[object]:
    """The priority, place and weight of each group."""
    members = {place: [Endpoint(address="10.0.0.1", port=80)] for place in places or PLACES}
    preference = Preference(balancing=balancing, whereabouts=Whereabouts(locality=here))
    return [(one.priority, str(one.locality), one.weight) for one in grouped(members, preference)]


def test_the_nearest_come_first() -> None:
    """Sub-zone, zone, region, and then all others alike."""
    assert order(LocalityBalancing()) == [
        (0, "eu/a/1", None),
        (1, "eu/a/2", None),
        (2, "eu/b/1", None),
        (3, "asia/a/1", None),
        (3, "us/a/1", None),
    ]


def test_the_region_to_fail_over_to_comes_before_others() -> None:
    """Regions that are not its target come last."""
    ranks = order(LocalityBalancing(failover=(("eu", "us"),)))
    assert ranks[3:] == [(3, "us/a/1", None), (4, "asia/a/1", None)]


def test_priorities_have_no_gaps() -> None:
    """Envoy refuses an assignment with a gap."""
    found = order(LocalityBalancing(), PLACES[2], PLACES[4])
    assert found == [(0, "eu/b/1", None), (1, "asia/a/1", None)]


def test_shares_are_divided_among_the_places_of_a_pattern() -> None:
    """Localities without a share get nothing."""
    shares = (("eu/a/*", 80), ("us", 20))
    one = LocalityBalancing(distribute=(Distribution(origin="eu/*", shares=shares),))
    assert order(one) == [(0, "eu/a/1", 4000), (0, "eu/a/2", 4000), (0, "us/a/1", 2000)]
    assert {weight for _, _, weight in order(one, here=Locality("us"))} == {None}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("*", True), ("eu", True), ("eu/*", True), ("eu/a/1", True), ("eu/b", False), ("us/*", False)],
)
def test_a_pattern_names_places(pattern: str, expected: bool) -> None:
    """It is a locality, the start of one, or ends in a wildcard."""
    assert is_within(HERE, pattern) is expected


def test_labels_rank_by_the_first_that_differs() -> None:
    """What follows a difference does not count; a value may stand for the caller's own."""
    words = ("topology.kubernetes.io/region", "rack", "version=v1")
    members = [
        Endpoint(address=f"10.0.0.{n}", port=80, locality=Locality(region), labels=Labels(labels))
        for n, (region, labels) in enumerate(
            (
                ("us", {"rack": "7", "version": "v1"}),
                ("eu", {"rack": "8", "version": "v1"}),
                ("eu", {"rack": "7", "version": "v1"}),
            )
        )
    ]
    preference = Preference(
        balancing=LocalityBalancing(failover_priority=words),
        whereabouts=Whereabouts(locality=HERE, labels=Labels({"rack": "7"})),
    )
    by_locality = {Locality("us"): members[:1], Locality("eu"): members[1:]}
    found = grouped(by_locality, preference)
    assert [one.endpoints for one in found] == [[members[2]], [members[1]], [members[0]]]
    assert [one.priority for one in found] == [0, 1, 2]


def test_failover_needs_outlier_detection() -> None:
    """By the mesh's default it is on; shares need nothing else."""
    mesh, ejecting = MeshSettings(), TrafficPolicy(outlier_detection=OutlierDetection())
    off = MeshSettings(locality_lb_setting=LocalityLbSettings(enabled=False))
    assert locality_balancing(TrafficPolicy(), mesh) is None
    assert locality_balancing(ejecting, mesh) == LocalityBalancing()
    assert locality_balancing(ejecting, off) is None
    shared = LocalityBalancing(distribute=(Distribution(origin="*", shares=(("eu", 100),)),))
    for said, expected in ((shared, shared), (evolve(shared, is_enabled=False), None)):
        policy = TrafficPolicy(load_balancer=LoadBalancer(locality=said))
        assert locality_balancing(policy, off) == expected


def test_only_labels_that_a_policy_goes_by_are_kept() -> None:
    """Proxies that differ in others share what a service gives."""
    said = LocalityBalancing(failover_priority=("rack", "version=v1"))
    balancer = LoadBalancer(locality=said)
    policies = PortPolicies(all=TrafficPolicy(load_balancer=balancer))
    policy = DestinationPolicy(host="a.shop", policies=policies)
    assert read_labels(policy) == {"rack"}
    found = whereabouts_for(policy, HERE, {"rack": "7", "version": "v2", "x": "y"})
    assert found == Whereabouts(locality=HERE, labels=Labels({"rack": "7"}))


class TestSources:
    """Sources that fail over to each other."""

    @staticmethod
    def members(*words: tuple[str, int]) -> dict[Locality, list[Endpoint]]:
        """Endpoints by locality, from place and priority."""
        found: dict[Locality, list[Endpoint]] = {}
        for number, (place, priority) in enumerate(words, 1):
            endpoint = Endpoint(address=f"10.0.0.{number}", port=80, priority=priority)
            found.setdefault(Locality.parse(place), []).append(endpoint)
        return found

    @staticmethod
    def ranks(groups: list[Group]) -> list[tuple[int, str, int]]:
        """Priority, place and last number of the address of each endpoint."""
        return [
            (group.priority, str(group.locality), int(endpoint.address.rpartition(".")[2]))
            for group in groups
            for endpoint in group.endpoints
        ]

    def test_each_source_has_its_priority(self) -> None:
        """Localities do not matter without a preference; gaps are closed."""
        members = self.members(("us", 3), ("eu", 1), ("us", 1))
        assert self.ranks(grouped(members, None)) == [(0, "eu", 2), (0, "us", 3), (1, "us", 1)]

    def test_the_source_counts_before_the_distance(self) -> None:
        """A far endpoint of the first source comes before a near one of the second."""
        members = self.members(
            ("us", 0),
            ("eu/a/1", 0),
            ("eu/a/1", 1),
            ("us", 1),
        )
        preference = Preference(
            balancing=LocalityBalancing(), whereabouts=Whereabouts(locality=HERE)
        )
        assert self.ranks(grouped(members, preference)) == [
            (0, "eu/a/1", 2),
            (1, "us", 1),
            (2, "eu/a/1", 3),
            (3, "us", 4),
        ]

    def test_shares_are_those_within_each_source(self) -> None:
        """A distribution has no priorities of its own."""
        members = self.members(("eu/a/1", 0), ("us", 0), ("us", 1))
        balancing = LocalityBalancing(
            distribute=[Distribution(origin="*", shares=(("eu/*", 80), ("us", 20)))]
        )
        preference = Preference(balancing=balancing, whereabouts=Whereabouts(locality=HERE))
        found = grouped(members, preference)
        assert self.ranks(found) == [(0, "eu/a/1", 1), (0, "us", 2), (1, "us", 3)]
        assert [group.weight for group in found] == [8000, 2000, 2000]
