"""Ports of several sources become those of one service: they unite by number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve, frozen

from meshregistry.model import Conflict, Port, Service, SourceId

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@frozen
class MergedPorts:
    """The ports of a merged service.

    Attributes:
        ports: sorted by number; names and numbers are unique.
        sources: for each number, who declared it.
        speakers: for each number whose protocol another one decided, who did.
        conflicts: what was decided against a source.
    """

    ports: tuple[Port, ...]
    sources: tuple[tuple[int, SourceId], ...]
    speakers: tuple[tuple[int, SourceId], ...] = ()
    conflicts: tuple[Conflict, ...] = ()

    def names_for(self, service: Service) -> Mapping[str, str]:
        """The merged name of each port of one source's service, by that source's name.

        Endpoints refer to ports by name, sources agree on ports by number; so names are
        translated through the number. Ports that are not in the result have no name.
        """
        by_number = {port.number: port.name for port in self.ports}
        return {
            port.name: by_number[port.number] for port in service.ports if port.number in by_number
        }


def merge_ports(
    services: Sequence[tuple[SourceId, Service]],
    *,
    is_united: bool = True,
    speakers: Sequence[tuple[SourceId, Service]] | None = None,
) -> MergedPorts:
    """Merge ports by number; the first to declare a number defines name and protocol.

    Where a later port of another number has a name that is taken, it is called
    ``NAME-NUMBER``, so that its endpoints stay reachable by number.

    Args:
        services: in order of precedence.
        is_united: whether ports that the first source does not have are added.
        speakers: the same services in the order in which they define protocols; None: the
            same order.
    """
    first_source = services[0][0]
    chosen: dict[int, tuple[SourceId, Port]] = {}
    owners: dict[str, SourceId] = {}
    conflicts: list[Conflict] = []
    for source, service in services:
        for port in service.ports:
            known = chosen.get(port.number)
            if known is not None:
                conflicts += _differences(known, source, port, with_protocol=speakers is None)
                continue
            if not is_united and source != first_source:
                lost = Conflict(
                    field=f"ports[{port.number}]",
                    winner=first_source,
                    loser=source,
                    chosen="",
                    rejected=str(port),
                )
                conflicts.append(lost)
                continue
            name = _free_name(port, owners)
            if name != port.name:
                renamed = Conflict(
                    field=f"ports[{port.number}].name",
                    winner=owners[port.name],
                    loser=source,
                    chosen=name,
                    rejected=port.name,
                )
                conflicts.append(renamed)
            owners[name] = source
            chosen[port.number] = source, evolve(port, name=name)
    heard: dict[int, SourceId] = {}
    if speakers is not None:
        conflicts += _spoken(chosen, speakers, heard)
    return MergedPorts(
        tuple(chosen[number][1] for number in sorted(chosen)),
        tuple((number, chosen[number][0]) for number in sorted(chosen)),
        tuple((number, heard[number]) for number in sorted(heard)),
        tuple(conflicts),
    )


def _spoken(
    chosen: dict[int, tuple[SourceId, Port]],
    speakers: Sequence[tuple[SourceId, Service]],
    heard: dict[int, SourceId],
) -> list[Conflict]:
    """Give each chosen port the protocol of the first speaker that has its number."""
    conflicts = []
    winners: dict[int, tuple[SourceId, Port]] = {}
    for source, service in speakers:
        for port in service.ports:
            if port.number not in chosen:
                continue
            winner, standing = winners.setdefault(port.number, (source, port))
            if port.protocol is not standing.protocol:
                conflicts.append(_of_protocol(winner, standing, source, port))
    for number, (winner, standing) in winners.items():
        owner, port = chosen[number]
        if winner != owner:
            heard[number] = winner
        chosen[number] = owner, evolve(port, protocol=standing.protocol)
    return conflicts


def _free_name(port: Port, owners: Mapping[str, SourceId]) -> str:
    name = port.name
    while name in owners:
        name = f"{name}-{port.number}"
    return name


def _differences(
    known: tuple[SourceId, Port], source: SourceId, port: Port, *, with_protocol: bool
) -> list[Conflict]:
    winner, standing = known
    conflicts = []
    if port.name != standing.name:
        renamed = Conflict(
            field=f"ports[{port.number}].name",
            winner=winner,
            loser=source,
            chosen=standing.name,
            rejected=port.name,
        )
        conflicts.append(renamed)
    if with_protocol and port.protocol is not standing.protocol:
        conflicts.append(_of_protocol(winner, standing, source, port))
    return conflicts


def _of_protocol(winner: SourceId, standing: Port, loser: SourceId, port: Port) -> Conflict:
    return Conflict(
        field=f"ports[{port.number}].protocol",
        winner=winner,
        loser=loser,
        chosen=str(standing.protocol),
        rejected=str(port.protocol),
    )
