"""``meshregistry serve``: run the pilot until a signal, reload on change, drain at the end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from watchfiles import awatch

from meshregistry.cli._exits import Exit
from meshregistry.cli._logs import configure_logs
from meshregistry.cli._options import config_option, log_options
from meshregistry.errors import ConfigError, PilotFailed, PluginError
from meshregistry.pilot import Pilot
from meshregistry.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Coroutine

_log = logging.getLogger("meshregistry.cli")
_RESCAN_MS = 30_000


@click.command()
@config_option
@log_options
def serve(config: str | None, log_level: str, log_format: str) -> int:
    """Run the pilot: sources, xDS, HTTP.

    Prints a line when it listens and one when it is ready, with the addresses in use.
    SIGTERM drains and exits with 0, a second one stops at once; SIGHUP and changes of the
    settings file reload what can be reloaded.

    Example: meshregistry serve -c mesh.yaml
    """
    path = Settings.find(config, environ=os.environ, cwd=Path.cwd())
    configure_logs(log_level, log_format)
    serving = _Serving(path)
    return asyncio.run(serving.run(Settings.load(path)))


class _Serving:
    """One run of the server: signals in, exit code out."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Read before the settings are, so that no change in between is missed.
        self._seen = _content(path)
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()
        self._reload = asyncio.Event()

    async def run(self, settings: Settings) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        pilot = Pilot(settings)
        try:
            await pilot.__aenter__()
        except OSError as error:
            # Entering does nothing else to the system than bind addresses.
            click.echo(f"error: {error.strerror or error}", err=True)
            return Exit.ADDRESS
        chores = [
            asyncio.create_task(_reported(chore, what))
            for chore, what in (
                (self._announce(pilot), "announcing readiness"),
                (self._watch(), "watching the settings"),
                (self._reloading(pilot), "reloading"),
            )
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
            if failed.done() and not failed.cancelled():
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
        """Ask for a reload when the content differs; an event is only a hint."""
        async for _ in awatch(
            self._path.parent,
            recursive=False,
            watch_filter=None,
            rust_timeout=_RESCAN_MS,
            yield_on_timeout=True,
        ):
            now = _content(self._path)
            if now is not None and now != self._seen:
                self._seen = now
                self._reload.set()

    async def _reloading(self, pilot: Pilot) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            try:
                report = await pilot.reload(Settings.load(self._path))
            except ConfigError as error:
                for fault in error.faults:
                    _log.error("settings not reloaded: %s", fault.message)
            except PluginError as error:
                _log.error("settings not reloaded: %s", error)
            else:
                _log.info(
                    "settings reloaded: applied %s; needs a restart: %s",
                    ", ".join(report.applied) or "nothing",
                    ", ".join(report.needs_restart) or "nothing",
                )


async def _reported(chore: Coroutine[Any, Any, None], what: str) -> None:
    """Serving goes on without a chore, but not in silence."""
    try:
        await chore
    except PilotFailed:
        _log.debug("%s has ended: the core has failed", what)
    except Exception:  # noqa: BLE001 - logged whole; it must not end the serving
        _log.exception("%s has failed; restart the server for it", what)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


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
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.sendto(state.encode(), address)
        except OSError as error:
            _log.warning("systemd is not told %s: %s: %s", state, path, error.strerror or error)
