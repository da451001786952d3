"""What decisions make of the catalog: one pure step after the merge of one service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshregistry.rules._draining import drained
from meshregistry.rules._hosts import is_host_match
from meshregistry.rules._shifting import shifted

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshregistry.model import CatalogEntry, ServiceKey
    from meshregistry.rules._decisions import Decisions


def decided(decisions: Decisions, entry: CatalogEntry) -> CatalogEntry:
    """A merged service as operators want it; the same object if none has decided anything.

    Endpoints are drained before traffic is shared out, so that only those count which take
    new requests.
    """
    host = str(entry.service.host)
    if drains := decisions.drains_of(host):
        entry = drained(entry, drains)
    if (shift := decisions.shift(host)) is not None:
        entry = shifted(entry, shift)
    return entry


def concerned(old: Decisions, new: Decisions) -> Callable[[ServiceKey], bool]:
    """Says which services other decisions may change."""
    shifts = set(old.shifts) ^ set(new.shifts)
    drains = set(old.drains) ^ set(new.drains)
    hosts = {*(one for shift in shifts for one in shift.hosts), *(one.host for one in drains)}
    exact = {one for one in hosts if not one.startswith("*")}
    patterns = hosts - exact
    return lambda key: (
        key.host in exact or any(is_host_match(pattern, key.host) for pattern in patterns)
    )
