"""Handlers, what each is given, and what all share."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from attrs import define, field

from meshregistry.errors import MixerError
from meshregistry.mixer.config import HandlerPlan
from meshregistry.mixer.spi import Handler, InstanceTypes

if TYPE_CHECKING:
    from collections.abc import MutableMapping

P = ParamSpec("P")
T = TypeVar("T")

_log = logging.getLogger("meshregistry.mixer")

LEAKED = "CancelledError: something that it waited for was cancelled, and nobody asked for that"
"""What is wrong with a handler that lets such a cancellation out."""


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
        sleep: waits for some seconds.
    """

    random: Random
    base_path: Path
    services: Mapping[str, object] = field(factory=dict)
    now: Callable[[], float] = field(default=lambda: asyncio.get_running_loop().time())
    wall_time: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
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
        await self._around.sleep(seconds)

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
        handler: itself; None as long as it could not be opened.
        fault: why it could not.
        users: configurations that are not over.
        opening: held while it is being opened.
        retrying: tries again; None if it never failed.
    """

    plan: HandlerPlan
    context: Context
    handler: Handler | None = None
    fault: str = ""
    users: int = 0
    opening: asyncio.Lock = field(factory=asyncio.Lock, init=False)
    retrying: asyncio.Task[None] | None = field(default=None, init=False)

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
