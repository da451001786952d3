"""A Mesos master that lives in the test: the calls that the adapter makes, over state of its own.

It writes what a real master of 1.11.0 was seen to write (see `payloads`), but chooses its time:
heartbeats, failovers, agents that are late.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import time
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

from meshregistry.model import Endpoint, Port, Protocol, RecordKey, Service, ServiceRecord

if TYPE_CHECKING:
    from collections.abc import Iterable

AGENT = "S0"
FRAMEWORK = "F0"


def agent(id_=AGENT, *, ip="10.9.0.1", attributes=None, **more):
    """An agent as the master lists it."""
    texts = [
        {"name": name, "type": "TEXT", "text": {"value": value}}
        for name, value in (attributes or {}).items()
    ]
    info = {"hostname": f"{id_.lower()}.example", "id": {"value": id_}, "attributes": texts, **more}
    return {"agent_info": info, "active": True, "pid": f"slave(1)@{ip}:5051"}


def framework(id_=FRAMEWORK, name="marathon"):
    """A framework as the master lists it."""
    return {"framework_info": {"name": name, "id": {"value": id_}, "user": "root"}, "active": True}


def labels(pairs):
    """Mesos' form of labels."""
    return {"labels": [{"key": key, "value": value} for key, value in pairs.items()]}


def status(task, state="TASK_RUNNING", *, ip="", **more):
    """A status of a task."""
    made = {"task_id": {"value": task}, "state": state, "timestamp": time.time(), **more}
    if ip:
        addresses = [{"protocol": "IPv4", "ip_address": ip}]
        made["container_status"] = {"network_infos": [{"ip_addresses": addresses}]}
    return made


def task(id_, name="web", *, ip="10.0.0.1", ports=((8080, "http"),), state="TASK_RUNNING", **more):
    """A task with discovery information as the master lists it."""
    known = {
        "name": name,
        "task_id": {"value": id_},
        "framework_id": {"value": FRAMEWORK},
        "agent_id": {"value": AGENT},
        "state": state,
        "resources": [],
        "statuses": [status(id_, state, ip=ip)],
        "discovery": {
            "visibility": "CLUSTER",
            "name": name,
            "ports": {"ports": [{"number": n, "name": p, "protocol": "tcp"} for n, p in ports]},
        },
    }
    return known | more


def published(name, *addresses):
    """What the adapter says of tasks made by `task`."""
    service = Service(f"{name}.marathon.mesos", ports=[Port("http", 8080, Protocol.HTTP)])
    endpoints = [Endpoint(address=one, port=8080, service_port="http") for one in addresses]
    return ServiceRecord(service, endpoints, key=RecordKey(f"marathon/{name}"))


class FakeMaster:
    """An async context manager.

    Args:
        heartbeat: seconds between two heartbeats.

    Attributes:
        id: of its process; another one makes it another master.
        elected: the time of its election.
        leader: the address to redirect to, if it does not lead.
        is_recovering: whether it answers 503.
        password: basic credentials that callers need, as ``name:password``.
        is_silent: whether heartbeats stop.
        is_split: whether the stream comes byte by byte.
        calls: type of each call.
        agents, frameworks, tasks, recovered: what it lists.
    """

    def __init__(self, *, heartbeat: float = 0.2) -> None:
        self.id = "master-1"
        self.elected = time.time() - 3600
        self.leader = ""
        self.is_recovering = False
        self.password = ""
        self.is_silent = False
        self.is_split = False
        self.calls: list[str] = []
        self.seen: list[str] = []
        self.agents: dict[str, Any] = {AGENT: agent()}
        self.frameworks: dict[str, Any] = {FRAMEWORK: framework()}
        self.tasks: dict[str, Any] = {}
        self.recovered: list[Any] = []
        self.port = 0
        self._heartbeat = heartbeat
        self._queues: set[asyncio.Queue[Any]] = set()
        self._tokens = itertools.count(1)

    @property
    def address(self) -> str:
        """For settings."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def subscribers(self) -> int:
        """How many streams are open."""
        return len(self._queues)

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/api/v1", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close_streams()
        await self._runner.cleanup()

    # --- What happens in the cluster ------------------------------------------------

    def add(self, *tasks: Any) -> None:
        """Tasks that are there at once."""
        for one in tasks:
            self.tasks[one["task_id"]["value"]] = one
            self.tell("TASK_ADDED", task_added={"task": one})

    def update(self, id_: str, state: str = "TASK_RUNNING", **more: Any) -> None:
        """A status update; a terminal state ends the task."""
        known = self.tasks[id_]
        known["state"] = state
        said = status(id_, state, **more)
        known["statuses"].append(said)
        if state not in ("TASK_RUNNING", "TASK_KILLING", "TASK_UNREACHABLE"):
            del self.tasks[id_]
        update = {"framework_id": known["framework_id"], "status": said, "state": state}
        self.tell("TASK_UPDATED", task_updated=update)

    def kill(self, *ids: str) -> None:
        """Tasks that end."""
        for id_ in ids:
            self.update(id_, "TASK_KILLED")

    def tell(self, kind: str, **more: Any) -> None:
        """An event for every subscriber."""
        self.send(json.dumps({"type": kind, **more}))

    def send(self, record: str) -> None:
        """A record for every subscriber, whatever it is."""
        for queue in self._queues:
            queue.put_nowait(record)

    def close_streams(self) -> None:
        """End every subscription."""
        for queue in self._queues:
            queue.put_nowait(None)

    def fail_over(self, *, agents: Iterable[Any] = (), recovered: Iterable[Any] = ()) -> None:
        """Be another master, elected now, that knows these agents and none of the tasks."""
        self.id = f"master-{next(self._tokens) + 1}"
        self.elected = time.time()
        self.agents = {one["agent_info"]["id"]["value"]: one for one in agents}
        self.recovered = list(recovered)
        self.tasks = {}
        self.close_streams()

    def come_back(self, known: Any, *tasks: Any) -> None:
        """An agent registers again, with its tasks, in the order of a real master."""
        id_ = known["agent_info"]["id"]["value"]
        self.recovered = [one for one in self.recovered if one["id"]["value"] != id_]
        self.add(*tasks)
        self.agents[id_] = known
        self.tell("AGENT_ADDED", agent_added={"agent": known})

    # --- Answers --------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """What ``GET_STATE`` says."""
        running = [one for one in self.tasks.values() if one.get("state") != "TASK_UNREACHABLE"]
        lost = [one for one in self.tasks.values() if one.get("state") == "TASK_UNREACHABLE"]
        return {
            "get_tasks": {"tasks": running, "unreachable_tasks": lost, "completed_tasks": []},
            "get_frameworks": {"frameworks": list(self.frameworks.values())},
            "get_agents": {
                "agents": list(self.agents.values()),
                "recovered_agents": self.recovered,
            },
        }

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        kind = (await request.json())["type"]
        self.calls.append(kind)
        self.seen.append(request.headers.get("Authorization", ""))
        if self.leader:
            place = self.leader.removeprefix("http:")
            return web.Response(status=307, headers={"Location": f"{place}/api/v1"})
        if self.is_recovering:
            return web.Response(status=503, text="Master has not finished recovery")
        if self.password:
            wanted = base64.b64encode(self.password.encode()).decode()
            if request.headers.get("Authorization") != f"Basic {wanted}":
                return web.Response(status=401, text="no such credentials")
        if kind == "GET_MASTER":
            said = {"master_info": {"id": self.id}, "elected_time": self.elected}
            return web.json_response({"type": kind, "get_master": said})
        return await self._subscribe(request)

    async def _subscribe(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        queue: asyncio.Queue[Any] = asyncio.Queue()
        # No await between state and queue: what happens next is the next event.
        first = {"get_state": self.state(), "heartbeat_interval_seconds": self._heartbeat}
        queue.put_nowait(json.dumps({"type": "SUBSCRIBED", "subscribed": first}))
        self._queues.add(queue)
        try:
            while True:
                try:
                    async with asyncio.timeout(self._heartbeat):
                        record = await queue.get()
                except TimeoutError:
                    if self.is_silent:
                        continue
                    record = json.dumps({"type": "HEARTBEAT"})
                if record is None:
                    return response
                await self._write(response, record)
        except ConnectionError:
            return response
        finally:
            self._queues.discard(queue)

    async def _write(self, response: web.StreamResponse, record: str) -> None:
        payload = record.encode()
        data = f"{len(payload)}\n".encode() + payload
        pieces = [bytes([one]) for one in data] if self.is_split else [data]
        for piece in pieces:
            await response.write(piece)
