"""Registrations in this process's memory: for one pilot alone, and for tests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from attrs import evolve

from meshregistry.model import RecordKey

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshregistry.model import EndpointKey, ServiceKey, ServiceRecord
    from meshregistry.registries._memory import MemoryRegistry


class MemoryRegistrar:
    """Writes into a `MemoryRegistry`; another process sees nothing of it.

    Its methods are called on the loop.

    Args:
        registry: what to write into.
    """

    def __init__(self, registry: MemoryRegistry) -> None:
        self._registry = registry

    async def register(self, record: ServiceRecord, ttl: float) -> MemoryLease:
        """Register for `ttl` seconds of the loop's time."""
        key = _key(record.service.key, (one.key for one in record.endpoints))
        lease = MemoryLease(self._registry, evolve(record, key=key), ttl)
        await lease.renew()
        return lease

    async def deregister(self, service: ServiceKey, endpoints: Iterable[EndpointKey]) -> None:
        """End it, if it is there."""
        self._registry.expire(_key(service, endpoints), None)


class MemoryLease:
    """A registration, an `spi.Lease`."""

    def __init__(self, registry: MemoryRegistry, record: ServiceRecord, ttl: float) -> None:
        self._registry = registry
        self._record = record
        self._ttl = ttl

    async def renew(self) -> None:
        """Prolong it; if it is no longer there, it is written again."""
        if self._registry.get(self._record.key) != self._record:
            self._registry.upsert(self._record)
        until = asyncio.get_running_loop().time() + self._ttl
        self._registry.expire(self._record.key, until)

    async def deregister(self) -> None:
        """End it now."""
        self._registry.expire(self._record.key, None)


def _key(service: ServiceKey, endpoints: Iterable[EndpointKey]) -> RecordKey:
    """Equal for equal endpoints, and unlike the keys that programs use."""
    names = (f"{one.network}/{one.address}:{one.port}/{one.service_port}" for one in endpoints)
    return RecordKey(f"registered/{service}/{' '.join(sorted(names))}")
