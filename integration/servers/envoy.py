"""A real Envoy: found, started on a bootstrap, asked through its admin interface."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import aiohttp

from servers.process import ChildProcess

if TYPE_CHECKING:
    from collections.abc import Mapping

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def find_envoy() -> str | None:
    """The Envoy of the wheel in this environment, else the one on the path, else None."""
    beside = Path(sys.executable).with_name("envoy")
    return str(beside) if beside.exists() else shutil.which("envoy")


def bootstrap(
    address: str, *, node: str, cluster: str, ads: bool = True, delta: bool = False
) -> dict[str, Any]:
    """A bootstrap that takes everything from one xDS server.

    Args:
        address: of the server, ``host:port``.
        node: node id.
        cluster: the node's cluster.
        ads: one stream for all types, instead of one for each.
        delta: the incremental variant.
    """
    host, _, port = address.rpartition(":")
    api = {
        "api_type": "DELTA_GRPC" if delta else "GRPC",
        "transport_api_version": "V3",
        "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
    }
    source: dict[str, Any] = {"ads": {}} if ads else {"api_config_source": api}
    source |= {"resource_api_version": "V3", "initial_fetch_timeout": "0s"}
    dynamic: dict[str, Any] = {"cds_config": source, "lds_config": source}
    socket = {"socket_address": {"address": host, "port_value": int(port)}}
    return {
        "node": {"id": node, "cluster": cluster},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "dynamic_resources": dynamic | ({"ads_config": api} if ads else {}),
        "static_resources": {
            "clusters": [
                {
                    "name": "xds",
                    "type": "STATIC",
                    "connect_timeout": "1s",
                    "typed_extension_protocol_options": {
                        _HTTP_OPTIONS: {
                            "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
                            "explicit_http_config": {"http2_protocol_options": {}},
                        }
                    },
                    "load_assignment": {
                        "cluster_name": "xds",
                        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket}}]}],
                    },
                }
            ]
        },
    }


class Envoy:
    """A running Envoy; leaving the context stops it.

    Args:
        binary: from `find_envoy`.
        config: the bootstrap, as JSON values.
        folder: for its files and its log.
    """

    def __init__(self, binary: str, config: Mapping[str, Any], folder: Path) -> None:
        self._folder = folder
        self._address_file = folder / "admin"
        config_file = folder / "bootstrap.json"
        config_file.write_text(json.dumps(config), encoding="utf-8")
        # Two Envoys with hot restart would fight over one domain socket.
        self.process = ChildProcess(
            [
                *(binary, "-c", str(config_file), "--concurrency", "1"),
                *("--disable-hot-restart", "-l", "warning"),
                *("--admin-address-path", str(self._address_file)),
            ],
            log=folder / "envoy.log",
        )
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        await self.process.__aenter__()
        self._http = aiohttp.ClientSession()
        try:
            await self.process.until(self._has_address, what="an admin address")
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._http is not None:
            await self._http.close()
        await self.process.stop()

    async def ask(self, path: str) -> tuple[int, str]:
        """Status and text of one page of the admin interface."""
        if self._http is None:
            raise RuntimeError("the Envoy is not running: enter its context first")
        address = self._address_file.read_text(encoding="utf-8").strip()
        async with self._http.get(f"http://{address}{path}") as answer:
            return answer.status, await answer.text()

    async def ready(self, timeout: float = 20.0) -> None:
        """Wait until it says that it is initialised: clusters and listeners have come."""

        async def is_live() -> bool:
            return (await self.ask("/ready"))[0] == 200

        await self.process.until(is_live, what="/ready", timeout=timeout)

    async def counter(self, name: str) -> int:
        """The value of one counter or gauge; 0 while it does not exist."""
        _, text = await self.ask(f"/stats?filter=^{name}$")
        return int(text.rpartition(":")[2] or 0)

    async def _has_address(self) -> bool:
        return self._address_file.exists() and bool(self._address_file.read_text(encoding="utf-8"))
