"""Endpoints: addresses, identity, what is sent."""

from __future__ import annotations

import ipaddress

import pytest
from attrs import evolve
from attrs.exceptions import FrozenInstanceError
from hypothesis import given, settings
from hypothesis import strategies as st

from meshregistry.model import (
    AddressKind,
    Endpoint,
    Health,
    Labels,
    Locality,
    address_kind,
    canonical_address,
)

ports = st.integers(1, 65535)


@pytest.mark.parametrize(
    ("text", "address", "kind"),
    [
        ("10.0.0.1", "10.0.0.1", AddressKind.IP),
        ("::1", "::1", AddressKind.IP),
        ("[::1]", "::1", AddressKind.IP),
        ("2001:DB8:0:0::1", "2001:db8::1", AddressKind.IP),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.1", AddressKind.IP),
        ("unix:///run/a.sock", "unix:///run/a.sock", AddressKind.UNIX),
        ("unix:/run/a.sock", "unix:///run/a.sock", AddressKind.UNIX),
        ("unix://@abstract", "unix://@abstract", AddressKind.UNIX),
        ("DB.example.com.", "db.example.com", AddressKind.DNS),
        ("db", "db", AddressKind.DNS),
        ("1a.2b", "1a.2b", AddressKind.DNS),
    ],
)
def test_an_address_has_one_spelling(text, address, kind):
    """IPv4, IPv6, Unix sockets and names come out canonical and are told apart."""
    assert address == canonical_address(text)
    assert kind is address_kind(address)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("10.0.0.256", "not an IPv4 address"),
        ("10.0.0", "not an IPv4 address"),
        ("10", "not an IPv4 address"),
        ("10.0.0.01", "not an IPv4 address"),
        ("1::2::3", "not an IPv6 address"),
        ("fe80::1%eth0", "not an IPv6 address"),
        ("[::1", "not an IPv6 address"),
        ("::1]", "not an IPv6 address"),
        ("[[::1]]", "not an IPv6 address"),
        ("10.0.0.1:80", "not an IPv6 address"),
        ("unix:run/a.sock", "not a Unix socket"),
        ("unix:", "not a Unix socket"),
        ("", "not a host name"),
        ("*.example.com", "a wildcard names many hosts"),
        ("a b", "not a host name"),
    ],
)
def test_what_is_no_address_is_refused(text, part):
    """A text that is no address is a ValueError that says what it is not."""
    with pytest.raises(ValueError, match=part):
        canonical_address(text)


@settings(max_examples=40)
@given(st.ip_addresses())
def test_an_ip_address_is_spelt_as_the_standard_library_spells_it(ip):
    """Every spelling of one IP address becomes the same text, which reads as that address."""
    text = canonical_address(ip.exploded)
    assert ip == ipaddress.ip_address(text)
    assert text == canonical_address(text)


@pytest.mark.parametrize(
    ("text", "address", "port"),
    [
        ("10.0.0.1:80", "10.0.0.1", 80),
        ("[::1]:80", "::1", 80),
        ("db.example.com:5432", "db.example.com", 5432),
        ("unix:///run/a.sock", "unix:///run/a.sock", 0),
    ],
)
def test_an_endpoint_reads_what_it_prints(text, address, port):
    """The short form of an endpoint parses, and prints as it was."""
    endpoint = Endpoint.parse(text, service_port="grpc")
    assert (address, port, "grpc") == (endpoint.address, endpoint.port, endpoint.service_port)
    assert text == str(endpoint)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("10.0.0.1", "write address:port"),
        ("10.0.0.1:", "write address:port"),
        ("10.0.0.1:http", "write address:port"),
        ("10.0.0.1:-1", "write address:port"),
        ("10.0.0.1:²", "write address:port"),
        ("::1:80", "in brackets"),
        ("10.0.0.1:0", "needs a port"),
        ("10.0.0.1:65536", "from 0 to 65535"),
    ],
)
def test_what_is_no_endpoint_is_refused(text, part):
    """A malformed short form is a ValueError that shows how to write it."""
    with pytest.raises(ValueError, match=part):
        Endpoint.parse(text)


@settings(max_examples=40)
@given(st.ip_addresses(), ports)
def test_every_ip_endpoint_survives_its_text_form(ip, port):
    """Printing and parsing an IP endpoint gives the same endpoint."""
    endpoint = Endpoint(address=str(ip), port=port)
    assert endpoint == Endpoint.parse(str(endpoint))


def test_a_unix_socket_has_no_port():
    """A port beside a Unix socket is refused; without one, it is fine."""
    assert Endpoint(address="unix:/a", port=0).kind is AddressKind.UNIX
    with pytest.raises(ValueError, match="has no port: leave it 0"):
        Endpoint(address="unix:/a", port=80)


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("port", -1, ValueError),
        ("port", "80", TypeError),
        ("weight", -1, ValueError),
        ("weight", 1.5, TypeError),
    ],
)
def test_a_field_out_of_range_is_refused(field, value, error):
    """Numbers are checked when an endpoint is made."""
    with pytest.raises(error):
        evolve(Endpoint(address="10.0.0.1", port=80), **{field: value})


def test_identity_is_network_address_port_and_service_port():
    """Those four fields and no other identify an endpoint (contracts, section 1)."""
    one = Endpoint(address="10.0.0.1", port=80)
    same = evolve(
        one,
        weight=3,
        health=Health.DRAINING,
        labels={"a": "b"},
        cluster="c",
        locality=Locality("r"),
    )
    assert one.key == same.key
    others = [
        evolve(one, network="n2"),
        evolve(one, address="10.0.0.2"),
        evolve(one, port=81),
        evolve(one, service_port="admin"),
    ]
    assert len({one.key, *(other.key for other in others)}) == 5


@pytest.mark.parametrize(
    ("weight", "health", "sent"),
    [
        (1, Health.HEALTHY, True),
        (1, Health.DRAINING, True),
        (1, Health.UNHEALTHY, False),
        (0, Health.HEALTHY, False),
    ],
)
def test_weight_0_and_unhealthy_are_not_sent(weight, health, sent):
    """An endpoint is sent if it has weight and is not UNHEALTHY (contracts, sections 1, 7)."""
    assert sent == Endpoint(address="10.0.0.1", port=80, weight=weight, health=health).is_sent


def test_an_endpoint_is_a_frozen_value():
    """Endpoints with equal fields are equal, hash alike, and cannot be changed."""
    one = Endpoint(address="[::1]", port=80, labels={"b": "2", "a": "1"})
    two = Endpoint(address="::1", port=80, labels=Labels({"a": "1", "b": "2"}))
    assert one == two
    assert hash(one) == hash(two)
    with pytest.raises(FrozenInstanceError):
        one.port = 81


@pytest.mark.parametrize(
    ("text", "locality"),
    [
        ("", Locality()),
        ("r", Locality("r")),
        ("r/z", Locality("r", "z")),
        ("r/z/s", Locality("r", "z", "s")),
        ("r//s", Locality("r", "", "s")),
    ],
)
def test_a_locality_reads_what_it_prints(text, locality):
    """The text form of a locality leaves trailing empty parts out."""
    assert locality == Locality.parse(text)
    assert text == str(locality)


def test_a_locality_has_at_most_three_parts():
    """A fourth part is refused."""
    with pytest.raises(ValueError, match="region/zone/sub_zone"):
        Locality.parse("a/b/c/d")


def test_health_prints_as_its_name():
    """Health prints as people write it."""
    assert "DRAINING" == str(Health.DRAINING)
