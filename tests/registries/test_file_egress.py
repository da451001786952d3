"""EgressRule documents of 2017: a service by its DNS name."""

from __future__ import annotations

import pytest

from meshregistry.model import Resolution
from meshregistry.registries._file_documents import FileDocuments

HEAD = (
    "apiVersion: config.istio.io/v1alpha2\nkind: EgressRule\n"
    "metadata: {name: api, namespace: shop}\n"
)


def listing(text):
    """What a file with this document says."""
    documents = FileDocuments(trust_domain="mesh.local")
    documents.put("a.yaml", text.encode())
    return documents.listing()


def test_it_is_a_service_outside():
    """Its own name is what proxies look up."""
    found = listing(
        f"{HEAD}spec: {{destination: {{service: API.example}}, "
        "ports: [{port: 80, protocol: http}, {port: 5432, protocol: tcp}]}\n"
    )
    assert found.faults == ()
    (record,) = found.records
    service = record.service
    assert (service.host, service.namespace, service.is_external) == ("api.example", "shop", True)
    assert service.resolution is Resolution.DNS
    assert [(port.name, port.number) for port in service.ports] == [
        ("http-80", 80),
        ("tcp-5432", 5432),
    ]
    assert {(one.address, one.port) for one in record.endpoints} == {
        ("api.example", 80),
        ("api.example", 5432),
    }


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("{ports: [{port: 80, protocol: http}]}", "destination"),
        ("{destination: {service: a.x}}", "ports"),
        ("{destination: {service: '*.x'}, ports: [{port: 80, protocol: http}]}", "one host"),
        ("{destination: {service: 10.0.0.0/8}, ports: [{port: 80, protocol: tcp}]}", "one host"),
        ("{destination: {service: a.x}, ports: [{port: 443, protocol: https}]}", "mode: SIMPLE"),
        ("{destination: {service: a.x}, ports: [{port: 1, protocol: udp}]}", "write one of http"),
        (
            "{destination: {service: a.x}, ports: [{port: 1, protocol: tcp}, {port: 1, protocol: tcp}]}",
            "given twice",
        ),
        (
            "{destination: {service: a.x}, ports: [{port: 1, protocol: tcp}], useEgressProxy: true}",
            "no egress proxy",
        ),
    ],
)
def test_what_is_wrong_is_told(spec, reason):
    """And keeps the last good version."""
    found = listing(f"{HEAD}spec: {spec}\n")
    assert found.records == ()
    assert any(reason in fault.message for fault in found.faults), found.faults


def test_a_document_needs_a_name_a_version_and_a_spec():
    """As any other."""
    assert "no spec" in listing(HEAD).faults[0].message
    assert (
        "no metadata"
        in listing("kind: EgressRule\napiVersion: config.istio.io/v1alpha2\n").faults[0].message
    )
    assert "version" in listing(HEAD.replace("v1alpha2", "v1")).faults[0].message
