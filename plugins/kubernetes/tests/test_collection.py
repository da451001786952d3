"""What is followed: where it is in the API."""

from __future__ import annotations

from meshregistry_kubernetes._collection import Collection, in_namespaces


class TestCollections:
    def test_paths(self):
        """Core and group, cluster and namespace."""
        pods = Collection(resource="pods")
        routes = Collection(group="networking.istio.io", version="v1beta1", resource="gateways")
        assert ["/api/v1/pods", "/apis/networking.istio.io/v1beta1/namespaces/x/gateways"] == [
            pods.path,
            in_namespaces(routes, ("x",))[0].path,
        ]
        assert [pods] == in_namespaces(pods, ())
