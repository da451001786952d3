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
        conflicts: what was decided against a source.
    """

    ports: tuple[Port, ...]
    sources: tuple[tuple[int, SourceId], ...]
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
    services: Sequence[tuple[SourceId, Service]], *, is_united: bool = True
) -> MergedPorts:
    """Merge ports by number; the first to declare a number defines name and protocol.

    Where a later port of another number has a name that is taken, it is called
    ``NAME-NUMBER``, so that its endpoints stay reachable by number.

    Args:
        services: in order of precedence.
        is_united: whether ports that the first source does not have are added.
    """
    first_source = services[0][0]
    chosen: dict[int, tuple[SourceId, Port]] = {}
    owners: dict[str, SourceId] = {}
    conflicts: list[Conflict] = []
    for source, service in services:
        for port in service.ports:
            known = chosen.get(port.number)
            if known is not None:
                conflicts.extend(_differences(known, source, port))
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
    return MergedPorts(
        tuple(chosen[number][1] for number in sorted(chosen)),
        tuple((number, chosen[number][0]) for number in sorted(chosen)),
        tuple(conflicts),
    )


def _free_name(port: Port, owners: Mapping[str, SourceId]) -> str:
    name = port.name
    while name in owners:
        name = f"{name}-{port.number}"
    return name


def _differences(known: tuple[SourceId, Port], source: SourceId, port: Port) -> list[Conflict]:
    winner, standing = known
    return [
        Conflict(
            field=f"ports[{port.number}].{name}",
            winner=winner,
            loser=source,
            chosen=chosen,
            rejected=rejected,
        )
        for name, chosen, rejected in (
            ("name", standing.name, port.name),
            ("protocol", str(standing.protocol), str(port.protocol)),
        )
        if chosen != rejected
    ]
