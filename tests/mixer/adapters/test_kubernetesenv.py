"""``kubernetesenv`` finds out about workloads from a catalog."""

from __future__ import annotations

import pytest

from meshregistry.mixer import StringMap
from meshregistry.mixer.adapters._workloads import LABELS
from meshregistry.mixer.spi import KUBERNETES, Kubernetes
from meshregistry.model import Catalog, CatalogEntry, Endpoint, Port, Service, SourceId
from meshregistry_kubernetes import _convert

INSTANCES = ("k: kubernetes {}",)
ADDRESS = b"\x0a\x00\x00\x01"
IDENTITY = "spiffe://cluster.local/ns/shop/sa/books"


def catalog(*endpoints, host="books.shop.svc", namespace="shop"):
    """One service with these endpoints."""
    service = Service(host=host, namespace=namespace, ports=(Port("http", 80),))
    entry = CatalogEntry(service=service, endpoints=endpoints, sources=(SourceId("k8s"),))
    return Catalog.of([entry])


def endpoint(address="10.0.0.1", **more):
    """An endpoint."""
    return Endpoint(address=address, port=80, **more)


@pytest.fixture
def found(adapters, run_async):
    """The attributes that are found out, in a catalog."""

    def find(content, **instance):
        adapters.services["catalog"] = lambda: content

        async def main():
            async with adapters.running("kubernetesenv", "{}", INSTANCES) as (handler, _):
                return await handler.generate(Kubernetes(**instance))

        return run_async(main())

    return find


def test_an_address_tells_what_its_endpoint_says(found):
    """Labels, and the namespace and account of its identity; the rest is not set."""
    one = endpoint(workload_identity=IDENTITY, labels={"app": "books"})
    assert found(catalog(one, namespace="other"), source_ip=ADDRESS) == {
        "source_pod_ip": ADDRESS,
        "source_labels": StringMap({"app": "books"}),
        "source_namespace": "shop",
        "source_service_account_name": "books",
    }


def test_both_sides_are_found(found):
    """And an IPv4 address in sixteen bytes is the same one."""
    outputs = found(
        catalog(endpoint(), endpoint("10.0.0.2")),
        source_ip=b"\0" * 10 + b"\xff\xff" + ADDRESS,
        destination_ip=b"\x0a\x00\x00\x02",
    )
    assert outputs == {
        "source_pod_ip": ADDRESS,
        "source_namespace": "shop",
        "destination_pod_ip": b"\x0a\x00\x00\x02",
        "destination_namespace": "shop",
    }


def test_labels_of_a_registrys_adapter_tell_the_rest(found):
    """They are listed in `LABELS`."""
    values = ["books-7d4b9", "192.168.0.1", "books", "deployments"]
    outputs = found(
        catalog(endpoint(labels=dict(zip(LABELS, values, strict=True)))),
        destination_uid="kubernetes://books-7d4b9.shop",
    )
    outputs.pop("destination_labels")
    assert outputs == {
        "destination_pod_uid": "kubernetes://books-7d4b9.shop",
        "destination_pod_ip": ADDRESS,
        "destination_pod_name": "books-7d4b9",
        "destination_namespace": "shop",
        "destination_host_ip": b"\xc0\xa8\x00\x01",
        "destination_workload_uid": "istio://shop/workloads/books",
        "destination_workload_name": "books",
        "destination_workload_namespace": "shop",
        "destination_owner": "kubernetes://apis/apps/v1/namespaces/shop/deployments/books",
    }


def test_the_adapter_for_kubernetes_gives_those_labels():
    """It is another distribution, which knows them by their names alone."""
    given = {_convert.POD_NAME, _convert.HOST_IP, _convert.WORKLOAD_NAME, _convert.WORKLOAD_KIND}
    assert LABELS.keys() == given


@pytest.mark.parametrize(
    ("kind", "owner"),
    [
        ("replicasets", "kubernetes://apis/apps/v1/namespaces/shop/replicasets/x"),
        ("cronjobs", "kubernetes://apis/batch/v1/namespaces/shop/cronjobs/x"),
        ("replicationcontrollers", "kubernetes://apis/v1/namespaces/shop/replicationcontrollers/x"),
        # A pod that nothing made.
        ("pods", None),
        # Of whichever group they are is not known.
        ("rollouts", None),
    ],
)
def test_an_owner_has_the_group_and_version_of_its_kind(found, kind, owner):
    """As far as they are known; the workload is in any case."""
    labels = {"meshregistry.io/workload-name": "x", "meshregistry.io/workload-kind": kind}
    outputs = found(catalog(endpoint(labels=labels)), source_ip=ADDRESS)
    assert owner == outputs.get("source_owner")
    assert "x" == outputs["source_workload_name"]


def test_a_stateful_set_tells_its_pods(found):
    """By the label that Kubernetes gives them; their number is no part of the set's name."""
    one = endpoint(labels={"statefulset.kubernetes.io/pod-name": "db-main-2"})
    outputs = found(catalog(one), source_uid="kubernetes://db-main-2.shop")
    assert "db-main-2" == outputs["source_pod_name"]
    assert "db-main" == outputs["source_workload_name"]
    assert outputs["source_owner"].endswith("/statefulsets/db-main")


def test_a_uid_that_is_not_known_leaves_the_address(found):
    """Few registries tell pods' names."""
    outputs = found(catalog(endpoint()), source_uid="kubernetes://x.shop", source_ip=ADDRESS)
    assert ADDRESS == outputs["source_pod_ip"]


@pytest.mark.parametrize(
    "instance",
    [{}, {"source_ip": b"\0\0\0\0"}, {"source_ip": b"\x0a\x00\x00\x09"}, {"source_ip": b"\x01"}],
)
def test_what_is_not_there_is_not_set(found, instance):
    """So that the bindings' own defaults count."""
    assert {} == found(catalog(endpoint()), **instance)


def test_an_address_in_two_networks_is_nobody(found):
    """Rather nothing than another's name."""
    both = catalog(endpoint(network="a"), endpoint(network="b"))
    assert {} == found(both, source_ip=ADDRESS)


def test_a_new_catalog_counts(adapters, run_async):
    """At once by address; by uid at most once a second."""
    pod = {"meshregistry.io/pod-name": "p"}
    now = [catalog()]
    adapters.services["catalog"] = lambda: now[0]

    async def main():
        async with adapters.running("kubernetesenv", "{}", INSTANCES) as (handler, context):

            async def is_found(**instance):
                return bool(await handler.generate(Kubernetes(**instance)))

            by_uid = {"source_uid": "kubernetes://p.shop"}
            assert not await is_found(**by_uid)
            now[0] = catalog(endpoint(labels=pod))
            assert await is_found(source_ip=ADDRESS)
            assert not await is_found(**by_uid)
            await context.clock.advance(1)
            assert await is_found(**by_uid)
            assert {"found": 2, "not_found": 2} == context.counts

    run_async(main())


def test_without_a_catalog_nothing_is_found(adapters, run_async, caplog):
    """It is said once; rules that need nothing of it go on."""

    async def main():
        async with adapters.running("kubernetesenv", "{}", INSTANCES) as (handler, _):
            return await handler.generate(Kubernetes(source_ip=ADDRESS))

    assert {} == run_async(main())
    assert "there is no catalog" in caplog.text


def test_outputs_have_the_types_of_the_template(found):
    """Every one is declared."""
    one = endpoint(labels=dict.fromkeys(LABELS, "x"), workload_identity=IDENTITY)
    assert found(catalog(one), source_ip=ADDRESS).keys() <= KUBERNETES.output.keys()


def test_a_watch_of_its_own_is_refused(adapters):
    """The pods are the pilot's."""
    plan, faults = adapters.plan("kubernetesenv", "{kubeconfigPath: /x}", INSTANCES)
    assert plan is None
    assert faults == [
        (
            "spec.params.kubeconfigPath: has no effect; take it out, and give the pilot a source of "
            "this cluster"
        )
    ]
