"""Registering in etcd: one key of our own layout under a lease that must be kept alive."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from attrs import define

from meshregistry.errors import ConfigError
from meshregistry_etcd._client import EtcdClient
from meshregistry_etcd._convert import document, instance_id
from meshregistry_etcd._errors import NotThere
from meshregistry_etcd._messages import rpc

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshregistry.model import EndpointKey, ServiceKey, ServiceRecord
    from meshregistry.spi import RegistryContext
    from meshregistry_etcd._config import EtcdConfig


class EtcdRegistrar:
    """Writes records; the user needs write access to the prefix.

    Args:
        config: the options of the source.
        context: what the core gives; its client is an `EtcdClient`.

    Raises:
        ConfigError: unless the source has our own layout.
    """

    def __init__(self, config: EtcdConfig, context: RegistryContext) -> None:
        if config.layout != "meshregistry":
            raise ConfigError(
                f"services are not registered in the layout {config.layout}",
                field="layout",
                remedy="register them with the programs that this layout belongs to, or use "
                "a source with the layout meshregistry",
            )
        self._folder = config.folder
        self._client: EtcdClient = context.client

    async def register(self, record: ServiceRecord, ttl: float) -> EtcdLease:
        """Write the record for `ttl` seconds, rounded up; etcd may grant more.

        The key ends in the endpoint's address, so registering it again replaces it.

        Raises:
            RegistryError: if etcd does not take it.
        """
        key = self._key(record.service.key, (one.key for one in record.endpoints))
        lease = EtcdLease(self._client, key, document(record), max(1, math.ceil(ttl)))
        await lease.begin()
        return lease

    async def deregister(self, service: ServiceKey, endpoints: Iterable[EndpointKey]) -> None:
        """Remove the key; its lease, wherever that is, ends with its time.

        Raises:
            RegistryError: if etcd does not answer.
        """
        key = self._key(service, endpoints).encode()
        await self._client.ask("KV.DeleteRange", rpc.DeleteRangeRequest(key=key))

    def _key(self, service: ServiceKey, endpoints: Iterable[EndpointKey]) -> str:
        return f"{self._folder}{service}/{instance_id(endpoints)}"


@define(eq=False)
class EtcdLease:
    """A registration, an `spi.Lease`.

    Attributes:
        key: where it stands in etcd.
        value: what stands there.
        ttl: in seconds, as asked for.
        id: etcd's own number of the lease.
    """

    _client: EtcdClient
    key: str
    value: bytes
    ttl: int
    id: int = 0

    async def begin(self) -> None:
        """Write the key under a new lease.

        Raises:
            RegistryError: if etcd does not take it.
        """
        granted = await self._client.ask("Lease.LeaseGrant", rpc.LeaseGrantRequest(TTL=self.ttl))
        self.id = granted.ID
        put = rpc.PutRequest(key=self.key.encode(), value=self.value, lease=self.id)
        await self._client.ask("KV.Put", put)

    async def renew(self) -> None:
        """Prolong it; if etcd has forgotten the lease, the key is written again.

        So it is if the key has another lease by now, since whoever holds that need not go on.

        Raises:
            RegistryError: if etcd does not answer; try again before the time is over.
        """
        if await self._client.keep_alive(self.id) <= 0 or not await self._holds():
            await self.begin()

    async def _holds(self) -> bool:
        """Whether the key stands under this lease."""
        found = await self._client.ask("KV.Range", rpc.RangeRequest(key=self.key.encode()))
        return any(one.lease == self.id for one in found.kvs)

    async def deregister(self) -> None:
        """End it now; one that has ended is no error.

        Raises:
            RegistryError: if etcd does not answer; the key then ends with its time.
        """
        try:
            await self._client.ask("Lease.LeaseRevoke", rpc.LeaseRevokeRequest(ID=self.id))
        except NotThere:
            return
