"""As much of Consul as the adapter speaks to: blocking queries over a few tables."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

from meshregistry.model import Endpoint, Locality, Port, Protocol, RecordKey, Service, ServiceRecord

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

DATACENTER = "dc1"


def instance(
    service: str,
    address: str = "10.0.0.1",
    port: int = 8080,
    *,
    node: str = "vm-1",
    id: str = "",  # noqa: A002 - Consul's word
    tags: list[str] | None = None,
    status: str = "passing",
    modified: int = 0,
    dc: str = DATACENTER,
    **service_fields: Any,
) -> dict[str, Any]:
    """One entry of ``/v1/health/service``."""
    service_id = id or f"{service}-{address}-{port}"
    return {
        "Node": {"Node": node, "Address": "10.255.0.1", "Datacenter": dc, "Meta": {}},
        "Service": {
            "ID": service_id,
            "Service": service,
            "Address": address,
            "Port": port,
            "Tags": tags,
            "Meta": None,
            "Weights": {"Passing": 1, "Warning": 1},
            **service_fields,
        },
        "Checks": [
            {
                "Node": node,
                "CheckID": f"service:{service_id}",
                "ServiceID": service_id,
                "ServiceName": service,
                "Status": status,
                "ModifyIndex": modified,
            }
        ],
    }


def published(name: str, *addresses: str, port: int = 8080) -> ServiceRecord:
    """What the adapter makes of plain instances of the service."""
    endpoints = [
        Endpoint(
            address=one,
            port=port,
            service_port="http",
            cluster=DATACENTER,
            locality=Locality(DATACENTER),
        )
        for one in addresses
    ]
    service = Service(f"{name}.service.consul", ports=[Port("http", port, Protocol.HTTP)])
    return ServiceRecord(service, endpoints, key=RecordKey(name))


class FakeConsul:
    """A server on a free port of the loopback interface; an async context manager.

    Attributes:
        requests: how often each path was asked for.
        questions: path and parameters of the last requests, in order.
        token: the one that is asked for; empty lets everybody in.
        has_leader: whether there is one; without, only stale reads are answered.
        hidden: names that the token may not see.
        last_contact: milliseconds behind the leader.
        statuses: answers to give first instead of the true ones.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.requests: Counter[str] = Counter()
        self.questions: deque[tuple[str, dict[str, str]]] = deque(maxlen=200)
        self.token = ""
        self.has_leader = True
        self.hidden: set[str] = set()
        self.last_contact = 0
        self.statuses: list[int] = []
        self.running = self.most_running = 0
        self._runner: web.AppRunner | None = None
        self._changed = asyncio.Event()
        self._asked = asyncio.Event()
        self._clear()

    def _clear(self) -> None:
        self.index = 10
        self._services: dict[str, list[dict[str, Any]]] = {}
        self._index: Counter[str] = Counter()
        self._catalog_index = self._checks_index = self.index
        self._nodes: dict[str, int] = {}

    # --- What a test does -----------------------------------------------------------

    def set(self, service: str, *instances: dict[str, Any], is_check: bool = False) -> None:
        """Give a service these instances, in one write; none takes it out.

        A write of checks alone does not move the index of the catalog (`is_check`).
        """
        self.index += 1
        self._services[service] = list(instances)
        if not instances:
            del self._services[service]
        self._index[service] = self.index
        self._checks_index = self.index
        if not is_check:
            self._catalog_index = self.index
        for one in instances:
            self._nodes.setdefault(one["Node"]["Node"], self.index)
        self.wake()

    def edit(self, service: str, *instances: dict[str, Any]) -> None:
        """Change what Consul does not name: the catalog's index moves, and that is all."""
        self.index += 1
        self._services[service] = list(instances)
        self._index[service] = self._catalog_index = self.index
        self.wake()

    def move_node(self, node: str) -> None:
        """Count a write of a node."""
        self.index += 1
        self._nodes[node] = self.index
        self.wake()

    def go_back(self, index: int) -> None:
        """Let all indexes fall, as a restored server does; its data stays."""
        self.index = self._catalog_index = self._checks_index = index
        self._index = Counter(dict.fromkeys(self._services, index))
        self.wake()

    def wipe(self) -> None:
        """Lose everything."""
        self._clear()
        self.wake()

    def wake(self) -> None:
        """Let every query that waits look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def asked_for(self, path: str) -> None:
        """Wait until somebody has asked for this."""
        while not self.requests[path]:
            await self._asked.wait()

    # --- The server -----------------------------------------------------------------

    @property
    def address(self) -> str:
        """For the adapter's settings."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._runner.addresses[0][1]

    async def __aenter__(self) -> Self:
        app = web.Application()
        get = app.router.add_get
        get("/v1/catalog/services", self._handler(lambda _: (self._catalog_index, self._names())))
        get(
            "/v1/catalog/nodes",
            self._handler(lambda _: (max(self._nodes.values(), default=1), self._node_list())),
        )
        get("/v1/health/state/any", self._handler(lambda _: (self._checks_index, self._checks())))
        get("/v1/health/service/{name}", self._handler(self._health))
        self._runner = web.AppRunner(
            app, shutdown_timeout=0.01, handler_cancellation=True, keepalive_timeout=0.5
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def _handler(self, read: Callable[[str], tuple[int, Any]]) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.Response:
            self.requests[request.path] += 1
            self._asked.set()
            self._asked = asyncio.Event()
            self.questions.append((request.path, dict(request.query)))
            if self.statuses:
                return web.Response(status=self.statuses.pop(0), text="told to")
            if request.query.get("dc", DATACENTER).startswith("no-"):
                return web.Response(status=500, text="No path to datacenter")
            if self.token and request.headers.get("X-Consul-Token") != self.token:
                return web.Response(status=403, text="ACL not found")
            if not self.has_leader and "stale" not in request.query:
                return web.Response(status=500, text="No cluster leader")
            name = request.match_info.get("name", "")
            asked = int(request.query.get("index", 0))
            if asked:
                wait = float(request.query.get("wait", "300000ms").removesuffix("ms")) / 1000
                await self._until(lambda: read(name)[0] != asked, wait)
            else:
                self.running += 1
                self.most_running = max(self.most_running, self.running)
                await asyncio.sleep(0.001)
                self.running -= 1
            if self.token and request.headers.get("X-Consul-Token") != self.token:
                return web.Response(status=403, text="ACL not found")
            index, body = read(name)
            headers = {
                "X-Consul-Index": str(index),
                "X-Consul-KnownLeader": "true" if self.has_leader else "false",
                "X-Consul-LastContact": str(self.last_contact),
                "X-Consul-Query-Backend": "blocking-query",
            }
            if self.hidden and (not name or name in self.hidden):
                headers["X-Consul-Results-Filtered-By-ACLs"] = "true"
            return web.json_response(body, headers=headers)

        return handle

    async def _until(self, holds: Callable[[], bool], seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not holds():
                    await self._changed.wait()
        except TimeoutError:
            return

    def _names(self) -> dict[str, list[str]]:
        names = {"consul": []}
        for name, instances in self._services.items():
            if name not in self.hidden:
                tags = (tag for one in instances for tag in one["Service"]["Tags"] or ())
                names[name] = sorted(set(tags))
        return names

    def _node_list(self) -> list[dict[str, Any]]:
        return [{"Node": node, "ModifyIndex": index} for node, index in self._nodes.items()]

    def _checks(self) -> list[dict[str, Any]]:
        every = [one for instances in self._services.values() for one in instances]
        return [check for one in every for check in one["Checks"]]

    def _health(self, name: str) -> tuple[int, Any]:
        instances = [] if name in self.hidden else self._services.get(name, [])
        return self._index[name] or self.index, instances
