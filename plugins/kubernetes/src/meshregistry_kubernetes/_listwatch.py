"""List, then watch, for ever: the thin shell that asks what a collection's progress says.

It knows nothing of services: any collection of the API can be followed, custom resources
too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from attrs import define, field

from meshregistry.errors import RegistryProtocolError, RegistryUnavailable
from meshregistry.spi import Clock
from meshregistry_kubernetes._collection import Collection
from meshregistry_kubernetes._progress import Probe, Progress, Request, Watch
from meshregistry_kubernetes._status import Refused, Status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from contextlib import AbstractAsyncContextManager


class Transport(Protocol):
    """How a collection is asked; raises `Refused` and `RegistryError`."""

    async def list(self, collection: Collection, query: Mapping[str, str]) -> Any:
        """The document of a listing."""

    def watch(
        self, collection: Collection, query: Mapping[str, str], seconds: float
    ) -> AbstractAsyncContextManager[AsyncIterator[tuple[str, Any]]]:
        """The events of a watch as type and object; entered once the server has agreed."""


class Observer(Protocol):
    """Is told what the collection holds."""

    def listed(self, objects: list[Any]) -> None:
        """The whole collection."""

    def changed(self, document: Any) -> None:
        """One object, new or changed."""

    def removed(self, document: Any) -> None:
        """One object that is gone, as it was."""

    def keep(self, document: Any) -> Any:
        """What is worth keeping of an object while a listing is incomplete."""

    def is_held(self, document: Any | None) -> bool:
        """Whether an object is held; with None: whether nothing is held."""

    def alive(self) -> None:
        """The server was asked and is being watched."""

    def broken(self, error: RegistryUnavailable) -> None:
        """There is no answer; it is asked again. May raise the error to end the following."""


@define
class Follower:
    """Follows one collection: asks what its progress says, and tells the observer.

    Attributes:
        collection: what is followed.
        progress: where it stands.
        transport: how it is asked.
        observer: who is told.
        clock: time.
    """

    collection: Collection
    progress: Progress
    transport: Transport
    observer: Observer
    clock: Clock
    _pages: list[Any] = field(factory=list, init=False)

    async def run(self) -> None:
        """Follow until cancelled.

        Raises:
            RegistryError: what cannot be mended by asking again.
        """
        while True:
            request = self.progress.request()
            try:
                delay = await self._ask(request)
            except Refused as refused:
                delay = self._refused(refused.status, request)
            except RegistryUnavailable as error:
                delay = self.progress.broken()
                # A watch that breaks is asked for again at once; only if that fails is it news.
                if delay or not isinstance(request, Watch):
                    self.observer.broken(error)
            if delay:
                await self.clock.sleep(delay)

    async def _ask(self, request: Request) -> float:
        if isinstance(request, Watch):
            return await self._watch(request)
        query = request.query | self.collection.selection
        document = await self.transport.list(self.collection, query)
        version, token, items = _read_page(document, self.collection)
        if isinstance(request, Probe):
            first = items[0] if items else None
            self.progress.probed(version, is_known=self.observer.is_held(first))
            return 0.0
        if not request.token:
            self._pages = []
        self._pages += [self.observer.keep(item) for item in items]
        if self.progress.page(version, token):
            pages, self._pages = self._pages, []
            self.observer.listed(pages)
        return 0.0

    async def _watch(self, request: Watch) -> float:
        began, is_idle = self.clock.now(), True
        query = request.query | self.collection.selection
        async with self.transport.watch(self.collection, query, request.seconds) as events:
            self.observer.alive()
            async for kind, document in events:
                if not self._tell(kind, document):
                    return 0.0
                is_idle = False
        return self.progress.ended(self.clock.now() - began, is_idle=is_idle)

    def _tell(self, kind: str, document: Any) -> bool:
        """Pass an event on; whether the watch is worth going on with."""
        version = _version(document)
        match kind:
            case "ADDED" | "MODIFIED":
                self.observer.changed(document)
                self.progress.saw(version)
            case "DELETED":
                self.observer.removed(document)
                self.progress.saw(version)
            case "BOOKMARK":
                if not self.progress.bookmarked(version):
                    return False
                self.observer.alive()
            case "ERROR":
                raise Refused(Status.parse(document))
        return True

    def _refused(self, status: Status, request: Request) -> float:
        error = status.error(self.collection, "watch" if isinstance(request, Watch) else "list")
        if status.is_expired:
            return self.progress.refused(status)
        if not isinstance(error, RegistryUnavailable):
            raise error
        delay = self.progress.refused(status)
        self.observer.broken(error)
        return delay


def _version(document: Any) -> str:
    metadata = document.get("metadata") if isinstance(document, dict) else None
    return str((metadata or {}).get("resourceVersion") or "")


def _read_page(document: Any, collection: Collection) -> tuple[str, str, list[Any]]:
    items = document.get("items") if isinstance(document, dict) else None
    metadata = document.get("metadata") if isinstance(document, dict) else None
    if not isinstance(metadata, dict) or not isinstance(items, list | None):
        msg = (
            f"the API server answered to list {collection} with what is no list; check its address"
        )
        raise RegistryProtocolError(msg)
    return _version(document), str(metadata.get("continue") or ""), items or []
