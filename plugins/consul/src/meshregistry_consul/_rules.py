"""Routing documents in Consul's key-value store: one blocking query for a prefix."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from meshregistry.errors import RegistryAuthError, RegistryProtocolError
from meshregistry.spi import RuleUnit
from meshregistry_consul._index import Cursor, Pace, herd_pause

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshregistry.spi import RuleContext, RuleSink
    from meshregistry_consul._client import Answer, ConsulClient
    from meshregistry_consul._config import ConsulConfig, ConsulRulesConfig

_INTERVAL = 0.1


class ConsulRules:
    """Follows the keys under a prefix (`spi.RuleSource`).

    A token that may not see all keys is an error, and no reason to forget rules.

    Args:
        config: what the user wrote for the rules.
        context: of the rule source; its client is a `ConsulClient`.
    """

    def __init__(self, config: ConsulRulesConfig, context: RuleContext) -> None:
        self._path = f"/v1/kv/{config.prefix}"
        self._context = context
        self._client: ConsulClient = context.client
        self._registry: ConsulConfig = context.registry_config

    async def run(self, sink: RuleSink) -> None:
        """Follow until cancelled.

        Raises:
            RegistryError: of the kind that says how to retry.
        """
        await self._client.renew()
        clock, random = self._context.clock, self._context.random
        pace = Pace(_INTERVAL)
        cursor, digest = Cursor(), b""
        while True:
            answer = await self._client.get(
                self._path,
                dc=self._registry.dc,
                cursor=cursor,
                wait=self._registry.wait,
                is_recursive=True,
            )
            if cursor.went_back(answer.index):
                await clock.sleep(herd_pause(random))
                cursor = Cursor()
                continue
            cursor = cursor.after(answer.index)
            if digest and digest == answer.digest:
                sink.confirm()
            else:
                sink.replace(self._units(answer))
                digest = answer.digest
            await clock.sleep(pace.take(clock.now()))

    def _units(self, answer: Answer) -> list[RuleUnit]:
        if answer.is_filtered or (answer.hides_by_default and not answer.body):
            msg = (
                f"the token may not see every key of {self._path}; give it key_prefix read there, "
                "as the README has it"
            )
            raise RegistryAuthError(msg)
        if not isinstance(answer.body, list):
            msg = f"{self._path} is answered with what is no list of keys; check the address"
            raise RegistryProtocolError(msg)
        return list(self._read(answer.body))

    def _read(self, pairs: list[Any]) -> Iterator[RuleUnit]:
        for pair in pairs:
            key, value = str(pair.get("Key")), pair.get("Value")
            if value is None or key.endswith("/"):
                # A folder, or a key without a value.
                continue
            name = f"consul:{key}"
            try:
                content = base64.b64decode(value, validate=True)
            except (binascii.Error, TypeError, ValueError) as error:
                yield RuleUnit.unreadable(name, f"no base64: {error}", "write the key again")
                continue
            yield RuleUnit.of_text(name, content)
