"""What one session knows of one type: the client's interest, what was sent, what was accepted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from attrs import define, field

from meshregistry.ads._interest import WILDCARD, Interest
from meshregistry.ads._messages import AdsMessage, DeltaResponse
from meshregistry.model import Changes, Resource, ResourceSet, TypeTraits

Diff = Callable[[ResourceSet, ResourceSet, str], Changes]
"""(older set, newer set, type URL) to their difference; a hub passes one that remembers."""

EMPTY = ResourceSet()
"""What a client holds before it was sent anything; one object, so that diffs can be shared."""

NOTHING: frozenset[str] = frozenset()
NO_CHANGES = Changes((), ())

# A client that reads but never answers must not make the session grow. The oldest unanswered
# responses are forgotten; a late answer to one of them counts as stale.
_MOST_IN_FLIGHT = 16


class InFlight(NamedTuple):
    """A response that was handed out and not yet accepted or refused.

    Attributes:
        message: the response.
        offered: the set that it was made from.
        at: when it was handed out.
        is_complete: with it the client has all that the set holds for it.
    """

    message: AdsMessage
    offered: ResourceSet
    at: float
    is_complete: bool

    def names(self) -> frozenset[str]:
        """Every name in the response, removals and heartbeats included."""
        message = self.message
        names = frozenset(resource.name for resource in message.resources)
        if isinstance(message, DeltaResponse):
            names |= {*message.removed, *(resource.name for resource in message.heartbeats)}
        return names


class Leaving(NamedTuple):
    """A resource that is gone from the offer, but not yet taken from the client.

    Attributes:
        resource: what the client holds; None if only its name is known (from an earlier stream).
        since: when it was found to be gone.
    """

    resource: Resource | None
    since: float


@define(eq=False)
class Subscription:
    """The state of one type on one stream.

    It is small: what a client holds is a reference to a shared set, plus exceptions.

    Attributes:
        traits: of the type.
        is_delta: the variant of the stream.
        interest: what the client wants.
        listed: the names of the last state-of-the-world request that counted, as they came.
        sent: the set whose content was last sent, as far as `due` and `unknown` say nothing else.
        acked: the last set that was accepted as a whole.
        refused: the set that the last refused response was made from, until one is accepted.
        is_due: a response goes out even if nothing has changed.
        is_all_due: everything that is wanted goes out even if it has not changed.
        due: names that go out even if they have not changed.
        unknown: names of refused responses; ``*`` stands for the whole full state.
        leaving: by name, what was taken from the offer but is withheld from removal.
        in_flight: responses without an answer, oldest first.
        claimed: on a new stream, what the client says it holds: a version, or versions by name.
        is_unsure: the client may hold content of an earlier stream that this session never saw.
        nonce: of the last response.
        warming_since: since when clusters that were sent wait to be accepted.
        heartbeat_at: when the lives of resources have to be prolonged.
    """

    traits: TypeTraits
    is_delta: bool
    interest: Interest = field(factory=Interest)
    listed: tuple[str, ...] | None = None
    sent: ResourceSet = EMPTY
    acked: ResourceSet = EMPTY
    refused: ResourceSet | None = None
    is_due: bool = False
    is_all_due: bool = False
    due: frozenset[str] = NOTHING
    unknown: frozenset[str] = NOTHING
    leaving: Mapping[str, Leaving] = field(factory=dict)
    in_flight: tuple[InFlight, ...] = ()
    claimed: str | Mapping[str, str] | None = None
    is_unsure: bool = False
    nonce: str = ""
    version_sent: str = ""
    version_acked: str = ""
    error: str = ""
    warming_since: float | None = None
    heartbeat_at: float | None = None

    @property
    def type_url(self) -> str:
        """The type."""
        return self.traits.type_url

    @property
    def is_whole(self) -> bool:
        """Each response replaces everything (state of the world, full-state type)."""
        return self.traits.is_full_state and not self.is_delta

    def is_settled(self, offered: ResourceSet | None) -> bool:
        """The client holds exactly what is offered to it, and has said so."""
        return self.interest.is_empty or (self.sent is offered and self._is_quiet())

    def has_all(self, offered: ResourceSet) -> bool:
        """Nothing of this offer is left to be sent, nor to be noted once it is accepted.

        The quick answer to what evaluating the subscription would find out, asked several
        times for each response that is sent.
        """
        return (
            self.sent is offered
            and (self.acked is offered or bool(self.in_flight))
            and not (self.is_due or self.due or self.unknown or self.leaving)
            and self.claimed is None
        )

    def set_interest(self, interest: Interest) -> None:
        """Take the new interest; what is no longer wanted is owed no longer."""
        self.interest = interest
        if interest.is_empty:
            self._forget()
        elif not interest.is_wildcard:
            self.due &= interest.names
            self.unknown &= interest.names | {WILDCARD}
            self.leaving = {n: gone for n, gone in self.leaving.items() if n in interest.names}

    def start_over(self) -> None:
        """Everything that the interest covers goes out, as to a client that holds nothing."""
        self.is_due = self.is_all_due = True

    def _forget(self) -> None:
        """A client that wants nothing of a type drops all that it held."""
        self.sent = self.acked = EMPTY
        self.refused = self.warming_since = self.heartbeat_at = None
        self.is_due = self.is_all_due = self.is_unsure = False
        self.due = self.unknown = NOTHING
        self.leaving = {}

    def changes(self, offered: ResourceSet, diff: Diff) -> Changes:
        """What differs between the set that was sent and the offer, as far as it is wanted."""
        return self.difference(self.sent, offered, diff)

    def difference(self, older: ResourceSet, newer: ResourceSet, diff: Diff) -> Changes:
        """What differs between two sets, as far as it is wanted; unfiltered tuples are shared."""
        if older is newer:
            return NO_CHANGES
        if older is EMPTY:
            return Changes(self.wanted(newer), ())
        changes = diff(older, newer, self.type_url)
        names = self.interest.names
        if self.interest.is_wildcard or (
            names.issuperset([resource.name for resource in changes.changed])
            and names.issuperset(changes.removed)
        ):
            return changes
        return Changes(
            tuple(resource for resource in changes.changed if resource.name in names),
            tuple(name for name in changes.removed if name in names),
        )

    def wanted(self, offered: ResourceSet) -> tuple[Resource, ...]:
        """All resources of a set that the interest covers, in canonical order."""
        if self.interest.is_wildcard:
            return offered.resources(self.type_url)
        return self.named(offered, self.interest.names)

    def named(self, offered: ResourceSet, names: frozenset[str]) -> tuple[Resource, ...]:
        """The resources of these names in canonical order; a whole set's tuple is shared."""
        groups = offered.groups(self.type_url)
        if len(groups) == 1 and names >= groups[0].by_name.keys():
            return groups[0].listed
        return tuple(
            group.by_name[name] for group in groups for name in sorted(names & group.by_name.keys())
        )

    def differs_from_refused(self, offered: ResourceSet, diff: Diff) -> bool:
        """Does the offer differ, in anything that is wanted, from what was refused?"""
        changes = self.difference(self.refused or EMPTY, offered, diff)
        return bool(changes.changed or changes.removed)

    def take_back(self, offered: ResourceSet) -> None:
        """Resources that are offered again leave no longer."""
        self.leaving = {
            name: gone
            for name, gone in self.leaving.items()
            if offered.get(self.type_url, name) is None
        }

    def record(
        self, message: AdsMessage, offered: ResourceSet, now: float, *, is_heartbeat: bool = False
    ) -> None:
        """A response was handed out."""
        entry = InFlight(message, offered, now, not is_heartbeat and not self._is_owed())
        self.in_flight = (*self.in_flight[1 - _MOST_IN_FLIGHT :], entry)
        self.nonce = message.nonce
        self.version_sent = message.version

    def settle(self, offered: ResourceSet) -> None:
        """Nothing more is to be said of this offer for now; if all was accepted, it is held."""
        self.sent = offered
        if self._is_quiet():
            self.acked = offered
            self.refused = None
            self.is_unsure = False

    def find(self, nonce: str) -> InFlight | None:
        """The unanswered response with this nonce."""
        for entry in self.in_flight:
            if entry.message.nonce == nonce:
                return entry
        return None

    def accept(self, entry: InFlight) -> None:
        """The client has accepted a response: held state advances (contracts §8).

        Responses are applied in order, so older ones without an answer were accepted too.
        """
        self.in_flight = self.in_flight[self.in_flight.index(entry) + 1 :]
        self.version_acked = entry.message.version
        if self.warming_since is not None:
            self.warming_since = self.in_flight[0].at if self.in_flight else None
        if not self.unknown:
            self.error = ""
            if entry.is_complete:
                self.acked = entry.offered
                self.refused = None
                self.is_unsure = False

    def refuse(self, entry: InFlight, error: str) -> None:
        """The client has refused a response: all its names become unknown (contracts §8).

        A client may fold the answers to several responses into one, so older ones without an
        answer count as refused. What a later response carries is decided by its own answer.
        """
        position = self.in_flight.index(entry) + 1
        refused, self.in_flight = self.in_flight[:position], self.in_flight[position:]
        self.refused = entry.offered
        self.error = error
        if self.is_whole:
            self.unknown = NOTHING if self.in_flight else frozenset((WILDCARD,))
            return
        names = _all_names(refused) - _all_names(self.in_flight)
        self.unknown |= frozenset(name for name in names if self.interest.covers(name))

    def may_hold(self) -> Iterator[ResourceSet]:
        """The sets that what the client holds may come from."""
        yield self.acked
        for entry in self.in_flight:
            yield entry.offered
        if self.refused is not None:
            yield self.refused

    def _is_owed(self) -> bool:
        return bool(self.is_due or self.due or self.unknown or self.leaving)

    def _is_quiet(self) -> bool:
        return not self.in_flight and not self._is_owed() and self.claimed is None


def _all_names(entries: Iterable[InFlight]) -> frozenset[str]:
    return NOTHING.union(*(entry.names() for entry in entries))
