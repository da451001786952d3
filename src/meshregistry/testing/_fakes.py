"""Stand-ins for what the core gives an adapter: time, sink, context."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import heapq
import itertools
import logging
import threading
from collections import Counter
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

from attrs import field, frozen

from meshregistry.errors import RecordError
from meshregistry.model import RecordKey, ServiceRecord, SourceId
from meshregistry.spi import Clock, RuleName

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from meshregistry.errors import RegistryError

P = ParamSpec("P")
T = TypeVar("T")

# How often the loop turns before a woken task counts as having come to rest.
_TURNS = 50


class ManualClock:
    """A clock that stands still until it is told to advance (`spi.Clock`).

    Args:
        start: what `now` says first.
    """

    def __init__(self, start: float = 0.0) -> None:
        self._now = start
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._watching: list[asyncio.Event] = []

    def now(self) -> float:
        """Seconds, as advanced."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been advanced that far; 0 only gives way."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        waking = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), waking))
        for watching in self._watching:
            watching.set()
        await waking

    @property
    def deadlines(self) -> tuple[float, ...]:
        """When those who sleep want to be woken, in order."""
        return tuple(sorted(when for when, _, waking in self._sleepers if not waking.done()))

    async def advance(self, seconds: float) -> None:
        """Move on, waking each sleeper at its own moment, in order of deadlines.

        After each moment the tasks get to run until they rest, so one who sleeps again
        for less than the rest of the span is woken again. Work in threads is not awaited:
        use `sleeping` or `RecordingSink.wait_for` to meet it.

        Raises:
            ValueError: if the span is negative.
        """
        if seconds < 0:
            msg = f"{seconds} is negative; a clock never goes back"
            raise ValueError(msg)
        end = self._now + seconds
        await _settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            self._now = self._sleepers[0][0]
            while self._sleepers and self._sleepers[0][0] <= self._now:
                _, _, waking = heapq.heappop(self._sleepers)
                if not waking.done():
                    waking.set_result(None)
            await _settle()
        self._now = end

    async def sleeping(self, number: int = 1, *, timeout: float = 5.0) -> None:
        """Wait until so many tasks sleep.

        Raises:
            TimeoutError: if they do not within `timeout` seconds of real time.
        """
        event = asyncio.Event()
        self._watching.append(event)
        try:
            async with asyncio.timeout(timeout):
                while len(self.deadlines) < number:
                    event.clear()
                    await event.wait()
        finally:
            self._watching.remove(event)


async def _settle() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)


@frozen
class SinkCall:
    """One call of a sink.

    Attributes:
        method: its name.
        value: records of a `replace` as a tuple, a record, a key or an error; else None.
        part: the part's name; empty for the source itself.
        faulty: of a `replace`.
    """

    method: Literal["replace", "upsert", "remove", "confirm", "degrade"]
    value: Any = None
    part: str = ""
    faulty: tuple[RecordError, ...] = ()


class _Log:
    """The calls of a sink and its parts, in order, and who waits for more."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.calls: list[SinkCall] = []
        self.waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def add(self, call: SinkCall) -> None:
        with self.lock:
            self.calls.append(call)
            for loop, event in self.waiting:
                loop.call_soon_threadsafe(event.set)


class RecordingSink:
    """A sink that remembers (`spi.Sink`); its methods may be called from any thread."""

    def __init__(self) -> None:
        self._log = _Log()
        self._part = ""

    def replace(
        self, records: Iterable[ServiceRecord], *, faulty: Iterable[RecordError] = ()
    ) -> None:
        """Remember a complete listing; the iterable is consumed."""
        self._log.add(SinkCall("replace", tuple(records), self._part, tuple(faulty)))

    def upsert(self, record: ServiceRecord) -> None:
        """Remember a record."""
        self._log.add(SinkCall("upsert", record, self._part))

    def remove(self, key: RecordKey) -> None:
        """Remember a removal."""
        self._log.add(SinkCall("remove", key, self._part))

    def confirm(self) -> None:
        """Remember that nothing has changed."""
        self._log.add(SinkCall("confirm", None, self._part))

    def degrade(self, error: RegistryError) -> None:
        """Remember a fault."""
        self._log.add(SinkCall("degrade", error, self._part))

    def part(self, name: str) -> RecordingSink:
        """A sink for a part; its calls are remembered here too."""
        child = RecordingSink()
        child._log = self._log
        child._part = name
        return child

    @property
    def calls(self) -> tuple[SinkCall, ...]:
        """Every call so far, of all parts."""
        with self._log.lock:
            return tuple(self._log.calls)

    @property
    def methods(self) -> tuple[str, ...]:
        """The names of the methods called so far."""
        return tuple(call.method for call in self.calls)

    def records(self, part: str = "") -> dict[str, ServiceRecord]:
        """What the core would hold of a part by now, by record key.

        Before the first `replace` that is nothing; earlier changes are applied on top of
        it; keys named faulty keep what they had (`spi.Sink`).
        """
        calls = [call for call in self.calls if call.part == part]
        first = next((i for i, call in enumerate(calls) if call.method == "replace"), None)
        if first is None:
            return {}
        held = [call for call in calls[:first] if call.method in ("upsert", "remove")]
        records: dict[str, ServiceRecord] = {}
        for call in (calls[first], *held, *calls[first + 1 :]):
            if call.method == "replace":
                records = _replaced(records, call)
            elif call.method == "upsert":
                records[call.value.key] = call.value
            elif call.method == "remove":
                records.pop(call.value, None)
        return records

    async def wait_for(
        self,
        condition: Callable[[RecordingSink], bool],
        *,
        timeout: float = 5.0,
    ) -> None:
        """Wait until the condition holds for this sink; it is asked after every call.

        Raises:
            TimeoutError: if it does not within `timeout` seconds of real time.
        """
        event = asyncio.Event()
        waiter = (asyncio.get_running_loop(), event)
        with self._log.lock:
            self._log.waiting.append(waiter)
        try:
            async with asyncio.timeout(timeout):
                while not condition(self):
                    await event.wait()
                    event.clear()
        except TimeoutError:
            msg = f"the sink did not get there; its calls were {list(self.methods)}"
            raise TimeoutError(msg) from None
        finally:
            with self._log.lock:
                self._log.waiting.remove(waiter)


def _replaced(before: dict[str, ServiceRecord], call: SinkCall) -> dict[str, ServiceRecord]:
    kept = {fault.key for fault in call.faulty}
    if None in kept:
        kept = set(before)
    after = {key: record for key, record in before.items() if key in kept}
    after.update((record.key, record) for record in call.value)
    return after


@frozen(kw_only=True)
class FakeContext:
    """A `spi.RegistryContext` (and `spi.RuleContext`) for tests of adapters; see `context`.

    Attributes:
        counts: what the adapter has counted.
        declared: the parts that the adapter has declared, in order.
    """

    source_id: SourceId = field(factory=lambda: SourceId("test"))
    clock: Clock = field(factory=ManualClock)
    random: Random = field(factory=lambda: Random(0))  # noqa: S311 - jitter, the same in every run
    mesh_domain: str = "mesh.local"
    base_path: Path = field(factory=Path)
    user_agent: str = "meshregistry-test"
    client: Any = None
    registry_config: Any = None
    rule_names: tuple[RuleName, ...] = ()
    logger: logging.LoggerAdapter[logging.Logger] = field()
    counts: Counter[str] = field(factory=Counter)
    declared: list[str] = field(factory=list)

    @logger.default
    def _bound_logger(self) -> logging.LoggerAdapter[logging.Logger]:
        logger = logging.getLogger("meshregistry.testing")
        return logging.LoggerAdapter(logger, {"source": self.source_id})

    def in_thread(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
        """Run a blocking call in a daemon thread, as the core does."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def work() -> None:
            try:
                result = call(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - handed to the one who waits
                deliver = functools.partial(answer.set_exception, error)
            else:
                deliver = functools.partial(answer.set_result, result)
            _report(loop, answer, deliver)

        threading.Thread(target=work, name=f"{self.source_id}-thread", daemon=True).start()
        return answer

    def parts(self, names: Iterable[str]) -> None:
        """Remember the declared parts."""
        self.declared[:] = names

    def count(self, name: str, by: int = 1) -> None:
        """Count."""
        self.counts[name] += by


def _report(
    loop: asyncio.AbstractEventLoop, answer: asyncio.Future[Any], deliver: Callable[[], None]
) -> None:
    def on_loop() -> None:
        if not answer.done():
            deliver()

    # A loop that has been closed refuses; nobody waits there any more.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(on_loop)


def context(**overrides: Any) -> FakeContext:
    """A context for tests of adapters, with a manual clock and a fixed seed.

    Args:
        overrides: any attribute of `FakeContext`.

    Raises:
        TypeError: if there is no such attribute.
    """
    return FakeContext(**overrides)
