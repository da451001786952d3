"""WorkloadGroup documents, as Istio's users have them."""

from __future__ import annotations

import pytest

from meshregistry.model import Health, Locality
from meshregistry.registries._file_documents import FileDocuments
from meshregistry.registries._probe import GrpcCheck, HttpGet, Probe, TcpConnect

SERVICE = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: reviews, namespace: shop}
spec:
  hosts: [reviews.shop]
  ports: [{number: 80, name: http, protocol: HTTP}]
  location: MESH_INTERNAL
  resolution: STATIC
  workloadSelector: {labels: {app: reviews}}
---
"""
GROUP = """
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: reviews, namespace: shop}
spec:
  metadata: {labels: {app: reviews, version: v1}, annotations: {x: y}}
  template:
    ports: {http: 8080}
    network: vms
    locality: eu/a
    serviceAccount: reviews
    weight: 5
  probe:
    %s
---
"""
MEMBER = """
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata:
  name: vm-1
  namespace: shop
  annotations: {istio.io/autoRegistrationGroup: reviews}
spec: {address: 10.0.0.1}
"""
TCP = "tcpSocket: {port: 22}"


def listing(text):
    """What one file says."""
    documents = FileDocuments(trust_domain="mesh.local")
    documents.put("a.yaml", text.encode())
    return documents.listing()


def faults(text):
    """What is wrong with one file."""
    return [fault.message for fault in listing(text).faults]


def endpoint(text):
    """The one endpoint of a good file."""
    found = listing(text)
    assert [fault.message for fault in found.faults] == []
    ((one,),) = (record.endpoints for record in found.records)
    return one


def test_a_workload_takes_what_it_does_not_say_from_its_group():
    """Labels, ports, locality, network, account and weight."""
    one = endpoint(SERVICE + GROUP % TCP + MEMBER)
    assert ("10.0.0.1", 8080, "vms", 5) == (one.address, one.port, one.network, one.weight)
    assert {"app": "reviews", "version": "v1"} == dict(one.labels)
    assert Locality("eu", "a") == one.locality
    assert one.workload_identity == "spiffe://mesh.local/ns/shop/sa/reviews"


def test_what_a_workload_says_itself_counts():
    """A label alone replaces that label alone."""
    own = "address: 10.0.0.1, ports: {http: 9}, weight: 2, network: n, locality: us, labels: {version: v2}"
    one = endpoint(SERVICE + GROUP % TCP + MEMBER.replace("address: 10.0.0.1", own))
    assert (9, 2, "n", Locality("us")) == (one.port, one.weight, one.network, one.locality)
    assert {"app": "reviews", "version": "v2"} == dict(one.labels)


def test_an_owner_names_the_group_as_well_as_the_annotation():
    """Either is what Istio writes."""
    owned = MEMBER.replace(
        "annotations: {istio.io/autoRegistrationGroup: reviews}",
        "ownerReferences: [{kind: Pod, name: x}, {kind: WorkloadGroup, name: reviews}]",
    )
    assert endpoint(SERVICE + GROUP % TCP + owned).port == 8080


def test_labels_make_no_members():
    """A workload that merely looks like those of a group is not probed."""
    other = MEMBER.replace("autoRegistrationGroup", "other").replace(
        "spec: {", "spec: {labels: {app: reviews}, "
    )
    found = listing(SERVICE + GROUP % TCP + other)
    assert {} == dict(found.probed)
    ((one,),) = (record.endpoints for record in found.records)
    assert 80 == one.port


def test_a_group_of_another_namespace_is_none():
    """And is said to be missing, while the workload stands as it is."""
    found = listing(SERVICE + GROUP.replace("shop", "bank") % TCP + MEMBER)
    (fault,) = found.faults
    assert "there is no WorkloadGroup reviews in its namespace" in fault.message
    assert {} == dict(found.probed)


def test_health_is_what_probes_have_found():
    """Of every endpoint of a workload that is probed, and of no other."""
    found = listing(
        SERVICE
        + GROUP % TCP
        + MEMBER
        + "---\n"
        + MEMBER.replace("vm-1", "vm-2")
        .replace("istio.io/autoRegistrationGroup: reviews", "x: y")
        .replace("address: 10.0.0.1", "address: 10.0.0.2, labels: {app: reviews}")
    )
    assert [] == list(found.faults)
    (target,) = set(found.probed.values())
    assert ("10.0.0.1", Probe(check=TcpConnect(22))) == (target.address, target.probe)
    (record,) = found.with_health(lambda _: Health.UNHEALTHY)
    health = {one.address: one.health for one in record.endpoints}
    assert {"10.0.0.1": Health.UNHEALTHY, "10.0.0.2": Health.HEALTHY} == health


@pytest.mark.parametrize(
    ("text", "probe"),
    [
        (
            (
                "{httpGet: {port: 80, path: healthz, host: 127.0.0.1, scheme: HTTPS, "
                "httpHeaders: [{name: A, value: b}]}, initialDelaySeconds: 5, timeoutSeconds: 3, "
                "periodSeconds: 4, successThreshold: 2, failureThreshold: 1}"
            ),
            Probe(
                check=HttpGet(80, "/healthz", "", "https", (("A", "b"),)),
                initial_delay=5.0,
                timeout=3.0,
                period=4.0,
                successes=2,
                failures=1,
            ),
        ),
        ("{tcpSocket: {port: 1, host: 192.0.2.1}}", Probe(check=TcpConnect(1, "192.0.2.1"))),
        ("{tcpSocket: {port: 1, host: localhost}}", Probe(check=TcpConnect(1))),
        ("{grpc: {port: 1, service: s}, periodSeconds: 0}", Probe(check=GrpcCheck(1, "s"))),
    ],
)
def test_probes_are_written_as_in_kubernetes(text, probe):
    """With its defaults; a loopback host is the workload and never the pilot."""
    group = GROUP.replace("probe:\n    %s", f"probe: {text}")
    (target,) = set(listing(SERVICE + group + MEMBER).probed.values())
    assert probe == target.probe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "{exec: {command: [ls]}}",
            (
                "spec.probe.exec: exec is refused: the pilot probes from outside, and the command "
                "would run on the pilot's machine and not on the workload's; "
                "write httpGet, tcpSocket or grpc"
            ),
        ),
        ("{}", "spec.probe: nothing is asked; write one of httpGet, tcpSocket or grpc"),
        (
            "{tcpSocket: {port: 1}, grpc: {port: 1}}",
            "spec.probe: several things are asked; write one of httpGet, tcpSocket or grpc",
        ),
        ("{httpGet: {port: 0}}", "spec.probe.httpGet.port: must be >= 1: 0"),
        ("{tcpSocket: {}}", "spec.probe.tcpSocket.port: the key is missing; add port:"),
    ],
)
def test_a_wrong_probe_is_a_fault_at_its_place(text, message):
    """And the group is not taken."""
    found = listing(GROUP.replace("probe:\n    %s", f"probe: {text}"))
    (fault,) = found.faults
    assert message in fault.message.replace("'port' ", "")
    assert () == found.groups


def test_a_template_has_no_address():
    """Of a group there are many machines."""
    (fault,) = faults(GROUP.replace("network: vms", "address: 10.0.0.1") % TCP)
    assert "address" in fault


def test_a_broken_group_keeps_its_last_good_version():
    """Its workloads go on being probed as before."""
    documents = FileDocuments(trust_domain="mesh.local")
    documents.put("a.yaml", (SERVICE + GROUP % TCP + MEMBER).encode())
    before = documents.listing()
    broken = SERVICE + GROUP % "exec: {command: [ls]}" + MEMBER
    documents.put("a.yaml", broken.encode())
    after = documents.listing()
    assert len(after.faults) == 1
    assert before.probed == after.probed != {}
