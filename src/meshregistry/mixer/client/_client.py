"""The client: check before a request, report after it."""

from __future__ import annotations

import asyncio
import contextlib
from random import Random
from typing import TYPE_CHECKING, Self
from uuid import uuid4

from meshregistry.errors import MixerError, MixerUnavailable
from meshregistry.mixer._attributes import AttributeBag
from meshregistry.mixer._status import OK, Status
from meshregistry.mixer.client._check_cache import CheckCache, SharedCheckCache
from meshregistry.mixer.client._checks import Caller, Questions
from meshregistry.mixer.client._forwarded import forwarded_header
from meshregistry.mixer.client._grpc import GrpcTransport
from meshregistry.mixer.client._options import ClientOptions
from meshregistry.mixer.client._prefetch import MOST
from meshregistry.mixer.client._quota_cache import QuotaCache
from meshregistry.mixer.client._quotas import Quotas
from meshregistry.mixer.client._reports import Reporter
from meshregistry.mixer.client._result import CheckResult, FailPolicy
from meshregistry.mixer.client._statistics import Statistics, metrics
from meshregistry.mixer.client._transport import CallFailed, SystemClock
from meshregistry.mixer.proto.mixer_v1_pb2 import CheckRequest
from meshregistry.mixer.vocabulary import STANDARD

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from meshregistry.mixer._manifest import Manifest
    from meshregistry.mixer.client._check_cache import Answer
    from meshregistry.mixer.client._tls import MixerTls
    from meshregistry.mixer.client._transport import Clock, MixerTransport
    from meshregistry.model import Metric


def _random_id() -> str:
    return f"{uuid4()}-"


class MixerClient:
    """Asks Mixer servers about requests, and tells them what happened.

    An asynchronous context manager; it belongs to the event loop that it was entered on.
    For threaded programs see `ThreadedMixerClient`.

    Args:
        servers: one address as gRPC takes it, ``host:port``, or several; the first one that
            answers is asked.
        tls: certificates; None: plain text.
        options: limits, times, and what happens without a server.
        manifest: what attributes there are, for those who give plain mappings; an
            `AttributeBag` is taken as it is.
        identity: attributes of this program, such as its ``source.uid``, told with every call.
        transport: carries calls instead of gRPC; `servers` is not used then.
        clock: time.
        random: for the waits before retries.
        new_id: gives the beginning of the ids of this client's requests.
        is_shared: whether other threads look into the check cache.

    Raises:
        ConfigError: if there is no server, what names one is no address, or a certificate cannot
            be read.
    """

    def __init__(
        self,
        servers: str | Sequence[str] = (),
        *,
        tls: MixerTls | None = None,
        options: ClientOptions | None = None,
        manifest: Manifest = STANDARD,
        identity: AttributeBag | None = None,
        transport: MixerTransport | None = None,
        clock: Clock | None = None,
        random: Random | None = None,
        new_id: Callable[[], str] = _random_id,
        is_shared: bool = False,
    ) -> None:
        self._options = options = options or ClientOptions()
        self._fail_policy = options.fail_policy
        self._manifest = manifest
        self._clock = clock = clock or SystemClock()
        self._now = clock.now
        self._random = random or Random()  # noqa: S311 - spreads retries, guards nothing
        self._transport = transport or GrpcTransport(
            (servers,) if isinstance(servers, str) else servers,
            tls=tls,
            metadata=() if identity is None else (forwarded_header(identity),),
            compress_reports=options.compress_reports,
            clock=clock,
        )
        self._statistics = Statistics()
        self._cache = (SharedCheckCache if is_shared else CheckCache)(options.check_cache_size)
        self._quota_cache = QuotaCache(options.quota_cache_size)
        self._caller = Caller(
            self._transport, options, self._statistics, clock, self._random, client_id=new_id()
        )
        self._questions = Questions(self._caller, self._cache, self._statistics, clock)
        self._quotas = Quotas(
            self._caller, self._quota_cache, self._statistics, clock, options.timeout
        )
        self._reporter: Reporter | None = None
        self._sender: asyncio.Task[None] | None = None
        self._is_open = False

    @property
    def manifest(self) -> Manifest:
        """What attributes there are, for those who give plain mappings."""
        return self._manifest

    async def __aenter__(self) -> Self:
        self._reporter = Reporter(
            self._transport, self._options, self._statistics, self._clock, self._random
        )
        self._sender = asyncio.create_task(self._reporter.run(), name="mixer reports")
        self._is_open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def check(
        self,
        attributes: AttributeBag | Mapping[str, object],
        *,
        quotas: Mapping[str, int] | None = None,
        fail_policy: FailPolicy | None = None,
        timeout: float | None = None,
    ) -> CheckResult:
        """Ask whether a request is allowed, and take amounts of quotas for it.

        Args:
            attributes: what is said of the request.
            quotas: amounts by the names of quotas.
            fail_policy: what happens if no server can be asked; None: as the options say.
            timeout: seconds until the result; None: as the options say.

        Raises:
            TypeError, ValueError: if an attribute is not as the manifest declares it, or an amount
                is no whole number, not positive, or beyond 64 bits.
            MixerUnavailable: if no server can be asked, and the policy is `RAISE`.
            MixerError: if the client is not open.
        """
        if not self._is_open:
            raise MixerError("the client is not open; use it within `async with`")
        bag = attributes if type(attributes) is AttributeBag else self._bag(attributes)
        policy = fail_policy or self._fail_policy
        answer = self._cache.get(bag.entries, self._now())
        if answer is not None and (not quotas or not answer.is_accept):
            return answer.open_result if policy is FailPolicy.OPEN else answer.result
        deadline = self._now() + (self._options.timeout if timeout is None else timeout)
        try:
            if not quotas:
                return await self._policy(bag, deadline, policy)
            return await self._policy_and_quotas(bag, quotas, answer, deadline, policy)
        except CallFailed as error:
            return self._failed(error, policy)

    def cached(
        self, attributes: AttributeBag, *, fail_policy: FailPolicy | None = None
    ) -> CheckResult | None:
        """What the check cache says of a request; None: a server has to be asked.

        For checks without quota. Only this method may be called from other threads, and only
        of a client that was made with `is_shared`.
        """
        answer = self._cache.get(attributes.entries, self._now())
        if answer is None:
            return None
        policy = fail_policy or self._fail_policy
        return answer.open_result if policy is FailPolicy.OPEN else answer.result

    def report(self, attributes: AttributeBag | Mapping[str, object]) -> None:
        """Tell what happened. Never waits: what does not fit into the queue is dropped and counted.

        Raises:
            TypeError, ValueError: if an attribute is not as the manifest declares it.
        """
        bag = attributes if type(attributes) is AttributeBag else self._bag(attributes)
        if self._reporter is None or not self._is_open:
            self._statistics.total_report_calls += 1
            self._statistics.total_reports_dropped_closed += 1
            return
        self._reporter.add(bag)

    def count_dropped(self, count: int) -> None:
        """Note reports that were dropped on their way here, as by a queue before this one."""
        self._statistics.total_report_calls += count
        self._statistics.total_reports_dropped_full += count

    async def flush(self) -> None:
        """Wait until every report so far is sent or given up."""
        if self._reporter is not None:
            await self._reporter.flush()

    async def close(self) -> None:
        """Send what waits, for a while, and end all connections; may be called again."""
        reporter, sender = self._reporter, self._sender
        self._is_open = False
        self._sender = None
        if reporter is None or sender is None:
            return
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reporter.flush(), self._options.drain_timeout)
        finally:
            # Also if whoever waits for the reports is cancelled: nothing stays behind.
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
            reporter.drop()
            self._caller.close()
            await self._quotas.close()
            await self._transport.close()

    def statistics(self) -> Mapping[str, int]:
        """Counters by name; those of the original client library have its names."""
        return self._statistics.read(self._cache.accepts, self._cache.denies)

    def metrics(self) -> tuple[Metric, ...]:
        """The same, and the sizes of caches and queues, as metrics."""
        return metrics(
            self.statistics(),
            {
                "check_cache_entries": len(self._cache),
                "quota_cache_entries": len(self._quota_cache),
                "reports_waiting": len(self._reporter) if self._reporter is not None else 0,
                "calls_in_flight": self._caller.in_flight,
            },
        )

    def _bag(self, attributes: AttributeBag | Mapping[str, object]) -> AttributeBag:
        if isinstance(attributes, AttributeBag):
            return attributes
        return self._manifest.bag(attributes)

    async def _policy(self, bag: AttributeBag, deadline: float, policy: FailPolicy) -> CheckResult:
        answer, is_shared = await self._questions.ask(bag, deadline)
        result = answer.open_result if policy is FailPolicy.OPEN else answer.result
        return result if is_shared else result.replaced(is_cache_hit=False)

    async def _policy_and_quotas(
        self,
        bag: AttributeBag,
        amounts: Mapping[str, int],
        answer: Answer | None,
        deadline: float,
        policy: FailPolicy,
    ) -> CheckResult:
        for name, amount in amounts.items():
            if not isinstance(amount, int):
                raise TypeError(f"the amount of the quota {name!r} is no whole number: {amount!r}")
            if not 0 < amount <= MOST:
                what = "is not positive" if amount <= 0 else "does not fit into 64 bits"
                raise ValueError(f"the amount of the quota {name!r} {what}")
        is_hit = answer is not None
        is_open = policy is FailPolicy.OPEN
        # Without a hit, amounts would be taken for a request that may be denied.
        is_local = is_hit and self._quota_cache.covers(amounts, bag.entries, self._now())
        if answer is not None and is_local:
            status, granted = self._quotas.decide(bag, amounts, is_open=is_open)
        else:
            self._statistics.total_quota_cache_misses += 1
            self._statistics.total_remote_quota_calls += 1
            if answer is None:
                self._statistics.total_check_cache_misses += 1
                self._statistics.total_remote_check_calls += 1
            parameters = {
                name: CheckRequest.QuotaParams(amount=amount) for name, amount in amounts.items()
            }
            response = await self._caller.call(bag, parameters, deadline)
            if answer is None:
                answer = self._questions.learn(bag, response)
            status, granted = self._quotas.read(response, amounts, is_open=is_open)
        result = answer.open_result if is_open else answer.result
        return result.replaced(
            status=status if result.is_allowed else result.status,
            is_cache_hit=is_hit,
            is_quota_cache_hit=is_local,
            # A request that policy denies has nothing of them.
            granted=granted if result.is_allowed else dict.fromkeys(amounts, 0),
        )

    def _failed(self, error: CallFailed, policy: FailPolicy) -> CheckResult:
        if policy is FailPolicy.RAISE:
            name = str(Status(error.code)).removesuffix(":")
            what = (
                f"no server of Mixer answered: {error}; start one"
                if error.is_of_the_transport
                else f"a server of Mixer could not decide: {error}; mend what it tells of"
            )
            raise MixerUnavailable(f"{what}, or let checks fail open", status=name) from error
        status = OK if policy is FailPolicy.OPEN else Status(error.code, error.details)
        return CheckResult(status, failure=str(error))
