"""The rules of blocking queries: what to ask next, and how fast. Pure.

Consul's documentation of blocking queries: an index is to be kept, given back, compared,
and forgotten when it goes back, which a restored or exchanged server does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field, frozen

if TYPE_CHECKING:
    from random import Random

BURST = 20
"""How many answers of one query may follow each other without a pause."""

_SERVER_JITTER = 1 / 16
_OWN_JITTER = 0.1
_HERD = 0.25


@frozen
class Cursor:
    """How far one query has been answered; the first one does not block.

    Attributes:
        index: of the last answer; 0 asks without blocking.
        content_hash: of the last answer, if it came with one; agents answer with hashes where
            they speak for themselves.
    """

    index: int = 0
    content_hash: str = ""

    @property
    def is_blocking(self) -> bool:
        """Whether the next query waits for news."""
        return self.index > 0 or bool(self.content_hash)

    def went_back(self, index: int) -> bool:
        """Whether an answer of this index is older than what was known.

        It tells of another server, or of one that lost its state: nothing of it counts
        until it has been asked again without an index.
        """
        return 0 < index < self.index

    def after(self, index: int, content_hash: str = "") -> Cursor:
        """The cursor after an answer.

        An index of 0 is a fault of old servers, and giving it back would never block:
        1 is the least index.
        """
        if self.went_back(index):
            return Cursor()
        return Cursor(max(1, index), content_hash)

    def parameters(self, wait: float) -> list[tuple[str, str]]:
        """What to add to the query so that it waits for news for so many seconds."""
        if not self.is_blocking:
            return []
        held = ("hash", self.content_hash) if self.content_hash else ("index", str(self.index))
        return [held, ("wait", f"{max(1, round(wait * 1000))}ms")]


def spread_wait(wait: float, random: Random) -> float:
    """A wait that is a little shorter, so that queries begun together do not end together."""
    return wait * random.uniform(1 - _OWN_JITTER, 1)


def longest_answer(wait: float, timeout: float) -> float:
    """Seconds after which a query that waits is lost: the server adds up to a sixteenth."""
    return wait * (1 + _SERVER_JITTER) + timeout


def herd_pause(random: Random) -> float:
    """A pause before asking anew what went back: a restored server wakes every client at once."""
    return random.uniform(0, _HERD)


@define
class Pace:
    """A bucket of tokens: a few answers at once, then one for each interval.

    Attributes:
        interval: seconds in which one token comes back.
        burst: the most tokens there are.
    """

    interval: float
    burst: int = BURST
    _tokens: float = field(init=False)
    _since: float | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._tokens = float(self.burst)

    def take(self, now: float) -> float:
        """Take a token; seconds to wait until it is there."""
        if not self.interval:
            return 0.0
        if self._since is not None:
            gained = (now - self._since) / self.interval
            self._tokens = min(float(self.burst), self._tokens + gained)
        self._since = now
        self._tokens -= 1
        return max(0.0, -self._tokens * self.interval)
