"""The pure merge: what several sources say of one service becomes one catalog entry.

The default of the contract: the first source in order defines protocol, resolution,
virtual addresses and labels; ports unite by number; endpoints unite by identity, with
health, weight and labels from the first source that is current. A `MergePolicy` says
otherwise, field by field, and may give each source's endpoints a priority. Whatever is decided against a source is listed as a conflict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from meshregistry.aggregate._aliases import own_or_standing
from meshregistry.aggregate._merge_ports import MergedPorts, merge_ports
from meshregistry.model import (
    MERGE_FIELDS,
    CatalogEntry,
    Conflict,
    Endpoint,
    EndpointKey,
    Labels,
    MergePolicy,
    Service,
    ServiceKey,
    ServiceRecord,
    SourceId,
    Union,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

_FROM_FIRST = ("resolution", "addresses", "alias_of", "is_external", "export_to")
# Whose order of its own a field follows; the others follow the order of the service.
_DECLARED = {"resolution": "resolution", "alias_of": "resolution", "addresses": "addresses"}
_FROM_CURRENT = ("health", "weight", "labels")
_FROM_FIRST_NAMED = ("cluster", "workload_identity", "locality")


@frozen
class Contribution:
    """One record of the service.

    Attributes:
        source: who says it.
        record: what is said.
        is_current: whether the part that it comes from is SYNCED.
    """

    source: SourceId
    record: ServiceRecord
    is_current: bool = True


@frozen
class _Named:
    """An endpoint under its merged identity, as one contribution has it."""

    source: SourceId
    endpoint: Endpoint
    is_current: bool


@frozen
class _Endpoints:
    listed: tuple[Endpoint, ...] = ()
    sources: tuple[tuple[SourceId, ...], ...] = ()
    conflicts: tuple[Conflict, ...] = ()


def merge(
    key: ServiceKey, contributions: Sequence[Contribution], policy: MergePolicy
) -> CatalogEntry | None:
    """Merge the records of one service; None if there are none.

    Args:
        key: of the service; every record is one of it, or has this name among its aliases.
        contributions: in order of precedence, before the policy's own order; those of one
            source together.
        policy: decides field by field.
    """
    if not contributions:
        return None
    contributions, lost_names = own_or_standing(key, contributions)
    orders = _Orders.of(contributions, policy)
    ports = merge_ports(
        _services(orders.of_field("ports")),
        is_united=policy.ports is Union.UNITE,
        speakers=_services(orders.of_field("protocol")) if orders.by_field else None,
    )
    labels, label_sources, label_conflicts = _merge_labels(orders.of_field("labels"), policy)
    endpoints = _merge_endpoints(orders.of_field("endpoints"), policy, ports)
    return CatalogEntry(
        service=_service(key, orders, ports, labels),
        endpoints=endpoints.listed,
        sources=tuple(dict.fromkeys(one.source for one in orders.general)),
        provenance=tuple(
            sorted(
                [
                    ("addresses", orders.of_field("addresses")[0].source),
                    ("resolution", orders.of_field("resolution")[0].source),
                    *label_sources,
                    *((f"ports[{number}]", source) for number, source in ports.sources),
                    *((f"ports[{number}].protocol", source) for number, source in ports.speakers),
                ]
            )
        ),
        endpoint_sources=endpoints.sources,
        conflicts=(
            *lost_names,
            *_field_conflicts(orders),
            *label_conflicts,
            *ports.conflicts,
            *endpoints.conflicts,
        ),
    )


@frozen
class _Orders:
    """The contributions in the order of the service, and in that of single fields."""

    general: Sequence[Contribution]
    by_field: Mapping[str, Sequence[Contribution]]

    @classmethod
    def of(cls, contributions: Sequence[Contribution], policy: MergePolicy) -> _Orders:
        general = _by_order(contributions, policy.order)
        if not policy.orders or len(contributions) == 1:
            return cls(general, {})
        names = MERGE_FIELDS
        return cls(general, {one: _by_order(contributions, policy.order_of(one)) for one in names})

    def of_field(self, name: str) -> Sequence[Contribution]:
        return self.by_field.get(name, self.general)


def _by_order(
    contributions: Sequence[Contribution], order: Sequence[SourceId]
) -> Sequence[Contribution]:
    """The sources of the order first, then all others as they came."""
    if not order:
        return contributions
    rank = {source: place for place, source in reversed([*enumerate(order)])}
    return sorted(contributions, key=lambda one: rank.get(one.source, len(order)))


def _services(ordered: Sequence[Contribution]) -> list[tuple[SourceId, Service]]:
    return [(one.source, one.record.service) for one in ordered]


def _service(key: ServiceKey, orders: _Orders, ports: MergedPorts, labels: Labels) -> Service:
    """The merged service; that of the first source itself if nothing differs."""
    own = orders.general[0].record.service
    resolving = orders.of_field("resolution")[0].record.service
    merged: dict[str, Any] = {
        "namespace": key.namespace,
        "ports": ports.ports,
        "labels": labels,
        "resolution": resolving.resolution,
        "alias_of": resolving.alias_of,
        "addresses": orders.of_field("addresses")[0].record.service.addresses,
    }
    changed = {name: value for name, value in merged.items() if getattr(own, name) != value}
    return evolve(own, **changed) if changed else own


def _field_conflicts(orders: _Orders) -> Iterable[Conflict]:
    """Fields that the first source defines alone; who says nothing is not contradicted."""
    for name in _FROM_FIRST:
        first, *others = orders.of_field(_DECLARED.get(name, ""))
        chosen = getattr(first.record.service, name)
        for other in others:
            rejected = getattr(other.record.service, name)
            if rejected != chosen and rejected not in (None, ()):
                yield Conflict(
                    field=name,
                    winner=first.source,
                    loser=other.source,
                    chosen=_text(chosen),
                    rejected=_text(rejected),
                )


def _merge_labels(
    ordered: Sequence[Contribution], policy: MergePolicy
) -> tuple[Labels, list[tuple[str, SourceId]], list[Conflict]]:
    first, *others = ordered
    own = first.record.service.labels
    labels = dict(own)
    owners = dict.fromkeys(own, first.source)
    conflicts = []
    for other in others:
        for name, value in other.record.service.labels.items():
            if policy.labels is Union.UNITE and name not in labels:
                labels[name] = value
                owners[name] = other.source
            elif labels.get(name) != value:
                conflict = Conflict(
                    field=f"labels[{name}]",
                    winner=owners.get(name, first.source),
                    loser=other.source,
                    chosen=labels.get(name, ""),
                    rejected=value,
                )
                conflicts.append(conflict)
    added = [(f"labels[{name}]", owners[name]) for name in labels if name not in own]
    return Labels(labels), [("labels", first.source), *added], conflicts


def _merge_endpoints(
    ordered: Sequence[Contribution], policy: MergePolicy, ports: MergedPorts
) -> _Endpoints:
    conflicts: list[Conflict] = []
    chosen = ordered
    if policy.endpoints is Union.FIRST:
        chosen, conflicts = _first_with_endpoints(ordered)
    if len(chosen) == 1 and (alone := _alone(chosen[0], ports)) is not None:
        return evolve(alone, conflicts=tuple(conflicts))
    ranks = dict.fromkeys(one.source for one in chosen)
    priorities = dict(zip(ranks, range(len(ranks)), strict=True))
    named: dict[EndpointKey, list[_Named]] = {}
    for one in chosen:
        names = ports.names_for(one.record.service)
        for endpoint in one.record.endpoints:
            port_name = names.get(endpoint.service_port)
            if port_name is None:
                conflicts.append(_dropped(one, endpoint))
                continue
            if port_name != endpoint.service_port:
                endpoint = evolve(endpoint, service_port=port_name)  # noqa: PLW2901 - the same endpoint under its merged identity
            seen = named.setdefault(endpoint.key, [])
            seen.append(_Named(one.source, endpoint, one.is_current))
    listed = []
    for key in sorted(named):
        endpoint, decided = _unite(named[key])
        if policy.endpoints is Union.FAILOVER:
            # That of the first source that has it. One that is ill or gone leaves a gap, which
            # is closed when proxies are told.
            endpoint = evolve(endpoint, priority=priorities[named[key][0].source])
        listed.append(endpoint)
        conflicts.extend(decided)
    sources = tuple(tuple(dict.fromkeys(one.source for one in named[key])) for key in sorted(named))
    return _Endpoints(tuple(listed), sources, tuple(conflicts))


def _alone(one: Contribution, ports: MergedPorts) -> _Endpoints | None:
    """The endpoints of a single record as they are, unless a port has another name or none."""
    endpoints = one.record.endpoints
    used = {endpoint.service_port for endpoint in endpoints}
    names = ports.names_for(one.record.service)
    if any(names.get(name) != name for name in used):
        return None
    return _Endpoints(endpoints, ((one.source,),) * len(endpoints))


def _first_with_endpoints(
    ordered: Sequence[Contribution],
) -> tuple[list[Contribution], list[Conflict]]:
    """Only the contributions of the first source that has any endpoint."""
    counts: dict[SourceId, int] = {}
    for one in ordered:
        counts[one.source] = counts.get(one.source, 0) + len(one.record.endpoints)
    winner = next((source for source, count in counts.items() if count), ordered[0].source)
    conflicts = [
        Conflict(
            field="endpoints",
            winner=winner,
            loser=source,
            chosen=_counted(counts[winner]),
            rejected=_counted(count),
        )
        for source, count in counts.items()
        if count and source != winner
    ]
    return [one for one in ordered if one.source == winner], conflicts


def _dropped(one: Contribution, endpoint: Endpoint) -> Conflict:
    """An endpoint whose service port is not in the result is dropped and reported."""
    return Conflict(
        field=f"endpoints[{endpoint}]",
        winner=None,
        loser=one.source,
        chosen="",
        rejected=f"service port {endpoint.service_port!r}",
    )


def _unite(named: Sequence[_Named]) -> tuple[Endpoint, list[Conflict]]:
    """One endpoint of all that share its identity, and what was decided against whom."""
    first = named[0]
    if len(named) == 1:
        return first.endpoint, []
    current = next((one for one in named if one.is_current), first)
    endpoint = first.endpoint
    if current is not first:
        values = {name: getattr(current.endpoint, name) for name in _FROM_CURRENT}
        endpoint = evolve(endpoint, **values)
    conflicts = []
    for one in named:
        for name in (*_FROM_CURRENT, *_FROM_FIRST_NAMED):
            rejected = getattr(one.endpoint, name)
            winner = current if name in _FROM_CURRENT else first
            if rejected != getattr(endpoint, name) and str(rejected):
                conflict = Conflict(
                    field=f"endpoints[{endpoint}].{name}",
                    winner=winner.source,
                    loser=one.source,
                    chosen=_text(getattr(endpoint, name)),
                    rejected=_text(rejected),
                )
                conflicts.append(conflict)
    return endpoint, conflicts


def _counted(count: int) -> str:
    return f"{count} endpoint" if count == 1 else f"{count} endpoints"


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "" if value is None else str(value)
