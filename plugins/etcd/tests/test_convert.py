"""Our own documents: read, written, and several of them united."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshregistry.model import (
    Endpoint,
    Health,
    Locality,
    Port,
    Protocol,
    RecordKey,
    Resolution,
    Service,
    ServiceKey,
    ServiceRecord,
)
from meshregistry_etcd._convert import document, instance_id, service_record, united

KEY = ServiceKey("", "reviews.shop")
FULL = {
    "ports": [{"port": 80, "name": "web", "protocol": "HTTP2"}, {"port": 90, "name": "tcp-db"}],
    "endpoints": [
        {
            "address": "10.0.0.1",
            "port": 8080,
            "service_port": "web",
            "network": "n",
            "cluster": "c",
            "workload_identity": "spiffe://a/b",
            "locality": "eu/1a",
            "health": "DRAINING",
            "weight": 3,
            "labels": {"version": "v1"},
        },
        {"address": "unix:///run/db", "service_port": "tcp-db", "weight": 0},
    ],
    "labels": {"team": "a"},
    "addresses": ["10.96.0.1"],
    "external": True,
    "export_to": ["."],
}


def read(form, key=KEY):
    """A document as a record."""
    return service_record(key, json.dumps(form).encode())


class TestReading:
    def test_every_field_counts(self):
        """Of service, ports and endpoints."""
        record = read(FULL, ServiceKey("prod", "reviews.shop"))
        assert ("prod/reviews.shop", "prod") == (record.key, record.service.namespace)
        assert (
            Port("web", 80, Protocol.HTTP2),
            Port("tcp-db", 90, Protocol.TCP),
        ) == record.service.ports
        assert {"team": "a"} == dict(record.service.labels)
        assert (("10.96.0.1",), True, (".",)) == (
            record.service.addresses,
            record.service.is_external,
            record.service.export_to,
        )
        by_port = {one.service_port: one for one in record.endpoints}
        assert (
            Endpoint(address="unix:///run/db", port=0, service_port="tcp-db", weight=0)
            == (by_port["tcp-db"])
        )
        assert by_port["web"] == Endpoint(
            address="10.0.0.1",
            port=8080,
            service_port="web",
            network="n",
            cluster="c",
            workload_identity="spiffe://a/b",
            locality=Locality("eu", "1a"),
            health=Health.DRAINING,
            weight=3,
            labels={"version": "v1"},
        )

    def test_the_short_forms(self):
        """A number for a port, a text for an endpoint of the only port; unknown fields are let be."""
        record = read({"ports": [80], "endpoints": ["10.0.0.1:8080"], "since": 7, "labels": None})
        assert ServiceRecord.parse("reviews.shop", port=80, endpoints=["10.0.0.1:8080"]) == record

    def test_an_alias_has_another_host_instead_of_endpoints(self):
        """`alias_of` alone says so."""
        service = read({"ports": [80], "alias_of": "a.b"}).service
        assert (Resolution.ALIAS, "a.b") == (service.resolution, service.alias_of)

    @pytest.mark.parametrize(
        ("form", "message"),
        [
            ([], "not a JSON object but a list"),
            ({}, "has no ports"),
            ({"ports": 80}, "ports must be a list, not 80"),
            ({"ports": ["80"]}, "a port must be a number or an object"),
            ({"ports": [{"port": True}]}, "port must be a whole number, not true"),
            ({"ports": [{"port": 0}]}, "number"),
            ({"ports": [{"port": 80, "protocol": "smoke"}]}, "'smoke' is not a protocol"),
            ({"ports": [80], "endpoints": [1]}, "an endpoint must be a text or an object"),
            ({"ports": [80], "endpoints": [{"port": 1}]}, "is not a host name"),
            ({"ports": [80], "endpoints": [{"address": "10.0.0.1"}]}, "needs a port"),
            (
                {"ports": [80, {"port": 81, "name": "x"}], "endpoints": ["10.0.0.1:1"]},
                "write an object with service_port",
            ),
            (
                {"ports": [80], "endpoints": [{"address": "10.0.0.1", "service_port": "x"}]},
                "service_port must be the name of a port, not 'x'",
            ),
            (
                {"ports": [80], "endpoints": [{"address": "a", "port": 1, "health": "ILL"}]},
                "health must be one of HEALTHY, DRAINING, UNHEALTHY, not 'ILL'",
            ),
            ({"ports": [80], "labels": {"a": 1}}, "a must be a text, not 1"),
            ({"ports": [80], "labels": {"a": "\ud800"}}, "is not Unicode text"),
            ({"ports": [80], "addresses": [1]}, "addresses must be a list of texts"),
            ({"ports": [80], "resolution": "GUESS"}, "resolution must be one of"),
        ],
    )
    def test_what_is_wrong_is_said(self, form, message):
        """As a ValueError, whatever it is."""
        with pytest.raises(ValueError, match=message):
            read(form)

    @pytest.mark.parametrize("value", [b"", b"{", b"\xff", b"[" * 100_000])
    def test_what_is_no_json_is_said(self, value):
        """Also bytes that are no text, and nesting without an end."""
        with pytest.raises(ValueError, match=r"not JSON|nested|utf-8"):
            service_record(KEY, value)


names = st.text("abc", min_size=1, max_size=3)
labels = st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2)


@st.composite
def records(draw):
    """Any record with up to three ports and endpoints."""
    numbers = draw(st.sets(st.integers(1, 65535), min_size=1, max_size=3))
    protocols = st.sampled_from(list(Protocol))
    ports = [Port(f"p{number}", number, draw(protocols)) for number in numbers]
    service = Service(
        draw(names),
        ports=ports,
        namespace=draw(st.none() | names),
        resolution=draw(
            st.sampled_from([one for one in Resolution if one is not Resolution.ALIAS])
        ),
        addresses=draw(st.sets(st.sampled_from(["10.0.0.1", "::1"]))),
        labels=draw(labels),
        is_external=draw(st.booleans()),
        export_to=draw(st.sets(names, max_size=2)),
    )
    endpoints = {
        one.key: one
        for one in draw(
            st.lists(
                st.builds(
                    Endpoint,
                    address=st.sampled_from(["10.0.0.1", "10.0.0.2", "db.example.com", "::2"]),
                    port=st.integers(1, 65535),
                    service_port=st.sampled_from([port.name for port in ports]),
                    network=st.sampled_from(["", "n"]),
                    locality=st.builds(Locality, names, names),
                    health=st.sampled_from(Health),
                    weight=st.integers(0, 9),
                    labels=labels,
                ),
                max_size=3,
            )
        )
    }
    return ServiceRecord(service, endpoints.values(), key=RecordKey(str(service.key)))


@given(records())
@settings(max_examples=50, deadline=None)
def test_what_is_written_is_read(record):
    """The same record, whatever it says."""
    assert record == service_record(record.service.key, document(record))


def test_an_id_is_the_endpoint_or_a_digest_of_several():
    """Equal for equal endpoints, and always one segment of a key."""

    def id_of(*endpoints):
        record = ServiceRecord.parse("a.b", port=80, endpoints=endpoints)
        return instance_id(one.key for one in record.endpoints)

    assert "10.0.0.1:80" == id_of("10.0.0.1:80")
    several = id_of("10.0.0.1:80", "10.0.0.2:80")
    assert several == id_of("10.0.0.2:80", "10.0.0.1:80")
    assert 3 == len({several, id_of("unix:///a"), id_of("unix:///b")})
    assert "/" not in id_of("unix:///a")


class TestUniting:
    def record(self, *endpoints, port=80, protocol="HTTP", name=None, labels=None):
        """One key's word."""
        return ServiceRecord.parse(
            "a.b",
            port=port,
            protocol=protocol,
            port_name=name,
            endpoints=endpoints,
            labels=labels,
        )

    def test_the_oldest_defines_the_service_and_all_give_endpoints(self):
        """Labels of the first; ports and endpoints of all."""
        record, faults = united(
            [
                self.record("10.0.0.1:1", labels={"v": "1"}),
                self.record("10.0.0.2:1", labels={"v": "2"}),
                self.record("10.0.0.3:1", port=90, name="admin"),
            ]
        )
        assert ([], {"v": "1"}) == (faults, dict(record.service.labels))
        assert ["http", "admin"] == [port.name for port in record.service.ports]
        assert 3 == len(record.endpoints)

    def test_a_port_has_one_name(self):
        """The oldest; endpoints of the others follow it, and their protocol does not count."""
        record, faults = united(
            [self.record("10.0.0.1:1"), self.record("10.0.0.2:1", protocol="GRPC")]
        )
        assert ([], (Port("http", 80, Protocol.HTTP),)) == (faults, record.service.ports)
        assert {"http"} == {one.service_port for one in record.endpoints}

    def test_a_name_has_one_port(self):
        """A key that says otherwise is left out and named, and harms no other."""
        record, faults = united(
            [
                self.record("10.0.0.1:1"),
                self.record("10.0.0.2:1", port=81),
                self.record("10.0.0.3:1"),
            ]
        )
        assert ["10.0.0.1:1", "10.0.0.3:1"] == [str(one) for one in record.endpoints]
        assert [
            "the port http is 81 in one key and 80 in an older one; give both the same number"
        ] == faults

    def test_of_two_words_on_an_endpoint_the_youngest_counts(self):
        """It replaces one that has died."""
        old = Endpoint(address="10.0.0.1", port=1, labels={"v": "1"})
        new = Endpoint(address="10.0.0.1", port=1, labels={"v": "2"})
        record, _ = united([self.record(old), self.record(new)])
        assert (new,) == record.endpoints
