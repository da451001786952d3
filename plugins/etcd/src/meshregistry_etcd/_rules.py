"""Routing documents in etcd: each key under a prefix holds one document or several."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshregistry.spi import RuleUnit
from meshregistry_etcd._follow import KeyFollower

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshregistry.spi import RuleContext, RuleSink
    from meshregistry_etcd._config import EtcdRulesConfig
    from meshregistry_etcd._mirror import Entry


class EtcdRules:
    """Follows routing documents under a prefix (`spi.RuleSource`); see `KeyFollower`.

    Args:
        config: what the user wrote for the rules.
        context: of the rule source; its client is an `EtcdClient`.
    """

    def __init__(self, config: EtcdRulesConfig, context: RuleContext) -> None:
        self._folder = config.folder
        self._context = context

    async def run(self, sink: RuleSink) -> None:
        """Follow until cancelled.

        Raises:
            RegistryUnavailable: if no endpoint serves.
            RegistryAuthError: if the credentials are refused.
            RegistryProtocolError: if what answers is not etcd as we know it.
        """
        observer = _Documents(self._folder, sink)
        await KeyFollower(self._context.client, self._folder, self._context, observer).run()


class _Documents:
    """Tells the sink of documents what the keys say."""

    def __init__(self, folder: str, sink: RuleSink) -> None:
        self._folder = folder
        self._sink = sink
        self._listed: list[RuleUnit] = []

    def begun(self) -> None:
        self._listed = []

    def page(self, entries: Iterable[Entry]) -> None:
        self._listed += (self._unit(entry) for entry in entries)

    def listed(self) -> None:
        units, self._listed = self._listed, []
        self._sink.replace(units)

    def changed(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if entry.value is None:
                self._sink.remove(self._name(entry))
            else:
                self._sink.put(self._unit(entry))

    def confirmed(self) -> None:
        self._sink.confirm()

    def _unit(self, entry: Entry) -> RuleUnit:
        return RuleUnit.of_text(self._name(entry), entry.value or b"")

    def _name(self, entry: Entry) -> str:
        return f"etcd:{self._folder}{entry.path}"
