"""The registry: full answers and deltas of one server, told to the core."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define

from meshregistry.errors import RegistryError
from meshregistry_eureka._client import NoDeltas
from meshregistry_eureka._mirror import Mirror
from meshregistry_eureka._publisher import Publisher

if TYPE_CHECKING:
    from meshregistry.spi import RegistryContext, Sink
    from meshregistry_eureka._client import EurekaClient
    from meshregistry_eureka._config import EurekaConfig

_JITTER = 0.1
_MANY = 100
# Servers remember changes for three minutes and cache what they say for half a minute
# (retentionTimeInMSInDeltaQueue, responseCacheUpdateIntervalMs): after a longer gap a delta
# may lack something, and the hash code need not show it.
_LONGEST_GAP = 120.0


class EurekaRegistry:
    """One attempt to follow Eureka.

    Args:
        config: of the source.
        context: of the source; its client is an `EurekaClient`.
    """

    def __init__(self, config: EurekaConfig, context: RegistryContext) -> None:
        self._config = config
        self._context = context
        self._client: EurekaClient = context.client
        self._mirror = Mirror(config)
        self._full = _Full()

    async def run(self, sink: Sink) -> None:
        """Follow until cancelled.

        Raises:
            RegistryError: if no server answers, of the kind that says how to retry.
        """
        # Certificates and authorities may have been exchanged since the last attempt.
        await self._client.renew()
        publisher = Publisher(self._config, self._mirror, sink)
        clock, random = self._context.clock, self._context.random
        while True:
            if self._needs_full() or not await self._follow(publisher):
                await self._list(publisher)
            self._full.heard = clock.now()
            self._client.known = len(self._mirror.instances)
            spread = random.uniform(1 - _JITTER, 1 + _JITTER)
            await clock.sleep(self._config.registry_fetch_interval * spread)

    def _needs_full(self) -> bool:
        """Whether a delta would not do."""
        full, now = self._full, self._context.clock.now()
        return (
            not full.server
            or self._config.disable_delta
            or full.refuses_deltas
            or now >= full.due
            or now - full.heard > _LONGEST_GAP
        )

    async def _follow(self, publisher: Publisher) -> bool:
        """Ask for a delta; whether it tells all that the server knows."""
        try:
            delta = await self._client.delta(self._full.server)
        except RegistryError as error:
            self._full.refuses_deltas = isinstance(error, NoDeltas)
            self._context.logger.info("asking for everything, since there is no delta: %s", error)
            return False
        changed = self._mirror.apply(delta.instances)
        publisher.read(changed)
        if delta.hash_code != self._mirror.hash_code or delta.faults:
            # What it has changed is published with the rest.
            self._context.count("hash_mismatches")
            return False
        publisher.changed(changed)
        return True

    async def _list(self, publisher: Publisher) -> None:
        """Ask for everything."""
        listing, server = await self._client.full()
        self._context.count("full_fetches")
        full, now = self._full, self._context.clock.now()
        names = self._mirror.replace(listing.instances, is_same_server=server == full.server)
        if len(names) < _MANY:
            publisher.read(names)
        else:
            # The mirror waits for this, and the loop goes on.
            await self._context.in_thread(publisher.read, names)
        # A server without deltas is asked for them again when everything is due anyway.
        if not full.refuses_deltas or server != full.server or now >= full.due:
            spread = self._context.random.uniform(1 - _JITTER, 1 + _JITTER)
            full.refuses_deltas = False
            full.due = now + self._config.full_fetch_interval * spread
        full.server = server
        publisher.listed(listing)


@define
class _Full:
    """What is known since the last full answer: whose it was, when the next is due."""

    server: str = ""
    due: float = 0.0
    heard: float = 0.0
    refuses_deltas: bool = False
