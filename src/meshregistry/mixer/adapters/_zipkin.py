"""``zipkin``: spans for Zipkin, as JSON of its second version over HTTP."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from attrs import define, field, frozen

from meshregistry.documents import Seconds
from meshregistry.mixer.adapters._extra import imported
from meshregistry.mixer.adapters._outbox import Outbox
from meshregistry.mixer.adapters._spans import Ids, ids_of, is_sampled
from meshregistry.mixer.spi import (
    TRACE_SPAN,
    Handler,
    HandlerContext,
    MixerAdapter,
    TraceSpan,
    text_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from meshregistry.mixer.adapters._posting import Poster
    from meshregistry.mixer.spi import InstanceTypes

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FINE = range(200, 400)
_ERRORS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""What a status of HTTP is called; all others that are not fine are UNKNOWN."""
_HEADERS = {"Content-Type": "application/json"}


@frozen(kw_only=True)
class ZipkinConfig:
    """Parameters of ``zipkin``.

    Attributes:
        url: where spans are posted, such as ``http://zipkin:9411/api/v2/spans``.
        sample_probability: the share of traces that are sent, from 0 (none) to 1 (all).
        batch_size: spans of one request.
        batch_interval: how long a span may wait for others.
        max_backlog: spans that may wait; more are dropped and counted.
        timeout: of one request, and of the last ones when the handler is closed.
        ca_file: certificates of those who may vouch for the server; default: the system's.
    """

    url: str
    sample_probability: float = 0.0
    batch_size: int = 100
    batch_interval: Seconds = Seconds(1.0)
    max_backlog: int = 10_000
    timeout: Seconds = Seconds(5.0)
    ca_file: Path | None = None


def url_faults(name: str, url: str) -> Iterable[str]:
    """What is wrong with a URL of the configuration, as clauses."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        yield f"{name}: {url} is no URL: {error}"
        return
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        yield f"{name}: {url!r} is no URL of a server; write http://host:port/path"


def _faults(config: ZipkinConfig, _instances: Mapping[str, InstanceTypes]) -> Iterable[str]:
    yield from url_faults("url", config.url)
    if not 0 <= config.sample_probability <= 1:
        yield "sample_probability: must be from 0 to 1"
    for name in ("batch_size", "max_backlog"):
        if getattr(config, name) < 1:
            yield f"{name}: must be at least 1"
    if config.timeout <= 0:
        yield "timeout: must be more than 0"


@define(eq=False)
class ZipkinHandler(Handler):
    """Posts spans in batches."""

    _config: ZipkinConfig
    _context: HandlerContext
    _poster: Any
    _outbox: Outbox[dict[str, Any]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        config = self._config
        self._outbox = Outbox(
            self._context,
            self._post,
            capacity=config.max_backlog,
            batch=config.batch_size,
            interval=config.batch_interval,
            timeout=config.timeout,
        )

    async def start(self) -> None:
        await self._outbox.start()

    async def close(self) -> None:
        await self._outbox.close()
        await self._poster.close()

    async def report(self, instances: Sequence[TraceSpan]) -> None:
        for instance in instances:
            ids = ids_of(instance)
            if ids is None or instance.start_time is None or instance.end_time is None:
                self._context.count("skipped")
            elif is_sampled(ids.trace, self._config.sample_probability):
                self._outbox.put(_span(instance, ids, instance.start_time, instance.end_time))
            else:
                self._context.count("unsampled")

    async def _post(self, spans: list[dict[str, Any]]) -> None:
        poster: Poster = self._poster
        body = json.dumps(spans, separators=(",", ":")).encode()
        await poster.post(self._config.url, body, _HEADERS)


def _span(instance: TraceSpan, ids: Ids, start: datetime, end: datetime) -> dict[str, Any]:
    is_client = instance.client_span
    name = instance.source_name if is_client else instance.destination_name
    address = instance.source_ip if is_client else instance.destination_ip
    tags = {key: text_of(value) for key, value in instance.span_tags.items()}
    if instance.http_status_code > 0:
        tags["http.status_code"] = str(instance.http_status_code)
        if not _FINE.start <= instance.http_status_code < _FINE.stop:
            # By this tag Zipkin shows a span as one that failed.
            tags.setdefault("error", _ERRORS.get(instance.http_status_code, "UNKNOWN"))
    span = {
        "traceId": ids.trace,
        "id": ids.span,
        "name": instance.span_name,
        "kind": "CLIENT" if is_client else "SERVER",
        "timestamp": (start - _EPOCH) // _MICROSECOND,
        # Zipkin takes 0 for unknown.
        "duration": max(1, (end - start) // _MICROSECOND),
        "localEndpoint": {"serviceName": name or "default", **_address(address)},
        "tags": tags,
        "annotations": _annotations(instance, start, end),
    }
    if ids.parent:
        span["parentId"] = ids.parent
    return span


def _address(value: bytes) -> dict[str, str]:
    try:
        address = ip_address(text_of(value))
    except ValueError:  # none is known
        return {"ipv4": "0.0.0.0"}
    return {f"ipv{address.version}": str(address)}


def _annotations(instance: TraceSpan, start: datetime, end: datetime) -> list[dict[str, Any]]:
    """What went over the wire at the start and at the end, seen from the span's side."""
    first, second = ("Sent", "Received") if instance.client_span else ("Received", "Sent")
    sizes = (
        (start, first, instance.request_total_size),
        (end, second, instance.response_total_size),
    )
    return [
        {"timestamp": (when - _EPOCH) // _MICROSECOND, "value": f"{what} {size} bytes"}
        for when, what, size in sizes
        if size > 0
    ]


def _open(config: ZipkinConfig, context: HandlerContext) -> Handler:
    module = imported("meshregistry.mixer.adapters._posting", "mixer-server")
    return ZipkinHandler(config, context, module.Poster(config.ca_file))


ZIPKIN: Final = MixerAdapter(
    name="zipkin",
    config_class=ZipkinConfig,
    templates=(TRACE_SPAN,),
    open=_open,
    check=_faults,
    summary="spans for Zipkin, over HTTP",
)
