"""What two sources say differently of the same services."""

from __future__ import annotations

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from meshregistry.aggregate import differences
from meshregistry.model import Endpoint, Health, ServiceRecord

WEB = ServiceRecord.parse("web.shop", port=80, endpoints=["10.0.0.1:8080"])


def told(first, second):
    """Host, what, and what each says, of every difference."""
    return [
        (str(one.service.host), one.what, one.first, one.second)
        for one in differences(first, second)
    ]


def test_equal_records_differ_in_nothing():
    """Also under another name of the record, and with another name of the port."""
    other = ServiceRecord.parse(
        "web.shop",
        port=80,
        port_name="main",
        endpoints=[Endpoint(address="10.0.0.1", port=8080, service_port="main")],
    )
    assert [] == told([WEB], [WEB])
    assert [] == told([WEB], [evolve(other, key="WEB")])


def test_a_service_that_one_does_not_know_is_one_difference():
    """With the number of endpoints that the other one knows."""
    assert [("web.shop", "service", "1 endpoints", "")] == told([WEB], [])
    assert [("web.shop", "service", "", "1 endpoints")] == told([], [WEB])


def test_endpoints_are_matched_by_place():
    """Those that one of them does not know are named with their health."""
    moved = ServiceRecord.parse("web.shop", port=80, endpoints=["10.0.0.2:8080"])
    assert [
        ("web.shop", "endpoint 10.0.0.1:8080", "HEALTHY", ""),
        ("web.shop", "endpoint 10.0.0.2:8080", "", "HEALTHY"),
    ] == told([WEB], [moved])


def test_fields_that_differ_are_named():
    """Of the service and of each endpoint."""
    (endpoint,) = WEB.endpoints
    other = ServiceRecord(
        evolve(WEB.service, labels={"team": "x"}),
        [evolve(endpoint, health=Health.UNHEALTHY, weight=5, labels={"version": "v2"})],
    )
    assert [
        ("web.shop", "labels", "", "team=x"),
        ("web.shop", "endpoint 10.0.0.1:8080 health", "HEALTHY", "UNHEALTHY"),
        ("web.shop", "endpoint 10.0.0.1:8080 weight", "1", "5"),
        ("web.shop", "endpoint 10.0.0.1:8080 labels", "", "version=v2"),
    ] == told([WEB], [other])


def test_several_records_of_a_service_are_one():
    """As they are in the merge: their endpoints unite."""
    second = ServiceRecord.parse("web.shop", port=80, endpoints=["10.0.0.2:8080"])
    both = ServiceRecord.parse("web.shop", port=80, endpoints=["10.0.0.1:8080", "10.0.0.2:8080"])
    assert [] == told([evolve(WEB, key="a"), evolve(second, key="b")], [both])


RECORDS = st.dictionaries(
    st.sampled_from(["a.x", "b.x", "c.x"]),
    st.sets(st.sampled_from(["10.0.0.1:80", "10.0.0.2:80", "[fd00::1]:80"])),
).map(
    lambda some: [
        ServiceRecord.parse(host, port=80, endpoints=sorted(places))
        for host, places in some.items()
    ]
)


@given(RECORDS, RECORDS)
def test_comparing_the_other_way_round_swaps_the_sides(first, second):
    """And only equal sources differ in nothing."""
    one = told(first, second)
    assert one == [(host, what, b, a) for host, what, a, b in told(second, first)]
    key = lambda record: record.key  # noqa: E731 - used twice
    assert (not one) == (sorted(first, key=key) == sorted(second, key=key))
