"""A real Envoy accepts what is generated: every golden case as a static bootstrap.

``envoy --mode validate`` runs the checks that Envoy runs on an update, the rules of
protoc-gen-validate among them, and starts nothing.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from servers.certificates import write_certificate

GOLDEN = Path(__file__).parent.parent / "tests" / "golden"
_CERTIFICATES = "/certs/"
CASES = sorted(path.parent for path in GOLDEN.glob("*/expected.json"))


def static_bootstrap(case: dict[str, Any]) -> dict[str, Any]:
    """Everything inline: assignments in their clusters, routes in their listeners."""
    assignments = {one["cluster_name"]: one for one in case.get("eds", ())}
    routes = {one["name"]: one for one in case.get("rds", ())}
    for cluster in case.get("cds", ()):
        if cluster["type"] == "EDS":
            del cluster["eds_cluster_config"]
            cluster |= {"type": "STATIC", "load_assignment": assignments[cluster["name"]]}
    for listener in case["lds"]:
        for chain in listener["filter_chains"]:
            for one in chain["filters"]:
                if "rds" in one["typed_config"]:
                    name = one["typed_config"].pop("rds")["route_config_name"]
                    one["typed_config"]["route_config"] = routes[name]
    return {
        "static_resources": {"clusters": case.get("cds", []), "listeners": case["lds"]},
    }


def dynamic_bootstrap(case: dict[str, Any]) -> dict[str, Any]:
    """As generated: endpoints and routes are to come over ADS from a server that is not there."""
    xds = {
        "name": "xds",
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": "xds",
            "endpoints": [
                {
                    "lb_endpoints": [
                        {
                            "endpoint": {
                                "address": {
                                    "socket_address": {"address": "127.0.0.1", "port_value": 1}
                                }
                            }
                        }
                    ]
                }
            ],
        },
    }
    return {
        "node": {"id": "test", "cluster": "test"},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
            }
        },
        "static_resources": {"clusters": [xds, *case.get("cds", ())], "listeners": case["lds"]},
    }


@pytest.mark.parametrize("bootstrap", [static_bootstrap, dynamic_bootstrap])
@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_envoy_accepts_every_golden_case(
    envoy_binary: str, case: Path, bootstrap: Any, tmp_path: Path
) -> None:
    """Envoy finds nothing wrong in any message of a case, and uses nothing deprecated."""
    config = tmp_path / "bootstrap.json"
    expected = (case / "expected.json").read_text()
    if _CERTIFICATES in expected:
        # Envoy reads the files that a listener names.
        write_certificate(tmp_path / "shop")
        expected = expected.replace(_CERTIFICATES, f"{tmp_path}/")
    config.write_text(json.dumps(bootstrap(json.loads(expected))))
    done = subprocess.run(
        [envoy_binary, "--mode", "validate", "-c", str(config), "--log-level", "warning"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert "deprecated" not in output.lower()
