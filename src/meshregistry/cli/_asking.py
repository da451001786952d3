"""Where a command's document comes from: a running server, or the sources themselves."""

from __future__ import annotations

import asyncio
import json
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

from attrs import evolve

from meshregistry.cli._exits import Exit
from meshregistry.cli._options import load
from meshregistry.cli._output import note
from meshregistry.errors import ConfigError
from meshregistry.pilot import Pilot, sources_document

if TYPE_CHECKING:
    from collections.abc import Callable

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


def look(
    config: str | None,
    server: str | None,
    timeout: float,
    name: str,
    read: Callable[[Pilot], Any],
    **query: str | None,
) -> tuple[Any, tuple[str, ...]]:
    """The document of that name, and the sources that it lacks since they did not sync.

    Args:
        config: which settings to start the sources of, unless `server` is given.
        server: the running server to ask.
        timeout: seconds to wait for the sources.
        name: of the debug document.
        read: makes the same document from a pilot; LookupError and ValueError are the
            user's mistakes.
        query: of the debug document.

    Raises:
        ConfigError: if the settings or the question are wrong, or the server does not answer.
    """
    if server is not None:
        return ask(server, name, **query), _unsynced(ask(server, "sources"))
    # Whoever only looks leaves the snapshot of the server alone, and wants to know what is.
    settings = evolve(load(config), snapshot=None)

    async def start() -> tuple[Any, tuple[str, ...]]:
        async with Pilot(settings, serve=False) as pilot:
            try:
                await pilot.synced(timeout=timeout)
            except TimeoutError:
                note(f"warning: not every source synced within {timeout:g} s")
            try:
                document = read(pilot)
            except (LookupError, ValueError) as error:
                raise ConfigError(str(error.args[0])) from error
            return document, _unsynced(sources_document(pilot.sources()))

    return asyncio.run(start())


def _unsynced(sources: Any) -> tuple[str, ...]:
    return tuple(source["id"] for source in sources["sources"] if not source["is_synced"])


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


def completeness(unsynced: tuple[str, ...], *, allow_partial: bool) -> int:
    """Name the sources that are missing from a list, and give the exit code."""
    if not unsynced:
        return Exit.OK
    note(
        f"warning: the list is not complete: {', '.join(unsynced)} did not sync; "
        "see why with: meshregistry sources"
    )
    return Exit.OK if allow_partial else Exit.INCOMPLETE
