"""What a file says, piece by piece: the units that live and fail independently."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

from attrs import evolve, frozen

from meshregistry.documents import Position
from meshregistry.errors import ConfigError
from meshregistry.model import (
    Health,
    Labels,
    Locality,
    Protocol,
    RecordKey,
    Resolution,
    ServiceRecord,
)
from meshregistry.registries._probe import Probe

if TYPE_CHECKING:
    from collections.abc import Callable


T = TypeVar("T")


@frozen
class ShortService:
    """A service of our own short form: a whole record."""

    record: ServiceRecord


@frozen(kw_only=True)
class EntryPort:
    """A port of a ServiceEntry; `target` is where endpoints listen unless they say otherwise."""

    name: str
    number: int
    protocol: Protocol
    target: int


@frozen(kw_only=True)
class Workload:
    """A WorkloadEntry, or an endpoint inside a ServiceEntry, which has the same fields.

    Attributes:
        weight: 0 if it says none, which counts as 1.
        group: the name of the WorkloadGroup that it belongs to; empty for none.
        probe: what finds its health; None if nothing does.
        health: what it says itself, for those that are registered.
    """

    namespace: str | None
    address: str
    ports: Mapping[str, int]
    labels: Labels
    locality: Locality
    weight: int
    network: str
    identity: str
    place: Position
    group: str = ""
    probe: Probe | None = None
    health: Health = Health.HEALTHY


@frozen(kw_only=True)
class Group:
    """A WorkloadGroup: what its workloads have in common.

    Attributes:
        template: a workload without an address.
        probe: what finds the health of its workloads; None if nothing does.
    """

    namespace: str | None
    name: str
    template: Workload
    probe: Probe | None
    place: Position

    def completed(self, workload: Workload) -> Workload:
        """The workload with what it does not say itself; of labels, each for itself."""
        template = self.template
        return evolve(
            workload,
            ports=workload.ports or template.ports,
            labels=Labels({**template.labels, **workload.labels}),
            locality=template.locality if workload.locality == Locality() else workload.locality,
            weight=workload.weight or template.weight,
            network=workload.network or template.network,
            identity=workload.identity or template.identity,
            probe=self.probe,
        )


@frozen(kw_only=True)
class ServiceEntry:
    """A ServiceEntry; its records depend on the workloads that its selector finds."""

    namespace: str | None
    name: str
    hosts: tuple[str, ...]
    addresses: tuple[str, ...]
    ports: tuple[EntryPort, ...]
    resolution: Resolution
    is_external: bool
    workloads: tuple[Workload, ...]
    selector: Labels | None
    export_to: tuple[str, ...]
    labels: Labels
    place: Position


@frozen(kw_only=True)
class Unit:
    """A piece that is well formed.

    Attributes:
        key: identifies it among all files; stable from version to version.
        value: what it says.
        notes: what is wrong with it without being a reason to do without it.
    """

    key: str
    value: ShortService | ServiceEntry | Workload | Group
    place: Position
    notes: tuple[ConfigError, ...] = ()


@frozen(kw_only=True)
class Flaw:
    """A piece that is not well formed.

    Attributes:
        key: of the unit that it would be; None if that cannot be told.
        faults: what is wrong, at least one.
        hides: whether it may be a unit that was well formed before; a document of a kind
            that we do not read never was.
    """

    key: str | None
    faults: tuple[ConfigError, ...]
    hides: bool = True


def unit_key(kind: str, namespace: str | None, name: str) -> str:
    """The key of a unit, which for the short form is its record's key too."""
    full = f"{namespace}/{name}" if namespace else name
    return full if kind == "service" else f"{kind}/{full}"


def record_key(entry: ServiceEntry, host: str) -> RecordKey:
    """One record for each host of a ServiceEntry."""
    return RecordKey(f"{unit_key('ServiceEntry', entry.namespace, entry.name)}/{host}")


def tried(node: Position, faults: list[ConfigError], make: Callable[[], T]) -> T | None:
    """What `make` gives; None, and its ValueError as a fault at `node`, if it objects."""
    try:
        return make()
    except ValueError as error:
        reason, colon, remedy = str(error).rpartition(": ")
        faults.append(node.fault(reason, remedy) if colon else node.fault(str(error)))
        return None
