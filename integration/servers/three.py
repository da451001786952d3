"""Consul, etcd and Kubernetes at once, with a service in each."""

from __future__ import annotations

import base64
import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

import aiohttp

from servers.consul import Consul, find_consul
from servers.etcd import Etcd
from servers.kubernetes import Kubernetes, missing_program
from servers.loopback import POD
from servers.programs import find

if TYPE_CHECKING:
    from pathlib import Path


def absent() -> str | None:
    """Which program is missing, if any."""
    for name, found in (("consul", find_consul()), ("etcd", find("etcd"))):
        if found is None:
            return name
    return missing_program()


class ThreeRegistries:
    """The three servers; an async context manager.

    Args:
        folder: for their data and logs.
    """

    def __init__(self, folder: Path) -> None:
        binary, program = find_consul(), find("etcd")
        assert binary is not None
        assert program is not None
        for name in ("consul", "etcd", "kubernetes"):
            (folder / name).mkdir()
        self.consul = Consul(binary, folder / "consul")
        self.etcd = Etcd(program, folder / "etcd")
        self.kubernetes = Kubernetes(folder / "kubernetes")
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            for server in (self.consul, self.etcd, self.kubernetes):
                await self._stack.enter_async_context(server)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def environment(self) -> dict[str, str]:
        """What the settings of docs/how-to/three-registries read."""
        return {
            "CONSUL_HTTP_ADDR": self.consul.address,
            "ETCD_ENDPOINT": self.etcd.endpoint,
            "KUBECONFIG": str(self.kubernetes.kubeconfig()),
        }

    async def register(self, consul_port: int, etcd_port: int, pod_port: int) -> None:
        """One service ``web`` in each, with one endpoint at that port."""
        await self.consul.register("web", consul_port, Meta={"protocol": "http"})
        document = {
            "ports": [{"name": "http", "port": 80, "protocol": "HTTP"}],
            "endpoints": [f"127.0.0.1:{etcd_port}"],
        }
        await self._put("/meshregistry/services/web.etcd.test/1", json.dumps(document))
        await self.kubernetes.node("n1")
        ports = [{"name": "http", "port": 80, "targetPort": pod_port}]
        await self.kubernetes.service("web", ports=ports)
        await self.kubernetes.pod("web-1", POD, ports={"http": pod_port}, app="web")

    async def _put(self, key: str, value: str) -> None:
        # The gateway of etcd takes bytes in base 64.
        body = {
            "key": base64.b64encode(key.encode()).decode(),
            "value": base64.b64encode(value.encode()).decode(),
        }
        url = f"http://{self.etcd.endpoint}/v3/kv/put"
        async with aiohttp.ClientSession() as http, http.post(url, json=body) as answer:
            assert answer.status == 200, await answer.text()
