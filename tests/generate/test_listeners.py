"""Listeners of routers and sidecars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from envoy.config.core.v3 import base_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_pb2,
)
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2

from meshregistry.generate import OwnPort, Place, Scope, View
from meshregistry.generate._listeners import inbound, outbound_listeners, router_listeners
from meshregistry.model import CLUSTER, LISTENER, ROUTE, Reference, Resolution
from meshregistry.rules import MeshSettings, RouterSettings

if TYPE_CHECKING:
    from conftest import EntryOf
    from meshregistry.generate import Generated
    from meshregistry.model import CatalogEntry


def view(*entries: CatalogEntry, **facts: Any) -> View:
    """A view of these services, in this order of precedence."""
    scope = Scope(services=tuple(entry.service for entry in entries))
    return View(scope=scope, **{"mesh": MeshSettings(), **facts})


def own(entry: CatalogEntry, address: str, number: int) -> OwnPort:
    """The workload's port that serves the first port of a service."""
    port = entry.service.ports[0]
    return OwnPort(address=address, number=number, host=entry.service.host, port=port)


def listeners(generated: Generated) -> dict[str, listener_pb2.Listener]:
    """The listeners by name, decoded."""
    return {
        one.name: listener_pb2.Listener.FromString(one.bytes)
        for one in generated.resources
        if one.type_url == LISTENER
    }


def opened(listener: listener_pb2.Listener) -> Any:
    """The one filter's configuration: an HTTP connection manager or a TCP proxy."""
    (chain,) = listener.filter_chains
    (only,) = chain.filters
    for message in (hcm_pb2.HttpConnectionManager(), tcp_proxy_pb2.TcpProxy()):
        if only.typed_config.Unpack(message):
            return message
    pytest.fail(f"an unknown filter: {only.name}")


def test_a_router_listens_for_http_on_the_address_of_the_settings(entry_of: EntryOf) -> None:
    """One listener, whose routes come over ADS; TCP ports have none unless asked for."""
    mesh = MeshSettings(router=RouterSettings(address="0.0.0.0", http_port=8000))
    generated = router_listeners(view(entry_of("a.shop", "80/HTTP", "90/TCP"), mesh=mesh))
    (resource,) = generated.resources
    listener = listeners(generated)["0.0.0.0_8000"]
    assert resource.references == (Reference(ROUTE, "http.8000"),)
    assert listener.address.socket_address.address == "0.0.0.0"
    assert listener.address.socket_address.port_value == 8000
    manager = opened(listener)
    assert manager.rds.route_config_name == "http.8000"
    assert manager.rds.config_source.HasField("ads")
    assert manager.use_remote_address.value


def test_a_router_listens_for_tcp_where_asked(entry_of: EntryOf) -> None:
    """Each declared TCP port is bound on the router's address and leads to its cluster."""
    mesh = MeshSettings(router=RouterSettings(tcp=True))
    generated = router_listeners(view(entry_of("a.shop", "80/HTTP", "90/TCP"), mesh=mesh))
    found = listeners(generated)
    assert list(found) == ["127.0.0.1_10000", "127.0.0.1_90"]
    assert opened(found["127.0.0.1_90"]).cluster == "outbound|90||a.shop"
    assert generated.resources[1].references == (Reference(CLUSTER, "outbound|90||a.shop"),)


def test_a_tcp_listener_to_a_missing_cluster_is_omitted(entry_of: EntryOf) -> None:
    """An alias that leads nowhere has no listener, and is reported."""
    alias = entry_of("x.shop", "90/TCP", resolution=Resolution.ALIAS, alias_of="gone.shop")
    generated = router_listeners(view(alias, mesh=MeshSettings(router=RouterSettings(tcp=True))))
    assert list(listeners(generated)) == ["127.0.0.1_10000"]
    assert "the listener 127.0.0.1_90 is left out: x.shop stands for" in str(generated.faults[0])


def test_a_name_that_stands_for_a_tcp_service_takes_no_port_from_it(entry_of: EntryOf) -> None:
    """Both lead to one cluster, so that nothing is lost, and nothing is reported."""
    alias = entry_of("x.shop", "90/TCP", resolution=Resolution.ALIAS, alias_of="a.shop")
    generated = outbound_listeners(view(entry_of("a.shop", "90/TCP"), alias))
    assert opened(listeners(generated)["127.0.0.1_90"]).cluster == "outbound|90||a.shop"
    assert generated.faults == ()


def test_interception_none_binds_outbound_to_loopback(entry_of: EntryOf) -> None:
    """Outbound listeners bind 127.0.0.1 and the service's port; HTTP routes go by port."""
    found = listeners(outbound_listeners(view(entry_of("a.shop", "80/HTTP", "90/TCP"))))
    assert list(found) == ["127.0.0.1_80", "127.0.0.1_90"]
    assert opened(found["127.0.0.1_80"]).rds.route_config_name == "80"
    assert opened(found["127.0.0.1_90"]).cluster == "outbound|90||a.shop"
    assert {one.traffic_direction for one in found.values()} == {base_pb2.OUTBOUND}


def test_the_workloads_own_port_is_left_to_the_workload(entry_of: EntryOf) -> None:
    """Where the workload listens its sidecar does not; it would receive its own requests."""
    taken = (Place("127.0.0.1", 80),)
    generated = outbound_listeners(view(entry_of("a.shop", "80/HTTP", "90/TCP"), taken=taken))
    assert list(listeners(generated)) == ["127.0.0.1_90"]
    assert "the listener 127.0.0.1_80 is left out, because" in str(generated.faults[0])


def test_interception_none_binds_inbound_to_the_proxys_address(entry_of: EntryOf) -> None:
    """Inbound listeners bind the proxy's address and lead to 127.0.0.1, whatever the host."""
    a, db = entry_of("a.shop", "80/HTTP"), entry_of("db.shop", "90/TCP")
    generated = inbound(view(own=(own(a, "10.0.0.1", 8080), own(db, "10.0.0.1", 9090))))
    found = listeners(generated)
    assert list(found) == ["10.0.0.1_8080", "10.0.0.1_9090"]
    (host,) = opened(found["10.0.0.1_8080"]).route_config.virtual_hosts
    assert (host.name, list(host.domains)) == ("inbound|http|80", ["*"])
    assert host.routes[0].route.cluster == "inbound|8080||"
    assert opened(found["10.0.0.1_9090"]).cluster == "inbound|9090||"
    assert {one.traffic_direction for one in found.values()} == {base_pb2.INBOUND}
    names = [one.name for one in generated.resources if one.type_url == CLUSTER]
    assert names == ["inbound|8080||", "inbound|9090||"]


def test_two_services_at_one_port_share_the_inbound_listener(entry_of: EntryOf) -> None:
    """The first decides how it is spoken to; another manner of speaking is reported."""
    a, b, c = entry_of("a.shop"), entry_of("b.shop"), entry_of("c.shop", "80/GRPC")
    same = inbound(view(own=(own(a, "10.0.0.1", 80), own(b, "10.0.0.1", 80))))
    assert (list(listeners(same)), same.faults) == (["10.0.0.1_80"], ())
    other = inbound(view(own=(own(a, "10.0.0.1", 80), own(c, "10.0.0.1", 80))))
    assert list(listeners(other)) == ["10.0.0.1_80"]
    assert "speaks HTTP for a.shop and not GRPC for c.shop" in str(other.faults[0])


def test_each_address_of_a_proxy_is_bound(entry_of: EntryOf) -> None:
    """A workload with two addresses has a listener at each and one cluster."""
    a = entry_of("a.shop")
    generated = inbound(view(own=(own(a, "10.0.0.1", 80), own(a, "2001:db8::1", 80))))
    assert sorted(one.name for one in generated.resources) == [
        "10.0.0.1_80",
        "2001:db8::1_80",
        "inbound|80||",
    ]


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::"])
def test_an_inbound_listener_never_forwards_to_itself(entry_of: EntryOf, address: str) -> None:
    """A proxy at the address where its workload listens cannot listen there, too."""
    generated = inbound(view(own=(own(entry_of("a.shop"), address, 80),)))
    assert generated.resources == ()
    assert "it would forward to itself" in str(generated.faults[0])


def test_access_logs_are_written_where_the_mesh_says(entry_of: EntryOf) -> None:
    """Every listener logs to the file of the settings; without one none does."""
    entry = entry_of("a.shop", "80/HTTP", "90/TCP")
    logging = listeners(
        outbound_listeners(view(entry, mesh=MeshSettings(access_log_file="/dev/stdout")))
    )
    assert [len(opened(one).access_log) for one in logging.values()] == [1, 1]
    silent = listeners(outbound_listeners(view(entry)))
    assert [len(opened(one).access_log) for one in silent.values()] == [0, 0]
