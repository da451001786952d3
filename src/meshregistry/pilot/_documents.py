"""What commands print and ``/debug`` serves: plain JSON documents, made in one place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshregistry.aggregate import SourceStatus
    from meshregistry.model import Catalog, CatalogEntry, Conflict, Endpoint

    Json = dict[str, Any]


def catalog_document(catalog: Catalog) -> Json:
    """The merged catalog with the sources of each value."""
    return {
        "generation": catalog.generation,
        "services": [entry_document(entry) for entry in catalog.entries()],
    }


def entry_document(entry: CatalogEntry) -> Json:
    """One merged service with its endpoints, provenance and conflicts."""
    service = entry.service
    return {
        "host": str(service.host),
        "namespace": service.namespace or "",
        "resolution": str(service.resolution),
        "alias_of": service.alias_of and str(service.alias_of),
        "is_external": service.is_external,
        "export_to": list(service.export_to),
        "addresses": list(service.addresses),
        "labels": dict(service.labels),
        "ports": [
            {"name": port.name, "number": port.number, "protocol": str(port.protocol)}
            for port in service.ports
        ],
        "sources": list(entry.sources),
        "provenance": dict(entry.provenance),
        "conflicts": [_conflict(conflict) for conflict in entry.conflicts],
        "endpoints": [
            _endpoint(endpoint, sources)
            for endpoint, sources in zip(entry.endpoints, entry.endpoint_sources, strict=True)
        ],
    }


def _endpoint(endpoint: Endpoint, sources: Iterable[str]) -> Json:
    return {
        "address": endpoint.address,
        "port": endpoint.port,
        "service_port": endpoint.service_port,
        "health": str(endpoint.health),
        "weight": endpoint.weight,
        "locality": str(endpoint.locality),
        "network": endpoint.network,
        "cluster": endpoint.cluster,
        "workload_identity": endpoint.workload_identity,
        "labels": dict(endpoint.labels),
        "sources": list(sources),
    }


def _conflict(conflict: Conflict) -> Json:
    return {
        "field": conflict.field,
        "winner": conflict.winner,
        "loser": conflict.loser,
        "chosen": conflict.chosen,
        "rejected": conflict.rejected,
    }


def endpoints_document(catalog: Json, host: str | None = None) -> Json:
    """The endpoints of a catalog's document, one row each, of one host or of all.

    Raises:
        LookupError: if no service has that host.
    """
    wanted = host and host.lower().removesuffix(".")
    services = [
        service for service in catalog["services"] if wanted in {None, "", service["host"]}
    ]
    if wanted and not services:
        msg = f"no source knows the host {host!r}; see what there is with: meshregistry services"
        raise LookupError(msg)
    return {
        "generation": catalog["generation"],
        "endpoints": [
            {"host": service["host"], "namespace": service["namespace"], **endpoint}
            for service in services
            for endpoint in service["endpoints"]
        ],
    }


def sources_document(statuses: Iterable[SourceStatus]) -> Json:
    """Condition, age, counts and last error of each source."""
    return {
        "sources": [
            {
                "id": status.id,
                "kind": status.kind,
                "condition": str(status.condition),
                "required": status.required,
                "age": status.age,
                "services": status.services,
                "endpoints": status.endpoints,
                "attempts": status.attempts,
                "error": status.error,
                "faulty": dict(status.faulty),
                "counters": dict(status.counters),
                "parts": [
                    {
                        "name": part.name,
                        "condition": str(part.condition),
                        "age": part.age,
                        "services": part.services,
                        "endpoints": part.endpoints,
                        "error": part.error,
                    }
                    for part in status.parts
                ],
            }
            for status in statuses
        ]
    }
