"""The command that says why: of a host, and of a request."""

from __future__ import annotations

import json


class TestExplain:
    def test_with_a_proxy_it_shows_its_resources(self, folder, run):
        """Cluster, assignment, listener and route that concern the host."""
        ran = run("explain", "reviews.shop", "--proxy", "edge")
        for name in ("cds", "eds", "lds", "rds"):
            assert f" {name} " in ran.out
        assert "PassthroughCluster" not in ran.out

    def test_with_a_request_it_walks_the_decision(self, folder, run):
        """Route by route, to the clusters and their endpoints."""
        ran = run("explain", "reviews.shop", "--proxy", "edge", "--request", "GET /a -H x:1")
        assert ran.code == 0
        for text in ("the service itself", "outbound|9080||reviews.shop", "100 %", "10.0.0.1"):
            assert text in ran.out
        document = run("explain", "reviews.shop", "--proxy", "edge", "--request", "/", "-o", "json")
        assert json.loads(document.out)["decision"]["status"] == 0

    def test_a_request_needs_a_proxy_and_a_path(self, folder, run):
        """The mistake is told."""
        ran = run("explain", "reviews.shop", "--request", "/")
        assert (ran.code, "--proxy" in ran.err) == (1, True)
        ran = run("explain", "reviews.shop", "--proxy", "edge", "--request", "GET")
        assert (ran.code, "no paths" in ran.err) == (1, True)
        ran = run("explain", "reviews.shop:x", "--proxy", "edge", "--request", "/")
        assert ran.code == 1
