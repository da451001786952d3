"""Recorded objects of a real API server, and written ones, as service records."""

from __future__ import annotations

import pytest
from fake_api_server import endpoint, node, pod, service, slice_

from meshregistry.errors import RecordError
from meshregistry.model import Health, Locality, Protocol, Resolution
from meshregistry_kubernetes._convert import FOR_ZONES, Conversion, protocol
from meshregistry_kubernetes._keeping import KEEPERS
from meshregistry_kubernetes._objects import ServicePort
from meshregistry_kubernetes._store import Gone, Store


def converted(*objects, **options):
    """The records of (resource, document) pairs, by record key."""
    words = {"domain": "cluster.local", "trust_domain": "td", **options}
    store = Store(Conversion(**words), pod_wait=None)
    for resource, document in objects:
        store.put(resource, KEEPERS[resource](document))
    return {outcome.key: outcome for outcome in store.take_all(0.0)}


@pytest.fixture
def recorded(payload):
    """The recorded cluster, as records."""

    def convert(*, backends="slices", **options):
        resource = {"slices": "endpointslices"}.get(backends, backends)
        pairs = [(resource, one) for one in payload(backends)]
        for name in ("services", "pods", "nodes"):
            pairs += [(name, one) for one in payload(name)]
        return converted(*pairs, **options)

    return convert


def sketch(record):
    """Endpoints as text: address, port's name, health."""
    return [f"{one} {one.service_port} {one.health}" for one in record.endpoints]


class TestRecordedCluster:
    def test_pods_that_map_a_named_port_differently_are_in_slices_of_their_own(self, recorded):
        """Readiness and termination become health; the draining one stays."""
        web = recorded()["default/web"]
        assert [
            "10.244.0.1:8080 http HEALTHY",
            "10.244.0.1:9901 mgmt HEALTHY",
            "10.244.0.2:8081 http HEALTHY",
            "10.244.0.2:9901 mgmt HEALTHY",
            "10.244.0.3:8080 http UNHEALTHY",
            "10.244.0.3:9901 mgmt UNHEALTHY",
            "10.244.0.4:8080 http DRAINING",
            "10.244.0.4:9901 mgmt DRAINING",
        ] == sketch(web)
        assert "web.default.svc.cluster.local" == web.service.host
        assert ("default", Resolution.EDS) == (web.service.namespace, web.service.resolution)
        assert [("http", 80), ("mgmt", 9901)] == [(p.name, p.number) for p in web.service.ports]

    def test_pods_give_labels_and_identity_and_nodes_the_locality(self, recorded):
        """Region and sub-zone come from the node's labels, as does its host name."""
        one = recorded()["default/web"].endpoints[2]
        assert "spiffe://td/ns/default/sa/web" == one.workload_identity
        assert Locality("r1", "z1", "rack-7") == one.locality
        assert {
            "app": "web",
            "version": "v2",
            "kubernetes.io/hostname": "n1.lab",
            "topology.kubernetes.io/region": "r1",
            "topology.kubernetes.io/zone": "z1",
            "topology.istio.io/subzone": "rack-7",
            "meshregistry.io/pod-name": "web-2",
            "meshregistry.io/workload-name": "web-2",
            "meshregistry.io/workload-kind": "pods",
        } == dict(one.labels)

    def test_endpoints_objects_say_the_same_as_slices(self, recorded):
        """Where a server has no slices the records are equal, but for what only slices know."""
        old, new = recorded(backends="endpoints"), recorded()
        assert sketch(new["default/web"])[:6] == sketch(old["default/web"])[:6]
        assert sketch(new["default/legacy"]) == sketch(old["default/legacy"])

    def test_a_dual_stack_pod_is_one_endpoint(self, recorded):
        """It has an address of each family; the service's first family counts."""
        dual = recorded()["default/dual"]
        assert ["10.244.1.1:9000 grpc-x HEALTHY"] == sketch(dual)
        assert [False, True] == [":" in address for address in dual.service.addresses]
        for family, found in {
            "IPv6": ["[fd00:10::1]:9000 grpc-x HEALTHY"],
            "IPv4": sketch(dual),
            "all": [*sketch(dual), "[fd00:10::1]:9000 grpc-x HEALTHY"],
        }.items():
            assert found == sketch(recorded(ip_family=family)["default/dual"])

    def test_a_headless_service_is_passed_through(self, recorded):
        """It has no address; what is not ready but published counts as ready."""
        headless = recorded()["default/headless"]
        assert (Resolution.PASSTHROUGH, ()) == (
            headless.service.resolution,
            headless.service.addresses,
        )
        assert ["10.244.2.1:5432 tcp-db HEALTHY"] == sketch(headless)

    def test_an_external_name_is_resolved_by_dns(self, recorded):
        """It has no slices: its name at its declared port is the one endpoint."""
        outside = recorded()["default/outside"]
        assert (Resolution.DNS, True) == (outside.service.resolution, outside.service.is_external)
        assert ["db.example.com:5432 tcp HEALTHY"] == sketch(outside)

    def test_an_external_name_inside_the_cluster_is_an_alias(self, recorded):
        """Its target is another service, under whatever domain the mesh has for it."""
        alias = recorded(domain="mesh.local")["default/alias"].service
        assert (Resolution.ALIAS, "web.default.svc.mesh.local") == (
            alias.resolution,
            alias.alias_of,
        )

    def test_the_cluster_answers_to_the_address_of_a_load_balancer(self, recorded):
        """It is one more virtual address, after the cluster's own."""
        assert "203.0.113.9" == recorded()["default/balanced"].service.addresses[-1]

    def test_a_service_without_selector_has_the_endpoints_that_somebody_wrote(self, recorded):
        """Its only port has no name, here and there."""
        legacy = recorded()["default/legacy"]
        assert [
            "192.0.2.7:8080 port-80 HEALTHY",
            "192.0.2.8:8080 port-80 UNHEALTHY",
        ] == sketch(legacy)

    def test_one_number_for_tcp_and_udp_is_one_port(self, recorded):
        """The model has one port for each number: TCP, which proxies can carry."""
        assert [("dns-tcp", Protocol.TCP), ("metrics", Protocol.UNSUPPORTED)] == [
            (port.name, port.protocol) for port in recorded()["default/dns"].service.ports
        ]

    def test_from_outside_services_are_at_balancers_and_node_ports(self, recorded):
        """What has no way in has no record; virtual addresses mean nothing out there."""
        found = recorded(addresses="external")
        assert {"default/alias", "default/balanced", "default/outside", "default/ported"} == {
            key for key, one in found.items() if not isinstance(one, Gone)
        }
        assert ["203.0.113.9:443 h2 HEALTHY"] == sketch(found["default/balanced"])
        assert ["192.168.7.1:30080 http HEALTHY"] == sketch(found["default/ported"])
        assert () == found["default/ported"].service.addresses
        assert Locality("r1", "z1", "rack-7") == found["default/ported"].endpoints[0].locality


class TestProtocol:
    @pytest.mark.parametrize(
        ("port", "expected"),
        [
            (ServicePort("http-web", 80), Protocol.HTTP),
            (ServicePort("grpc-web-x", 80), Protocol.GRPC_WEB),
            (ServicePort("web", 80), Protocol.UNSUPPORTED),
            (ServicePort("", 3306), Protocol.TCP),
            (ServicePort("udp-x", 80), Protocol.TCP),
            (ServicePort("http", 80, "UDP"), Protocol.UDP),
            (ServicePort("tcp", 80, app_protocol="kubernetes.io/h2c"), Protocol.HTTP2),
            (ServicePort("tcp", 80, app_protocol="kubernetes.io/ws"), Protocol.HTTP),
            (ServicePort("tcp", 80, app_protocol="kubernetes.io/wss"), Protocol.HTTPS),
            (ServicePort("tcp", 80, app_protocol="grpc"), Protocol.GRPC),
            (ServicePort("http", 80, app_protocol="example.com/x"), Protocol.UNSUPPORTED),
        ],
    )
    def test_app_protocol_counts_before_the_name(self, port, expected):
        """And without either, ports at which the server speaks first are TCP."""
        assert expected == protocol(port)


class TestEndpoints:
    def test_an_endpoint_in_two_slices_counts_once(self):
        """While it moves it is in both; the ready copy counts."""
        found = converted(
            ("services", service("a")),
            ("endpointslices", slice_("a", endpoint("10.0.0.1", ready=False), suffix="1")),
            ("endpointslices", slice_("a", endpoint("10.0.0.1", ready=True), suffix="2")),
        )
        assert ["10.0.0.1:8080 http HEALTHY"] == sketch(found["default/a"])

    @pytest.mark.parametrize(
        ("conditions", "health"),
        [
            ({}, Health.HEALTHY),
            ({"ready": None}, Health.HEALTHY),
            ({"ready": True, "terminating": True}, Health.HEALTHY),
            ({"ready": False}, Health.UNHEALTHY),
            ({"ready": False, "serving": True}, Health.UNHEALTHY),
            ({"ready": False, "serving": True, "terminating": True}, Health.DRAINING),
            ({"ready": False, "terminating": True}, Health.DRAINING),
            ({"ready": False, "serving": False, "terminating": True}, Health.UNHEALTHY),
        ],
    )
    def test_conditions_become_health(self, conditions, health):
        """Absent ones mean ready, serving, not terminating."""
        found = converted(
            ("services", service("a")),
            ("endpointslices", slice_("a", endpoint("10.0.0.1", **conditions))),
        )
        assert health is found["default/a"].endpoints[0].health

    def test_a_port_of_a_slice_without_number_is_every_port(self):
        """Then the service's own number is the one to call."""
        found = converted(
            ("services", service("a")),
            ("endpointslices", slice_("a", endpoint("10.0.0.1"), ports=[{"name": "http"}])),
        )
        assert ["10.0.0.1:8080 http HEALTHY"] == sketch(found["default/a"])

    def test_what_does_not_belong_is_left_out(self):
        """Ports that the service does not declare, and FQDN slices, which mean nothing."""
        found = converted(
            ("services", service("a")),
            ("endpointslices", slice_("a", endpoint("10.0.0.1"), ports=[{"name": "x", "port": 1}])),
            ("endpointslices", slice_("a", endpoint("a.b"), suffix="2", family="FQDN")),
        )
        assert () == found["default/a"].endpoints

    @pytest.mark.parametrize(
        ("second", "expected"), [({"forZones": [{"name": "z2"}]}, "z1"), ({}, "")]
    )
    def test_zone_hints_count_if_every_endpoint_has_them(self, second, expected):
        """The API says so; they are a label."""
        one = endpoint("10.0.0.1") | {"hints": {"forZones": [{"name": "z1"}]}}
        two = endpoint("10.0.0.2") | {"hints": second}
        found = converted(("services", service("a")), ("endpointslices", slice_("a", one, two)))
        assert expected == found["default/a"].endpoints[0].labels.get(FOR_ZONES, "")

    def test_a_pod_may_name_its_locality_and_network(self):
        """Dots stand for the slashes that a label's value must not have."""
        labels = {"istio-locality": "r.z.s.more", "topology.istio.io/network": "n2"}
        found = converted(
            ("services", service("a")),
            ("endpointslices", slice_("a", endpoint("10.0.0.1", pod="p", node="m"))),
            ("pods", pod("p", **labels)),
            ("nodes", node("m", topology_kubernetes_io__zone="other")),
        )
        one = found["default/a"].endpoints[0]
        assert (Locality("r", "z", "s"), "n2") == (one.locality, one.network)

    def test_the_labels_of_beta_and_the_zone_of_the_endpoint_will_do(self):
        """Without a node there is the endpoint's own zone."""
        beta = "failure-domain_beta_kubernetes_io"
        found = converted(
            ("services", service("a")),
            (
                "endpointslices",
                slice_("a", endpoint("10.0.0.1", node="m"), endpoint("10.0.0.2") | {"zone": "z9"}),
            ),
            ("nodes", node("m", **{f"{beta}__zone": "z", f"{beta}__region": "r"})),
        )
        assert [Locality("r", "z"), Locality("", "z9")] == [
            one.locality for one in found["default/a"].endpoints
        ]


class TestServices:
    def test_visibility_is_an_annotation(self):
        """A list with commas; a tilde is nobody."""
        for text, expected in (("., shop", (".", "shop")), ("~", ()), (None, ("*",))):
            document = service("a")
            document["metadata"]["annotations"] = {"networking.istio.io/exportTo": text}
            if text is None:
                del document["metadata"]["annotations"]
            assert expected == converted(("services", document))["default/a"].service.export_to

    def test_a_service_without_ports_has_no_record(self):
        """The model needs a port; SCTP, which no proxy carries, is none."""
        found = converted(
            ("services", service("a", ports=[])),
            ("services", service("b", ports=[{"port": 1, "protocol": "SCTP"}])),
        )
        assert {Gone} == {type(one) for one in found.values()}

    @pytest.mark.parametrize(
        ("resource", "document"),
        [
            ("services", service("a", ports=[{"port": 70000}])),
            ("services", service("a", ports=["http"])),
            ("services", service("a", type="ExternalName", externalName="not a name")),
            ("endpointslices", slice_("a", endpoint("10.0.0.256"))),
            ("endpointslices", slice_("a", {"addresses": []})),
            ("endpointslices", slice_("a", endpoint("10.0.0.1"), ports=[{"port": -1}])),
        ],
    )
    def test_what_cannot_be_read_is_an_error_of_its_service_alone(self, resource, document):
        """The error names the object and the record that it spoils."""
        found = converted(
            ("services", service("a")), (resource, document), ("services", service("b"))
        )
        error = found["default/a"]
        assert isinstance(error, RecordError)
        assert "default/a" in str(error)
        assert "look at it with kubectl" in str(error)
        assert not isinstance(found["default/b"], RecordError)

    def test_local_traffic_policy_leaves_nodes_out_that_run_nothing(self):
        """From outside, a node without an endpoint of its own would drop the traffic."""
        ports = [{"name": "http", "port": 80, "nodePort": 30000}]
        status = {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]}
        pairs = [
            ("services", service("a", type="NodePort", ports=ports, externalTrafficPolicy="Local")),
            ("endpointslices", slice_("a", endpoint("10.0.0.1", node="m"))),
            ("nodes", node("m") | {"status": status}),
            ("nodes", node("other") | {"status": status}),
        ]
        found = converted(*pairs, addresses="external")
        assert ["192.0.2.1:30000 http HEALTHY"] == sketch(found["default/a"])
