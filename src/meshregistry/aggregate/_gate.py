"""The start gate: holds publication back until every source has spoken once.

An early catalog that lacks a source would make proxies drop working configuration.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from attrs import frozen

M = TypeVar("M", bound=Hashable)

PATIENCE = 10.0
"""Seconds for a member that is not required and has no `sync_timeout` of its own."""


@frozen
class _Expected:
    is_required: bool
    deadline: float


class StartGate(Generic[M]):
    """Opens once, when all of its members have synced; pure, time is an argument.

    A member that is not required is waited for until its `sync_timeout`; one that is
    required is waited for as long as it takes. A member added after the gate has opened
    never closes it. Members may be anything hashable: sources of services or of rules.
    """

    def __init__(self) -> None:
        self._waiting: dict[M, _Expected] = {}
        self._is_open = False

    @property
    def is_open(self) -> bool:
        """Whether it has opened."""
        return self._is_open

    def expect(
        self, member: M, now: float, *, is_required: bool = True, sync_timeout: float | None = None
    ) -> None:
        """Wait for this member too, unless the gate is open."""
        if not self._is_open:
            seconds = PATIENCE if sync_timeout is None else sync_timeout
            self._waiting[member] = _Expected(is_required, now + seconds)

    def synced(self, member: M) -> None:
        """Note that a member has synced, or is no longer expected."""
        self._waiting.pop(member, None)

    def check(self, now: float) -> bool:
        """Open if nobody is waited for any more; whether it is open."""
        if not self._is_open:
            self._is_open = not self.holders(now)
        return self._is_open

    def holders(self, now: float) -> tuple[M, ...]:
        """The members that hold the gate now, in the order in which they were expected."""
        return tuple(
            member
            for member, expected in self._waiting.items()
            if expected.is_required or now < expected.deadline
        )

    def next_deadline(self) -> float | None:
        """When the last member that may be passed over is; None if time changes nothing."""
        if self._is_open or any(one.is_required for one in self._waiting.values()):
            return None
        return max((one.deadline for one in self._waiting.values()), default=None)
