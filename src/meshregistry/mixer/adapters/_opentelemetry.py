"""``opentelemetry``: metrics, logs and spans for any collector, by OTLP over HTTP or gRPC."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from attrs import field, frozen

from meshregistry.documents import Seconds, Secret
from meshregistry.mixer.adapters._extra import imported
from meshregistry.mixer.adapters._series import Buckets, Kind, unsuitable
from meshregistry.mixer.adapters._zipkin import url_faults
from meshregistry.mixer.spi import LOG_ENTRY, METRIC, TRACE_SPAN, Handler, MixerAdapter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meshregistry.mixer.spi import HandlerContext, InstanceTypes


@frozen(kw_only=True)
class OpenTelemetryMetric:
    """One metric.

    Attributes:
        name: default: that of the instance.
        kind: what is done with values.
        description: of it.
        unit: of its values, by UCUM, such as ``s`` and ``By``.
        buckets: of a distribution.
    """

    name: str = ""
    kind: Kind = "UNSPECIFIED"
    description: str = ""
    unit: str = ""
    buckets: Buckets = field(factory=Buckets)


@frozen(kw_only=True)
class OpenTelemetryConfig:
    """Parameters of ``opentelemetry``.

    Attributes:
        endpoint: of the collector; with HTTP, ``/v1/traces`` and so on stand after it.
        protocol: ``http`` (port 4318 of most collectors) or ``grpc`` (4317).
        headers: sent with every request.
        authorization: likewise, under this name, and shown nowhere; ``authorizationFile`` and
            ``authorizationEnv`` take it from a file or from the environment.
        resource: attributes of whoever sends this.
        metrics: what becomes of each instance of the template metric, by its full name.
        metrics_interval: how often metrics are sent, summed up since they began.
        metrics_expiry: series without an observation for that long are forgotten; 0: none.
        max_series: how many series one metric may have.
        sample_probability: the share of traces that are sent, from 0 (none) to 1 (all).
        batch_size: spans, or log records, of one request.
        batch_interval: how long a span or a record may wait for others.
        max_queue: spans, and records, that may wait; more are dropped and counted.
        timeout: of one request, and of the last ones when the handler is closed.
        ca_file: certificates of those who may vouch for the collector; default: the system's.
    """

    endpoint: str = "http://localhost:4318"
    protocol: Literal["http", "grpc"] = "http"
    headers: dict[str, str] = field(factory=dict)
    authorization: Secret = field(factory=Secret)
    resource: dict[str, str] = field(factory=lambda: {"service.name": "mixer"})
    metrics: dict[str, OpenTelemetryMetric] = field(factory=dict)
    metrics_interval: Seconds = Seconds(30.0)
    metrics_expiry: Seconds = Seconds(0.0)
    max_series: int = 100_000
    sample_probability: float = 1.0
    batch_size: int = 512
    batch_interval: Seconds = Seconds(1.0)
    max_queue: int = 10_000
    timeout: Seconds = Seconds(10.0)
    ca_file: Path | None = None


def _faults(config: OpenTelemetryConfig, instances: Mapping[str, InstanceTypes]) -> Iterable[str]:
    yield from url_faults("endpoint", config.endpoint)
    names = Counter(metric.name or name for name, metric in config.metrics.items())
    for name, count in names.items():
        if count > 1:
            yield f"metrics: the name {name} is there {count} times; give each its own"
    for name, metric in config.metrics.items():
        if metric.kind == "UNSPECIFIED":
            yield f"metrics: {name} has no kind; write kind: COUNTER, GAUGE or DISTRIBUTION"
        if metric.kind == "DISTRIBUTION":
            for fault in metric.buckets.faults():
                yield f"metrics: {name}: {fault}"
    sent = {name: one for name, one in instances.items() if one.template.name == METRIC.name}
    yield from unsuitable(sent, config.metrics)
    if not 0 <= config.sample_probability <= 1:
        yield "sample_probability: must be from 0 to 1"
    for name in ("batch_size", "max_queue", "max_series", "metrics_interval", "timeout"):
        if getattr(config, name) <= 0:
            yield f"{name}: must be more than 0"


def _open(config: OpenTelemetryConfig, context: HandlerContext) -> Handler:
    module = imported("meshregistry.mixer.adapters._otlp", "mixer-server")
    handler: Handler = module.OtlpHandler(config, context)
    return handler


OPENTELEMETRY: Final = MixerAdapter(
    name="opentelemetry",
    config_class=OpenTelemetryConfig,
    templates=(METRIC, LOG_ENTRY, TRACE_SPAN),
    open=_open,
    check=_faults,
    aliases=("otlp",),
    summary="metrics, logs and spans for any collector, by OTLP over HTTP or gRPC",
)
