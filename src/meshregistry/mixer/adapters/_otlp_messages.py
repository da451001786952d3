"""Instances and series as messages of OTLP, version 1."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from meshregistry.mixer.proto import otlp_pb2
from meshregistry.mixer.spi import StringMap, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meshregistry.mixer.adapters._opentelemetry import OpenTelemetryMetric
    from meshregistry.mixer.adapters._series import Series
    from meshregistry.mixer.adapters._spans import Ids
    from meshregistry.mixer.spi import LogEntry, TraceSpan, Value

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = 2**64 - 1
_CUMULATIVE = 2
_ERROR = 2
_SERVER_FAULT = 500
_SEVERITIES: Mapping[str, int] = {
    "TRACE": 1,
    "DEBUG": 5,
    "DEFAULT": 9,
    "INFO": 9,
    "INFORMATIONAL": 9,
    "NOTICE": 10,
    "WARN": 13,
    "WARNING": 13,
    "ERR": 17,
    "ERROR": 17,
    "CRITICAL": 21,
    "ALERT": 22,
    "EMERGENCY": 23,
    "FATAL": 21,
}


def scope() -> Any:
    """Who has made what is sent."""
    return otlp_pb2.InstrumentationScope(name="meshregistry.mixer")


def resource(attributes: Mapping[str, str]) -> Any:
    """Who sends it."""
    return otlp_pb2.Resource(attributes=_attributes(attributes))


def span(instance: TraceSpan, ids: Ids, start: datetime, end: datetime) -> Any:
    """A span; a short trace id is filled up with zeros."""
    attributes: dict[str, Any] = dict(instance.span_tags)
    if instance.http_status_code > 0:
        attributes["http.response.status_code"] = instance.http_status_code
    sides = (
        ("source.name", instance.source_name),
        ("destination.name", instance.destination_name),
        ("source.address", text_of(instance.source_ip)),
        ("destination.address", text_of(instance.destination_ip)),
        ("network.protocol.name", instance.api_protocol),
    )
    attributes.update((name, value) for name, value in sides if value)
    sizes = (
        ("http.request.body.size", instance.request_size),
        ("http.request.size", instance.request_total_size),
        ("http.response.body.size", instance.response_size),
        ("http.response.size", instance.response_total_size),
    )
    attributes.update((name, size) for name, size in sizes if size > 0)
    made = otlp_pb2.Span(
        trace_id=bytes.fromhex(ids.trace.zfill(32)),
        span_id=bytes.fromhex(ids.span),
        parent_span_id=bytes.fromhex(ids.parent),
        name=instance.span_name,
        kind=otlp_pb2.Span.CLIENT if instance.client_span else otlp_pb2.Span.SERVER,
        start_time_unix_nano=nanoseconds(start),
        end_time_unix_nano=nanoseconds(end),
        attributes=_attributes(attributes),
    )
    if instance.http_status_code >= _SERVER_FAULT:
        made.status.code = _ERROR
    return made


def record(instance: LogEntry, now: datetime) -> Any:
    """A log record: the name of the instance as its text, the variables as attributes."""
    return otlp_pb2.LogRecord(
        time_unix_nano=nanoseconds(instance.timestamp or now),
        observed_time_unix_nano=nanoseconds(now),
        severity_number=_SEVERITIES.get(instance.severity.upper(), 0),
        severity_text=instance.severity,
        body=_value(instance.name),
        attributes=_attributes(instance.variables),
    )


def metric(name: str, described: OpenTelemetryMetric, series: Series, now: datetime) -> Any:
    """A metric with all of its series, summed up since they began."""
    made = otlp_pb2.Metric(
        name=described.name or name, description=described.description, unit=described.unit
    )
    for point in series.points:
        common = {
            "attributes": _attributes(dict(zip(series.labels, point.labels, strict=True))),
            # The clock may have been set back since, and this may not be later than the other.
            "start_time_unix_nano": min(round(point.began * 1e9), nanoseconds(now)),
            "time_unix_nano": nanoseconds(now),
        }
        match series.kind:
            case "GAUGE":
                made.gauge.data_points.add(as_double=point.value, **common)
            case "COUNTER":
                made.sum.data_points.add(as_double=point.value, **common)
            case _:
                made.histogram.data_points.add(
                    count=sum(point.counts),
                    sum=point.value,
                    bucket_counts=point.counts,
                    explicit_bounds=series.bounds,
                    **common,
                )
    if series.kind == "COUNTER":
        made.sum.is_monotonic = True
        made.sum.aggregation_temporality = _CUMULATIVE
    elif series.kind == "DISTRIBUTION":
        made.histogram.aggregation_temporality = _CUMULATIVE
    return made


def nanoseconds(when: datetime) -> int:
    """Since the epoch, exactly; of what a message cannot hold, the nearest that it can.

    One entry whose time a stranger has made up must not be the end of all that came with it.
    """
    return min(max((when - _EPOCH) // timedelta(microseconds=1) * 1000, 0), _LAST)


def _attributes(values: Mapping[str, Value]) -> Iterable[Any]:
    return [otlp_pb2.KeyValue(key=name, value=_value(values[name])) for name in sorted(values)]


def _value(value: Value) -> Any:
    match value:
        case bool():
            return otlp_pb2.AnyValue(bool_value=value)
        case int():
            return otlp_pb2.AnyValue(int_value=value)
        case float():
            return otlp_pb2.AnyValue(double_value=value)
        case StringMap():
            return otlp_pb2.AnyValue(kvlist_value=otlp_pb2.KeyValueList(values=_attributes(value)))
    return otlp_pb2.AnyValue(string_value=text_of(value))
