"""An HTTPS route that a Kubernetes API server asks: POST /validate."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from meshregistry.server._extra import web

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


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
