"""What a server counts, as plain values, by the names of the original where it has one."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from meshregistry.model import Labels, Metric

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshregistry.mixer.server._engine import Engine
    from meshregistry.mixer.server._mixer import Mixer


def server_metrics(engine: Engine, mixer: Mixer, faults: int) -> tuple[Metric, ...]:
    """The figures of a server at this moment.

    Args:
        engine: has the configuration and its handlers.
        mixer: has the cache and judges the load.
        faults: how many places of the documents are wrong.
    """
    snapshot = engine.snapshot
    cache, shedding = mixer.cache, mixer.shedding
    return (
        _gauge(
            "mixer_config_attributes",
            "declared attributes",
            0 if snapshot is None else len(snapshot.manifest),
        ),
        _gauge("mixer_config_errors", "faults of the documents as they are written", faults),
        _gauge("mixer_handlers", "handlers that run", len(engine.handlers)),
        _gauge(
            "mixer_handlers_failed",
            "handlers that could not be opened so far",
            sum(bool(one.fault) for one in engine.handlers),
        ),
        _counter("mixer_config_swaps", "configurations put into force", engine.counts, "config"),
        _counter("mixer_rule_match_errors", "conditions without a value", engine.counts, "match"),
        Metric.of(
            "mixer_runtime_dispatches",
            "counter",
            "calls of handlers, by handler",
            _by_handler(engine.counts, "dispatch"),
        ),
        Metric.of(
            "mixer_runtime_dispatch_errors",
            "counter",
            "calls of handlers that failed or were late, by handler",
            _by_handler(engine.counts, "error"),
        ),
        Metric.of(
            "mixer_handler_events",
            "counter",
            "what handlers count of themselves, by handler and event",
            _events(engine),
        ),
        _of("mixer_checkcache_cache_hits", "checks answered from the cache", cache.hits),
        _of("mixer_checkcache_cache_misses", "checks that were not in the cache", cache.misses),
        _of("mixer_checkcache_cache_writes", "outcomes that were kept", cache.writes),
        _of("mixer_checkcache_cache_evictions", "outcomes that made room", cache.evictions),
        _gauge("mixer_checkcache_entries", "outcomes that are kept", len(cache)),
        _of(
            "mixer_loadshedding_predicted_cost_shed",
            "calls that came while the server was late",
            shedding.predicted,
        ),
        _of(
            "mixer_loadshedding_requests_throttled",
            "calls beyond the rate",
            shedding.throttled,
        ),
    )


def _gauge(name: str, description: str, value: float) -> Metric:
    return Metric.of(name, "gauge", description, value)


def _of(name: str, description: str, value: float) -> Metric:
    return Metric.of(name, "counter", description, value)


def _counter(
    name: str, description: str, counts: Counter[tuple[str, str]], function: str
) -> Metric:
    total = sum(count for (what, _), count in counts.items() if what == function)
    return Metric.of(name, "counter", description, total)


def _by_handler(counts: Counter[tuple[str, str]], function: str) -> dict[Labels, float]:
    return {
        Labels({"handler": handler}): float(count)
        for (what, handler), count in counts.items()
        if what == function
    }


def _events(engine: Engine) -> dict[Labels, float]:
    # Two generations of one handler may run for a while.
    total: Counter[tuple[str, str]] = Counter()
    for title, name, count in _told(engine):
        total[title, name] += count
    return {
        Labels({"handler": title, "event": name}): float(count)
        for (title, name), count in total.items()
    }


def _told(engine: Engine) -> Iterable[tuple[str, str, int]]:
    for running in engine.handlers:
        for name, count in running.context.counts.items():
            yield running.plan.title, name, count
