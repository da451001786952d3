"""Operators' decisions as keys of etcd, one for each document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshregistry_etcd._messages import rpc

if TYPE_CHECKING:
    from meshregistry.spi import OutgoingDocument, RuleContext
    from meshregistry_etcd._client import EtcdClient
    from meshregistry_etcd._config import EtcdRulesConfig


class EtcdRuleWriter:
    """Writes keys under the prefix of a rule source (`spi.RuleWriter`).

    Args:
        config: of the rule source.
        context: what the core gives; its client is an `EtcdClient`.
    """

    def __init__(self, config: EtcdRulesConfig, context: RuleContext) -> None:
        self._folder = config.folder
        self._client: EtcdClient = context.client

    async def put(self, document: OutgoingDocument) -> str:
        """Write the key."""
        key = f"{self._folder}{document.place}"
        request = rpc.PutRequest(key=key.encode(), value=document.text.encode())
        await self._client.ask("KV.Put", request)
        return f"etcd:{key}"

    async def delete(self, document: OutgoingDocument) -> bool:
        """Take the key away."""
        key = f"{self._folder}{document.place}"
        request = rpc.DeleteRangeRequest(key=key.encode())
        answer = await self._client.ask("KV.DeleteRange", request)
        return int(answer.deleted) > 0
