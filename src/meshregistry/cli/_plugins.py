"""The command that lists plugins."""

from __future__ import annotations

import click

from meshregistry.cli._options import load, output_option
from meshregistry.cli._output import emit, note, table
from meshregistry.pilot import Pilot, plugins_document


@click.command()
@click.option(
    "-c",
    "--config",
    metavar="FILE",
    help="Also say whether every kind that these settings use is there.",
)
@output_option()
@click.option("--traceback", "with_traceback", is_flag=True, help="Print where loading failed.")
def plugins(config: str | None, output: str, with_traceback: bool) -> None:
    """List the plugins that were found: from which distribution, loaded or why not.

    Example: meshregistry plugins
    """
    found = Pilot.discover()
    document = plugins_document(found)
    columns = ("PLUGIN", "DISTRIBUTION", "VERSION", "REQUIRES", "STATE", "KINDS", "WHY NOT")
    rows = (
        (
            one["name"],
            one["distribution"],
            one["version"],
            one["requires"],
            one["status"],
            one["kinds"],
            one["error"],
        )
        for one in document["plugins"]
    )
    emit(document, output, columns, rows)
    if output == "table":
        table(("KIND", "WHAT IT READS"), ((k["name"], k["summary"]) for k in document["kinds"]))
        adapters = ((one["name"], one["summary"]) for one in document["mixer_adapters"])
        table(("MIXER ADAPTER", "WHAT IT DOES"), adapters)
    if with_traceback:
        for one in document["plugins"]:
            if one["traceback"]:
                note(f"{one['name']}:\n{one['traceback']}")
    if config is not None:
        for source in load(config).sources:
            found.kind(source.kind, place=source.kind_place)
