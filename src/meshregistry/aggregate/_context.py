"""What the core gives an adapter: names, time, randomness, threads that it owns."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, ParamSpec, TypeVar

from attrs import Factory, define, field

from meshregistry.model import SourceId
from meshregistry.spi import Clock

P = ParamSpec("P")
T = TypeVar("T")


class SourceLogger(logging.LoggerAdapter[logging.Logger]):
    """Says which source a message is about: in its text, and as `source` of the record."""

    def __init__(self, logger: logging.Logger, source: SourceId) -> None:
        super().__init__(logger, {"source": source})
        self._source = source

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        kwargs["extra"] = {"source": self._source, **(kwargs.get("extra") or {})}
        return f"source {self._source}: {msg}", kwargs


@define(kw_only=True, eq=False)
class SourceContext:
    """The `RegistryContext` of one source; it outlives attempts.

    Attributes:
        source_id: the id of the source in the settings.
        logger: bound to the source.
        clock: the clock to use.
        random: the randomness to use.
        mesh_domain: the domain of the mesh.
        base_path: the folder of the settings file.
        user_agent: what to send as ``User-Agent``.
        client: what the source's `connect` gave; None if it has none.
        declare: is told, in whatever thread, the parts that must sync.
    """

    source_id: SourceId
    logger: SourceLogger
    clock: Clock
    random: Random
    mesh_domain: str
    base_path: Path
    user_agent: str
    declare: Callable[[tuple[str, ...]], None]
    client: Any = None
    _counts: Counter[str] = field(factory=Counter, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)
    _threads: dict[asyncio.Future[None], str] = field(default=Factory(dict), init=False)

    def in_thread(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
        """Run a blocking call in a daemon thread of this source; to be called on the loop.

        Cancelling the wait does not end the call: its result is then dropped.
        """
        loop = asyncio.get_running_loop()
        result: asyncio.Future[T] = loop.create_future()
        ended: asyncio.Future[None] = loop.create_future()
        name = getattr(call, "__qualname__", repr(call))
        inside = contextvars.copy_context()
        work = partial(inside.run, call, *args, **kwargs)
        thread = threading.Thread(
            target=_work,
            args=(loop, work, result, ended),
            name=f"meshregistry-{self.source_id}-{name}",
            daemon=True,
        )
        self._threads[ended] = name
        ended.add_done_callback(self._threads.pop)
        thread.start()
        return result

    def parts(self, names: Iterable[str]) -> None:
        """Declare the parts that must sync, in order of precedence."""
        self.declare(tuple(names))

    def count(self, name: str, by: int = 1) -> None:
        """Add to a counter; from any thread."""
        with self._lock:
            self._counts[name] += by

    @property
    def counts(self) -> Mapping[str, int]:
        """The counters as they are now."""
        with self._lock:
            return dict(self._counts)

    @property
    def running(self) -> Mapping[asyncio.Future[None], str]:
        """The calls that are in threads now: what ends with them, and their names."""
        return dict(self._threads)


def _work(
    loop: asyncio.AbstractEventLoop,
    work: Callable[[], T],
    result: asyncio.Future[T],
    ended: asyncio.Future[None],
) -> None:
    """The body of a thread: do the work and hand what came of it to the loop."""
    try:
        value = work()
    except BaseException as error:  # noqa: BLE001 - handed to whoever awaits it
        tell = partial(_raise, result, error)
    else:
        tell = partial(_return, result, value)
    try:
        loop.call_soon_threadsafe(tell)
        loop.call_soon_threadsafe(ended.set_result, None)
    except RuntimeError:
        # The loop has closed: nobody is left to be told.
        return


def _return(result: asyncio.Future[T], value: T) -> None:
    if not result.done():
        result.set_result(value)


def _raise(result: asyncio.Future[Any], error: BaseException) -> None:
    if result.done():
        return
    if isinstance(error, StopIteration | SystemExit | KeyboardInterrupt):
        # A future refuses the first and the loop would stop for the others.
        wrapped = RuntimeError(f"the call in a thread raised {error!r}")
        wrapped.__cause__ = error
        error = wrapped
    result.set_exception(error)
