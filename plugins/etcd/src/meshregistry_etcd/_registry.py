"""The registry: what is known of the keys under the prefix, told to the core."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshregistry.errors import RecordError
from meshregistry_etcd._follow import KeyFollower
from meshregistry_etcd._layouts import layout
from meshregistry_etcd._mirror import Gone, Mirror

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshregistry.spi import RegistryContext, Sink
    from meshregistry_etcd._config import EtcdConfig
    from meshregistry_etcd._mirror import Entry


class EtcdRegistry:
    """Follows the registrations under a prefix; see `KeyFollower`.

    Args:
        config: the options of the source.
        context: what the core gives; its client is an `EtcdClient`.
    """

    def __init__(self, config: EtcdConfig, context: RegistryContext) -> None:
        self._config = config
        self._context = context

    async def run(self, sink: Sink) -> None:
        """Follow until cancelled.

        Raises:
            RegistryUnavailable: if no endpoint serves.
            RegistryAuthError: if the credentials are refused.
            RegistryProtocolError: if what answers is not etcd as we know it.
        """
        observer = _Registrations(Mirror(layout(self._config)), sink)
        folder = self._config.folder
        await KeyFollower(self._context.client, folder, self._context, observer).run()


class _Registrations:
    """Tells the sink of records what the keys say."""

    def __init__(self, mirror: Mirror, sink: Sink) -> None:
        self._mirror = mirror
        self._listing = mirror.listing()
        self._sink = sink

    def begun(self) -> None:
        self._listing = self._mirror.listing()

    def page(self, entries: Iterable[Entry]) -> None:
        self._listing.add(entries)

    def listed(self) -> None:
        records, silent, partial = self._listing.done()
        self._sink.replace(records, faulty=silent)
        for fault in partial:
            self._sink.degrade(fault)

    def changed(self, entries: Iterable[Entry]) -> None:
        for update in self._mirror.apply(entries):
            match update:
                case Gone(key):
                    self._sink.remove(key)
                case RecordError():
                    self._sink.degrade(update)
                case record:
                    self._sink.upsert(record)

    def confirmed(self) -> None:
        self._sink.confirm()
