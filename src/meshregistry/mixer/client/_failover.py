"""Which of several servers to ask first."""

from __future__ import annotations

from attrs import define, field

FIRST_PAUSE = 1.0
"""Seconds that a server is not preferred after it failed once; doubles with each time."""
LONGEST_PAUSE = 30.0


@define
class _Server:
    failures: int = 0
    until: float = 0.0


@define
class Failover:
    """Orders servers: as they were given, those that failed lately at the end.

    A failed server is still asked if no other answers.

    Args:
        count: how many servers there are.
    """

    count: int
    _servers: list[_Server] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._servers = [_Server() for _ in range(self.count)]

    def order(self, now: float) -> list[int]:
        """The numbers of all servers, in the order in which to try them."""
        paused = [now < server.until for server in self._servers]
        return sorted(range(self.count), key=lambda number: (paused[number], number))

    def failed(self, number: int, now: float) -> None:
        """Note that a server did not answer."""
        server = self._servers[number]
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(server.failures, 10))
        server.failures += 1
        server.until = now + pause

    def answered(self, number: int) -> None:
        """Note that a server did."""
        server = self._servers[number]
        if server.failures:
            server.failures, server.until = 0, 0.0
