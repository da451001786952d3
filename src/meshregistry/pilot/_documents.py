"""What commands print and ``/debug`` serves: plain JSON documents, made in one place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import asdict

from meshregistry.mixer.spi import MixerAdapter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from meshregistry.aggregate import Difference, LossStatus, PartStatus, SourceStatus
    from meshregistry.loader import Plugins
    from meshregistry.model import Catalog, CatalogEntry, Conflict, Endpoint
    from meshregistry.pilot._rule_book import RuleStatus

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
        "adjustments": [asdict(adjustment) for adjustment in entry.adjustments],
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
        "priority": endpoint.priority,
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


def difference_document(first: str, second: str, found: Iterable[Difference]) -> Json:
    """What two sources say differently."""
    return {
        "first": first,
        "second": second,
        "differences": [
            {
                "namespace": one.service.namespace,
                "host": str(one.service.host),
                "what": one.what,
                "first": one.first,
                "second": one.second,
            }
            for one in found
        ],
    }


def endpoints_document(catalog: Json, host: str | None = None) -> Json:
    """The endpoints of a catalog's document, one row each, of one host or of all.

    Raises:
        LookupError: if no service has that host.
    """
    wanted = host and host.lower().removesuffix(".")
    services = [service for service in catalog["services"] if wanted in {None, "", service["host"]}]
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
                **_part(status),
                "is_shadow": status.is_shadow,
                "is_synced": status.is_synced,
                "attempts": status.attempts,
                "is_restored": status.is_restored,
                "withheld": status.withheld,
                "faulty": {
                    "/".join(filter(None, (part, key or "an unknown record"))): reason
                    for (part, key), reason in status.faulty.items()
                },
                "counters": dict(status.counters),
                "losses": [_loss(part, part.loss) for part in status.parts if part.loss],
                "parts": [{"name": part.name, **_part(part)} for part in status.parts if part.name],
            }
            for status in statuses
        ]
    }


def remarks(sources: Iterable[SourceStatus], rules: Iterable[RuleStatus]) -> Iterator[str]:
    """What is not as it should be, and yet is no reason to send no traffic here."""
    for status in sources:
        if status.is_restored:
            age = f", {status.age:.0f} s old" if status.age is not None else ""
            yield f"the source {status.id} is served from the snapshot{age}"
        if status.withheld:
            yield f"{status.withheld} lost endpoints of the source {status.id} are withheld"
    for rule in rules:
        if rule.is_restored:
            yield f"the rule source {rule.id} is in force from the snapshot"


def _loss(part: PartStatus, loss: LossStatus) -> Json:
    """What a part has lost and the guard withholds."""
    return {
        "part": part.name,
        "before": loss.before,
        "after": loss.after,
        "withheld": loss.withheld,
        "age": loss.age,
        "remaining": loss.remaining,
    }


def rules_document(statuses: Iterable[RuleStatus]) -> Json:
    """Each rule source: its documents, and what is wrong with them."""
    return {
        "rule_sources": [
            {
                "id": status.id,
                "kind": status.kind,
                "condition": str(status.condition),
                "is_synced": status.is_synced,
                "is_restored": status.is_restored,
                "documents": status.documents,
                "error": status.error and str(status.error),
                "errors": [error.message for error in status.errors],
                "warnings": [warning.message for warning in status.warnings],
            }
            for status in statuses
        ]
    }


def _part(status: SourceStatus | PartStatus) -> Json:
    return {
        "condition": str(status.condition),
        "age": status.age,
        "services": status.services,
        "endpoints": status.endpoints,
        "error": status.error and str(status.error),
    }


def explain_document(
    catalog: Catalog,
    host: str,
    statuses: Iterable[SourceStatus],
    reasons: Callable[[CatalogEntry], Iterable[Json]] = lambda _: (),
) -> Json:
    """Which sources and decisions led to what is known of ``HOST`` or ``HOST:PORT``.

    Args:
        catalog: that is explained.
        host: with a port or without.
        statuses: of the sources.
        reasons: further steps for a service, which come first.

    Raises:
        LookupError: if no source knows the host, or it has no such port.
        ValueError: if the host is no host name.
    """
    name, _, number = host.partition(":")
    entries = catalog.find(name)
    if not entries:
        msg = f"no source knows the host {name!r}; see what there is with: meshregistry services"
        raise LookupError(msg)
    conditions = {status.id: status.condition for status in statuses}
    if number and not any(str(p.number) == number for e in entries for p in e.service.ports):
        ports = ", ".join(str(port.number) for entry in entries for port in entry.service.ports)
        msg = f"the host {name!r} has no port {number}; it has {ports}"
        raise LookupError(msg)
    return {
        "generation": catalog.generation,
        "services": [
            {
                "service": str(entry.key),
                "sources": [
                    {"id": source, "condition": str(conditions.get(source, ""))}
                    for source in entry.sources
                ],
                "steps": [*reasons(entry), *_steps(entry, number)],
            }
            for entry in entries
        ],
    }


def about(resources: Json, hosts: Iterable[str]) -> Json:
    """Of a proxy's resources those that are named after one of the hosts, or need such a one."""
    wanted = set(hosts)
    every = [one for group in resources["types"] for one in group["resources"]]
    # An Envoy cluster of ours is named direction|port|subset|host, like its assignment.
    names = {one["name"] for one in every if one["name"].rpartition("|")[2] in wanted}
    before = 0
    while len(names) > before:
        before = len(names)
        names |= {one["name"] for one in every if names & set(one["references"])}
    kept = [
        {**group, "resources": [one for one in group["resources"] if one["name"] in names]}
        for group in resources["types"]
    ]
    return {**resources, "types": [group for group in kept if group["resources"]]}


def _steps(entry: CatalogEntry, number: str) -> Iterable[Json]:
    service = entry.service
    origin = dict(entry.provenance)
    for field, value in (
        ("resolution", str(service.resolution)),
        ("alias_of", str(service.alias_of or "")),
        ("addresses", ", ".join(service.addresses)),
        ("labels", str(service.labels)),
    ):
        if value:
            said_by = origin.get("resolution" if field == "alias_of" else field, "")
            yield {"what": field, "value": value, "from": said_by}
    shown = [port for port in service.ports if number in {"", str(port.number)}]
    for port in shown:
        what = f"ports[{port.number}]"
        yield {"what": what, "value": str(port), "from": origin.get(what, "")}
        if (speaker := origin.get(f"{what}.protocol")) is not None:
            yield {"what": f"{what}.protocol", "value": str(port.protocol), "from": speaker}
    names = {port.name for port in shown}
    for endpoint, sources in zip(entry.endpoints, entry.endpoint_sources, strict=True):
        if endpoint.service_port in names:
            sent = "" if endpoint.is_sent else ", not sent to proxies"
            after = f", priority {endpoint.priority}" if endpoint.priority else ""
            value = f"{endpoint} of {endpoint.service_port}: {endpoint.health}, weight {endpoint.weight}{after}{sent}"
            yield {"what": "endpoint", "value": value, "from": ", ".join(sources)}
    for one in entry.adjustments:
        value = f"{one.field}: {one.chosen} instead of {one.replaced}"
        yield {"what": "decision", "value": value, "from": one.by}
    for conflict in entry.conflicts:
        kept = f"{conflict.chosen} kept" if conflict.winner else "dropped"
        value = f"{conflict.field}: {kept}, {conflict.rejected} of {conflict.loser} rejected"
        yield {"what": "conflict", "value": value, "from": conflict.winner or "a rule"}


def plugins_document(plugins: Plugins) -> Json:
    """What was found, from which distribution, loaded or why not; and what there is for use."""
    # Before the reports, which say what was wrong with them.
    adapters = plugins.mixer_adapters(MixerAdapter)
    return {
        "plugins": [
            {
                "name": report.name,
                "distribution": report.distribution,
                "version": report.version,
                "requires": report.requires,
                "present": report.present,
                "status": str(report.status),
                "loaded": report.loaded,
                "kinds": list(report.kinds),
                "hooks": list(report.hooks),
                "error": report.error,
                "traceback": report.traceback,
            }
            for report in plugins.reports()
        ],
        "kinds": [{"name": kind.name, "summary": kind.summary} for kind in plugins.kinds()],
        "mixer_adapters": [{"name": one.name, "summary": one.summary} for one in adapters],
    }
