"""Route configurations, joined from encoded virtual hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from envoy.config.route.v3 import route_pb2

from meshregistry.generate import Scope, View
from meshregistry.generate._memo import Fragments
from meshregistry.generate._routes import HostRoute, fragment, outbound_routes, router_routes
from meshregistry.model import CLUSTER, Reference, Resolution
from meshregistry.rules import MeshSettings

if TYPE_CHECKING:
    from conftest import EntryOf
    from meshregistry.generate import Generated
    from meshregistry.model import CatalogEntry


def view(*entries: CatalogEntry, namespace: str = "", **mesh: object) -> View:
    """A view of these services, in this order of precedence."""
    scope = Scope(services=tuple(entry.service for entry in entries))
    return View(mesh=MeshSettings(**mesh), scope=scope, namespace=namespace)


def destinations(generated: Generated) -> dict[str, dict[str, str | int]]:
    """For each configuration: domain to cluster, or to the status of a direct answer."""
    return {
        one.name: {
            domain: host.routes[0].route.cluster or host.routes[0].direct_response.status
            for host in route_pb2.RouteConfiguration.FromString(one.bytes).virtual_hosts
            for domain in host.domains
        }
        for one in generated.resources
    }


def test_a_router_answers_404_to_hosts_that_no_service_has(entry_of: EntryOf) -> None:
    """Every HTTP port by host and port, the bare host, and nothing else."""
    generated = router_routes(view(entry_of("a.shop", "80/HTTP", "81/GRPC", "90/TCP")))
    assert destinations(generated) == {
        "http.10000": {
            "a.shop:80": "outbound|80||a.shop",
            "a.shop": "outbound|80||a.shop",
            "a.shop:10000": "outbound|80||a.shop",
            "a.shop:81": "outbound|81||a.shop",
            "*": 404,
        }
    }


def test_a_service_for_every_host_takes_what_is_unknown(entry_of: EntryOf) -> None:
    """The host `*` is a service like any other; then nothing is unknown."""
    (domains,) = destinations(router_routes(view(entry_of("*", "81/HTTP")))).values()
    assert domains["*"] == "outbound|81||*"


@pytest.mark.parametrize(
    ("policy", "last"), [("ALLOW_ANY", "PassthroughCluster"), ("REGISTRY_ONLY", 502)]
)
def test_sidecars_have_routes_by_port(entry_of: EntryOf, policy: str, last: str | int) -> None:
    """Each port's configuration knows the services of that port; the policy says the rest."""
    entries = entry_of("a.shop", "80/HTTP", "81/HTTP"), entry_of("b.shop", "80/HTTP")
    found = destinations(outbound_routes(view(*entries, outbound_traffic_policy=policy)))
    assert found == {
        "80": {
            "a.shop": "outbound|80||a.shop",
            "a.shop.": "outbound|80||a.shop",
            "b.shop": "outbound|80||b.shop",
            "b.shop.": "outbound|80||b.shop",
            "*": last,
        },
        "81": {"a.shop": "outbound|81||a.shop", "a.shop.": "outbound|81||a.shop", "*": last},
    }


def test_references_are_the_clusters_that_are_used(entry_of: EntryOf) -> None:
    """A direct answer needs no cluster."""
    (one,) = router_routes(view(entry_of("b.shop"), entry_of("a.shop"))).resources
    assert one.references == (
        Reference(CLUSTER, "outbound|80||a.shop"),
        Reference(CLUSTER, "outbound|80||b.shop"),
    )


def test_a_route_to_a_missing_cluster_is_answered_with_503(entry_of: EntryOf) -> None:
    """The other hosts keep their routes, and the fault is reported."""
    alias = entry_of("x.shop", resolution=Resolution.ALIAS, alias_of="gone.shop")
    generated = router_routes(view(alias, entry_of("a.shop")))
    (domains,) = destinations(generated).values()
    assert (domains["x.shop"], domains["a.shop"]) == (503, "outbound|80||a.shop")
    assert "x.shop:80 stands for gone.shop" in str(generated.faults[0])


def test_the_loser_of_a_domain_is_reported(entry_of: EntryOf) -> None:
    """A short name that another host has as its own leads to that one."""
    own = entry_of("pay.shop.mesh.local", namespace="shop")
    generated = outbound_routes(view(own, entry_of("pay"), namespace="shop"))
    assert destinations(generated)["80"]["pay"] == "outbound|80||pay"
    (fault,) = generated.faults
    assert "the domain 'pay' leads to pay and not to pay.shop.mesh.local" in str(fault)


def test_requests_are_retried_elsewhere_and_have_no_deadline() -> None:
    """What did not reach its endpoint is tried again; a timeout is nobody's default."""
    message = route_pb2.RouteConfiguration.FromString(fragment(HostRoute("a", ("a",), cluster="c")))
    action = message.virtual_hosts[0].routes[0].route
    assert "connect-failure" in action.retry_policy.retry_on.split(",")
    assert action.retry_policy.num_retries.value == 2
    assert action.HasField("timeout")
    assert action.timeout.seconds == 0


def test_the_cached_unit_is_the_encoded_virtual_host(entry_of: EntryOf) -> None:
    """A service that is added costs one encoding; the others' are taken as they are."""
    made: list[str] = []

    def counted(view_: View, fragments: Fragments) -> View:
        def keep(words: HostRoute, make: object) -> bytes:
            def count(route: HostRoute) -> bytes:
                made.append(route.name)
                return fragment(route)

            return fragments.keep(words, count)

        return View(mesh=view_.mesh, scope=view_.scope, keep=keep)

    first = Fragments()
    router_routes(counted(view(entry_of("a.shop"), entry_of("b.shop")), first))
    first.close()
    assert made == ["a.shop:80", "b.shop:80", "unknown:10000"]
    made.clear()
    router_routes(
        counted(view(entry_of("a.shop"), entry_of("aa.shop"), entry_of("b.shop")), Fragments(first))
    )
    assert made == ["aa.shop:80"]
