"""``meshregistry drain``: take an endpoint out of use, and wait until nobody is led there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from meshregistry.cli._asking import admin_of, ask
from meshregistry.cli._deciding import (
    check_sources,
    document_of,
    namespace_option,
    to_option,
    undo_option,
    write,
)
from meshregistry.cli._exits import Exit
from meshregistry.cli._options import config_option, load, server_option
from meshregistry.cli._output import note
from meshregistry.documents import parse_seconds
from meshregistry.errors import ConfigError
from meshregistry.model import Endpoint
from meshregistry.rules import DrainPhase

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshregistry.settings import Settings

_PAUSE = 0.2


def _endpoint(text: str) -> Endpoint:
    try:
        return Endpoint.parse(text)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _seconds(text: str) -> float:
    try:
        return float(parse_seconds(text))
    except ValueError as error:
        raise click.UsageError(str(error)) from error


@click.command()
@click.argument("host")
@click.argument("endpoint", metavar="ADDRESS:PORT")
@click.option(
    "--wait",
    is_flag=True,
    help="After a while, take it out altogether, and wait until no proxy is led there.",
)
@click.option(
    "--grace",
    default="2s",
    show_default=True,
    metavar="DURATION",
    help="With --wait: how long it is DRAINING first.",
)
@click.option(
    "--timeout",
    default="60s",
    show_default=True,
    metavar="DURATION",
    help="With --wait: how long to wait in all.",
)
@click.option("--source", metavar="ID", help="Only while this source names it.")
@click.option("--reason", default="", metavar="TEXT", help="For people.")
@click.option("--force", is_flag=True, help="Also if it is the last healthy one.")
@config_option
@server_option
@namespace_option
@to_option
@undo_option
def drain(
    host: str,
    endpoint: str,
    wait: bool,
    grace: str,
    timeout: str,
    source: str | None,
    reason: str,
    force: bool,
    config: str | None,
    server: str | None,
    namespace: str,
    to: str | None,
    undo: bool,
) -> int:
    """Take the endpoint ADDRESS:PORT of HOST out of use, in every replica.

    It is DRAINING: proxies begin nothing new there. With --wait it is then taken out
    altogether, and the command exits with 0 once no connected proxy is led there, so that
    its process can be stopped. The document stays, since the registry may go on to name the
    endpoint: take it away with --undo when it no longer does, or to use it again.

    Example: meshregistry drain reviews.shop 10.0.0.1:9080 --wait -c mesh.yaml
    """
    settings = load(config)
    where = _endpoint(endpoint)
    if source is not None:
        check_sources(settings, [source])
    spec = {
        "host": host,
        "address": where.address,
        "port": where.port or None,
        "source": source,
        "reason": reason,
    }
    job = _Drain(
        settings=settings,
        to=to,
        spec=spec,
        namespace=namespace,
        name=f"{host}-{where}",
    )
    if undo:
        asyncio.run(job.undo())
        return Exit.OK
    address = server or (admin_of(config) if wait or not force else None)
    if not force and address is not None:
        _check_others(address, host, where)
    if not wait or address is None:
        asyncio.run(job.put(DrainPhase.DRAINING))
        return Exit.OK
    return asyncio.run(job.run(address, where, grace=_seconds(grace), timeout=_seconds(timeout)))


def _check_others(server: str, host: str, endpoint: Endpoint) -> None:
    """See to it that somebody else takes the requests.

    Raises:
        ConfigError: if nobody does, or no service of that name has the endpoint.
    """
    listed = [
        one
        for service in ask(server, "catalog")["services"]
        if host in {"*", service["host"]}
        or (host.startswith("*") and service["host"].endswith(host[1:]))
        for one in service["endpoints"]
    ]
    mine = [
        one for one in listed if (one["address"], one["port"]) == (endpoint.address, endpoint.port)
    ]
    if not mine:
        raise ConfigError(
            f"{host} has no endpoint {endpoint}",
            remedy=f"see what there is with: meshregistry endpoints {host}; or add --force",
        )
    for one in mine:
        others = [
            other
            for other in listed
            if other["service_port"] == one["service_port"]
            and other["health"] == "HEALTHY"
            and other["weight"]
            and other not in mine
        ]
        if not others:
            raise ConfigError(
                f"{endpoint} is the last healthy endpoint of {host} at {one['service_port']}",
                remedy="start another one first, or add --force",
            )


class _Drain:
    """One endpoint's way out.

    Args:
        settings: where to write.
        to: into which rule source.
        spec: of the document, without its phase.
        namespace, name: of the document.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        to: str | None,
        spec: Mapping[str, Any],
        namespace: str,
        name: str,
    ) -> None:
        self._settings = settings
        self._to = to
        self._spec = spec
        self._namespace = namespace
        self._name = name

    async def put(self, phase: DrainPhase) -> None:
        """Write the document."""
        spec = {**self._spec, "phase": str(phase)}
        document = document_of("Drain", self._namespace, self._name, spec)
        await write(self._settings, self._to, document)

    async def undo(self) -> None:
        """Take it away."""
        document = document_of("Drain", self._namespace, self._name)
        await write(self._settings, self._to, document, is_undone=True)

    async def run(self, server: str, endpoint: Endpoint, *, grace: float, timeout: float) -> int:
        """Drain, take out, wait; the exit code."""
        seen: set[str] = set()
        found: dict[str, Any] = {}

        async def look() -> dict[str, Any]:
            nonlocal found
            query = {"address": endpoint.address, "port": str(endpoint.port)}
            found = await asyncio.to_thread(ask, server, "drained", **query)
            seen.update(found["proxies"])
            return found

        try:
            async with asyncio.timeout(timeout):
                await look()
                await self.put(DrainPhase.DRAINING)
                while set((await look())["health"]) - {"DRAINING"}:  # noqa: ASYNC110 - another process tells no event
                    await asyncio.sleep(_PAUSE)
                await asyncio.sleep(grace)
                await self.put(DrainPhase.REMOVED)
                while not (await look())["is_drained"]:  # noqa: ASYNC110 - the same
                    await asyncio.sleep(_PAUSE)
        except TimeoutError:
            note(f"error: {endpoint} is not drained within {timeout:g} s: {_laggards(found)}")
            return Exit.WRONG_INPUT
        peers = [one["url"] for one in found["peers"]]
        others = (
            f"so did those of {', '.join(peers)}"
            if peers
            else "proxies of other replicas were not asked: server.peers names none"
        )
        count = f"{len(seen)} {'proxy' if len(seen) == 1 else 'proxies'}"
        click.echo(f"{endpoint} is drained: {count} let go of it, {others}")
        return Exit.OK


def _laggards(found: Mapping[str, Any]) -> str:
    """Who is still led there, by the last answer."""
    parts = []
    if not found["is_published"]:
        parts.append("the server has published nothing yet; see meshregistry sources")
    if found["services"]:
        parts.append(f"still in {', '.join(found['services'])}")
    if found["proxies"]:
        parts.append(f"still held by {', '.join(found['proxies'])}")
    for one in found["peers"]:
        if not one["is_drained"]:
            why = one["error"] or ", ".join(one["proxies"]) or "still served"
            parts.append(f"{one['url']}: {why}")
    return "; ".join(parts) or "the server has not seen the document yet"
