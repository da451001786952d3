"""What operators have decided about the catalog, beside what the registries say.

Shifting traffic from one source to another, draining an endpoint, accepting that a source
has lost what it had: documents like the rules, so that every replica reads the same. They
change the catalog and not the routes, and so they are no part of a rule set.
"""

from __future__ import annotations

import enum
from functools import cached_property
from typing import TYPE_CHECKING

from attrs import field, frozen

from meshregistry.documents import Instant
from meshregistry.model import Endpoint, SourceId
from meshregistry.rules._hosts import host_rank, is_host_match
from meshregistry.rules._origin import Origin

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from meshregistry.rules._ruleset import Rule


@frozen(kw_only=True, cache_hash=True)
class SourceShift:
    """How the traffic to a service is shared out among the sources that know its endpoints.

    Attributes:
        hosts: whose; exact ones, wildcards such as ``*.shop``, or ``*`` for all.
        shares: of each named source, relative to each other; at least one is positive. A
            source with 0 gets nothing; one that is not named keeps what it has.
        created: seconds since the epoch; of two for a host the older counts.
        origin: the document.
    """

    namespace: str = ""
    name: str
    hosts: tuple[str, ...] = ("*",)
    shares: tuple[tuple[SourceId, int], ...]
    created: float = 0.0
    origin: Origin = field(default=Origin(), eq=False)

    @property
    def sources(self) -> tuple[SourceId, ...]:
        """The sources that it names."""
        return tuple(source for source, _ in self.shares)

    @property
    def summary(self) -> str:
        """What it says, for people."""
        shares = ", ".join(f"{source} {share}" for source, share in self.shares)
        return f"{', '.join(self.hosts)}: {shares}"

    def __str__(self) -> str:
        return f"SourceShift {self.namespace}/{self.name}".replace(" /", " ")


class DrainPhase(enum.Enum):
    """How far an endpoint is drained.

    DRAINING is sent to proxies as such: established sessions go on, nothing new begins.
    REMOVED is not sent, as if no registry knew the endpoint.
    """

    DRAINING = "DRAINING"
    REMOVED = "REMOVED"

    def __str__(self) -> str:
        return self.value


@frozen(kw_only=True, cache_hash=True)
class Drain:
    """An endpoint that is taken out of use, whatever its registry says.

    Attributes:
        host: of the service; a wildcard or ``*`` takes the address out of many.
        address: canonical, as in `Endpoint`.
        port: where it listens; 0 for a Unix socket.
        network: of the address; None: any.
        source: only as long as this source names the endpoint; None: whoever does.
        phase: how far.
        reason: for people.
        created: seconds since the epoch.
        origin: the document.
    """

    namespace: str = ""
    name: str
    host: str
    address: str
    port: int
    network: str | None = None
    source: SourceId | None = None
    phase: DrainPhase = DrainPhase.DRAINING
    reason: str = ""
    created: float = 0.0
    origin: Origin = field(default=Origin(), eq=False)

    @property
    def sources(self) -> tuple[SourceId, ...]:
        """The sources that it names."""
        return () if self.source is None else (self.source,)

    @property
    def summary(self) -> str:
        """What it says, for people."""
        where = Endpoint(address=self.address, port=self.port)
        why = f" ({self.reason})" if self.reason else ""
        return f"{where} of {self.host}: {self.phase}{why}"

    def __str__(self) -> str:
        return f"Drain {self.namespace}/{self.name}".replace(" /", " ")


@frozen(kw_only=True, cache_hash=True)
class LossAcceptance:
    """What a source has lost is really gone: the mass-loss guard may let go of it.

    Attributes:
        source: that has lost something.
        part: of the source, such as a datacenter; None: any.
        lost_by: losses that began at or before this time are accepted, in seconds since
            the epoch; None: this says nothing.
        until: losses that begin before this time are accepted, likewise: for work that
            is planned.
        reason: for people.
        created: seconds since the epoch.
        origin: the document.
    """

    namespace: str = ""
    name: str
    source: SourceId
    part: str | None = None
    lost_by: float | None = None
    until: float | None = None
    reason: str = ""
    created: float = 0.0
    origin: Origin = field(default=Origin(), eq=False)

    def is_accepted(self, source: str, part: str, lost_at: float) -> bool:
        """Whether a loss of that part that began then (seconds since the epoch) is accepted."""
        if self.source != source or self.part not in {None, part}:
            return False
        return (self.lost_by is not None and lost_at <= self.lost_by) or (
            self.until is not None and lost_at < self.until
        )

    @property
    def sources(self) -> tuple[SourceId, ...]:
        """The sources that it names."""
        return (self.source,)

    @property
    def summary(self) -> str:
        """What it says, for people."""
        what = f"{self.source} {self.part}" if self.part else self.source
        by = f", lost by {Instant(self.lost_by)}" if self.lost_by is not None else ""
        until = f", lost before {Instant(self.until)}" if self.until is not None else ""
        why = f" ({self.reason})" if self.reason else ""
        return f"{what}{by}{until}{why}"

    def __str__(self) -> str:
        return f"LossAcceptance {self.namespace}/{self.name}".replace(" /", " ")


@frozen(kw_only=True)
class Decisions:
    """All decisions in force, each sort in order of precedence: older first, then by name.

    Attributes:
        shifts: of traffic between sources.
        drains: of endpoints.
        acceptances: of losses.
    """

    shifts: tuple[SourceShift, ...] = ()
    drains: tuple[Drain, ...] = ()
    acceptances: tuple[LossAcceptance, ...] = ()

    @classmethod
    def of(cls, rules: Iterable[Rule]) -> Decisions:
        """The decisions among rules, in order."""
        shifts: list[SourceShift] = []
        drains: list[Drain] = []
        acceptances: list[LossAcceptance] = []
        for rule in rules:
            match rule:
                case SourceShift():
                    shifts.append(rule)
                case Drain():
                    drains.append(rule)
                case LossAcceptance():
                    acceptances.append(rule)
                case _:
                    pass
        return cls(
            shifts=tuple(sorted(shifts, key=_age)),
            drains=tuple(sorted(drains, key=_age)),
            acceptances=tuple(sorted(acceptances, key=_age)),
        )

    def shift(self, host: str) -> SourceShift | None:
        """The one that counts for a host: exact before wildcard, longer before shorter, older."""
        exact = self._shifts_by_host.get(host)
        if exact is not None:
            return exact
        wild = (pattern for pattern in self._wild_shifts if is_host_match(pattern, host))
        best = min(wild, key=host_rank, default=None)
        return None if best is None else self._shifts_by_host[best]

    def drains_of(self, host: str) -> tuple[Drain, ...]:
        """Those of endpoints of a host: exact ones before wildcards, each in order."""
        exact = self._drains_by_host.get(host, ())
        return (*exact, *(one for one in self._wild_drains if is_host_match(one.host, host)))

    # Every service asks when it is merged, and most have no decision.

    @cached_property
    def _shifts_by_host(self) -> dict[str, SourceShift]:
        """By host pattern, the oldest."""
        found: dict[str, SourceShift] = {}
        for shift in self.shifts:
            for pattern in shift.hosts:
                found.setdefault(pattern, shift)
        return found

    @cached_property
    def _wild_shifts(self) -> tuple[str, ...]:
        return tuple(one for one in self._shifts_by_host if one.startswith("*"))

    @cached_property
    def _drains_by_host(self) -> dict[str, tuple[Drain, ...]]:
        found: dict[str, tuple[Drain, ...]] = {}
        for one in self.drains:
            if not one.host.startswith("*"):
                found[one.host] = (*found.get(one.host, ()), one)
        return found

    @cached_property
    def _wild_drains(self) -> tuple[Drain, ...]:
        return tuple(one for one in self.drains if one.host.startswith("*"))

    def accepts(self, source: str, part: str, lost_at: float) -> LossAcceptance | None:
        """What accepts that a part has lost something at that time (seconds since the epoch)."""
        return next(
            (one for one in self.acceptances if one.is_accepted(source, part, lost_at)), None
        )

    def __bool__(self) -> bool:
        return bool(self.shifts or self.drains or self.acceptances)

    def __iter__(self) -> Iterator[SourceShift | Drain | LossAcceptance]:
        yield from self.shifts
        yield from self.drains
        yield from self.acceptances


def _age(rule: SourceShift | Drain | LossAcceptance) -> tuple[float, str, str]:
    return rule.created, rule.namespace, rule.name
