"""The guard against mass loss: a registry that suddenly knows little is not believed at once.

Pure, time is an argument. It stands between sink and table, part by part. While a part has
lost too much, what it says is kept apart from what is shown of it: additions and changes
are shown, what is gone or has lost its health stays as it was. Nothing that the registry
never said is shown, and what has been let go is not brought back.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from attrs import Factory, define, evolve, field, frozen
from attrs.validators import ge, gt, le

from meshregistry.aggregate._updates import PartId, Remove, Replace, Update, Upsert, listed
from meshregistry.model import Endpoint, Health, RecordKey, ServiceRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from meshregistry.model import SourceId


def _is_wait(_policy: object, _attribute: object, value: float | None) -> None:
    if value is not None and value < 0:
        msg = f"{value} must not be below 0"
        raise ValueError(msg)


@frozen(kw_only=True)
class GuardPolicy:
    """When the loss of endpoints is too much to be believed.

    Attributes:
        window: seconds in which the loss happens.
        share: of the most healthy endpoints of the window; fewer than that is too few.
        at_least: how many endpoints a loss has, to be one.
        confirm_after: seconds after which a loss that its registry upholds is believed;
            None: never.

    Raises:
        ValueError: if a value is out of its range.
    """

    window: float = field(default=60.0, validator=gt(0))
    share: float = field(default=0.5, validator=[ge(0), le(1)])
    at_least: int = field(default=10, validator=ge(1))
    confirm_after: float | None = field(default=600.0, validator=_is_wait)

    def is_loss(self, before: int, after: int) -> bool:
        """Whether so few healthy endpoints, after so many, are too few."""
        return before - after >= self.at_least and after < self.share * before


@frozen(kw_only=True)
class Loss:
    """A loss that is not believed yet.

    Attributes:
        part: that has lost something.
        before: the most healthy endpoints that the part had within the window.
        after: those that its registry says it has now.
        withheld: endpoints that are shown as healthy although the registry says otherwise.
        since: when it was noticed, by the clock of the core.
        began: when it began at the earliest: nobody may have looked for a while.
        until: when it is believed if the registry upholds it; None: never.
    """

    part: PartId
    before: int
    after: int
    withheld: int
    since: float
    began: float
    until: float | None

    def told(self, now: float) -> LossStatus:
        """The same for people, whose clock is another one."""
        return LossStatus(
            before=self.before,
            after=self.after,
            withheld=self.withheld,
            age=now - self.since,
            remaining=None if self.until is None else max(0.0, self.until - now),
        )


@frozen(kw_only=True)
class LossStatus:
    """A loss that is not believed yet, as it is shown.

    Attributes:
        before: the most healthy endpoints that the part had within the window.
        after: those that its registry says it has now.
        withheld: endpoints that are shown as healthy although the registry says otherwise.
        age: seconds since it began.
        remaining: seconds until it is believed if the registry upholds it; None: never.
    """

    before: int
    after: int
    withheld: int
    age: float
    remaining: float | None


@define
class _Watched:
    """One part.

    Attributes:
        healthy: how many healthy endpoints its registry says there are.
        past: what that figure was, and until when: falling figures, in order of time.
        before: the highest figure of the window when the loss was noticed.
        since: when that was; None: nothing is lost.
        began: when the loss began at the earliest.
        truth: of the records that are shown otherwise, what the registry says; None: gone.
    """

    healthy: int
    past: deque[tuple[float, int]] = Factory(deque)
    before: int = 0
    since: float | None = None
    began: float = 0.0
    truth: dict[RecordKey, ServiceRecord | None] = Factory(dict)

    def count(self, healthy: int, policy: GuardPolicy, now: float) -> bool:
        """Take a new figure; whether something is lost."""
        if healthy != self.healthy:
            while self.past and self.past[-1][1] <= self.healthy:
                self.past.pop()
            self.past.append((now, self.healthy))
            self.healthy = healthy
        while self.past and self.past[0][0] < now - policy.window:
            self.past.popleft()
        if self.since is None:
            self.before = max(healthy, self.past[0][1] if self.past else 0)
        is_lost = policy.is_loss(self.before, healthy)
        if not is_lost:
            self.since = None
        elif self.since is None:
            self.since = self.began = now
        return is_lost

    def real(self, held: Mapping[RecordKey, ServiceRecord]) -> dict[RecordKey, ServiceRecord]:
        """All that the registry says, from what is shown."""
        found = {**held}
        for key, record in self.truth.items():
            if record is None:
                found.pop(key, None)
            else:
                found[key] = record
        return found

    def shown(
        self, held: Mapping[RecordKey, ServiceRecord], key: RecordKey, record: ServiceRecord | None
    ) -> ServiceRecord | None:
        """What to show of a record of which the registry says this."""
        shown = _kept(held.get(key), record)
        if shown == record:
            self.truth.pop(key, None)
        else:
            self.truth[key] = record
        return shown

    def believe(self, held: Mapping[RecordKey, ServiceRecord]) -> Replace:
        """All that the registry says, to be shown from now on."""
        update = Replace(tuple(self.real(held).values()))
        self.truth.clear()
        self.since = None
        return update


class Guard:
    """A stage before the source table that withholds the loss of many endpoints.

    Endpoints count if they are healthy and have weight. A part has lost too much when they
    fall, within the window, below a share of their highest number and by a least number;
    it has recovered when that is no longer so.

    Args:
        policy: of each source; None: it is not guarded.
    """

    def __init__(self, policy: Callable[[SourceId], GuardPolicy | None]) -> None:
        self._policy = policy
        self._parts: dict[PartId, _Watched] = {}

    def __call__(
        self, part: PartId, held: Mapping[RecordKey, ServiceRecord], update: Update, now: float
    ) -> Update:
        """The update to apply. The cost of a single record is that of the record alone."""
        policy = self._policy(part.source)
        if policy is None:
            return update
        if part not in self._parts:
            self._parts[part] = _Watched(sum(map(_healthy, held.values())))
        watched = self._parts[part]
        was_lost = watched.since is not None
        if isinstance(update, Replace):
            target = listed(watched.real(held) if was_lost else held, update)
            if not watched.count(sum(map(_healthy, target.values())), policy, now):
                watched.truth.clear()
                # The keys that it calls faulty keep what the registry said, not what was shown.
                return Replace(tuple(target.values())) if was_lost else update
            keys = dict.fromkeys((*held, *target))
            shown = (watched.shown(held, key, target.get(key)) for key in keys)
            return Replace(tuple(record for record in shown if record is not None))
        key, record = (
            (update.record.key, update.record) if isinstance(update, Upsert) else (update.key, None)
        )
        old = watched.truth[key] if key in watched.truth else held.get(key)
        is_lost = watched.count(watched.healthy - _healthy(old) + _healthy(record), policy, now)
        if not (is_lost or was_lost):
            return update
        if is_lost:
            kept = watched.shown(held, key, record)
            return Remove(key) if kept is None else Upsert(kept)
        watched.truth[key] = record
        return watched.believe(held)

    def loss(self, part: PartId, held: Mapping[RecordKey, ServiceRecord]) -> Loss | None:
        """What a part has lost, of which this is shown; None: nothing."""
        watched = self._parts.get(part)
        if watched is None or watched.since is None:
            return None
        return Loss(
            part=part,
            before=watched.before,
            after=watched.healthy,
            withheld=sum(
                _withheld(held[key], record) for key, record in watched.truth.items() if key in held
            ),
            since=watched.since,
            began=watched.began,
            until=self.deadline(part),
        )

    def backdate(self, part: PartId, began: float) -> None:
        """The loss of this part may have begun before it was noticed."""
        watched = self._parts[part]
        watched.began = min(watched.began, began)

    def is_lost(self, part: PartId) -> bool:
        """Whether a loss of this part is withheld."""
        return part in self._parts and self._parts[part].since is not None

    def times(self, part: PartId) -> tuple[float, float] | None:
        """When the loss of this part was noticed, and when it began at the earliest."""
        watched = self._parts.get(part)
        return None if watched is None or watched.since is None else (watched.since, watched.began)

    def deadline(self, part: PartId) -> float | None:
        """When the loss of this part is to be believed; None: never, or nothing is lost."""
        watched, policy = self._parts.get(part), self._policy(part.source)
        if watched is None or watched.since is None or policy is None:
            return None
        return None if policy.confirm_after is None else watched.since + policy.confirm_after

    def release(self, part: PartId, held: Mapping[RecordKey, ServiceRecord]) -> Replace | None:
        """Believe the loss of a part; all that its registry says, or None if nothing is lost.

        The part is counted anew from there.
        """
        watched = self._parts.get(part)
        if watched is None or watched.since is None:
            return None
        watched.past.clear()
        return watched.believe(held)

    def forget(self, part: PartId) -> None:
        """The part is gone."""
        self._parts.pop(part, None)


def _is_healthy(endpoint: Endpoint) -> bool:
    return endpoint.health is Health.HEALTHY and endpoint.weight > 0


def _healthy(record: ServiceRecord | None) -> int:
    return 0 if record is None else sum(map(_is_healthy, record.endpoints))


def _instance(endpoint: Endpoint) -> tuple[str, str, int]:
    """What it is, whatever its registry calls the service's port now."""
    return endpoint.network, endpoint.address, endpoint.port


def _withheld(shown: ServiceRecord, said: ServiceRecord | None) -> int:
    endpoints = () if said is None else said.endpoints
    there = {_instance(one) for one in endpoints if _is_healthy(one)}
    return sum(_is_healthy(one) and _instance(one) not in there for one in shown.endpoints)


def _kept(shown: ServiceRecord | None, said: ServiceRecord | None) -> ServiceRecord | None:
    """What a registry says of a record, with the healthy endpoints that were shown of it.

    These stay at their port: at that of the same number, else of the same name; a port
    that is gone is kept with them.
    """
    if shown is None or said is None or shown == said:
        return said or shown
    if shown.service.key != said.service.key:
        return said  # the key names another service now, which never had those endpoints
    there: dict[tuple[str, str, int], list[Endpoint]] = {}
    for one in said.endpoints:
        there.setdefault(_instance(one), []).append(one)
    names = {port.name for port in said.service.ports}
    by_number = {port.number: port for port in said.service.ports}
    endpoints = {one.key: one for one in said.endpoints}
    for old in filter(_is_healthy, shown.endpoints):
        now = there.get(_instance(old), [])
        if any(map(_is_healthy, now)):
            continue
        for one in now:
            endpoints[one.key] = evolve(one, health=old.health, weight=one.weight or old.weight)
        port = shown.service.port(old.service_port)
        if now or port is None:
            continue
        if port.number not in by_number and port.name not in names:
            by_number[port.number] = port
            names.add(port.name)
        name = by_number[port.number].name if port.number in by_number else port.name
        kept = old if name == old.service_port else evolve(old, service_port=name)
        endpoints[kept.key] = kept
    service = said.service
    if len(by_number) > len(service.ports):
        service = evolve(service, ports=by_number.values())
    return evolve(said, service=service, endpoints=endpoints.values())
