"""What a ServiceEntry becomes: one record for each host, with the workloads that it selects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshregistry.documents import suggestion
from meshregistry.model import (
    AddressKind,
    Endpoint,
    Hostname,
    Port,
    Resolution,
    Selector,
    Service,
    ServiceRecord,
    address_kind,
)
from meshregistry.registries._file_units import record_key, tried
from meshregistry.registries._probe import Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from meshregistry.errors import ConfigError
    from meshregistry.model import EndpointKey, RecordKey
    from meshregistry.registries._file_units import EntryPort, ServiceEntry, Workload
Probed = dict[tuple["RecordKey", "EndpointKey"], Target]
"""The endpoints whose health is found by probes, and by which."""


def misplaced(entry: ServiceEntry, workload: Workload) -> Iterator[ConfigError]:
    """What an endpoint must not say in this ServiceEntry."""
    place, address = workload.place, workload.address
    if address.startswith("unix:") and len(entry.ports) != 1:
        yield place.fault(
            f"a Unix socket needs exactly one port, and there are {len(entry.ports)}",
            "make a ServiceEntry of one port for it",
        )
    if entry.resolution is Resolution.EDS and address_kind(address) is AddressKind.DNS:
        yield place.fault(
            f"resolution STATIC needs an IP address, not {address}", "write resolution: DNS"
        )
    names = [port.name for port in entry.ports]
    for name in workload.ports:
        if name not in names:
            yield place.fault(f"the service has no port {name}", suggestion(name, names))


def is_selected(entry: ServiceEntry, workload: Workload) -> bool:
    """Whether the selector of an entry finds a workload; it looks at its own namespace."""
    return (
        entry.selector is not None
        and workload.namespace == entry.namespace
        and Selector(entry.selector).is_match(workload.labels)
    )


def entry_records(
    entry: ServiceEntry,
    workloads: Iterable[Workload],
    faults: list[ConfigError],
    probed: Probed,
) -> Iterator[ServiceRecord]:
    """One record for each host: a service has all its addresses at once.

    Without endpoints and selector, DNS asks for the host itself. Endpoints that are
    probed are noted in `probed`; the records do not have their health.
    """
    if entry.selector is None:
        chosen = list(entry.workloads)
    else:
        chosen = [one for one in workloads if is_selected(entry, one)]
    targets: dict[EndpointKey, Target] = {}
    endpoints = _endpoints(entry, chosen, faults, targets)
    for host in entry.hosts:
        own = endpoints
        if entry.resolution is Resolution.DNS and entry.selector is None and not entry.workloads:
            own = [
                Endpoint(address=host, port=port.target, service_port=port.name)
                for port in entry.ports
            ]

        def make(host: str = host, own: list[Endpoint] = own) -> ServiceRecord:
            service = Service(
                Hostname(host),
                ports=[Port(port.name, port.number, port.protocol) for port in entry.ports],
                resolution=entry.resolution,
                addresses=entry.addresses,
                labels=entry.labels,
                namespace=entry.namespace,
                is_external=entry.is_external,
                export_to=entry.export_to,
            )
            return ServiceRecord(service, own, key=record_key(entry, host))

        record = tried(entry.place, faults, make)
        if record is not None:
            probed.update(((record.key, key), target) for key, target in targets.items())
            yield record


def _endpoints(
    entry: ServiceEntry,
    workloads: Iterable[Workload],
    faults: list[ConfigError],
    targets: dict[EndpointKey, Target],
) -> list[Endpoint]:
    """Every workload at every port: its own number, else the target port, else the number."""
    found: dict[EndpointKey, Endpoint] = {}
    for workload in workloads:
        is_unix = workload.address.startswith("unix:")
        if is_unix and len(entry.ports) != 1:
            faults += misplaced(entry, workload)
            continue
        for port in entry.ports:
            number = 0 if is_unix else workload.ports.get(port.name, port.target)

            def make(
                workload: Workload = workload, port: EntryPort = port, number: int = number
            ) -> Endpoint:
                return Endpoint(
                    address=workload.address,
                    port=number,
                    service_port=port.name,
                    network=workload.network,
                    workload_identity=workload.identity,
                    locality=workload.locality,
                    health=workload.health,
                    # An unset weight is 0 on the wire and counts as 1.
                    weight=workload.weight or 1,
                    labels=workload.labels,
                )

            endpoint = tried(workload.place, faults, make)
            if endpoint is None:
                continue
            if found.setdefault(endpoint.key, endpoint) != endpoint:
                faults.append(
                    workload.place.fault(
                        f"{endpoint} is given twice, with different values", "keep one of them"
                    )
                )
            elif workload.probe is not None:
                targets.setdefault(endpoint.key, Target(workload.address, workload.probe))
    return list(found.values())
