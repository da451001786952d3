"""Stock Envoys that somebody else configures: what their filters and logs say is understood."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from mixer_mesh import Mesh, documents_of
from servers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from mixer_workload import MakeEnvoy

_PAGE = Path(__file__).parent.parent / "docs" / "how-to" / "mixer-with-envoy.md"
_FILTERS = "type.googleapis.com/envoy.extensions.filters"
_HTTP = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def cluster(name: str, port: int, *, is_http2: bool = False) -> dict[str, Any]:
    """A cluster of one port of this machine."""
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    found: dict[str, Any] = {
        "name": name,
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }
    if is_http2:
        options = {"@type": _HTTP, "explicit_http_config": {"http2_protocol_options": {}}}
        key = _HTTP.rpartition("/")[2]
        found["typed_extension_protocol_options"] = {key: options}
    return found


def limited(port: int, backend: int, mixer: int) -> dict[str, Any]:
    """A bootstrap: requests to ``port`` are limited by the quota ``rate`` of their user."""
    actions = [
        {"generic_key": {"descriptor_key": "quota", "descriptor_value": "rate"}},
        {"generic_key": {"descriptor_key": "request.path", "descriptor_value": "/limited"}},
        {
            "request_headers": {
                "header_name": "x-host",
                "descriptor_key": "destination.service.host",
            }
        },
    ]
    limiting = {
        "@type": f"{_FILTERS}.http.ratelimit.v3.RateLimit",
        "domain": "edge",
        "failure_mode_deny": True,
        "enable_x_ratelimit_headers": "DRAFT_VERSION_03",
        # Else 20 ms; Envoy does not ask the service's configuration for it.
        "timeout": "5s",
        "rate_limit_service": {
            "transport_api_version": "V3",
            "grpc_service": {"envoy_grpc": {"cluster_name": "mixer"}},
        },
    }
    connections = {
        "@type": f"{_FILTERS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "edge",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "rate_limits": [{"actions": actions}],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "backend"}}],
                }
            ]
        },
        "http_filters": [
            {"name": "envoy.filters.http.ratelimit", "typed_config": limiting},
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_FILTERS}.http.router.v3.Router"},
            },
        ],
    }
    chain = {
        "filters": [
            {
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": connections,
            }
        ]
    }
    return {
        "node": {"id": "edge", "cluster": "edge"},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "static_resources": {
            "clusters": [cluster("backend", backend), cluster("mixer", mixer, is_http2=True)],
            "listeners": [
                {
                    "name": "edge",
                    "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
                    "filter_chains": [chain],
                }
            ],
        },
    }


def test_descriptors_ask_for_quotas(run_async: Callable[..., Any], envoy: MakeEnvoy) -> None:
    """Each user's own until it is used up; without the keeper the fail policy of Envoy holds."""

    async def main() -> None:
        async with Mesh(envoy) as mesh:
            mesh.edge_port = free_port()
            mesh.judge.quota_left = 3
            mixer = int(mesh.address.rpartition(":")[2])
            async with envoy(limited(mesh.edge_port, mesh.echo.port, mixer)) as started:
                await started.ready()
                answers = [await mesh.get("/", edge=True, x_host="a.shop") for _ in range(4)]
                assert [200, 200, 200, 429] == [status for status, _, _ in answers]
                told = [headers for _, _, headers in answers]
                assert {"10, 10;w=60"} == {one["x-ratelimit-limit"] for one in told}
                assert ["2", "1", "0", "0"] == [one["x-ratelimit-remaining"] for one in told]
                assert {"1"} == {one["x-ratelimit-reset"] for one in told}
                # Without the header there is no descriptor, and nothing to ask for.
                assert 200 == (await mesh.get("/", edge=True))[0]
                assert [] == mesh.judge.checks
                assert {"quotas granted": 3, "quotas refused": 1} == mesh.fronts.counts
                await mesh.stop_mixer()
                assert 500 == (await mesh.get("/", edge=True, x_host="a.shop"))[0]
                await mesh.start_mixer()
                mesh.judge.quota_left = 1_000
                async with asyncio.timeout(20):
                    while (await mesh.get("/", edge=True, x_host="a.shop"))[0] != 200:
                        await asyncio.sleep(0.02)

    run_async(main())


def of_page(port: int, backend: int, mixer: int) -> dict[str, Any]:
    """A bootstrap with the filter and the log of the page, and nothing else of Mixer."""
    text = re.search(r"```yaml\n(http_filters:.*?)```", _PAGE.read_text(), re.DOTALL)
    assert text is not None
    found = limited(port, backend, mixer)
    (listener,) = found["static_resources"]["listeners"]
    connections = listener["filter_chains"][0]["filters"][0]["typed_config"]
    written = yaml.safe_load(text[1])
    connections["http_filters"][:1] = written["http_filters"]
    connections["access_log"] = written["access_log"]
    return found


def test_documents_of_the_page_charge_what_is_stated(
    run_async: Callable[..., Any], envoy: MakeEnvoy, tmp_path: Path
) -> None:
    """By the host of the service alone, where the log has it, too."""

    async def main() -> None:
        (tmp_path / "policies").mkdir()
        (tmp_path / "policies" / "shop.yaml").write_text(documents_of(_PAGE))
        async with Mesh(envoy, folder=tmp_path / "policies") as mesh:
            mesh.edge_port = free_port()
            mixer = int(mesh.address.rpartition(":")[2])
            async with envoy(of_page(mesh.edge_port, mesh.echo.port, mixer)) as started:
                await started.ready()
                paths = [*(f"/orders/{number}?key=k" for number in range(5)), "/free"]
                codes = [(await mesh.get(path, edge=True))[0] for path in paths]
                assert [200, 200, 200, 429, 429, 200] == codes
                told = {"host": "web.shop", "uid": "edge"}
                await mesh.judge.told(
                    **told, path=paths[0], operation="read-order", key="k", code=200
                )
                await mesh.judge.told(
                    **told, path=paths[4], operation="read-order", key="k", code=429
                )
                await mesh.judge.told(**told, path="/free", operation="-", key="-", code=200)

    run_async(main())


def test_the_configuration_of_the_page_works(
    run_async: Callable[..., Any], envoy: MakeEnvoy
) -> None:
    """The request is checked and charged with what is stated, and reported."""

    async def main() -> None:
        async with Mesh(envoy) as mesh:
            mesh.edge_port = free_port()
            mixer = int(mesh.address.rpartition(":")[2])
            async with envoy(of_page(mesh.edge_port, mesh.echo.port, mixer)) as started:
                await started.ready()
                assert 403 == (await mesh.get("/forbidden", edge=True))[0]
                _, body, _ = await mesh.get("/headers", edge=True)
                assert "web.shop" == body["headers"]["x-host"]
                told = {"kind": "inbound", "host": "web.shop", "uid": "edge"}
                await mesh.judge.told(**told, path="/headers", code=200, error="-")
                await mesh.judge.told(**told, path="/forbidden", code=403, flags="UAEX")

    run_async(main())
