"""The table of routes as registrations make it: pure, with the time as an argument.

A registration counts for its threshold and is repeated before that. What happens to it while
nobody can repeat it, because NATS is away, depends on whether a proxy could tell its instance
from another one that has got the address since: addresses of containers are soon used again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attrs import define, field, frozen

from meshregistry.errors import RecordError
from meshregistry.model import RecordKey
from meshregistry_cloudfoundry._messages import Backend, Registration
from meshregistry_cloudfoundry._routes import Route

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Place = tuple[str, int]
WhileAway = Literal["keep-tls", "keep-all", "expire"]


@define
class _Entry:
    backend: Backend
    heard: float
    threshold: float
    updated_at: int

    def is_due(self, now: float) -> bool:
        return now - self.heard > self.threshold


@frozen
class _Fault:
    error: RecordError
    until: float


@define
class RouteTable:
    """Routes and their backends.

    Every method that changes something says the keys of the records that have changed.

    Attributes:
        while_away: what becomes of entries while NATS cannot be reached.
        fault_threshold: seconds for which a malformed message is reported.
    """

    while_away: WhileAway
    fault_threshold: float
    _routes: dict[RecordKey, tuple[Route, dict[Place, _Entry]]] = field(factory=dict, init=False)
    _places: dict[Place, set[RecordKey]] = field(factory=dict, init=False)
    _removed: dict[tuple[RecordKey, Place], tuple[int, float]] = field(factory=dict, init=False)
    _faults: dict[RecordKey | None, _Fault] = field(factory=dict, init=False)
    _is_away: bool = field(default=False, init=False)

    # --- Messages -------------------------------------------------------------------

    def register(self, registration: Registration, now: float) -> set[RecordKey]:
        """Take a registration, or one more repetition of it.

        An older message than the last one of a backend is passed over. Of an address that
        has another instance now, the routes of the former one end at once.
        """
        if not registration.is_wanted:
            # It may have been wanted until now, in another isolation segment for one.
            return self.unregister(registration, now)
        backend, changed, is_taken = registration.backend, set[RecordKey](), False
        for route in registration.routes:
            key = route.key
            if self._is_older(registration, key):
                continue
            is_taken = True
            self._removed.pop((key, backend.place), None)
            _, entries = self._routes.setdefault(key, (route, {}))
            known = entries.get(backend.place)
            if known is None or known.backend != backend:
                changed.add(key)
            entries[backend.place] = _Entry(
                backend, now, registration.threshold, registration.updated_at
            )
            self._places.setdefault(backend.place, set()).add(key)
        return changed | self._hand_over(registration) if is_taken else changed

    def unregister(self, registration: Registration, now: float) -> set[RecordKey]:
        """Take a registration back; once more does no harm, nor does one of another instance."""
        backend, changed = registration.backend, set[RecordKey]()
        for route in registration.routes:
            key = route.key
            if self._is_older(registration, key):
                continue
            if registration.updated_at:
                gone = registration.updated_at, now + registration.threshold
                self._removed[key, backend.place] = gone
            known = self._entries(key).get(backend.place)
            if known is not None and not _are_others(known.backend, backend):
                self._drop(key, backend.place)
                changed.add(key)
        return changed

    def report(self, error: RecordError, now: float) -> None:
        """Note a malformed message; as long as they come, nothing of their route expires."""
        key = None if error.key is None else RecordKey(error.key)
        self._faults[key] = _Fault(error, now + self.fault_threshold)

    # --- Time -----------------------------------------------------------------------

    def leave(self) -> None:
        """NATS is away from now on: nobody can repeat anything."""
        self._is_away = True

    def come_back(self, now: float) -> None:
        """NATS is there again: what was kept has its whole time to be repeated."""
        for _, entries in self._routes.values():
            for entry in entries.values():
                if self._is_kept(entry):
                    entry.heard = now
        self._is_away = False

    def prune(self, now: float) -> set[RecordKey]:
        """End what has not been repeated in time, and reports that are over."""
        self._removed = {key: gone for key, gone in self._removed.items() if gone[1] >= now}
        ended = {key for key, fault in self._faults.items() if fault.until < now}
        for key in ended:
            del self._faults[key]
        due = [
            (key, place)
            for key, (_, entries) in self._routes.items()
            if key not in self._faults
            for place, entry in entries.items()
            if entry.is_due(now) and not (self._is_away and self._is_kept(entry))
        ]
        for key, place in due:
            self._drop(key, place)
        return {key for key, _ in due} | {key for key in ended if key is not None}

    @property
    def has_expiring(self) -> bool:
        """Whether something here would expire while NATS is away."""
        return any(
            not self._is_kept(entry)
            for _, entries in self._routes.values()
            for entry in entries.values()
        )

    # --- What is known --------------------------------------------------------------

    @property
    def routes(self) -> Iterable[Route]:
        """Every route that has a backend."""
        return [route for route, _ in self._routes.values()]

    @property
    def faults(self) -> Mapping[RecordKey | None, RecordError]:
        """What was malformed lately, by record."""
        return {key: fault.error for key, fault in self._faults.items()}

    def backends(self, key: RecordKey) -> tuple[Route, tuple[Backend, ...]] | None:
        """A route and its backends, by place; None if it has none."""
        found = self._routes.get(key)
        if found is None:
            return None
        route, entries = found
        return route, tuple(entries[place].backend for place in sorted(entries))

    # --- How ------------------------------------------------------------------------

    def _entries(self, key: RecordKey) -> dict[Place, _Entry]:
        return self._routes[key][1] if key in self._routes else {}

    def _is_older(self, registration: Registration, key: RecordKey) -> bool:
        """Whether something newer is known of this backend; without times the last word counts."""
        place = registration.backend.place
        known = self._entries(key).get(place)
        gone, _ = self._removed.get((key, place), (0, 0.0))
        latest = max(known.updated_at if known else 0, gone)
        return 0 < registration.updated_at < latest

    def _is_kept(self, entry: _Entry) -> bool:
        if self.while_away == "keep-tls":
            return entry.backend.is_verifiable
        return self.while_away == "keep-all"

    def _hand_over(self, registration: Registration) -> set[RecordKey]:
        """End the routes of other instances at the address that this one has now."""
        place = registration.backend.place
        changed = set[RecordKey]()
        for key in tuple(self._places.get(place, ())):
            entry = self._entries(key)[place]
            is_older = entry.updated_at <= registration.updated_at or not registration.updated_at
            if is_older and _are_others(entry.backend, registration.backend):
                self._drop(key, place)
                changed.add(key)
        return changed

    def _drop(self, key: RecordKey, place: Place) -> None:
        entries = self._entries(key)
        del entries[place]
        if not entries:
            del self._routes[key]
        keys = self._places[place]
        keys.remove(key)
        if not keys:
            del self._places[place]


def _are_others(one: Backend, other: Backend) -> bool:
    """Whether both say who they are, and are not the same."""
    return bool(one.instance_id and other.instance_id) and one.instance_id != other.instance_id
