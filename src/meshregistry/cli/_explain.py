"""Commands that say why something is as it is, and what two sources say differently."""

from __future__ import annotations

from typing import Any

import click

from meshregistry.cli._listing import Listing, lists
from meshregistry.cli._output import emit, note, table
from meshregistry.cli._proxies import emit_resources


@click.command()
@click.argument("host")
@click.option("--proxy", "node_id", metavar="NODE_ID", help="As this proxy sees it.")
@click.option(
    "--request",
    metavar="WORDS",
    help="Walk the proxy's routing decision for a request, such as \"GET /a -H 'x: y'\".",
)
@lists
def explain(listing: Listing, host: str, node_id: str | None, request: str | None) -> int:
    """Show which sources and decisions led to what is known of HOST (or HOST:PORT).

    Example: meshregistry explain reviews.shop:9080
    """
    document, unsynced = listing.look(
        "explain",
        lambda pilot: pilot.explain(host, node_id, request),
        host=host,
        proxy=node_id,
        request=request,
    )
    if request is not None:
        _emit_decision(document, listing.output)
        return listing.completeness(unsynced)
    columns = ("SERVICE", "WHAT", "VALUE", "FROM")
    rows = (
        (entry["service"], step["what"], step["value"], step["from"])
        for entry in document["services"]
        for step in entry["steps"]
    )
    emit(document, listing.output, columns, rows)
    if listing.output == "table" and node_id is not None:
        emit_resources(document["resources"], listing.output)
    return listing.completeness(unsynced)


def _emit_decision(document: dict[str, Any], output: str) -> None:
    """The routes that were tried, and where the request goes."""
    decision = document["decision"]
    rows = (
        (step["route"], step["reason"] or "takes it", step["origin"]) for step in decision["steps"]
    )
    emit(document, output, ("ROUTE", "WHY", "FROM"), rows)
    if output != "table":
        return
    if decision["redirect"]:
        note(f"redirected with {decision['status']} to {decision['redirect']}")
    elif decision["status"]:
        note(f"answered with {decision['status']}")
    for detail in decision["details"]:
        note(detail)
    found = [
        (one["cluster"], f"{one['percent']:g} %", end["endpoint"], ", ".join(end["sources"]))
        for one in decision["clusters"]
        for end in one["endpoints"] or [{"endpoint": "", "sources": []}]
    ]
    if found:
        table(("CLUSTER", "SHARE", "ENDPOINT", "SOURCES"), found)


@click.command()
@click.argument("first", metavar="SOURCE_A")
@click.argument("second", metavar="SOURCE_B")
@lists
def diff(listing: Listing, first: str, second: str) -> int:
    """Show what two sources say differently; exits with 1 if there is anything.

    Example: meshregistry diff eureka consul
    """
    document, unsynced = listing.look(
        "diff",
        lambda pilot: pilot.diff(first, second),
        first=first,
        second=second,
    )
    columns = ("NAMESPACE", "HOST", "WHAT", first.upper(), second.upper())
    found = document["differences"]
    rows = (
        (one["namespace"], one["host"], one["what"], one["first"] or None, one["second"] or None)
        for one in found
    )
    emit(document, listing.output, columns, rows)
    lacking = tuple(one for one in unsynced if one in {first, second})
    return listing.completeness(lacking) or int(bool(found))
