"""Commands that show what the sources say and what a proxy would be sent."""

from __future__ import annotations

from typing import Any

import click

from meshregistry.cli._asking import admin_of, ask, completeness, look
from meshregistry.cli._deciding import accept
from meshregistry.cli._exits import Exit
from meshregistry.cli._options import (
    config_option,
    listing,
    listing_as,
    load,
    output_option,
    server_option,
)
from meshregistry.cli._output import emit, note, table
from meshregistry.errors import ConfigError
from meshregistry.pilot import (
    Pilot,
    catalog_document,
    endpoints_document,
    plugins_document,
    sources_document,
)


def _catalog(config: str | None, server: str | None, timeout: float) -> tuple[Any, tuple[str, ...]]:
    return look(config, server, timeout, "catalog", lambda pilot: catalog_document(pilot.merged))


@click.command()
@click.option(
    "--explain-identity",
    "explains_identity",
    is_flag=True,
    help="Show instead which records of the sources are one service, and by which rule.",
)
@listing
def services(
    explains_identity: bool,
    config: str | None,
    output: str,
    server: str | None,
    timeout: float,
    allow_partial: bool,
) -> int:
    """List the merged services, with the sources of each.

    Example: meshregistry services -c mesh.yaml -o json
    """
    if explains_identity:
        found, missing = look(
            config, server, timeout, "identity", lambda pilot: pilot.identity_document()
        )
        _emit_identity(found, output)
        return completeness(missing, allow_partial=allow_partial)
    document, unsynced = _catalog(config, server, timeout)
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
    emit(document, output, columns, rows)
    return completeness(unsynced, allow_partial=allow_partial)


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
@listing
def endpoints(
    host: str | None,
    config: str | None,
    output: str,
    server: str | None,
    timeout: float,
    allow_partial: bool,
) -> int:
    """List the merged endpoints of HOST, or of every service.

    Example: meshregistry endpoints reviews.shop
    """
    catalog, unsynced = _catalog(config, server, timeout)
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
    emit(document, output, columns, rows)
    return completeness(unsynced, allow_partial=allow_partial)


@click.group(invoke_without_command=True)
@listing
@click.pass_context
def sources(
    context: click.Context,
    config: str | None,
    output: str,
    server: str | None,
    timeout: float,
    allow_partial: bool,
) -> int:
    """Show condition, age, counts and last error of each source.

    Example: meshregistry sources --server http://127.0.0.1:8080
    """
    if context.invoked_subcommand is not None:
        return Exit.OK
    document, unsynced = look(
        config, server, timeout, "sources", lambda pilot: sources_document(pilot.sources())
    )
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
    emit(document, output, columns, rows)
    if output == "table":
        for one in document["sources"]:
            for key, error in one["faulty"].items():
                note(f"{one['id']}: {key}: {error}")
            for loss in one["losses"]:
                note(_lost(one["id"], loss))
    return completeness(unsynced, allow_partial=allow_partial)


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


@click.command()
@click.argument("node_id")
@click.option("--type", "type_name", metavar="TYPE", help="Only cds, eds, lds, rds, ….")
@listing_as("json")
def resources(
    node_id: str,
    type_name: str | None,
    config: str | None,
    output: str,
    server: str | None,
    timeout: float,
    allow_partial: bool,
) -> int:
    """Print the xDS resources that the proxy NODE_ID would be sent.

    Example: meshregistry resources sidecar~10.0.0.1~web.shop~shop.svc.mesh.local --type cds
    """
    document, unsynced = look(
        config,
        server,
        timeout,
        "resources",
        lambda pilot: pilot.resources_document(node_id, type_name),
        node=node_id,
        type=type_name,
    )
    _emit_resources(document, output)
    return completeness(unsynced, allow_partial=allow_partial)


def _emit_resources(document: Any, output: str) -> None:
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


@click.command()
@click.argument("host")
@click.option("--proxy", "node_id", metavar="NODE_ID", help="As this proxy sees it.")
@click.option(
    "--request",
    metavar="WORDS",
    help="Walk the proxy's routing decision for a request, such as \"GET /a -H 'x: y'\".",
)
@listing
def explain(
    host: str,
    node_id: str | None,
    request: str | None,
    config: str | None,
    output: str,
    server: str | None,
    timeout: float,
    allow_partial: bool,
) -> int:
    """Show which sources and decisions led to what is known of HOST (or HOST:PORT).

    Example: meshregistry explain reviews.shop:9080
    """
    document, unsynced = look(
        config,
        server,
        timeout,
        "explain",
        lambda pilot: pilot.explain(host, node_id, request),
        host=host,
        proxy=node_id,
        request=request,
    )
    if request is not None:
        _emit_decision(document, output)
        return completeness(unsynced, allow_partial=allow_partial)
    columns = ("SERVICE", "WHAT", "VALUE", "FROM")
    rows = (
        (entry["service"], step["what"], step["value"], step["from"])
        for entry in document["services"]
        for step in entry["steps"]
    )
    emit(document, output, columns, rows)
    if output == "table" and node_id is not None:
        _emit_resources(document["resources"], output)
    return completeness(unsynced, allow_partial=allow_partial)


@click.command()
@click.argument("first", metavar="SOURCE_A")
@click.argument("second", metavar="SOURCE_B")
@listing
def diff(
    first: str,
    second: str,
    config: str | None,
    output: str,
    server: str | None,
    timeout: float,
    allow_partial: bool,
) -> int:
    """Show what two sources say differently; exits with 1 if there is anything.

    Example: meshregistry diff eureka consul
    """
    document, unsynced = look(
        config,
        server,
        timeout,
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
    emit(document, output, columns, rows)
    lacking = tuple(one for one in unsynced if one in {first, second})
    return completeness(lacking, allow_partial=allow_partial) or int(bool(found))


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
