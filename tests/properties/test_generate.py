"""Laws of deriving: order does not matter, nothing dangles, incremental equals full."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from meshregistry.generate import Pipeline, World, dangling_references
from meshregistry.model import (
    CLUSTER,
    ENDPOINT,
    LISTENER,
    ROUTE,
    Catalog,
    CatalogEntry,
    Endpoint,
    Health,
    Hostname,
    Locality,
    Port,
    Protocol,
    ProxyKey,
    ProxyRole,
    Resolution,
    Service,
    ServiceRecord,
)
from meshregistry.rules import MeshSettings, RouterSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meshregistry.generate import Derived

MESSAGES = {
    CLUSTER: cluster_pb2.Cluster,
    ENDPOINT: endpoint_pb2.ClusterLoadAssignment,
    LISTENER: listener_pb2.Listener,
    ROUTE: route_pb2.RouteConfiguration,
}

# Small pools, so that hosts, ports, addresses and short names collide often.
HOSTS = ["a", "a.x.mesh.local", "a.x.svc.mesh.local", "b.x.mesh.local", "*", "*.x.mesh.local"]
NAMESPACES = ["", "x", "y"]
SOURCES = ["first", "second"]
ADDRESSES = ["10.0.0.1", "10.0.0.2", "127.0.0.1", "2001:db8::1", "n.example", "unix:///run/s"]
KEYS = [
    ProxyKey(role=ProxyRole.ROUTER),
    ProxyKey(role=ProxyRole.ROUTER, network="n"),
    ProxyKey(role=ProxyRole.SIDECAR, namespace="x", addresses=("10.0.0.1", "127.0.0.1")),
    ProxyKey(role=ProxyRole.SIDECAR, namespace="y", addresses=("2001:db8::1",), network="n"),
]

names = st.sampled_from(["p", "q"])
protocols = st.sampled_from(
    [Protocol.HTTP, Protocol.GRPC, Protocol.TCP, Protocol.UDP, Protocol.UNSUPPORTED]
)


@st.composite
def endpoints(draw: st.DrawFn) -> Endpoint:
    """One endpoint of a port that may not exist."""
    address = draw(st.sampled_from(ADDRESSES))
    return Endpoint(
        address=address,
        port=0 if address.startswith("unix") else draw(st.sampled_from([80, 81])),
        service_port=draw(names),
        network=draw(st.sampled_from(["", "n", "m"])),
        locality=draw(st.sampled_from([Locality(), Locality("r", "z1"), Locality("r", "z2")])),
        health=draw(st.sampled_from(Health)),
        weight=draw(st.sampled_from([0, 1, 7, 2**32])),
    )


@st.composite
def entries(draw: st.DrawFn) -> CatalogEntry:
    """One service with its endpoints."""
    numbers = draw(st.lists(st.sampled_from([80, 81]), min_size=1, max_size=2, unique=True))
    ports = [Port(name, n, draw(protocols)) for name, n in zip("pq", numbers, strict=False)]
    resolution = draw(st.sampled_from(Resolution))
    is_alias = resolution is Resolution.ALIAS
    service = Service(
        Hostname(draw(st.sampled_from(HOSTS))),
        ports=ports,
        resolution=resolution,
        alias_of=draw(st.sampled_from(HOSTS)) if is_alias else None,
        namespace=draw(st.sampled_from(NAMESPACES)),
        addresses=draw(st.lists(st.sampled_from(["10.96.0.1", "127.0.0.7"]), max_size=1)),
        export_to=draw(st.sampled_from([["*"], ["*"], ["."], ["y"], ["~"]])),
    )
    declared = {port.name for port in ports}
    found = draw(st.lists(endpoints(), max_size=4, unique_by=lambda one: one.key))
    record = ServiceRecord(service, [one for one in found if one.service_port in declared])
    return CatalogEntry(
        service=service,
        endpoints=record.endpoints,
        sources=tuple(draw(st.permutations(SOURCES))),
    )


catalogs = st.lists(entries(), max_size=7, unique_by=lambda entry: entry.key)
meshes = st.builds(
    MeshSettings,
    outbound_traffic_policy=st.sampled_from(["ALLOW_ANY", "REGISTRY_ONLY"]),
    router=st.builds(RouterSettings, http_port=st.sampled_from([80, 10000]), tcp=st.booleans()),
)


def world_of(some: Sequence[CatalogEntry], mesh: MeshSettings) -> World:
    """A world of these entries."""
    return World(catalog=Catalog.of(some), mesh=mesh, source_order=("first", "second"))


def said(derived: Derived) -> list[object]:
    """Everything that a derived set says: names, bytes, references, faults, in order."""
    return [
        [(one.key, one.bytes, one.references) for one in derived.resources],
        [str(fault) for fault in derived.faults],
        [derived.resources.content_version(url) for url in derived.resources.types()],
    ]


@given(some=catalogs, mesh=meshes, data=st.data())
@settings(max_examples=25)
def test_equal_worlds_give_equal_bytes(
    some: list[CatalogEntry], mesh: MeshSettings, data: st.DataObject
) -> None:
    """The order in which a world was put together never shows."""
    other = data.draw(st.permutations(some))
    for key in KEYS:
        first = Pipeline().derive(world_of(some, mesh), key)
        second = Pipeline().derive(world_of(other, mesh), key)
        assert said(first) == said(second)


@given(some=catalogs, mesh=meshes)
@settings(max_examples=60)
def test_a_set_is_whole_and_valid_for_any_world(
    some: list[CatalogEntry], mesh: MeshSettings
) -> None:
    """Nothing dangles, EDS clusters have assignments, domains and places are unique."""
    for key in KEYS:
        resources = Pipeline().derive(world_of(some, mesh), key).resources
        assert dangling_references(resources) == ()
        keys = [one.key for one in resources]
        assert len(set(keys)) == len(keys)
        places = []
        for one in resources:
            message = MESSAGES[one.type_url].FromString(one.bytes)
            assert message.SerializeToString(deterministic=True) == one.bytes
            if one.type_url == CLUSTER and message.type == cluster_pb2.Cluster.EDS:
                assert resources.get(ENDPOINT, one.name) is not None
            elif one.type_url == LISTENER:
                place = message.address.socket_address
                places.append((place.address, place.port_value))
            elif one.type_url == ROUTE:
                domains = [domain.lower() for v in message.virtual_hosts for domain in v.domains]
                assert len(set(domains)) == len(domains)
                assert all(host.domains for host in message.virtual_hosts)
                hosts = [host.name for host in message.virtual_hosts]
                assert len(set(hosts)) == len(hosts)
        assert len(set(places)) == len(places)


@given(some=catalogs, mesh=meshes, data=st.data())
@settings(max_examples=30)
def test_deriving_after_changes_equals_deriving_from_scratch(
    some: list[CatalogEntry], mesh: MeshSettings, data: st.DataObject
) -> None:
    """Whatever is added, changed and removed, and whoever asks: incremental is full."""
    pipeline = Pipeline()
    world = world_of(some, mesh)
    for generation in range(1, 5):
        for key in data.draw(st.lists(st.sampled_from(KEYS), unique=True), label="who asks"):
            assert said(pipeline.derive(world, key)) == said(Pipeline().derive(world, key))
        known = sorted(world.catalog.by_key)
        removed = data.draw(
            st.lists(st.sampled_from(known), max_size=2) if known else st.just([]), label="removed"
        )
        changed = data.draw(
            st.lists(entries(), max_size=2, unique_by=lambda entry: entry.key), label="changed"
        )
        ill = [
            evolve(entry, endpoints=())
            for entry in data.draw(
                st.lists(st.sampled_from(world.catalog.entries()), max_size=1)
                if known
                else st.just([]),
                label="loses its endpoints",
            )
            if entry.key not in {*removed, *(one.key for one in changed)}
        ]
        catalog = world.catalog.updated(
            [*changed, *ill],
            [key for key in removed if key not in {one.key for one in changed}],
            generation=generation,
        )
        world = evolve(world, catalog=catalog)
    for key in KEYS:
        assert said(pipeline.derive(world, key)) == said(Pipeline().derive(world, key))
