"""Registration over HTTP: POST and DELETE under /v1/register. Who may, and what, is asked elsewhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from attrs import frozen

from meshregistry.errors import ConfigError
from meshregistry.server._extra import web

if TYPE_CHECKING:
    from collections.abc import Iterable

LARGEST = 64 * 1024
"""Bytes of a request; one machine needs some hundred."""

PATIENCE = 10.0
"""Seconds in which the whole request must have arrived."""

_BEARER = "bearer "
_JSON = "application/json"
_RETRY_AFTER = 2
_UNAUTHORIZED, _TOO_LARGE, _UNAVAILABLE = 401, 413, 503


@frozen
class Caller:
    """Who asks.

    Attributes:
        token: the bearer token; empty if there is none.
        identities: the URIs and DNS names of a client certificate that was verified.
    """

    token: str = ""
    identities: tuple[str, ...] = ()


class Refusal(Exception):
    """A request that is not granted.

    Args:
        status: of the answer.
        faults: why, with field and remedy.
    """

    def __init__(self, status: int, faults: Iterable[ConfigError]) -> None:
        self.status = status
        self.faults = tuple(faults)
        super().__init__("; ".join(fault.message for fault in self.faults))


Register = Callable[[bytes, Caller], Awaitable[tuple[bool, dict[str, Any]]]]
Deregister = Callable[[str, Caller], Awaitable[None]]


def registration_routes(
    admit: Callable[[Caller], Awaitable[None]], register: Register, deregister: Deregister
) -> list[web.RouteDef]:
    """Routes for ``POST /v1/register`` and ``DELETE /v1/register/{id}``.

    Args:
        admit: raises `Refusal` for a caller who may register nothing; asked before the body
            is read.
        register: takes the body; gives whether it is new, and the answer. May raise `Refusal`.
        deregister: takes the id. May raise `Refusal`.
    """

    async def post(request: web.Request) -> web.Response:
        caller = _caller(request)
        await admit(caller)
        if request.content_type != _JSON:
            # A page that somebody looks at could send anything else with their certificate.
            remedy = f"send Content-Type: {_JSON}"
            raise Refusal(415, [ConfigError("is not said to be JSON", remedy=remedy)])
        is_new, answer = await register(await _body(request), caller)
        return web.json_response(answer, status=201 if is_new else 200)

    async def delete(request: web.Request) -> web.Response:
        caller = _caller(request)
        await admit(caller)
        await deregister(request.match_info["id"], caller)
        return web.Response(status=204)

    return [
        web.post("/v1/register", _answering(post)),
        web.delete("/v1/register/{id}", _answering(delete)),
    ]


def _answering(
    handler: Callable[[web.Request], Awaitable[web.Response]],
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except Refusal as refusal:
            return _refused(refusal)

    return answer


def _refused(refusal: Refusal) -> web.Response:
    headers = {}
    if refusal.status == _UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if refusal.status == _UNAVAILABLE:
        headers["Retry-After"] = str(_RETRY_AFTER)
    errors = [
        {"field": fault.field, "error": fault.reason, "remedy": fault.remedy}
        for fault in refusal.faults
    ]
    text = json.dumps({"errors": errors}, ensure_ascii=False)
    response = web.Response(text=text, status=refusal.status, content_type=_JSON, headers=headers)
    if refusal.status == _TOO_LARGE:
        response.force_close()  # the rest of the body is not read
    return response


def _caller(request: web.Request) -> Caller:
    header = request.headers.get("Authorization", "")
    token = header[len(_BEARER) :].strip() if header.lower().startswith(_BEARER) else ""
    # Only of a certificate that was verified does the standard library tell anything.
    certificate = request.get_extra_info("peercert") or {}
    names = certificate.get("subjectAltName", ())
    identities = tuple(name for kind, name in names if kind in {"URI", "DNS"})
    return Caller(token, identities)


async def _body(request: web.Request) -> bytes:
    """The body, if it is small and arrives soon.

    Raises:
        Refusal: if not.
    """
    content = bytearray()
    try:
        async with asyncio.timeout(PATIENCE):
            async for piece in request.content.iter_any():
                content += piece
                if len(content) > LARGEST:
                    remedy = f"send at most {LARGEST} bytes"
                    raise Refusal(_TOO_LARGE, [ConfigError("is too large", remedy=remedy)])
    except TimeoutError:
        remedy = f"send it within {PATIENCE:g} s"
        raise Refusal(408, [ConfigError("does not arrive", remedy=remedy)]) from None
    return bytes(content)
