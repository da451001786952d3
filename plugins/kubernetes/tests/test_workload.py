"""What made a pod."""

from __future__ import annotations

import pytest
from fake_api_server import endpoint, pod, service, slice_

from meshregistry_kubernetes._convert import (
    HOST_IP,
    POD_NAME,
    WORKLOAD_KIND,
    WORKLOAD_NAME,
    Conversion,
)
from meshregistry_kubernetes._keeping import KEEPERS
from meshregistry_kubernetes._objects import Broken
from meshregistry_kubernetes._store import Store
from meshregistry_kubernetes._workload import workload_of

HASH = {"pod-template-hash": "7d4b9c6f5"}


def owner(kind, name, **more):
    """One of the owners of a pod."""
    return {"kind": kind, "name": name, "controller": True, **more}


@pytest.mark.parametrize(
    ("labels", "owners", "expected"),
    [
        ({}, [], ("pods", "web-1")),
        ({}, [owner("StatefulSet", "db")], ("statefulsets", "db")),
        ({}, [owner("DaemonSet", "agent")], ("daemonsets", "agent")),
        ({}, [owner("Rollout", "canary")], ("rollouts", "canary")),
        (HASH, [owner("ReplicaSet", "web-7d4b9c6f5")], ("deployments", "web")),
        # Without the label, or with another one, nobody knows that there is a deployment.
        ({}, [owner("ReplicaSet", "web-7d4b9c6f5")], ("replicasets", "web-7d4b9c6f5")),
        ({}, [owner("ReplicaSet", "web-")], ("replicasets", "web-")),
        (HASH, [owner("ReplicaSet", "web-1")], ("replicasets", "web-1")),
        # Of the minute and, on older clusters, of the second.
        ({}, [owner("Job", "backup-29394720")], ("cronjobs", "backup")),
        ({}, [owner("Job", "backup-1600000000")], ("cronjobs", "backup")),
        ({}, [owner("Job", "backup-20260131")], ("jobs", "backup-20260131")),
        ({}, [owner("Job", "backup")], ("jobs", "backup")),
        # Others than the controller may be named, too; a node is none.
        (
            {},
            [owner("A", "a", controller=False), {"kind": "B", "name": "b"}, owner("Job", "c")],
            ("jobs", "c"),
        ),
        ({}, [owner("Node", "n1")], ("pods", "web-1")),
    ],
)
def test_the_controller_and_the_names_that_it_gives_tell(labels, owners, expected):
    """Kind in the plural, and name."""
    assert expected == workload_of("web-1", labels, owners)


def labels_of(document, *, pods=True):
    """The labels of an endpoint whose pod this is."""
    store = Store(Conversion(domain="x", trust_domain="td"), pod_wait=None)
    put = [
        ("services", service("web")),
        ("endpointslices", slice_("web", endpoint("10.0.0.1", "web-1"))),
        *([("pods", document)] if pods else []),
    ]
    for resource, one in put:
        store.put(resource, KEEPERS[resource](one))
    (record,) = store.take_all(0.0)
    return dict(record.endpoints[0].labels)


def test_endpoints_tell_it_in_labels():
    """With the pod's name and the address of its node; the pod's own labels cannot say otherwise."""
    document = pod("web-1", **HASH, **{POD_NAME: "another", "app": "web"})
    document["metadata"]["ownerReferences"] = [owner("ReplicaSet", "web-7d4b9c6f5")]
    document["status"]["hostIP"] = "192.168.0.7"
    assert {
        "app": "web",
        **HASH,
        POD_NAME: "web-1",
        HOST_IP: "192.168.0.7",
        WORKLOAD_NAME: "web",
        WORKLOAD_KIND: "deployments",
    } == labels_of(document)


def test_without_pods_the_slice_has_the_name():
    """What made the pod is then not known."""
    assert {POD_NAME: "web-1"} == labels_of(pod("web-1"), pods=False)


def test_an_owner_without_a_name_breaks_its_pod_alone():
    """As anything else that cannot be understood."""
    document = pod("web-1")
    document["metadata"]["ownerReferences"] = [{"kind": "Job", "controller": True}]
    broken = KEEPERS["pods"](document)
    assert isinstance(broken, Broken)
    assert "name" in broken.reason
