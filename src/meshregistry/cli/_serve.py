"""``meshregistry serve``: run the pilot until a signal, reload on change, drain at the end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from pathlib import Path

import click
from watchfiles import awatch

from meshregistry.cli._exits import Exit
from meshregistry.cli._logs import configure_logs
from meshregistry.cli._options import config_option
from meshregistry.errors import ConfigError, PilotFailed
from meshregistry.pilot import Pilot
from meshregistry.settings import Settings

_log = logging.getLogger("meshregistry.cli")


@click.command()
@config_option
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="The least severe messages to print.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="One line of text or one JSON object for each message.",
)
def serve(config: str | None, log_level: str, log_format: str) -> int:
    """Run the pilot: sources, xDS, HTTP.

    Prints a line when it listens and one when it is ready, with the addresses in use.
    SIGTERM drains and exits with 0, a second one stops at once; SIGHUP and changes of the
    settings file reload what can be reloaded.

    Example: meshregistry serve -c mesh.yaml
    """
    path = Settings.find(config, environ=os.environ, cwd=Path.cwd())
    settings = Settings.load(path)
    configure_logs(log_level, log_format)
    return asyncio.run(_Serving(path).run(settings))


class _Serving:
    """One run of the server: signals in, exit code out."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()
        self._reload = asyncio.Event()

    async def run(self, settings: Settings) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        pilot = Pilot(settings)
        await pilot.__aenter__()
        chores = [
            asyncio.create_task(chore)
            for chore in (self._announce(pilot), self._watch(), self._reloading(pilot))
        ]
        try:
            failure = await self._until_stop(pilot)
        finally:
            for chore in chores:
                chore.cancel()
            await asyncio.gather(*chores, return_exceptions=True)
            closing = asyncio.create_task(pilot.__aexit__(None, None, None))
            await _first(closing, self._stop_now)
        if failure is not None:
            raise failure
        _log.info("stopped")
        return Exit.OK

    async def _until_stop(self, pilot: Pilot) -> PilotFailed | None:
        failed = asyncio.create_task(pilot.wait_failed())
        try:
            await _first(failed, self._stop)
            if not failed.cancelled():
                return failed.result()
            _notify("STOPPING=1")
            _log.info("draining: no longer ready, streams close within the drain timeout")
            await _first(asyncio.create_task(pilot.drain()), self._stop_now)
        finally:
            failed.cancel()
        return None

    def _on_stop(self) -> None:
        (self._stop_now if self._stop.is_set() else self._stop).set()

    async def _announce(self, pilot: Pilot) -> None:
        where = " ".join(f"{name}={address}" for name, address in pilot.addresses().items())
        waiting = ", ".join(pilot.unsynced())
        suffix = f"; waiting for {waiting}" if waiting else ""
        _log.info("listening: settings=%s %s%s", self._path, where, suffix)
        catalog = await pilot.synced()
        _notify("READY=1")
        _log.info("ready: settings=%s %s services=%d", self._path, where, len(catalog))

    async def _watch(self) -> None:
        seen = self._content()
        async for _ in awatch(self._path.parent, recursive=False):
            now = self._content()
            if now is not None and now != seen:
                seen = now
                self._reload.set()

    def _content(self) -> bytes | None:
        try:
            return self._path.read_bytes()
        except OSError:
            return None

    async def _reloading(self, pilot: Pilot) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            try:
                report = await pilot.reload(Settings.load(self._path))
            except ConfigError as error:
                for fault in error.faults:
                    _log.error("settings not reloaded: %s", fault.message)
                continue
            _log.info(
                "settings reloaded: applied %s; needs a restart: %s",
                ", ".join(report.applied) or "nothing",
                ", ".join(report.needs_restart) or "nothing",
            )


async def _first(task: asyncio.Task[object], event: asyncio.Event) -> None:
    """Wait until the task is done (and raise what it raised) or the event is set."""
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    if task.done():
        task.result()
    elif event.is_set():
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _notify(state: str) -> None:
    """Tell systemd (sd_notify(3)), if it started us and asked for it."""
    path = os.environ.get("NOTIFY_SOCKET")
    if path:
        address = "\0" + path[1:] if path.startswith("@") else path
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.sendto(state.encode(), address)
