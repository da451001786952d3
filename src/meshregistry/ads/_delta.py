"""Incremental xDS: requests change the subscription, responses carry only what differs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshregistry.ads._draft import Draft, Turn, draft_names
from meshregistry.ads._interest import WILDCARD
from meshregistry.ads._messages import (
    Acked,
    AdsEvent,
    DeltaRequest,
    Nacked,
    StaleNonce,
    Subscribed,
    Unsubscribed,
)
from meshregistry.ads._subscription import Leaving, Subscription

if TYPE_CHECKING:
    from collections.abc import Mapping


def receive(sub: Subscription, request: DeltaRequest, *, is_first: bool) -> list[AdsEvent]:
    """Take a request; what it asks for is noted as due."""
    events: list[AdsEvent] = []
    if is_first:
        # "initial_resource_versions" is read in the first request of a type on a stream.
        sub.claimed = request.initial_versions
    elif request.nonce:
        entry = sub.find(request.nonce)
        if entry is None:
            events.append(StaleNonce(sub.type_url, request.nonce))
        elif request.error is not None:
            sub.refuse(entry, request.error)
            events.append(Nacked(sub.type_url, entry.message.version, request.nonce, request.error))
        else:
            sub.accept(entry)
            events.append(Acked(sub.type_url, entry.message.version, request.nonce))
    # "Incremental xDS": a request may change subscriptions whatever its nonce says, and is
    # never rejected for a stale one: the changes are relative, so none may be lost.
    return events + _subscribe(sub, request, is_first=is_first)


def _subscribe(sub: Subscription, request: DeltaRequest, *, is_first: bool) -> list[AdsEvent]:
    before = sub.interest
    # Legacy wildcard: only the first request of a full-state type, and only if it says nothing;
    # later requests with empty lists change nothing.
    is_legacy = (
        is_first and sub.traits.is_full_state and not request.subscribe and not request.unsubscribe
    )
    wanted = before.adjusted(request.subscribe, request.unsubscribe, is_legacy_wildcard=is_legacy)
    sub.set_interest(wanted)
    asked = frozenset(request.subscribe) - {WILDCARD}
    if wanted.is_wildcard:
        # A name that is dropped while the wildcard goes on is answered: the client cannot know
        # whether the wildcard covers it ("Subscribing to resources").
        asked |= before.names - wanted.names
    # Every name in resource_names_subscribe is answered, also one that the client has already.
    sub.due |= asked
    if is_legacy or WILDCARD in request.subscribe:
        sub.start_over()
    events: list[AdsEvent] = []
    gained, lost = wanted.gained(before), before.gained(wanted)
    renewed = {name for name in request.subscribe if name not in lost}
    if gained or renewed:
        events.append(Subscribed(sub.type_url, tuple(sorted({*gained, *renewed}))))
    if lost:
        events.append(Unsubscribed(sub.type_url, lost))
    return events


def draft(sub: Subscription, turn: Turn) -> Draft | None:
    """The next response, or None if there is nothing to say."""
    claimed, sub.claimed = sub.claimed, None
    if claimed and not isinstance(claimed, str):
        _compare(sub, claimed, turn)
    return draft_names(sub, turn)


def _compare(sub: Subscription, claimed: Mapping[str, str], turn: Turn) -> None:
    """Skip, resource by resource, what the client kept from an earlier stream.

    Contracts §8: "initial_resource_versions" are digests, so equal means held. What it holds
    and the offer lacks is a removal, not a name that never existed, and may be in use by
    listeners and routes that the client has not subscribed to yet: it waits like any other.
    """
    offered = turn.offered
    wanted = sub.wanted(offered)
    sub.sent = sub.acked = offered
    sub.due |= frozenset(r.name for r in wanted if claimed.get(r.name) != r.digest)
    sub.due -= frozenset(r.name for r in wanted if claimed.get(r.name) == r.digest)
    gone = frozenset(
        name
        for name in claimed
        if sub.interest.covers(name) and offered.get(sub.type_url, name) is None
    )
    sub.due -= gone
    sub.leaving = {name: Leaving(None, turn.now) for name in gone}
    sub.is_all_due = False
    sub.is_unsure = bool(sub.due or sub.leaving)
