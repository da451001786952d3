"""Health of machines by probes: what is asked, when, and what follows from the answers. Pure.

The meaning of the numbers is that of Kubernetes' readiness probes, which Istio's
WorkloadGroup took over: a workload counts as unhealthy until it has been found healthy.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from random import Random
from typing import TYPE_CHECKING

from attrs import Factory, define, field, frozen

from meshregistry.model import Health

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

FIRST_LOOK = 1.0
"""Seconds over which the first probes of what is there at the start are spread."""


@frozen
class HttpGet:
    """Healthy is a status from 200 to 399; a redirection is not followed.

    Attributes:
        host: where to ask; empty for the workload's own address.
        headers: in order; one named ``Host`` replaces the usual one.
    """

    port: int
    path: str = "/"
    host: str = ""
    scheme: str = "http"
    headers: tuple[tuple[str, str], ...] = ()


@frozen
class TcpConnect:
    """Healthy is whoever accepts a connection."""

    port: int
    host: str = ""


@frozen
class GrpcCheck:
    """Healthy is who answers SERVING (gRPC's health checking protocol, v1)."""

    port: int
    service: str = ""


@frozen(kw_only=True)
class Probe:
    """What is asked, and how often; seconds and numbers of answers in a row.

    Attributes:
        check: what is asked.
        initial_delay: before the first probe of a workload that appears while the source
            is followed; one that was there before is looked at without delay.
        period: between the beginnings of two probes.
        timeout: no answer in this time is a failure.
        successes: in a row, make an unhealthy workload healthy.
        failures: in a row, make a healthy one unhealthy.
    """

    check: HttpGet | TcpConnect | GrpcCheck
    initial_delay: float = 0.0
    period: float = 10.0
    timeout: float = 1.0
    successes: int = 1
    failures: int = 3


@frozen
class Target:
    """One workload that is probed: equal targets are probed once."""

    address: str
    probe: Probe


@frozen
class Answer:
    """How one probe ended."""

    is_success: bool
    reason: str = ""


@define
class _State:
    due: float
    health: Health
    in_a_row: int = 0
    is_asked: bool = False
    # One success is enough for whoever was there before us: see `Probing.follow`.
    needed: int = field(kw_only=True)


@define
class Probing:
    """The state of all targets: a machine over (now, answers).

    Args:
        random: spreads first probes, so that the workloads of a group are not asked at once.
        limit: how many probes may run at once.
    """

    _random: Random
    _limit: int = 32
    _states: dict[Target, _State] = Factory(dict)
    # When each is due, the earliest first, and who came first among equals. What was due at
    # another time, or belongs to one that is asked or gone, is passed over when it comes up.
    _queue: list[tuple[float, int, Target]] = Factory(list)
    _numbers: Iterator[int] = Factory(itertools.count)
    _asked: int = 0
    _silent: set[Target] = Factory(set)

    def follow(
        self,
        now: float,
        targets: Iterable[Target],
        *,
        is_start: bool = False,
        served: Collection[str] = (),
    ) -> None:
        """Probe exactly these from now on; what is known of those that stay is kept.

        Args:
            now: seconds on a clock that never goes back.
            targets: all of them.
            is_start: they were there before this process followed them, so their initial
                delay is over, and one success makes them healthy: a control plane that is
                started again must not take them out of service.
            served: addresses that were served until now. A new probe, or another one, does
                not take them out of service before it has failed.
        """
        wanted = dict.fromkeys(targets)
        before = {one.address: state.health for one, state in self._states.items()}
        for gone in self._states.keys() - wanted.keys():
            self._asked -= self._states.pop(gone).is_asked
        self._silent &= wanted.keys()
        for target in wanted:
            if target in self._states:
                continue
            probe, spread = target.probe, self._random.random()
            usual = Health.HEALTHY if target.address in served else Health.UNHEALTHY
            health = before.get(target.address, usual)
            if is_start or target.address in served:
                due = now + spread * min(probe.period, FIRST_LOOK)
            else:
                due = now + probe.initial_delay + spread * probe.period
            needed = 1 if is_start else probe.successes
            self._states[target] = _State(due, health, needed=needed)
            self._silent.add(target)
            self._enqueue(target, due)

    def due(self, now: float) -> list[Target]:
        """Whom to ask now, the longest overdue first; they count as being asked."""
        chosen: list[Target] = []
        while (at := self.next_due()) is not None and at <= now:
            target = heapq.heappop(self._queue)[2]
            state = self._states[target]
            state.is_asked = True
            self._asked += 1
            # From one beginning to the next, so that slow answers do not thin out the probes.
            state.due = max(state.due + target.probe.period, now)
            chosen.append(target)
        return chosen

    def next_due(self) -> float | None:
        """When `due` may have something; None if nobody is to be asked.

        While the limit is reached, an answer comes first.
        """
        if self._asked >= self._limit:
            return None
        while self._queue:
            due, _, target = self._queue[0]
            state = self._states.get(target)
            if state is not None and not state.is_asked and state.due == due:
                return due
            heapq.heappop(self._queue)
        return None

    def answered(self, target: Target, answer: Answer) -> bool:
        """Take an answer; whether the health has changed, or is known for the first time."""
        state = self._states.get(target)
        if state is None or not state.is_asked:
            return False  # followed no more, or anew since
        state.is_asked = False
        self._asked -= 1
        self._enqueue(target, state.due)
        is_first = target in self._silent
        self._silent.discard(target)
        if not answer.is_success:
            state.needed = target.probe.successes
        if answer.is_success == (state.health is Health.HEALTHY):
            state.in_a_row = 0
            return is_first
        state.in_a_row += 1
        if state.in_a_row < (state.needed if answer.is_success else target.probe.failures):
            return is_first
        state.in_a_row = 0
        state.health = Health.HEALTHY if answer.is_success else Health.UNHEALTHY
        return True

    def health(self, target: Target) -> Health:
        """What is known of a target; unhealthy before its first success."""
        state = self._states.get(target)
        return Health.UNHEALTHY if state is None else state.health

    @property
    def is_settled(self) -> bool:
        """Whether every target has answered, or failed to, at least once."""
        return not self._silent

    def _enqueue(self, target: Target, due: float) -> None:
        heapq.heappush(self._queue, (due, next(self._numbers), target))
