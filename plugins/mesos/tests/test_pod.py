"""Facts of pods."""

from __future__ import annotations

import pytest
from fake_marathon import pod

from meshregistry.model import Health, Locality
from meshregistry_mesos import MarathonConfig
from meshregistry_mesos._pod import read_pod
from meshregistry_mesos._run_spec import outcome

CONFIG = MarathonConfig()


def read(found, memory=None, **options):
    """What a pod is."""
    return read_pod(found, MarathonConfig(**options), memory or {})


def places(found, **options):
    """Where its instances answer."""
    spec = read(found, **options)
    assert () == spec.faults
    return [(port.address, port.number) for one in spec.instances for port in one.ports]


def test_a_pod_is_a_service():
    """Its containers' endpoints are ports, its labels those of its instances."""
    spec = read(pod("/shop/web", "10.0.0.1", "10.0.0.2"))
    (record,) = outcome(spec, CONFIG).records
    assert ("/shop/web", "web-shop.marathon.mesos") == (record.key, record.service.host)
    assert [("http", 8080)] == [(one.name, one.number) for one in record.service.ports]
    assert [("10.0.0.1", 8080), ("10.0.0.2", 8080)] == [
        (one.address, one.port) for one in record.endpoints
    ]
    assert {Locality("eu", "eu-1")} == {one.locality for one in record.endpoints}
    assert {"tier": "pod"} == dict(record.endpoints[0].labels)


@pytest.mark.parametrize("mode", ["host", "container/bridge"])
def test_without_an_address_of_its_own_it_answers_at_its_host(mode):
    """At the port that was allocated; the settings may ask for that in any case."""
    assert [("10.9.0.1", 31_000)] == places(pod("/web", "10.0.0.1", mode=mode))
    assert [("10.9.0.1", 31_000)] == places(pod("/web", "10.0.0.1"), address="host")


def test_an_instance_without_an_address_is_left_out():
    """And named."""
    spec = read(pod("/web", ""))
    assert "it has no address of its own for the endpoint 'http'" in spec.faults[0]


@pytest.mark.parametrize(
    ("healthy", "status", "state", "expected"),
    [
        (None, "STABLE", "TASK_RUNNING", Health.HEALTHY),
        (True, "STABLE", "TASK_RUNNING", Health.HEALTHY),
        (False, "DEGRADED", "TASK_RUNNING", Health.UNHEALTHY),
        (None, "DEGRADED", "TASK_KILLING", Health.DRAINING),
        (None, "DEGRADED", "TASK_UNREACHABLE", Health.UNHEALTHY),
        (None, "PENDING", "TASK_STAGING", None),
        (None, "STAGING", "TASK_STAGING", None),
        (None, "TERMINAL", "TASK_KILLED", None),
    ],
)
def test_health_is_of_status_and_checks(healthy, status, state, expected):
    """Of an instance as a whole: its containers come and go together."""
    found = pod("/web", "10.0.0.1", healthy=healthy)
    found["instances"][0]["status"] = status
    found["instances"][0]["containers"][0]["status"] = state
    assert [expected] * (expected is not None) == [one.health for one in read(found).instances]


def test_a_check_that_has_said_nothing_is_not_passed():
    """Unless it had said something before."""
    found = pod("/web", "10.0.0.1", healthy=True)
    del found["instances"][0]["containers"][0]["endpoints"][0]["healthy"]
    (id_,) = [one["id"] for one in found["instances"]]
    assert [Health.UNHEALTHY] == [one.health for one in read(found).instances]
    assert [Health.HEALTHY] == [one.health for one in read(found, {id_: True}).instances]


def test_a_container_that_does_not_run_has_no_ports():
    """Those of the others are served."""
    found = pod("/web", "10.0.0.1")
    other = {"name": "admin", "endpoints": [{"name": "admin", "containerPort": 9000}]}
    found["spec"]["containers"].append(other)
    found["instances"][0]["containers"].append(
        {"name": "admin", "status": "TASK_FAILED", "endpoints": [{"name": "admin"}]}
    )
    assert [("10.0.0.1", 8080)] == places(found)
    found["instances"][0]["containers"][1]["status"] = "TASK_RUNNING"
    assert [("10.0.0.1", 8080), ("10.0.0.1", 9000)] == places(found)


def test_virtual_addresses_are_labels_of_endpoints():
    """As of the ports of apps."""
    found = pod("/web", "10.0.0.1")
    found["spec"]["containers"][0]["endpoints"][0]["labels"] = {"VIP_0": "/front:80"}
    own, vip = outcome(read(found), CONFIG).records
    assert [80] == [one.number for one in own.service.ports]
    assert "front.marathon.l4lb.thisdcos.directory" == vip.service.host


def test_a_malformed_pod_is_refused():
    """With what is wrong."""
    with pytest.raises(ValueError, match="spec is 1 and not an object"):
        read(pod("/web", "10.0.0.1", spec=1))
