"""Commands that write operators' decisions: shift, and accepting a loss."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import click

from meshregistry.cli._exits import Exit
from meshregistry.cli._options import config_option, load
from meshregistry.documents import Instant
from meshregistry.errors import ConfigError
from meshregistry.pilot import check_decision, decision_writer
from meshregistry.spi import OutgoingDocument, safe_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meshregistry.settings import Settings

GROUP, VERSION = "meshregistry.dev", "v1"

to_option = click.option(
    "--to", metavar="ID", help="The rule source to write into; default: the first writable one."
)
namespace_option = click.option(
    "--namespace", default="", metavar="NAME", help="The namespace of the document."
)
undo_option = click.option("--undo", is_flag=True, help="Take the document away again.")


def document_of(
    kind: str, namespace: str, name: str, spec: Mapping[str, Any] | None = None
) -> OutgoingDocument:
    """A document of ours; what is not said is left out."""
    given = {key: value for key, value in (spec or {}).items() if value is not None and value != ""}
    return OutgoingDocument(
        group=GROUP,
        version=VERSION,
        kind=kind,
        namespace=namespace,
        name=safe_name(name),
        spec=given,
    )


async def write(
    settings: Settings, to: str | None, document: OutgoingDocument, *, is_undone: bool = False
) -> None:
    """Put or delete one document, and say where."""
    async with decision_writer(settings, to) as (source, writer):
        if not is_undone:
            check_decision(document, settings.mesh.domain)
            place = await writer.put(document)
            click.echo(f"{document.kind} {document.name}: written to {place}")
        elif await writer.delete(document):
            click.echo(f"{document.kind} {document.name}: taken out of {source}")
        else:
            raise ConfigError(
                f"{source} has no {document.kind} {document.name} of ours",
                remedy="see what there is at /debug/rules, and name its rule source with --to",
            )


def _shares(words: tuple[str, ...]) -> dict[str, int]:
    shares = {}
    for word in words:
        source, equals, number = word.partition("=")
        if not (source and equals and number.isascii() and number.isdigit()):
            raise click.UsageError(
                f"{word!r} is not a share: write SOURCE=WEIGHT, such as consul=10"
            )
        shares[source] = int(number)
    return shares


@click.command()
@click.argument("host")
@click.argument("shares", nargs=-1, metavar="SOURCE=WEIGHT...")
@config_option
@namespace_option
@to_option
@undo_option
def shift(
    host: str,
    shares: tuple[str, ...],
    config: str | None,
    namespace: str,
    to: str | None,
    undo: bool,
) -> int:
    """Share the traffic to HOST out among the sources that know it.

    HOST may be a wildcard, or * for all. A source with 0 gets nothing; one that is not named
    keeps what it has.

    Example: meshregistry shift reviews.shop eureka=90 consul=10 -c mesh.yaml
    """
    settings = load(config)
    weights = _shares(shares)
    if undo == bool(weights):
        raise click.UsageError("write shares, such as eureka=90 consul=10, or --undo alone")
    check_sources(settings, weights)
    if not undo and not any(weights.values()):
        raise ConfigError("no source gets anything", remedy="give at least one a share above 0")
    document = document_of("SourceShift", namespace, host, {"hosts": [host], "weights": weights})
    asyncio.run(write(settings, to, document, is_undone=undo))
    return Exit.OK


def check_sources(settings: Settings, named: Iterable[str]) -> None:
    """See to it that there are such sources.

    Raises:
        ConfigError: if there is one that is not.
    """
    known = [one.id for one in settings.sources]
    for one in named:
        if one not in known:
            raise ConfigError(
                f"the settings have no source {one}",
                field="sources",
                remedy=f"name one of {', '.join(known) or 'none: there are none'}",
            )


@click.command()
@click.argument("source")
@click.option("--part", metavar="NAME", help="Only of this part, such as a datacenter.")
@click.option("--reason", default="", metavar="TEXT", help="For people.")
@click.option(
    "--until", metavar="TIME", help="Also losses before this time (RFC 3339), for planned work."
)
@config_option
@namespace_option
@to_option
@undo_option
def accept(
    source: str,
    part: str | None,
    reason: str,
    until: str | None,
    config: str | None,
    namespace: str,
    to: str | None,
    undo: bool,
) -> int:
    """Accept that SOURCE has really lost what the mass-loss guard withholds.

    Losses that began before now are let go of, in every replica.

    Example: meshregistry sources accept consul --part dc2 --reason 'dc2 is closed'
    """
    settings = load(config)
    check_sources(settings, [source])
    try:
        last = None if until is None else str(Instant.parse(until))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    spec = {
        "source": source,
        "part": part,
        "lostBy": str(Instant(time.time())),
        "until": last,
        "reason": reason,
    }
    name = source if part is None else f"{source}-{part}"
    document = document_of("LossAcceptance", namespace, name, spec)
    asyncio.run(write(settings, to, document, is_undone=undo))
    return Exit.OK
