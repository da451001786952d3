"""List, then watch, for ever: a pure state machine and the thin shell that drives it.

It knows nothing of services: any collection of the API can be followed, custom resources
too. The rules are those of the API concepts page of Kubernetes (efficient detection of
changes, resource versions, watch bookmarks).
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any, Protocol

from attrs import define, evolve, field, frozen

from meshregistry.errors import RegistryProtocolError, RegistryUnavailable
from meshregistry.spi import Clock
from meshregistry_kubernetes._status import Refused, Status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from contextlib import AbstractAsyncContextManager


_FIRST_PAUSE = 0.8
_SHORT_WATCH = 1.0
_STEADY_WATCH = 10.0
_PATIENCE = 3


@frozen(kw_only=True)
class Collection:
    """What is followed: one resource, of the cluster or of one namespace.

    Attributes:
        resource: the plural, such as ``services``; empty: what resources the version has.
        group: the API group; empty for the core.
        version: of the group.
        namespace: empty for all, and for resources at cluster scope.
        label_selector: chooses on the server's side.
        field_selector: chooses on the server's side.
        is_metadata: whether the metadata of the objects suffices.
    """

    resource: str
    group: str = ""
    version: str = "v1"
    namespace: str = ""
    label_selector: str = ""
    field_selector: str = ""
    is_metadata: bool = False

    @property
    def path(self) -> str:
        """Where it is, below the server's address."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        inside = f"/namespaces/{self.namespace}" if self.namespace else ""
        return f"{root}{inside}/{self.resource}".rstrip("/")

    @property
    def qualified(self) -> str:
        """Resource and group, as rules of RBAC have them."""
        group = f" of the API group {self.group}" if self.group else ""
        return f"{self.resource}{group}"

    @property
    def selection(self) -> dict[str, str]:
        """The query that chooses."""
        pairs = {"labelSelector": self.label_selector, "fieldSelector": self.field_selector}
        return {name: value for name, value in pairs.items() if value}

    def __str__(self) -> str:
        scope = f"in namespace {self.namespace}" if self.namespace else "at the cluster scope"
        return f"{self.qualified} {scope}"


@frozen
class ListPage:
    """Ask for a page of a listing.

    Attributes:
        limit: objects in it, at most.
        version: not older than this; empty for the newest state.
        token: where the page before it ended; empty for the first.
    """

    limit: int
    version: str = ""
    token: str = ""

    @property
    def query(self) -> dict[str, str]:
        """As the API has it: a continued listing must not name a version again."""
        query = {"limit": str(self.limit)}
        if self.token:
            query["continue"] = self.token
        elif self.version:
            query |= {"resourceVersion": self.version, "resourceVersionMatch": "NotOlderThan"}
        return query


@frozen
class Probe:
    """Ask for the newest version and one object, to know whether a server is still the same."""

    @property
    def query(self) -> dict[str, str]:
        """A listing of one object."""
        return {"limit": "1"}


@frozen
class Watch:
    """Ask for what has happened since a version, and for what happens from then on."""

    version: str
    seconds: int

    @property
    def query(self) -> dict[str, str]:
        """As the API has it; bookmarks keep the version of a quiet collection fresh."""
        return {
            "watch": "1",
            "resourceVersion": self.version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(self.seconds),
        }


Request = ListPage | Probe | Watch


@define(kw_only=True)
class Progress:
    """Where the following of one collection stands; takes what happened, says what to ask.

    Methods that note a failure return the seconds to wait before the next request.

    Attributes:
        random: for jitter.
        page_size: objects in a page.
        watch_timeout: seconds that a watch lasts, before jitter.
        retry_max: seconds of the longest pause.
        version: the newest version seen; empty before the first listing.
        failures: how many requests in a row came to nothing.
    """

    random: Random
    page_size: int = 500
    watch_timeout: float = 300.0
    retry_max: float = 30.0
    version: str = field(default="", init=False)
    failures: int = field(default=0, init=False)
    _page: ListPage | None = field(init=False)
    _listed: str = field(default="", init=False)
    _is_doubtful: bool = field(default=False, init=False)
    _expiries: int = field(default=0, init=False)
    _waits: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self._page = ListPage(self.page_size)

    def request(self) -> Request:
        """What to ask next."""
        if self._page is not None:
            return self._page
        if self._is_doubtful:
            return Probe()
        # Jitter keeps many replicas from renewing their watches together.
        seconds = self.watch_timeout * self.random.uniform(1.0, 2.0)
        return Watch(self.version, max(1, round(seconds)))

    # --- Good news ------------------------------------------------------------------

    def page(self, version: str, token: str) -> bool:
        """Note a page; whether the listing is complete with it.

        Raises:
            RegistryProtocolError: if the page has no version.
        """
        if not version:
            msg = "the API server sent a listing without resourceVersion; a proxy in between may have changed it"
            raise RegistryProtocolError(msg)
        if self._page is None or not self._page.token:
            # Every page of a listing shows the state of its first one.
            self._listed = version
        if token:
            self._page = ListPage(self.page_size, token=token)
            return False
        self.version = self._listed
        self._page = None
        self._is_doubtful = False
        self._waits = 0
        return True

    def probed(self, version: str, *, is_known: bool) -> None:
        """Note what a probe has found.

        A server that was restored or wiped goes on from an older version, and to watch it
        from a newer one would wait in silence. So a version that went back, or a first
        object that is not held, leads to a new listing; at worst it is one too many.
        """
        self._is_doubtful = False
        if not is_known or _is_behind(version, self.version):
            self._relist(newest=True)

    def saw(self, version: str) -> None:
        """Note the version of an event."""
        if version:
            self.version = version
        self.failures = self._expiries = 0

    def bookmarked(self, version: str) -> bool:
        """Note a bookmark; whether the watch is worth going on with.

        A bookmark older than what was seen comes from a server that has lost its state.
        """
        if _is_behind(version, self.version):
            self._relist(newest=True)
            return False
        self.saw(version)
        return True

    def ended(self, lasted: float, *, is_idle: bool) -> float:
        """Note that a watch came to its end, as watches do."""
        if is_idle and lasted < _SHORT_WATCH:
            # Nothing was watched; at once again would be a storm.
            return self._fail()
        if lasted >= _STEADY_WATCH:
            self.failures = 0
        return 0.0

    # --- Bad news -------------------------------------------------------------------

    def broken(self) -> float:
        """Note that there was no answer, or only half of one."""
        self._restart_listing()
        self._is_doubtful = self._page is None
        return self._fail()

    def refused(self, status: Status) -> float:
        """Note a passing refusal or an expiry."""
        if status.is_expired:
            self._relist(newest=self._page is not None or self._expiries > 0)
            self._expiries += 1
            return 0.0 if self._expiries == 1 else self._fail()
        self._restart_listing()
        if status.is_version_ahead:
            self._waits += 1
            if self._waits >= _PATIENCE:
                # It does not catch up: it has lost what we have seen.
                self._relist(newest=True)
        return max(self._fail(), status.retry_after or 0.0)

    # --- How ------------------------------------------------------------------------

    def _relist(self, *, newest: bool) -> None:
        self._page = ListPage(self.page_size, "" if newest else self.version)
        self._is_doubtful = False

    def _restart_listing(self) -> None:
        if self._page is not None and self._page.token:
            self._page = ListPage(self.page_size)

    def _fail(self) -> float:
        """Full jitter; the first failure is retried at once, since watches do break."""
        self.failures += 1
        if self.failures == 1:
            return 0.0
        step = _FIRST_PAUSE * 2.0 ** min(self.failures - 2, 32)
        return self.random.uniform(0.0, min(self.retry_max, step))


def _is_behind(version: str, seen: str) -> bool:
    return version.isdigit() and seen.isdigit() and int(version) < int(seen)


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


def in_namespaces(collection: Collection, namespaces: tuple[str, ...]) -> list[Collection]:
    """The collection in each of the namespaces; in all of them if none is named."""
    return [evolve(collection, namespace=name) for name in namespaces or ("",)]
