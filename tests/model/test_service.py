"""Services, ports, protocols and records."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from meshregistry.model import (
    Endpoint,
    Hostname,
    Port,
    Protocol,
    Resolution,
    Service,
    ServiceKey,
    ServiceRecord,
)

HTTP = Port("http", 80, Protocol.HTTP)
ADMIN = Port("admin", 8080, Protocol.TCP)

endpoints = st.builds(
    Endpoint,
    address=st.sampled_from(["10.0.0.1", "10.0.0.2", "::1"]),
    port=st.integers(80, 82),
    service_port=st.sampled_from(["http", "admin"]),
    network=st.sampled_from(["", "n"]),
)


@pytest.mark.parametrize("protocol", Protocol)
def test_a_protocol_reads_what_it_prints(protocol):
    """Every protocol parses from its name, in whatever case, with - or _ alike."""
    assert protocol is Protocol.parse(str(protocol))
    assert protocol is Protocol.parse(str(protocol).lower().replace("-", "_"))


def test_an_unknown_protocol_is_refused_with_the_known_ones():
    """The message lists what may be written, and not the word for what is unknown."""
    with pytest.raises(ValueError, match="use one of HTTP, HTTP2") as caught:
        Protocol.parse("smtp")
    assert "UnsupportedProtocol" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "protocol"),
    [
        ("http", Protocol.HTTP),
        ("http-web", Protocol.HTTP),
        ("HTTP2-x", Protocol.HTTP2),
        ("grpc", Protocol.GRPC),
        ("grpc-api", Protocol.GRPC),
        ("grpc-web", Protocol.GRPC_WEB),
        ("grpc-web-ui", Protocol.GRPC_WEB),
        ("mysql-main", Protocol.MYSQL),
        ("web", Protocol.UNSUPPORTED),
        ("httpx", Protocol.UNSUPPORTED),
        ("", Protocol.UNSUPPORTED),
    ],
)
def test_a_port_name_tells_its_protocol(name, protocol):
    """The part of a port's name before the first hyphen is its protocol, as in Istio."""
    assert protocol is Protocol.from_port_name(name)


def test_protocols_are_sorted_into_http_tcp_and_udp():
    """Every protocol is routed as HTTP, forwarded as TCP, or UDP; never two of them."""
    for protocol in Protocol:
        kinds = [protocol.is_http, protocol.is_tcp, protocol is Protocol.UDP]
        assert 1 == sum(kinds)
    assert {Protocol.HTTP2, Protocol.GRPC, Protocol.GRPC_WEB} == {p for p in Protocol if p.is_http2}
    assert {Protocol.HTTPS, Protocol.TLS} == {p for p in Protocol if p.is_tls}


@pytest.mark.parametrize(
    ("name", "number", "protocol"),
    [("", 80, Protocol.HTTP), ("a", 0, Protocol.HTTP), ("a", 65536, Protocol.HTTP)],
)
def test_a_port_out_of_range_is_refused(name, number, protocol):
    """A port has a name and a number from 1 to 65535."""
    with pytest.raises(ValueError, match=r"Length of 'name'|'number' must be"):
        Port(name, number, protocol)


def test_a_port_wants_a_protocol_value():
    """A protocol given as text is refused: parse it first."""
    with pytest.raises(TypeError):
        Port("a", 80, "HTTP")


def test_ports_are_in_canonical_order():
    """The order in which ports are declared does not matter."""
    assert Service("a.b", ports=[ADMIN, HTTP]) == Service("a.b", ports=[HTTP, ADMIN])
    assert (HTTP, ADMIN) == Service("a.b", ports=[ADMIN, HTTP]).ports
    assert "http:80/HTTP" == str(HTTP)


def test_virtual_addresses_are_canonical_and_keep_their_order():
    """VIPs are spelt canonically, each once, in order of preference."""
    service = Service("a.b", ports=[HTTP], addresses=["::01", "10.0.0.1", "::1"])
    assert ("::1", "10.0.0.1") == service.addresses


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"ports": []}, "has no ports"),
        ({"ports": [HTTP, Port("http", 81)]}, "two ports of the name http"),
        ({"ports": [HTTP, Port("web", 80)]}, "two ports of the number 80"),
        ({"resolution": Resolution.ALIAS}, "alias_of"),
        ({"alias_of": "c.d"}, "alias_of"),
        ({"addresses": ["nonsense!"]}, "not a host name"),
    ],
)
def test_a_service_that_contradicts_itself_is_refused(changes, part):
    """A service needs unique ports, and an alias needs the host that it stands for."""
    with pytest.raises(ValueError, match=part):
        evolve(Service("a.b", ports=[HTTP]), **changes)


def test_an_alias_names_a_host():
    """An ALIAS with its host is a service like any other."""
    alias = Service("a.b", ports=[HTTP], resolution=Resolution.ALIAS, alias_of="C.d")
    assert Hostname("c.d") == alias.alias_of
    assert "ALIAS" == str(alias.resolution)


def test_the_key_of_a_service_is_namespace_and_host():
    """An unset namespace counts as empty in the key, and stays None in the service."""
    service = Service("a.b", ports=[HTTP])
    assert ServiceKey("", "a.b") == service.key
    assert "a.b" == str(service)
    assert "shop/a.b" == str(evolve(service, namespace="shop"))


def test_a_port_is_found_by_name():
    """A service gives the port of a name, or None."""
    service = Service("a.b", ports=[HTTP, ADMIN])
    assert ADMIN == service.port("admin")
    assert service.port("none") is None


@settings(max_examples=40)
@given(st.lists(endpoints, max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_endpoints_never_matters(found, random):
    """Records are equal whatever the order, and hold each endpoint once, sorted by identity."""
    shuffled = list(found)
    random.shuffle(shuffled)
    service = Service("a.b", ports=[HTTP, ADMIN])
    record = ServiceRecord(service, found)
    assert record == ServiceRecord(service, shuffled)
    assert hash(record) == hash(ServiceRecord(service, shuffled))
    assert sorted({endpoint.key for endpoint in found}) == [e.key for e in record.endpoints]


def test_one_endpoint_with_two_values_is_refused():
    """The same identity with different weights is a contradiction."""
    one = Endpoint(address="10.0.0.1", port=80)
    with pytest.raises(ValueError, match="is given twice, with different values"):
        ServiceRecord(Service("a.b", ports=[HTTP]), [one, evolve(one, weight=2)])


def test_the_record_key_is_the_host_unless_said_otherwise():
    """A record is known by its host, or by the backend's own name (contracts, section 1)."""
    service = Service("a.b", ports=[HTTP])
    assert "a.b" == ServiceRecord(service).key
    assert "web-1" == ServiceRecord(service, key="web-1").key
    assert "a.b (a.b, 0 endpoints)" == str(ServiceRecord(service))


def test_a_record_reads_plain_words():
    """`parse` makes a service of one port, named after its protocol, with its endpoints."""
    record = ServiceRecord.parse(
        "reviews.shop",
        port=9080,
        protocol="grpc",
        endpoints=["10.0.0.1:9080", Endpoint(address="::1", port=1, weight=5)],
        namespace="shop",
        labels={"app": "reviews"},
    )
    assert (Port("grpc", 9080, Protocol.GRPC),) == record.service.ports
    assert "shop/reviews.shop" == str(record.service)
    assert {"app": "reviews"} == dict(record.service.labels)
    assert [("10.0.0.1:9080", "grpc", 1), ("[::1]:1", "grpc", 5)] == [
        (str(e), e.service_port, e.weight) for e in record.endpoints
    ]


def test_a_record_can_name_its_port():
    """`port_name` names the port of a parsed record; a protocol may be a value."""
    record = ServiceRecord.parse("a.b", port=80, protocol=Protocol.TCP, port_name="db")
    assert (Port("db", 80, Protocol.TCP),) == record.service.ports


def test_a_record_needs_a_service():
    """Anything but a service in a record is refused."""
    with pytest.raises(TypeError):
        ServiceRecord("a.b", key="a")
