"""Reviewed worlds: what each proxy is sent, as JSON.

Each folder beside this file is a case: a world, a proxy, and what is expected. Set
``REWRITE_GOLDEN=1`` to write the expectations anew, and review the difference.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from google.protobuf import json_format

from meshregistry.documents import Document, parse, rule_document
from meshregistry.generate import Derived, Pipeline, World, dangling_references
from meshregistry.model import (
    Catalog,
    CatalogEntry,
    Endpoint,
    Health,
    Locality,
    Node,
    Port,
    Protocol,
    Proxy,
    Resolution,
    Service,
    ServiceRecord,
    type_traits,
)
from meshregistry.rules import (
    MeshSettings,
    MixerSettings,
    RouterSettings,
    RuleSet,
    TracingSettings,
    read_rules,
)

HERE = Path(__file__).parent
CASES = sorted(path.parent.name for path in HERE.glob("*/world.yaml"))
MESSAGES = {
    "cds": cluster_pb2.Cluster,
    "eds": endpoint_pb2.ClusterLoadAssignment,
    "lds": listener_pb2.Listener,
    "rds": route_pb2.RouteConfiguration,
}


def read_endpoint(words: str | dict[str, Any]) -> Endpoint:
    """An endpoint as text, or field by field."""
    if isinstance(words, str):
        return Endpoint.parse(words)
    plain = {"port": 0, **words}
    if "locality" in plain:
        plain["locality"] = Locality.parse(plain["locality"])
    if "health" in plain:
        plain["health"] = Health(plain["health"])
    return Endpoint(**plain)


def read_entry(words: dict[str, Any]) -> CatalogEntry:
    """A service with its endpoints."""
    plain = dict(words)
    source = plain.pop("source", "here")
    endpoints = [read_endpoint(one) for one in plain.pop("endpoints", ())]
    ports = [
        Port(one["name"], one["number"], Protocol.parse(one["protocol"]))
        for one in plain.pop("ports")
    ]
    resolution = Resolution(plain.pop("resolution", "EDS"))
    record = ServiceRecord(Service(ports=ports, resolution=resolution, **plain), endpoints)
    return CatalogEntry(service=record.service, endpoints=record.endpoints, sources=(source,))


def read_world(path: Path) -> World:
    """The world of a case."""
    words = yaml.safe_load(path.read_text())
    mesh = words.get("mesh", {})
    if "router" in mesh:
        mesh["router"] = RouterSettings(**mesh["router"])
    if "tracing" in mesh:
        mesh["tracing"] = TracingSettings(**mesh["tracing"])
    if "mixer" in mesh:
        mesh["mixer"] = MixerSettings(**mesh["mixer"])
    return World(
        catalog=Catalog.of(read_entry(one) for one in words["services"]),
        mesh=MeshSettings(**mesh),
        source_order=words.get("source_order", ()),
        rules=read_rule_set(path.with_name("rules.yaml")),
    )


def read_rule_set(path: Path) -> RuleSet:
    """The rules of a case, which must have neither errors nor warnings."""
    if not path.exists():
        return RuleSet()
    readings = [
        read_rules(rule_document(one.root), "mesh.local")
        for one in parse(path.read_text(), file=path.name)
        if isinstance(one, Document)
    ]
    assert [] == [fault for one in readings for fault in (*one.errors, *one.warnings)]
    return RuleSet.of(rule for one in readings for rule in one.rules)


def shown(derived: Derived) -> dict[str, Any]:
    """A derived set as JSON: messages by type, then faults."""
    document: dict[str, Any] = {}
    for url in derived.resources.types():
        name = type_traits(url).name
        document[name] = [
            json_format.MessageToDict(
                MESSAGES[name].FromString(resource.bytes), preserving_proto_field_name=True
            )
            for resource in derived.resources.resources(url)
        ]
    document["faults"] = [str(fault) for fault in derived.faults]
    return document


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Path:
    """The folder of a case."""
    return HERE / request.param


@pytest.fixture
def derived(case: Path) -> Derived:
    """What the proxy of a case is sent."""
    world = read_world(case / "world.yaml")
    claims = yaml.safe_load((case / "proxy.yaml").read_text())
    locality = Locality(**claims.pop("locality", {}))
    proxy = Proxy.identify(Node(**claims, locality=locality))
    pipeline = Pipeline()
    return pipeline.derive(world, pipeline.proxy_key(world, proxy))


def test_a_proxy_is_sent_what_was_reviewed(case: Path, derived: Derived) -> None:
    """The set of each case is the one that was reviewed, field by field."""
    path = case / "expected.json"
    if os.environ.get("REWRITE_GOLDEN") == "1":
        path.write_text(json.dumps(shown(derived), indent=1) + "\n")
    assert json.loads(path.read_text()) == shown(derived)


def test_every_reference_of_a_case_resolves(derived: Derived) -> None:
    """No resource of a case needs one that is not there."""
    assert dangling_references(derived.resources) == ()


def test_bytes_are_those_of_the_canonical_serialisation(derived: Derived) -> None:
    """Joined resources are byte for byte what serialising the whole message gives."""
    for resource in derived.resources:
        message = MESSAGES[type_traits(resource.type_url).name].FromString(resource.bytes)
        assert message.SerializeToString(deterministic=True) == resource.bytes
