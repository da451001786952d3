"""Metrics as Prometheus reads them, from plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshregistry.errors import MissingExtraError

try:
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
    from prometheus_client.registry import Collector
except ModuleNotFoundError as error:
    raise MissingExtraError("server", error.name or "prometheus_client", "mixer-server") from error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client.core import Metric as PrometheusMetric

    from meshregistry.model import Metric

__all__ = ["MetricsCollector", "exposition"]


class MetricsCollector(Collector):
    """Reads the figures at every scrape; keeps none itself, so those of two programs never mix.

    Args:
        read: gives the current figures; called on the thread that scrapes.
    """

    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read = read

    def collect(self) -> Iterable[PrometheusMetric]:
        """All metrics, in the order in which they were given."""
        for metric in self._read():
            keys = sorted({key for labels, _ in metric.samples for key in labels})
            family_class = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
            family = family_class(metric.name, metric.description, labels=keys)
            for labels, value in metric.samples:
                family.add_metric([labels.get(key, "") for key in keys], value)
            yield family


def exposition(collector: Collector) -> bytes:
    """The text format of Prometheus for one collector, from a registry of its own."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return generate_latest(registry)
