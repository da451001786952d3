"""A Marathon that lives in the test.

No Marathon can be had as a program any more, so this stands for it: the REST calls and the
stream of events that the adapter uses, over state of its own, written after the documented
payloads of Marathon 1.5 to 1.11. What no double can show is whether Marathon keeps to them.
"""

from __future__ import annotations

import asyncio
import base64
import json
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

from meshregistry.model import Endpoint, Port, Protocol, RecordKey, Service, ServiceRecord

if TYPE_CHECKING:
    from collections.abc import Callable

VERSION = "2026-01-01T00:00:00.000Z"


def task(id_, *, ip="10.0.0.1", host="10.9.0.1", ports=(), state="TASK_RUNNING", **more):
    """A task as an app embeds it."""
    return {
        "id": id_,
        "host": host,
        "ports": list(ports),
        "servicePorts": [],
        "ipAddresses": [{"ipAddress": ip, "protocol": "IPv4"}] if ip else [],
        "state": state,
        "stagedAt": VERSION,
        "startedAt": VERSION,
        "version": VERSION,
        "slaveId": "S0",
        "localVolumes": [],
        **more,
    }


def result(alive):
    """What a health check says of a task; None: that it has not been made yet."""
    return {
        "alive": bool(alive),
        "consecutiveFailures": 3 if alive is False else 0,
        "firstSuccess": VERSION if alive else None,
        "lastSuccess": VERSION if alive else None,
        "lastFailure": VERSION if alive is False else None,
        "lastFailureCause": None,
    }


def app(id_, *tasks, mappings=({"containerPort": 8080, "name": "http"},), **more):
    """An app with an address for each task."""
    return {
        "id": id_,
        "version": VERSION,
        "labels": {},
        "networks": [{"mode": "container", "name": "dcos"}],
        "container": {
            "type": "MESOS",
            "portMappings": [
                {"hostPort": None, "servicePort": 0, "protocol": "tcp", "labels": {}, **one}
                for one in mappings
            ],
        },
        "healthChecks": [],
        "readinessChecks": [],
        "deployments": [],
        "unreachableStrategy": {"inactiveAfterSeconds": 0, "expungeAfterSeconds": 0},
        "tasks": list(tasks),
        **more,
    }


def pod(id_, *ips, mode="container", healthy=None, **more):
    """The status of a pod with an instance for each address."""
    check = {} if healthy is None else {"healthCheck": {"http": {"endpoint": "http"}}}
    flag = {} if healthy is None else {"healthy": healthy}
    endpoint = {"name": "http", "containerPort": 8080, "hostPort": 0, "protocol": ["tcp"]}
    return {
        "id": id_,
        "status": "STABLE",
        "spec": {
            "id": id_,
            "labels": {"tier": "pod"},
            "networks": [{"mode": mode, "name": "dcos"}],
            "containers": [{"name": "main", "endpoints": [endpoint], **check}],
        },
        "instances": [
            {
                "id": f"{id_}.instance-{number}",
                "status": "STABLE",
                "agentHostname": "10.9.0.1",
                "agentRegion": "eu",
                "agentZone": "eu-1",
                "networks": [{"name": "dcos", "addresses": [ip]}],
                "containers": [
                    {
                        "name": "main",
                        "status": "TASK_RUNNING",
                        "endpoints": [
                            {"name": "http", "allocatedHostPort": 31_000 + number, **flag}
                        ],
                    }
                ],
            }
            for number, ip in enumerate(ips)
        ],
        **more,
    }


def published(id_, *addresses):
    """What the adapter says of an app made by `app`."""
    name = "-".join(reversed(id_.strip("/").split("/")))
    service = Service(f"{name}.marathon.mesos", ports=[Port("http", 8080, Protocol.HTTP)])
    endpoints = [Endpoint(address=one, port=8080, service_port="http") for one in addresses]
    return ServiceRecord(service, endpoints, key=RecordKey(id_))


class FakeMarathon:
    """An async context manager.

    Attributes:
        apps, pods: what there is, by id.
        leader: the address to redirect streams to, if it is a standby node.
        has_leader: without one, calls are answered by 502.
        has_pods: whether it knows pods (Marathon 1.4 and later).
        password: basic credentials that callers need, as ``name:password``.
        token: that callers need, of DC/OS.
        forbidden: ids that callers may not see by themselves.
        greets: whether a stream begins as it should.
        calls: path of each call.
        queries: and what was asked with it.
    """

    def __init__(self) -> None:
        self.apps: dict[str, Any] = {}
        self.pods: dict[str, Any] = {}
        self.leader = ""
        self.has_leader = True
        self.has_pods = True
        self.password = ""
        self.token = ""
        self.forbidden: set[str] = set()
        self.greets = True
        self.calls: list[str] = []
        self.queries: list[Any] = []
        self.port = 0
        self._queues: set[asyncio.Queue[str | None]] = set()

    @property
    def address(self) -> str:
        """For settings."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def streams(self) -> int:
        """How many are open."""
        return len(self._queues)

    async def __aenter__(self) -> Self:
        application = web.Application()
        for path, answer in (
            ("/v2/apps", self._all_apps),
            ("/v2/apps/{id:.+}", self._one_app),
            ("/v2/pods/::status", self._all_pods),
            ("/v2/pods/{id:.+}::status", self._one_pod),
            ("/v2/events", self._events),
        ):
            application.router.add_get(path, self._guarded(answer))
        self._runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close_streams()
        await self._runner.cleanup()

    # --- What happens ---------------------------------------------------------------

    def set(self, *found: Any) -> None:
        """Apps as they are from now on, with the event of a task that has changed."""
        for one in found:
            self.apps[one["id"]] = one
            self.tell("status_update_event", appId=one["id"], taskStatus="TASK_RUNNING")

    def set_pod(self, *found: Any) -> None:
        """The same for pods."""
        for one in found:
            self.pods[one["id"]] = one
            self.tell("instance_changed_event", runSpecId=one["id"], condition="Running")

    def remove(self, id_: str) -> None:
        """An app or a pod that is gone."""
        self.apps.pop(id_, None)
        self.pods.pop(id_, None)
        self.tell("app_terminated_event", appId=id_)

    def tell(self, name: str, **more: Any) -> None:
        """An event for every stream."""
        said = {"eventType": name, "timestamp": VERSION, **more}
        self.send(f"event: {name}\r\ndata: {json.dumps(said)}\r\n\r\n")

    def send(self, text: str) -> None:
        """A text for every stream, whatever it is."""
        for queue in self._queues:
            queue.put_nowait(text)

    def close_streams(self) -> None:
        """End every stream, as a node does that leads no longer."""
        for queue in self._queues:
            queue.put_nowait(None)

    # --- Answers --------------------------------------------------------------------

    def _guarded(self, answer: Callable[[web.Request], Any]) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            self.calls.append(request.path)
            self.queries.append(request.query)
            given = request.headers.get("Authorization", "")
            wanted = [f"token={self.token}"] if self.token else []
            if self.password:
                wanted = [f"Basic {base64.b64encode(self.password.encode()).decode()}"]
            if wanted and given not in wanted:
                return web.json_response({"message": "Invalid username or password."}, status=401)
            if not self.has_leader:
                return web.Response(status=502, text="Could not determine the current leader")
            return await answer(request)

        return handle

    async def _all_apps(self, request: web.Request) -> web.StreamResponse:
        label = request.query.get("label")
        key, _, value = (label or "").partition("==")
        apps = [
            one
            for one in self.apps.values()
            if label is None or not isinstance(one, dict) or one["labels"].get(key) == value
        ]
        return web.json_response({"apps": apps})

    async def _one_app(self, request: web.Request) -> web.StreamResponse:
        id_ = "/" + request.match_info["id"]
        if id_ in self.forbidden:
            return web.json_response({"message": "Not Authorized"}, status=403)
        if id_ not in self.apps:
            return web.json_response({"message": f"App '{id_}' does not exist"}, status=404)
        return web.json_response({"app": self.apps[id_]})

    async def _all_pods(self, _request: web.Request) -> web.StreamResponse:
        if not self.has_pods:
            return web.json_response({"message": "no such path"}, status=404)
        return web.json_response(list(self.pods.values()))

    async def _one_pod(self, request: web.Request) -> web.StreamResponse:
        id_ = "/" + request.match_info["id"]
        if id_ not in self.pods:
            return web.json_response({"message": f"Pod '{id_}' does not exist"}, status=404)
        return web.json_response(self.pods[id_])

    async def _events(self, request: web.Request) -> web.StreamResponse:
        assert request.headers["Accept"] == "text/event-stream"
        if self.leader:
            location = f"{self.leader}{request.path_qs}"
            return web.Response(status=302, headers={"Location": location})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._queues.add(queue)
        if self.greets:
            # Every stream is told of every stream that begins.
            self.tell("event_stream_attached", remoteAddress="127.0.0.1")
        try:
            while (text := await queue.get()) is not None:
                await response.write(text.encode())
        except ConnectionError:
            pass
        finally:
            self._queues.discard(queue)
        return response
