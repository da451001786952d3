"""Rules as custom resources: what collections say together."""

from __future__ import annotations

import pytest

from meshregistry.errors import RegistryUnavailable
from meshregistry_kubernetes._collection import Collection
from meshregistry_kubernetes._rules import _Documents, _View, resources_of
from meshregistry_kubernetes._status import Refused, Status

GATEWAYS = Collection(resource="gateways", group="g", version="v1")
ROUTES = Collection(resource="routes", group="g", version="v1")


class Sink:
    """Remembers what it is told."""

    def __init__(self):
        self.told = []

    def replace(self, units):
        self.told.append([unit.name for unit in units])

    def put(self, unit):
        self.told.append(unit.name)

    def remove(self, name):
        self.told.append(("gone", name))

    def confirm(self):
        self.told.append("confirmed")

    def degrade(self, error):
        self.told.append(str(error))


def thing(name, uid="1", **more):
    """An object without its kind, as listings have it."""
    return {"metadata": {"name": name, "namespace": "n", "uid": uid, "managedFields": []}, **more}


@pytest.fixture
def followed():
    """A sink, and the views of two collections."""
    sink = Sink()
    documents = _Documents(sink)
    documents.expect(GATEWAYS)
    documents.expect(ROUTES)
    return sink, documents, _View(documents, GATEWAYS, "Gateway"), _View(documents, ROUTES, "Route")


def test_nothing_is_told_before_all_collections_are_listed(followed):
    """Then everything; later listings only what they change."""
    sink, _, gateways, routes = followed
    gateways.listed([thing("a")])
    gateways.changed(thing("b"))
    routes.alive()
    assert sink.told == []
    routes.listed([thing("c")])
    assert sink.told == [
        ["kubernetes:gateways.g/n/a", "kubernetes:gateways.g/n/b", "kubernetes:routes.g/n/c"]
    ]
    gateways.listed([thing("b")])
    assert sink.told[1:] == [("gone", "kubernetes:gateways.g/n/a"), "kubernetes:gateways.g/n/b"]
    routes.removed(thing("c"))
    assert sink.told[-1] == ("gone", "kubernetes:routes.g/n/c")


def test_a_collection_that_comes_later_adds_to_what_is_known(followed):
    """It is not waited for."""
    sink, documents, gateways, routes = followed
    gateways.listed([])
    routes.listed([])
    late = Collection(resource="late", group="g", version="v1")
    documents.expect(late)
    _View(documents, late, "Late").listed([thing("x")])
    assert sink.told == [[], "kubernetes:late.g/n/x"]


def test_an_outage_of_one_collection_is_told_until_it_is_followed_again(followed):
    """Before the first publication it ends the attempt."""
    sink, _, gateways, routes = followed
    with pytest.raises(RegistryUnavailable):
        gateways.broken(RegistryUnavailable("away"))
    gateways.listed([])
    routes.listed([])
    gateways.broken(RegistryUnavailable("away"))
    routes.alive()
    gateways.alive()
    assert sink.told == [[], "away", "confirmed"]


def test_objects_have_their_kind_and_nothing_that_servers_write(followed):
    """Listings of built-in kinds leave the kind out."""
    _, _, gateways, _ = followed
    kept = gateways.keep(thing("a", spec={"x": 1}, status={"y": 2}))
    assert kept == {
        "apiVersion": "g/v1",
        "kind": "Gateway",
        "metadata": {"name": "a", "namespace": "n", "uid": "1"},
        "spec": {"x": 1},
    }


def test_an_object_of_the_same_name_is_another_one(followed):
    """A server that has lost its data is told by that."""
    _, _, gateways, _ = followed
    assert gateways.is_held(None)
    gateways.listed([thing("a")])
    assert not gateways.is_held(None)
    assert gateways.is_held(thing("a"))
    assert not gateways.is_held(thing("a", uid="2"))


def test_resources_of_two_groups_are_two_places():
    """Even if plural, namespace and name are the same."""
    sink = Sink()
    documents = _Documents(sink)
    other = Collection(resource="gateways", group="h", version="v1")
    views = [_View(documents, one, "Gateway") for one in (GATEWAYS, other)]
    for view in views:
        documents.expect(view.collection)
    for view in views:
        view.listed([thing("a")])
    views[0].removed(thing("a"))
    both = ["kubernetes:gateways.g/n/a", "kubernetes:gateways.h/n/a"]
    assert sink.told == [both, ("gone", both[0])]


class Server:
    """Knows one version of one group."""

    async def list(self, collection, _query):
        if collection.path != "/apis/g/v1":
            raise Refused(Status.parse({}, code=404))
        return {
            "resources": [
                {"kind": "Gateway", "name": "gateways"},
                {"kind": "Gateway", "name": "gateways/status"},
            ]
        }


def test_what_is_installed_is_asked_for(run_async):
    """A group or version that is not there has nothing."""
    assert run_async(resources_of(Server(), "g", "v1")) == {"Gateway": "gateways"}
    assert run_async(resources_of(Server(), "g", "v2")) == {}
