"""The loop: list at one revision, watch from there, list again after any gap."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from meshregistry.errors import RegistryAuthError, RegistryUnavailable
from meshregistry_etcd._errors import Compacted
from meshregistry_etcd._messages import kv
from meshregistry_etcd._mirror import Entry

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from meshregistry.spi import RegistryContext
    from meshregistry_etcd._client import EtcdClient
    from meshregistry_etcd._watch import Watch

_STEADY = 10.0
_LISTINGS = 3


class Observer(Protocol):
    """Is told what the keys under a prefix hold."""

    def begun(self) -> None:
        """A listing begins; an unfinished one is void."""

    def page(self, entries: Iterable[Entry]) -> None:
        """Some of its keys."""

    def listed(self) -> None:
        """The listing is complete."""

    def changed(self, entries: Iterable[Entry]) -> None:
        """Keys that have changed since."""

    def confirmed(self) -> None:
        """Nothing has changed."""


class KeyFollower:
    """Follows the keys under a prefix.

    When a watch ends, the keys are listed anew from the next endpoint at once, and the
    watch goes on from there; only when no endpoint serves is the attempt given up. Listing
    instead of resuming is on purpose: a cluster of one that has lost its data comes back
    with the same ids, so that nothing in its answers tells a resumed watch of the loss.

    Args:
        client: of the cluster.
        folder: the prefix, ending in a slash.
        context: of the source.
        observer: who is told.
    """

    def __init__(
        self, client: EtcdClient, folder: str, context: RegistryContext, observer: Observer
    ) -> None:
        self._client = client
        self._folder = folder
        self._context = context
        self._observer = observer

    async def run(self) -> None:
        """Follow until cancelled.

        Raises:
            RegistryUnavailable: if no endpoint serves.
            RegistryAuthError: if the credentials are refused.
            RegistryProtocolError: if what answers is not etcd as we know it.
        """
        try:
            await self._run()
        except asyncio.CancelledError as error:
            # The frames of gRPC form a cycle with it, and hold the call, hence the connection.
            error.__context__ = None
            raise error.with_traceback(None) from None

    async def _run(self) -> None:
        client, clock = self._client, self._context.clock
        misses = 0
        while True:
            began = clock.now()
            revision = await self._list()
            try:
                # Not from the next one: etcd gives no sign of life to a watch whose first
                # revision is still to come. What was listed already is left out below.
                async with client.watch(self._folder, revision) as watch:
                    await self._follow(watch, revision)
            except (RegistryUnavailable, RegistryAuthError) as error:
                # A token may have ended between listing and watch: one more try tells.
                client.forget_token()
                misses = 1 if clock.now() - began > _STEADY else misses + 1
                limit = 1 if isinstance(error, RegistryAuthError) else len(client.config.targets)
                if misses > limit:
                    raise
                self._context.count("compactions" if isinstance(error, Compacted) else "failovers")
                self._context.logger.debug("listing again: %s", error)

    async def _list(self) -> int:
        """Tell of all keys; the revision that they are of."""
        for attempt in range(_LISTINGS):
            self._observer.begun()
            revision = 0
            try:
                async for page in self._client.pages(self._folder):
                    revision = revision or page.header.revision
                    self._observer.page(self._entry(pair) for pair in page.kvs)
            except Compacted:
                # Compacted between two pages: the pages belong to no one state any more.
                if attempt + 1 == _LISTINGS:
                    raise
                continue
            self._context.count("listings")
            self._observer.listed()
            return revision
        raise AssertionError("the last attempt returns or raises")

    async def _follow(self, watch: Watch, revision: int) -> None:
        listed = revision
        while True:
            response = await watch.responses()
            if not response.events:
                if response.header.revision < revision:
                    # Restored from a backup, or another cluster: what it says next is no sequel.
                    msg = f"etcd went back from revision {revision} to {response.header.revision}"
                    raise RegistryUnavailable(f"{msg}; the keys are listed again")
                self._observer.confirmed()
                continue
            news = [one for one in response.events if one.kv.mod_revision > listed]
            revision = max(revision, response.header.revision)
            self._observer.changed(self._changed(event) for event in news)

    def _changed(self, event: Any) -> Entry:
        if event.type == kv.Event.DELETE:
            return Entry(self._path(event.kv.key), None)
        return self._entry(event.kv)

    def _entry(self, pair: Any) -> Entry:
        return Entry(self._path(pair.key), pair.value, pair.create_revision)

    def _path(self, key: bytes) -> str:
        return key.decode(errors="backslashreplace").removeprefix(self._folder)
