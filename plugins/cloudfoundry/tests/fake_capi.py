"""A Cloud Controller and its UAA that live in the test.

Neither can be had as a server, so this is a double: paths, fields and refusals are those that
the documentation of the v3 API and of UAA describes.
"""

from __future__ import annotations

import base64
import time
from email.utils import formatdate

from aiohttp import web

ORG, SPACE, DOMAIN, INTERNAL, TCP = "org-1", "space-1", "domain-1", "domain-2", "domain-3"


def relation(**guids):
    """As the API writes relationships."""
    return {what: {"data": {"guid": guid}} for what, guid in guids.items()}


class FakeCapi:
    """One platform; an async context manager.

    Attributes:
        routes, apps, processes: what it lists, by GUID.
        stats: instances by GUID of the process.
        password, secret, refresh_tokens: credentials that it takes.
        tokens: access tokens that are good.
        lifetime: of an access token, in seconds.
        limit: how many requests are left; None for no limit.
        asked: every request: method and path with query.
        granted: every grant type that was asked for.
        broken: whether instances cannot be told.
        on_page: is called with kind and number before a page is given.
        uaa_address, self_address: what it calls UAA and itself, if not by the address in use.
    """

    def __init__(self):
        self.password, self.secret = "good", "shh"
        self.refresh_tokens = {"given"}
        self.tokens = set()
        self.lifetime = 600
        self.limit = None
        self.reset = 0.0
        self.asked, self.granted = [], []
        self.on_page = lambda path, page: None
        self.uaa_address = self.self_address = None
        self.broken = False
        self.clear()

    def clear(self):
        """Forget everything that developers have made."""
        self.routes, self.apps, self.processes, self.stats = {}, {}, {}, {}
        self.domains = {
            DOMAIN: {"guid": DOMAIN, "name": "apps.example", "internal": False},
            INTERNAL: {"guid": INTERNAL, "name": "apps.internal", "internal": True},
            TCP: {"guid": TCP, "name": "tcp.example", "internal": False},
        }

    # --- What developers do ---------------------------------------------------------

    def push(self, name, *addresses, state="STARTED", labels=None, **more):
        """An app with an instance at each address."""
        guid, process = f"app-{name}", f"process-{name}"
        self.apps[guid] = {
            "guid": guid,
            "name": name,
            "state": state,
            "metadata": {"labels": labels or {}, "annotations": {}},
            "relationships": relation(space=SPACE),
        }
        self.processes[process] = {
            "guid": process,
            "type": "web",
            "instances": len(addresses),
            "relationships": relation(app=guid),
        }
        self.stats[process] = [
            {
                "type": "web",
                "index": index,
                "instance_guid": f"instance-{name}-{index}",
                "state": "RUNNING",
                "routable": True,
                "host": address,
                "instance_internal_ip": f"10.255.0.{index + 1}",
                "instance_ports": [
                    {
                        "external": 61001,
                        "internal": 8080,
                        "external_tls_proxy_port": 61003,
                        "internal_tls_proxy_port": 61443,
                    }
                ],
                **more,
            }
            for index, address in enumerate(addresses)
        ]
        return guid

    def route(self, host, *apps, domain=DOMAIN, path="", protocol="http", port=None, **more):
        """A route that leads to apps; an app may be a whole destination."""
        name = self.domains[domain]["name"]
        url = f"{host}.{name}{path}" if host else name
        guid = f"route-{url}{port or ''}"
        self.routes[guid] = {
            "guid": guid,
            "protocol": protocol,
            "host": host,
            "path": path,
            "port": port,
            "url": f"{url}:{port}" if port else url,
            "destinations": [self._destination(one) for one in apps],
            "metadata": {"labels": {}, "annotations": {}},
            "relationships": relation(space=SPACE, domain=domain),
            "options": {},
            **more,
        }
        return guid

    def _destination(self, app):
        whole = app if isinstance(app, dict) else {"app": app}
        return {
            "guid": f"destination-{whole['app']}",
            "port": 8080,
            "protocol": "http1",
            "weight": None,
            **whole,
            "app": {"guid": whole["app"], "process": {"type": "web"}},
        }

    # --- Serving --------------------------------------------------------------------

    async def __aenter__(self):
        app = web.Application(middlewares=[self._watched])
        app.router.add_get("/", self._root)
        app.router.add_post("/oauth/token", self._token)
        for kind in ("routes", "apps", "processes"):
            app.router.add_get(f"/v3/{kind}", self._listing)
        app.router.add_get("/v3/processes/{guid}/stats", self._stats)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self.address = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *exc_info):
        await self._runner.cleanup()

    @web.middleware
    async def _watched(self, request, handler):
        self.asked.append((request.method, request.path_qs))
        if not request.path.startswith("/v3/"):
            return await handler(request)
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or token not in self.tokens:
            return refused(401, 1000, "CF-InvalidAuthToken")
        headers = {}
        if self.limit is not None:
            self.limit -= 1
            headers = {
                "X-RateLimit-Limit": "100",
                "X-RateLimit-Remaining": str(max(self.limit, 0)),
                "X-RateLimit-Reset": str(int(time.time() + self.reset)),
                "Date": formatdate(usegmt=True),
            }
            if self.limit < 0:
                return refused(429, 10013, "CF-RateLimitExceeded", headers)
        response = await handler(request)
        response.headers.update(headers)
        return response

    async def _root(self, request):
        base = f"http://{request.headers['Host']}"
        links = {
            "uaa": {"href": self.uaa_address or base},
            "login": {"href": base},
            "cloud_controller_v3": {"href": f"{base}/v3"},
        }
        return web.json_response({"links": links})

    async def _token(self, request):
        form = await request.post()
        basic = base64.b64decode(request.headers["Authorization"].partition(" ")[2]).decode()
        client, _, secret = basic.partition(":")
        kind = form["grant_type"]
        self.granted.append(kind)
        is_good = {
            "password": client == "cf" and form.get("password") == self.password,
            "client_credentials": secret == self.secret,
            "refresh_token": form.get("refresh_token") in self.refresh_tokens,
        }[kind]
        if not is_good:
            said = f"Bad credentials {form.get('password')} {form.get('refresh_token')} {secret}"
            return web.json_response(
                {"error": "unauthorized", "error_description": said}, status=401
            )
        number = len(self.granted)
        access, refresh = f"access-{number}", f"refresh-{number}"
        self.tokens.add(access)
        self.refresh_tokens.add(refresh)
        answer = {"access_token": access, "token_type": "bearer", "expires_in": self.lifetime}
        if kind != "client_credentials":
            answer["refresh_token"] = refresh
        return web.json_response(answer)

    async def _listing(self, request):
        kind = request.path.removeprefix("/v3/")
        page, size = int(request.query.get("page", "1")), int(request.query["per_page"])
        self.on_page(kind, page)
        every = list(getattr(self, kind).values())
        pages = max(1, -(-len(every) // size))
        here = (self.self_address or f"http://{request.headers['Host']}") + request.path
        following = {"href": f"{here}?{with_page(request, page + 1)}"} if page < pages else None
        body = {
            "pagination": {
                "total_results": len(every),
                "total_pages": pages,
                "next": following,
            },
            "resources": every[(page - 1) * size : page * size],
        }
        if "include" in request.query:
            body["included"] = {
                "domains": list(self.domains.values()),
                "spaces": [
                    {"guid": SPACE, "name": "prod", "relationships": relation(organization=ORG)}
                ],
                "organizations": [{"guid": ORG, "name": "shop"}],
            }
        return web.json_response(body)

    async def _stats(self, request):
        if self.broken:
            return refused(503, 10001, "CF-ServiceUnavailable")
        found = self.stats.get(request.match_info["guid"])
        if found is None:
            return refused(404, 10010, "CF-ResourceNotFound")
        return web.json_response({"resources": found})


def with_page(request, page):
    """The query of another page."""
    return "&".join(f"{key}={value}" for key, value in {**request.query, "page": str(page)}.items())


def refused(status, code, title, headers=None):
    """As the API refuses."""
    error = {"code": code, "title": title, "detail": "what it means"}
    return web.json_response({"errors": [error]}, status=status, headers=headers)
