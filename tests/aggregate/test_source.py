"""A source completes what its records do not say."""

from __future__ import annotations

from attrs import evolve

from meshregistry.aggregate._source import Source
from meshregistry.model import Endpoint, Hostname, ServiceKey, ServiceRecord, SourceId


def source(**words):
    """A source that is never opened here."""
    return Source(id=SourceId("dc"), kind="memory", open=lambda context: None, **words)


def record(*endpoints, namespace=None):
    """A record that names no network or cluster."""
    return ServiceRecord.parse("cart.shop", port=80, namespace=namespace, endpoints=endpoints)


def test_a_service_without_a_namespace_takes_its_sources():
    """One that names a namespace, even the empty one, keeps it."""
    shop = source(namespace="shop")
    assert shop.completed(record()).service.namespace == "shop"
    assert shop.completed(record(namespace="own")).service.namespace == "own"
    assert shop.completed(record(namespace="")).service.namespace == ""


def test_endpoints_without_network_and_cluster_take_their_sources():
    """Those that name them keep them."""
    own = evolve(Endpoint.parse("10.0.0.2:80"), network="n2", cluster="c2")
    done = source(network="n1", cluster="c1").completed(record("10.0.0.1:80", own))
    assert [(one.network, one.cluster) for one in done.endpoints] == [("n1", "c1"), ("n2", "c2")]


def test_endpoints_that_the_network_makes_one_are_one():
    """The one that named its network stands."""
    named = evolve(Endpoint.parse("10.0.0.1:80"), network="n1", weight=7)
    done = source(network="n1").completed(record("10.0.0.1:80", named))
    assert [one.weight for one in done.endpoints] == [7]


def test_a_record_that_says_everything_stays_the_same_object():
    """Nothing is copied that need not be."""
    full = record("10.0.0.1:80", namespace="shop")
    assert source(namespace="other").completed(full) is full


def test_the_record_key_is_kept():
    """Identity in the table is the backend's own."""
    keyed = evolve(record(), key="native")
    assert source(namespace="shop").completed(keyed).key == "native"


def test_further_names_are_kept_and_completed_as_the_service_is():
    """One without a namespace takes that of the source, if the service has none either."""
    names = [ServiceKey("", Hostname("basket.shop")), ServiceKey("own", Hostname("cart.own"))]
    shop = source(namespace="shop", network="n1")
    done = shop.completed(evolve(record("10.0.0.1:80"), aliases=names))
    assert list(map(str, done.aliases)) == ["own/cart.own", "shop/basket.shop"]
    own = shop.completed(evolve(record("10.0.0.1:80", namespace="x"), aliases=names))
    assert own.aliases == tuple(sorted(names))


def test_sources_compare_by_settings():
    """Callables do not count; a fingerprint does."""
    assert source() == source()
    assert source(fingerprint="1") != source(fingerprint="2")
    assert source(network="n1") != source()
