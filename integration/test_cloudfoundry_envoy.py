"""Routes of a Cloud Foundry, heard over a real NATS, and requests through a real Envoy."""

from __future__ import annotations

import re
import signal
import ssl
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import aiohttp

import meshregistry_cloudfoundry
from meshregistry import Pilot, Settings
from meshregistry.agent import bootstrap, node_id
from meshregistry.model import ProxyRole
from servers.backends import Echo, first_answer
from servers.certificates import write_certificate
from servers.nats import Nats, RouteEmitter, registration
from servers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

README = Path(__file__).parents[1] / "plugins" / "cloudfoundry" / "README.md"


def documented(kind: str) -> str:
    """The document of a kind that the README of the plugin shows."""
    text = README.read_text(encoding="utf-8")
    (found,) = re.findall(rf"^```yaml\n(apiVersion.*\nkind: {kind}\n[^`]*)^```", text, re.MULTILINE)
    return str(found)


class Routed:
    """NATS with an emitter, a pilot and an Envoy beside a caller; an async context manager.

    Args:
        nats_folder: where a nats-server is.
        folder: for files.
        rules: routing documents.
        envoy: makes an Envoy of a bootstrap.
        routes: backends by URI; each has a name for a certificate, so that outages keep it.
    """

    def __init__(
        self,
        nats_folder: Path,
        folder: Path,
        rules: str,
        envoy: Callable[[Any], Any],
        routes: Mapping[str, Echo],
    ) -> None:
        self.server = Nats(nats_folder, folder)
        self._rules = folder / "rules.yaml"
        self._rules.write_text(rules)
        self._envoy = envoy
        self._routes = routes
        self._stack = AsyncExitStack()
        self._port = free_port()

    async def __aenter__(self) -> Self:
        enter = self._stack.enter_async_context
        server = await enter(self.server)
        emitter = await enter(RouteEmitter(server))
        for uri, backend in self._routes.items():
            await enter(backend)
            await emitter.set(uri, registration(uri, "127.0.0.1", backend.port))
        source = {
            "id": "routes",
            "kind": "gorouter",
            "servers": [server.address],
            "register_interval": "300ms",
            "sweep": "100ms",
            "service_port": self._port,
        }
        settings = Settings.from_dict(
            {
                "sources": [source],
                "rules": [{"kind": "file", "path": str(self._rules)}],
                "server": {"xds": "127.0.0.1:0"},
            }
        )
        pilot = await enter(
            Pilot(settings, plugins=[meshregistry_cloudfoundry], entry_points=False)
        )
        await pilot.synced(timeout=20)
        node = node_id(ProxyRole.SIDECAR, address="127.0.0.9", name="web", domain="example")
        await enter(self._envoy(bootstrap(node=node, cluster="web", xds=pilot.xds_address)))
        await first_answer(f"http://127.0.0.1:{self._port}", host="cart.example")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def asked(self, target: str) -> str:
        """Which backend answers a request for this host and path; plain HTTP from the caller."""
        host, _, rest = target.partition("/")
        async with (
            aiohttp.ClientSession(headers={"Host": host}) as session,
            session.get(f"http://127.0.0.1:{self._port}/{rest}") as answer,
        ):
            assert 200 == answer.status
            return str((await answer.json())["version"])


def test_requests_go_where_gorouter_would_send_them(
    run_async, envoy, nats_folder: Path, tmp_path: Path
):
    """By host, context path and wildcard; a killed NATS fails none of them."""

    async def main() -> None:
        routes = {
            "cart.example": Echo("whole"),
            "cart.example/V2/api": Echo("path"),
            "*.example": Echo("rest"),
        }
        expected = {
            "cart.example/": "whole",
            "cart.example/v2": "whole",
            "cart.example/v2/api/x": "path",
            "other.example/v2/api": "rest",
        }
        rules = documented("VirtualService")
        async with Routed(nats_folder, tmp_path, rules, envoy, routes) as routed:
            for target, version in expected.items():
                assert version == await routed.asked(target)
            await routed.server.stop(signal.SIGKILL)
            ends = time.monotonic() + 3
            requests = 0
            while time.monotonic() < ends:
                for target, version in expected.items():
                    assert version == await routed.asked(target)
                    requests += 1
            print(f"\ngorouter, NATS killed: {requests} requests through Envoy, none failed")

    run_async(main(), timeout=60)


def test_instances_are_called_over_tls(run_async, envoy, nats_folder: Path, tmp_path: Path):
    """By the rule of the README, with the client certificate that the instance wants."""

    async def main() -> None:
        own, key = write_certificate(tmp_path / "instance", "instance-guid")
        mine, my_key = write_certificate(tmp_path / "gorouter", "gorouter")
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(mine))
        tls.load_cert_chain(own, key)
        tls.verify_mode = ssl.CERT_REQUIRED
        rules = documented("DestinationRule")
        rules = rules.replace("/etc/mesh/gorouter.pem", str(mine))
        rules = rules.replace("/etc/mesh/gorouter.key", str(my_key))
        routes = {"cart.example": Echo("secure", tls=tls)}
        async with Routed(nats_folder, tmp_path, rules, envoy, routes) as routed:
            assert "secure" == await routed.asked("cart.example/")

    run_async(main(), timeout=60)
