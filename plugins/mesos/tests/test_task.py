"""Facts of tasks and agents, and of the instances that they are."""

from __future__ import annotations

import pytest
from fake_mesos import AGENT, agent, labels, status, task

from meshregistry.model import Health, Locality, Protocol
from meshregistry_mesos import HealthConfig, MesosConfig
from meshregistry_mesos._agent import read_agent
from meshregistry_mesos._instance import Vip
from meshregistry_mesos._task import read_task
from meshregistry_mesos._task_instance import instance_of

CONFIG = MesosConfig()


def instance(message, config=CONFIG, **of_agent):
    """The instance that a task is, on an agent."""
    read = read_task(message)
    read.check()
    return instance_of(read, read_agent(agent(**of_agent)), config)


def network(ip="", mappings=(), *more):
    """The status of a container."""
    addresses = [{"ip_address": one} for one in (ip, *more) if one]
    mapped = [{"host_port": host, "container_port": own} for host, own in mappings]
    return {"network_infos": [{"ip_addresses": addresses, "port_mappings": mapped}]}


def running(ports, *, statuses=None, discovery=None, **more):
    """A task with these ports in its discovery information."""
    said = {"name": "web", "ports": {"ports": ports}, **(discovery or {})}
    return task("web.1", discovery=said, statuses=statuses or [status("web.1")], **more)


def test_a_recorded_task_is_read(payload):
    """Name, ports, labels, address and agent, as a real master tells them."""
    state = payload("state")["get_state"]
    (message,) = [one for one in state["get_tasks"]["tasks"] if one["task_id"]["value"] == "web.1"]
    found = read_task(message)
    found.check()
    place = read_agent(state["get_agents"]["agents"][0])
    assert ("web", "TASK_RUNNING", place.id) == (found.name, found.state, found.agent)
    assert [(31000, "http", "tcp", "host"), (31001, "grpc", "tcp", "")] == [
        (one.number, one.name, one.transport, one.scope) for one in found.ports
    ]
    assert {"istio": "yes", "version": "v1", "team": "mesh"} == found.labels
    made = instance_of(found, place, MesosConfig(attributes=("rack",)))
    assert [("http", "127.0.0.1", 31000, 0), ("grpc", "127.0.0.1", 31001, 0)] == [
        (one.name, one.address, one.number, one.service_number) for one in made.ports
    ]
    assert "1" == made.labels["rack"]
    assert Locality("", "a", "1") == made.locality


@pytest.mark.parametrize(
    ("state", "more", "expected"),
    [
        ("TASK_RUNNING", {}, Health.HEALTHY),
        ("TASK_RUNNING", {"healthy": True}, Health.HEALTHY),
        ("TASK_RUNNING", {"healthy": False}, Health.UNHEALTHY),
        ("TASK_RUNNING", {"check_status": {"type": "HTTP", "http": {}}}, Health.UNHEALTHY),
        ("TASK_RUNNING", {"check_status": {"http": {"status_code": 204}}}, Health.HEALTHY),
        ("TASK_RUNNING", {"check_status": {"http": {"status_code": 503}}}, Health.UNHEALTHY),
        ("TASK_RUNNING", {"check_status": {"command": {"exit_code": 0}}}, Health.HEALTHY),
        ("TASK_RUNNING", {"check_status": {"command": {"exit_code": 1}}}, Health.UNHEALTHY),
        ("TASK_RUNNING", {"check_status": {"tcp": {"succeeded": False}}}, Health.UNHEALTHY),
        (
            "TASK_RUNNING",
            {"healthy": True, "check_status": {"tcp": {"succeeded": False}}},
            Health.HEALTHY,
        ),
        ("TASK_KILLING", {}, Health.DRAINING),
        ("TASK_UNREACHABLE", {}, Health.UNHEALTHY),
        ("TASK_STAGING", {}, None),
        ("TASK_STARTING", {}, None),
        ("TASK_UNKNOWN", {}, None),
    ],
)
def test_health_is_of_state_and_checks(state, more, expected):
    """A health check counts before a general check, and what does not run is left out."""
    made = instance(task("a", state=state, statuses=[status("a", state, **more)]))
    assert expected == (made and made.health)


def test_what_states_mean_is_the_settings_decision():
    """OMIT leaves the instance out."""
    config = MesosConfig(health=HealthConfig(unhealthy="OMIT", unreachable="HEALTHY"))
    assert instance(task("a", statuses=[status("a", healthy=False)]), config) is None
    assert Health.HEALTHY is instance(task("a", state="TASK_UNREACHABLE"), config).health


def test_a_newer_status_says_all_of_health_and_repeats_no_address():
    """As in the listing of a master, which keeps the newest status of a state only."""
    read = read_task(task("a", statuses=[status("a", ip="10.0.0.7", healthy=False)]))
    assert read.status.healthy is False
    later = read.after("TASK_RUNNING", status("a"))
    assert (None, ("10.0.0.7",)) == (later.status.healthy, later.status.addresses)
    lost = read.after("TASK_UNREACHABLE", status("a", "TASK_UNREACHABLE"))
    assert (False, ("10.0.0.7",)) == (lost.status.healthy, lost.status.addresses)


def test_a_malformed_status_is_the_fault_of_its_task_until_the_next():
    """It names what is wrong."""
    read = read_task(task("a")).after("TASK_RUNNING", status("a", healthy="yes"))
    with pytest.raises(ValueError, match="healthy is 'yes' and not true or false"):
        read.check()
    read.after("TASK_RUNNING", status("a")).check()


MAPPED = network("172.17.0.2", [(31_500, 8080)])


@pytest.mark.parametrize(
    ("port", "container", "options", "expected"),
    [
        # A network of its own.
        ({"number": 8080}, network("10.0.0.5"), {}, ("10.0.0.5", 8080, 8080)),
        # None: the agent says where it is.
        ({"number": 31_500}, {}, {}, ("10.9.0.1", 31_500, 0)),
        # A bridge: the mapping says whose port it is.
        ({"number": 31_500}, MAPPED, {}, ("10.9.0.1", 31_500, 8080)),
        ({"number": 8080}, MAPPED, {}, ("172.17.0.2", 8080, 8080)),
        ({"number": 31_500}, MAPPED, {"address": "container"}, ("172.17.0.2", 8080, 8080)),
        ({"number": 8080}, MAPPED, {"address": "host"}, ("10.9.0.1", 31_500, 8080)),
        # Marathon says whose port it is.
        (
            {"number": 8080, "labels": labels({"network-scope": "container"})},
            network("10.0.0.5"),
            {},
            ("10.0.0.5", 8080, 8080),
        ),
        (
            {"number": 31_500, "labels": labels({"network-scope": "host"})},
            network("10.0.0.5"),
            {},
            ("10.9.0.1", 31_500, 0),
        ),
        # Both versions of IP.
        ({"number": 80}, network("fd00::1", (), "10.0.0.5"), {}, ("10.0.0.5", 80, 80)),
        (
            {"number": 80},
            network("10.0.0.5", (), "fd00::1"),
            {"family": "IPv6"},
            ("fd00::1", 80, 80),
        ),
    ],
)
def test_an_endpoint_is_where_container_mapping_and_scope_say(port, container, options, expected):
    """Address and number, and the number that callers know: 0 for one that was allocated."""
    ranges = {"range": [{"begin": 31_500, "end": 31_500}]}
    message = running(
        [{"name": "http", **port}],
        statuses=[status("web.1", container_status=container)],
        resources=[{"name": "ports", "type": "RANGES", "ranges": ranges}],
    )
    (made,) = instance(message, MesosConfig(**options)).ports
    assert expected == (made.address, made.number, made.service_number)


def test_a_task_on_an_unknown_agent_is_a_fault_only_without_an_address():
    """A container's own address is enough."""
    assert instance_of(read_task(task("a", ip="10.0.0.1")), None, CONFIG).ports
    with pytest.raises(ValueError, match=f"its agent '{AGENT}': is not known"):
        instance_of(read_task(task("a", ip="")), None, CONFIG)


def test_names_and_protocols_of_ports():
    """By the name, then by what is said of the transport, then by the settings; names are unique."""
    ports = [
        {"number": 1, "name": "grpc-api", "protocol": "tcp"},
        {"number": 2, "name": "Admin", "protocol": "tcp"},
        {"number": 3, "protocol": "udp"},
        {"number": 4, "protocol": "http"},
        {"number": 5, "name": "admin", "protocol": "tcp,udp"},
        {"number": 6},
    ]
    made = instance(running(ports), MesosConfig(protocol="TCP")).ports
    assert [
        ("grpc-api", Protocol.GRPC),
        ("admin", Protocol.TCP),
        ("udp-2", Protocol.UDP),
        ("http-3", Protocol.HTTP),
        ("admin-4", Protocol.TCP),
        ("tcp-5", Protocol.TCP),
    ] == [(one.name, one.protocol) for one in made]


def test_visibility_is_of_the_port_then_of_the_task():
    """What the settings do not ask for is left out."""
    ports = [
        {"number": 1, "name": "a"},
        {"number": 2, "name": "b", "visibility": "EXTERNAL"},
    ]
    message = running(ports, discovery={"visibility": "FRAMEWORK"})
    assert 2 == len(instance(message).ports)
    made = instance(message, MesosConfig(visibility=("EXTERNAL",)))
    assert ["b"] == [one.name for one in made.ports]


def test_ports_without_discovery_are_those_of_resources():
    """In ranges; a range that is none is a fault."""
    resources = [{"name": "ports", "ranges": {"range": [{"begin": 5, "end": 7}]}}]
    message = task("a", ip="") | {"resources": resources}
    del message["discovery"]
    assert [5, 6, 7] == [one.number for one in instance(message).ports]
    resources[0]["ranges"]["range"] = [{"begin": 7, "end": 5}]
    with pytest.raises(ValueError, match="the range of ports 7-5 is none"):
        instance(message)


def test_virtual_addresses_are_labels_of_ports():
    """Named ones and IPs; the first gives the service its number."""
    vips = labels({"VIP_0": "/web:80", "VIP_1": "10.1.2.3:81", "VIPER": "no"})
    (port,) = instance(running([{"number": 31_000, "labels": vips}])).ports
    assert (Vip("web", "", 80), Vip("", "10.1.2.3", 81)) == port.vips
    assert 80 == port.service_number
    with pytest.raises(ValueError, match="VIP_0 is 'web': write /name:port"):
        instance(running([{"number": 1, "labels": labels({"VIP_0": "web"})}]))


def test_locality_is_of_attributes_then_of_the_domain_then_of_the_task():
    """Each part for itself."""
    domain = {"fault_domain": {"region": {"name": "eu"}, "zone": {"name": "eu-1"}}}
    message = running([{"number": 1}], discovery={"location": "here"})
    assert Locality("", "here") == instance(message).locality
    assert Locality("eu", "eu-1") == instance(message, domain=domain).locality
    found = instance(message, domain=domain, attributes={"zone": "eu-2", "rack": "7"})
    assert Locality("eu", "eu-2", "7") == found.locality


def test_attributes_of_every_type_are_texts():
    """As operators write them."""
    message = agent()
    message["agent_info"]["attributes"] = [
        {"name": "a", "type": "SCALAR", "scalar": {"value": 1.5}},
        {"name": "b", "type": "RANGES", "ranges": {"range": [{"begin": 1, "end": 2}]}},
        {"name": "c", "type": "SET", "set": {"item": ["x", "y"]}},
        {"name": "d", "type": "TEXT", "text": {"value": "z"}},
    ]
    assert {"a": "1.5", "b": "1-2", "c": "x,y", "d": "z"} == read_agent(message).attributes


def test_a_malformed_agent_is_a_fault_of_tasks_that_need_it():
    """Those with an address of their own do without it."""
    message = agent()
    message["agent_info"]["attributes"] = [{"name": "a", "type": "SCALAR", "scalar": {}}]
    found = read_agent(message)
    assert AGENT == found.id
    assert instance_of(read_task(task("a", ip="10.0.0.1")), found, CONFIG).ports
    with pytest.raises(ValueError, match="the attribute 'a' is no number"):
        instance_of(read_task(task("a", ip="")), found, CONFIG)


@pytest.mark.parametrize("gone", ["framework_id", "task_id"])
def test_a_task_without_identity_cannot_be_read(gone):
    """Nobody could tell whose it is."""
    message = task("a")
    del message[gone]
    with pytest.raises(ValueError, match=f"{gone} is missing"):
        read_task(message)


@pytest.mark.parametrize(
    "more",
    [
        {"labels": []},
        {"statuses": {}},
        {"discovery": {"ports": []}},
        {"discovery": {"ports": {"ports": [{"number": "80"}]}}},
        {"resources": [{"name": "ports", "ranges": {"range": [1]}}]},
    ],
)
def test_a_task_that_is_malformed_is_read_with_its_fault(more):
    """Its identity is known, so that its service is."""
    found = read_task(task("a") | more)
    assert ("a", "web") == (found.key.id, found.name)
    with pytest.raises(ValueError, match="it is malformed: "):
        found.check()


def test_only_the_newest_status_can_be_a_fault():
    """As in the stream, where the next one mends it."""
    bad, good = status("a", healthy="yes"), status("a", ip="10.0.0.1")
    read_task(task("a", statuses=[bad, good])).check()
    with pytest.raises(ValueError, match="its status is malformed"):
        read_task(task("a", statuses=[good, bad])).check()
