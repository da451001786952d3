"""What the commands that list share: their options, where the document comes from, the exit code."""

from __future__ import annotations

import asyncio
from functools import wraps
from typing import TYPE_CHECKING, Any

import click
from attrs import evolve, frozen

from meshregistry.cli._asking import ask
from meshregistry.cli._exits import Exit
from meshregistry.cli._options import Number, config_option, load, output_option, server_option
from meshregistry.cli._output import note
from meshregistry.errors import ConfigError
from meshregistry.pilot import Pilot, sources_document

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshregistry.cli._options import Decorator

_POLL = 0.02
_timeout_option = click.option(
    "--timeout",
    type=Number(min=0, min_open=True),
    default=15.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the sources.",
)
_partial_option = click.option(
    "--allow-partial", is_flag=True, help="Exit with 0 although a source did not sync."
)


@frozen
class Listing:
    """What the options of a list say.

    Attributes:
        config: which settings to start the sources of, unless `server` is given.
        output: how to print the list.
        server: the running server to ask.
        timeout: seconds to wait for the sources.
        allow_partial: whether a list that lacks a source is fine.
    """

    config: str | None
    output: str
    server: str | None
    timeout: float
    allow_partial: bool

    def look(
        self, name: str, read: Callable[[Pilot], Any], **query: str | None
    ) -> tuple[Any, tuple[str, ...]]:
        """The document of that name, and the sources that it lacks since they did not sync.

        Args:
            name: of the debug document.
            read: makes the same document from a pilot; LookupError and ValueError are the
                user's mistakes.
            query: of the debug document.

        Raises:
            ConfigError: if the settings or the question are wrong, or the server does not
                answer.
        """
        if self.server is not None:
            return ask(self.server, name, **query), _unsynced(ask(self.server, "sources"))
        return asyncio.run(self._read(read))

    async def _read(self, read: Callable[[Pilot], Any]) -> tuple[Any, tuple[str, ...]]:
        # Whoever only looks leaves the snapshot of the server alone, and wants to know what is.
        settings = evolve(load(self.config), snapshot=None)
        async with Pilot(settings, serve=False) as pilot:
            try:
                async with asyncio.timeout(self.timeout):
                    await _synced(pilot)
            except TimeoutError:
                note(f"warning: not every source synced within {self.timeout:g} s")
            try:
                document = read(pilot)
            except (LookupError, ValueError) as error:
                raise ConfigError(str(error.args[0])) from error
            return document, _unsynced(sources_document(pilot.sources()))

    def completeness(self, unsynced: tuple[str, ...]) -> int:
        """Name the sources that are missing from the list, and give the exit code."""
        if not unsynced:
            return Exit.OK
        note(
            f"warning: the list is not complete: {', '.join(unsynced)} did not sync; "
            "see why with: meshregistry sources"
        )
        return Exit.OK if self.allow_partial else Exit.INCOMPLETE


async def _synced(pilot: Pilot) -> None:
    """Also with the shadows: the start gate does not wait for them, but whoever compares does."""
    await pilot.synced()
    while any(one.is_shadow and not one.is_synced for one in pilot.sources()):  # noqa: ASYNC110 - a shadow tells nobody
        await asyncio.sleep(_POLL)


def _unsynced(sources: Any) -> tuple[str, ...]:
    return tuple(source["id"] for source in sources["sources"] if not source["is_synced"])


def lists_as(output: str) -> Decorator:
    """The options of every command that lists something of the sources, printed so.

    The command is given them as a `Listing`, first of all.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def listed(
            *,
            config: str | None,
            output: str,
            server: str | None,
            timeout: float,
            allow_partial: bool,
            **others: Any,
        ) -> Any:
            return command(Listing(config, output, server, timeout, allow_partial), **others)

        decorated: Callable[..., Any] = listed
        for option in (
            _partial_option,
            _timeout_option,
            server_option,
            output_option(output),
            config_option,
        ):
            decorated = option(decorated)
        return decorated

    return decorate


lists = lists_as("table")
