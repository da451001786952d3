"""Who may refer to services of another namespace (Gateway API, ReferenceGrant)."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from attrs import evolve, field, frozen

from meshregistry.rules._origin import Origin
from meshregistry.rules._routes import Mirror, WeightedDestination

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meshregistry.rules._routes import ConnectionRoute, Destination, RouteRule

Named = TypeVar("Named", WeightedDestination, Mirror)


@frozen(kw_only=True, cache_hash=True)
class Grant:
    """Lets documents of other namespaces refer to services of this one.

    Attributes:
        namespace: of the services.
        askers: ``kind/namespace`` of the documents that may.
        services: by name; an empty name: all of the namespace.
    """

    namespace: str = ""
    name: str = ""
    askers: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    created: float = 0.0
    origin: Origin = field(default=Origin(), eq=False)

    def is_for(self, destination: Destination) -> bool:
        """Whether it lets the destination be named by whom names it."""
        name, _, rest = destination.host.partition(".")
        return (
            destination.asker in self.askers
            and rest.startswith(f"{self.namespace}.svc.")
            and bool({"", name} & set(self.services))
        )


def granted(rule: RouteRule, grants: Sequence[Grant]) -> RouteRule:
    """The rule, whose destinations keep their asker only if nobody lets it name them."""

    def judged(one: Named) -> Named:
        destination = one.destination
        if destination.asker and any(grant.is_for(destination) for grant in grants):
            return evolve(one, destination=evolve(destination, asker=""))
        return one

    def connections(routes: tuple[ConnectionRoute, ...]) -> tuple[ConnectionRoute, ...]:
        return tuple(
            evolve(route, destinations=tuple(map(judged, route.destinations))) for route in routes
        )

    if not grants:
        return rule
    http = tuple(
        evolve(
            route,
            destinations=tuple(map(judged, route.destinations)),
            mirrors=tuple(map(judged, route.mirrors)),
        )
        for route in rule.http
    )
    made = evolve(rule, http=http, tls=connections(rule.tls), tcp=connections(rule.tcp))
    return rule if made == rule else made
