"""An HTTPS route that a Kubernetes API server asks: POST /validate."""

from __future__ import annotations

import json
import ssl
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


def webhook_routes(review: Callable[[Mapping[str, Any]], Any]) -> list[web.RouteDef]:
    """The route of a validating admission webhook.

    Args:
        review: answers an AdmissionReview; a ``ValueError`` becomes 400 with its message.
    """

    async def validate(request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            return web.json_response({"error": "send application/json"}, status=415)
        try:
            asked = await request.json()
            return web.json_response(review(asked if isinstance(asked, dict) else {}))
        except (json.JSONDecodeError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)

    return [web.post("/validate", validate)]


def renewing_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """A TLS context for a server, which reads its files again when they have changed.

    Raises:
        OSError: if a file cannot be read, or is no certificate or key (``ssl.SSLError``).
    """
    current = _loaded(certificate, key)
    seen = _changed(certificate, key)

    def renew(connection: ssl.SSLObject, _name: str | None, _: ssl.SSLContext) -> None:
        nonlocal current, seen
        try:
            now = _changed(certificate, key)
            if now != seen:
                current, seen = _loaded(certificate, key), now
        except OSError:
            # Half-written: the next connection tries again, this one has the old ones.
            return
        connection.context = current

    first = _loaded(certificate, key)
    first.sni_callback = renew
    return first


def _loaded(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def _changed(*paths: Path) -> tuple[int, ...]:
    return tuple(path.stat().st_mtime_ns for path in paths)
