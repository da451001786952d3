"""Operators' decisions as keys of Consul's key-value store, one for each document."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from meshregistry.errors import RegistryProtocolError

if TYPE_CHECKING:
    from meshregistry.spi import OutgoingDocument, RuleContext
    from meshregistry_consul._client import ConsulClient
    from meshregistry_consul._config import ConsulConfig, ConsulRulesConfig


class ConsulRuleWriter:
    """Writes keys under the prefix of a rule source (`spi.RuleWriter`).

    Args:
        config: of the rule source.
        context: what the core gives; its client is a `ConsulClient`.
    """

    def __init__(self, config: ConsulRulesConfig, context: RuleContext) -> None:
        self._prefix = config.prefix
        self._client: ConsulClient = context.client
        self._registry: ConsulConfig = context.registry_config

    async def put(self, document: OutgoingDocument) -> str:
        """Write the key."""
        path = self._path(document)
        answer = await self._client.change(
            "PUT", path, dc=self._registry.dc, body=document.text.encode()
        )
        if answer is not True:
            msg = f"Consul did not take {path}; write it again"
            raise RegistryProtocolError(msg)
        return f"consul:{self._prefix}{document.place}"

    async def delete(self, document: OutgoingDocument) -> bool:
        """Take the key away."""
        path = self._path(document)
        dc = self._registry.dc
        found = await self._client.get(path, dc=dc, is_recursive=True)
        # Of all keys that begin so, this one only.
        key = f"{self._prefix}{document.place}"
        is_there = any(pair.get("Key") == key for pair in found.body)
        if is_there:
            await self._client.change("DELETE", path, dc=dc)
        return is_there

    def _path(self, document: OutgoingDocument) -> str:
        return f"/v1/kv/{quote(self._prefix + document.place)}"
