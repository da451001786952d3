"""Commands that show what proxies hold, and what one would be sent."""

from __future__ import annotations

from typing import Any

import click

from meshregistry.cli._asking import admin_of, ask
from meshregistry.cli._listing import Listing, lists_as
from meshregistry.cli._options import config_option, output_option, server_option
from meshregistry.cli._output import emit, note


@click.command()
@click.argument("node_id")
@click.option("--type", "type_name", metavar="TYPE", help="Only cds, eds, lds, rds, ….")
@lists_as("json")
def resources(listing: Listing, node_id: str, type_name: str | None) -> int:
    """Print the xDS resources that the proxy NODE_ID would be sent.

    Example: meshregistry resources sidecar~10.0.0.1~web.shop~shop.svc.mesh.local --type cds
    """
    document, unsynced = listing.look(
        "resources",
        lambda pilot: pilot.resources_document(node_id, type_name),
        node=node_id,
        type=type_name,
    )
    emit_resources(document, listing.output)
    return listing.completeness(unsynced)


def emit_resources(document: Any, output: str) -> None:
    """Print resources, and what could not be made."""
    columns = ("TYPE", "NAME", "VERSION", "BYTES", "NEEDS")
    rows = (
        (group["type"], one["name"], one["version"], one["bytes"], one["references"])
        for group in document["types"]
        for one in group["resources"]
    )
    emit(document, output, columns, rows)
    for fault in document["faults"]:
        note(f"warning: {fault}")


@click.command()
@config_option
@output_option()
@server_option
def proxies(config: str | None, output: str, server: str | None) -> None:
    """List the connected proxies and what each holds of each type.

    Example: meshregistry proxies --server http://127.0.0.1:8080
    """
    document = ask(server or admin_of(config), "proxies")
    nothing = dict.fromkeys(("type", "state", "sent", "acknowledged", "error"))
    columns = (
        *("NODE", "ROLE", "VERSION", "PEER", "PROTOCOL"),
        *("TYPE", "STATE", "SENT", "ACKNOWLEDGED", "REASON"),
    )
    rows = (
        (
            one["node"],
            one["role"],
            one["version"],
            one["peer"],
            one["protocol"],
            kind["type"],
            kind["state"],
            kind["sent"],
            kind["acknowledged"],
            kind["error"],
        )
        for one in document["proxies"]
        for kind in one["types"] or [nothing]
    )
    emit(document, output, columns, rows)
