"""Facts of making records of instances."""

from __future__ import annotations

import pytest
from fake_eureka import instance as made

from meshregistry.errors import RecordError
from meshregistry.model import Health, Locality, Port, Protocol, Resolution
from meshregistry_eureka import EurekaConfig, HealthConfig, LocalityConfig
from meshregistry_eureka._convert import service_record
from meshregistry_eureka._instance import instance_of
from meshregistry_eureka._listing import listing_of
from meshregistry_eureka._mirror import Mirror


def convert(*instances, name="web", **options):
    """What becomes of these instances."""
    config = EurekaConfig(**options)
    return service_record(name, [instance_of(one) for one in instances], config)


def endpoint(*instances, **options):
    """The one endpoint of them."""
    (one,) = convert(*instances, **options).record.endpoints
    return one


def test_recorded_answers_become_services(payload):
    """Two of WEB, one of ORDERS with both ports."""
    config = EurekaConfig()
    mirror = Mirror(config)
    mirror.replace(listing_of(payload("apps.override")).instances, is_same_server=False)
    web, orders = (
        service_record(name, mirror.named(name), config).record for name in ("web", "orders")
    )
    assert (Port("http", 80, Protocol.HTTP),) == web.service.ports
    assert {"127.0.0.1:8081": Health.DRAINING, "127.0.0.2:8081": Health.HEALTHY} == {
        str(one): one.health for one in web.endpoints
    }
    assert {"zone-a", ""} == {one.locality.zone for one in web.endpoints}
    assert (Port("http", 80, Protocol.HTTP), Port("https", 443, Protocol.HTTPS)) == (
        orders.service.ports
    )
    assert {("127.0.0.3", 9090, "http"), ("127.0.0.3", 9091, "https")} == {
        (one.address, one.port, one.service_port) for one in orders.endpoints
    }


class TestPorts:
    def test_a_vip_address_names_the_plain_port(self):
        """And a secure one the secure port."""
        both = made("web", secure=8443, vipAddress="plain", secureVipAddress="safe")
        assert ["http"] == [one.name for one in convert(both, name="plain").record.service.ports]
        assert ["https"] == [one.name for one in convert(both, name="safe").record.service.ports]

    def test_ports_of_instances_may_be_the_services(self):
        """Then there are as many as instances have."""
        ports = convert(
            made("web", port=8080),
            made("web", "10.0.0.2", port=8081),
            service_port=None,
        ).record.service.ports
        assert [("http", 8080), ("http-8081", 8081)] == [(one.name, one.number) for one in ports]

    @pytest.mark.parametrize(
        ("metadata", "expected"),
        [
            ({}, Port("http", 80, Protocol.HTTP)),
            ({"protocol": "grpc"}, Port("grpc", 80, Protocol.GRPC)),
            ({"protocol": "grpc-api"}, Port("grpc-api", 80, Protocol.GRPC)),
            ({"istio.protocol": "TCP"}, Port("tcp", 80, Protocol.TCP)),
            ({"protocol": "http2", "istio.protocol": "tcp"}, Port("http2", 80, Protocol.HTTP2)),
        ],
    )
    def test_metadata_name_the_protocol(self, metadata, expected):
        """The first key of those that the settings name."""
        assert (expected,) == convert(made("web", metadata=metadata)).record.service.ports

    def test_an_unknown_protocol_is_tcp(self):
        """Which is noted."""
        converted = convert(made("web", metadata={"protocol": "carrier"}))
        assert Protocol.TCP is converted.record.service.ports[0].protocol
        assert "carrier" in converted.notes[0]

    def test_the_secure_port_of_what_is_not_http_is_tls(self):
        """HTTPS promises HTTP inside."""
        one = made("web", secure=8443, metadata={"protocol": "tcp"})
        assert [Protocol.TCP, Protocol.TLS] == [
            one.protocol for one in convert(one).record.service.ports
        ]

    def test_the_first_protocol_of_a_port_counts(self):
        """The other is noted."""
        other = made("web", "10.0.0.2", metadata={"protocol": "grpc"})
        converted = convert(made("web"), other)
        assert Protocol.HTTP is converted.record.service.ports[0].protocol
        assert "GRPC" in converted.notes[0]

    def test_without_a_port_there_is_no_service(self):
        """An instance without any is noted."""
        off = made("web", port=8080) | {"port": {"$": 8080, "@enabled": "false"}}
        converted = convert(off)
        assert converted.record is None
        assert "no enabled port" in converted.notes[0]

    def test_a_secure_name_without_secure_ports_is_no_fault(self):
        """Spring's clients always say it."""
        converted = convert(made("web", secureVipAddress="safe"), name="safe")
        assert (None, ()) == (converted.record, converted.notes)


class TestHealth:
    @pytest.mark.parametrize(
        ("status", "expected"),
        [
            ("UP", Health.HEALTHY),
            ("DOWN", Health.UNHEALTHY),
            ("STARTING", Health.UNHEALTHY),
            ("OUT_OF_SERVICE", Health.DRAINING),
            ("UNKNOWN", Health.UNHEALTHY),
            ("SOMETHING", Health.UNHEALTHY),
        ],
    )
    def test_each_state_has_its_health(self, status, expected):
        """As the settings have it when they say nothing."""
        assert expected is endpoint(made("web", status=status)).health

    def test_the_settings_may_say_otherwise(self):
        """Or leave instances out, while their service stays."""
        health = HealthConfig(down="DRAINING", starting="OMIT")
        converted = convert(
            made("web", status="DOWN"), made("web", "10.0.0.2", status="STARTING"), health=health
        )
        assert [Health.DRAINING] == [one.health for one in converted.record.endpoints]
        assert () == convert(made("web", status="STARTING"), health=health).record.endpoints

    def test_of_one_address_the_healthier_registration_counts(self):
        """A process that died may have left its own behind."""
        old = made("web", id="old", status="DOWN")
        assert Health.HEALTHY is endpoint(old, made("web", id="new")).health


class TestEndpoints:
    def test_the_address_is_the_ip(self):
        """Or the host name, if the settings prefer it; the other if one is missing."""
        one = made("web", "10.0.0.1", hostName="vm7")
        assert "10.0.0.1" == endpoint(one).address
        assert "vm7" == endpoint(one, prefer_ip_address=False).address
        assert "vm7" == endpoint(one | {"ipAddr": None}).address

    def test_host_names_are_resolved_by_proxies(self):
        """EDS takes addresses only."""
        one = made("web", "10.0.0.1", hostName="vm7")
        assert Resolution.EDS is convert(one).record.service.resolution
        assert Resolution.DNS is convert(one, prefer_ip_address=False).record.service.resolution

    def test_metadata_are_labels(self):
        """Unless the settings say no."""
        one = made("web", metadata={"version": "v1", "n": 7, "none": None, "@class": "x"})
        assert {"version": "v1", "n": "7", "none": ""} == dict(endpoint(one).labels)
        assert {} == dict(endpoint(one, metadata=False).labels)

    def test_a_weight_may_be_metadata(self):
        """As Spring's load balancer has it; what is no number is noted and counts 1."""
        assert 5 == endpoint(made("web", metadata={"weight": "5"})).weight
        converted = convert(made("web", metadata={"weight": "much"}))
        assert 1 == converted.record.endpoints[0].weight
        assert "much" in converted.notes[0]

    @pytest.mark.parametrize(
        ("fields", "options", "expected"),
        [
            ({}, {}, Locality()),
            ({}, {"region": "eu"}, Locality("eu")),
            ({"metadata": {"zone": "a"}}, {"region": "eu"}, Locality("eu", "a")),
            (
                {"metadata": {"region": "us", "az": "b", "sub_zone": "r1"}},
                {"region": "eu", "locality": LocalityConfig(zone="az")},
                Locality("us", "b", "r1"),
            ),
            (
                {
                    "dataCenterInfo": {
                        "name": "Amazon",
                        "metadata": {"availability-zone": "us-east-1a"},
                    },
                    "metadata": {"zone": "other"},
                },
                {},
                Locality("us-east-1", "us-east-1a"),
            ),
            ({"dataCenterInfo": {"name": "Netflix"}}, {}, Locality("Netflix")),
        ],
    )
    def test_where_it_runs(self, fields, options, expected):
        """Metadata, the settings, Amazon's zone, and at last the data center."""
        assert expected == endpoint(made("web") | fields, **options).locality


class TestMalformed:
    @pytest.mark.parametrize(
        "fields",
        [
            {"ipAddr": "not an address"},
            {"port": {"$": 99999, "@enabled": "true"}},
            {"port": {"$": 0, "@enabled": "true"}},
            {"metadata": 7},
        ],
    )
    def test_it_harms_no_other(self, fields):
        """It is left out and noted."""
        bad = made("web", "10.0.0.2", id="bad") | fields
        converted = convert(made("web"), bad)
        assert ["10.0.0.1:8080"] == [str(one) for one in converted.record.endpoints]
        assert "'bad' is left out" in converted.notes[0]

    def test_alone_it_says_nothing_of_its_service(self):
        """So that the last good version is kept."""
        with pytest.raises(RecordError, match="no usable instance") as caught:
            convert(made("web", "not an address"))
        assert "web" == caught.value.key

    @pytest.mark.parametrize("name", ["${cart}", "a b", "a:b", "-"])
    def test_a_name_that_is_no_host_is_reported(self, name):
        """An unresolved placeholder of Spring's, for one; its other names are published."""
        one = made("web", vipAddress=name)
        with pytest.raises(RecordError, match="cannot be a host") as caught:
            convert(one, name=name)
        assert name == caught.value.key
        assert convert(one).record is not None
