"""Printing documents: a table for people, JSON or YAML alone on standard output."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
import yaml
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_WIDE = 200


class PlainDumper(yaml.SafeDumper):
    """YAML without anchors: what is shared in memory is written out."""

    def ignore_aliases(self, data: Any) -> bool:
        """Always."""
        del data
        return True


def dumped(document: Any, form: str) -> str:
    """The document as ``json`` or ``yaml``, ending in a newline."""
    if form == "json":
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        # What no UTF-8 holds (half a surrogate, in somebody's label) is escaped as JSON does it.
        return text.encode(errors="backslashreplace").decode()
    return yaml.dump(document, Dumper=PlainDumper, sort_keys=False, allow_unicode=True)


def emit(document: Any, output: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print the document as `output` says; the rows are its table."""
    if output == "table":
        table(columns, rows)
    else:
        click.echo(dumped(document, output), nl=False)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows under headings; piped output is wide instead of wrapped."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDE)
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        grid.add_column(column, overflow="fold")
    for row in rows:
        # Not a str: square brackets in what registries say are no markup.
        grid.add_row(*(Text(_cell(value)) for value in row))
    console.print(grid)


def note(text: str) -> None:
    """Say something on standard error, where it does not disturb a pipe."""
    click.echo(text, err=True)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.1f}"
    if isinstance(value, dict):
        return ",".join(f"{key}={item}" for key, item in value.items()) or "-"
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value) or "-"
    return str(value) or "-"
