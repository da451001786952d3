"""Where the following of a collection stands: what happened in, what to ask next out; pure.

The rules are those of the API concepts page of Kubernetes (efficient detection of changes,
resource versions, watch bookmarks).
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from meshregistry.errors import RegistryProtocolError

if TYPE_CHECKING:
    from meshregistry_kubernetes._status import Status

_FIRST_PAUSE = 0.8
_SHORT_WATCH = 1.0
_STEADY_WATCH = 10.0
_PATIENCE = 3


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
