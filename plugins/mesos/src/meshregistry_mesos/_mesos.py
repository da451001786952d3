"""The registry of the kind ``mesos``: one subscription after another, published as records."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from meshregistry.errors import RegistryError, RegistryUnavailable
from meshregistry_mesos._publisher import Publisher
from meshregistry_mesos._state import MesosState

if TYPE_CHECKING:
    from meshregistry.model import RecordKey
    from meshregistry.spi import RegistryContext, Sink
    from meshregistry_mesos._config import MesosConfig
    from meshregistry_mesos._master import MesosClient, Subscription

_SOON = 0.5
"""Seconds until a listing that an event asked for: the events of one cause come together."""

_STEADY = 10.0
"""Seconds after which a subscription that ends is renewed at once; the core waits otherwise."""


class MesosRegistry:
    """One attempt to follow Mesos.

    A listing is a new subscription: its first event is the state, and the events after it
    follow from that, which a call for the state beside the stream could not promise. The old
    subscription is left once the new one has begun.

    Args:
        config: of the source.
        context: of the source; its client is a `MesosClient`.
    """

    def __init__(self, config: MesosConfig, context: RegistryContext) -> None:
        self._config = config
        self._context = context
        self._client: MesosClient = context.client
        self._state = MesosState(config)
        self._is_published = False
        self._list_at = 0.0

    async def run(self, sink: Sink) -> None:
        """Follow until cancelled.

        Raises:
            RegistryError: if no master can be followed.
        """
        # Certificates and authorities may have been exchanged since the last attempt.
        await self._client.renew()
        publisher = Publisher(sink, self._client.memory.known)
        subscription = await self._client.subscribe()
        while True:
            began = self._now()
            try:
                async with subscription:
                    await self._begin(subscription, publisher, sink)
                    subscription = await self._follow(subscription, publisher, sink)
            except RegistryUnavailable as error:
                if self._now() - began < _STEADY:
                    raise
                self._context.count("reconnections")
                self._context.logger.debug("subscribing again: %s", error)
                subscription = await self._client.subscribe()

    async def _begin(self, subscription: Subscription, publisher: Publisher, sink: Sink) -> None:
        """Publish what a new subscription begins with, with what must be kept of the last."""
        memory, leader = self._client.memory, subscription.leader
        # In a thread: ten thousand tasks take half a second.
        state = await self._context.in_thread(
            MesosState.listed, self._config, subscription.take_state()
        )
        is_other_master = leader.id != memory.leader
        if is_other_master:
            memory.until = self._now() + max(0.0, self._config.recovery - leader.age)
        if memory.state is not None:
            state.keep(memory.state, is_other_master=is_other_master)
        if self._now() >= memory.until:
            state.release()
        memory.leader, memory.state = leader.id, state
        self._state = state
        self._list_at = self._now() + self._config.resync
        self._context.count("listings")
        await self._publish_all(publisher, sink, subscription)

    async def _publish_all(
        self, publisher: Publisher, sink: Sink, subscription: Subscription
    ) -> None:
        """Publish everything, unless nothing is known of what is still to come."""
        state = self._state
        if not state.awaited or self._client.memory.known:
            services = await self._context.in_thread(state.services)
            publisher.replace(services, state.faults)
            self._is_published = True
        if state.awaited:
            sink.degrade(self._waiting(subscription))

    def _waiting(self, subscription: Subscription) -> RegistryUnavailable:
        seconds = max(0.0, self._client.memory.until - self._now())
        return RegistryUnavailable(
            f"the master at {subscription.leader.address} leads anew and has not heard of "
            f"{len(self._state.awaited)} agents yet; what ran there is kept for another "
            f"{seconds:.0f} s (recovery)"
        )

    async def _follow(
        self, subscription: Subscription, publisher: Publisher, sink: Sink
    ) -> Subscription:
        """Publish what events say, until it is time for another subscription: that one.

        Raises:
            RegistryUnavailable: if the stream ends, or heartbeats do not come.
        """
        heard = self._now()
        silence = subscription.heartbeat * (self._config.heartbeats + 0.5)
        while True:
            deadline = min(heard + silence, self._list_at)
            if self._state.awaited:
                deadline = min(deadline, self._client.memory.until)
            events: list[object] | None = None
            with contextlib.suppress(TimeoutError):
                events = await subscription.news(max(0.001, deadline - self._now()))
            now = self._now()
            if events is None and now - heard >= silence:
                msg = f"no heartbeat of {subscription.leader.address} for {now - heard:.0f} s; the connection counts as lost"
                raise RegistryUnavailable(msg)
            if events is not None:
                heard = now
                self._apply(events, publisher, sink)
            if self._state.awaited and now >= self._client.memory.until:
                self._publish(self._state.release(), publisher)
                if not self._is_published:
                    await self._publish_all(publisher, sink, subscription)
                sink.confirm()
            if now >= self._list_at:
                renewed = await self._renewed()
                if renewed is not None:
                    return renewed

    def _apply(self, events: list[object], publisher: Publisher, sink: Sink) -> None:
        is_to_list = False
        for event in events:
            news = self._state.apply(event)
            self._publish(news.touched, publisher)
            for fault in news.faults:
                sink.degrade(fault)
            is_to_list = is_to_list or news.is_to_list
        if is_to_list:
            self._list_at = min(self._list_at, self._now() + _SOON)
        elif not self._state.awaited and self._is_published:
            sink.confirm()

    def _publish(self, touched: frozenset[RecordKey], publisher: Publisher) -> None:
        if self._is_published:
            for key in sorted(touched):
                publisher.publish(key, self._state.service(key))

    async def _renewed(self) -> Subscription | None:
        """A new subscription; None if there is none to be had, and the old one has to do."""
        try:
            return await self._client.subscribe()
        except RegistryError as error:
            self._context.logger.debug("the listing has to wait: %s", error)
            self._list_at = self._now() + self._config.timeout
            return None

    def _now(self) -> float:
        return self._context.clock.now()
