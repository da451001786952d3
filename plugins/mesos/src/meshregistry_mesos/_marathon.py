"""Requests to Marathon: what there is, one app, the stream of events."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlencode

from attrs import define, field

from meshregistry.errors import RegistryProtocolError, RegistryUnavailable
from meshregistry_mesos._hints import ATTACHED, EVENTS
from meshregistry_mesos._http import HttpClient
from meshregistry_mesos._publisher import Known
from meshregistry_mesos._sse import EventReader, ServerEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    import aiohttp

    from meshregistry.spi import RegistryContext
    from meshregistry_mesos._marathon_config import MarathonConfig

_APPS_EMBED = ("apps.tasks", "apps.deployments", "apps.readiness")
_APP_EMBED = ("app.tasks", "app.deployments", "app.readiness")


@define
class Memory:
    """What one source knows over all its attempts.

    Attributes:
        known: the records that were published.
        health: what was last said of the health of each task, by app.
    """

    known: Known = field(factory=dict)
    health: dict[str, dict[str, bool]] = field(factory=dict)


class MarathonClient(HttpClient):
    """One client for the life of a source; an async context manager.

    Args:
        config: of the source.
        context: of the source.

    Attributes:
        memory: what is known over all attempts.
    """

    def __init__(self, config: MarathonConfig, context: RegistryContext) -> None:
        super().__init__(config, context, "Marathon")
        self.memory = Memory()
        self._label = config.label
        self._has_pods = config.pods
        self._timeout = config.timeout

    async def everything(self, server: str) -> tuple[Sequence[Any], Sequence[Any]]:
        """All apps with their tasks, and the status of all pods.

        Raises:
            RegistryProtocolError: if an answer is not what it should be.
            RegistryError: of the kind that says what is wrong.
        """
        query = [("embed", one) for one in _APPS_EMBED]
        if self._label:
            query.append(("label", self._label))
        listed = await self.get(f"{server}/v2/apps?{urlencode(query)}")
        pods = None
        if self._has_pods:
            # Marathon before 1.4 knows no pods.
            pods = await self.get(f"{server}/v2/pods/::status", may_lack=True)
        if not isinstance(listed, dict) or not isinstance(listed.get("apps"), list):
            msg = f"the listing of {server} is not that of Marathon: it has no apps; check the address"
            raise RegistryProtocolError(msg)
        if not isinstance(pods, list | None):
            msg = f"the status of pods of {server} is not that of Marathon: it is no list; see pods"
            raise RegistryProtocolError(msg)
        return listed["apps"], pods or ()

    async def app(self, server: str, id_: str) -> Any:
        """One app with its tasks, inside ``{"app": ...}``; None if there is none."""
        query = urlencode([("embed", one) for one in _APP_EMBED])
        return await self.get(f"{server}/v2/apps{quote(id_)}?{query}", may_lack=True)

    async def pod(self, server: str, id_: str) -> Any:
        """The status of one pod; None if there is none."""
        if not self._has_pods:
            return None
        return await self.get(f"{server}/v2/pods{quote(id_)}::status", may_lack=True)

    async def events(self) -> EventStream:
        """A stream that has begun; to be closed.

        Raises:
            RegistryError: if no server gives one.
        """
        return await self.any_server(self._events)

    async def _events(self, server: str) -> EventStream:
        query = [("plan-format", "light"), *(("event_type", one) for one in EVENTS)]
        async with AsyncExitStack() as stack:
            response = await stack.enter_async_context(
                self.opened(
                    "GET",
                    f"{server}/v2/events?{urlencode(query)}",
                    headers={"Accept": "text/event-stream"},
                )
            )
            if response.content_type != "text/event-stream":
                msg = f"{response.url} streams {response.content_type} and no events; is this Marathon?"
                raise RegistryProtocolError(msg)
            stream = EventStream(self, response, server)
            await stream.begin(self._timeout)
            stream.closing = stack.pop_all()
        return stream


class EventStream:
    """The events of one connection; an async context manager that ends it.

    Args:
        client: that reads them.
        response: their stream.
        server: that was asked.

    Attributes:
        server: that was asked, and is to be asked for what the events are about.
        closing: what ends the connection.
    """

    def __init__(self, client: HttpClient, response: aiohttp.ClientResponse, server: str) -> None:
        self.server = server
        self.closing = AsyncExitStack()
        self._client = client
        self._response = response
        self._reader = EventReader()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.closing.aclose()

    async def begin(self, within: float) -> None:
        """Wait until Marathon says that the stream has begun: what happens from then on is told.

        Raises:
            RegistryUnavailable: if it does not.
        """
        try:
            while not any(one.name == ATTACHED for one in await self.news(within)):
                pass
        except TimeoutError as error:
            msg = f"{self._response.url} does not begin to tell events in time; see timeout"
            raise RegistryUnavailable(msg) from error

    async def news(self, within: float) -> list[ServerEvent]:
        """The events that have come, one piece of the stream later; may be none.

        Raises:
            TimeoutError: if nothing comes within so many seconds.
            RegistryUnavailable: if the stream ends.
            RegistryProtocolError: if it is not what it should be.
        """
        return list(self._reader.feed(await self._client.read(self._response, within)))
