"""The registries that are measured: how each is started, written to, and counts requests."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import aiohttp
from attrs import define, field

from servers.consul import Consul
from servers.etcd import Etcd
from servers.kubernetes import Kubernetes
from servers.loopback import POD

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_CONSUL_BATCH = 64
_ETCD_BATCH = 100
_WRITERS = 16
_USER = "meshregistry"


class Subject(Protocol):
    """One registry with its server; an async context manager."""

    name: str
    host: str

    def source(self) -> dict[str, Any]:
        """The settings of a source for it, without an id."""

    async def point(self, backend: int, port: int, service: str = "web") -> None:
        """Let the one endpoint of a service be 127.0.0.N; returns when that is accepted."""

    async def replace(self, backend: int, port: int) -> None:
        """Let 127.0.0.N be the one endpoint of ``web``, as when an instance takes another's place."""

    async def fill(self, services: int, endpoints: int) -> None:
        """Add so many services of so many endpoints each."""

    async def requests(self) -> float | None:
        """How many requests its server has received of the adapter, if it has a server."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...


def address(service: int, endpoint: int) -> str:
    """Of an endpoint that nobody calls."""
    return f"10.{100 + service // 250}.{service % 250}.{endpoint + 1}"


@define
class FileSubject:
    """A file, replaced as a whole."""

    folder: Path
    name: str = "file"
    host: str = "web.file.test"
    _services: dict[str, list[tuple[str, int]]] = field(factory=dict)

    async def __aenter__(self) -> Self:
        self.folder.mkdir()
        return self

    async def __aexit__(self, *_: object) -> None: ...

    def source(self) -> dict[str, Any]:
        return {"kind": "file", "path": str(self.folder / "services.json")}

    async def point(self, backend: int, port: int, service: str = "web") -> None:
        self._services[f"{service}.file.test"] = [(f"127.0.0.{backend}", port)]
        self._write()

    async def replace(self, backend: int, port: int) -> None:
        await self.point(backend, port)

    async def fill(self, services: int, endpoints: int) -> None:
        for number in range(services):
            places = [(address(number, index), 8080) for index in range(endpoints)]
            self._services[f"s{number}.file.test"] = places
        self._write()

    def _write(self) -> None:
        document = {
            "services": [
                {
                    "host": host,
                    "ports": [{"name": "http", "port": 80, "protocol": "HTTP"}],
                    "endpoints": [{"address": at, "port": port} for at, port in places],
                }
                for host, places in self._services.items()
            ]
        }
        beside = self.folder / "services.new"
        beside.write_text(json.dumps(document), encoding="utf-8")
        beside.replace(self.folder / "services.json")

    async def requests(self) -> float | None:
        return None


class ConsulSubject:
    """One agent; changes are made there, and the many instances are on nodes of their own."""

    name = "consul"
    host = "web.service.consul"

    def __init__(self, binary: str, folder: Path) -> None:
        folder.mkdir()
        self._consul = Consul(binary, folder)
        self._instance = "web"

    async def __aenter__(self) -> Self:
        await self._consul.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consul.__aexit__()

    def source(self) -> dict[str, Any]:
        return {"kind": "consul", "address": self._consul.address}

    async def point(self, backend: int, port: int, service: str = "web") -> None:
        await self._consul.register(
            service, port, address=f"127.0.0.{backend}", id=service, Meta={"protocol": "http"}
        )

    async def replace(self, backend: int, port: int) -> None:
        new = f"web-{backend}"
        more = {"id": new, "Meta": {"protocol": "http"}}
        await self._consul.register("web", port, address=f"127.0.0.{backend}", **more)
        await self._consul.put(f"/v1/agent/service/deregister/{self._instance}")
        self._instance = new

    async def fill(self, services: int, endpoints: int) -> None:
        for index in range(endpoints):
            node = {"Node": f"bulk-{index}", "Address": f"192.0.2.{index + 1}"}
            await self._consul.put("/v1/catalog/register", node)
        operations = (
            {
                "Service": {
                    "Verb": "set",
                    "Node": f"bulk-{index}",
                    "Service": {
                        "ID": f"s{number}-{index}",
                        "Service": f"s{number}",
                        "Address": address(number, index),
                        "Port": 8080,
                        "Meta": {"version": "v1"},
                    },
                }
            }
            for number in range(services)
            for index in range(endpoints)
        )
        await concurrently(
            (self._consul.write(*batch) for batch in batches(operations, _CONSUL_BATCH)), 4
        )

    async def requests(self) -> float | None:
        return await self._consul.received_requests()


class EtcdSubject:
    """One member; an instance is a key in the adapter's own layout, as a registrar writes it."""

    name = "etcd"
    host = "web.etcd.test"

    def __init__(self, program: Path, folder: Path) -> None:
        self._etcd = Etcd(program, folder)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._etcd)
        self._http = await self._stack.enter_async_context(aiohttp.ClientSession())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def source(self) -> dict[str, Any]:
        return {"kind": "etcd", "endpoints": [self._etcd.endpoint]}

    async def point(self, backend: int, port: int, service: str = "web") -> None:
        await self._put([self._pair(f"{service}.etcd.test", 0, f"127.0.0.{backend}", port)])

    async def replace(self, backend: int, port: int) -> None:
        await self.point(backend, port)

    async def fill(self, services: int, endpoints: int) -> None:
        pairs = (
            self._pair(f"s{number}.etcd.test", index, address(number, index), 8080)
            for number in range(services)
            for index in range(endpoints)
        )
        await concurrently((self._put(batch) for batch in batches(pairs, _ETCD_BATCH)), 4)

    def _pair(self, host: str, index: int, at: str, port: int) -> dict[str, str]:
        document = {
            "ports": [{"name": "http", "port": 80, "protocol": "HTTP"}],
            "endpoints": [{"address": at, "port": port}],
        }
        # The gateway takes bytes in base 64.
        key, value = f"/meshregistry/services/{host}/{index}", json.dumps(document)
        return {
            "key": base64.b64encode(key.encode()).decode(),
            "value": base64.b64encode(value.encode()).decode(),
        }

    async def _put(self, pairs: list[dict[str, str]]) -> None:
        body = {"success": [{"request_put": pair} for pair in pairs]}
        url = f"http://{self._etcd.endpoint}/v3/kv/txn"
        async with self._http.post(url, json=body) as answer:
            if answer.status != 200:
                raise RuntimeError(f"etcd answers {answer.status}: {await answer.text()}")
            await answer.read()

    async def requests(self) -> float | None:
        return await self._etcd.received_requests()


class KubernetesSubject:
    """A control plane; slices are written by hand, so that no controller's time is measured."""

    name = "kubernetes"
    host = "web.default.svc.mesh.local"

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._audit = folder / "audit.log"
        policy = folder / "audit-policy.json"
        policy.write_text(
            json.dumps(
                {
                    "apiVersion": "audit.k8s.io/v1",
                    "kind": "Policy",
                    "omitStages": ["ResponseStarted", "ResponseComplete", "Panic"],
                    "rules": [{"level": "Metadata", "users": [_USER]}, {"level": "None"}],
                }
            ),
            encoding="utf-8",
        )
        flags = (f"--audit-policy-file={policy}", f"--audit-log-path={self._audit}")
        self._cluster = Kubernetes(folder, flags)
        self._known: set[str] = set()

    async def __aenter__(self) -> Self:
        await self._cluster.__aenter__()
        api = "rbac.authorization.k8s.io"
        common = {"apiVersion": f"{api}/v1", "metadata": {"name": _USER}}
        rules = [
            {
                "apiGroups": ["", "discovery.k8s.io"],
                "resources": ["services", "pods", "nodes", "namespaces", "endpointslices"],
                "verbs": ["get", "list", "watch"],
            }
        ]
        await self._cluster.create(common | {"kind": "ClusterRole", "rules": rules})
        binding = {
            "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": _USER},
            "subjects": [{"kind": "User", "apiGroup": api, "name": _USER}],
        }
        await self._cluster.create(common | {"kind": "ClusterRoleBinding"} | binding)
        await asyncio.sleep(1)  # the authorizer learns of new rules by a watch of its own
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._cluster.__aexit__()

    def source(self) -> dict[str, Any]:
        return {"kind": "kubernetes", "kubeconfig": str(self._cluster.viewer)}

    async def point(self, backend: int, port: int, service: str = "web") -> None:
        pod = POD.removesuffix("1") + str(backend)
        slice_ = _slice(service, [pod], port)
        if service not in self._known:
            self._known.add(service)
            await self._create(service, slice_)
            return
        path = f"{_SLICES}/{service}-1"
        changed = {"endpoints": slice_["endpoints"], "ports": slice_["ports"]}
        await self._cluster.call("PATCH", path, changed, patch="merge-patch+json")

    async def replace(self, backend: int, port: int) -> None:
        await self.point(backend, port)

    async def fill(self, services: int, endpoints: int) -> None:
        await concurrently(
            (
                self._create(
                    f"s{number}",
                    _slice(
                        f"s{number}", [address(number, index) for index in range(endpoints)], 8080
                    ),
                )
                for number in range(services)
            ),
            _WRITERS,
        )

    async def _create(self, service: str, slice_: dict[str, Any]) -> None:
        ports = [{"name": "http", "port": 80, "targetPort": 8080}]
        await self._cluster.service(service, ports=ports, selector=None)
        await self._cluster.create(slice_)

    async def requests(self) -> float | None:
        if not self._audit.exists():
            return 0
        return self._audit.read_bytes().count(b'"stage":"RequestReceived"')


_SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"


def _slice(service: str, addresses: list[str], port: int) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{service}-1",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
        "endpoints": [{"addresses": [one], "conditions": {"ready": True}} for one in addresses],
    }


def batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Lists of at most so many."""
    left = iter(items)
    while batch := list(itertools.islice(left, size)):
        yield batch


async def concurrently(works: Iterable[Any], limit: int) -> None:
    """Await all of them, at most so many at once."""
    left = iter(works)

    async def worker() -> None:
        for work in left:
            await work

    async with asyncio.TaskGroup() as group:
        for _ in range(limit):
            group.create_task(worker())
