"""Commands that list what the sources say: services, endpoints, and the sources themselves."""

from __future__ import annotations

from typing import Any

import click

from meshregistry.cli._deciding import accept
from meshregistry.cli._exits import Exit
from meshregistry.cli._listing import Listing, lists
from meshregistry.cli._output import emit, note, table
from meshregistry.errors import ConfigError
from meshregistry.pilot import catalog_document, endpoints_document, sources_document


def _catalog(listing: Listing) -> tuple[Any, tuple[str, ...]]:
    return listing.look("catalog", lambda pilot: catalog_document(pilot.merged))


@click.command()
@click.option(
    "--explain-identity",
    "explains_identity",
    is_flag=True,
    help="Show instead which records of the sources are one service, and by which rule.",
)
@lists
def services(listing: Listing, explains_identity: bool) -> int:
    """List the merged services, with the sources of each.

    Example: meshregistry services -c mesh.yaml -o json
    """
    if explains_identity:
        found, missing = listing.look("identity", lambda pilot: pilot.identity_document())
        _emit_identity(found, listing.output)
        return listing.completeness(missing)
    document, unsynced = _catalog(listing)
    columns = ("NAMESPACE", "HOST", "PORTS", "RESOLUTION", "ENDPOINTS", "SOURCES", "CONFLICTS")
    rows = (
        (
            one["namespace"],
            one["host"],
            [f"{port['number']}/{port['protocol']}" for port in one["ports"]],
            one["resolution"],
            len(one["endpoints"]),
            one["sources"],
            len(one["conflicts"]) or None,
        )
        for one in document["services"]
    )
    emit(document, listing.output, columns, rows)
    return listing.completeness(unsynced)


def _emit_identity(document: Any, output: str) -> None:
    services = [
        *(
            ("/".join(filter(None, (one["namespace"], one["host"]))), one)
            for one in document["services"]
        ),
        *(("", {"records": [one]}) for one in document["left_out"]),
    ]
    rows = (
        (
            name,
            "/".join(filter(None, (record["source"], record["part"]))),
            record["key"],
            "/".join(filter(None, (record["namespace"], record["host"]))),
            record["by"],
        )
        for name, one in services
        for record in one["records"]
    )
    emit(document, output, ("SERVICE", "SOURCE", "RECORD", "CALLED THERE", "BY"), rows)
    if output == "table" and document["near_misses"]:
        near = ((one["name"], one["services"]) for one in document["near_misses"])
        table(("NEAR MISS", "SERVICES THAT ARE NOT ONE"), near)


@click.command()
@click.argument("host", required=False)
@lists
def endpoints(listing: Listing, host: str | None) -> int:
    """List the merged endpoints of HOST, or of every service.

    Example: meshregistry endpoints reviews.shop
    """
    catalog, unsynced = _catalog(listing)
    try:
        document = endpoints_document(catalog, host)
    except LookupError as error:
        raise ConfigError(str(error.args[0])) from error
    columns = ("HOST", "ADDRESS", "PORT", "OF PORT", "HEALTH", "WEIGHT", "PRIORITY", "LOCALITY", "LABELS", "SOURCES")  # fmt: skip
    rows = (
        (
            one["host"],
            one["address"],
            one["port"] or None,
            one["service_port"],
            one["health"],
            one["weight"],
            one["priority"],
            one["locality"],
            one["labels"],
            one["sources"],
        )
        for one in document["endpoints"]
    )
    emit(document, listing.output, columns, rows)
    return listing.completeness(unsynced)


@click.group(invoke_without_command=True)
@lists
@click.pass_context
def sources(context: click.Context, listing: Listing) -> int:
    """Show condition, age, counts and last error of each source.

    Example: meshregistry sources --server http://127.0.0.1:8080
    """
    if context.invoked_subcommand is not None:
        return Exit.OK
    document, unsynced = listing.look("sources", lambda pilot: sources_document(pilot.sources()))
    columns = ("SOURCE", "KIND", "CONDITION", "AGE (S)", "SERVICES", "ENDPOINTS", "FAULTY", "LAST ERROR")  # fmt: skip
    rows = (
        (
            one["id"],
            one["kind"],
            _condition(one),
            one["age"],
            one["services"],
            one["endpoints"],
            len(one["faulty"]) or None,
            one["error"],
        )
        for one in document["sources"]
    )
    emit(document, listing.output, columns, rows)
    if listing.output == "table":
        for one in document["sources"]:
            for key, error in one["faulty"].items():
                note(f"{one['id']}: {key}: {error}")
            for loss in one["losses"]:
                note(_lost(one["id"], loss))
    return listing.completeness(unsynced)


sources.add_command(accept)


def _condition(source: dict[str, Any]) -> str:
    """The condition, and what is special about the source."""
    words = (
        source["condition"],
        "shadow" if source["is_shadow"] else "",
        "snapshot" if source["is_restored"] else "",
        f"{source['withheld']} withheld" if source["losses"] else "",
    )
    return ", ".join(filter(None, words))


def _lost(source: str, loss: dict[str, Any]) -> str:
    """What the guard withholds, and how it ends."""
    part = f" {loss['part']}" if loss["part"] else ""
    end = "" if loss["remaining"] is None else f", in {loss['remaining']:.0f} s"
    return (
        f"warning: {source}{part}: {loss['after']} of {loss['before']} healthy endpoints are left "
        f"since {loss['age']:.0f} s; {loss['withheld']} are served all the same until they are "
        f"back{end}, or until the loss is accepted: meshregistry sources accept {source}"
    )
