"""Handlers of ``prometheus``, and the page that all of them share.

The series belong to the page and not to a handler: when the configuration changes, the next
handler opens before the former one is closed and finds the values of the metrics that did not
change. A metric that is defined otherwise begins anew, alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Any

from aiohttp import web
from attrs import define, field, frozen
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import choose_encoder
from prometheus_client.utils import floatToGoString

from meshregistry.errors import MixerError
from meshregistry.mixer.adapters._prometheus import PORT, PrometheusConfig
from meshregistry.mixer.adapters._series import Recorder, Series
from meshregistry.mixer.spi import Handler, HandlerContext

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from meshregistry.mixer.adapters._prometheus import PrometheusMetric
    from meshregistry.mixer.spi import Metric


_SHUTDOWN = 2.0
"""Seconds that a scrape may still take when the page is closed."""


@frozen
class Definition:
    """What makes a metric another one."""

    name: str
    help: str
    kind: Any
    labels: tuple[str, ...]
    bounds: tuple[float, ...]

    @classmethod
    def of(cls, metric: PrometheusMetric) -> Definition:
        """The definition of a configured metric."""
        bounds = metric.buckets.bounds if metric.kind == "DISTRIBUTION" else ()
        text = metric.description or metric.full_name
        return cls(metric.full_name, text, metric.kind, metric.label_names, bounds)


@define(eq=False)
class _Shown:
    """A metric of the page, and how many handlers have it."""

    definition: Definition
    series: Series
    users: int = 0


@define(eq=False)
class _Listener:
    """A port on which the page is served, and how many handlers want it."""

    runner: web.AppRunner
    users: int = 0


class Exposition:
    """The metrics of all handlers of a server: a collector for prometheus-client."""

    def __init__(self) -> None:
        self._shown: dict[str, _Shown] = {}
        self._listeners: dict[tuple[str, int], _Listener] = {}
        self._lock = asyncio.Lock()
        self._registered = 0

    # --- Metrics --------------------------------------------------------------------------

    def join(self, definition: Definition, limit: int) -> Series:
        """Show a metric; with the values that it has already, if it is the same."""
        shown = self._shown.get(definition.name)
        if shown is None or shown.definition != definition:
            series = Series(definition.kind, definition.labels, definition.bounds, limit)
            shown = self._shown[definition.name] = _Shown(definition, series)
        shown.users += 1
        return shown.series

    def leave(self, name: str, series: Series) -> None:
        """No longer show a metric, unless another handler does."""
        shown = self._shown.get(name)
        if shown is not None and shown.series is series:
            shown.users -= 1
            if not shown.users:
                del self._shown[name]

    def collect(self) -> Iterable[Family]:
        """What prometheus-client asks for."""
        return [_family(one.definition, one.series) for one in self._shown.values()]

    # --- Where they are served ------------------------------------------------------------

    def register(self, registry: CollectorRegistry) -> None:
        """Serve them with those of the program."""
        if not self._registered:
            registry.register(self)
        self._registered += 1

    def unregister(self, registry: CollectorRegistry) -> None:
        """No longer do that, unless another handler wants it."""
        self._registered -= 1
        if not self._registered:
            registry.unregister(self)

    async def listen(self, host: str, port: int, context: HandlerContext) -> int:
        """Serve them on a port; which one that is.

        Raises:
            MixerError: if it cannot be had.
        """
        async with self._lock:
            listener = self._listeners.get((host, port))
            if listener is None:
                app = web.Application()
                app.router.add_get("/metrics", _Page(self, context).get)
                listener = _Listener(
                    web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN)
                )
                await listener.runner.setup()
                try:
                    await web.TCPSite(listener.runner, host or None, port).start()
                except OSError as error:
                    await listener.runner.cleanup()
                    why = os.strerror(error.errno) if error.errno else str(error)
                    raise MixerError(
                        f"cannot listen on {host or '*'}:{port}: {why}; name a free port"
                    ) from error
                except BaseException:
                    await listener.runner.cleanup()
                    raise
                self._listeners[host, port] = listener
            listener.users += 1
            bound: int = listener.runner.addresses[0][1]
            return bound

    async def leave_port(self, host: str, port: int) -> None:
        """No longer serve them there, unless another handler wants it."""
        async with self._lock:
            listener = self._listeners[host, port]
            listener.users -= 1
            if not listener.users:
                del self._listeners[host, port]
                await listener.runner.cleanup()


@frozen(eq=False)
class _Collected:
    """Families that were collected on the loop, for a thread that writes them down."""

    families: tuple[Family, ...]

    def collect(self) -> Iterable[Family]:
        return self.families


@frozen(eq=False)
class _Page:
    """Answers scrapes."""

    exposition: Exposition
    context: HandlerContext

    async def get(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        registry = CollectorRegistry()
        registry.register(_Collected(tuple(self.exposition.collect())))
        body = await self.context.in_thread(encode, registry)
        return web.Response(body=body, headers={"Content-Type": content_type})


def _bound(value: float) -> str:
    text: str = floatToGoString(value)  # type: ignore[no-untyped-call]  # of prometheus-client, untyped
    return text


def _family(definition: Definition, series: Series) -> Family:
    name = definition.name
    kind = {"GAUGE": "gauge", "COUNTER": "counter", "DISTRIBUTION": "histogram"}[definition.kind]
    if kind == "counter" and not name.endswith("_total"):
        kind = "unknown"  # a counter's name would be given that ending
    family = Family(
        name.removesuffix("_total") if kind == "counter" else name, definition.help, kind
    )
    for point in series.points:
        labels = dict(zip(definition.labels, point.labels, strict=True))
        if kind != "histogram":
            family.add_sample(name, labels, point.value)
            continue
        total = 0
        for bound, count in zip((*definition.bounds, float("inf")), point.counts, strict=True):
            total += count
            family.add_sample(f"{name}_bucket", {**labels, "le": _bound(bound)}, total)
        family.add_sample(f"{name}_count", labels, total)
        family.add_sample(f"{name}_sum", labels, point.value)
    return family


@define(eq=False)
class PrometheusHandler(Handler):
    """Sums up what is reported, for the page.

    Attributes:
        port: where the page is served; 0 until it is, and with the program's own metrics.
    """

    _config: PrometheusConfig
    _context: HandlerContext
    port: int = field(default=0, init=False)
    _page: Exposition = field(init=False)
    _series: dict[str, Series] = field(factory=dict, init=False)
    _recorder: Recorder = field(init=False)
    _expiring: asyncio.Task[None] | None = field(default=None, init=False)
    _registry: CollectorRegistry | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._page = self._context.shared("prometheus.exposition", Exposition)
        self._recorder = Recorder(self._context, self._series)

    async def start(self) -> None:
        config = self._config
        registry = self._context.service("prometheus_registry")
        if registry is not None and config.port is None:
            self._page.register(registry)
            self._registry = registry
        else:
            port = PORT if config.port is None else config.port
            self.port = await self._page.listen(config.host, port, self._context)
            self._context.logger.debug("metrics are served on port %d", self.port)
        for metric in config.metrics:
            joined = self._page.join(Definition.of(metric), config.max_series)
            self._series[metric.instance_name] = joined
        if config.metrics_expiration_policy is not None:
            self._expiring = asyncio.create_task(
                self._expire(), name="meshregistry-mixer-prometheus"
            )

    async def close(self) -> None:
        if self._expiring is not None:
            self._expiring.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._expiring
        for metric in self._config.metrics:
            if (series := self._series.get(metric.instance_name)) is not None:
                self._page.leave(metric.full_name, series)
        if self._registry is not None:
            self._page.unregister(self._registry)
        elif self.port:
            await self._page.leave_port(self._config.host, self._asked_port)

    @property
    def _asked_port(self) -> int:
        return PORT if self._config.port is None else self._config.port

    async def report(self, instances: Sequence[Metric]) -> None:
        self._recorder.record(instances, self._context.now())

    async def _expire(self) -> None:
        policy = self._config.metrics_expiration_policy
        assert policy is not None  # noqa: S101 - started only with one
        while True:
            await self._context.sleep(policy.interval)
            before = self._context.now() - policy.metrics_expiry_duration
            expired = sum(one.expire(before) for one in self._series.values())
            self._context.count("expired_series", expired)
