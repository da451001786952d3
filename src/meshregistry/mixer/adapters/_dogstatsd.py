"""``dogstatsd``: as statsd, with the dimensions as tags."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from attrs import define, field, frozen

from meshregistry.mixer.adapters._lines import Lines, address_faults, line_of
from meshregistry.mixer.adapters._statsd import Type, wrong_types
from meshregistry.mixer.spi import METRIC, Handler, HandlerContext, MixerAdapter, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from meshregistry.mixer.spi import InstanceTypes, Metric

_MARKS = re.compile(r"[:|@#,\s]")
_TAG_MARKS = re.compile(r"[|#,\n\r]")
_DATAGRAM = 1432
"""Bytes that go through an Ethernet in one piece."""
_MAX_AGE = 0.1


@frozen(kw_only=True)
class DogstatsdMetric:
    """One metric.

    Attributes:
        name: of it.
        type: what the receiver does with values.
        tags: sent with each value; a dimension of the same name comes before one.
    """

    name: str = ""
    type: Type = "UNKNOWN"
    tags: dict[str, str] = field(factory=dict)


@frozen(kw_only=True)
class DogstatsdConfig:
    """Parameters of ``dogstatsd``.

    Attributes:
        address: of the receiver.
        prefix: stands before each name; a dot is added if it has none at its end.
        buffer_length: lines that are joined into a datagram; 0: none are.
        global_tags: sent with each value; others of the same name come before them.
        sample_rate: the share of values that are sent, more than 0, at most 1.
        metrics: what becomes of each instance, by its full name.
    """

    address: str = "localhost:8125"
    prefix: str = "istio."
    buffer_length: int = 0
    global_tags: dict[str, str] = field(factory=dict)
    sample_rate: float = 1.0
    metrics: dict[str, DogstatsdMetric] = field(factory=dict)


def _faults(config: DogstatsdConfig, instances: Mapping[str, InstanceTypes]) -> Iterable[str]:
    yield from address_faults("address", config.address)
    if not 0 < config.sample_rate <= 1:
        yield "sample_rate: must be more than 0 and at most 1"
    if config.buffer_length < 0:
        yield "buffer_length: must not be negative; 0 sends each line by itself"
    for name, metric in config.metrics.items():
        if not metric.name:
            yield f"metrics: {name} has no name; add name: such as request.count"
        if name not in instances:
            yield f"metrics: no rule sends {name} here; remove it, or name it in a rule"
    yield from wrong_types({name: one.type for name, one in config.metrics.items()}, instances)


@define(eq=False)
class DogstatsdHandler(Handler):
    """Writes a line for each metric."""

    _config: DogstatsdConfig
    _context: HandlerContext
    _lines: Lines = field(init=False)
    _waiting: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        size = _DATAGRAM if self._config.buffer_length else 0
        self._lines = Lines(self._context, self._config.address, max_bytes=size, max_age=_MAX_AGE)

    async def start(self) -> None:
        await self._lines.start()

    async def close(self) -> None:
        await self._lines.close()

    async def report(self, instances: Sequence[Metric]) -> None:
        rate = self._config.sample_rate
        share = f"|@{rate:g}" if rate < 1 else ""
        for instance in instances:
            if rate < 1 and self._context.random.random() >= rate:
                continue
            metric = self._config.metrics[instance.name]
            value, mark = _written(instance, metric.type)
            rest = f"{mark}{share}{self._tags(metric, instance)}"
            self._lines.put(line_of(self._name(metric), value, rest))
            self._count_line()

    def _count_line(self) -> None:
        self._waiting += 1
        if self._waiting >= self._config.buffer_length:
            self._waiting = 0
            self._lines.flush()

    def _name(self, metric: DogstatsdMetric) -> str:
        prefix = self._config.prefix
        dot = "." if prefix and not prefix.endswith(".") else ""
        return _MARKS.sub("_", f"{prefix}{dot}{metric.name}")

    def _tags(self, metric: DogstatsdMetric, instance: Metric) -> str:
        dimensions = {name: text_of(value) for name, value in instance.dimensions.items()}
        tags = {**self._config.global_tags, **metric.tags, **dimensions}
        # A tag cannot end with its colon: a receiver may refuse the whole line for it.
        named = [(_MARKS.sub("_", name), tags[name]) for name in sorted(tags) if tags[name]]
        if not named:
            return ""
        return "|#" + ",".join(f"{name}:{_TAG_MARKS.sub('_', value)}" for name, value in named)


def _written(instance: Metric, kind: Type) -> tuple[str, str]:
    """Value and mark of a line."""
    if isinstance(instance.value, timedelta):
        return text_of(instance.value / timedelta(milliseconds=1)), "ms"
    mark = {"COUNTER": "c", "GAUGE": "g"}.get(kind, "h")
    return text_of(instance.value), mark


DOGSTATSD: Final = MixerAdapter(
    name="dogstatsd",
    config_class=DogstatsdConfig,
    templates=(METRIC,),
    open=DogstatsdHandler,
    check=_faults,
    summary="as statsd, with the dimensions as tags",
)
