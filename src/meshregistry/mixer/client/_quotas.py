"""The quota part of checks: decided locally where it can be, else with the check's call."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from meshregistry.mixer._status import OK, Code, Status
from meshregistry.mixer.client._quota_cache import granted_amount, is_unreachable
from meshregistry.mixer.client._transport import CallFailed
from meshregistry.mixer.proto.mixer_v1_pb2 import CheckRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meshregistry.mixer._attributes import AttributeBag
    from meshregistry.mixer.client._checks import Caller
    from meshregistry.mixer.client._quota_cache import QuotaCache, QuotaOrder
    from meshregistry.mixer.client._statistics import Statistics
    from meshregistry.mixer.client._transport import Clock
    from meshregistry.mixer.proto.mixer_v1_pb2 import CheckResponse

_LOG = logging.getLogger("meshregistry.mixer")


def exhausted(names: Iterable[str]) -> Status:
    """The status of quotas together: OK if none of these was refused."""
    listed = ",".join(sorted(names))
    if not listed:
        return OK
    return Status(Code.RESOURCE_EXHAUSTED, f"Quota is exhausted for: {listed}")


class Quotas:
    """Decides on quotas, and keeps the calls that fill the pools in the background.

    Args:
        caller: sends requests.
        cache: grants locally.
        statistics: where it counts.
        clock: time.
        timeout: until when a call in the background has its answer.
    """

    def __init__(
        self,
        caller: Caller,
        cache: QuotaCache,
        statistics: Statistics,
        clock: Clock,
        timeout: float,
    ) -> None:
        self._caller = caller
        self._cache = cache
        self._statistics = statistics
        self._clock = clock
        self._timeout = timeout
        self._background: set[asyncio.Task[None]] = set()

    def decide(
        self, bag: AttributeBag, amounts: Mapping[str, int], *, is_open: bool
    ) -> tuple[Status, dict[str, int]]:
        """Grant or refuse amounts from the pools, and order more where they run low.

        What one quota granted is not given back if another one refuses.

        Args:
            bag: the request.
            amounts: by the names of quotas.
            is_open: whether an order that gets no answer counts as granted.
        """
        now = self._clock.now()
        granted: dict[str, int] = {}
        orders: list[QuotaOrder] = []
        for name, amount in amounts.items():
            allowed, order = self._cache.ask(name, amount, bag.entries, now)
            granted[name] = amount if allowed else 0
            if order is not None:
                orders.append(order)
        status = exhausted(name for name, amount in amounts.items() if granted[name] < amount)
        if status.is_ok:
            self._statistics.total_quota_cache_hit_accepts += 1
        else:
            self._statistics.total_quota_cache_hit_denies += 1
        if orders:
            task = asyncio.get_running_loop().create_task(self._fetch(bag, orders, is_open))
            self._background.add(task)
            task.add_done_callback(self._background.discard)
        return status, granted

    def read(
        self, response: CheckResponse, amounts: Mapping[str, int], *, is_open: bool
    ) -> tuple[Status, dict[str, int]]:
        """What a response grants of amounts that were asked for in its request.

        Args:
            response: the server's answer.
            amounts: by the names of quotas.
            is_open: whether a quota that the server could not reach counts as granted.
        """
        granted = {
            name: granted_amount(response, name, amount, is_open=is_open)
            for name, amount in amounts.items()
        }
        status = exhausted(name for name, amount in granted.items() if amount <= 0)
        if status.is_ok:
            self._statistics.total_remote_quota_accepts += 1
        else:
            self._statistics.total_remote_quota_denies += 1
        return status, granted

    async def close(self) -> None:
        """End the calls in the background."""
        tasks = tuple(self._background)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _fetch(self, bag: AttributeBag, orders: list[QuotaOrder], is_open: bool) -> None:
        self._statistics.total_remote_quota_prefetch_calls += 1
        parameters = {
            each.name: CheckRequest.QuotaParams(amount=each.order.amount, best_effort=True)
            for each in orders
        }
        try:
            response = await self._caller.call(bag, parameters, self._clock.now() + self._timeout)
        except CallFailed as error:
            _LOG.debug("no quota in advance: %s", error)
            for each in orders:
                self._cache.failed(each, is_open=is_open, now=self._clock.now())
            return
        for each in orders:
            if is_unreachable(response, each.name):
                self._cache.failed(each, is_open=is_open, now=self._clock.now())
            else:
                self._cache.answered(each, response, bag, self._clock.now())
