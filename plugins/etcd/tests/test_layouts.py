"""Keys and values of each layout, as the programs that they belong to write them."""

from __future__ import annotations

import pytest

from meshregistry.model import Protocol
from meshregistry_etcd import EtcdConfig
from meshregistry_etcd._layouts import layout


def made(name, prefix="/services/", **options):
    """A layout by its name."""
    return layout(EtcdConfig(layout=name, prefix=prefix, **options))


def said(found, path, value):
    """Record key, endpoint, port and protocol of one key."""
    record = found.read(path, value.encode())
    assert record.key == found.key(path)
    (port,), (endpoint,) = record.service.ports, record.endpoints
    return str(record.key), str(endpoint), port.number, port.protocol


class TestOwn:
    found = made("meshregistry", None)

    def test_a_key_is_host_and_id_or_namespace_host_and_id(self):
        """The record's key tells the namespace."""
        assert "a.b" == self.found.key("A.b/x")
        assert "prod/a.b" == self.found.key("prod/a.b/x")

    @pytest.mark.parametrize("path", ["", "a.b", "a.b/", "/a.b/x", "a/b/c/d", "a..b/x"])
    def test_other_keys_are_malformed(self, path):
        """With what to write instead."""
        with pytest.raises(ValueError, match=r"the key is malformed|is not a host name"):
            self.found.key(path)


class TestGoKit:
    @pytest.mark.parametrize(
        ("path", "value", "expected"),
        [
            ("foo/10.0.0.1:8080", "10.0.0.1:8080", ("foo", "10.0.0.1:8080", 80, Protocol.HTTP)),
            ("foo/x", "http://10.0.0.1:8080/p", ("foo", "10.0.0.1:8080", 80, Protocol.HTTP)),
            ("foo/x", "https://db.example.com", ("foo", "db.example.com:443", 80, Protocol.HTTPS)),
            ("foo/x", "grpc://[::1]:9", ("foo", "[::1]:9", 80, Protocol.GRPC)),
            ("foo/x", "2001:db8::1:8080\n", ("foo", "[2001:db8::1]:8080", 80, Protocol.HTTP)),
            (
                "foo/http://10.0.0.1:9/a",
                "http://10.0.0.1:9",
                ("foo", "10.0.0.1:9", 80, Protocol.HTTP),
            ),
            ("shop/foo/x", "10.0.0.1:1", ("shop-foo", "10.0.0.1:1", 80, Protocol.HTTP)),
            ("x", "10.0.0.1:1", ("services", "10.0.0.1:1", 80, Protocol.HTTP)),
        ],
    )
    def test_an_address_or_a_url(self, path, value, expected):
        """The folder is the service; the prefix is, if there is no other."""
        assert expected == said(made("go-kit"), path, value)

    def test_names_get_the_domain_and_ports_are_the_users(self):
        """Of all services, or of one."""
        found = made("go-kit", domain="lab", service_port=81, service_ports={"b.lab": 82})
        assert ("a.lab", "10.0.0.1:1", 81, Protocol.HTTP) == said(found, "a/x", "10.0.0.1:1")
        assert ("b.lab", "10.0.0.1:1", 82, Protocol.HTTP) == said(found, "b/x", "10.0.0.1:1")

    @pytest.mark.parametrize("value", ["", "10.0.0.1", "ftp://10.0.0.1:1", "http://", "http://a:x"])
    def test_other_values_are_malformed(self, value):
        """A ValueError, whatever they are."""
        with pytest.raises(ValueError, match=r"."):
            made("go-kit").read("foo/x", value.encode())

    def test_the_folder_itself_is_no_registration(self):
        """Some programs write a key for it."""
        assert made("go-kit").key("") is None


class TestGrpc:
    def test_an_added_address(self):
        """Texts of an object in Metadata are labels; what it is otherwise does not matter."""
        found = made("grpc")
        value = '{"Op":0,"Addr":"10.0.0.1:8080","Metadata":{"v":"1","n":2}}'
        assert ("a", "10.0.0.1:8080", 80, Protocol.GRPC) == said(found, "a/10.0.0.1:8080", value)
        (endpoint,) = found.read("a/x", value.encode()).endpoints
        assert {"v": "1"} == dict(endpoint.labels)
        bare = found.read("a/x", b'{"Addr":"10.0.0.1:1","Metadata":"x"}')
        assert {} == dict(bare.endpoints[0].labels)

    def test_a_deleted_address_says_nothing(self):
        """`Op` 1, of old clients."""
        assert made("grpc").read("a/x", b'{"Op":1,"Addr":"10.0.0.1:8080"}') is None

    def test_a_prefix_may_be_a_target(self):
        """Then its last segment is the service."""
        found = made("grpc", "apps/web")
        assert ("web", "10.0.0.1:1", 80, Protocol.GRPC) == said(found, "x", '{"Addr":"10.0.0.1:1"}')


class TestSkyDns:
    found = made("skydns", None)

    def test_the_path_is_the_name_backwards(self):
        """Weight, group and priority are kept."""
        value = '{"host":"10.0.0.1","port":8080,"priority":10,"weight":5,"group":"g1"}'
        path = "local/cluster/web/x1"
        assert ("web.cluster.local", "10.0.0.1:8080", 80, Protocol.HTTP) == said(
            self.found, path, value
        )
        (endpoint,) = self.found.read(path, value.encode()).endpoints
        assert (5, {"group": "g1", "priority": "10"}) == (endpoint.weight, dict(endpoint.labels))

    def test_without_a_port_it_is_that_of_the_service(self):
        """An A record, or a name."""
        assert ("b.a", "db.example.com:80", 80, Protocol.HTTP) == said(
            self.found, "a/b/x", '{"host":"db.example.com"}'
        )

    @pytest.mark.parametrize("value", ['{"text":"hello"}', '{"host":"mx.a","mail":true}'])
    def test_texts_and_mail_are_no_services(self, value):
        """They are other kinds of DNS records."""
        assert self.found.read("a/b/x", value.encode()) is None

    @pytest.mark.parametrize("path", ["", "a", "local/cluster/dns/apex/x"])
    def test_the_servers_of_a_zone_are_no_services(self, path):
        """Nor are the upper folders."""
        assert self.found.key(path) is None


class TestRegistrator:
    def test_ip_and_port(self):
        """An id that ends in :udp says what is spoken."""
        found = made("registrator")
        assert ("redis", "10.0.0.1:32768", 80, Protocol.HTTP) == said(
            found, "redis/host:redis.1:6379", "10.0.0.1:32768"
        )
        assert Protocol.UDP is said(found, "dns/host:dns:53:udp", "10.0.0.1:53")[3]

    def test_the_protocol_is_the_users(self):
        """For all services."""
        found = made("registrator", protocol=Protocol.TCP)
        assert Protocol.TCP is said(found, "redis/x", "10.0.0.1:1")[3]
