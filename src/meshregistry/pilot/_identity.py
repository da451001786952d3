"""Which records of several sources are one service, and why: what a dry run shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshregistry.aggregate import identity_transform

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from meshregistry.aggregate import RecordTrace
    from meshregistry.loader import Plugins
    from meshregistry.model import CatalogEntry, RecordTransform, ServiceKey
    from meshregistry.settings import Settings

    Json = dict[str, Any]


def transforms(plugins: Plugins, settings: Settings) -> tuple[RecordTransform, ...]:
    """What changes records before the merge: those of plugins, and the settings' identity."""
    identity = settings.identities()
    found = list(plugins.transforms())
    if identity.aliases or identity.templates:
        found.append(identity_transform(identity))
    return tuple(sorted(found, key=lambda one: (one.order, one.name)))


def identity_document(traces: Iterable[RecordTrace]) -> Json:
    """Each service with its records, those that are of none, and what is nearly one.

    Args:
        traces: of all records of all sources, in order of precedence.
    """
    services: dict[ServiceKey, list[RecordTrace]] = {}
    lost: list[RecordTrace] = []
    for trace in traces:
        if trace.key is None:
            lost.append(trace)
        else:
            services.setdefault(trace.key, []).append(trace)
    return {
        "services": [
            {
                "namespace": key.namespace,
                "host": str(key.host),
                "is_united": len(services[key]) > 1,
                "records": [_record(trace) for trace in services[key]],
            }
            for key in sorted(services)
        ],
        "left_out": [_record(trace) for trace in lost],
        "near_misses": [
            {"name": name, "services": [str(key) for key in keys]}
            for name, keys in _near_misses(services)
        ],
    }


def naming_steps(entry: CatalogEntry, traces: Iterable[RecordTrace]) -> Iterator[Json]:
    """Why records of a service are called so, and why a name stands for it."""
    for trace in traces:
        host = trace.record.service.host
        if trace.by and (trace.key == entry.key or host == entry.service.host):
            value = f"{host} of {trace.part.source}"
            yield {"what": "identity", "value": value, "from": trace.by}


def _record(trace: RecordTrace) -> Json:
    service = trace.record.service
    return {
        "source": trace.part.source,
        "part": trace.part.part,
        "key": trace.record.key,
        "namespace": service.namespace or "",
        "host": str(service.host),
        "by": trace.by,
    }


def _near_misses(
    services: Mapping[ServiceKey, list[RecordTrace]],
) -> Iterator[tuple[str, list[ServiceKey]]]:
    """Services that share the first label of some name, and whose sources differ.

    Two of one source are told apart by that source, so they are meant to be two.
    """
    sources = {key: {trace.part.source for trace in some} for key, some in services.items()}
    by_label: dict[str, set[ServiceKey]] = {}
    for key, some in services.items():
        for host in {key.host, *(trace.record.service.host for trace in some)}:
            if not host.is_wildcard:
                by_label.setdefault(host.partition(".")[0], set()).add(key)
    for label, keys in sorted(by_label.items()):
        near = [
            key for key in sorted(keys) if any(sources[key].isdisjoint(sources[b]) for b in keys)
        ]
        if near:
            yield label, near
