"""The short form of services."""

from __future__ import annotations

import pytest

from meshregistry.model import Health, Locality, Protocol, Resolution
from meshregistry.registries._file_documents import FileDocuments


def listing(text):
    """What one file of services says."""
    documents = FileDocuments(trust_domain="mesh.local")
    documents.put("a.yaml", text.encode())
    return documents.listing()


def record(text):
    """The only record of a good file."""
    found = listing(text)
    assert found.faults == ()
    (one,) = found.records
    return one


def test_the_example_of_the_interfaces_page():
    """As promised to users."""
    one = record("""
services:                        # our own short form
  - host: reviews.shop
    ports: [{name: http, port: 9080, protocol: HTTP}]
    endpoints:
      - {address: 10.0.0.1, port: 9080, labels: {version: v1}, zone: eu-1a, weight: 2}
      - 10.0.0.2:9080
""")
    first, second = one.endpoints
    (port,) = one.service.ports
    assert (one.key, str(one.service.host), str(port)) == (
        "reviews.shop",
        "reviews.shop",
        "http:9080/HTTP",
    )
    assert (str(first), first.weight, dict(first.labels)) == ("10.0.0.1:9080", 2, {"version": "v1"})
    assert first.locality == Locality(zone="eu-1a")
    assert (str(second), second.service_port, second.weight) == ("10.0.0.2:9080", "http", 1)


def test_every_key_has_its_place():
    """All that the model knows can be said."""
    one = record("""
services:
  - host: Db.Shop
    namespace: shop
    ports:
      - {port: 5432, name: sql, protocol: tcp}
      - {port: 80}
    addresses: [10.9.9.9, "fd00::1"]
    labels: {tier: 1.10}
    resolution: DNS
    external: true
    export_to: ["."]
    endpoints:
      - address: fd00::2
        ports: {sql: 5433, http-80: 8080}
        locality: eu/eu-1/a
        health: DRAINING
        network: n1
        cluster: c1
        workload_identity: spiffe://x/ns/a/sa/b
""")
    service, (first, second) = one.service, one.endpoints
    assert (one.key, service.namespace, service.is_external) == ("shop/db.shop", "shop", True)
    assert ["http-80:80/HTTP", "sql:5432/TCP"] == [str(port) for port in service.ports]
    assert (service.addresses, dict(service.labels)) == (("10.9.9.9", "fd00::1"), {"tier": "1.10"})
    assert (service.resolution, service.export_to) == (Resolution.DNS, (".",))
    assert {"sql": 5433, "http-80": 8080} == {e.service_port: e.port for e in (first, second)}
    assert (first.locality, first.health) == (Locality("eu", "eu-1", "a"), Health.DRAINING)
    assert (first.network, first.cluster, first.workload_identity) == (
        "n1",
        "c1",
        "spiffe://x/ns/a/sa/b",
    )


def test_the_protocol_comes_from_the_name_unless_it_is_given():
    """Istio's convention for port names; a port without either speaks HTTP."""
    ports = record(
        "services: [{host: a, ports: [{port: 1, name: grpc-x}, {port: 2, name: odd}, {port: 3}]}]"
    ).service.ports
    assert [Protocol.GRPC, Protocol.UNSUPPORTED, Protocol.HTTP] == [port.protocol for port in ports]


def test_unix_sockets_and_names_are_addresses():
    """In both ways of writing an endpoint."""
    one = record("""
services:
  - host: a
    ports: [{port: 80}]
    endpoints: [unix:///run/a, {address: "unix:///run/b"}, "[::1]:80", db.example.com:80]
""")
    assert {"unix:///run/a", "unix:///run/b", "[::1]:80", "db.example.com:80"} == {
        str(endpoint) for endpoint in one.endpoints
    }


def test_an_alias_stands_for_another_host():
    """It needs no resolution of its own."""
    one = record("services: [{host: a, ports: [{port: 80}], alias_of: b.shop}]")
    assert (one.service.resolution, one.service.alias_of) == (Resolution.ALIAS, "b.shop")


@pytest.mark.parametrize(
    ("service", "message"),
    [
        ("{ports: [{port: 80}]}", "services[0].host: the key is missing; add host:"),
        ("a", "services[0]: must be a mapping, not a text"),
        ("{host: a}", "services[0].ports: the key is missing; add ports:"),
        ("{host: a, ports: []}", "services[0].ports: Length of"),
        ("{host: a b, ports: [{port: 80}]}", "services[0].host: 'a b' is not a host name"),
        ("{host: a, ports: [{port: '80'}]}", "services[0].ports[0].port: must be a whole number"),
        ("{host: a, ports: [{port: 0}]}", "services[0].ports[0].port: must be >= 1"),
        ("{host: a, ports: [{port: 1}, {port: 1}]}", "services[0]: the service a has two ports"),
        ("{host: a, ports: [{port: 1, protocol: QUIC}]}", "services[0].ports[0].protocol: 'QUIC'"),
        ("{host: a, ports: [{port: 1}], weight: 1}", "services[0].weight: unknown key"),
        ("{host: a, ports: [{port: 1}], endpoints: [x]}", "services[0].endpoints[0]: 'x' is not"),
        (
            "{host: a, ports: [{port: 1}], endpoints: ['::1:80']}",
            "services[0].endpoints[0]: '::1:80' is not an endpoint; write an IPv6 address in",
        ),
        (
            "{host: a, ports: [{port: 1}], endpoints: [{address: 10.0.0.1}]}",
            "services[0].endpoints[0]: the endpoint has no port; add port:",
        ),
        (
            "{host: a, ports: [{port: 1}], endpoints: [{address: 10.0.0.300, port: 1}]}",
            "services[0].endpoints[0].address: '10.0.0.300' is not an IPv4 address; write four numbers",
        ),
        (
            "{host: a, ports: [{port: 1}], endpoints: [{address: b, port: 1, ports: {http: 1}}]}",
            "services[0].endpoints[0].ports: port and ports contradict; keep one",
        ),
        (
            "{host: a, ports: [{port: 1}], endpoints: [{address: b, ports: {htp: 1}}]}",
            "services[0].endpoints[0].ports.htp: the service has no port htp; did you mean http?",
        ),
        (
            "{host: a, ports: [{port: 1}, {port: 2}], endpoints: [10.0.0.1:80]}",
            (
                "services[0].endpoints[0]: the service has 2 ports, so one number does not say which; "
                "write {address: …, ports: {http-1: 1, http-2: 2}}"
            ),
        ),
        (
            "{host: a, ports: [{port: 1}], endpoints: [10.0.0.1:1, {address: 10.0.0.1, port: 1, weight: 3}]}",
            "services[0]: the endpoint 10.0.0.1:1 of port 'http' is given twice",
        ),
        (
            "{host: a, ports: [{port: 1}], endpoints: [{address: b, port: 1, weight: -1}]}",
            "services[0].endpoints[0].weight: must be >= 0",
        ),
    ],
)
def test_what_is_wrong_names_the_field_and_the_remedy(service, message):
    """One fault, at its place."""
    found = listing(f"services:\n  - {service}\n")
    assert found.records == ()
    (fault,) = found.faults
    place, _, said = fault.message.partition(": ")
    assert place.startswith("a.yaml:2:")
    assert said.startswith(message), said
