"""A framework of Mesos, by the v1 HTTP API of schedulers: starts tasks that run nothing."""

from __future__ import annotations

import base64
import json
import sys
from typing import TYPE_CHECKING, Any, Self

import aiohttp

from servers.mesos_recipe import SOURCES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from servers.mesos import Mesos


class Framework:
    """A framework that starts tasks which run nothing, by one executor; an async context manager.

    Leaving it ends the connection; its tasks stay until `teardown` or for a minute.

    Args:
        mesos: where to register.
        name: of it.
    """

    def __init__(self, mesos: Mesos, name: str = "marathon") -> None:
        self.name = name
        self.states: dict[str, str] = {}
        self.agents: dict[str, Any] = {}
        self._mesos = mesos
        self._url = f"{mesos.address}/api/v1/scheduler"
        self._id: Any = None
        self._stream_id = ""
        self._waiting: list[dict[str, Any]] = []
        self._events: AsyncIterator[Any] | None = None

    async def __aenter__(self) -> Self:
        info = {
            "user": "root",
            "name": self.name,
            "roles": ["*"],
            "failover_timeout": 60,
            "capabilities": [{"type": "MULTI_ROLE"}, {"type": "PARTITION_AWARE"}],
        }
        subscribe = {"type": "SUBSCRIBE", "subscribe": {"framework_info": info}}
        # A session of its own: the stream must outlive whatever else is closed.
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))
        self._response = await self._session.post(self._url, json=subscribe)
        assert self._response.status == 200, await self._response.text()
        self._stream_id = self._response.headers["Mesos-Stream-Id"]
        self._events = self._read()
        self._id = (await anext(self._events))["subscribed"]["framework_id"]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._response.close()
        await self._session.close()

    # --- Tasks ----------------------------------------------------------------------

    async def launch(
        self,
        id_: str,
        name: str,
        ports: Mapping[int, str],
        *,
        ip: str = "",
        labels: Mapping[str, str] | None = None,
        discovery: Mapping[str, Any] | None = None,
        allocated: tuple[int, ...] = (),
        bare: bool = False,
        **status: Any,
    ) -> None:
        """Start a task and wait until it runs.

        Args:
            id_: of the task.
            name: of its discovery information, too.
            ports: numbers to names, of its discovery information.
            ip: of its container; else that of the agent.
            labels: of the task.
            discovery: more of its discovery information.
            allocated: ports of the host that it is given.
            bare: whether it has no discovery information.
            status: more of its first status.
        """
        if ip:
            addresses = [{"protocol": "IPv4", "ip_address": ip}]
            status["container_status"] = {"network_infos": [{"ip_addresses": addresses}]}
        named = [{"number": n, "name": p, "protocol": "tcp"} for n, p in ports.items()]
        resources = [_scalar("cpus", 0.001), _scalar("mem", 1)]
        if allocated:
            ranges = [{"begin": one, "end": one} for one in allocated]
            resources.append({"name": "ports", "type": "RANGES", "ranges": {"range": ranges}})
        task = {
            "name": name,
            "task_id": {"value": id_},
            "labels": _labels(labels or {}),
            "resources": resources,
            "data": base64.b64encode(json.dumps(status).encode()).decode(),
            "executor": {
                "type": "CUSTOM",
                "executor_id": {"value": "idle"},
                "framework_id": self._id,
                "command": {"shell": True, "value": f"{sys.executable} {SOURCES / 'executor.py'}"},
                "resources": [_scalar("cpus", 0.001), _scalar("mem", 1)],
            },
        }
        if not bare:
            base = {"visibility": "CLUSTER", "name": name, "ports": {"ports": named}}
            task["discovery"] = {**base, **(discovery or {})}
        self._waiting.append(task)
        await self._call("REVIVE")
        await self._until(id_, "TASK_RUNNING")

    async def kill(self, id_: str) -> None:
        """End a task and wait until it has."""
        await self._call("KILL", kill={"task_id": {"value": id_}})
        await self._until(id_, "TASK_KILLED")
        # Thousands may come and go, in tests that watch the memory of this process.
        del self.states[id_], self.agents[id_]

    async def say(self, id_: str, **status: Any) -> None:
        """Have the executor send another status of a task, and wait for it."""
        self.states.pop(id_, None)
        data = base64.b64encode(json.dumps({"task": id_, **status}).encode()).decode()
        message = {
            "agent_id": self.agents[id_],
            "executor_id": {"value": "idle"},
            "data": data,
        }
        await self._call("MESSAGE", message=message)
        await self._until(id_, status.get("state", "TASK_RUNNING"))

    async def teardown(self) -> None:
        """End the framework with all its tasks."""
        await self._call("TEARDOWN")

    # --- How ------------------------------------------------------------------------

    async def _call(self, kind: str, **body: Any) -> None:
        document = {"type": kind, "framework_id": self._id, **body}
        headers = {"Mesos-Stream-Id": self._stream_id}
        async with self._session.post(self._url, json=document, headers=headers) as response:
            assert response.status == 202, f"{kind}: {response.status} {await response.text()}"

    async def _read(self) -> AsyncIterator[Any]:
        content = self._response.content
        while size := await content.readline():
            yield json.loads(await content.readexactly(int(size)))

    async def _until(self, id_: str, state: str) -> None:
        """Take events in until a task is in this state."""
        assert self._events is not None
        while self.states.get(id_) != state:
            event = await anext(self._events)
            if event["type"] == "OFFERS":
                for offer in event["offers"]["offers"]:
                    await self._accept(offer)
            elif event["type"] == "UPDATE":
                await self._note(event["update"]["status"])
            elif event["type"] in {"ERROR", "FAILURE"}:
                raise AssertionError(f"Mesos says {event}")

    async def _note(self, status: Any) -> None:
        if "uuid" in status:
            names = ("agent_id", "task_id", "uuid")
            await self._call("ACKNOWLEDGE", acknowledge={name: status[name] for name in names})
        id_ = status["task_id"]["value"]
        self.states[id_] = status["state"]
        assert status["state"] not in {"TASK_ERROR", "TASK_FAILED"}, status

    async def _accept(self, offer: Any) -> None:
        """Launch what waits; an offer that is not needed is refused for long, until REVIVE."""
        tasks, self._waiting = self._waiting, []
        for task in tasks:
            task["agent_id"] = offer["agent_id"]
            self.agents[task["task_id"]["value"]] = offer["agent_id"]
        launch = [{"type": "LAUNCH", "launch": {"task_infos": tasks}}] if tasks else []
        accept = {
            "offer_ids": [offer["id"]],
            "filters": {"refuse_seconds": 3600},
            "operations": launch,
        }
        await self._call("ACCEPT", accept=accept)


def _scalar(name: str, value: float) -> dict[str, Any]:
    return {"name": name, "type": "SCALAR", "scalar": {"value": value}}


def _labels(pairs: Mapping[str, str]) -> dict[str, Any]:
    return {"labels": [{"key": key, "value": value} for key, value in pairs.items()]}
