"""Registries that a test may stop: each with one service, which gets instances and loses them."""

from __future__ import annotations

import base64
import json
import signal
from typing import TYPE_CHECKING, Any, Protocol, Self

import aiohttp

from servers.consul import Consul, find_consul
from servers.etcd import Etcd, find_built_etcd
from servers.eureka import RECIPE as EUREKA
from servers.eureka import Eureka
from servers.kubernetes import Kubernetes
from servers.loopback import POD
from servers.mesos import Mesos
from servers.mesos_framework import Framework
from servers.mesos_recipe import MESOS
from servers.nats import NATS, Nats, RouteEmitter, registration

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Member(Protocol):
    """One registry and its service.

    Attributes:
        kind: as the settings of its source say.
        host: of its service.
    """

    kind: str
    host: str

    async def __aenter__(self) -> Self:
        """Start it, without a service."""

    async def __aexit__(self, *exc_info: object) -> None:
        """End it."""

    def source(self) -> dict[str, Any]:
        """The settings of a source, but for its id and kind."""

    async def serve(self, addresses: Sequence[tuple[str, int]]) -> None:
        """Have the service at these places and no others."""

    async def kill(self) -> None:
        """Let it die, or be out of reach."""

    async def revive(self) -> None:
        """Let it come back, and what was registered with it."""


class FileMember:
    """Documents in a folder; the folder is taken away."""

    kind, host = "file", "web.file.test"

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "services"

    async def __aenter__(self) -> Self:
        self._folder.mkdir(parents=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing runs."""

    def source(self) -> dict[str, Any]:
        return {"path": str(self._folder)}

    async def serve(self, addresses: Sequence[tuple[str, int]]) -> None:
        endpoints = [{"address": address, "port": port} for address, port in addresses]
        service = {"host": self.host, "ports": [{"port": 80, "protocol": "HTTP"}]}
        document = {"services": [{**service, "endpoints": endpoints}]}
        new = self._folder.with_suffix(".new")
        new.write_text(json.dumps(document), encoding="utf-8")
        new.rename(self._folder / "web.json")

    async def kill(self) -> None:
        self._folder.rename(self._folder.with_suffix(".away"))

    async def revive(self) -> None:
        self._folder.with_suffix(".away").rename(self._folder)


class ConsulMember:
    """An agent that is its own server; its data is on disk."""

    kind, host = "consul", "web.service.consul"

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        binary = find_consul()
        assert binary is not None
        self.server = Consul(binary, folder)
        self._there: set[tuple[str, int]] = set()

    async def __aenter__(self) -> Self:
        await self.server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.server.stop(signal.SIGKILL)

    def source(self) -> dict[str, Any]:
        return {"address": self.server.address}

    async def serve(self, addresses: Sequence[tuple[str, int]]) -> None:
        for address, port in addresses:
            meta = {"protocol": "http"}
            id_ = f"web-{address}"
            await self.server.register("web", port, id=id_, address=address, Meta=meta)
            # A sign of life, which the agent writes down: without one, a check with a time to
            # live is critical after a restart.
            await self.server.put(f"/v1/agent/check/pass/check:{id_}")
        for address, _ in self._there - set(addresses):
            await self.server.put(f"/v1/agent/service/deregister/web-{address}")
        self._there = set(addresses)

    async def kill(self) -> None:
        await self.server.stop(signal.SIGKILL)

    async def revive(self) -> None:
        await self.server.start()


class EtcdMember:
    """One member; its data is on disk."""

    kind, host = "etcd", "web.etcd.test"

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        program = find_built_etcd()
        assert program is not None
        self._server = Etcd(program, folder)

    async def __aenter__(self) -> Self:
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.__aexit__()

    def source(self) -> dict[str, Any]:
        return {"endpoints": [self._server.endpoint]}

    async def serve(self, addresses: Sequence[tuple[str, int]]) -> None:
        document = {
            "ports": [{"name": "http", "port": 80, "protocol": "HTTP"}],
            "endpoints": [f"{address}:{port}" for address, port in addresses],
        }
        # The gateway of etcd takes bytes in base 64.
        pair = {"key": f"/meshregistry/services/{self.host}/1", "value": json.dumps(document)}
        body = {name: base64.b64encode(text.encode()).decode() for name, text in pair.items()}
        url = f"http://{self._server.endpoint}/v3/kv/put"
        async with aiohttp.ClientSession() as http, http.post(url, json=body) as answer:
            assert answer.status == 200, await answer.text()

    async def kill(self) -> None:
        await self._server.kill()

    async def revive(self) -> None:
        await self._server.start()


class KubernetesMember:
    """An API server; its data is in an etcd of its own that lives on. Pods are on loopback."""

    kind, host = "kubernetes-on-loopback", "web.default.svc.mesh.local"

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.server = Kubernetes(folder)
        self._pods: set[str] = set()

    async def __aenter__(self) -> Self:
        await self.server.__aenter__()
        await self.server.node("n1")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.server.__aexit__()

    def source(self) -> dict[str, Any]:
        return {"kubeconfig": str(self.server.kubeconfig())}

    async def serve(self, addresses: Sequence[tuple[str, int]]) -> None:
        wanted = {address.rpartition(".")[2]: port for address, port in addresses}
        for number, port in wanted.items():
            if not self._pods:
                ports = [{"name": "http", "port": 80, "targetPort": "http"}]
                await self.server.service("web", ports=ports)
            if number not in self._pods:
                pod = POD.rpartition(".")[0] + f".{number}"
                await self.server.pod(f"web-{number}", pod, ports={"http": port}, app="web")
                self._pods.add(number)
        for number in self._pods - wanted.keys():
            await self.server.delete_pod(f"web-{number}")
        self._pods = set(wanted)

    async def kill(self) -> None:
        await self.server.kill()

    async def revive(self) -> None:
        await self.server.start_server()


class EurekaMember:
    """A server that forgets everything; its instances register again with their heartbeats."""

    kind, host = "eureka", "web"

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        installed = EUREKA.find()
        assert installed is not None
        self.server = Eureka(installed, folder)
        self._instances: dict[tuple[str, int], str] = {}

    async def __aenter__(self) -> Self:
        await self.server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.server.stop(signal.SIGKILL)

    def source(self) -> dict[str, Any]:
        return {
            "eureka_server": self.server.url,
            "registry_fetch_interval": "200ms",
            "timeout": "2s",
            "names": ["vip"],
            # As Consul says it: the port of the instance is that of the service.
            "service_port": None,
        }

    async def serve(self, addresses: Sequence[tuple[str, int]]) -> None:
        for address, port in addresses:
            if (address, port) not in self._instances:
                id_ = await self.server.register("web", port, address=address)
                self._instances[address, port] = id_
        for gone in self._instances.keys() - set(addresses):
            await self.server.done("DELETE", f"/apps/WEB/{self._instances.pop(gone)}")

    async def kill(self) -> None:
        await self.server.stop(signal.SIGKILL)

    async def revive(self) -> None:
        await self.server.start()
        there = list(self._instances)
        self._instances.clear()
        await self.serve(there)


class MesosMember:
    """A master that forgets everything; the framework comes back and starts its tasks again."""

    kind, host = "mesos", "web.marathon.mesos"

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        installed = MESOS.find()
        assert installed is not None
        self._server = Mesos(installed, folder)
        self._framework: Framework | None = None
        self._tasks: dict[tuple[str, int], str] = {}
        self._count = 0

    async def __aenter__(self) -> Self:
        await self._server.start()
        self._framework = await Framework(self._server).__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._leave()
        await self._server.stop(signal.SIGKILL)

    def source(self) -> dict[str, Any]:
        return {"masters": [self._server.address], "recovery": "10s"}

    async def serve(self, addresses: Sequence[tuple[str, int]]) -> None:
        assert self._framework is not None
        for address, port in addresses:
            if (address, port) not in self._tasks:
                id_ = f"web.{self._count}"
                self._count += 1
                await self._framework.launch(id_, "web", {port: "http"}, ip=address)
                self._tasks[address, port] = id_
        for gone in self._tasks.keys() - set(addresses):
            await self._framework.kill(self._tasks.pop(gone))

    async def kill(self) -> None:
        await self._leave()
        await self._server.stop(signal.SIGKILL)

    async def revive(self) -> None:
        await self._server.start()
        self._framework = await Framework(self._server).__aenter__()
        there = list(self._tasks)
        self._tasks.clear()
        await self.serve(there)

    async def _leave(self) -> None:
        framework, self._framework = self._framework, None
        if framework is not None:
            await framework.__aexit__()


class GorouterMember:
    """A NATS on which somebody repeats the routes of a platform."""

    kind, host = "gorouter", "web.cf.test"

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        installed = NATS.find()
        assert installed is not None
        self._server = Nats(installed, folder)
        self._emitter: RouteEmitter | None = None

    async def __aenter__(self) -> Self:
        await self._server.start()
        self._emitter = await RouteEmitter(self._server).__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._emitter is not None:
            await self._emitter.__aexit__()
        await self._server.stop(signal.SIGKILL)

    def source(self) -> dict[str, Any]:
        return {
            "servers": [self._server.address],
            "register_interval": "300ms",
            "sweep": "100ms",
            "ping_interval": "1s",
            # Its instances have no certificates here.
            "while_away": "keep-all",
        }

    async def serve(self, addresses: Sequence[tuple[str, int]]) -> None:
        assert self._emitter is not None
        routes = (registration(self.host, *place, tls=False) for place in addresses)
        await self._emitter.set("web", *routes)

    async def kill(self) -> None:
        await self._server.stop(signal.SIGKILL)

    async def revive(self) -> None:
        assert self._emitter is not None
        await self._server.start()
        await self._emitter.connected()
