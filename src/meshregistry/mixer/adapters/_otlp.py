"""Handlers of ``opentelemetry``: spans and records in batches, metrics at intervals."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol

from attrs import define, field
from google.protobuf.message import DecodeError

from meshregistry.mixer.adapters import _otlp_messages as messages
from meshregistry.mixer.adapters._extra import imported
from meshregistry.mixer.adapters._opentelemetry import OpenTelemetryConfig
from meshregistry.mixer.adapters._outbox import Outbox, Refused, Unavailable, said
from meshregistry.mixer.adapters._series import Recorder, Series
from meshregistry.mixer.adapters._spans import ids_of, is_sampled
from meshregistry.mixer.proto import otlp_pb2
from meshregistry.mixer.spi import Handler, HandlerContext, LogEntry, Metric, TraceSpan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

Export = Callable[[str, bytes], Awaitable[bytes]]
_EXPECTED = (Refused, Unavailable, OSError, TimeoutError)


class Sender(Protocol):
    """Sends a request to the collector, and gives its answer."""

    async def export(self, signal: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        """Send one.

        Args:
            signal: ``traces``, ``metrics`` or ``logs``.
            body: the request.
            headers: of the request, or metadata.

        Raises:
            Unavailable: if it may be sent again.
            Refused: if it need not be.
        """

    async def close(self) -> None:
        """Close the connections."""


class HttpSender:
    """OTLP over HTTP."""

    def __init__(self, endpoint: str, ca_file: Path | None) -> None:
        self._endpoint = endpoint.rstrip("/")
        module = imported("meshregistry.mixer.adapters._posting", "mixer-server")
        self._poster = module.Poster(ca_file)

    async def export(self, signal: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        answer: bytes = await self._poster.post(
            f"{self._endpoint}/v1/{signal}",
            body,
            {**headers, "Content-Type": "application/x-protobuf"},
        )
        return answer

    async def close(self) -> None:
        await self._poster.close()


def sender(config: OpenTelemetryConfig) -> Sender:
    """The sender of a configuration."""
    if config.protocol == "http":
        return HttpSender(config.endpoint, config.ca_file)
    module = imported("meshregistry.mixer.adapters._otlp_grpc", "mixer")
    made: Sender = module.GrpcSender(config.endpoint, config.ca_file)
    return made


@define(eq=False)
class OtlpHandler(Handler):
    """Sends what is reported to a collector."""

    _config: OpenTelemetryConfig
    _context: HandlerContext
    _sender: Sender = field(init=False)
    _spans: Outbox[Any] = field(init=False)
    _records: Outbox[Any] = field(init=False)
    _series: dict[str, Series] = field(factory=dict, init=False)
    _recorder: Recorder = field(init=False)
    _exporting: asyncio.Task[None] | None = field(default=None, init=False)
    _is_failing: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._sender = sender(self._config)
        self._recorder = Recorder(self._context, self._series)
        self._spans = self._outbox(self._send_spans)
        self._records = self._outbox(self._send_records)
        for name, metric in self._config.metrics.items():
            if (instance := self._context.instances.get(name)) is not None:
                bounds = metric.buckets.bounds if metric.kind == "DISTRIBUTION" else ()
                labels = tuple(sorted(instance.dimensions()))
                self._series[name] = Series(metric.kind, labels, bounds, self._config.max_series)

    def _outbox(self, send: Callable[[list[Any]], Awaitable[None]]) -> Outbox[Any]:
        config = self._config
        return Outbox(
            self._context,
            send,
            capacity=config.max_queue,
            batch=config.batch_size,
            interval=config.batch_interval,
            timeout=config.timeout,
        )

    async def start(self) -> None:
        await self._spans.start()
        await self._records.start()
        if self._series:
            self._exporting = asyncio.create_task(
                self._export_metrics(), name="meshregistry-mixer-otlp"
            )

    async def close(self) -> None:
        if self._exporting is not None:
            self._exporting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._exporting
            await self._send_metrics()
        await asyncio.gather(self._spans.close(), self._records.close())
        await self._sender.close()

    async def report(self, instances: Sequence[Metric | LogEntry | TraceSpan]) -> None:
        now = self._context.wall_time()
        metrics: list[Metric] = []
        for instance in instances:
            match instance:
                case LogEntry():
                    self._records.put(messages.record(instance, now))
                case TraceSpan():
                    self._span(instance)
                case Metric():
                    metrics.append(instance)
        self._recorder.record(metrics, now.timestamp())

    def _span(self, instance: TraceSpan) -> None:
        ids = ids_of(instance)
        if ids is None or instance.start_time is None or instance.end_time is None:
            self._context.count("skipped")
        elif is_sampled(ids.trace, self._config.sample_probability):
            self._spans.put(messages.span(instance, ids, instance.start_time, instance.end_time))
        else:
            self._context.count("unsampled")

    # --- Sending --------------------------------------------------------------------------

    async def _send_spans(self, spans: list[Any]) -> None:
        request = otlp_pb2.ExportTraceServiceRequest()
        group = request.resource_spans.add(resource=self._resource())
        group.scope_spans.add(scope=messages.scope(), spans=spans)
        await self._export("traces", request)

    async def _send_records(self, records: list[Any]) -> None:
        request = otlp_pb2.ExportLogsServiceRequest()
        group = request.resource_logs.add(resource=self._resource())
        group.scope_logs.add(scope=messages.scope(), log_records=records)
        await self._export("logs", request)

    async def _export_metrics(self) -> None:
        while True:
            await self._context.sleep(self._config.metrics_interval)
            await self._send_metrics()
            if self._config.metrics_expiry:
                before = self._context.wall_time().timestamp() - self._config.metrics_expiry
                expired = sum(one.expire(before) for one in self._series.values())
                self._context.count("expired_series", expired)

    async def _send_metrics(self) -> None:
        """Send all series; what fails is in the next ones, too, since they are sums."""
        now = self._context.wall_time()
        made = [
            messages.metric(name, self._config.metrics[name], series, now)
            for name, series in self._series.items()
            if len(series)
        ]
        if not made:
            return
        request = otlp_pb2.ExportMetricsServiceRequest()
        group = request.resource_metrics.add(resource=self._resource())
        group.scope_metrics.add(scope=messages.scope(), metrics=made)
        try:
            async with asyncio.timeout(self._config.timeout):
                await self._export("metrics", request)
        except Exception as error:  # whatever it is, the next ones have all of it and may be sent
            self._context.count("metric_errors")
            if not self._is_failing:
                trace = None if isinstance(error, _EXPECTED) else error
                self._context.logger.warning(
                    "metrics cannot be sent for now: %s", said(error), exc_info=trace
                )
            self._is_failing = True
        else:
            if self._is_failing:
                self._context.logger.info("sending metrics works again")
            self._is_failing = False
            self._context.count("sent_metrics", len(made))

    async def _export(self, signal: str, request: Any) -> None:
        headers = dict(self._config.headers)
        if credential := await self._credential():
            headers["authorization"] = credential
        body = await self._sender.export(signal, request.SerializeToString(), headers)
        try:
            partial = otlp_pb2.ExportServiceResponse.FromString(body).partial_success
        except DecodeError:  # an answer in another form says nothing of a part
            return
        if partial.rejected:
            self._context.count("refused", partial.rejected)
            self._context.logger.warning(
                "the collector rejected %d of %s: %s",
                partial.rejected,
                signal,
                partial.error_message,
            )

    async def _credential(self) -> str:
        secret = self._config.authorization
        try:
            return await secret.read()
        except KeyError as error:
            msg = f"authorizationEnv: the environment variable {secret.variable} is not set"
            raise Unavailable(msg) from error
        except (OSError, UnicodeDecodeError) as error:
            msg = f"authorizationFile: {secret.file} cannot be read: {error}"
            raise Unavailable(msg) from error

    def _resource(self) -> Any:
        return messages.resource(self._config.resource)
