"""ServiceEntry and WorkloadEntry documents, as Istio's users have them."""

from __future__ import annotations

import pytest

from meshregistry.model import Protocol, Resolution
from meshregistry.registries._file_documents import FileDocuments

ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: e, namespace: shop}}
spec:
  hosts: [db.example.com]
  ports: [{{number: 80, name: http, protocol: HTTP, targetPort: 8080}}]
  {more}
"""


def listing(*texts):
    """What files say together, in this order of names."""
    documents = FileDocuments(trust_domain="mesh.local")
    for index, text in enumerate(texts):
        documents.put(f"{index}.yaml", text.encode())
    return documents.listing()


def records(*texts):
    """The records of good files by key."""
    found = listing(*texts)
    assert [fault.message for fault in found.faults] == []
    return {record.key: record for record in found.records}


def only(more):
    """The record of one good ServiceEntry."""
    (record,) = records(ENTRY.format(more=more)).values()
    return record


def test_a_service_entry_is_one_record_for_each_host():
    """With all its addresses, ports, labels and visibility; the keys are stable."""
    found = records("""
apiVersion: networking.istio.io/v1beta1
kind: ServiceEntry
metadata:
  name: external
  namespace: shop
  labels: {team: a}
  uid: 0000
  annotations: {x: y}
spec:
  hosts: [a.example.com, b.example.com]
  addresses: [192.0.2.1, 192.0.2.2/32, "fd00::1"]
  ports:
  - {number: 443, name: tls, protocol: TLS}
  - {number: 80, name: http-web}
  location: MESH_INTERNAL
  resolution: STATIC
  endpoints:
  - address: 10.0.0.1
    ports: {tls: 8443}
    labels: {version: v1}
    locality: eu/eu-1/a
    network: n1
    weight: 3
    serviceAccount: db
  exportTo: ["."]
status: {}
""")
    assert list(found) == [
        "ServiceEntry/shop/external/a.example.com",
        "ServiceEntry/shop/external/b.example.com",
    ]
    for record in found.values():
        service, (first, second) = record.service, record.endpoints
        assert (service.namespace, service.is_external) == ("shop", False)
        assert service.addresses == ("192.0.2.1", "192.0.2.2", "fd00::1")
        assert ["http-web:80/HTTP", "tls:443/TLS"] == [str(port) for port in service.ports]
        assert (service.export_to, dict(service.labels)) == ((".",), {"team": "a"})
        assert {"tls": 8443, "http-web": 80} == {e.service_port: e.port for e in (first, second)}
        assert (first.network, first.weight, str(first.locality)) == ("n1", 3, "eu/eu-1/a")
        assert first.workload_identity == "spiffe://mesh.local/ns/shop/sa/db"
        assert dict(first.labels) == {"version": "v1"}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("NONE", Resolution.PASSTHROUGH),
        ("STATIC", Resolution.EDS),
        ("DNS", Resolution.DNS),
        ("DNS_ROUND_ROBIN", Resolution.DNS),
    ],
)
def test_resolutions(written, meant):
    """Istio's four that we know are three of ours."""
    assert meant is only(f"resolution: {written}").service.resolution


def test_what_is_left_out_has_istios_default():
    """Outside the mesh, no resolution, visible everywhere, no endpoints."""
    record = only("")
    assert record.service.is_external
    assert record.service.resolution is Resolution.PASSTHROUGH
    assert (record.service.export_to, record.endpoints) == (("*",), ())


def test_dns_without_endpoints_asks_for_the_host_itself():
    """At the target port."""
    assert ["db.example.com:8080"] == [str(e) for e in only("resolution: DNS").endpoints]


def test_the_target_port_counts_unless_the_endpoint_has_its_own():
    """Order: the endpoint's port of that name, the target port, the number."""
    record = only(
        "{resolution: STATIC, endpoints: [{address: 10.0.0.1}, {address: 10.0.0.2, ports: {http: 1}}]}"[
            1:-1
        ].replace(", endpoints", "\n  endpoints")
    )
    assert ["10.0.0.1:8080", "10.0.0.2:1"] == [str(endpoint) for endpoint in record.endpoints]


def test_a_unix_socket_is_an_endpoint_of_one_port():
    """Its port is 0."""
    record = only("resolution: STATIC\n  endpoints: [{address: 'unix:///run/db'}]")
    assert ["unix:///run/db"] == [str(endpoint) for endpoint in record.endpoints]


WORKLOAD = """
apiVersion: networking.istio.io/v1alpha3
kind: WorkloadEntry
metadata: {{name: {name}, namespace: {namespace}, labels: {{zone: a}}}}
spec: {{address: {address}, labels: {{app: db, {labels}}}}}
"""
SELECTING = ENTRY.format(more="resolution: STATIC\n  workloadSelector: {labels: {app: db, v: v1}}")


def workload(name, address, *, namespace="shop", labels="v: v1"):
    """A WorkloadEntry."""
    return WORKLOAD.format(name=name, address=address, namespace=namespace, labels=labels)


def test_a_selector_finds_workloads_by_labels_in_its_namespace():
    """In any file of the source; labels of the metadata count too."""
    (record,) = records(
        workload("w1", "10.0.0.1"),
        SELECTING,
        workload("w2", "10.0.0.2", labels="v: v2"),
        workload("w3", "10.0.0.3", namespace="other"),
        workload("w4", "10.0.0.4"),
    ).values()
    assert ["10.0.0.1:8080", "10.0.0.4:8080"] == [str(endpoint) for endpoint in record.endpoints]
    assert dict(record.endpoints[0].labels) == {"app": "db", "v": "v1", "zone": "a"}


def test_a_broken_workload_keeps_its_last_good_version():
    """The service does not lose the endpoint while somebody edits it."""
    documents = FileDocuments(trust_domain="mesh.local")
    documents.put("e.yaml", SELECTING.encode())
    documents.put("w.yaml", workload("w", "10.0.0.1").encode())
    documents.put("w.yaml", workload("w", "10.0.0.").encode())
    (record,) = documents.listing().records
    assert ["10.0.0.1:8080"] == [str(endpoint) for endpoint in record.endpoints]
    assert "w.yaml:5:17: spec.address: '10.0.0.' is not an IPv4 address" in str(
        documents.listing().faulty[0]
    )


def test_a_broken_service_entry_keeps_its_last_good_version():
    """Known by its name, whatever has become of its hosts."""
    documents = FileDocuments(trust_domain="mesh.local")
    documents.put("e.yaml", SELECTING.encode())
    documents.put("e.yaml", SELECTING.replace("db.example.com", "db example").encode())
    (record,) = documents.listing().records
    assert record.key == "ServiceEntry/shop/e/db.example.com"
    assert ["e.yaml:6"] == [fault.key for fault in documents.listing().faulty]


def test_a_list_of_objects_is_read_item_by_item():
    """As a cluster's tool prints them."""
    found = records("""
apiVersion: v1
kind: List
items:
- apiVersion: networking.istio.io/v1
  kind: ServiceEntry
  metadata: {name: a}
  spec: {hosts: [a.x], ports: [{number: 1, name: tcp}]}
- apiVersion: networking.istio.io/v1
  kind: ServiceEntry
  metadata: {name: b}
  spec: {hosts: [b.x], ports: [{number: 1, name: tcp}]}
""")
    assert ["ServiceEntry/a/a.x", "ServiceEntry/b/b.x"] == list(found)
    assert found["ServiceEntry/a/a.x"].service.namespace is None
    assert found["ServiceEntry/a/a.x"].service.ports[0].protocol is Protocol.TCP


def test_two_workloads_at_one_address_are_one_endpoint():
    """The first counts, the other is reported; the record stays."""
    found = listing(
        SELECTING, workload("w1", "10.0.0.1"), workload("w2", "10.0.0.1", labels="v: v1, x: y")
    )
    assert ["10.0.0.1:8080"] == [str(e) for record in found.records for e in record.endpoints]
    assert ["10.0.0.1:8080 is given twice, with different values"] == [
        f.reason for f in found.faults
    ]


def test_a_unix_socket_that_a_selector_finds_needs_one_port():
    """It is left out and reported; the other workloads serve."""
    two = SELECTING.replace("ports: [", "ports: [{number: 1, name: tcp}, ")
    found = listing(two, workload("w1", "unix:///run/x"), workload("w2", "10.0.0.1"))
    assert ["10.0.0.1:1", "10.0.0.1:8080"] == sorted(
        str(e) for record in found.records for e in record.endpoints
    )
    assert ["a Unix socket needs exactly one port, and there are 2"] == [
        fault.reason for fault in found.faults
    ]


def test_what_we_cannot_do_is_said_and_the_rest_is_done():
    """Address ranges and the verification of names are reported, the record is there."""
    found = listing(
        ENTRY.format(more="addresses: [192.0.2.0/24, 192.0.2.1]\n  subjectAltNames: [x]")
    )
    (record,) = found.records
    assert record.service.addresses == ("192.0.2.1",)
    assert [
        "the range 192.0.2.0/24 is left out: a service has single addresses",
        "the names are not verified yet",
    ] == [fault.reason for fault in found.faults]
    assert [fault.key for fault in found.faulty] == ["0.yaml:2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            ENTRY.format(more="").replace("io/v1", "io/v2"),
            "apiVersion: is not a version that we read; write networking.istio.io/v1",
        ),
        (ENTRY.format(more="resolution: STATC"), "spec.resolution: 'STATC' is not one of"),
        (
            ENTRY.format(more="resolutoin: DNS"),
            "spec.resolutoin: unknown key; did you mean resolution?",
        ),
        (
            ENTRY.format(more="resolution: STATIC\n  endpoints: [{address: a.b}]"),
            "spec.endpoints[0]: resolution STATIC needs an IP address, not a.b; write resolution: DNS",
        ),
        (
            ENTRY.format(more="endpoints: [{address: 10.0.0.1}]"),
            "spec.endpoints: resolution NONE has no endpoints; write resolution: STATIC",
        ),
        (
            ENTRY.format(
                more="resolution: STATIC\n  endpoints: [{address: 10.0.0.1, ports: {htp: 1}}]"
            ),
            "spec.endpoints[0]: the service has no port htp; did you mean http?",
        ),
        (
            SELECTING + "  endpoints: [{address: 10.0.0.1}]\n",
            "spec.endpoints: endpoints and workloadSelector exclude each other; keep one",
        ),
        (
            ENTRY.format(more="workloadSelector: {labels: {}}"),
            "spec.workloadSelector.labels: Length of",
        ),
        (
            ENTRY.format(more="resolution: DNS")
            .replace("db.example", "'*.example")
            .replace("com]", "com']"),
            "spec.hosts: the wildcard *.example.com cannot be resolved by DNS",
        ),
        (
            ENTRY.format(more="resolution: STATIC\n  endpoints: [{address: 'unix:///x'}]").replace(
                "ports: [", "ports: [{number: 1, name: tcp}, "
            ),
            "spec.endpoints[0]: a Unix socket needs exactly one port, and there are 2",
        ),
        (
            ENTRY.format(
                more="resolution: STATIC\n  endpoints: [{address: 10.0.0.1, ports: {http: 0}}]"
            ),
            "spec.endpoints[0].ports: the port http is 0: write a number from 1 to 65535",
        ),
        (
            ENTRY.format(more="").replace("ports: [", "ports: [{number: 1, name: http}, "),
            "spec: the service db.example.com has two ports of the name http",
        ),
        (ENTRY.format(more="").replace("8080", "0"), "spec.ports[0].targetPort: must be >= 1"),
        (
            ENTRY.format(more="addresses: [[x]]"),
            "spec.addresses[0]: must be an address, not a list",
        ),
        (
            ENTRY.format(more="resolution: STATIC\n  endpoints: [10.0.0.1]"),
            "spec.endpoints[0]: must be a mapping, not a text",
        ),
        (ENTRY.format(more="addresses: [x y]"), "spec.addresses[0]: 'x y' is not a host name"),
        ("kind: ServiceEntry\nmetadata: {name: a}\nspec: {}\n", "is not a version that we read"),
        (
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nspec: {}\n",
            "the document has no metadata",
        ),
        (
            "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: a}\n",
            "the document has no spec; add spec:",
        ),
    ],
)
def test_what_is_wrong_names_the_field_and_the_remedy(text, message):
    """The first fault of a broken document; nothing comes out of it."""
    found = listing(text)
    assert found.records == ()
    first = found.faults[0]
    assert first.message.partition(": ")[2].startswith(message), first.message
    assert first.line
