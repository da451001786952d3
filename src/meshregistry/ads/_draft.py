"""One evaluation of a subscription against an offer, and what comes out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from meshregistry.ads._interest import WILDCARD
from meshregistry.ads._subscription import NOTHING, Diff, Leaving, Subscription

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from meshregistry.model import Resource, ResourceSet


class Draft(NamedTuple):
    """A response without its nonce.

    Attributes:
        version: of the type.
        resources: in canonical order.
        removed: names that are gone (delta only).
        changed: those of `resources` that the client may not have had.
    """

    version: str
    resources: tuple[Resource, ...]
    removed: tuple[str, ...] = ()
    changed: tuple[Resource, ...] = ()


class Turn(NamedTuple):
    """The circumstances of an evaluation.

    Attributes:
        now: the time, in seconds.
        offered: the offer.
        diff: compares two sets.
        waits: must the removal of this name be withheld for now?
    """

    now: float
    offered: ResourceSet
    diff: Diff
    waits: Callable[[Subscription, str], bool]


def withhold(sub: Subscription, removed: Iterable[str], turn: Turn) -> tuple[str, ...]:
    """Part removed names: those that are in use begin to leave, the others are returned."""
    now_gone: list[str] = []
    leaving: dict[str, Leaving] = {}
    for name in removed:
        # Of a refused version nobody knows whether it was applied; the accepted one was.
        is_known = not sub.unknown & {name, WILDCARD}
        held = (sub.sent if is_known else sub.acked).get(sub.type_url, name)
        if (held is not None or sub.is_delta) and turn.waits(sub, name):
            leaving[name] = Leaving(held, turn.now)
        else:
            now_gone.append(name)
    if leaving:
        sub.leaving = {**sub.leaving, **leaving}
    return tuple(now_gone)


def draft_names(sub: Subscription, turn: Turn) -> Draft | None:
    """The next response of a type whose responses may hold a subset, or None.

    What changed and what was asked for goes first. Names of refused responses follow in a
    response of their own, so that a resource that the client cannot accept does not take
    others with it; and only once the offer differs from what was refused, and then all of
    them, even those that equal what was accepted before (contracts §8).
    """
    offered = turn.offered
    if sub.leaving:
        sub.take_back(offered)
    changes = sub.changes(offered, turn.diff)
    gone = withhold(sub, changes.removed, turn) if changes.removed else ()
    blocked = sub.unknown - sub.due
    if sub.is_all_due:
        # What is owed beyond all that exists are answers about names that do not.
        resources = sub.wanted(offered)
        names = sub.due | sub.unknown
        _, missing = _named(sub, offered, names - sub.leaving.keys())
        gone = tuple(sorted({*gone, *missing}))
        sub.due = sub.unknown = NOTHING
    elif not blocked and not sub.due:
        resources = changes.changed
    else:
        names = frozenset((*(r.name for r in changes.changed), *gone)) - blocked | sub.due
        if not names and blocked and sub.differs_from_refused(offered, turn.diff):
            names = blocked - sub.leaving.keys()
        resources, gone = _named(sub, offered, names)
        sub.due -= names
        sub.unknown -= names
    if not sub.is_delta:
        gone = ()  # state of the world cannot tell that a resource of these types is gone
    sub.sent = offered
    if not resources and not gone and not sub.is_due:
        return None
    sub.is_due = sub.is_all_due = False
    return Draft(offered.version(sub.type_url), resources, gone, resources)


def _named(
    sub: Subscription, offered: ResourceSet, names: frozenset[str]
) -> tuple[tuple[Resource, ...], tuple[str, ...]]:
    """The resources of these names as the client should hold them, and those that do not exist."""
    resources = sub.named(offered, names)
    if len(resources) == len(names):
        return resources, ()
    missing = names.difference(resource.name for resource in resources)
    kept = []
    for name in sorted(missing & sub.leaving.keys()):
        resource = sub.leaving[name].resource
        if resource is not None:
            kept.append(resource)
    gone = missing.difference(resource.name for resource in kept)
    sub.leaving = {name: held for name, held in sub.leaving.items() if name not in gone}
    return (*resources, *kept) if kept else resources, tuple(sorted(gone))
