"""The registry: one datacenter as the source itself, or several as its parts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from meshregistry.errors import RegistryAuthError, RegistryError, RegistryProtocolError
from meshregistry_consul._follow import Follower

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from meshregistry.spi import RegistryContext, Sink
    from meshregistry_consul._client import ConsulClient
    from meshregistry_consul._config import ConsulConfig

_FIRST_RETRY = 1.0
_LAST_RETRY = 30.0
_SLOW_RETRY = 60.0


class ConsulRegistry:
    """One attempt to follow Consul.

    Args:
        config: of the source.
        context: of the source; its client is what `connect` gave.
    """

    def __init__(self, config: ConsulConfig, context: RegistryContext) -> None:
        self._config = config
        self._context = context
        self._client: ConsulClient = context.client
        self._failing: set[str] = set()

    async def run(self, sink: Sink) -> None:
        """Follow until cancelled.

        Raises:
            RegistryError: if nothing can be followed; also as a group of such errors.
        """
        # Certificates and authorities may have been exchanged since the last attempt.
        await self._client.renew()
        datacenters = self._config.datacenters
        if not datacenters:
            await self._follower(sink, self._config.dc).run()
            return
        self._context.parts(datacenters)
        async with asyncio.TaskGroup() as group:
            for dc in datacenters:
                group.create_task(self._follow_part(sink.part(dc), dc))

    async def _follow_part(self, sink: Sink, dc: str) -> None:
        """Follow one of several datacenters, whatever becomes of the others.

        Once none can be followed, the attempt ends, so that the core backs off.
        """
        failures = 0

        def listed() -> None:
            nonlocal failures
            failures = 0
            self._failing.discard(dc)

        while True:
            error: RegistryError | None = None
            try:
                await self._follower(sink, dc, listed).run()
            except* RegistryError as group:
                error = _gravest(group)
            if error is None:
                msg = f"the datacenter {dc!r} was not followed any more; report it to the plugin's author"
                raise RegistryProtocolError(msg)
            failures += 1
            self._failing.add(dc)
            if len(self._failing) == len(self._config.datacenters):
                raise error
            sink.degrade(error)
            await self._context.clock.sleep(self._retry_after(error, failures))

    def _follower(self, sink: Sink, dc: str, listed: Callable[[], None] = lambda: None) -> Follower:
        return Follower(self._client, self._config, self._context, sink=sink, dc=dc, listed=listed)

    def _retry_after(self, error: RegistryError, failures: int) -> float:
        """Full jitter about doubled pauses; refused credentials are not mended by haste."""
        if isinstance(error, RegistryAuthError):
            return self._context.random.uniform(_SLOW_RETRY / 2, _SLOW_RETRY)
        longest = min(_LAST_RETRY, _FIRST_RETRY * 2 ** min(failures - 1, 10))
        return self._context.random.uniform(longest / 10, longest)


def _gravest(group: BaseExceptionGroup[RegistryError]) -> RegistryError:
    """Refused credentials, else the first one."""
    leaves = [*_leaves(group)]
    return next((one for one in leaves if isinstance(one, RegistryAuthError)), leaves[0])


def _leaves(error: RegistryError | BaseExceptionGroup[RegistryError]) -> Iterator[RegistryError]:
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error
