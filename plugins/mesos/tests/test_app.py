"""Facts of apps: where their tasks answer, how they are, what a service is made of."""

from __future__ import annotations

import pytest
from fake_marathon import VERSION, app, published, result, task

from meshregistry.errors import RecordError
from meshregistry.model import Health, Locality, Protocol
from meshregistry_mesos import HealthConfig, MarathonConfig
from meshregistry_mesos._app import read_app
from meshregistry_mesos._run_spec import is_selected, outcome

CONFIG = MarathonConfig()
LATER = "2026-02-02T00:00:00.000Z"


def read(found, config=CONFIG, memory=None):
    """What an app is."""
    return read_app(found, config, memory or {})


def ports(found, **options):
    """Where the one task of an app answers: address, number, number of the service."""
    spec = read(found, MarathonConfig(**options))
    assert () == spec.faults
    (instance,) = spec.instances
    return [(one.name, one.address, one.number, one.service_number) for one in instance.ports]


def health(found, config=CONFIG, memory=None):
    """The health of each instance, by id."""
    return {one.id: one.health for one in read(found, config, memory).instances}


HOST = {"networks": [{"mode": "host"}], "container": None}


class TestPlaces:
    """Where a task answers, in each kind of network and in each version's words for it."""

    def test_host(self):
        """Ports of the host, in the order of their definitions; what these say is for callers."""
        definitions = [
            {"port": 10_001, "name": "http", "protocol": "tcp"},
            {"port": 0, "name": "admin", "protocol": "tcp"},
        ]
        found = app("/web", task("a", ports=[31_005, 31_002]), portDefinitions=definitions, **HOST)
        assert [("http", "10.9.0.1", 31_005, 10_001), ("admin", "10.9.0.1", 31_002, 0)] == ports(
            found
        )

    def test_host_of_old(self):
        """Before 1.0: numbers only, and no networks."""
        found = app("/web", task("a", ports=[31_005]), ports=[10_001], networks=[], container=None)
        assert [("http", "10.9.0.1", 31_005, 10_001)] == ports(found)

    def test_an_app_that_wants_no_port_is_no_service(self):
        """An empty list of definitions says so."""
        spec = read(app("/job", task("a", ports=[]), portDefinitions=[], **HOST))
        assert () == outcome(spec, CONFIG).records

    @pytest.mark.parametrize("is_old", [False, True])
    def test_bridge(self, is_old):
        """Ports of the host, though the service port and the container's are others."""
        mappings = [
            {"containerPort": 80, "hostPort": 0, "servicePort": 10_005, "name": "http"},
            {"containerPort": 81, "hostPort": None, "servicePort": 0, "name": "admin"},
        ]
        found = app("/web", task("a", ip="172.17.0.2", ports=[31_001, 31_002]))
        if is_old:
            docker = {"network": "BRIDGE", "portMappings": mappings}
            found |= {"networks": [], "container": {"type": "DOCKER", "docker": docker}}
        else:
            found |= {
                "networks": [{"mode": "container/bridge"}],
                "container": {"type": "DOCKER", "portMappings": mappings},
            }
        assert [("http", "10.9.0.1", 31_001, 10_005), ("admin", "10.9.0.1", 31_002, 81)] == ports(
            found
        )

    @pytest.mark.parametrize("is_old", [False, True])
    def test_an_address_for_each_task(self, is_old):
        """The container's own, with the container's port."""
        found = app("/web", task("a", ip="10.0.0.5"))
        if is_old:
            mapping = {"containerPort": 8080, "name": "http", "protocol": "tcp"}
            docker = {"network": "USER", "portMappings": [mapping]}
            found |= {"networks": [], "container": {"docker": docker}}
        assert [("http", "10.0.0.5", 8080, 8080)] == ports(found)

    def test_an_address_for_each_task_before_networks(self):
        """1.1 to 1.4: the ports are those of `ipAddress.discovery`."""
        discovery = {"ports": [{"number": 9000, "name": "grpc-api", "protocol": "tcp"}]}
        found = app("/web", task("a", ip="10.0.0.5"), networks=[], container=None)
        found["ipAddress"] = {"networkName": "dcos", "discovery": discovery}
        assert [("grpc-api", "10.0.0.5", 9000, 9000)] == ports(found)

    def test_ports_of_the_host_beside_addresses(self):
        """Only mappings that ask for one have one; which way is used, the settings say."""
        mappings = [
            {"containerPort": 8080, "name": "http"},
            {"containerPort": 0, "hostPort": 0, "name": "admin"},
            {"containerPort": 9000, "hostPort": 31_700, "name": "grpc"},
        ]
        found = app("/web", task("a", ip="10.0.0.5", ports=[31_001, 31_700]), mappings=mappings)
        assert [
            ("http", "10.0.0.5", 8080, 8080),
            ("admin", "10.0.0.5", 31_001, 0),
            ("grpc", "10.0.0.5", 9000, 9000),
        ] == ports(found)
        assert [
            ("http", "10.0.0.5", 8080, 8080),
            ("admin", "10.9.0.1", 31_001, 0),
            ("grpc", "10.9.0.1", 31_700, 9000),
        ] == ports(found, address="host")

    def test_the_version_of_ip(self):
        """The preferred one, where there are both."""
        both = [{"ipAddress": "fd00::1"}, {"ipAddress": "10.0.0.5"}]
        found = app("/web", task("a", ipAddresses=both))
        assert "10.0.0.5" == ports(found)[0][1]
        assert "fd00::1" == ports(found, family="IPv6")[0][1]

    def test_a_task_without_its_port_is_left_out(self):
        """The others of the app serve."""
        found = app("/web", task("a", ip=""), task("b", ip="10.0.0.2"))
        spec = read(found)
        assert ["b"] == [one.id for one in spec.instances]
        assert "it has no address of its own for the port 'http' of its app" in spec.faults[0]
        definitions = [{"name": "http"}]
        spec = read(app("/web", task("a"), portDefinitions=definitions, **HOST))
        assert "it has no port of its host for the port 'http'" in spec.faults[0]


def checked(*results, checks=1, **more):
    """An app with health checks, of whose one task these are the results."""
    of_task = {"healthCheckResults": [result(one) for one in results]} if results else {}
    return app("/web", task("a", **of_task, **more), healthChecks=[{"protocol": "HTTP"}] * checks)


class TestHealth:
    """What state and checks make of a task."""

    @pytest.mark.parametrize(
        ("found", "expected"),
        [
            (app("/web", task("a")), Health.HEALTHY),
            (checked(True), Health.HEALTHY),
            (checked(False), Health.UNHEALTHY),
            (checked(True, False, checks=2), Health.UNHEALTHY),
            (checked(True, checks=2), Health.UNHEALTHY),
            (checked(None), Health.UNHEALTHY),
            (checked(), Health.UNHEALTHY),
            (app("/web", task("a", state="TASK_KILLING")), Health.DRAINING),
            (app("/web", task("a", state="TASK_UNREACHABLE")), Health.UNHEALTHY),
            (app("/web", task("a", checkResult={"http": {"statusCode": 200}})), Health.HEALTHY),
            (app("/web", task("a", checkResult={"http": {"statusCode": 500}})), Health.UNHEALTHY),
            (app("/web", task("a", checkResult={"command": {"exitCode": 1}})), Health.UNHEALTHY),
            (app("/web", task("a", checkResult={"tcp": {"succeeded": True}})), Health.HEALTHY),
        ],
    )
    def test_of_a_task(self, found, expected):
        """A check that has said nothing yet is not passed."""
        assert {"a": expected} == health(found)

    @pytest.mark.parametrize("state", ["TASK_STAGING", "TASK_STARTING", "TASK_FAILED"])
    def test_what_does_not_run_is_left_out(self, state):
        """Before it starts and after its end."""
        assert {} == health(app("/web", task("a", state=state)))

    def test_versions_without_state(self):
        """A task that has been started runs."""
        assert {"a": Health.HEALTHY} == health(app("/web", task("a", state=None)))
        assert {} == health(app("/web", task("a", state=None, startedAt=None)))

    def test_a_new_leader_does_not_make_everything_unknown(self):
        """What a task's checks last said counts until they say something again."""
        spec = read(checked(True))
        assert {"a": True} == spec.health
        for said in ((), (None,)):
            forgotten = read(checked(*said), memory=spec.health)
            assert [Health.HEALTHY] == [one.health for one in forgotten.instances]
            assert {"a": True} == forgotten.health
        assert {"a": Health.UNHEALTHY} == health(checked(False), memory=spec.health)
        assert {} == read(app("/web"), memory=spec.health).health

    def test_unreachable_strategy(self):
        """An app that is never replaced for it serves on, as it was."""
        found = checked(True, state="TASK_UNREACHABLE") | {"unreachableStrategy": "disabled"}
        assert {"a": Health.HEALTHY} == health(found)
        found = checked(state="TASK_UNREACHABLE") | {"unreachableStrategy": "disabled"}
        assert {"a": Health.UNHEALTHY} == health(found, memory={"a": False})

    def test_the_settings_decide(self):
        """OMIT leaves the task out."""
        config = MarathonConfig(health=HealthConfig(pending="HEALTHY", unhealthy="OMIT"))
        assert {"a": Health.HEALTHY} == health(checked(), config)
        assert {} == health(checked(False), config)

    def test_readiness(self):
        """While a deployment goes on, new tasks take part once they are ready; old ones do."""
        found = app(
            "/web",
            task("old"),
            task("new-1", version=LATER),
            task("new-2", version=LATER),
            task("new-3", version=LATER),
            version=LATER,
            readinessChecks=[{"name": "ready"}],
            deployments=[{"id": "d"}],
            readinessCheckResults=[
                {"name": "ready", "taskId": "new-1", "ready": True},
                {"name": "ready", "taskId": "new-2", "ready": False},
            ],
        )
        expected = {
            "old": Health.HEALTHY,
            "new-1": Health.HEALTHY,
            "new-2": Health.UNHEALTHY,
            "new-3": Health.UNHEALTHY,
        }
        assert expected == health(found)
        assert {Health.HEALTHY} == set(health(found | {"deployments": []}).values())


class TestService:
    """What becomes of an app."""

    def test_name_labels_and_locality(self):
        """The path from its end, the labels of the app, where its tasks run."""
        found = app("/shop/Web", task("a", region="eu", zone="eu-1"), labels={"version": "v2"})
        (record,) = outcome(read(found), CONFIG).records
        assert ("/shop/Web", "web-shop.marathon.mesos") == (record.key, record.service.host)
        (endpoint,) = record.endpoints
        assert {"version": "v2"} == dict(endpoint.labels)
        assert Locality("eu", "eu-1") == endpoint.locality
        config = MarathonConfig(hostname="{app_path}.mesh", protocol="TCP")
        (record,) = outcome(read(found, config), config).records
        assert "web.shop.mesh" == record.service.host

    def test_virtual_addresses(self):
        """Names are services of their own, IPs addresses of the app's."""
        vips = {"VIP_0": "/front:80", "VIP_1": "10.1.2.3:80"}
        mapping = {"containerPort": 8080, "name": "http", "labels": vips}
        found = app("/web", task("a", ip="10.0.0.1"), mappings=[mapping])
        own, vip = outcome(read(found), CONFIG).records
        assert ("10.1.2.3",) == own.service.addresses
        assert "front.marathon.l4lb.thisdcos.directory" == vip.service.host
        assert [80] == [one.number for one in vip.service.ports]
        assert [("10.0.0.1", 8080)] == [(one.address, one.port) for one in vip.endpoints]

    def test_several_ports_of_one_virtual_address(self):
        """One service with a port for each."""
        mappings = [
            {"containerPort": 8080, "name": "http", "labels": {"VIP_0": "/front:80"}},
            {"containerPort": 8443, "name": "https", "labels": {"VIP_0": "/front:443"}},
        ]
        _, vip = outcome(read(app("/web", task("a"), mappings=mappings)), CONFIG).records
        assert {"http": (80, Protocol.HTTP), "https": (443, Protocol.HTTPS)} == {
            one.name: (one.number, one.protocol) for one in vip.service.ports
        }
        assert [8080, 8443] == sorted(one.port for one in vip.endpoints)

    def test_a_malformed_task_is_left_out_and_named(self):
        """The app is a fault only without any other."""
        found = app("/web", task("a"), task("bad", ip="no ip"))
        spec = outcome(read(found), CONFIG)
        assert (published("/web", "10.0.0.1"),) == spec.records
        assert "the instance 'bad' is left out: 'no ip' is not a host name" in spec.notes[0]
        alone = outcome(read(app("/web", task("bad", ip="no ip"))), CONFIG)
        assert isinstance(alone, RecordError)
        assert "/web" == alone.key

    @pytest.mark.parametrize(
        "more",
        [
            {"labels": []},
            {"healthChecks": 1},
            {"container": {"portMappings": [{"containerPort": "80"}]}},
            {"container": {"portMappings": [{"labels": {"VIP_0": "front"}}]}},
            {"tasks": {}},
        ],
    )
    def test_a_malformed_app_is_refused(self, more):
        """With what is wrong."""
        with pytest.raises(ValueError, match=r" is "):
            read(app("/web", task("a")) | more)

    def test_apps_are_selected_by_patterns(self):
        """Of their ids."""
        config = MarathonConfig(apps=("/shop/*", "/web"))
        assert [True, True, False] == [
            is_selected(id_, config) for id_ in ("/shop/web", "/web", "/shop")
        ]
        assert is_selected("/any", CONFIG)

    def test_tasks_of_two_versions_make_one_service(self):
        """Read as of the app, though they differ in time."""
        found = app("/web", task("a", version=VERSION), task("b", ip="10.0.0.2", version=LATER))
        assert (published("/web", "10.0.0.1", "10.0.0.2"),) == outcome(read(found), CONFIG).records
