"""``meshregistry register``: keep one service registered until a signal."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

import click
from attrs import evolve

from meshregistry.cli._exits import Exit
from meshregistry.cli._logs import configure_logs
from meshregistry.cli._options import config_option, load
from meshregistry.documents import format_seconds, parse_seconds
from meshregistry.model import Endpoint, Labels, Protocol, ServiceRecord
from meshregistry.pilot import registered

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshregistry.settings import Settings


class _Word(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4 only
    """An option that one of our own types reads."""

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        self.name = name
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._read(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _ttl(text: str) -> float:
    seconds = parse_seconds(text)
    if seconds < 1:
        msg = f"{text!r} is too short: write 1s or more"
        raise ValueError(msg)
    return seconds


@click.command()
@click.argument("source")
@click.argument("host")
@config_option
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    required=True,
    help="The port under which the service is called.",
)
@click.option("--port-name", metavar="NAME", help="Its name; default: its protocol.")
@click.option(
    "--protocol",
    type=_Word("name", Protocol.parse),
    default="HTTP",
    show_default=True,
    metavar="NAME",
    help="What it speaks.",
)
@click.option(
    "--endpoint",
    "endpoints",
    type=_Word("endpoint", Endpoint.parse),
    multiple=True,
    required=True,
    metavar="ADDRESS:PORT",
    help="Where the service answers; may be given several times.",
)
@click.option("--namespace", metavar="NAME", help="The namespace of the service.")
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="KEY=VALUE",
    help="A label of the endpoints; may be given several times.",
)
@click.option(
    "--ttl",
    type=_Word("duration", _ttl),
    default="10s",
    show_default=True,
    metavar="DURATION",
    help="How long the registration outlives the process.",
)
def register(
    source: str,
    host: str,
    config: str | None,
    port: int,
    port_name: str | None,
    protocol: Protocol,
    endpoints: tuple[Endpoint, ...],
    namespace: str | None,
    labels: tuple[str, ...],
    ttl: float,
) -> int:
    """Register the service HOST in the registry of SOURCE until SIGTERM or SIGINT.

    The registration is renewed while the command runs and taken back when it ends. If it
    dies, the registration ends with its time to live.

    Example: meshregistry register etcd reviews.shop --port 9080 --endpoint 10.0.0.1:9080 -c mesh.yaml
    """
    settings = load(config)
    configure_logs("info", "text")
    given = Labels.parse(",".join(labels))
    try:
        record = ServiceRecord.parse(
            host,
            port=port,
            protocol=protocol,
            port_name=port_name,
            namespace=namespace,
            endpoints=[evolve(endpoint, labels=given) for endpoint in endpoints],
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    asyncio.run(_keep(settings, source, record, ttl))
    return Exit.OK


async def _keep(settings: Settings, source: str, record: ServiceRecord, ttl: float) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    where = ", ".join(str(endpoint) for endpoint in record.endpoints)
    async with registered(settings, source, record, ttl=ttl):
        click.echo(
            f"registered {record.service} at {where} in {source}, "
            f"renewed within {format_seconds(ttl)}"
        )
        await stop.wait()
    click.echo(f"deregistered {record.service}")
