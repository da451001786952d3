"""From the contents of files to records and faults, keeping the last good version of each piece."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from attrs import Factory, define, evolve, frozen

from meshregistry.documents import Document, MappingNode, ScalarNode, decode, parse
from meshregistry.errors import ConfigError, RecordError
from meshregistry.model import EndpointKey, RecordKey, ServiceRecord
from meshregistry.registries._file_egress import KIND as EGRESS_RULE
from meshregistry.registries._file_egress import egress_unit
from meshregistry.registries._file_entries import Probed, entry_records
from meshregistry.registries._file_istio import KINDS, istio_unit, listed
from meshregistry.registries._file_short import short_units
from meshregistry.registries._file_units import (
    Flaw,
    Group,
    ServiceEntry,
    ShortService,
    Unit,
    Workload,
)
from meshregistry.registries._probe import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator

    from meshregistry.documents import AnyNode
    from meshregistry.model import Health


def pieces(content: bytes, *, file: str, trust_domain: str) -> tuple[Unit | Flaw, ...]:
    """Everything that a file says, in order; each piece fails for itself."""
    try:
        text = decode(content, file=file)
    except ConfigError as error:
        return (Flaw(key=None, faults=error.faults),)
    found: list[Unit | Flaw] = []
    for document in parse(text, file=file):
        if isinstance(document, Document):
            found.extend(_document(document.root, trust_domain))
        else:
            found.append(Flaw(key=None, faults=document.faults))
    return tuple(found)


def _document(root: AnyNode, trust_domain: str) -> Iterator[Unit | Flaw]:
    if not isinstance(root, MappingNode):
        fault = root.fault(f"must be a mapping, not {root.kind}", "write services: or kind:")
        yield Flaw(key=None, faults=(fault,))
        return
    items = listed(root)
    if items is not None:
        for item in items:
            yield from _document(item, trust_domain)
        return
    kind = root.get("kind")
    if "services" in root and kind is None:
        yield from short_units(root)
    elif isinstance(kind, ScalarNode) and kind.text in KINDS:
        yield istio_unit(root, trust_domain)
    elif isinstance(kind, ScalarNode) and kind.text == EGRESS_RULE:
        yield egress_unit(root)
    elif kind is not None:
        name = kind.text if isinstance(kind, ScalarNode) else kind.kind
        remedy = f"put {', '.join(KINDS[:-1])} and {KINDS[-1]} here, and routing rules into a rule source"
        yield Flaw(key=None, faults=(kind.fault(f"{name} is not read here", remedy),), hides=False)
    else:
        fault = root.fault("neither services: nor kind: is here", "write one of them")
        yield Flaw(key=None, faults=(fault, *root.unknown(["services"])))


@frozen
class Listing:
    """What all files say together.

    Attributes:
        records: complete; last good versions included. Those that are probed count as healthy here.
        faulty: the same faults as the sink takes them.
        faults: everything that is wrong, in order of files and lines.
        probed: the endpoints whose health is found by probes, and by which.
        groups: the workload groups.
        entries: the service entries that select workloads.
    """

    records: tuple[ServiceRecord, ...]
    faulty: tuple[RecordError, ...]
    faults: tuple[ConfigError, ...]
    probed: Mapping[tuple[RecordKey, EndpointKey], Target] = MappingProxyType({})
    groups: tuple[Group, ...] = ()
    entries: tuple[ServiceEntry, ...] = ()

    def with_health(self, health: Callable[[Target], Health]) -> Iterator[ServiceRecord]:
        """All records, with what probes have found."""
        found = {record.key: record for record in self.probed_with_health(health)}
        return (found.get(record.key, record) for record in self.records)

    def probed_with_health(
        self, health: Callable[[Target], Health], news: Container[Target] | None = None
    ) -> Iterator[ServiceRecord]:
        """The records with endpoints that are probed, with what probes have found.

        Args:
            health: what is known of each.
            news: only those with endpoints of these; None for all.
        """
        keys = {key for (key, _), target in self.probed.items() if news is None or target in news}
        for record in self.records:
            if record.key not in keys:
                continue
            endpoints = [
                evolve(endpoint, health=health(target))
                if (target := self.probed.get((record.key, endpoint.key))) is not None
                else endpoint
                for endpoint in record.endpoints
            ]
            yield ServiceRecord(record.service, endpoints, key=record.key)

    def addresses(self) -> frozenset[str]:
        """Where all endpoints are."""
        return frozenset(one.address for record in self.records for one in record.endpoints)


@define
class _File:
    """The state of one file.

    Attributes:
        units: the good pieces, and the last good version of those that are not.
        flaws: what is wrong now.
        was_whole: whether there was a version without any hidden piece.
    """

    units: dict[str, Unit] = Factory(dict)
    flaws: tuple[Flaw, ...] = ()
    was_whole: bool = False


class FileDocuments:
    """The files of one attempt, and what they say together.

    Args:
        trust_domain: of the identities that service accounts stand for.
    """

    def __init__(self, *, trust_domain: str) -> None:
        self._trust_domain = trust_domain
        self._files: dict[str, _File] = {}

    def put(self, file: str, content: bytes) -> None:
        """Take a new version of a file.

        A piece that is broken keeps its last good version. When it cannot be told which
        one is broken, all that are missing are kept.
        """
        found = pieces(content, file=file, trust_domain=self._trust_domain)
        self._take(file, found)

    def unreadable(self, file: str, reason: str) -> None:
        """Note that a file is there and cannot be read: all that it said is kept."""
        fault = ConfigError(
            f"the file cannot be read: {reason}", file=file, remedy="check its permissions"
        )
        self._take(file, (Flaw(key=None, faults=(fault,)),))

    def drop(self, file: str) -> None:
        """Forget a file that is gone."""
        self._files.pop(file, None)

    def _take(self, file: str, found: Iterable[Unit | Flaw]) -> None:
        state = self._files.setdefault(file, _File())
        units: dict[str, Unit] = {}
        flaws: list[Flaw] = []
        for piece in found:
            if isinstance(piece, Flaw):
                flaws.append(piece)
            elif piece.key in units:
                flaws.append(_twice(piece, units[piece.key]))
            else:
                units[piece.key] = piece
        hidden = [flaw for flaw in flaws if flaw.hides]
        broken = {flaw.key for flaw in hidden}
        for key, unit in state.units.items():
            if key not in units and (key in broken or None in broken):
                units[key] = unit
        state.units, state.flaws = units, tuple(flaws)
        state.was_whole = state.was_whole or not hidden

    def listing(self) -> Listing:
        """The records of all files. Of two pieces with one key the first file's counts."""
        units: dict[str, Unit] = {}
        wrong: list[tuple[str | None, tuple[ConfigError, ...]]] = []
        for file, state in sorted(self._files.items()):
            wrong += [(_reported(file, state, flaw), flaw.faults) for flaw in state.flaws]
            for key, unit in state.units.items():
                first = units.setdefault(key, unit)
                if first is not unit:
                    wrong.append((_label(unit), _twice(unit, first).faults))
                elif unit.notes:
                    wrong.append((_label(unit), unit.notes))
        records: list[ServiceRecord] = []
        probed: Probed = {}
        groups = {
            (one.value.namespace, one.value.name): one.value
            for one in units.values()
            if isinstance(one.value, Group)
        }
        workloads = list(_workloads(units.values(), groups, wrong))
        for unit in units.values():
            if isinstance(unit.value, ShortService):
                records.append(unit.value.record)
            elif isinstance(unit.value, ServiceEntry):
                notes: list[ConfigError] = []
                records.extend(entry_records(unit.value, workloads, notes, probed))
                if notes:
                    wrong.append((_label(unit), tuple(notes)))
        return Listing(
            tuple(sorted(records, key=lambda record: record.key)),
            tuple(_faulty(wrong)),
            tuple(fault for _, faults in wrong for fault in faults),
            probed,
            tuple(groups.values()),
            tuple(
                one.value
                for one in units.values()
                if isinstance(one.value, ServiceEntry) and one.value.selector is not None
            ),
        )


def _workloads(
    units: Iterable[Unit],
    groups: Mapping[tuple[str | None, str], Group],
    wrong: list[tuple[str | None, tuple[ConfigError, ...]]],
) -> Iterator[Workload]:
    """Every WorkloadEntry, completed by the group that it belongs to."""
    for unit in units:
        workload = unit.value
        if not isinstance(workload, Workload):
            continue
        group = groups.get((workload.namespace, workload.group))
        if group is not None:
            yield group.completed(workload)
            continue
        if workload.group:
            fault = unit.place.fault(
                f"there is no WorkloadGroup {workload.group} in its namespace",
                "add it to this source; until then the workload is taken as it stands",
            )
            wrong.append((_label(unit), (fault,)))
        yield workload


def _twice(unit: Unit, first: Unit) -> Flaw:
    place = f"{first.place.file}:{first.place.line}"
    fault = unit.place.fault(f"{unit.key} is described in {place} already", "keep one of them")
    return Flaw(key=None, faults=(fault,), hides=False)


def _label(unit: Unit) -> str:
    # Not the key: naming a record's key would hold back its newest version.
    return f"{unit.place.file}:{unit.place.line}"


def _reported(file: str, state: _File, flaw: Flaw) -> str | None:
    """The key that a flaw is reported under.

    A service of the short form is known by its record's key, under which the core keeps
    what it has. Anything else that may have been well formed before this attempt, and
    nobody can tell what it was, has no key, so that nothing is removed
    (contracts, section 2); what this attempt has seen well formed is kept here.
    """
    if flaw.hides and flaw.key is not None and not flaw.key.startswith((*KINDS, EGRESS_RULE)):
        return flaw.key
    if flaw.hides and not state.was_whole:
        return None
    return f"{file}:{flaw.faults[0].line}" if flaw.faults[0].line else file


def _faulty(wrong: Iterable[tuple[str | None, tuple[ConfigError, ...]]]) -> Iterator[RecordError]:
    by_key: dict[str | None, list[str]] = {}
    for key, faults in wrong:
        by_key.setdefault(key, []).extend(fault.message for fault in faults)
    for key, texts in by_key.items():
        yield RecordError(" | ".join(texts), key=key)
