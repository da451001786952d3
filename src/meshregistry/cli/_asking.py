"""Asking a running server for its debug documents."""

from __future__ import annotations

import json
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

from meshregistry.cli._options import load
from meshregistry.errors import ConfigError

_HTTP_TIMEOUT = 10.0
# What each document is sure to have, unless some other server gave it.
_CONTENT = {
    "catalog": "services",
    "diff": "differences",
    "drained": "is_drained",
    "explain": "services",
    "identity": "near_misses",
    "proxies": "proxies",
    "resources": "types",
    "sources": "sources",
}
_NOTHING = (
    "start it with 'meshregistry serve', or name its admin address (see the ready line) "
    "with --server"
)


def ask(server: str, name: str, **query: str | None) -> Any:
    """The debug document of that name from a running server.

    Raises:
        ConfigError: if the URL is wrong, or the server does not answer or says no.
    """
    url = server if "://" in server else f"http://{server}"
    given = {key: value for key, value in query.items() if value is not None}
    address = f"{url.rstrip('/')}/debug/{name}" + (f"?{urlencode(given)}" if given else "")
    try:
        if urlsplit(url).scheme not in {"http", "https"}:
            raise ConfigError(f"{server!r} is not an http URL", remedy="write http://host:port")
        request = Request(address, headers={"Accept": "application/json"})  # noqa: S310 - the scheme is checked above
        with urlopen(request, timeout=_HTTP_TIMEOUT) as answer:  # noqa: S310 - the same
            document = json.load(answer)
    except HTTPError as error:
        with error:
            raise ConfigError(_refusal(url, error)) from error
    except (URLError, OSError, ValueError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise ConfigError(
            f"the server at {url} does not answer: {reason}", remedy=_NOTHING
        ) from error
    if not isinstance(document, dict) or _CONTENT[name] not in document:
        raise ConfigError(f"the server at {url} is not a meshregistry server", remedy=_NOTHING)
    return document


def _refusal(url: str, error: HTTPError) -> str:
    try:
        return str(json.load(error)["error"])
    except (ValueError, KeyError, TypeError):
        return f"the server at {url} answers {error.code} {error.reason}; {_NOTHING}"


def admin_of(config: str | None) -> str:
    """The admin address of the server that runs with these settings.

    Raises:
        ConfigError: if they do not fix it.
    """
    address = load(config).server.admin
    if address is None or address.endswith(":0"):
        raise ConfigError(
            "the settings do not fix the address of the running server's admin listener",
            field="server.admin",
            remedy="name it with --server; the server's ready line tells it",
        )
    return address
