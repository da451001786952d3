"""``meshregistry bootstrap``: what an Envoy starts with."""

from __future__ import annotations

import json

import pytest
import yaml

FIXED = "server: {xds: '127.0.0.1:15010'}\nmesh: {domain: corp.local}\n"


@pytest.fixture
def fixed(folder):
    """Settings with a fixed xDS port."""
    (folder / "mesh.yaml").write_text(FIXED)
    return folder


class TestBootstrap:
    def test_a_router_follows_the_server_of_the_settings(self, fixed, run):
        """YAML by default, without anchors."""
        ran = run("bootstrap", "router")
        document = yaml.safe_load(ran.out)
        assert (0, "") == (ran.code, ran.err)
        assert "&id" not in ran.out
        assert "router~127.0.0.1~proxy.default~default.svc.corp.local" == document["node"]["id"]
        (cluster,) = document["static_resources"]["clusters"]
        assert "15010" in json.dumps(cluster["load_assignment"])

    def test_every_part_of_the_node_may_be_said(self, fixed, run):
        """Or the whole id."""
        words = ["--address", "10.0.0.1", "--name", "web", "--namespace", "shop", "-o", "json"]
        document = json.loads(run("bootstrap", "sidecar", *words).out)
        assert "sidecar~10.0.0.1~web.shop~shop.svc.corp.local" == document["node"]["id"]
        assert "web" == document["node"]["cluster"]
        words = ["--node-id", "edge-1", "--cluster", "edge", "--admin", "none", "-o", "json"]
        document = json.loads(run("bootstrap", "router", *words).out)
        assert {"id": "edge-1", "cluster": "edge"} == document["node"]
        assert "admin" not in document

    def test_without_settings_the_address_is_an_option(self, tmp_path, monkeypatch, run):
        """An Envoy's machine need not have them."""
        monkeypatch.chdir(tmp_path)
        ran = run("bootstrap", "router", "--xds", "pilot.corp:15010", "--protocol", "sotw")
        assert (0, True) == (ran.code, "api_type: GRPC\n" in ran.out)

    @pytest.mark.parametrize(
        ("settings", "words", "reason"),
        [
            ("server: {xds: '127.0.0.1:0'}", [], "do not fix the xDS address"),
            ("server: {xds: null}", [], "do not fix the xDS address"),
            ("server: {xds: '0.0.0.0:1', allow_plaintext: true}", [], "listens on every address"),
            (FIXED, ["--address", "a b"], "'a b'"),
            (FIXED, ["--xds", "nowhere"], "'nowhere' is not an address"),
        ],
    )
    def test_what_no_envoy_could_use_is_refused(self, folder, run, settings, words, reason):
        """With the remedy."""
        (folder / "mesh.yaml").write_text(settings)
        ran = run("bootstrap", "router", *words)
        assert (1, "", True) == (ran.code, ran.out, reason in ran.err)

    def test_tls_is_not_forgotten_in_silence(self, folder, run):
        """The document speaks plain text; the user adds the certificates."""
        (folder / "mesh.yaml").write_text(
            "server: {xds: '127.0.0.1:1', tls: {certificate: a, key: b}}"
        )
        assert "add a transport_socket" in run("bootstrap", "router").err
