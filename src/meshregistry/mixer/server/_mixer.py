"""Checks, quotas and reports in process: what every front of the server calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from attrs import define, evolve, field

from meshregistry.errors import MixerUnavailable
from meshregistry.mixer.expressions import TrackedAttributes
from meshregistry.mixer.server._outcome import CheckOutcome, QuotaOutcome, ReportOutcome
from meshregistry.mixer.server._outcomes import SIZE, Kept, OutcomeCache
from meshregistry.mixer.server._shedding import Mode, Shedding, SheddingConfig
from meshregistry.mixer.services import ServiceSpecs
from meshregistry.mixer.spi import QuotaRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from meshregistry.mixer._attributes import AttributeBag
    from meshregistry.mixer.config import Snapshot
    from meshregistry.mixer.server._engine import Engine
    from meshregistry.mixer.server._outcomes import Question

_NO_SERVICES = ServiceSpecs()


class Overloaded(MixerUnavailable):
    """The server is late and turns calls away."""


@define
class Checked:
    """The answer to a check.

    Attributes:
        outcome: of policy, as it was decided.
        valid_duration: seconds for which that still holds.
        quotas: what is granted of each quota that was asked for; empty after a denial.
        is_cached: whether policy was decided from the cache.
    """

    outcome: CheckOutcome
    valid_duration: float = field()
    quotas: Mapping[str, QuotaOutcome] = field(factory=dict)
    is_cached: bool = False

    @valid_duration.default
    def _valid_duration(self) -> float:
        return self.outcome.valid_duration


class Mixer:
    """Answers by the configuration in force.

    Args:
        engine: has the configuration.
        now: seconds on a clock that never goes back.
        cache_size: outcomes that are kept; 0: none.
        shedding: when calls are turned away.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        now: Callable[[], float],
        cache_size: int = SIZE,
        shedding: SheddingConfig | None = None,
    ) -> None:
        self._engine = engine
        self._now = now
        self._known: Snapshot | None = None
        self.cache = OutcomeCache(cache_size)
        self.shedding = Shedding(shedding or SheddingConfig())
        self._sheds = self.shedding.config.mode is not Mode.DISABLED

    @property
    def services(self) -> ServiceSpecs:
        """What the documents in force say of services, for fronts of those who cannot read them.

        Who goes by it and checks without waiting in between has both by one configuration.
        """
        snapshot = self._engine.snapshot
        return _NO_SERVICES if snapshot is None else snapshot.services

    async def check(
        self, bag: AttributeBag, quotas: Mapping[str, QuotaRequest] | None = None
    ) -> Checked:
        """Say whether a request may go on, and hand out what it asks for.

        Args:
            bag: the attributes of the request.
            quotas: what is wanted, by the names of quotas; each with an id of its own if
                the request has one.

        Raises:
            DispatchFailed: if a handler failed and no other denied.
            Overloaded: if the server is late.
        """
        began = self.admitted(1)
        try:
            kept = self.kept(bag, began)
            if kept is not None and not (quotas and kept.outcome.status.is_ok):
                return Checked(kept.outcome, kept.expiry - began, is_cached=True)
            return await self.decided(bag, quotas or {}, kept)
        finally:
            # A handler that is too late makes the call fail, and the server late.
            self.finished(began)

    # --- What a check is made of: for a front that answers before it has read everything ----

    def admitted(self, cost: int) -> float:
        """The time at which a call of so many entries begins; `finished` ends it.

        Raises:
            Overloaded: if the server is late.
        """
        now = self._now()
        if self._sheds and not self.shedding.admits(cost, now):
            raise Overloaded("the server is overloaded; try again later, or add a server")
        return now

    def finished(self, began: float) -> None:
        """A call is over, however it ended."""
        if self._sheds:
            now = self._now()
            self.shedding.finished(now - began, now)

    def kept(self, question: Question, now: float) -> Kept | None:
        """What was decided before of such a request."""
        if self._engine.snapshot is not self._known:
            self._renew_cache()
        return self.cache.get(question, now)

    async def decided(
        self, bag: AttributeBag, quotas: Mapping[str, QuotaRequest], kept: Kept | None
    ) -> Checked:
        """Ask the handlers: of policy, unless that is kept, and then of quotas.

        Raises:
            DispatchFailed: if a handler failed and no other denied.
        """
        async with self._engine.request() as dispatcher:
            cache = self.cache
            attributes = await dispatcher.prepared(TrackedAttributes(bag.entries))
            before = attributes.references if quotas else ()
            if kept is None:
                outcome = await dispatcher.check(attributes)
                left = outcome.valid_duration
                if cache is self.cache and self._engine.snapshot is self._known:
                    cache.put(outcome, bag, self._now())
            else:
                outcome, left = kept.outcome, kept.expiry - self._now()
            granted: dict[str, QuotaOutcome] = {}
            if outcome.status.is_ok:
                for name, request in quotas.items():
                    attributes.restore(before)
                    granted[name] = await dispatcher.quota(attributes, name, request)
        return Checked(outcome, left, granted, is_cached=kept is not None)

    async def quota(self, bag: AttributeBag, name: str, request: QuotaRequest) -> QuotaOutcome:
        """Hand out a share of a quota without asking policy.

        Args:
            bag: the attributes that its dimensions are made of.
            name: the short name of its instance.
            request: how much.

        Raises:
            DispatchFailed: if a generator of attributes failed.
            Overloaded: if the server is late.
        """
        began = self.admitted(1)
        try:
            async with self._engine.request() as dispatcher:
                attributes = await dispatcher.prepared(TrackedAttributes(bag.entries))
                return await dispatcher.quota(attributes, name, request)
        finally:
            self.finished(began)

    async def report(self, bags: Sequence[AttributeBag]) -> ReportOutcome:
        """Tell handlers what happened; who took it, and what failed.

        Raises:
            Overloaded: if the server is late; nothing is told.
        """
        if not bags:
            return ReportOutcome()
        began = self.admitted(len(bags))
        try:
            async with self._engine.request() as dispatcher:
                return await dispatcher.report(bags)
        finally:
            self.finished(began)

    def _renew_cache(self) -> None:
        """Another configuration is in force: begin with an empty cache, which is another object."""
        self._known = self._engine.snapshot
        former, self.cache = self.cache, OutcomeCache(self.cache.size)
        self.cache.take_counts(former)


def of_call(amount: int, name: str, deduplication_id: str, *, is_best_effort: bool) -> QuotaRequest:
    """A quota request of a call: its id is that of the call with the name of the quota."""
    request = QuotaRequest(amount=amount, is_best_effort=is_best_effort)
    return evolve(request, deduplication_id=f"{deduplication_id}{name}" if deduplication_id else "")
