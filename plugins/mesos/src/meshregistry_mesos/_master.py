"""A subscription to the events of the leading master."""

from __future__ import annotations

from contextlib import AsyncExitStack
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Self

from attrs import define, field, frozen

from meshregistry.errors import RegistryProtocolError, RegistryUnavailable
from meshregistry_mesos._http import HttpClient
from meshregistry_mesos._publisher import Known
from meshregistry_mesos._reading import a_text, an_object
from meshregistry_mesos._recordio import RecordReader
from meshregistry_mesos._state import MesosState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    import aiohttp

    from meshregistry.spi import RegistryContext
    from meshregistry_mesos._config import MesosConfig

_API = "/api/v1"
_HEARTBEAT = 15.0
"""Seconds between two heartbeats, of masters that do not say."""


@frozen(kw_only=True)
class Leader:
    """The master that answers.

    Attributes:
        id: of its process: a master that was started again has another.
        age: seconds since its election, on its own clock; 0 if it does not say.
        address: for messages.
    """

    id: str
    age: float
    address: str


@define
class Memory:
    """What one source knows over all its attempts.

    Attributes:
        known: the records that were published.
        leader: the id of the master that told the state; empty at first.
        state: what was known when the last subscription ended.
        until: the time at which agents are awaited no longer.
    """

    known: Known = field(factory=dict)
    leader: str = ""
    state: MesosState | None = None
    until: float = 0.0


class MesosClient(HttpClient):
    """One client for the life of a source; an async context manager.

    Args:
        config: of the source.
        context: of the source.

    Attributes:
        memory: what is known over all attempts.
    """

    def __init__(self, config: MesosConfig, context: RegistryContext) -> None:
        super().__init__(config, context, "Mesos")
        self.memory = Memory()

    async def subscribe(self) -> Subscription:
        """A subscription whose first event, the state, has been read; to be closed.

        Raises:
            RegistryError: if no master leads, or it cannot be reached or refuses.
        """
        return await self.any_server(self._subscribe)

    async def _subscribe(self, server: str) -> Subscription:
        async with AsyncExitStack() as stack:
            response = await stack.enter_async_context(
                self.opened(
                    "POST",
                    server + _API,
                    headers={"Accept": "application/json"},
                    document={"type": "SUBSCRIBE"},
                )
            )
            url = str(response.url)
            answer, headers = await self.post(url, {"type": "GET_MASTER"})
            subscription = Subscription(self, response, _leader(answer, headers, url))
            await subscription.begin(self._config.timeout)
            subscription.closing = stack.pop_all()
        return subscription


class Subscription:
    """The events of one connection.

    Args:
        client: that reads them.
        response: their stream.
        leader: whose they are.

    Attributes:
        leader: whose they are.
        heartbeat: seconds between two heartbeats.
        closing: what ends the connection.
    """

    def __init__(
        self, client: HttpClient, response: aiohttp.ClientResponse, leader: Leader
    ) -> None:
        self.leader = leader
        self._state: Mapping[str, Any] = {}
        self.heartbeat = _HEARTBEAT
        self.closing = AsyncExitStack()
        self._client = client
        self._response = response
        self._reader = RecordReader()
        self._events: list[Any] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.closing.aclose()

    async def begin(self, within: float) -> None:
        """Read the first event.

        Raises:
            RegistryProtocolError: if it is not the state.
            RegistryUnavailable: if it does not come.
        """
        try:
            while not self._events:
                self._events = await self._read(within)
        except TimeoutError as error:
            msg = f"{self.leader.address} does not send its state in time; see timeout"
            raise RegistryUnavailable(msg) from error
        first = self._events.pop(0)
        try:
            kind = a_text(first, "type")
            said = an_object(first, "subscribed")
            self._state = an_object(said, "get_state")
        except ValueError as error:
            msg = f"the stream of {self.leader.address} is not that of Mesos: {error}"
            raise RegistryProtocolError(msg) from error
        if kind != "SUBSCRIBED":
            msg = f"the stream of {self.leader.address} begins with {kind!r} and not SUBSCRIBED; is this Mesos?"
            raise RegistryProtocolError(msg)
        interval = said.get("heartbeat_interval_seconds")
        if isinstance(interval, int | float) and interval > 0:
            self.heartbeat = float(interval)

    def take_state(self) -> Mapping[str, Any]:
        """The state of the first event, to be had once: that of a large cluster is large."""
        state, self._state = self._state, {}
        return state

    async def news(self, within: float) -> list[Any]:
        """The events that have come, at least one piece of the stream later; may be none.

        Raises:
            TimeoutError: if nothing comes within so many seconds.
            RegistryUnavailable: if the stream ends.
            RegistryProtocolError: if it is not what it should be.
        """
        events, self._events = self._events, []
        return events or await self._read(within)

    async def _read(self, within: float) -> list[Any]:
        data = await self._client.read(self._response, within)
        try:
            return [await self._client.decoded(record) for record in self._reader.feed(data)]
        except ValueError as error:
            msg = f"an event of {self.leader.address} is no JSON: {error}"
            raise RegistryProtocolError(msg) from error


def _leader(answer: Any, headers: Mapping[str, str], url: str) -> Leader:
    try:
        said = an_object(answer, "get_master")
        id_ = a_text(an_object(said, "master_info"), "id")
    except ValueError as error:
        msg = f"{url} does not say like Mesos which master it is: {error}"
        raise RegistryProtocolError(msg) from error
    if not id_:
        raise RegistryUnavailable(f"{url} does not say which master it is; it is asked again")
    elected = said.get("elected_time")
    age = 0.0
    if isinstance(elected, int | float) and "Date" in headers:
        # Both are of the master's own clock, so that ours does not matter.
        age = max(0.0, parsedate_to_datetime(headers["Date"]).timestamp() - elected)
    return Leader(id=id_, age=age, address=url)
