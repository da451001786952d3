"""``statsd``: counters, gauges and timers, over UDP."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal

from attrs import define, field, frozen

from meshregistry.documents import Seconds
from meshregistry.mixer.adapters._lines import Lines, address_faults, line_of
from meshregistry.mixer.spi import METRIC, Handler, HandlerContext, MixerAdapter, ValueType, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from meshregistry.mixer.spi import InstanceTypes, Metric

Type = Literal["UNKNOWN", "COUNTER", "GAUGE", "DISTRIBUTION"]

_PLACE = re.compile(r"\{\{\s*\.(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
_MARKS = re.compile(r"[:|@\s]")
"""What has a meaning in a line, and so cannot stand in a name."""
_TYPES: Mapping[Type, frozenset[ValueType]] = {
    "COUNTER": frozenset({ValueType.INT64}),
    "GAUGE": frozenset({ValueType.INT64}),
    "DISTRIBUTION": frozenset({ValueType.DURATION, ValueType.INT64}),
}


@frozen(kw_only=True)
class StatsdMetric:
    """One metric.

    Attributes:
        type: what the receiver does with values.
        name_template: the name; ``{{.dimension}}`` stands for the value of a dimension.
            Default: the name of the instance.
    """

    type: Type = "UNKNOWN"
    name_template: str = ""


@frozen(kw_only=True)
class StatsdConfig:
    """Parameters of ``statsd``.

    Attributes:
        address: of the receiver.
        prefix: stands before each name, with a dot.
        flush_duration: how long a line may wait for others.
        flush_bytes: the size of a datagram.
        sampling_rate: the share of values that are sent, more than 0, at most 1; the receiver
            is told and multiplies counters.
        metrics: what becomes of each instance, by its full name.
    """

    address: str = "localhost:8125"
    prefix: str = ""
    flush_duration: Seconds = Seconds(0.3)
    flush_bytes: int = 512
    sampling_rate: float = 1.0
    metrics: dict[str, StatsdMetric] = field(factory=dict)


def _faults(config: StatsdConfig, instances: Mapping[str, InstanceTypes]) -> Iterable[str]:
    yield from address_faults("address", config.address)
    if not 0 < config.sampling_rate <= 1:
        yield "sampling_rate: must be more than 0 and at most 1"
    if config.flush_bytes < 1:
        yield "flush_bytes: must be at least 1"
    for name, metric in config.metrics.items():
        if _PLACE.sub("", metric.name_template).find("{{") >= 0:
            yield f"metrics: the name of {name} has a place that is none; write {{{{.dimension}}}}"
        instance = instances.get(name)
        known = set() if instance is None else set(instance.dimensions())
        for place in _PLACE.findall(metric.name_template):
            if instance is not None and place not in known:
                yield f"metrics: {name} has no dimension {place}; it has {', '.join(sorted(known)) or 'none'}"
    yield from wrong_types({name: one.type for name, one in config.metrics.items()}, instances)


def wrong_types(
    metrics: Mapping[str, Type], instances: Mapping[str, InstanceTypes]
) -> Iterable[str]:
    """Metrics without a type, and instances whose values do not go with it, as clauses."""
    for name, kind in metrics.items():
        if kind == "UNKNOWN":
            yield f"metrics: {name} has no type; write type: COUNTER, GAUGE or DISTRIBUTION"
    for name, instance in instances.items():
        named = metrics.get(name)
        if named is None:
            yield f"metrics: rules send {name} here, and nothing says what becomes of it; add it"
        elif named != "UNKNOWN" and instance.types.get("value") not in _TYPES[named]:
            wanted = " or ".join(sorted(one.name for one in _TYPES[named]))
            yield f"metrics: the value of {name} must be {wanted} for a {named}"


@define(eq=False)
class StatsdHandler(Handler):
    """Writes a line for each metric."""

    _config: StatsdConfig
    _context: HandlerContext
    _lines: Lines = field(init=False)

    def __attrs_post_init__(self) -> None:
        config = self._config
        self._lines = Lines(
            self._context,
            config.address,
            max_bytes=config.flush_bytes,
            max_age=config.flush_duration,
        )

    async def start(self) -> None:
        await self._lines.start()

    async def close(self) -> None:
        await self._lines.close()

    async def report(self, instances: Sequence[Metric]) -> None:
        rate = self._config.sampling_rate
        for instance in instances:
            if rate < 1 and self._context.random.random() >= rate:
                continue
            value, mark = _written(instance, self._config.metrics[instance.name].type)
            share = f"|@{rate:g}" if rate < 1 and mark != "g" else ""
            self._lines.put(line_of(self._name(instance), value, f"{mark}{share}"))

    def _name(self, instance: Metric) -> str:
        template = self._config.metrics[instance.name].name_template or instance.name
        name = _PLACE.sub(lambda found: text_of(instance.dimensions.get(found["name"])), template)
        prefix = self._config.prefix
        dot = "." if prefix and not prefix.endswith(".") else ""
        return _MARKS.sub("_", f"{prefix}{dot}{name}")


def _written(instance: Metric, kind: Type) -> tuple[str, str]:
    """Value and mark of a line."""
    if isinstance(instance.value, timedelta):
        return text_of(instance.value / timedelta(milliseconds=1)), "ms"
    return text_of(instance.value), "g" if kind == "GAUGE" else "c"


STATSD: Final = MixerAdapter(
    name="statsd",
    config_class=StatsdConfig,
    templates=(METRIC,),
    open=StatsdHandler,
    check=_faults,
    summary="counters, gauges and timers for statsd, over UDP",
)
