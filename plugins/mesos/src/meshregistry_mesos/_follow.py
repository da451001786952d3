"""The registry of the kind ``marathon``: events tell what to read again."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from attrs import define, field

from meshregistry.errors import RecordError, RegistryAuthError, RegistryUnavailable
from meshregistry.model import RecordKey
from meshregistry_mesos._app import read_app
from meshregistry_mesos._hints import hint
from meshregistry_mesos._pod import read_pod
from meshregistry_mesos._publisher import Outcome, Publisher
from meshregistry_mesos._reading import a_text, an_object
from meshregistry_mesos._records import Converted
from meshregistry_mesos._run_spec import is_selected, outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from meshregistry.spi import RegistryContext, Sink
    from meshregistry_mesos._marathon import EventStream, MarathonClient
    from meshregistry_mesos._marathon_config import MarathonConfig
    from meshregistry_mesos._run_spec import HealthMemory, RunSpec
    from meshregistry_mesos._sse import ServerEvent

    Read = Callable[[Any, MarathonConfig, HealthMemory], RunSpec]

_STEADY = 10.0
"""Seconds after which a stream that ends is opened again at once; the core waits otherwise."""


class MarathonRegistry:
    """One attempt to follow Marathon.

    The stream is opened first and everything is listed then, so that nothing is missed; each
    event marks the apps that it is about, and these are read again a little later.

    Args:
        config: of the source.
        context: of the source; its client is a `MarathonClient`.
    """

    def __init__(self, config: MarathonConfig, context: RegistryContext) -> None:
        self._config = config
        self._context = context
        self._client: MarathonClient = context.client
        self._dirty: set[str] = set()
        self._is_all_dirty = False
        self._read_at = 0.0
        self._list_at = 0.0

    async def run(self, sink: Sink) -> None:
        """Follow until cancelled.

        Raises:
            RegistryError: if no server can be followed.
        """
        # Certificates and authorities may have been exchanged since the last attempt.
        await self._client.renew()
        publisher = Publisher(sink, self._client.memory.known)
        stream = await self._client.events()
        while True:
            began = self._now()
            try:
                async with stream:
                    await self._list(stream.server, publisher)
                    stream = await self._follow(stream, publisher, sink)
            except RegistryUnavailable as error:
                if self._now() - began < _STEADY:
                    raise
                self._context.count("reconnections")
                self._context.logger.debug("opening the stream again: %s", error)
                stream = await self._client.events()

    # --- The stream -----------------------------------------------------------------

    async def _follow(self, stream: EventStream, publisher: Publisher, sink: Sink) -> EventStream:
        """Read again what events are about, until the stream is silent for too long: a new one.

        Marathon gives no sign of life, so that silence is no proof of anything.
        """
        heard = self._now()
        while True:
            deadline = min(heard + self._config.silence, self._list_at)
            if self._dirty or self._is_all_dirty:
                deadline = min(deadline, self._read_at)
            events: list[ServerEvent] | None = None
            with contextlib.suppress(TimeoutError):
                events = await stream.news(max(0.001, deadline - self._now()))
            now = self._now()
            if events is not None:
                heard = now
                self._mark(events)
                sink.confirm()
            elif now - heard >= self._config.silence:
                return await self._client.events()
            if now >= self._list_at:
                self._is_all_dirty, self._read_at = True, now
            if (self._dirty or self._is_all_dirty) and now >= self._read_at:
                await self._read_again(stream.server, publisher)

    def _mark(self, events: list[ServerEvent]) -> None:
        """Remember what events are about; the first of a burst says when it is read."""
        for event in events:
            about = hint(event)
            if not (about.ids or about.is_all):
                continue
            if not (self._dirty or self._is_all_dirty):
                self._read_at = self._now() + self._config.debounce
            self._is_all_dirty = self._is_all_dirty or about.is_all
            self._dirty |= {one for one in about.ids if is_selected(one, self._config)}

    async def _read_again(self, server: str, publisher: Publisher) -> None:
        dirty, self._dirty = self._dirty, set()
        # A selector of labels is for Marathon to decide, which it does for listings only.
        if self._is_all_dirty or self._config.label or len(dirty) > self._config.max_apps:
            await self._list(server, publisher)
            return
        for id_ in sorted(dirty):
            try:
                publisher.publish(RecordKey(id_), await self._one(server, id_))
            except RegistryAuthError:
                # Of one app only, or of all: the listing tells.
                await self._list(server, publisher)
                return
        self._context.count("apps_read", len(dirty))

    # --- Reading --------------------------------------------------------------------

    async def _one(self, server: str, id_: str) -> Outcome:
        """What becomes of an app or a pod that some event was about; nothing, if it is gone."""
        found = await self._client.app(server, id_)
        if found is not None:
            try:
                app = an_object(found, "app")
            except ValueError as error:
                return RecordError(f"the app {id_!r} cannot be read: {error}", key=id_)
            return self._outcome(id_, app, read_app)
        found = await self._client.pod(server, id_)
        if found is not None:
            return self._outcome(id_, found, read_pod)
        self._client.memory.health.pop(id_, None)
        return Converted()

    async def _list(self, server: str, publisher: Publisher) -> None:
        """Read and publish everything."""
        self._dirty, self._is_all_dirty = set(), False
        apps, pods = await self._client.everything(server)
        memory = self._client.memory
        # In a thread: thousands of apps take their time.
        listing = await self._context.in_thread(_listing, apps, pods, self._config, memory.health)
        memory.health = listing.health
        publisher.replace(listing.services, listing.nameless)
        self._list_at = self._now() + self._config.resync
        self._context.count("listings")

    def _outcome(self, id_: str, said: Any, read: Read) -> Outcome:
        return _outcome(id_, said, read, self._config, self._client.memory.health)

    def _now(self) -> float:
        return self._context.clock.now()


@define
class _Listing:
    """What all apps and pods make.

    Attributes:
        services: what becomes of each.
        nameless: faults of which nobody knows whose they are.
        health: what is said, or was last said, of each task.
    """

    services: dict[RecordKey, Outcome] = field(factory=dict)
    nameless: list[RecordError] = field(factory=list)
    health: dict[str, dict[str, bool]] = field(factory=dict)


def _listing(
    apps: Sequence[Any],
    pods: Sequence[Any],
    config: MarathonConfig,
    memory: Mapping[str, dict[str, bool]],
) -> _Listing:
    made = _Listing(health=dict(memory))
    for read, listed in ((read_app, apps), (read_pod, pods)):
        for one in listed:
            try:
                id_ = a_text(one, "id")
                if not id_:
                    raise ValueError("it has no id")  # noqa: TRY301 - a fault as any other
            except ValueError as error:
                made.nameless.append(RecordError(f"an app or pod cannot be read: {error}"))
                continue
            if is_selected(id_, config):
                made.services[RecordKey(id_)] = _outcome(id_, one, read, config, made.health)
    for gone in made.health.keys() - made.services.keys():
        del made.health[gone]
    return made


def _outcome(
    id_: str,
    said: Any,
    read: Read,
    config: MarathonConfig,
    memory: dict[str, dict[str, bool]],
) -> Outcome:
    """What becomes of an app or a pod; what is said of its tasks' health is remembered."""
    try:
        spec = read(said, config, memory.get(id_, {}))
    except ValueError as error:
        return RecordError(f"{id_!r} is malformed: {error}", key=id_)
    memory[id_] = dict(spec.health)
    return outcome(spec, config)
