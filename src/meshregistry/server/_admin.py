"""What people and monitors read over HTTP: health, readiness, metrics, debug documents."""

from __future__ import annotations

import inspect
import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from meshregistry.exposition import exposition
from meshregistry.server._extra import web

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from prometheus_client.registry import Collector

    Document = Callable[[Mapping[str, str]], Any]

_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def probe_routes(
    *,
    health: Callable[[], tuple[str, ...]],
    readiness: Callable[[], tuple[str, ...]],
    remarks: Callable[[], tuple[str, ...]] = tuple,
    collector: Collector,
) -> list[web.RouteDef]:
    """Routes for ``/healthz``, ``/readyz`` and ``/metrics``.

    Args:
        health: reasons why the process is beyond help; empty means healthy.
        readiness: reasons why it should get no traffic; empty means ready.
        remarks: what is not as it should be, and yet no reason to send no traffic.
        collector: gives the metrics.
    """

    def answer(reasons: tuple[str, ...], **more: Any) -> web.Response:
        status = "unavailable" if reasons else "ok"
        document = {"status": status, "reasons": list(reasons), **more}
        return _json(document, status=503 if reasons else 200)

    async def healthz(_: web.Request) -> web.Response:
        return answer(health())

    async def readyz(_: web.Request) -> web.Response:
        return answer(readiness(), remarks=list(remarks()))

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=exposition(collector), headers={"Content-Type": _METRICS_TYPE})

    return [
        web.get("/healthz", healthz),
        web.get("/readyz", readyz),
        web.get("/metrics", metrics),
    ]


def admin_routes(documents: Mapping[str, Document]) -> list[web.RouteDef]:
    """Routes for the status page and ``/debug/NAME`` for each document.

    Args:
        documents: by name; see `document_route`.
    """
    page = files(__package__).joinpath("page", "index.html").read_text(encoding="utf-8")

    async def index(_: web.Request) -> web.Response:
        return web.Response(text=page, content_type="text/html")

    async def names(_: web.Request) -> web.Response:
        return _json({"documents": [f"/debug/{name}" for name in documents]})

    return [
        web.get("/", index),
        web.get("/debug", names),
        *(document_route(f"/debug/{name}", document) for name, document in documents.items()),
    ]


def document_route(path: str, document: Document) -> web.RouteDef:
    """A route that answers GET with a document.

    Args:
        path: of the route.
        document: takes the query and gives what becomes JSON, at once or as an awaitable. A
            ``LookupError`` becomes 404 and a ``ValueError`` 400, with their message.
    """

    async def handler(request: web.Request) -> web.Response:
        try:
            made = document(request.query)
            return _json(await made if inspect.isawaitable(made) else made)
        except LookupError as error:
            return _json({"error": str(error.args[0]) if error.args else ""}, status=404)
        except ValueError as error:
            return _json({"error": str(error)}, status=400)

    return web.get(path, handler)


def _json(document: Any, *, status: int = 200) -> web.Response:
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    # What no UTF-8 holds (half a surrogate, in somebody's label) is escaped as JSON does it.
    body = text.encode(errors="backslashreplace")
    return web.Response(body=body, status=status, content_type="application/json", charset="utf-8")
