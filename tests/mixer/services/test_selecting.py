"""Which services a binding is for."""

from __future__ import annotations

import pytest

from meshregistry.mixer import AttributeBag
from meshregistry.mixer.services import Binding, ServiceSelector

WEB = AttributeBag(
    {
        "destination.service.host": "web.shop.svc.mesh.local",
        "destination.service.name": "web",
        "destination.service.namespace": "shop",
        "destination.labels": {"app": "web", "version": "v1"},
    }
)
HOST = AttributeBag({"destination.service.host": "web.shop"})
OLD = AttributeBag({"destination.service": "Web.Shop.svc.mesh.local"})
NONE = AttributeBag()


@pytest.mark.parametrize(
    ("words", "matching"),
    [
        ({"host": "*"}, [WEB, HOST, OLD, NONE]),
        ({"host": "*.mesh.local"}, [WEB, OLD]),
        ({"host": "*.shop"}, [HOST]),
        ({"host": "WEB.shop.svc.mesh.local"}, [WEB, OLD]),
        ({"host": "web"}, []),
        ({"name": "web", "namespace": "shop"}, [WEB, HOST, OLD]),
        ({"name": "web", "namespace": "other"}, []),
        ({"name": "we", "namespace": "shop"}, []),
        ({"name": "web", "namespace": "shop", "domain": "svc.mesh.local"}, [WEB, OLD]),
        ({"name": "web", "namespace": "shop", "domain": "svc.else"}, []),
        ({"name": "web", "namespace": "shop", "labels": {"version": "v1"}}, [WEB]),
        ({"host": "*", "labels": {"version": "v2"}}, []),
        ({"host": "*", "labels": {"app": "web", "version": "v1"}}, [WEB]),
    ],
)
def test_a_service_is_known_by_what_is_said_of_it(words, matching):
    """By name and namespace, else by its host; labels have to be there, all of them."""
    selector = ServiceSelector(**words)
    assert matching == [one for one in (WEB, HOST, OLD, NONE) if selector.is_match(one)]


def test_a_host_that_only_begins_alike_is_another():
    """What follows the namespace is nothing, or begins with ``svc``."""
    selector = ServiceSelector(name="web", namespace="shop")
    for host in ("web.shopping", "web.shop.example.com", "web", ""):
        assert not selector.is_match(AttributeBag({"destination.service.host": host}))


def test_a_binding_is_for_any_of_its_services():
    """One is enough."""
    binding = Binding(
        services=(ServiceSelector(host="a"), ServiceSelector(host="web.shop")), specs=("x",)
    )
    assert [False, True] == [binding.is_match(WEB), binding.is_match(HOST)]
