"""As much of a Eureka server as the adapter speaks to: full answers, deltas, registrations."""

from __future__ import annotations

import base64
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

from meshregistry.model import Endpoint, Port, Protocol, RecordKey, Service, ServiceRecord

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable


def instance(
    app: str,
    address: str = "10.0.0.1",
    port: int = 8080,
    *,
    id: str = "",  # noqa: A002 - Eureka's word
    status: str = "UP",
    secure: int = 0,
    **fields: Any,
) -> dict[str, Any]:
    """One instance, as Spring's client registers it."""
    return {
        "instanceId": id or f"{address}:{app.lower()}:{port}",
        "hostName": address,
        "app": app.upper(),
        "ipAddr": address,
        "status": status,
        "overriddenStatus": "UNKNOWN",
        "port": {"$": port, "@enabled": "true"},
        "securePort": {"$": secure or 443, "@enabled": str(bool(secure)).lower()},
        "dataCenterInfo": {
            "@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo",
            "name": "MyOwn",
        },
        "leaseInfo": {"renewalIntervalInSecs": 30, "durationInSecs": 90},
        "metadata": {"@class": "java.util.Collections$EmptyMap"},
        "vipAddress": app.lower(),
        "secureVipAddress": app.lower(),
        **fields,
    }


def published(name: str, *addresses: str, port: int = 8080) -> ServiceRecord:
    """What the adapter makes of plain instances of the service."""
    endpoints = [Endpoint(address=one, port=port, service_port="http") for one in addresses]
    service = Service(name, ports=[Port("http", 80, Protocol.HTTP)])
    return ServiceRecord(service, endpoints, key=RecordKey(name))


class FakeEureka:
    """A server on a free port of the loopback interface; an async context manager.

    Attributes:
        requests: how often each path was asked for.
        queries: of the last requests by path.
        refusals: statuses by path, given instead of the true answers.
        credentials: ``user:password`` that are asked for; empty lets everybody in.
        hash_code: told instead of the true one.
        deltas: what the delta holds; grows for ever unless it is cleared.
        broken: applications that stand in the answers as they are.
        text: an answer to every question, instead of the true ones.
        redirect: the URL of a server that answers instead.
        authorizations: what was sent with each question as ``Authorization``.
        renewals: ids whose lease was renewed, with the parameters.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._runner: web.AppRunner | None = None
        self.requests: Counter[str] = Counter()
        self.queries: dict[str, dict[str, str]] = {}
        self.refusals: dict[str, int] = {}
        self.credentials = ""
        self.hash_code: str | None = None
        self.instances: dict[tuple[str, str], Any] = {}
        self.deltas: list[dict[str, Any]] = []
        self.broken: list[Any] = []
        self.text = ""
        self.redirect = ""
        self.authorizations: list[str] = []
        self.renewals: list[tuple[str, dict[str, str]]] = []
        self.time = 1_700_000_000_000

    # --- What a test does -----------------------------------------------------------

    def set(self, app: str, *instances: dict[str, Any]) -> None:
        """Give an application these instances, in one write; none takes it out."""
        wanted = {one["instanceId"]: one for one in instances}
        had = [id_ for name, id_ in self.instances if name == app.upper()]
        for id_ in had:
            if id_ not in wanted:
                self.cancel(app, id_)
        for one in wanted.values():
            self.register(app, one)

    def register(self, app: str, one: dict[str, Any], action: str = "ADDED") -> None:
        """Add or exchange one instance."""
        self.time += 1
        stored = {"lastUpdatedTimestamp": str(self.time), **one, "actionType": action}
        self.instances[app.upper(), one["instanceId"]] = stored
        self.deltas.append(stored)

    def cancel(self, app: str, id_: str) -> None:
        """Take one instance out."""
        self.time += 1
        gone = self.instances.pop((app.upper(), id_))
        self.deltas.append(
            {**gone, "lastUpdatedTimestamp": str(self.time), "actionType": "DELETED"}
        )

    def wipe(self) -> None:
        """Lose everything."""
        self.instances.clear()
        self.deltas.clear()

    # --- The server -----------------------------------------------------------------

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._runner.addresses[0][1]

    @property
    def url(self) -> str:
        """For the adapter's settings."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/eureka"

    async def __aenter__(self) -> Self:
        app = web.Application()
        add = app.router.add_route
        add("GET", "/eureka/apps", self._handler(self._apps))
        add("GET", "/eureka/apps/delta", self._handler(self._delta))
        add("POST", "/eureka/apps/{app}", self._handler(self._registered))
        add("PUT", "/eureka/apps/{app}/{id}", self._handler(self._renewed))
        add("DELETE", "/eureka/apps/{app}/{id}", self._handler(self._cancelled))
        self._runner = web.AppRunner(
            app, shutdown_timeout=0.01, handler_cancellation=True, keepalive_timeout=0.5
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def _handler(
        self, answer: Callable[[web.Request], Awaitable[web.Response]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            path = request.path.removeprefix("/eureka")
            self.requests[path] += 1
            self.queries[path] = dict(request.query)
            self.authorizations.append(request.headers.get("Authorization", ""))
            if self.credentials:
                wanted = base64.b64encode(self.credentials.encode()).decode()
                if request.headers.get("Authorization") != f"Basic {wanted}":
                    return web.Response(status=401, text="who are you")
            if status := self.refusals.get(path):
                return web.Response(status=status, text="told to")
            if self.redirect:
                raise web.HTTPFound(self.redirect + path)
            if self.text:
                return web.Response(text=self.text)
            # XML is what a server answers to those who do not ask for JSON.
            if "json" not in request.headers.get("Accept", ""):
                return web.Response(text="<applications/>", content_type="application/xml")
            return await answer(request)

        return handle

    async def _apps(self, _request: web.Request) -> web.Response:
        return self._answer(self.instances.values())

    async def _delta(self, _request: web.Request) -> web.Response:
        return self._answer(self.deltas)

    async def _registered(self, request: web.Request) -> web.Response:
        one = (await request.json())["instance"]
        if one["app"] != request.match_info["app"]:
            return web.Response(status=400, text="Mismatched appName")
        self.register(one["app"], one)
        return web.Response(status=204)

    async def _renewed(self, request: web.Request) -> web.Response:
        key = request.match_info["app"].upper(), request.match_info["id"]
        self.renewals.append((key[1], dict(request.query)))
        return web.Response(status=200 if key in self.instances else 404)

    async def _cancelled(self, request: web.Request) -> web.Response:
        key = request.match_info["app"].upper(), request.match_info["id"]
        if key not in self.instances:
            return web.Response(status=404)
        self.cancel(*key)
        return web.Response(status=200)

    def _answer(self, instances: Any) -> web.Response:
        by_app: dict[str, list[Any]] = {}
        for one in instances:
            by_app.setdefault(one["app"], []).append(one)
        counts = Counter(one["status"] for one in self.instances.values())
        true = "".join(f"{status}_{count}_" for status, count in sorted(counts.items()))
        body = {
            "versions__delta": "1",
            "apps__hashcode": true if self.hash_code is None else self.hash_code,
            "application": [
                *({"name": app, "instance": each} for app, each in by_app.items()),
                *self.broken,
            ],
        }
        return web.json_response({"applications": body})
