"""Where a command's document comes from: a running server, or the sources themselves."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

from meshregistry.cli._exits import Exit
from meshregistry.cli._options import load
from meshregistry.cli._output import note
from meshregistry.errors import ConfigError
from meshregistry.pilot import Pilot

if TYPE_CHECKING:
    from collections.abc import Callable

_HTTP_TIMEOUT = 10.0
_NOT_FOUND = 404


def ask(server: str, name: str, **query: str | None) -> Any:
    """The debug document of that name from a running server.

    Raises:
        ConfigError: if the URL is wrong, or the server does not answer or says no.
    """
    url = server if "://" in server else f"http://{server}"
    if urlsplit(url).scheme not in {"http", "https"}:
        raise ConfigError(f"{server!r} is not an http URL", remedy="write http://host:port")
    given = {key: value for key, value in query.items() if value is not None}
    address = f"{url.rstrip('/')}/debug/{name}" + (f"?{urlencode(given)}" if given else "")
    request = Request(address, headers={"Accept": "application/json"})  # noqa: S310 - the scheme is checked above
    try:
        with urlopen(request, timeout=_HTTP_TIMEOUT) as answer:  # noqa: S310 - the same
            return json.load(answer)
    except HTTPError as error:
        raise ConfigError(_refusal(error)) from error
    except (URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise ConfigError(
            f"the server at {url} does not answer: {reason}",
            remedy="start it with 'meshregistry serve', or name another with --server",
        ) from error


def _refusal(error: HTTPError) -> str:
    try:
        return str(json.load(error)["error"])
    except (ValueError, KeyError, TypeError):
        return f"the server answers {error.code} {error.reason}"


def from_sources(
    config: str | None, timeout: float, read: Callable[[Pilot], Any]
) -> tuple[Any, tuple[str, ...]]:
    """Start the sources, wait for them, and read something from the pilot.

    Returns:
        What was read, and the ids of the required sources that did not sync in time.
    """
    settings = load(config)

    async def look() -> tuple[Any, tuple[str, ...]]:
        async with Pilot(settings, serve=False) as pilot:
            try:
                await pilot.synced(timeout=timeout)
            except TimeoutError:
                return read(pilot), pilot.unsynced()
            return read(pilot), ()

    return asyncio.run(look())


def completeness(unsynced: tuple[str, ...], *, allow_partial: bool) -> int:
    """Name the sources that are missing from a list, and give the exit code."""
    if not unsynced:
        return Exit.OK
    note(
        f"warning: the list is not complete: {', '.join(unsynced)} did not sync; "
        "see why with: meshregistry sources"
    )
    return Exit.OK if allow_partial else Exit.INCOMPLETE
