"""``meshregistry mixer``: run a server of Mixer, check its documents, ask one."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import AsyncExitStack
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from meshregistry.cli._exits import Exit
from meshregistry.cli._logs import configure_logs
from meshregistry.cli._mixer_ask import ADDRESS, FILE, ask
from meshregistry.cli._options import Number, log_options
from meshregistry.documents import RuleUnit, nothing_in
from meshregistry.pilot import Pilot
from meshregistry.settings import Address, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from meshregistry.mixer.spi import MixerAdapter

_log = logging.getLogger("meshregistry.cli")
_MONITORING = "127.0.0.1:15014"
_FIRST_CATALOG = 15.0


@click.group()
def mixer() -> None:
    """Check before a request, report after it: a server of Mixer, and questions to one.

    Example: meshregistry mixer serve --demo
    """


mixer.add_command(ask)


@mixer.command()
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path(path_type=Path))
@click.option("--address", default=ADDRESS, show_default=True, help="Where to listen.")
@click.option(
    "--monitoring",
    default=_MONITORING,
    show_default=True,
    help="Where to show health, metrics and faults of the configuration; empty: nowhere.",
)
@click.option("--standard", is_flag=True, help="Begin with Istio's metrics and an access log.")
@click.option("--demo", is_flag=True, help="The same, and some rules to try.")
@click.option(
    "--catalog",
    metavar="FILE",
    help="Settings of a pilot whose catalog the adapter kubernetesenv looks into.",
)
@click.option(
    "--trust",
    multiple=True,
    metavar="NETWORK|IDENTITY",
    help="Callers of Envoys that are believed what they forward in x-istio-attributes.",
)
@click.option(
    "--deadline",
    type=Number(min=0, min_open=True),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="How long one call of a handler may take.",
)
@click.option("--certificate", type=FILE, help="The server's certificate: a PEM file.")
@click.option("--key", type=FILE, help="Its private key.")
@click.option("--client-ca", type=FILE, help="Whose certificates clients must have.")
@click.option(
    "--allow-plaintext", is_flag=True, help="Speak plain text although others reach the address."
)
@click.option(
    "--shed",
    type=click.Choice(["disabled", "logonly", "enforce"]),
    default="disabled",
    show_default=True,
    help="Whether calls are turned away while the server is late.",
)
@click.option(
    "--shed-latency",
    type=Number(min=0),
    default=0.1,
    show_default=True,
    metavar="SECONDS",
    help="It is late if calls take longer on average.",
)
@click.option(
    "--shed-rate",
    type=Number(min=0),
    default=0.0,
    show_default=True,
    metavar="NUMBER",
    help="Also turn away calls beyond so many a second; 0: as many as come.",
)
@log_options
def serve(
    paths: tuple[Path, ...],
    address: str,
    monitoring: str,
    standard: bool,
    demo: bool,
    catalog: str | None,
    trust: tuple[str, ...],
    deadline: float,
    certificate: Path | None,
    key: Path | None,
    client_ca: Path | None,
    allow_plaintext: bool,
    shed: str,
    shed_latency: float,
    shed_rate: float,
    log_level: str,
    log_format: str,
) -> int:
    """Run a server with the documents in these files and folders, and follow them.

    One port speaks Mixer's protocol and, for Envoy, external authorization, access logs and
    rate limits. SIGTERM lets calls end and exits with 0.

    Example: meshregistry mixer serve --standard policies/
    """
    if not (paths or standard or demo):
        raise click.UsageError("there is no configuration: name a PATH, --standard or --demo")
    tls = _tls(certificate, key, client_ca)
    _check_exposure(address, is_allowed=allow_plaintext or tls is not None)
    if monitoring and _parsed("--monitoring", monitoring).is_unix:
        raise click.UsageError(f"--monitoring: {monitoring!r} is a socket; write host:port")
    configure_logs(log_level, log_format)
    base = (*_standard(standard or demo), *_demo(demo))
    options: dict[str, Any] = {
        "config": paths or None,
        "base": base,
        "monitoring": monitoring or None,
        "deadline": deadline,
        "fronts": [_fronts(trust)],
        "shedding": _shedding(shed, shed_latency, shed_rate),
        "tls": tls,
    }
    return asyncio.run(_serve(address, catalog, options))


def _tls(certificate: Path | None, key: Path | None, client_ca: Path | None) -> Any:
    from meshregistry.mixer.server import MixerServerTls  # noqa: PLC0415 - an extra

    if certificate is None and key is None and client_ca is None:
        return None
    if certificate is None or key is None:
        raise click.UsageError("--certificate and --key belong together; --client-ca needs both")
    return MixerServerTls(certificate=certificate, key=key, client_ca=client_ca)


def _check_exposure(address: str, *, is_allowed: bool) -> None:
    if not (_parsed("--address", address).is_loopback or is_allowed):
        raise click.UsageError(
            f"{address} is not loopback, and without a certificate anyone can read and alter what "
            "is said: add --certificate and --key, or --allow-plaintext if the network is trusted"
        )


def _parsed(option: str, text: str) -> Address:
    try:
        return Address(text)
    except ValueError as error:
        raise click.UsageError(f"{option}: {error}") from error


def _shedding(mode: str, latency: float, rate: float) -> Any:
    from meshregistry.mixer.server import Mode, SheddingConfig  # noqa: PLC0415 - an extra

    return SheddingConfig(mode=Mode(mode), latency=latency, rate=rate)


def _fronts(trust: tuple[str, ...]) -> Any:
    from meshregistry.mixer.fronts import EnvoyFronts, FrontOptions, Trust  # noqa: PLC0415 - an extra

    try:
        return EnvoyFronts(FrontOptions(trust=Trust.parse(trust)))
    except ValueError as error:
        raise click.UsageError(f"--trust: {error}; write a network or an identity") from error


async def _serve(address: str, catalog: str | None, options: dict[str, Any]) -> int:
    from meshregistry.mixer.server import MixerServer  # noqa: PLC0415 - an extra

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        services: dict[str, object] = {}
        if catalog is not None:
            pilot = await stack.enter_async_context(Pilot(Settings.load(catalog), serve=False))
            try:
                await pilot.synced(timeout=_FIRST_CATALOG)
            except TimeoutError as error:
                _log.warning("the catalog is empty so far: %s", error)
            services["catalog"] = lambda: pilot.catalog
        server = MixerServer(
            address, adapters=_adapters(_log.warning), services=services, **options
        )
        try:
            await stack.enter_async_context(server)
        except OSError as error:
            click.echo(f"error: {error.strerror or error}", err=True)
            return Exit.ADDRESS
        where = f" monitoring={server.monitoring_address}" if server.monitoring_address else ""
        faults = len(server.status().faults)
        _log.info("ready: mixer=%s%s faults=%d", server.address, where, faults)
        await stop.wait()
    _log.info("stopped")
    return Exit.OK


@mixer.command()
@click.argument(
    "paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(path_type=Path)
)
@click.option("--standard", is_flag=True, help="The standard configuration is there, too.")
def check(paths: tuple[Path, ...], standard: bool) -> int:
    """Validate documents; print every fault with its file, line, field and reason.

    What is right and hardly meant, such as a QuotaSpec that is bound to no service, is printed,
    too, and is no fault; nor is a PATH without any document, which is a warning.

    Example: meshregistry mixer check policies/
    """
    from meshregistry.mixer.config import ConfigFiles, Configurator, Known, unreadable  # noqa: PLC0415 - an extra
    from meshregistry.mixer.spi import TEMPLATES  # noqa: PLC0415 - an extra

    try:
        listing = ConfigFiles(paths).read()
    except OSError as error:
        raise unreadable(error) from error
    documents = () if listing is None else listing.documents
    base = [document for unit in _standard(standard) for document in unit.documents]
    folder = paths[0] if paths[0].is_dir() else paths[0].parent
    adapters = _adapters(lambda reason: click.echo(f"warning: {reason}"))
    configurator = Configurator(Known.of(adapters, TEMPLATES), base_path=folder.absolute())
    accepted = configurator.build([*base, *documents])
    found = [*(listing.faults if listing else ()), *accepted.faults]
    for fault in (*found, *accepted.snapshot.hints):
        click.echo(fault.message)
    files = {one.root.file for one in documents} | {one.file for one in found}
    for path in paths:
        if not any(Path(file).is_relative_to(path) for file in files if file):
            click.echo(f"warning: {nothing_in(str(path)).message}")
    noun = "fault" if len(found) == 1 else "faults"
    things = "document" if len(documents) == 1 else "documents"
    click.echo(f"{len(found) or 'no'} {noun} in {len(documents)} {things}", err=True)
    return Exit.WRONG_INPUT if found else Exit.OK


def _adapters(warn: Callable[[str], object]) -> tuple[MixerAdapter, ...]:
    """Those of all plugins that can be loaded; of the others, whose adapters lack, it is told."""
    from meshregistry.mixer.spi import MixerAdapter  # noqa: PLC0415 - an extra

    plugins = Pilot.discover()
    found = plugins.mixer_adapters(MixerAdapter)
    for one in plugins.reports():
        if one.error:
            warn(one.error)
    return found


def _standard(is_wanted: bool) -> Iterable[RuleUnit]:
    if not is_wanted:
        return ()
    from meshregistry.mixer.standard import standard_units  # noqa: PLC0415 - an extra

    return standard_units()


def _demo(is_wanted: bool) -> Iterable[RuleUnit]:
    if is_wanted:
        text = files("meshregistry.mixer.standard").joinpath("demo.yaml").read_text("utf-8")
        yield RuleUnit.of_text("<demo>", text)
