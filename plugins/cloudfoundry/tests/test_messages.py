"""Facts of reading messages."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshregistry.errors import RecordError
from meshregistry.model import Protocol
from meshregistry_cloudfoundry import GorouterConfig
from meshregistry_cloudfoundry._messages import read_interval, read_message

# Put together from the documented fields, in the order in which route-emitter sends them.
DOCUMENTED = {
    "uris": ["cart.apps.example", "cart.apps.example/v2"],
    "host": "10.255.3.4",
    "port": 61001,
    "tls_port": 61003,
    "protocol": "http1",
    "app": "app-guid",
    "private_instance_id": "instance-guid",
    "private_instance_index": "0",
    "server_cert_domain_san": "instance-guid",
    "isolation_segment": "",
    "availability_zone": "z1",
    "route_service_url": "",
    "stale_threshold_in_seconds": 60,
    "endpoint_updated_at_ns": 1_700_000_000_000_000_000,
    "tags": {"app_name": "cart", "process_type": "web"},
    "options": {"loadbalancing": "least-connection"},
}


def read(*, without=(), settings=None, **changes):
    """What becomes of the documented message with changes."""
    body = {**DOCUMENTED, **changes}
    for key in without:
        del body[key]
    return read_message(json.dumps(body).encode(), GorouterConfig(**(settings or {})))


def test_the_documented_message_is_read_whole():
    """Every field of it."""
    message = read()
    assert () == message.faults
    found = message.registration
    assert ["cart.apps.example", "cart.apps.example/v2"] == [one.key for one in found.routes]
    assert (60, 1_700_000_000_000_000_000, True) == (
        found.threshold,
        found.updated_at,
        found.is_wanted,
    )
    backend = found.backend
    assert ("10.255.3.4", 61003, True, "instance-guid") == (
        backend.address,
        backend.port,
        backend.is_tls,
        backend.san,
    )
    assert (Protocol.HTTP, "z1", "least-connection") == (
        backend.protocol,
        backend.zone,
        backend.load_balancing,
    )
    assert {"app_name": "cart", "process_type": "web"} == dict(backend.tags)


@pytest.mark.parametrize(
    ("backends", "changes", "expected"),
    [
        ("tls-first", {}, (61003, True, True)),
        ("tls-first", {"tls_port": 0}, (61001, False, False)),
        ("tls-first", {"server_cert_domain_san": ""}, (61003, True, False)),
        ("plain", {}, (61001, False, False)),
        ("tls-only", {}, (61003, True, True)),
    ],
)
def test_the_settings_choose_the_port(backends, changes, expected):
    """A route is protected only if its TLS port is used and its name is known."""
    backend = read(settings={"backends": backends}, **changes).registration.backend
    assert expected == (backend.port, backend.is_tls, backend.is_verifiable)


def test_instances_that_are_not_asked_for_are_known_as_such():
    """In plaintext, of other segments, behind a route service: by the settings."""
    segments = {"sharding": "segments", "isolation_segments": ("iso",)}
    shared = {**segments, "sharding": "shared-and-segments"}
    service = {"route_service_url": "https://rs.example"}
    assert [False, False, True, True, False, False, True] == [
        read(settings=settings, **changes).registration.is_wanted
        for settings, changes in (
            ({"backends": "tls-only"}, {"tls_port": 0}),
            (segments, {}),
            (segments, {"isolation_segment": "iso"}),
            (shared, {}),
            (shared, {"isolation_segment": "other"}),
            ({"route_services": "omit"}, service),
            ({}, service),
        )
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "not an address"},
        {"host": 7.5},
        {"port": 70000},
        {"port": "61001"},
        {"port": 0, "tls_port": None},
        {"protocol": "carrier-pigeon"},
        {"route_service_url": "http://plain.example"},
        {"tags": ["a"]},
        {"options": "x"},
        {"stale_threshold_in_seconds": -1},
        {"endpoint_updated_at_ns": True},
    ],
)
def test_a_malformed_field_is_a_fault_of_each_route(changes):
    """Named by its route, so that nothing else suffers."""
    message = read(**changes)
    assert message.registration is None
    assert ["cart.apps.example", "cart.apps.example/v2"] == [one.key for one in message.faults]


def test_one_wrong_route_leaves_the_others():
    """Of the same message."""
    message = read(uris=["good.example", "not a host", 7, "x.example/" + "y" * 70])
    assert ["good.example"] == [one.key for one in message.registration.routes]
    assert ["not a host", "7", "x.example/" + "y" * 70] == [one.key for one in message.faults]


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"nonsense", b"[]", b"null", b"{}", b'{"uris": "x"}', b"[" * 100_000]
)
def test_what_names_no_route_is_a_fault_of_none(data):
    """With a part of it, to find its author."""
    (fault,) = read_message(data, GorouterConfig()).faults
    assert fault.key is None
    assert len(str(fault)) < 300


def test_null_and_absence_are_the_same():
    """Go leaves out what is empty."""
    names = ("tls_port", "protocol", "app", "tags", "options", "endpoint_updated_at_ns")
    assert read(without=names) == read(**dict.fromkeys(names))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"minimumRegisterIntervalInSeconds": 20, "pruneThresholdInSeconds": 120}', 20.0),
        (b'{"minimumRegisterIntervalInSeconds": 0}', None),
        (b'{"minimumRegisterIntervalInSeconds": 1e9}', None),
        (b'{"minimumRegisterIntervalInSeconds": true}', None),
        (b"{}", None),
        (b"nonsense", None),
    ],
)
def test_a_router_says_the_interval(data, expected):
    """If it is a sensible one."""
    assert expected == read_interval(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(sorted(DOCUMENTED)), JSON, max_size=4))
def test_no_message_breaks_the_reader(changes):
    """Whatever a field holds, the answer is a registration or faults."""
    message = read_message(json.dumps({**DOCUMENTED, **changes}).encode(), GorouterConfig())
    assert all(isinstance(one, RecordError) for one in message.faults)
    assert message.registration is not None or message.faults or not changes["uris"]
