"""What the core gives an adapter: names, time, randomness, threads that it owns."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, ParamSpec, TypeVar

from attrs import Factory, define, field

from meshregistry.aggregate._threads import start_thread
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
        name = getattr(call, "__qualname__", repr(call))
        work = partial(call, *args, **kwargs)
        result, ended = start_thread(work, f"meshregistry-{self.source_id}-{name}")
        self._threads[ended] = name
        ended.add_done_callback(self._threads.pop)
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
        # One that has ended is forgotten a turn of the loop later; until then it is not waited
        # for: a wait that is over at once would keep the loop from that turn.
        return {ended: name for ended, name in self._threads.items() if not ended.done()}
