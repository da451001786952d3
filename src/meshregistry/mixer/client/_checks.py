"""The remote part of checks: calls, retries, and one call for equal questions."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from meshregistry.mixer._compress import Compressor
from meshregistry.mixer._status import Code
from meshregistry.mixer._words import BASE_WORD_COUNT
from meshregistry.mixer.client._check_cache import Answer, read_answer
from meshregistry.mixer.client._transport import CallFailed, retry_wait
from meshregistry.mixer.proto.mixer_v1_pb2 import CheckRequest

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping
    from random import Random

    from meshregistry.mixer._attributes import AttributeBag
    from meshregistry.mixer.client._check_cache import CheckCache
    from meshregistry.mixer.client._options import ClientOptions
    from meshregistry.mixer.client._statistics import Statistics
    from meshregistry.mixer.client._transport import Clock, MixerTransport
    from meshregistry.mixer.proto.mixer_v1_pb2 import CheckResponse

    # What waiters are told: an answer, a failure that is theirs, too, or None: ask yourself.
    Outcome = Answer | CallFailed | None


class Caller:
    """Sends check requests, each under an id of its own that stays when it is sent again.

    Args:
        transport: carries them.
        options: times and limits.
        statistics: where it counts.
        clock: time.
        random: for the waits before retries.
        client_id: what ids begin with.
    """

    def __init__(
        self,
        transport: MixerTransport,
        options: ClientOptions,
        statistics: Statistics,
        clock: Clock,
        random: Random,
        *,
        client_id: str,
    ) -> None:
        self._transport = transport
        self._options = options
        self._statistics = statistics
        self._clock = clock
        self._random = random
        self._client_id = client_id
        self._count = 0
        self._compressor = Compressor()
        self._is_closed = False
        self.in_flight = 0

    def close(self) -> None:
        """Try nothing again any more."""
        self._is_closed = True

    async def call(
        self,
        bag: AttributeBag,
        quotas: Mapping[str, CheckRequest.QuotaParams],
        deadline: float,
    ) -> CheckResponse:
        """Ask a server, and again after failures of the transport, as far as time allows.

        Raises:
            CallFailed: if no server answered, or too many calls are under way.
        """
        if self.in_flight >= self._options.checks_in_flight:
            self._statistics.total_check_overloads += 1
            raise CallFailed(Code.UNAVAILABLE, "too many checks are under way", is_sent=False)
        self._count += 1
        name = f"{self._client_id}{self._count}"
        self.in_flight += 1
        try:
            return await self._attempts(bag, quotas, deadline, name)
        except asyncio.CancelledError:
            self._statistics.total_remote_calls += 1
            self._statistics.total_remote_call_cancellations += 1
            raise
        finally:
            self.in_flight -= 1

    async def _attempts(
        self,
        bag: AttributeBag,
        quotas: Mapping[str, CheckRequest.QuotaParams],
        deadline: float,
        name: str,
    ) -> CheckResponse:
        request = self._request(bag, quotas, name)
        attempt = 0
        while True:
            try:
                response = await self._transport.check(
                    request, max(deadline - self._clock.now(), 0.0)
                )
            except CallFailed as error:
                self._statistics.count_call(error.kind)
                if error.is_of_the_dictionary and request.global_word_count > BASE_WORD_COUNT:
                    # For good: a server that refused once would refuse each time.
                    self._compressor = Compressor(BASE_WORD_COUNT)
                    request = self._request(bag, quotas, name)
                    continue
                wait = retry_wait(
                    attempt,
                    self._options.first_retry_wait,
                    self._options.longest_retry_wait,
                    self._random,
                )
                is_late = self._clock.now() + wait >= deadline
                is_enough = self._is_closed or attempt >= self._options.retries or is_late
                if is_enough or not error.is_of_the_transport:
                    raise
                attempt += 1
                self._statistics.total_remote_call_retries += 1
                await self._clock.sleep(wait)
            else:
                self._statistics.count_call(None)
                return response

    def _request(
        self, bag: AttributeBag, quotas: Mapping[str, CheckRequest.QuotaParams], name: str
    ) -> CheckRequest:
        return CheckRequest(
            attributes=self._compressor.attributes(bag),
            global_word_count=self._compressor.word_count,
            deduplication_id=name,
            quotas=quotas,
        )


class Questions:
    """Checks without quota that the cache could not answer; equal ones share a call.

    Args:
        caller: sends requests.
        cache: keeps answers.
        statistics: where it counts.
        clock: time.
    """

    def __init__(
        self, caller: Caller, cache: CheckCache, statistics: Statistics, clock: Clock
    ) -> None:
        self._caller = caller
        self._cache = cache
        self._statistics = statistics
        self._clock = clock
        self._open: dict[Hashable, asyncio.Future[Outcome]] = {}

    async def ask(self, bag: AttributeBag, deadline: float) -> tuple[Answer, bool]:
        """The answer for a bag, and whether it is another's that we share.

        Raises:
            CallFailed: if no server answered.
        """
        entries = bag.entries
        while (waiting := self._open.get(self._cache.question(entries))) is not None:
            outcome = await self._joined(waiting, deadline)
            if isinstance(outcome, CallFailed):
                self._statistics.total_check_cache_misses += 1
                self._statistics.total_check_shared_failures += 1
                raise outcome
            if outcome is not None:
                if self._cache.take(outcome, entries, self._clock.now()):
                    return outcome, True
                # It was not for us. Who waited once for nothing waits no more.
                break
            # Whoever asked gave up; another one who waited may have been quicker than we.
            found = self._cache.get(entries, self._clock.now())
            if found is not None:
                return found, True
        self._statistics.total_check_cache_misses += 1
        return await self._lead(bag, deadline), False

    async def _joined(self, waiting: asyncio.Future[Outcome], deadline: float) -> Outcome:
        """What came of another's call."""
        seconds = deadline - self._clock.now()
        done, _ = await asyncio.wait((waiting,), timeout=max(seconds, 0.0))
        if not done:
            return CallFailed(Code.DEADLINE_EXCEEDED, "no answer in time to an equal question")
        return waiting.result()

    async def _lead(self, bag: AttributeBag, deadline: float) -> Answer:
        """Call for ourselves and for those who join."""
        question = self._cache.question(bag.entries)
        outcome: Outcome = None
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        is_open = self._open.setdefault(question, future) is future
        try:
            answer = outcome = await self.call(bag, deadline)
        except CallFailed as error:
            # A waiter with more time may still get an answer.
            if error.code != Code.DEADLINE_EXCEEDED:
                outcome = error
            raise
        else:
            return answer
        finally:
            if is_open:
                del self._open[question]
            future.set_result(outcome)

    async def call(self, bag: AttributeBag, deadline: float) -> Answer:
        """Ask without looking for an equal question, and keep the answer.

        Raises:
            CallFailed: if no server answered.
        """
        self._statistics.total_remote_check_calls += 1
        response = await self._caller.call(bag, {}, deadline)
        return self.learn(bag, response)

    def learn(self, bag: AttributeBag, response: CheckResponse) -> Answer:
        """Read the policy part of a response, count it, and keep it for others."""
        now = self._clock.now()
        answer = read_answer(response, bag, now)
        if answer.result.is_allowed:
            self._statistics.total_remote_check_accepts += 1
        else:
            self._statistics.total_remote_check_denies += 1
        self._cache.put(answer, bag.entries, now)
        return answer
