"""Stock Envoys that somebody else configures: what their filters and logs say is understood."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from meshregistry.mixer._header_text import header_text
from mixer_mesh import Mesh, document, documents_of
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


# --- Tokens -------------------------------------------------------------------------------

ISSUER = "https://login.shop"
KEY = b"of the one who issues tokens, 32"


def base64url(data: bytes) -> str:
    """As tokens and their keys have it, without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(key: bytes = KEY, **claims: Any) -> str:
    """The value of a header with a signed JSON web token (RFC 7519)."""
    parts = ({"alg": "HS256", "typ": "JWT"}, {"iss": ISSUER, "exp": 1 << 33, **claims})
    said = ".".join(base64url(json.dumps(part).encode()) for part in parts)
    return f"Bearer {said}.{base64url(hmac.digest(key, said.encode(), hashlib.sha256))}"


def of_page_with_tokens(port: int, backend: int, mixer: int) -> dict[str, Any]:
    """What the page says, behind Envoy's own filter for tokens; requests without one go on."""
    keys = {"keys": [{"kty": "oct", "alg": "HS256", "k": base64url(KEY)}]}
    required = {"requirements": [{"provider_name": "login"}, {"allow_missing": {}}]}
    verifying = {
        "@type": f"{_FILTERS}.http.jwt_authn.v3.JwtAuthentication",
        "providers": {
            "login": {
                "issuer": ISSUER,
                "local_jwks": {"inline_string": json.dumps(keys)},
                "payload_in_metadata": "verified",
            }
        },
        "rules": [{"match": {"prefix": "/"}, "requires": {"requires_any": required}}],
    }
    found = of_page(port, backend, mixer)
    (listener,) = found["static_resources"]["listeners"]
    connections = listener["filter_chains"][0]["filters"][0]["typed_config"]
    connections["http_filters"].insert(
        0, {"name": "envoy.filters.http.jwt_authn", "typed_config": verifying}
    )
    return found


TOKEN_RULES = "---\n".join(
    (
        document(
            "handler",
            "guests",
            "{compiledAdapter: denier, params: {status: {code: 7, message: no guests}}}",
        ),
        document("instance", "nothing", "{compiledTemplate: checknothing}"),
        document(
            "rule",
            "guests",
            """
            match: 'request.auth.claims["role"] == "guest"'
            actions: [{handler: guests, instances: [nothing]}]
            """,
        ),
        document(
            "rule",
            "who",
            """
            requestHeaderOperations:
            - {name: x-principal, values: ['request.auth.principal | "nobody"']}
            - {name: x-audiences, values: ['request.auth.audiences | "-"']}
            - {name: x-presenter, values: ['request.auth.presenter | "-"']}
            """,
        ),
    )
)


def test_rules_go_by_the_claims_that_an_envoy_has_verified(
    run_async: Callable[..., Any], envoy: MakeEnvoy, tmp_path: Path
) -> None:
    """At the check and in reports; of a token that somebody else signed Mixer never hears."""

    async def main() -> None:
        (tmp_path / "policies").mkdir()
        (tmp_path / "policies" / "tokens.yaml").write_text(TOKEN_RULES)
        async with Mesh(envoy, folder=tmp_path / "policies") as mesh:
            mesh.edge_port = free_port()
            mixer = int(mesh.address.rpartition(":")[2])
            config = of_page_with_tokens(mesh.edge_port, mesh.echo.port, mixer)
            async with envoy(config) as started:
                await started.ready()
                ann = token(sub="ann", aud=["web", "app"], azp="browser", role="staff")
                _, body, _ = await mesh.get("/ann", edge=True, authorization=ann)
                assert [f"{ISSUER}/ann", "web,app", "browser"] == [
                    body["headers"][f"x-{name}"] for name in ("principal", "audiences", "presenter")
                ]
                eve = token(sub="eve", role="guest")
                denied = await mesh.get("/eve", edge=True, authorization=eve)
                assert (403, "PERMISSION_DENIED:guests.istio-system:no guests") == denied[:2]
                forged = token(b"of another one, who is not asked", sub="ann", role="staff")
                assert 401 == (await mesh.get("/forged", edge=True, authorization=forged))[0]
                _, body, _ = await mesh.get("/nobody", edge=True)
                assert "nobody" == body["headers"]["x-principal"]
                assert ["/ann", "/eve", "/nobody"] == mesh.judge.checks
                await mesh.judge.told(path="/ann", principal=f"{ISSUER}/ann", code=200)
                await mesh.judge.told(path="/eve", principal=f"{ISSUER}/eve", code=403)
                await mesh.judge.told(path="/nobody", principal="-", code=200)

    run_async(main())


def test_bytes_of_headers_are_the_texts_that_programs_see(
    run_async: Callable[..., Any], envoy: MakeEnvoy, tmp_path: Path
) -> None:
    """Of UTF-8 or not; the middleware for programs does what Envoy does."""
    value = b"\xff\xfeab\xc3\xa9\xe2\x82"
    rule = """
        match: request.path == "/text"
        requestHeaderOperations: [{name: x-text, values: ['request.headers["x-user"]']}]
        """

    async def main() -> None:
        (tmp_path / "policies").mkdir()
        (tmp_path / "policies" / "text.yaml").write_text(document("rule", "text", rule))
        async with Mesh(envoy, folder=tmp_path / "policies") as mesh:
            mesh.edge_port = free_port()
            mixer = int(mesh.address.rpartition(":")[2])
            async with envoy(of_page(mesh.edge_port, mesh.echo.port, mixer)) as started:
                await started.ready()
                reader, writer = await asyncio.open_connection("127.0.0.1", mesh.edge_port)
                head = b"GET /text HTTP/1.1\r\nhost: web\r\nconnection: close\r\nx-user: "
                writer.write(head + value + b"\r\n\r\n")
                _, _, body = (await reader.read()).partition(b"\r\n\r\n")
                writer.close()
                assert header_text(value) == json.loads(body)["headers"]["x-text"]

    run_async(main())
