"""Facts of reading what servers answer, with its quirks; and of the mirror that it fills."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve
from fake_eureka import instance as made

from meshregistry.errors import RegistryProtocolError
from meshregistry.model import Labels
from meshregistry_eureka import EurekaConfig
from meshregistry_eureka._instance import Instance, instance_of
from meshregistry_eureka._listing import hash_code, listing_of
from meshregistry_eureka._mirror import Mirror, names_of
from meshregistry_eureka._xml import document_of, unescaped

XML = (Path(__file__).parent / "payloads" / "apps.xml").read_text("utf-8")


class TestInstance:
    def test_a_recorded_instance_is_read(self, payload):
        """With its disabled port left out, and texts where Eureka writes numbers as texts."""
        _, one, _ = listing_of(payload("apps.override")).instances
        assert one == Instance(
            app="WEB",
            id="127.0.0.1:web:8081",
            status="OUT_OF_SERVICE",
            override="OUT_OF_SERVICE",
            ip_address="127.0.0.1",
            host_name="127.0.0.1",
            port=8081,
            secure_port=None,
            vips=("web",),
            secure_vips=("web",),
            metadata=Labels.parse("canary=true,zone=zone-a,istio.protocol=http,version=v1"),
            data_center="MyOwn",
        )
        assert 1795321786249 == one.updated == one.renewed
        assert 15 == one.duration

    def test_the_class_of_an_empty_map_is_no_metadata(self, payload):
        """Java's serializer writes ``@class``."""
        one, *_ = listing_of(payload("apps.added")).instances
        assert {} == dict(one.metadata)

    @pytest.mark.parametrize(
        ("port", "expected"),
        [
            ({"$": 8080, "@enabled": "true"}, 8080),
            ({"$": "8080", "@enabled": "true"}, 8080),
            ({"$": 8080, "@enabled": True}, 8080),
            ({"$": 8080, "@enabled": "false"}, None),
            ({"$": 8080}, 8080),
            (None, None),
        ],
    )
    def test_ports_are_numbers_or_texts(self, port, expected):
        """A port counts unless it is disabled."""
        assert expected == instance_of(made("web") | {"port": port}).port

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({"overriddenStatus": "UNKNOWN", "overriddenstatus": None}, "UP"),
            ({"overriddenStatus": None, "overriddenstatus": "OUT_OF_SERVICE"}, "OUT_OF_SERVICE"),
            ({"overriddenStatus": "DOWN"}, "DOWN"),
            ({"status": "STARTING", "overriddenStatus": "UP"}, "STARTING"),
            ({"status": "OUT_OF_SERVICE", "overriddenStatus": "OUT_OF_SERVICE"}, "OUT_OF_SERVICE"),
            ({"status": "down"}, "DOWN"),
            ({"status": "BROKEN"}, "UNKNOWN"),
            ({"status": None}, "UNKNOWN"),
        ],
    )
    def test_an_override_takes_out_of_traffic(self, fields, expected):
        """And never brings in what its own status keeps out; both spellings are read."""
        assert expected == instance_of(made("web") | fields).state

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("cart", ("cart",)),
            ("Cart, pay:7001 ,cart,", ("cart", "pay")),
            (None, ()),
            ("", ()),
            ("a:b", ("a:b",)),
        ],
    )
    def test_vip_addresses_stand_with_commas(self, text, expected):
        """By Netflix's custom one may end with a port, which is no part of the name."""
        assert expected == instance_of(made("web") | {"vipAddress": text}).vips

    def test_amazon_says_its_zone_and_names_old_instances(self):
        """The id of the machine stands for an id that old clients do not send."""
        center = {"name": "Amazon", "metadata": {"availability-zone": "z-1a", "instance-id": "i-7"}}
        one = instance_of(made("web") | {"instanceId": None, "dataCenterInfo": center})
        assert ("WEB", "i-7") == one.key
        assert "z-1a" == one.availability_zone

    def test_the_host_names_an_instance_without_any_id(self):
        """As the servers do."""
        assert "vm7" == instance_of({"app": "web", "hostName": "vm7"}).id

    @pytest.mark.parametrize(
        "fields",
        [
            {"port": 8080},
            {"port": {"$": "http", "@enabled": "true"}},
            {"metadata": ["a"]},
            {"ipAddr": 7},
        ],
    )
    def test_what_is_malformed_is_a_fault_of_its_instance(self, fields):
        """It keeps its name and its status, since the hash code counts it."""
        (name,) = fields
        one = instance_of(made("web", status="DOWN") | fields)
        assert name in one.fault
        assert ("WEB", "DOWN") == (one.app, one.status)

    def test_what_is_no_object_is_a_fault_of_its_application(self):
        """So people learn where to look."""
        assert ("WEB", "it is not an object") == (
            instance_of("x", "web").app,
            instance_of("x", "web").fault,
        )


class TestListing:
    @pytest.mark.parametrize("name", ["apps.added", "apps.deleted", "apps.empty", "apps.override"])
    def test_the_hash_code_is_the_servers(self, payload, name):
        """Computed of a recorded answer, it is what the server wrote into it."""
        listing = listing_of(payload(name))
        assert listing.hash_code == hash_code(one.status for one in listing.instances)

    def test_statuses_are_counted_in_alphabetical_order(self):
        """Nothing registered is the empty text."""
        assert "DOWN_1_UP_2_" == hash_code(["UP", "DOWN", "UP"])
        assert "" == hash_code([])

    def test_one_element_may_stand_without_its_list(self):
        """As may none."""
        one = {"name": "WEB", "instance": made("web")}
        assert 1 == len(listing_of({"applications": {"application": one}}).instances)
        assert () == listing_of({"applications": {"apps_hashcode": ""}}).instances
        assert "" == listing_of({"applications": {"apps_hashcode": ""}}).hash_code
        assert listing_of({"applications": {}}).hash_code is None

    def test_an_application_that_is_none_is_a_fault(self):
        """The others are read."""
        listing = listing_of({"applications": {"application": [7, {"instance": [made("web")]}]}})
        assert 1 == len(listing.instances)
        assert "7" in listing.faults[0]

    @pytest.mark.parametrize("document", [[], {}, {"applications": []}, "x", None])
    def test_what_is_no_answer_is_refused(self, document):
        """It might be any web page."""
        with pytest.raises(RegistryProtocolError, match="Eureka server"):
            listing_of(document)


class TestXml:
    def test_it_says_what_json_says(self, payload):
        """The same state, recorded both ways."""
        assert listing_of(payload("apps.deleted")) == listing_of(document_of(XML))

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("git__sha", "git_sha"),
            ("a_-b", "a$b"),
            ("prometheus.io_.002fscrape", "prometheus.io/scrape"),
            ("_.0031a_.0020b", "1a b"),
            ("plain", "plain"),
        ],
    )
    def test_names_are_unescaped(self, name, expected):
        """As a real server escapes them."""
        assert expected == unescaped(name)

    def test_names_of_metadata_are_the_users(self):
        """Also one that is called like an element of Eureka's."""
        text = XML.replace("<canary>true</canary>", "<instance>i</instance><application/>")
        one = listing_of(document_of(text)).instances[0]
        assert ("i", "") == (one.metadata["instance"], one.metadata["application"])

    @pytest.mark.parametrize("text", ["<html", "<!DOCTYPE html><html></html>", "<a>&#1;</a>"])
    def test_what_is_no_answer_is_refused(self, text):
        """It might be any web page."""
        with pytest.raises(RegistryProtocolError):
            document_of(text)


def web(id_="a", **fields):
    """An instance of WEB."""
    return Instance(app="WEB", id=id_, vips=("web",), updated=10, **fields)


class TestMirror:
    def test_a_recorded_life_is_followed(self, payload):
        """Added, overridden, gone: after each delta the hash code is the server's."""
        mirror = Mirror(EurekaConfig())
        mirror.replace(listing_of(payload("apps.empty")).instances, is_same_server=False)
        for step, expected in (
            ("added", {"web", "orders"}),
            ("modified", {"web"}),
            ("deleted", {"web"}),
        ):
            delta = listing_of(payload(f"apps_delta.{step}"))
            assert expected == mirror.apply(delta.instances)
            assert delta.hash_code == mirror.hash_code
        full = listing_of(payload("apps.deleted"))
        assert {*full.instances} == {*mirror.instances.values()}

    def test_a_delta_may_repeat_itself(self):
        """Nothing has changed then."""
        mirror = Mirror(EurekaConfig())
        assert {"web"} == mirror.apply([web()])
        assert set() == mirror.apply([web()])
        gone = web(is_deleted=True)
        assert {"web"} == mirror.apply([gone])
        assert set() == mirror.apply([gone, gone])

    def test_what_is_older_is_passed_over(self):
        """An old entry of a delta, a deletion before a registration, a full answer of a cache."""
        mirror = Mirror(EurekaConfig())
        new = evolve(web(port=2), updated=20)
        mirror.apply([new])
        assert set() == mirror.apply([web(port=1), web(is_deleted=True)])
        assert set() == mirror.replace([web(port=1)], is_same_server=True)
        assert [new] == mirror.named("web")

    def test_another_server_is_believed(self):
        """It has another clock."""
        mirror = Mirror(EurekaConfig())
        mirror.apply([evolve(web(port=2), updated=20)])
        assert {"web"} == mirror.replace([web(port=1)], is_same_server=False)
        assert [web(port=1)] == mirror.named("web")

    def test_a_full_answer_takes_out_what_it_lacks(self):
        """And forgets its names."""
        mirror = Mirror(EurekaConfig())
        mirror.apply([web("a"), web("b")])
        assert {"web"} == mirror.replace([web("b")], is_same_server=True)
        assert {"web"} == mirror.replace([], is_same_server=True)
        assert [] == mirror.named("web")

    def test_a_name_is_left(self):
        """An instance that changes its VIP address changes both names."""
        mirror = Mirror(EurekaConfig(names=("vip",)))
        mirror.apply([web()])
        assert {"web", "pay"} == mirror.apply([evolve(web(), vips=("pay",))])
        assert ([], 1) == (mirror.named("web"), len(mirror.named("pay")))

    def test_timestamps_are_no_news(self):
        """Renewals and empty updates publish nothing."""
        mirror = Mirror(EurekaConfig())
        mirror.apply([web()])
        assert set() == mirror.apply([evolve(web(), updated=11, renewed=11)])

    def test_what_a_server_keeps_beyond_its_lease_is_found(self):
        """Twice the lease and the grace; what is out of traffic is not looked at."""
        mirror = Mirror(EurekaConfig())
        lives = evolve(web("a"), renewed=100_000, duration=90)
        mirror.apply([lives, evolve(lives, id="b", status="DOWN"), web("c")])
        limit = 100_000 + 1000 * (2 * 90 + 60)
        assert [] == [*mirror.expired(limit, 60)]
        assert [lives] == [*mirror.expired(limit + 1, 60)]


class TestNames:
    INSTANCE = Instance(app="CART", id="a", vips=("cart", "shop"), secure_vips=("shop", "safe"))

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            (
                {},
                {"cart": {"plain", "secure"}, "shop": {"plain", "secure"}, "safe": {"secure"}},
            ),
            ({"names": ("app",)}, {"cart": {"plain", "secure"}}),
            ({"names": ("vip",)}, {"cart": {"plain"}, "shop": {"plain"}}),
            ({"names": ("secure_vip",)}, {"shop": {"secure"}, "safe": {"secure"}}),
            (
                {"names": ("app",), "hostname": "{name}.Eureka."},
                {"cart.eureka": {"plain", "secure"}},
            ),
            ({"names": ("app",), "apps": ("ca*",)}, {"cart": {"plain", "secure"}}),
            ({"apps": ("pay",)}, {}),
        ],
    )
    def test_each_name_has_its_ports(self, options, expected):
        """The application both, a VIP address the plain one, a secure one the secure one."""
        assert expected == names_of(self.INSTANCE, EurekaConfig(**options))
