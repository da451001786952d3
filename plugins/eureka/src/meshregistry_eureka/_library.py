"""py-eureka-client's requests, sent by the HTTP client of a source.

The library has one HTTP client for the whole process. Several sources, and the application
itself if it uses the library, must not get in each other's way: ours looks up, in the context
of the running task, for whom it is called, and hands all other calls to the one before it.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from urllib.error import URLError

from py_eureka_client import http_client  # type: ignore[import-untyped]  # it has no types

from meshregistry.errors import RegistryProtocolError
from meshregistry_eureka._client import refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshregistry_eureka._client import EurekaClient
    from meshregistry_eureka._config import Server

_NOT_FOUND = 404
_sender: ContextVar[tuple[EurekaClient, Server] | None] = ContextVar("sender", default=None)


class NotThere(Exception):
    """The server does not know the instance."""


class _Dispatching(http_client.HttpClient):  # type: ignore[misc]  # the library is not typed
    """The library's transport: ours within `sent_by`, else the one before."""

    def __init__(self, before: Any) -> None:
        self._before = before

    async def urlopen(self, request: Any = None, data: Any = None, timeout: Any = None) -> Any:
        if (sender := _sender.get()) is None:
            return await self._before.urlopen(request, data, timeout)
        client, server = sender
        path = request.url.removeprefix(server.url)
        document = None if data is None else json.loads(data)
        response = await client.send(server, request.method, path, document=document)
        if response.status == _NOT_FOUND:
            raise NotThere
        if not response.is_success:
            raise refusal(response, server.url + path.partition("?")[0])
        return http_client.HttpResponse()


@contextmanager
def sent_by(client: EurekaClient, server: Server) -> Iterator[None]:
    """Within it, what this task asks the library for goes by this client to this server.

    Raises:
        RegistryProtocolError: if the library cannot use the URL.
    """
    if not isinstance(http_client.http_client, _Dispatching):
        http_client.set_http_client(_Dispatching(http_client.http_client))
    token = _sender.set((client, server))
    try:
        yield
    except URLError as error:
        msg = f"py-eureka-client cannot register at {server.url}: {error.reason}; write a host name instead of an address"
        raise RegistryProtocolError(msg) from error
    finally:
        _sender.reset(token)
