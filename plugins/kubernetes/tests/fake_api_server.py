"""An API server that lives in the test: list, watch, bookmarks, expiry, refusals, restarts.

It keeps the promises of the API concepts page that a client builds on: one revision for
everything, pages that show one revision, watches that replay from a revision, selections that
objects enter and leave, history that ends.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import json

from aiohttp import web

from meshregistry.testing import free_port

_GROUPS = {"endpointslices": "discovery.k8s.io"}
_HISTORY = 100
_REMEMBERED = 40
_uids = itertools.count(1)


def status(code, reason="", message="", **details):
    """A refusal as the API has it."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
        "details": details,
    }


class FakeApiServer:
    """Objects by resource, with a log; an async context manager.

    Attributes:
        token: the bearer that is accepted; None accepts everybody.
        requests: the resource and query of the newest requests, in order.
        refusals: resource to statuses that are given instead of the next answers.
        absent: resources that this server does not know.
        is_strict: whether a watch from an unknown revision is refused by HTTP, or inside.
    """

    def __init__(self):
        self.token = None
        self.requests = []
        self.refusals = {}
        self.absent = set()
        self.is_strict = False
        self.port = free_port()
        self._objects = {}
        self._log = []
        self._compacted = 0
        self._revision = 10
        self._pages = {}
        self._watchers = set()
        self._listings = itertools.count()
        self._opened = asyncio.Event()
        self._runner = None

    async def __aenter__(self):
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await self._listen()
        return self

    async def __aexit__(self, *exc_info):
        self.close_watches()
        await self._runner.cleanup()

    async def _listen(self):
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()

    async def down(self):
        """Nobody listens, and what was open is closed."""
        for site in list(self._runner.sites):
            await site.stop()
        for watcher in list(self._watchers):
            watcher.put_nowait("abort")

    async def up(self):
        """It listens again, on the same port."""
        await self._listen()

    def kubeconfig(self, path, *, token="good", port=None):
        """Write a kubeconfig that leads here."""
        document = {
            "clusters": [
                {"name": "c", "cluster": {"server": f"http://127.0.0.1:{port or self.port}"}}
            ],
            "users": [{"name": "u", "user": {"token": token}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        path.write_text(json.dumps(document), encoding="utf-8")
        return path

    # --- What happens in the cluster ------------------------------------------------

    def put(self, resource, document):
        """Create or change an object; it gets a revision and, if new, an identity."""
        document = copy.deepcopy(document)
        metadata = document["metadata"]
        key = (metadata.get("namespace", ""), metadata["name"])
        old = self._objects.setdefault(resource, {}).get(key)
        self._revision += 1
        metadata["resourceVersion"] = str(self._revision)
        metadata.setdefault(
            "uid", old["metadata"]["uid"] if old is not None else f"uid-{next(_uids)}"
        )
        self._objects[resource][key] = document
        self._add(resource, old, document)

    def remove(self, resource, name, namespace="default"):
        """Delete an object; unknown ones are no error."""
        old = self._objects.get(resource, {}).pop((namespace, name), None)
        if old is not None:
            self._revision += 1
            gone = copy.deepcopy(old)
            gone["metadata"]["resourceVersion"] = str(self._revision)
            self._add(resource, gone, None)

    def expire(self):
        """Forget the history, and end the watches as a restarted server does."""
        self._revision += 100
        self._compacted = self._revision
        self._log.clear()
        self._pages.clear()
        self.close_watches()

    def wipe(self):
        """Lose everything and begin anew with small revisions."""
        self._objects.clear()
        self._log.clear()
        self._pages.clear()
        self._revision, self._compacted = 5, 0
        self.close_watches(how="abort")

    def close_watches(self, how="end"):
        """End every watch: properly (end), or in the middle of an event (abort)."""
        for watcher in list(self._watchers):
            watcher.put_nowait(how)

    def bookmark(self):
        """Send every watch a bookmark with the newest revision."""
        for watcher in list(self._watchers):
            watcher.put_nowait((self._revision, "bookmark", None, None))

    async def watched(self, number):
        """Wait until so many watches are open."""
        async with asyncio.timeout(5):
            while len(self._watchers) < number:
                self._opened.clear()
                await self._opened.wait()

    def asked(self, resource, **query):
        """How many requests for a resource had these words in their query."""
        return sum(
            1 for one, words in self.requests if one == resource and query.items() <= words.items()
        )

    def _add(self, resource, old, new):
        self._log.append((self._revision, resource, old, new))
        if len(self._log) > _HISTORY:
            self._compacted = self._log.pop(0)[0]
        for watcher in list(self._watchers):
            watcher.put_nowait(self._log[-1])

    # --- Answers --------------------------------------------------------------------

    async def _answer(self, request):
        *_, resource = request.path.split("/")
        words = request.path.split("/")
        namespace = words[words.index("namespaces") + 1] if "namespaces" in words[:-1] else ""
        query = dict(request.query)
        self.requests.append((resource, query))
        del self.requests[:-_REMEMBERED]
        if (
            self.token is not None
            and request.headers.get("Authorization") != f"Bearer {self.token}"
        ):
            return web.json_response(status(401, "Unauthorized", "Unauthorized"), status=401)
        if resource in self.absent:
            return web.Response(text="404 page not found\n", status=404)
        if self.refusals.get(resource):
            refusal = self.refusals[resource].pop(0)
            retry = {"Retry-After": "1"} if refusal["code"] == 429 else {}
            return web.json_response(refusal, status=refusal["code"], headers=retry)
        selected = _selection(namespace, query)
        if query.get("watch") == "1":
            return await self._watch(request, resource, query, selected)
        return self._list(resource, query, selected)

    def _list(self, resource, query, selected):
        limit = int(query.get("limit", 0)) or 10**9
        token = query.get("continue", "")
        if token:
            number, _, start = token.partition(":")
            if number not in self._pages:
                refusal = status(410, "Expired", "The provided continue parameter is too old")
                return web.json_response(refusal, status=410)
            revision, items = self._pages[number]
            begin = int(start)
        else:
            wanted = int(query.get("resourceVersion") or 0)
            if wanted > self._revision:
                causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large"}]
                refusal = status(504, "Timeout", "Too large resource version", causes=causes)
                return web.json_response(refusal, status=504)
            found = sorted(self._objects.get(resource, {}).items())
            items = [one for _, one in found if selected(one)]
            revision, begin, number = self._revision, 0, str(next(self._listings))
            self._pages = {number: (revision, items)} if len(items) > limit else self._pages
        more = begin + limit < len(items)
        metadata = {"resourceVersion": str(revision)}
        if more:
            metadata["continue"] = f"{number}:{begin + limit}"
        return web.json_response({"metadata": metadata, "items": items[begin : begin + limit]})

    async def _watch(self, request, resource, query, selected):
        since = int(query["resourceVersion"])
        refusal = status(410, "Expired", f"too old resource version: {since}")
        if since < self._compacted and self.is_strict:
            return web.json_response(refusal, status=410)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        watcher = asyncio.Queue()
        for entry in self._log:
            if entry[0] > since:
                watcher.put_nowait(entry)
        self._watchers.add(watcher)
        self._opened.set()
        try:
            await response.prepare(request)
            if since < self._compacted:
                await _send(response, "ERROR", refusal)
                return response
            end = asyncio.get_running_loop().time() + float(query["timeoutSeconds"])
            await self._feed(response, watcher, resource, selected, end)
        except ConnectionError:
            pass
        finally:
            self._watchers.discard(watcher)
        return response

    async def _feed(self, response, watcher, resource, selected, end):
        while True:
            try:
                async with asyncio.timeout_at(end):
                    entry = await watcher.get()
            except TimeoutError:
                # Never before what has not been sent yet, or that would be skipped.
                if watcher.empty():
                    await _send_bookmark(response, self._revision)
                return
            if entry == "end":
                return
            if entry == "abort":
                await response.write(b'{"type":"MODI')
                response._req.transport.abort()
                return
            revision, one, old, new = entry
            if one == "bookmark":
                await _send_bookmark(response, revision)
            elif one == resource:
                kind = _event(old is not None and selected(old), new is not None and selected(new))
                if kind:
                    await _send(response, kind, new or old)


async def _send_bookmark(response, revision):
    await _send(response, "BOOKMARK", {"metadata": {"resourceVersion": str(revision)}})


async def _send(response, kind, document):
    """An event in two chunks, as it may come."""
    line = json.dumps({"type": kind, "object": document}).encode() + b"\n"
    await response.write(line[:11])
    await response.write(line[11:])


def _event(was, is_now):
    """An object that leaves the selection is deleted for the one who watches it."""
    return {(False, True): "ADDED", (True, True): "MODIFIED", (True, False): "DELETED"}.get(
        (was, is_now)
    )


def _selection(namespace, query):
    def selected(one):
        metadata = one["metadata"]
        labels = metadata.get("labels") or {}
        if namespace and metadata.get("namespace") != namespace:
            return False
        for word in filter(None, query.get("labelSelector", "").split(",")):
            name, equals, value = word.partition("=")
            if name not in labels or (equals and labels[name] != value):
                return False
        for word in filter(None, query.get("fieldSelector", "").split(",")):
            path, _, value = word.partition("!=")
            head, _, tail = path.partition(".")
            if (one.get(head) or {}).get(tail) == value:
                return False
        return True

    return selected


# --- Objects ------------------------------------------------------------------------


def service(name, namespace="default", labels=None, ports=None, **spec):
    """A Service with one port 8080 named http, unless told otherwise."""
    ports = [{"name": "http", "port": 8080, "protocol": "TCP"}] if ports is None else ports
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": labels or {}},
        "spec": {"type": "ClusterIP", "ports": ports, **spec},
    }


def endpoint(address, pod=None, node=None, namespace="default", uid=None, **conditions):
    """An endpoint of a slice."""
    one = {"addresses": [address], "conditions": conditions}
    if pod:
        one["targetRef"] = {"kind": "Pod", "namespace": namespace, "name": pod}
        if uid:
            one["targetRef"]["uid"] = uid
    if node:
        one["nodeName"] = node
    return one


def slice_(name, *endpoints, namespace="default", ports=None, suffix="1", family="IPv4"):
    """An EndpointSlice of the service of this name."""
    return {
        "metadata": {
            "name": f"{name}-{suffix}",
            "namespace": namespace,
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": family,
        "ports": [{"name": "http", "port": 8080}] if ports is None else ports,
        "endpoints": list(endpoints),
    }


def pod(name, namespace="default", account="", phase="Running", **labels):
    """A Pod."""
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"serviceAccountName": account},
        "status": {"phase": phase},
    }


def node(name, **labels):
    """A Node; write labels with double underscores for slashes and single ones for dots."""
    named = {key.replace("__", "/").replace("_", "."): value for key, value in labels.items()}
    return {"metadata": {"name": name, "labels": named}}
