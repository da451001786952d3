"""One configured source as the core needs it, and what is told of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType
from typing import Any

from attrs import evolve, field, frozen

from meshregistry.aggregate._guard import GuardPolicy, LossStatus
from meshregistry.errors import RegistryError
from meshregistry.model import (
    Endpoint,
    EndpointKey,
    RecordKey,
    ServiceKey,
    ServiceRecord,
    SourceId,
)
from meshregistry.spi import Condition, Registrar, Registry, RegistryContext


@frozen(kw_only=True)
class Source:
    """A configured source, free of settings types. Equal sources need no restart.

    Attributes:
        id: as in the settings.
        kind: the name of its registry kind.
        open: makes the registry of one attempt; no I/O.
        connect: makes a client that is opened once and outlives attempts; the context then
            has it as `client`.
        registrar: makes what writes into its backend; None if nothing can.
        required: whether the start gate insists on it.
        is_synced_at_start: it needs no listing before its upserts count.
        namespace: for services that name none.
        network: for endpoints that name none.
        cluster: for endpoints that name none.
        stale_after: seconds after which the data of a part that is not SYNCED is dropped;
            None serves it indefinitely.
        sync_timeout: seconds that the start gate waits for a source that is not required;
            None takes the gate's default.
        is_shadow: it is followed and shown, and has no part in the catalog nor in the start gate.
        guard: when a loss of endpoints is too much to be believed; None: never.
        origin: names what it follows, without secrets: only what is equal may be restored
            from a snapshot. Empty: nothing of it is kept in snapshots.
        fingerprint: of its settings; another one means that it is to be opened anew.
    """

    id: SourceId
    kind: str
    open: Callable[[RegistryContext], Registry] = field(eq=False, repr=False)
    connect: Callable[[RegistryContext], AbstractAsyncContextManager[Any]] | None = field(
        default=None, eq=False, repr=False
    )
    registrar: Callable[[RegistryContext], Registrar] | None = field(
        default=None, eq=False, repr=False
    )
    required: bool = True
    is_synced_at_start: bool = False
    namespace: str = ""
    network: str = ""
    cluster: str = ""
    stale_after: float | None = None
    sync_timeout: float | None = None
    is_shadow: bool = False
    guard: GuardPolicy | None = None
    origin: str = ""
    fingerprint: str = ""

    def completed(self, record: ServiceRecord) -> ServiceRecord:
        """The record with namespace, network and cluster filled in where it names none.

        Where the network makes two endpoints of a record one, the one that named its
        network stands.
        """
        service, aliases = record.service, record.aliases
        if service.namespace is None:
            service = evolve(service, namespace=self.namespace)
            # A registry without namespaces cannot name one for the further names either.
            aliases = tuple(one if one.namespace else self._alias(one) for one in aliases)
        endpoints = record.endpoints
        if (self.network or self.cluster) and not all(
            one.network and one.cluster for one in endpoints
        ):
            spoken = sorted(endpoints, key=lambda one: not one.network)
            by_key: dict[EndpointKey, Endpoint] = {}
            for endpoint in map(self._completed_endpoint, spoken):
                by_key.setdefault(endpoint.key, endpoint)
            endpoints = tuple(by_key.values())
        if service is record.service and endpoints is record.endpoints:
            return record
        return ServiceRecord(service, endpoints, key=record.key, aliases=aliases)

    def _alias(self, name: ServiceKey) -> ServiceKey:
        return ServiceKey(self.namespace, name.host)

    def _completed_endpoint(self, endpoint: Endpoint) -> Endpoint:
        return evolve(
            endpoint,
            network=endpoint.network or self.network,
            cluster=endpoint.cluster or self.cluster,
        )


@frozen(kw_only=True)
class PartStatus:
    """How one part of a source is doing.

    Attributes:
        name: empty for the source's own part.
        condition: of the part.
        age: seconds since its last `replace` or `confirm`; None if there was none.
        services: how many services it knows.
        endpoints: how many endpoints it knows.
        error: why it is not SYNCED; None if nothing is wrong.
        faulty: what is wrong with single records, by record key; the key None collects
            faults of unknown records.
        is_declared: whether the registry said that this part must sync.
        loss: what it has lost and the guard withholds; None: nothing.
        is_restored: whether what it knows comes from a snapshot, and not from its registry.
    """

    name: str
    condition: Condition
    age: float | None
    services: int
    endpoints: int
    error: RegistryError | None
    faulty: Mapping[RecordKey | None, str]
    is_declared: bool
    loss: LossStatus | None = None
    is_restored: bool = False


@frozen(kw_only=True)
class SourceStatus:
    """How a source is doing.

    Attributes:
        id: of the source.
        kind: of its registry.
        condition: the worst of its parts.
        is_shadow: whether it is only compared, and not served.
        is_synced: whether every part that must sync has done so at least once.
        age: seconds since the last `replace` or `confirm` of its slowest part; None if one
            has not had any.
        services: how many services it knows.
        endpoints: how many endpoints it knows.
        error: why it is not SYNCED; None if nothing is wrong.
        attempts: how often its registry was opened.
        parts: its parts, in order of precedence.
        losses: how often the guard has withheld a loss.
        counters: what the adapter counts, and ``ignored_calls``: calls to the sinks of
            runs that had ended.
        faulty: what is wrong with single records, by part and record key.
    """

    id: SourceId
    kind: str
    condition: Condition
    is_shadow: bool = False
    is_synced: bool
    age: float | None
    services: int
    endpoints: int
    error: RegistryError | None
    attempts: int
    parts: tuple[PartStatus, ...]
    losses: int = 0
    counters: Mapping[str, int] = MappingProxyType({})

    @property
    def faulty(self) -> Mapping[tuple[str, RecordKey | None], str]:
        """The faults of all parts, by part and record key."""
        return {
            (part.name, key): reason for part in self.parts for key, reason in part.faulty.items()
        }

    @property
    def is_restored(self) -> bool:
        """Whether some of what it knows comes from a snapshot, and not from its registry."""
        return any(part.is_restored for part in self.parts)

    @property
    def withheld(self) -> int:
        """Endpoints that are shown as healthy although the registry says otherwise."""
        return sum(part.loss.withheld for part in self.parts if part.loss is not None)
