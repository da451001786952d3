"""The registry ``capi``: asks the Cloud Controller for everything, again and again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from meshregistry.errors import (
    RecordError,
    RegistryAuthError,
    RegistryError,
    RegistryProtocolError,
)
from meshregistry.model import ServiceRecord
from meshregistry_cloudfoundry._capi_convert import Platform, platform_records, wanted_processes

if TYPE_CHECKING:
    from meshregistry.spi import Registry, RegistryContext, Sink
    from meshregistry_cloudfoundry._capi_client import CapiClient
    from meshregistry_cloudfoundry._config import CapiConfig

_JITTER = 0.1


def open_polling(config: CapiConfig, context: RegistryContext) -> Registry:
    """The registry of one attempt."""
    return CapiRegistry(config, context)


class CapiRegistry:
    """One attempt to follow a Cloud Controller.

    Not `PollingRegistry`, for which refused credentials are one more listing that failed.

    Args:
        config: of the source.
        context: of the source; its client is what `connect` gave.
    """

    def __init__(self, config: CapiConfig, context: RegistryContext) -> None:
        self._config = config
        self._context = context
        self._client: CapiClient = context.client

    async def run(self, sink: Sink) -> None:
        """Poll until cancelled.

        Raises:
            RegistryError: if the first listing fails, or credentials are refused.
        """
        # Certificates and addresses may have changed since the last attempt.
        await self._client.renew()
        has_listed = False
        while True:
            try:
                platform = await self._platform()
            except RegistryAuthError:
                raise
            except RegistryError as error:
                if not has_listed:
                    raise
                sink.degrade(error)
            else:
                has_listed = True
                made = list(platform_records(platform, self._config))
                records = [one for one in made if isinstance(one, ServiceRecord)]
                sink.replace(records, faulty=[one for one in made if isinstance(one, RecordError)])
            spread = self._context.random.uniform(1 - _JITTER, 1 + _JITTER)
            await self._context.clock.sleep(self._config.interval * spread)

    async def _platform(self) -> Platform:
        """Everything that the records are made of."""
        client = self._client
        routes = await client.listing("/v3/routes", include="domain,space,space.organization")
        apps = await client.listing("/v3/apps")
        platform = Platform(
            routes=routes.resources,
            apps=apps.resources,
            domains=routes.included.get("domains", {}),
            spaces=routes.included.get("spaces", {}),
            organizations=routes.included.get("organizations", {}),
        )
        if self._config.endpoints == "router":
            return platform
        processes = await client.listing("/v3/processes")
        platform = platform.with_processes(processes.resources)
        return platform.with_stats(await self._stats(wanted_processes(platform, self._config)))

    async def _stats(self, wanted: list[str]) -> dict[str, object]:
        """The instances of each process: one request apiece, for want of a better one."""
        gate = asyncio.Semaphore(self._config.concurrency)
        stats: dict[str, object] = {}

        async def ask(guid: str) -> None:
            async with gate:
                try:
                    stats[guid] = await self._client.get(f"/v3/processes/{guid}/stats")
                except RegistryProtocolError as error:
                    # Deleted since the listing, for one: its routes stay as they were until the next.
                    stats[guid] = error

        error: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as group:
                for guid in wanted:
                    group.create_task(ask(guid))
        except* RegistryError as failed:
            # All ask the same server: the first is as good as any, except for a refusal.
            refused, _ = failed.split(RegistryAuthError)
            error = _first(refused or failed)
        if error is not None:  # raised above, it would be wrapped into a group again
            raise error
        return stats


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
