"""Make before break: which type waits for which, and what may not be removed yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshregistry.model import (
    CLUSTER,
    ENDPOINT,
    EXTENSION_CONFIG,
    LISTENER,
    ROUTE,
    RUNTIME,
    SCOPED_ROUTE,
    SECRET,
    VIRTUAL_HOST,
    Reference,
    Resource,
    ResourceSet,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from meshregistry.ads._subscription import Subscription

# Traffic enters at the top and ends at the bottom: a type refers only to types below its own.
# Keeping to this order makes waiting for one another impossible.
_USES: Mapping[str, int] = {
    type_url: place
    for place, type_url in enumerate(
        (
            LISTENER,
            SCOPED_ROUTE,
            ROUTE,
            VIRTUAL_HOST,
            EXTENSION_CONFIG,
            CLUSTER,
            ENDPOINT,
            SECRET,
            RUNTIME,
        )
    )
}
# A type that we know nothing of may be used by listeners and routes, and use clusters.
_UNKNOWN_PLACE = _USES[EXTENSION_CONFIG]

# "Eventual consistency considerations": clusters, then assignments, then listeners, then routes.
# Secrets are not among those that wait: clusters need them to become warm.
_AFTER_CLUSTERS = frozenset((LISTENER, SCOPED_ROUTE, ROUTE, VIRTUAL_HOST))


def follows_clusters(type_url: str) -> bool:
    """Do resources of this type wait until the client has accepted the clusters?"""
    return type_url in _AFTER_CLUSTERS


def is_entrance(type_url: str) -> bool:
    """Is this where traffic enters, so that nothing refers to it (listeners)?"""
    return _place(type_url) == 0


def _place(type_url: str) -> int:
    """How far down a type is on the way of a request: 0 is where traffic enters."""
    return _USES.get(type_url, _UNKNOWN_PLACE)


def is_in_use(target: Reference, active: Iterable[Subscription], offered: ResourceSet) -> bool:
    """May the client still hold something that refers to this, and that the offer replaces?

    Contracts §8: removals follow the ACK of listeners and routes; if those are refused, what
    the acknowledged ones still use is kept. What is offered itself does not count: a client
    that holds exactly the offer keeps nothing else.
    """
    depth = _place(target.type_url)
    return any(_uses(user, target, offered) for user in active if _place(user.type_url) < depth)


def _uses(user: Subscription, target: Reference, offered: ResourceSet) -> bool:
    if user.is_unsure:
        return True  # what it holds came from an earlier stream and could refer to anything
    kept = (gone.resource for gone in user.leaving.values())
    if any(target in resource.references for resource in kept if resource is not None):
        return True
    current = {id(group) for group in offered.groups(user.type_url)}
    return any(
        target in group.references
        for held in user.may_hold()
        for group in held.groups(user.type_url)
        if id(group) not in current
    )


def assignments(clusters: Sequence[Resource]) -> frozenset[str]:
    """The names of the endpoint assignments that these clusters need."""
    return frozenset(
        reference.name
        for cluster in clusters
        for reference in cluster.references
        if reference.type_url == ENDPOINT
    )
