"""``meshregistry check``: find every fault of the input without any backend."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from meshregistry.cli._exits import Exit
from meshregistry.cli._options import config_option
from meshregistry.cli._sarif import sarif
from meshregistry.errors import ConfigError
from meshregistry.pilot import check_documents, check_settings, check_together, check_warnings
from meshregistry.rules import CrossFindings
from meshregistry.settings import Settings

_SUFFIXES = {".yaml", ".yml", ".json"}


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@config_option
@click.option("--schema", is_flag=True, help="Print the JSON Schema of the settings file.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json", "sarif"]),
    default="text",
    show_default=True,
    help="How to print the faults.",
)
@click.option("--strict", is_flag=True, help="Let warnings fail, too.")
def check(
    paths: tuple[str, ...], config: str | None, schema: bool, output: str, strict: bool
) -> int:
    """Validate settings and documents; print every fault with its place and a remedy.

    Without PATH it checks the settings file and what that points to. A PATH is a settings
    file, or a file or folder of service and routing documents; in a folder, settings files
    count too. Routing documents are also looked at together: references to what is not
    there, hosts that two of them claim, routes that nothing reaches. Warnings alone exit 0.

    Example: meshregistry check services/ mesh.yaml
    """
    if schema:
        click.echo(json.dumps(Settings.schema(), indent=2))
        return Exit.OK
    faults: list[ConfigError] = []
    places = [Path(path) for path in paths]
    if config or not places:
        try:
            places.insert(0, Settings.find(config, environ=os.environ, cwd=Path.cwd()))
        except ConfigError as error:
            faults.extend(error.faults)
    warnings: list[ConfigError] = []
    for place in places:
        together = _together(place)
        faults.extend((*_faults(place), *together.errors))
        warnings.extend((*_warnings(place), *together.warnings))
    if output == "sarif":
        click.echo(json.dumps(sarif(faults, warnings), indent=2))
    elif output == "json":
        document = {
            "faults": [_document(fault) for fault in faults],
            "warnings": [_document(warning) for warning in warnings],
        }
        click.echo(json.dumps(document, indent=2))
    else:
        for fault in faults:
            click.echo(fault.message)
        for warning in warnings:
            click.echo(f"warning: {warning.message}")
        checked = ", ".join(str(place) for place in places)
        noun = "fault" if len(faults) == 1 else "faults"
        click.echo(f"{len(faults) or 'no'} {noun} in {checked or 'nothing'}", err=True)
    return Exit.WRONG_INPUT if faults or (strict and warnings) else Exit.OK


def _together(place: Path) -> CrossFindings:
    found = CrossFindings()
    if place.exists():
        for path in (place, *_settings(place)):
            one = check_together(path)
            found.errors += one.errors
            found.warnings += one.warnings
    return found


def _settings(place: Path) -> list[Path]:
    """The settings files in a folder."""
    if not place.is_dir():
        return []
    return [one for one in _documents(place) if Settings.is_settings(one)]


def _faults(place: Path) -> tuple[ConfigError, ...]:
    if not place.exists():
        missing = ConfigError(
            "there is no such file or folder", file=str(place), remedy="correct the path"
        )
        return (missing,)
    if place.is_dir():
        settings = _settings(place)
        names = {str(one) for one in settings}
        others = [one for one in check_documents(place) if one.file not in names]
        return (*others, *(fault for one in settings for fault in check_settings(one)))
    if Settings.is_settings(place):
        return tuple(check_settings(place))
    return tuple(check_documents(place))


def _warnings(place: Path) -> list[ConfigError]:
    if not place.exists():
        return []
    return [one for path in (place, *_settings(place)) for one in check_warnings(path)]


def _documents(folder: Path) -> list[Path]:
    return sorted(one for one in folder.iterdir() if one.is_file() and one.suffix in _SUFFIXES)


def _document(fault: ConfigError) -> dict[str, str | int | None]:
    return {
        "file": fault.file,
        "line": fault.line,
        "column": fault.column,
        "field": fault.field,
        "reason": fault.reason,
        "remedy": fault.remedy,
    }
