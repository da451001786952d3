"""The server: one port for Mixer's protocol and its fronts, and a configuration that is followed."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

from watchfiles import awatch

from meshregistry.errors import ConfigError, MissingExtraError
from meshregistry.mixer.config import Accepted, ConfigFiles, Configurator, Known
from meshregistry.mixer.server._binding import bind
from meshregistry.mixer.server._engine import DEADLINE, Engine
from meshregistry.mixer.server._grpc import MAX_MESSAGE, MixerServicer
from meshregistry.mixer.server._mixer import Mixer
from meshregistry.mixer.server._monitoring import Monitoring
from meshregistry.mixer.server._outcomes import SIZE
from meshregistry.mixer.server._running import Surroundings
from meshregistry.mixer.server._standing import ConfigStatus, Standing
from meshregistry.mixer.server._statistics import server_metrics
from meshregistry.mixer.spi import TEMPLATES

try:
    import grpc
except ModuleNotFoundError as error:
    raise MissingExtraError("mixer-server", error.name or "grpcio") from error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from meshregistry.documents import RuleDocument, RuleListing, RuleUnit
    from meshregistry.mixer.server._shedding import SheddingConfig
    from meshregistry.mixer.server._tls import MixerServerTls
    from meshregistry.mixer.spi import MixerAdapter, Template
    from meshregistry.model import Metric

_log = logging.getLogger("meshregistry.mixer")
_RESCAN_MS = 1_000
# What is written bit by bit, file by file, is read when it is quiet; or after so many looks.
_QUIET_MS = 50
_MOST_LOOKS = 20
METRICS = "prometheus_registry"
"""The service under which handlers find the page of metrics."""
_OPTIONS = (
    # Two servers would share a port in silence.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_concurrent_streams", 1024),
    # Envoys ask every 10 s whether anybody is there, also while they have nothing to say; gRPC
    # takes more than a few of such pings for an attack, and closes the connection.
    ("grpc.http2.max_ping_strikes", 0),
)


@runtime_checkable
class _Counting(Protocol):
    """A front that counts."""

    def metrics(self) -> Iterable[Metric]:
        """What it counts."""


@runtime_checkable
class _Ending(Protocol):
    """A front with streams that nobody else ends."""

    def end(self) -> None:
        """The server takes no more calls, and waits for those that are under way."""


class MixerServer:
    """Serves Mixer; an async context manager.

    Entering returns when the port is bound and the first configuration is in force.

    Args:
        address: ``host:port`` or ``unix:///path``; port 0 lets the system choose.
        config: a file or folder of documents that is followed, or several; None: the caller
            calls `configure`.
        base: documents before those, such as the standard configuration.
        adapters: what handlers can be.
        templates: what instances can be.
        fronts: further services of the same port: each is given the `Mixer` and the server.
            What one returns from a method ``metrics``, if it has such, is shown with ours; a
            method ``end`` is called when the server ends, so that no stream keeps it waiting.
        services: what the program offers to handlers, by name; with `monitoring` its page of
            metrics is offered, too, as ``prometheus_registry``.
        monitoring: ``host:port`` for health, metrics and the configuration's faults; None: no
            such port.
        default_namespace: whose rules are for every request.
        deadline: seconds that one call of a handler may take.
        cache_size: outcomes that are kept; 0: none.
        shedding: when calls are turned away.
        tls: certificates; None: plain text.
        drain: seconds that calls may take to end when the server is left.
        random: for jitter; default: a new one.
    """

    def __init__(
        self,
        address: str = "127.0.0.1:9091",
        *,
        config: Path | str | Iterable[Path | str] | None = None,
        base: Iterable[RuleUnit] = (),
        adapters: Iterable[MixerAdapter] = (),
        templates: Iterable[Template] = TEMPLATES,
        fronts: Iterable[Callable[[Mixer, grpc.aio.Server], None]] = (),
        services: Mapping[str, object] | None = None,
        monitoring: str | None = None,
        default_namespace: str = "istio-system",
        deadline: float = DEADLINE,
        cache_size: int = SIZE,
        shedding: SheddingConfig | None = None,
        tls: MixerServerTls | None = None,
        drain: float = 5.0,
        random: Random | None = None,
    ) -> None:
        self._wanted = address
        self._paths = _paths(config)
        base_path = _folder(self._paths[0]) if self._paths else Path.cwd()
        self._configurator = Configurator(
            Known.of(adapters, templates),
            default_namespace=default_namespace,
            base_path=base_path,
        )
        self._base = tuple(document for unit in base for document in unit.documents)
        self._fronts = tuple(fronts)
        self._monitoring = None if monitoring is None else Monitoring(self, monitoring)
        offered = {} if self._monitoring is None else {METRICS: self._monitoring.registry}
        self._around = Surroundings(
            random=random or Random(),  # noqa: S311 - jitter is no secret
            base_path=base_path,
            services={**offered, **(services or {})},
        )
        self._cache_size = cache_size
        self._shedding = shedding
        self._tls = tls
        self._drain = drain
        self._deadline = deadline
        self._engine = Engine(self._around, deadline=deadline)
        self._server: grpc.aio.Server | None = None
        self._mixer: Mixer | None = None
        self._following: asyncio.Task[None] | None = None
        self._found: RuleListing | None = None
        self._standing = Standing()
        self._address = ""

    @property
    def address(self) -> str:
        """Where it listens, with the real port."""
        if not self._address:
            raise RuntimeError("the server is not running: use it inside 'async with'")
        return self._address

    @property
    def mixer(self) -> Mixer:
        """Checks, quotas and reports in process."""
        if self._mixer is None:
            raise RuntimeError("the server is not running: use it inside 'async with'")
        return self._mixer

    @property
    def monitoring_address(self) -> str:
        """Where it is watched, with the real port; empty if nowhere."""
        return "" if self._monitoring is None else self._monitoring.address

    def metrics(self) -> tuple[Metric, ...]:
        """What it counts, and what its fronts do."""
        return (
            *server_metrics(self._engine, self.mixer, len(self._standing.faults)),
            *(one for front in self._fronts for one in _figures(front)),
        )

    def status(self) -> ConfigStatus:
        """How the configuration is doing."""
        return ConfigStatus(
            faults=self._standing.faults,
            kept=self._standing.kept,
            handlers=tuple((one.plan.title, one.fault) for one in self._engine.handlers),
            hints=self._standing.hints,
        )

    async def configure(
        self, documents: Iterable[RuleDocument], *, faults: Iterable[ConfigError] = ()
    ) -> Accepted:
        """Put the configuration of these documents into force; what is wrong is left out.

        Requests that have begun are carried out by the former one.

        Raises:
            MixerUnavailable: if the server has ended.

        Args:
            documents: of what.
            faults: what no document could be made of; they are told of like those of documents.
        """
        given = tuple(documents)
        accepted = self._configurator.build([*self._base, *given])
        await self._engine.swap(accepted.snapshot)
        self._standing.is_in_force(accepted, faults, len(given))
        return accepted

    async def __aenter__(self) -> Self:
        """Start.

        Raises:
            ConfigError: if the configuration cannot be read at all, or a certificate.
            OSError: if the address cannot be bound; names it.
        """
        try:
            await self._start()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    async def _start(self) -> None:
        loop = asyncio.get_running_loop()
        if self._engine.is_over:
            self._engine = Engine(self._around, deadline=self._deadline)
        self._mixer = Mixer(
            self._engine, now=loop.time, cache_size=self._cache_size, shedding=self._shedding
        )
        files = ConfigFiles(self._paths)
        if self._paths:
            await self._read(files, is_first=True)
        elif self._base:
            await self.configure(())
        server = grpc.aio.server(options=_OPTIONS)
        MixerServicer(self._mixer).add_to(server)
        for front in self._fronts:
            front(self._mixer, server)
        self._address = await bind(server, self._wanted, self._tls)
        await server.start()
        self._server = server
        if self._monitoring is not None:
            await self._monitoring.start()
        if self._paths:
            self._following = asyncio.create_task(
                self._follow(files), name="meshregistry-mixer-config"
            )

    async def _end(self) -> None:
        following, self._following = self._following, None
        if following is not None:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
        server, self._server = self._server, None
        if server is not None:
            stopped = asyncio.ensure_future(server.stop(self._drain))
            for front in self._fronts:
                if isinstance(front, _Ending):
                    front.end()
            await stopped
        if self._monitoring is not None:
            await self._monitoring.close()
        await self._engine.close()

    async def _follow(self, files: ConfigFiles) -> None:
        """Read again after each change; an event is a hint, contents decide.

        A folder counts as written once two looks find the same, so that no configuration is
        made of one file that is new and another that is about to be.

        And every second: what changes while the watch is being set up leaves no event, and a
        system that has no watch to spare tells of nothing.
        """
        folders = sorted({_folder(path) for path in self._paths})
        complaint = ""
        while True:
            try:
                async for _ in awatch(
                    *folders, rust_timeout=_RESCAN_MS, yield_on_timeout=True, step=_QUIET_MS
                ):
                    complaint = ""
                    await self._look(files)
            except (OSError, RuntimeError) as error:
                # Such as too many watches on this machine, or a folder that is being replaced.
                if str(error) != complaint:
                    complaint = str(error)
                    _log.warning(
                        "the configuration cannot be watched, and is looked at every second: %s",
                        error,
                    )
            await asyncio.sleep(_RESCAN_MS / 1000)
            await self._look(files)

    async def _look(self, files: ConfigFiles) -> None:
        try:
            await self._read(files)
        except Exception:  # noqa: BLE001 - whatever it is, the next version may be right
            _log.exception("the configuration cannot be used; what was in force stays")

    async def _read(self, files: ConfigFiles, *, is_first: bool = False) -> None:
        try:
            found = await asyncio.to_thread(files.read)
            for _ in range(0 if is_first or found is None else _MOST_LOOKS):
                # What a look has found, no later one tells as a change: not even if this is the
                # last one for a while, because the folder is gone.
                self._found = found
                await asyncio.sleep(_QUIET_MS / 1000)
                again = await asyncio.to_thread(files.read)
                if again is None:
                    break
                found = again
        except OSError as error:
            fault = ConfigError(
                f"the configuration cannot be read: {error.strerror or error}",
                file=str(error.filename),
                remedy="name a readable file or folder",
            )
            if is_first:
                raise fault from error
            self._standing.is_away(fault)
            return
        self._standing.is_back()
        listing, self._found = self._found if found is None else found, None
        if listing is not None:
            await self.configure(listing.documents, faults=listing.faults)


def _figures(front: object) -> Iterable[Metric]:
    return front.metrics() if isinstance(front, _Counting) else ()


def _paths(config: Path | str | Iterable[Path | str] | None) -> tuple[Path, ...]:
    if config is None:
        return ()
    given: Iterable[Any] = (config,) if isinstance(config, (str, Path)) else config
    return tuple(Path(one).absolute() for one in given)


def _folder(path: Path) -> Path:
    return path if path.is_dir() else path.parent
