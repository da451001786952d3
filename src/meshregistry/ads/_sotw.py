"""State of the world: every request lists all names, a nonce tells which response it answers."""

from __future__ import annotations

from hashlib import blake2b

from meshregistry.ads._draft import Draft, Turn, draft_names, withhold
from meshregistry.ads._messages import (
    Acked,
    AdsEvent,
    Nacked,
    Request,
    StaleNonce,
    Subscribed,
    Unsubscribed,
)
from meshregistry.ads._subscription import NOTHING, Subscription
from meshregistry.model import CLUSTER, LISTENER, Resource, ResourceSet

# "How the client specifies what resources to return" lets a server stay silent on a new stream
# only if it knows what the client holds: a wildcard of a type whose responses are whole.
_MAY_SKIP = frozenset((CLUSTER, LISTENER))


def receive(sub: Subscription, request: Request, *, is_first: bool) -> list[AdsEvent]:
    """Take a request; what it asks for is noted as due."""
    events: list[AdsEvent] = []
    if is_first:
        # "The version is not stream-scoped": a client that reconnects offers its last one.
        # Its content came from a stream that this session never saw.
        sub.claimed = request.version
        sub.is_unsure = bool(request.version)
    elif sub.nonce and request.nonce:
        if (entry := sub.find(request.nonce)) is not None:
            if request.error is not None:
                # "ACK and NACK semantics": only error_detail makes a NACK, never the version.
                sub.refuse(entry, request.error)
                events.append(
                    Nacked(sub.type_url, entry.message.version, request.nonce, request.error)
                )
            else:
                sub.accept(entry)
                if request.nonce == sub.nonce:
                    events.append(Acked(sub.type_url, entry.message.version, request.nonce))
        if request.nonce != sub.nonce:
            # "Resource updates": a request whose nonce is stale is not answered, and what it
            # subscribes to does not count: a newer one is under way. The fate of the response
            # that it names is still true, and was noted above.
            events.append(StaleNonce(sub.type_url, request.nonce))
            return events
    # A request without a nonce (or before anything was sent, when no nonce can be of this
    # stream: "nonces do not outlive the stream") subscribes anew, and is answered in full.
    is_renewed = is_first or not sub.nonce or not request.nonce
    events += _subscribe(sub, request, is_renewed=is_renewed)
    return events


def _subscribe(sub: Subscription, request: Request, *, is_renewed: bool) -> list[AdsEvent]:
    before = sub.interest
    if not is_renewed and request.names == sub.listed and not before.is_empty:
        # The usual ACK repeats the list of the whole subscription, which may be long. Decoders
        # give one object for equal lists, and then even the comparison is free.
        return []
    sub.listed = request.names
    wanted = before.restated(request.names, is_full_state=sub.traits.is_full_state)
    sub.set_interest(wanted)
    gained, lost = wanted.gained(before), before.gained(wanted)
    if (is_renewed or gained) and not wanted.is_empty:
        # An ACK that names more resources subscribes to them too: they have to be sent even
        # if they have not changed ("Subscribing to resources").
        if sub.traits.is_full_state:
            sub.is_due = True
            sub.is_all_due |= bool(gained)
        else:
            sub.due |= wanted.names if is_renewed else wanted.names - before.names
            if wanted.is_wildcard and (is_renewed or not before.is_wildcard):
                sub.start_over()
    events: list[AdsEvent] = []
    if gained:
        events.append(Subscribed(sub.type_url, gained))
    if lost:
        events.append(Unsubscribed(sub.type_url, lost))
    return events


def draft(sub: Subscription, turn: Turn) -> Draft | None:
    """The next response, or None if there is nothing to say."""
    claimed, sub.claimed = sub.claimed, None
    if not sub.traits.is_full_state:
        return draft_names(sub, turn)
    if isinstance(claimed, str) and _is_held(sub, claimed, turn.offered):
        sub.is_due = sub.is_all_due = False
        sub.version_sent = sub.version_acked = claimed
        sub.settle(turn.offered)
        return None
    return _draft_whole(sub, turn)


def _is_held(sub: Subscription, claimed: str, offered: ResourceSet) -> bool:
    """Does the version alone prove that the client holds the offer?

    Contracts §8: only for a pure wildcard of clusters or listeners, and only for a version that
    is the hash of the content; a text of the caller's may be used again for other content.
    """
    version = offered.content_version(sub.type_url)
    return (
        sub.type_url in _MAY_SKIP
        and sub.interest.is_wildcard
        and not sub.interest.names
        and claimed == version == offered.version(sub.type_url)
    )


def _draft_whole(sub: Subscription, turn: Turn) -> Draft | None:
    """All that is subscribed, since absence deletes ("Grouping resources into responses").

    What is in use although the offer lacks it stays in the response (make before break). If
    that leaves everything as it was, nothing is sent: equal content would only be ACKed.
    """
    offered = turn.offered
    if sub.leaving:
        sub.take_back(offered)
    changes = sub.changes(offered, turn.diff)
    gone = withhold(sub, changes.removed, turn) if changes.removed else ()
    if not (changes.changed or gone or sub.is_due):
        sub.sent = offered
        return None
    changed = changes.changed
    if sub.is_all_due:
        changed = sub.wanted(offered)
    elif sub.unknown:
        # After a refusal the client may hold either version of what had changed.
        changed += sub.difference(sub.acked, offered, turn.diff).changed
    sub.sent, sub.unknown = offered, NOTHING
    sub.is_due = sub.is_all_due = False
    return Draft(version(sub, offered), whole(sub, offered), changed=changed)


def whole(sub: Subscription, offered: ResourceSet) -> tuple[Resource, ...]:
    """Everything that the client should hold now."""
    resources = sub.wanted(offered)
    kept = _kept(sub)
    return (*resources, *kept) if kept else resources


def version(sub: Subscription, offered: ResourceSet) -> str:
    """The version of such a response.

    What is kept for a while makes it content of its own: it must not carry the version of the
    offer, or a client that reconnects with it would never be told what is gone.
    """
    text = offered.version(sub.type_url)
    kept = "\n".join(f"{resource.name}\0{resource.digest}" for resource in _kept(sub))
    return f"{text}~{blake2b(kept.encode(), digest_size=4).hexdigest()}" if kept else text


def _kept(sub: Subscription) -> list[Resource]:
    held = (sub.leaving[name].resource for name in sorted(sub.leaving))
    return [resource for resource in held if resource is not None]
