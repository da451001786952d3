"""Handlers that run: opened when a configuration needs them, closed after their last call."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from attrs import define, field

from meshregistry.errors import MixerError
from meshregistry.mixer.config import HandlerPlan
from meshregistry.mixer.spi import Handler, InstanceTypes

if TYPE_CHECKING:
    from collections.abc import Awaitable, MutableMapping

    from meshregistry.mixer.config import Snapshot

P = ParamSpec("P")
T = TypeVar("T")

STARTING, CLOSING = 10.0, 10.0
"""Seconds that a handler may take to start, and to close."""

_log = logging.getLogger("meshregistry.mixer")


class HandlerFailed(MixerError):
    """A handler could not be asked, or failed to answer."""


class HandlerLogger(logging.LoggerAdapter[logging.Logger]):
    """Names the handler in each message."""

    def __init__(self, name: str) -> None:
        super().__init__(_log, {"handler": name})
        self._name = name

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """Put the name before the message."""
        return f"{self._name}: {msg}", kwargs


@define(kw_only=True, eq=False)
class Surroundings:
    """What all handlers of a server share.

    Attributes:
        random: for jitter.
        base_path: the folder that relative paths start from.
        services: what the program that runs the server offers, by name.
        now: seconds on a clock that never goes back; default: that of the running loop.
        wall_time: the time of day in UTC.
    """

    random: Random
    base_path: Path
    services: Mapping[str, object] = field(factory=dict)
    now: Callable[[], float] = field(default=lambda: asyncio.get_running_loop().time())
    wall_time: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    shared: dict[str, Any] = field(factory=dict, init=False)
    """What handlers have made for each other, by name."""


@define(kw_only=True, eq=False)
class Context:
    """What one handler is given; see `meshregistry.mixer.spi.HandlerContext`."""

    name: str
    instances: Mapping[str, InstanceTypes]
    _around: Surroundings = field(alias="around")
    counts: Counter[str] = field(factory=Counter, init=False)
    logger: HandlerLogger = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.logger = HandlerLogger(self.name)

    @property
    def random(self) -> Random:
        return self._around.random

    @property
    def base_path(self) -> Path:
        return self._around.base_path

    def now(self) -> float:
        return self._around.now()

    def wall_time(self) -> datetime:
        return self._around.wall_time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def in_thread(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
        return asyncio.to_thread(call, *args, **kwargs)

    def count(self, name: str, by: int = 1) -> None:
        self.counts[name] += by

    def service(self, name: str) -> Any:
        return self._around.services.get(name)

    def shared(self, name: str, make: Callable[[], T]) -> T:
        if name not in self._around.shared:
            self._around.shared[name] = make()
        made: T = self._around.shared[name]
        return made


@define(kw_only=True, eq=False)
class Running:
    """One handler, and how many configurations use it.

    Attributes:
        plan: what it does.
        context: what it was given.
        handler: itself; None if it could not be opened.
        fault: why it could not.
        users: configurations that are not over.
    """

    plan: HandlerPlan
    context: Context
    handler: Handler | None = None
    fault: str = ""
    users: int = 0

    def method(self, name: str) -> Callable[..., Awaitable[Any]]:
        """One of its methods.

        Raises:
            HandlerFailed: if it could not be opened, or has no such method.
        """
        if self.handler is None:
            raise HandlerFailed(f"it could not be opened: {self.fault}")
        found = getattr(self.handler, name, None)
        if found is None:
            adapter = self.plan.adapter.name
            raise HandlerFailed(f"the adapter {adapter} has no {name}; report it to its author")
        method: Callable[..., Awaitable[Any]] = found
        return method


class Fleet:
    """The handlers of all configurations that are not over.

    Args:
        around: what handlers share.
        starting: seconds that one may take to start: a slow one keeps the others waiting.
        closing: seconds that one may take to close.
    """

    def __init__(
        self, around: Surroundings, *, starting: float = STARTING, closing: float = CLOSING
    ) -> None:
        self._around = around
        self._starting = starting
        self._closing = closing
        self._running: list[Running] = []

    @property
    def running(self) -> tuple[Running, ...]:
        """All of them, the oldest first."""
        return tuple(self._running)

    async def prepare(self, snapshot: Snapshot) -> dict[int, Running]:
        """The handlers of a configuration, by the identity of their plans.

        One whose plan is equal to one that runs is that one; the others are opened. One
        that cannot be opened is there with its fault: its checks fail and the others go on.
        """
        found: dict[int, Running] = {}
        try:
            for plan in snapshot.handlers:
                running = next((one for one in self._running if _is_same(one, plan)), None)
                if running is None:
                    running = await self._open(plan)
                    self._running.append(running)
                running.users += 1
                found[id(plan)] = running
        except BaseException:
            # Nobody else knows of those that are open by now.
            await self.release(found)
            raise
        return found

    async def release(self, used: Mapping[int, Running]) -> None:
        """A configuration is over; handlers that no other uses are closed."""
        for running in used.values():
            running.users -= 1
            if running.users == 0:
                self._running.remove(running)
                await self._close(running)

    async def _open(self, plan: HandlerPlan) -> Running:
        context = Context(name=plan.title, instances=plan.instances, around=self._around)
        running = Running(plan=plan, context=context)
        deadline = asyncio.timeout(self._starting)
        try:
            handler = plan.adapter.open(plan.config, context)
            async with deadline:
                await handler.start()
            running.handler = handler
        except Exception as error:
            running.fault = f"{type(error).__name__}: {error}"
            if deadline.expired():
                running.fault = f"it had not started within {self._starting:g} s"
            context.logger.exception("could not be opened")
        return running

    async def _close(self, running: Running) -> None:
        if running.handler is None:
            return
        try:
            async with asyncio.timeout(self._closing):
                await running.handler.close()
        except Exception:
            running.context.logger.exception("could not be closed")


def _is_same(running: Running, plan: HandlerPlan) -> bool:
    return not running.fault and running.plan == plan
