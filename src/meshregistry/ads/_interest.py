"""What a client wants of one type: names, the wildcard, and the legacy wildcard."""

from __future__ import annotations

from sys import intern
from typing import TYPE_CHECKING

from attrs import evolve, frozen

if TYPE_CHECKING:
    from collections.abc import Iterable

WILDCARD = "*"


def _names(names: Iterable[str]) -> frozenset[str]:
    # Streams name the same resources: interning keeps one copy of each name, not one a stream.
    return frozenset(intern(name) for name in names if name != WILDCARD)


@frozen
class Interest:
    """The subscription of a client to one type, as a value.

    Attributes:
        names: resources that are subscribed by name.
        is_wildcard: every resource is subscribed, by ``*`` or the legacy wildcard.
        has_named: the client has once named something (``*`` included), so that the legacy
            wildcard is no longer open to it on this stream.
    """

    names: frozenset[str] = frozenset()
    is_wildcard: bool = False
    has_named: bool = False

    @property
    def is_empty(self) -> bool:
        """Nothing is wanted."""
        return not self.names and not self.is_wildcard

    def covers(self, name: str) -> bool:
        """Is this resource wanted?"""
        return self.is_wildcard or name in self.names

    def restated(self, names: Iterable[str], *, is_full_state: bool) -> Interest:
        """The interest after a state-of-the-world request, whose list is the whole of it.

        Obeys "How the client specifies what resources to return": an empty list means
        everything only while the client has never named anything, and only for full-state
        types (for EDS, RDS, SDS, VHDS and ECDS it is no interest, contracts §8); ``*`` is
        always honoured and may stand beside names; leaving it out ends the wildcard.
        """
        listed = frozenset(names)
        if not listed and not self.has_named:
            return Interest(is_wildcard=is_full_state)
        return Interest(_names(listed), WILDCARD in listed, has_named=True)

    def adjusted(
        self, subscribe: Iterable[str], unsubscribe: Iterable[str], *, is_legacy_wildcard: bool
    ) -> Interest:
        """The interest after an incremental request.

        Obeys the same section: the legacy wildcard goes on when names are subscribed later,
        and ends, like an explicit one, when ``*`` is unsubscribed. A name in both lists is
        subscribed: the client says that it wants it.
        """
        subscribe, unsubscribe = frozenset(subscribe), frozenset(unsubscribe)
        is_wildcard = self.is_wildcard and WILDCARD not in unsubscribe
        return evolve(
            self,
            names=(self.names - unsubscribe) | _names(subscribe),
            is_wildcard=is_wildcard or WILDCARD in subscribe or is_legacy_wildcard,
            has_named=self.has_named or bool(subscribe),
        )

    def gained(self, before: Interest) -> tuple[str, ...]:
        """What is wanted now and was not, sorted; ``*`` stands for everything."""
        gained = set(self.names - before.names)
        if self.is_wildcard and not before.is_wildcard:
            gained.add(WILDCARD)
        return tuple(sorted(gained))
