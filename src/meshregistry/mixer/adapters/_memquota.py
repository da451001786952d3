"""``memquota``: quotas in the memory of one server; for trials and single servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from meshregistry.documents import Seconds
from meshregistry.mixer.adapters._dimensions import Key, faults_of, key_of, override_for
from meshregistry.mixer.adapters._windows import Cells, Granted, Remembered
from meshregistry.mixer.spi import QUOTA, Handler, MixerAdapter, QuotaAnswer, QuotaLimit

_DIGITS = 6
"""Of a duration: microseconds."""

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meshregistry.mixer.spi import HandlerContext, InstanceTypes, Quota, QuotaRequest


@frozen(kw_only=True)
class MemquotaOverride:
    """Another limit for some dimensions.

    Attributes:
        dimensions: what they must be, as texts; an instance may have more of them.
        max_amount: the limit.
        valid_duration: of its window; 0: what is taken stays taken until it is given back.
    """

    dimensions: dict[str, str]
    max_amount: int
    valid_duration: Seconds = Seconds(0.0)


@frozen(kw_only=True)
class MemquotaLimit:
    """The limit of one quota; each set of dimensions has it for itself.

    Attributes:
        name: of the instance, ``name.instance.namespace``.
        max_amount: how much may be taken within a window.
        valid_duration: of the window, which rolls; 0: what is taken stays taken until it is
            given back.
        overrides: limits that go before it; the first counts whose dimensions all fit.
    """

    name: str
    max_amount: int
    valid_duration: Seconds = Seconds(0.0)
    overrides: list[MemquotaOverride] = field(factory=list)


@frozen(kw_only=True)
class MemquotaConfig:
    """Parameters of ``memquota``.

    Attributes:
        quotas: the limits; every instance that is sent here needs one.
        min_deduplication_duration: how long an answer is remembered for repetitions of its
            request, at least.
        max_cells: sets of dimensions with windows of one length that are counted at the same
            time; to more, nothing is granted.
    """

    quotas: list[MemquotaLimit] = field(factory=list)
    min_deduplication_duration: Seconds = Seconds(1.0)
    max_cells: int = 1_000_000


def _faults(config: MemquotaConfig, instances: Mapping[str, InstanceTypes]) -> Iterable[str]:
    if config.min_deduplication_duration <= 0:
        yield "min_deduplication_duration: must be more than 0"
    if config.max_cells < 1:
        yield "max_cells: must be at least 1"
    for limit in config.quotas:
        if min(limit.max_amount, *(one.max_amount for one in limit.overrides), 0) < 0:
            yield f"quotas: the maxAmount of {limit.name} must not be negative"
    yield from faults_of(config.quotas, instances)


class MemquotaHandler(Handler):
    """Counts what is taken."""

    def __init__(self, config: MemquotaConfig, context: HandlerContext) -> None:
        self._context = context
        self._limits = {one.name: one for one in config.quotas}
        self._largest = config.max_cells
        self._by_duration: dict[float, Cells[Key]] = {}
        self._remembered: Remembered[tuple[Key, str]] = Remembered(
            config.min_deduplication_duration
        )

    async def quota(self, instance: Quota, request: QuotaRequest) -> QuotaAnswer:
        if not request.amount:
            return QuotaAnswer()
        limit = self._limits[instance.name]
        rule = override_for(instance, limit.overrides) or limit
        key, now = key_of(instance), self._context.now()
        cells = self._cells(rule.valid_duration)

        def grant() -> Granted:
            amount = self._granted(cells, key, rule, request, now)
            return Granted(amount, now + rule.valid_duration)

        if not request.deduplication_id:
            granted = grant()
        else:
            granted = self._remembered.once((key, request.deduplication_id), now, grant)
        return QuotaAnswer(
            amount=granted.amount,
            # Rounded, since what was added to a large number is not got back by subtracting it.
            valid_duration=max(round(granted.until - now, _DIGITS), 0.0),
            limit=QuotaLimit(
                amount=rule.max_amount,
                window=rule.valid_duration,
                remaining=max(rule.max_amount - cells.taken(key, now), 0),
            ),
        )

    def _cells(self, duration: float) -> Cells[Key]:
        cells = self._by_duration.get(duration)
        if cells is None:
            cells = self._by_duration[duration] = Cells(duration, largest=self._largest)
        return cells

    def _granted(
        self,
        cells: Cells[Key],
        key: Key,
        rule: MemquotaLimit | MemquotaOverride,
        request: QuotaRequest,
        now: float,
    ) -> int:
        if request.amount < 0:
            return -cells.give_back(key, -request.amount, now)
        granted = cells.take(
            key, request.amount, rule.max_amount, now, is_best_effort=request.is_best_effort
        )
        if granted is None:
            self._context.count("refused_cells")
        elif granted < request.amount:
            self._context.count("exhausted")
        return granted or 0


MEMQUOTA: Final = MixerAdapter(
    name="memquota",
    config_class=MemquotaConfig,
    templates=(QUOTA,),
    open=MemquotaHandler,
    check=_faults,
    summary="quotas in the memory of one server",
)
