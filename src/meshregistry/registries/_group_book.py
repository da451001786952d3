"""What the files of one pilot say of groups, for those who register as a member of one."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from attrs import frozen

from meshregistry.registries._file_units import Group, ServiceEntry

if TYPE_CHECKING:
    from collections.abc import Iterable


@frozen
class Groups:
    """Workload groups, and the service entries that select workloads.

    Attributes:
        groups: by namespace, as the sources' settings complete it, and name.
        entries: each with such a namespace.
    """

    groups: Mapping[tuple[str, str], Group]
    entries: tuple[tuple[str, ServiceEntry], ...] = ()


class GroupBook:
    """The newest word of each file source; it outlives their attempts, as their records do."""

    def __init__(self) -> None:
        self._said: dict[str, tuple[tuple[Group, ...], tuple[ServiceEntry, ...]]] = {}
        self._lock = threading.Lock()

    def put(self, source: str, groups: Iterable[Group], entries: Iterable[ServiceEntry]) -> None:
        """Take what a source says now."""
        with self._lock:
            self._said[source] = (tuple(groups), tuple(entries))

    def groups(self, namespaces: Mapping[str, str]) -> Groups:
        """What these sources say together; of two groups of one name the first counts.

        Args:
            namespaces: for each source, the namespace of what names none.
        """
        groups: dict[tuple[str, str], Group] = {}
        entries: list[tuple[str, ServiceEntry]] = []
        with self._lock:
            said = dict(self._said)
        for source, default in namespaces.items():
            own_groups, own_entries = said.get(source, ((), ()))
            for group in own_groups:
                groups.setdefault((_or(group.namespace, default), group.name), group)
            entries += [(_or(entry.namespace, default), entry) for entry in own_entries]
        return Groups(groups, tuple(entries))


def _or(namespace: str | None, default: str) -> str:
    return default if namespace is None else namespace
