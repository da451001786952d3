"""Options that several commands share."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from meshregistry.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class Number(click.FloatRange):
    """A number of a range; what is no number at all is in no range, also not by accident."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number.

        Raises:
            click.BadParameter: if it is none, or out of the range.
        """
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number", param, ctx)
        return number


config_option = click.option(
    "-c",
    "--config",
    "config",
    metavar="FILE",
    help="The settings file; default: $MESHREGISTRY_CONFIG, else ./mesh.yaml.",
)


def log_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What a server prints, and how; its command calls `configure_logs`."""
    level = click.option(
        "--log-level",
        type=click.Choice(["debug", "info", "warning", "error"]),
        default="info",
        show_default=True,
        help="The least severe messages to print.",
    )
    form = click.option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="One line of text or one JSON object for each message.",
    )
    return level(form(command))


def output_option(default: str = "table") -> Decorator:
    """How to print a list."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "json", "yaml"]),
        default=default,
        show_default=True,
        help="How to print the list.",
    )


server_option = click.option(
    "--server",
    metavar="URL",
    help="Ask the running server with this admin address instead of starting the sources.",
)


def load(config: str | None) -> Settings:
    """Load the settings file that `config`, the environment or the folder names.

    Raises:
        ConfigError: if it is not there or wrong.
    """
    return Settings.load(Settings.find(config, environ=os.environ, cwd=Path.cwd()))
