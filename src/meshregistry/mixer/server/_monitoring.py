"""A port for those who watch the server: health, readiness, metrics, configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshregistry.errors import MissingExtraError

try:
    from aiohttp import web
    from prometheus_client import CollectorRegistry, generate_latest
except ModuleNotFoundError as error:
    raise MissingExtraError("mixer-server", error.name or "aiohttp") from error

from meshregistry.exposition import MetricsCollector
from meshregistry.http_log import HttpLogger

if TYPE_CHECKING:
    from meshregistry.mixer.server._server import MixerServer

_SHUTDOWN = 1.0


class Monitoring:
    """Serves what a server says of itself; an async context manager.

    Args:
        server: whom to ask.
        address: ``host:port``; port 0 lets the system choose.
    """

    def __init__(self, server: MixerServer, address: str) -> None:
        self._server = server
        self._wanted = address
        self._runner: web.AppRunner | None = None
        self.address = ""
        self.registry = CollectorRegistry(auto_describe=False)
        """What ``/metrics`` shows; handlers may add theirs."""
        self.registry.register(MetricsCollector(server.metrics))

    async def start(self) -> None:
        """Bind the address.

        Raises:
            OSError: if it cannot be; names it.
        """
        app = web.Application()
        app.add_routes(
            [
                web.get("/metrics", self._metrics),
                web.get("/healthz", self._healthy),
                web.get("/readyz", self._healthy),
                web.get("/debug/config", self._config),
            ]
        )
        runner = web.AppRunner(
            app, access_log=None, logger=HttpLogger(), shutdown_timeout=_SHUTDOWN
        )
        await runner.setup()
        self._runner = runner
        host, _, port = self._wanted.rpartition(":")
        try:
            await web.TCPSite(runner, host.strip("[]"), int(port)).start()
        except OSError as error:
            reason = error.strerror or str(error)
            raise OSError(
                error.errno,
                f"cannot listen for HTTP on {self._wanted}: {reason}; choose a free address or port 0",
            ) from error
        self.address = f"{host}:{runner.addresses[0][1]}"

    async def close(self) -> None:
        """Stop listening."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self.registry), content_type="text/plain")

    async def _healthy(self, _request: web.Request) -> web.Response:
        return web.json_response({"reasons": []})

    async def _config(self, _request: web.Request) -> web.Response:
        status = self._server.status()
        document: dict[str, Any] = {
            "faults": [str(fault) for fault in status.faults],
            "kept": list(status.kept),
            "hints": [str(hint) for hint in status.hints],
            "handlers": [{"name": name, "fault": fault} for name, fault in status.handlers],
        }
        return web.json_response(document)
