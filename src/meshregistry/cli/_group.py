"""The command group: ours first, then what plugins add."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

import click

from meshregistry.cli._bootstrap import bootstrap
from meshregistry.cli._catalog import endpoints, services, sources
from meshregistry.cli._check import check
from meshregistry.cli._deciding import shift
from meshregistry.cli._drain import drain
from meshregistry.cli._exits import run
from meshregistry.cli._explain import diff, explain
from meshregistry.cli._mixer import mixer
from meshregistry.cli._plugins import plugins
from meshregistry.cli._proxies import proxies, resources
from meshregistry.cli._register import register
from meshregistry.cli._serve import serve
from meshregistry.pilot import Pilot

if TYPE_CHECKING:
    from collections.abc import Sequence


class _Group(click.Group):
    """Looks at plugins only when a command is not ours, so that ours start quickly."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Ours, or a plugin's."""
        own = super().get_command(ctx, cmd_name)
        return own if own is not None else self._plugged().get(cmd_name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, ours first."""
        own = super().list_commands(ctx)
        return own + sorted(set(self._plugged()) - set(own))

    def _plugged(self) -> dict[str, click.Command]:
        commands = Pilot.discover().commands()
        return {command.name: command for command in commands if command.name}


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("meshregistry"), prog_name="meshregistry")
def cli() -> None:
    """One service catalog of all your registries, served to Envoy.

    Exit codes: 0 fine, 1 the input is wrong or the answer is no, 2 wrong usage, 3 a list
    is incomplete, 4 an address is in use, 70 a fault of ours.

    Example: meshregistry serve -c mesh.yaml
    """


for _command in (
    serve,
    check,
    services,
    endpoints,
    sources,
    resources,
    proxies,
    explain,
    diff,
    shift,
    drain,
    mixer,
    plugins,
    bootstrap,
    register,
):
    cli.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    return run(lambda: cli.main(words, prog_name="meshregistry", standalone_mode=False))
