"""Exit codes, and how an error reaches the terminal."""

from __future__ import annotations

import enum
import traceback
from typing import TYPE_CHECKING

import click

from meshregistry.errors import ConfigError, MeshRegistryError, PilotFailed

if TYPE_CHECKING:
    from collections.abc import Callable


class Exit(enum.IntEnum):
    """What the exit code of a command means; scripts rely on it."""

    OK = 0
    WRONG_INPUT = 1
    USAGE = 2
    INCOMPLETE = 3
    ADDRESS = 4
    INTERNAL = 70
    INTERRUPTED = 130


def run(command: Callable[[], object]) -> int:
    """Run a click command and give the exit code; a user's mistake shows no traceback."""
    try:
        result = command()
    except Exception as error:  # noqa: BLE001 - the one place where an error becomes an exit code
        return _failed(error)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    return result if isinstance(result, int) else Exit.OK


def _failed(error: Exception) -> int:
    code: int = Exit.WRONG_INPUT
    match error:
        case click.exceptions.Exit():
            code = error.exit_code
        case click.ClickException():
            error.show()
            code = error.exit_code
        case click.Abort():
            code = Exit.INTERRUPTED
        case PilotFailed():
            _report(error)
            code = Exit.INTERNAL
        case ConfigError():
            for fault in error.faults:
                click.echo(f"error: {fault.message}", err=True)
        case MeshRegistryError():
            click.echo(f"error: {error}", err=True)
        case OSError():
            what = f"{error.filename}: " if error.filename else ""
            click.echo(f"error: {what}{error.strerror or error}", err=True)
        case _:
            _report(error)
            code = Exit.INTERNAL
    return code


def _report(error: Exception) -> None:
    traceback.print_exception(error)
    click.echo("error: this is a fault of meshregistry; please report the lines above", err=True)
