"""``meshregistry mixer ask``: a question, or a report, to a server of Mixer."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from meshregistry.cli._exits import Exit
from meshregistry.cli._options import Number
from meshregistry.mixer import Code
from meshregistry.mixer.vocabulary import CONTEXT_TIME, REQUEST_TIME

if TYPE_CHECKING:
    from meshregistry.mixer import Manifest, MixerTls

ADDRESS = "127.0.0.1:9091"
"""Where servers listen, and are asked, if nothing else is said."""

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
"""A file that is there."""

_AMOUNT = re.compile("[0-9]{1,19}")
_DENIED = "DENIED"
_MANIFEST = "attributemanifest"
_NOBODY = "; start one with 'meshregistry mixer serve', or name another with --server"


@click.command()
@click.argument("words", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--server", default=ADDRESS, show_default=True, help="Whom to ask.")
@click.option(
    "--quota", "quotas", multiple=True, metavar="NAME=AMOUNT", help="Also take so much of it."
)
@click.option(
    "--manifests",
    multiple=True,
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="A file or folder that declares attributes of your own.",
)
@click.option("--ca", type=FILE, help="Roots of the server's certificate: a PEM file; means TLS.")
@click.option("--certificate", type=FILE, help="What to show to the server: a PEM file; likewise.")
@click.option("--key", type=FILE, help="Its private key.")
@click.option(
    "--server-name", metavar="NAME", help="The name in the server's certificate; likewise."
)
@click.option(
    "--report",
    "is_report",
    is_flag=True,
    help="Report it instead; as of now, unless request.time or context.time says when.",
)
@click.option(
    "--timeout",
    type=Number(min=0, min_open=True),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the answer.",
)
def ask(
    words: tuple[str, ...],
    server: str,
    quotas: tuple[str, ...],
    manifests: tuple[Path, ...],
    ca: Path | None,
    certificate: Path | None,
    key: Path | None,
    server_name: str | None,
    is_report: bool,
    timeout: float,
) -> int:
    """Describe a request by attributes and ask whether it may go on: exit 0 if so, else 1.

    With --report: exit 0 if all handlers took it, else 1, and who did.

    Example: meshregistry mixer ask request.path=/forbidden request.headers[user]=me
    """
    from meshregistry.cli._mixer_attributes import attributes  # noqa: PLC0415 - an extra

    wanted = {}
    for word in quotas:
        name, _, amount = word.partition("=")
        charge = int(amount) if _AMOUNT.fullmatch(amount) else 0
        if not name or not 0 < charge < 1 << 63:
            raise click.UsageError(
                f"{word!r} is no quota: write NAME=AMOUNT with an amount above 0, such as requests=1"
            )
        if name in wanted:
            raise click.UsageError(f"the quota {name} is given twice: add the amounts up")
        wanted[name] = charge
    if is_report and wanted:
        raise click.UsageError("--quota goes with a check: leave it or --report out")
    bag = attributes(words, _manifest(manifests)) if manifests else attributes(words)
    tls = _tls(ca, certificate, key, server_name)
    if is_report:
        return asyncio.run(_report(server, tls, bag, timeout))
    return asyncio.run(_ask(server, tls, bag, wanted, timeout))


def _tls(
    ca: Path | None, certificate: Path | None, key: Path | None, server_name: str | None
) -> MixerTls | None:
    from meshregistry.mixer import MixerTls  # noqa: PLC0415 - an extra

    if (certificate is None) != (key is None):
        raise click.UsageError("--certificate and --key belong together")
    if ca is None and certificate is None and server_name is None:
        return None
    return MixerTls(ca=ca, certificate=certificate, key=key, server_name=server_name)


def _manifest(paths: tuple[Path, ...]) -> Manifest:
    """The attributes that documents declare, beside the standard ones."""
    from meshregistry.mixer.config import ConfigFiles, Known, snapshot, unreadable  # noqa: PLC0415 - an extra

    try:
        listing = ConfigFiles(paths).read()
    except OSError as error:
        raise unreadable(error) from error
    faults = list(listing.faults) if listing else []
    manifests = [one for one in (listing.documents if listing else ()) if one.key.kind == _MANIFEST]
    found = snapshot(manifests, Known.of((), ()), faults).manifest
    if faults:
        raise faults[0]
    return found


async def _report(server: str, tls: MixerTls | None, bag: Any, timeout: float) -> int:
    from meshregistry.mixer import (  # noqa: PLC0415 - an extra
        BASE_WORD_COUNT,
        CallFailed,
        Compressor,
        GrpcTransport,
    )

    if not {REQUEST_TIME, CONTEXT_TIME} & bag.keys():
        bag = bag.updated({REQUEST_TIME: datetime.now(UTC)})
    transport = GrpcTransport([server], tls=tls)
    try:
        # Words that every server knows.
        request = Compressor(BASE_WORD_COUNT).report([bag])
        await transport.report(request, timeout, again=False)
    except CallFailed as error:
        if error.code == Code.UNKNOWN:
            click.echo(f"not all of it was reported: {error.details}", err=True)
        elif error.is_sent and error.is_of_the_transport:
            click.echo(f"it is not known whether it was reported: {error}", err=True)
        else:
            click.echo(f"not reported: {error}{_away(error.code)}", err=True)
        return Exit.WRONG_INPUT
    finally:
        await transport.close()
    click.echo("reported")
    return Exit.OK


async def _ask(
    server: str, tls: MixerTls | None, bag: Any, quotas: dict[str, int], timeout: float
) -> int:
    from meshregistry.mixer import ClientOptions, FailPolicy, MixerClient  # noqa: PLC0415 - an extra

    options = ClientOptions(fail_policy=FailPolicy.CLOSED, timeout=timeout)
    async with MixerClient([server], tls=tls, options=options) as client:
        result = await client.check(bag, quotas=quotas or None)
    if result.failure is not None:
        click.echo(f"error: {result.failure}{_away(result.status.code)}", err=True)
        return Exit.WRONG_INPUT
    for name, amount in sorted(result.granted.items()):
        click.echo(f"quota {name}: {amount} granted")
    for one in result.directive.request_headers:
        click.echo(f"request header {one.operation.name} {one.name}: {one.value}")
    for one in result.directive.response_headers:
        click.echo(f"response header {one.operation.name} {one.name}: {one.value}")
    if result.is_allowed:
        click.echo("ALLOWED")
        return Exit.OK
    click.echo(f"{_DENIED} {result.http_code} {result.status}")
    return Exit.WRONG_INPUT


def _away(code: int) -> str:
    return _NOBODY if code in {Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED} else ""
