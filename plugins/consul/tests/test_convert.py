"""Facts of the conversion, mostly on payloads recorded from Consul 1.16.1."""

from __future__ import annotations

import pytest
from attrs import evolve
from fake_consul import instance

from meshregistry.errors import RecordError, RegistryProtocolError
from meshregistry.model import Health, Locality, Protocol, Resolution
from meshregistry_consul import ConsulConfig, HealthConfig, LocalityConfig
from meshregistry_consul._convert import names_filter, selected_names, service_record
from meshregistry_consul._instance import tag_labels, worst_state

CONFIG = ConsulConfig()


def endpoints(converted):
    """Its endpoints by address."""
    return {one.address: one for one in converted.record.endpoints}


class TestRecorded:
    def test_an_instance_without_an_address_is_at_its_node(self, payload):
        """Of web, one instance has no address, the other has one of its own."""
        converted = service_record("web", payload("health-web"), CONFIG)
        assert ["10.0.0.7", "10.9.0.8"] == list(endpoints(converted))

    def test_health_is_the_worst_check_and_weight_follows_it(self, payload):
        """The warning instance weighs what ``Weights.Warning`` says; the critical one is not sent."""
        found = endpoints(service_record("web", payload("health-web"), CONFIG))
        assert (Health.HEALTHY, 1) == (found["10.0.0.7"].health, found["10.0.0.7"].weight)
        assert Health.UNHEALTHY is found["10.9.0.8"].health

    @pytest.mark.parametrize(
        ("warning", "expected"),
        [("DRAINING", Health.DRAINING), ("UNHEALTHY", Health.UNHEALTHY)],
    )
    def test_the_user_chooses_what_a_warning_means(self, payload, warning, expected):
        """``health: {warning: …}`` decides."""
        config = ConsulConfig(health=HealthConfig(warning=warning))
        assert (
            expected
            is endpoints(service_record("web", payload("health-web"), config))["10.0.0.7"].health
        )

    def test_omitted_states_leave_the_ports_of_the_service(self, payload):
        """Instances of the state are left out; the service and its ports stay."""
        config = ConsulConfig(health=HealthConfig(warning="OMIT", critical="OMIT"))
        record = service_record("web", payload("health-web"), config).record
        assert () == record.endpoints
        assert [8080, 8081] == [port.number for port in record.service.ports]

    def test_tags_and_metadata_become_labels(self, payload):
        """A bare tag has no value, ``key=value`` has one, metadata come along."""
        found = endpoints(service_record("web", payload("health-web"), CONFIG))
        assert {"v2": "", "env": "prod", "version": "2.1"} == dict(found["10.0.0.7"].labels)

    def test_metadata_can_be_left_out(self, payload):
        """``meta: false`` and ``tags: none`` leave no labels."""
        config = ConsulConfig(meta=False, tags="none")
        found = endpoints(service_record("web", payload("health-web"), config))
        assert {} == dict(found["10.0.0.7"].labels)

    def test_locality_comes_from_the_node(self, payload):
        """Region and zone from the node's metadata; without them the datacenter is the region."""
        found = endpoints(service_record("web", payload("health-web"), CONFIG))
        assert Locality("eu", "eu-a") == found["10.0.0.7"].locality
        assert Locality("dc1") == found["10.9.0.8"].locality
        assert "dc1" == found["10.0.0.7"].cluster

    def test_keys_of_locality_are_chosen(self, payload):
        """Other keys of metadata, other zones."""
        config = ConsulConfig(locality=LocalityConfig(zone="region", region="none"))
        found = endpoints(service_record("web", payload("health-web"), config))
        assert Locality("dc1", "eu") == found["10.0.0.7"].locality

    def test_a_tagged_address_is_preferred(self, payload):
        """``tagged_address: [wan]`` takes address and port of that name, else the usual ones."""
        config = ConsulConfig(tagged_address=("wan",))
        found = endpoints(service_record("web", payload("health-web"), config))
        assert {"198.51.100.7": 80, "10.9.0.8": 8081} == {k: one.port for k, one in found.items()}

    def test_a_tagged_address_is_the_virtual_one_on_request(self, payload):
        """``virtual_address`` names the tagged address that callers use."""
        config = ConsulConfig(virtual_address="lan")
        assert ("10.0.0.7",) == service_record(
            "web", payload("health-web"), config
        ).record.service.addresses

    def test_each_port_of_instances_is_a_port_of_the_service(self, payload):
        """The first keeps the bare name."""
        record = service_record("web", payload("health-web"), CONFIG).record
        assert ["http:8080/HTTP", "http-8081:8081/HTTP"] == list(map(str, record.service.ports))

    def test_one_service_port_unites_dynamic_ports(self, payload):
        """``service_port: 80`` puts every instance behind it."""
        record = service_record("web", payload("health-web"), ConsulConfig(service_port=80)).record
        assert ["http:80/HTTP"] == list(map(str, record.service.ports))
        assert {"http"} == {one.service_port for one in record.endpoints}

    def test_sidecars_and_native_instances_are_left_out_unless_asked_for(self, payload):
        """Proxies and connect-native instances speak mutual TLS only."""
        for name, kind in (("web-sidecar-proxy", "connect-proxy"), ("pay", "connect-native")):
            entries = payload(f"health-{name}")
            assert service_record(name, entries, CONFIG).record is None
            assert service_record(name, entries, ConsulConfig(include=(kind,))).record is not None

    def test_maintenance_has_a_meaning_of_its_own(self, payload):
        """It is critical to Consul, and may be draining to the mesh."""
        config = ConsulConfig(health=HealthConfig(maintenance="DRAINING"))
        (endpoint,) = service_record("maint", payload("health-maint"), config).record.endpoints
        assert Health.DRAINING is endpoint.health

    def test_an_unknown_service_is_an_empty_list_and_no_record(self, payload):
        """Consul answers 200 with nothing in it."""
        converted = service_record("missing", payload("health-missing"), CONFIG)
        assert (None, ()) == (converted.record, converted.notes)

    def test_a_service_without_a_port_is_noted(self, payload):
        """There is nothing to send to."""
        converted = service_record("noport", payload("health-noport"), CONFIG)
        assert converted.record is None
        assert "has no port" in converted.notes[0]

    def test_names_are_selected(self, payload):
        """Consul's own service only by name; patterns choose."""
        listing = payload("services")
        assert "consul" not in selected_names(listing, CONFIG)
        assert ["web", "web-sidecar-proxy"] == list(
            selected_names(listing, ConsulConfig(services=("web*",)))
        )
        assert ["consul"] == list(selected_names(listing, ConsulConfig(services=("consul",))))
        assert "consul" not in selected_names(listing, ConsulConfig(services=("*",)))


class TestConventionOf2017:
    CONFIG = ConsulConfig(tags="key|value")

    def test_tags_are_pairs_and_others_are_noted(self, payload):
        """``version|v1`` is a label, ``legacy`` is ignored with a note."""
        converted = service_record("old", payload("health-old"), self.CONFIG)
        (endpoint,) = converted.record.endpoints
        assert {"version": "v1", "zone": "b"} == dict(endpoint.labels)
        assert "legacy" in converted.notes[0]

    def test_the_node_names_the_protocol(self, payload):
        """Node metadata ``protocol`` name the port."""
        record = service_record("db", payload("health-db"), self.CONFIG).record
        assert ["tcp:5432/TCP"] == list(map(str, record.service.ports))

    def test_the_node_says_that_it_is_outside_the_mesh(self, payload):
        """Node metadata ``external`` give the name to resolve."""
        record = service_record("db", payload("health-db"), self.CONFIG).record
        assert record.service.is_external
        assert Resolution.DNS is record.service.resolution
        assert ["db.example.com"] == [one.address for one in record.endpoints]
        assert not service_record("db", payload("health-db"), CONFIG).record.service.is_external


class TestFaults:
    def test_one_bad_instance_takes_no_other_with_it(self):
        """It is left out and noted."""
        converted = service_record("web", [instance("web"), instance("web", "no such")], CONFIG)
        assert ["10.0.0.1"] == list(endpoints(converted))
        assert "no such" in converted.notes[0]

    @pytest.mark.parametrize(
        "entry",
        [
            None,
            "text",
            {},
            {"Node": {}, "Service": []},
            instance("web", "not an address"),
            instance("web", Tags=7),
            instance("web", port="80"),
            instance("web", Weights={"Passing": -1}),
            instance("web", port=70000),
            {**instance("web"), "Checks": ["x"]},
        ],
    )
    def test_nothing_usable_is_an_error_of_that_record(self, entry):
        """So its last good version is kept."""
        with pytest.raises(RecordError, match="no usable instance") as caught:
            service_record("web", [entry], CONFIG)
        assert "web" == caught.value.key

    @pytest.mark.parametrize("entries", [None, {}, "x"])
    def test_an_answer_that_is_no_list_is_an_error_of_that_record(self, entries):
        """It is not Consul's."""
        with pytest.raises(RecordError, match="not a list"):
            service_record("web", entries, CONFIG)

    @pytest.mark.parametrize("listing", [None, [], {"web": "x"}])
    def test_a_listing_that_is_none_is_a_protocol_error(self, listing):
        """Nothing is concluded from it."""
        with pytest.raises(RegistryProtocolError):
            selected_names(listing, CONFIG)

    def test_a_name_that_cannot_be_a_host_is_an_error_of_that_record(self):
        """Consul takes names that DNS does not."""
        with pytest.raises(RecordError, match="my web") as caught:
            service_record("my web", [instance("my web")], CONFIG)
        assert "my web" == caught.value.key

    def test_null_is_empty(self):
        """Older servers send null for what newer ones send empty."""
        entry = instance("web", TaggedAddresses=None, Connect=None, Weights=None)
        entry["Checks"] = None
        (endpoint,) = service_record("web", [entry], CONFIG).record.endpoints
        assert (Health.HEALTHY, 1, {}) == (endpoint.health, endpoint.weight, dict(endpoint.labels))


class TestPorts:
    def test_metadata_name_the_port_and_so_its_protocol(self):
        """The service's metadata win over the node's."""
        entry = instance("web", Meta={"protocol": "grpc-api"})
        entry["Node"]["Meta"] = {"protocol": "tcp"}
        (port,) = service_record("web", [entry], CONFIG).record.service.ports
        assert ("grpc-api", Protocol.GRPC) == (port.name, port.protocol)

    def test_an_unknown_protocol_is_tcp_and_noted(self):
        """As the adapter of 2017 had it."""
        converted = service_record("web", [instance("web", Meta={"protocol": "smoke"})], CONFIG)
        assert Protocol.TCP is converted.record.service.ports[0].protocol
        assert "smoke" in converted.notes[0]

    def test_of_two_protocols_of_a_port_the_first_counts(self):
        """By node and id; the other is noted."""
        entries = [
            instance("web", "10.0.0.2", id="b", Meta={"protocol": "tcp"}),
            instance("web", "10.0.0.1", id="a", Meta={"protocol": "http"}),
        ]
        converted = service_record("web", entries, CONFIG)
        assert ["http:8080/HTTP"] == list(map(str, converted.record.service.ports))
        assert "first one counts" in converted.notes[0]

    def test_named_ports_of_newer_servers_are_all_there(self):
        """An instance may list ports with names."""
        ports = [{"Name": "http", "Port": 8080, "Default": True}, {"Name": "admin", "Port": 9090}]
        record = service_record("web", [instance("web", port=0, Ports=ports)], CONFIG).record
        assert ["http:8080/HTTP", "admin:9090/HTTP"] == list(map(str, record.service.ports))

    def test_two_registrations_of_one_address_are_one_endpoint(self):
        """The healthier speaks for it."""
        entries = [instance("web", id="a", status="critical"), instance("web", id="b")]
        (endpoint,) = service_record("web", entries, CONFIG).record.endpoints
        assert Health.HEALTHY is endpoint.health


class TestSmallThings:
    @pytest.mark.parametrize(
        ("statuses", "expected"),
        [
            ([], "passing"),
            (["passing", "warning"], "warning"),
            (["critical", "warning"], "critical"),
            (["strange"], "critical"),
        ],
    )
    def test_the_worst_check_counts(self, statuses, expected):
        """What Consul never said is critical."""
        assert expected == worst_state({"Status": one, "CheckID": "x"} for one in statuses)

    def test_the_node_may_be_in_maintenance(self):
        """The reserved check of the node counts for its instances."""
        assert "maintenance" == worst_state(
            [{"Status": "critical", "CheckID": "_node_maintenance"}]
        )

    def test_the_first_of_equal_tags_counts(self):
        """Labels have one value for a key."""
        assert ({"a": "1", "": ""}.keys() - {""}) == tag_labels(["a=1", "a=2", ""], "key=value")[
            0
        ].keys()

    def test_the_host_is_made_of_what_is_known(self):
        """Datacenter, namespace and partition may be part of it."""
        config = ConsulConfig(hostname="{service}.{ns}.{partition}.{dc}.mesh", ns="team")
        service = service_record("web", [instance("web")], config).record.service
        assert ("web.team.default.dc1.mesh", "team") == (service.host, service.namespace)

    def test_the_order_of_instances_does_not_matter(self):
        """Consul answers in any order."""
        entries = [instance("web", f"10.0.0.{n}", 8000 + n) for n in range(1, 5)]
        assert service_record("web", entries, CONFIG) == service_record(
            "web", entries[::-1], CONFIG
        )

    def test_the_filter_of_names_leaves_out_kinds(self):
        """And what the user adds."""
        assert '(ServiceKind == "") and ServiceConnect.Native == false' == names_filter(CONFIG)
        config = evolve(CONFIG, include=("connect-native", "mesh-gateway"), catalog_filter="a == b")
        assert '(ServiceKind == "" or ServiceKind == "mesh-gateway") and (a == b)' == names_filter(
            config
        )
